//! Retention: what is old goes, in batches; what is still wanted stays however old it is.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::json;
use shared::domain::{Outcome, Reason};
use shared::ledger::{
    Act, Claim, LockAttempt, Notice, PruneTerms, Pruned, Replay, RowFilter, RunId, RunKind, Selection,
    StrayMessage,
};

use super::LEASE;
use super::stage::{JOB, Stage, date, key, new_run};

const ON: &str = "2026-11-23";
const DAY: Duration = Duration::from_secs(86_400);
const KEEP: Duration = Duration::from_secs(30 * 86_400);
const ANNOUNCE: Duration = Duration::from_secs(3 * 86_400);

fn terms() -> PruneTerms {
    PruneTerms { job: JOB.into(), keep: KEEP, announce: ANNOUNCE, limit: 1_000 }
}

async fn prune(stage: &Stage, terms: PruneTerms) -> Pruned {
    stage.ledger().prune(&terms).await.expect("to prune")
}

async fn is_there(stage: &Stage, run: RunId) -> bool {
    stage.ledger().run(run).await.expect("an answer").is_some()
}

async fn rows(stage: &Stage, run: RunId) -> usize {
    stage.ledger().rows(run, &RowFilter::default(), 0, 100).await.expect("rows").len()
}

/// A night of so many people, all of them updated, and closed.
async fn closed(stage: &Stage, on: &str, people: u32) -> RunId {
    let planned: Vec<_> = (1..=people).map(|who| (who + 1, who, who)).collect();
    let run = stage.night(on, &planned).await;
    for (sheet_row, ..) in planned {
        stage.finish(run, sheet_row, Outcome::Updated).await;
    }
    assert!(stage.close(run).await);
    run
}

/// A run that is nobody's concern here, so that the one under test is not the newest.
async fn a_newer_run(stage: &Stage) {
    let run = stage.night("2026-12-30", &[(2, 9, 9)]).await;
    stage.finish(run, 2, Outcome::Updated).await;
    assert!(stage.close(run).await);
}

pub(super) async fn what_is_young_stays(stage: Stage) {
    let run = closed(&stage, ON, 2).await;
    a_newer_run(&stage).await;
    stage.advance(KEEP - DAY).await;
    assert!(prune(&stage, terms()).await.is_nothing());
    assert_eq!(rows(&stage, run).await, 2);
}

pub(super) async fn an_old_run_goes_in_batches_and_at_last_itself(stage: Stage) {
    let run = closed(&stage, ON, 5).await;
    stage.advance(DAY).await;
    a_newer_run(&stage).await;
    stage.advance(KEEP).await;
    let mut left = Vec::new();
    let mut all = Pruned::default();
    for _ in 0..3 {
        all += prune(&stage, PruneTerms { limit: 2, ..terms() }).await;
        left.push((rows(&stage, run).await, is_there(&stage, run).await));
    }
    assert_eq!(left, [(3, true), (1, true), (0, false)]);
    assert_eq!((all.rows, all.runs), (5, 1));
    stage.advance(DAY).await;
    // A day younger, and its day has come too.
    let newer = prune(&stage, terms()).await;
    assert_eq!(newer.rows, 1);
}

pub(super) async fn a_newest_success_outlives_its_rows(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let claimed = stage.take(key(run, 2), 0).await;
    assert!(stage.intend(&claimed, "patient-1", "1").await);
    stage.record(&claimed, super::done(Outcome::Updated)).await;
    assert!(stage.close(run).await);
    a_newer_run(&stage).await;
    stage.advance(KEEP + DAY).await;
    while !prune(&stage, terms()).await.is_nothing() {}
    let (_, number, payload) =
        stage.ledger().newest_success(&stage.nik_hash(1)).await.expect("an answer").expect("a success");
    assert_eq!((number, payload), (stage.number_hash(1), None), "without the sealed number");
    let older = stage.night("2026-11-20", &[(2, 1, 2)]).await;
    let claim = stage.ask(key(older, 2), 0).await;
    assert!(matches!(claim, Claim::Settled(Some(Outcome::Superseded))), "{claim:?}");
}

pub(super) async fn the_next_run_of_a_deleted_date_is_newer_than_what_was_applied(stage: Stage) {
    closed(&stage, "2026-11-22", 1).await;
    let run = closed(&stage, ON, 1).await;
    stage.advance(KEEP + DAY).await;
    while !prune(&stage, terms()).await.is_nothing() {}
    assert_eq!(rows(&stage, run).await, 0, "everything is old");
    let again = stage.night(ON, &[(2, 1, 2)]).await;
    stage.finish(again, 2, Outcome::Updated).await;
}

pub(super) async fn open_dead_letters_go_only_after_they_were_announced(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    stage.kill(key(run, 2), Reason::AmbiguousPatient).await;
    stage.finish(run, 3, Outcome::Updated).await;
    assert!(stage.close(run).await);
    a_newer_run(&stage).await;
    let expiring = async |age| stage.ledger().expiring(JOB, age).await.expect("an answer");
    assert!(expiring(KEEP - ANNOUNCE).await.is_empty(), "not soon");
    stage.advance(KEEP + DAY).await;
    assert_eq!(prune(&stage, terms()).await.rows, 1, "the other run's");
    assert_eq!(rows(&stage, run).await, 2, "nobody was told");

    let soon = expiring(KEEP - ANNOUNCE).await;
    assert_eq!(
        soon.iter().map(|soon| (soon.run, soon.date, soon.dead_letters)).collect::<Vec<_>>(),
        [(run, date(ON), 1)]
    );
    let now = stage.ledger().now().await.expect("a clock");
    stage.ledger().post_notice(&soon[0].notice(now, &TimeZone::UTC)).await.expect("to note");
    assert_eq!(prune(&stage, terms()).await.rows, 0, "they were told just now");
    stage.advance(ANNOUNCE + DAY).await;
    let pruned = prune(&stage, terms()).await;
    assert_eq!((pruned.rows, pruned.open_dead_letters, pruned.dead_letters, pruned.runs), (2, 1, 0, 1));
    assert!(expiring(KEEP).await.is_empty());
    assert!(stage.ledger().dead_letters(&Replay::default(), 0, 10).await.expect("a list").is_empty());
}

pub(super) async fn a_run_with_a_row_under_replay_stays(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    stage.kill(key(run, 2), Reason::RetriesExhausted).await;
    assert!(stage.close(run).await);
    a_newer_run(&stage).await;
    stage.advance(KEEP + DAY).await;
    assert_eq!(stage.ledger().replay(Replay::default()).await.expect("to replay").len(), 1);
    prune(&stage, terms()).await;
    assert_eq!(rows(&stage, run).await, 1);
    let again = shared::ledger::RowKey { generation: 2, ..key(run, 2) };
    let turn = stage.due().await.first().expect("it is due").turn;
    let claimed = stage.take(again, turn).await;
    stage.record(&claimed, super::done(Outcome::Updated)).await;
    let pruned = prune(&stage, terms()).await;
    assert_eq!((pruned.rows, pruned.dead_letters), (1, 1), "what was replayed needs no announcement");
}

pub(super) async fn a_run_whose_dead_letter_is_young_stays(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    stage.kill(key(run, 2), Reason::RetriesExhausted).await;
    assert!(stage.close(run).await);
    a_newer_run(&stage).await;
    stage.advance(KEEP - DAY).await;
    stage.ledger().replay(Replay::default()).await.expect("to replay");
    let turn = stage.due().await.first().expect("it is due").turn;
    let again = shared::ledger::RowKey { generation: 2, ..key(run, 2) };
    let claimed = stage.take(again, turn).await;
    stage.record(&claimed, super::stage::failed(Reason::RetriesExhausted)).await;
    stage.bury(again).await;
    stage.advance(DAY * 5).await;
    prune(&stage, terms()).await;
    assert_eq!(rows(&stage, run).await, 1, "it died again six days ago");
}

pub(super) async fn an_unfinished_run_stays(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    a_newer_run(&stage).await;
    stage.advance(KEEP * 2).await;
    prune(&stage, terms()).await;
    assert_eq!(rows(&stage, run).await, 1);
}

pub(super) async fn an_abandoned_dry_run_goes(stage: Stage) {
    let fence = stage.lock(ON, "producer").await;
    let run = stage.open(&fence, RunKind::DryRun, Selection::default()).await.id;
    stage.seed(&fence, run, 2..=10, vec![stage.row(run, 2, 1, 1)]).await;
    stage.complete(&fence, run).await;
    stage.ledger().abandon_run(&fence, run).await.expect("to abandon");
    a_newer_run(&stage).await;
    stage.advance(KEEP + DAY).await;
    while !prune(&stage, terms()).await.is_nothing() {}
    assert!(!is_there(&stage, run).await);
}

pub(super) async fn another_jobs_runs_stay(stage: Stage) {
    let LockAttempt::Taken(fence) =
        stage.ledger().lock("another", date(ON), "producer", LEASE).await.expect("to lock")
    else {
        panic!("nobody holds it")
    };
    let new = new_run(RunKind::Night, Selection::default());
    let run = stage.ledger().open_run(&fence, new).await.expect("to open").id;
    stage.complete(&fence, run).await;
    assert!(stage.close(run).await);
    a_newer_run(&stage).await;
    stage.advance(KEEP + DAY).await;
    while !prune(&stage, terms()).await.is_nothing() {}
    assert!(is_there(&stage, run).await);
    assert!(!prune(&stage, PruneTerms { job: "another".into(), ..terms() }).await.is_nothing());
}

pub(super) async fn notices_acts_and_strays_go_by_their_age(stage: Stage) {
    let note = async |what: &str| {
        let notice = Notice { key: what.into(), kind: "closed".into(), text: what.into(), detail: json!({}) };
        stage.ledger().post_notice(&notice).await.expect("to note");
        let stray = StrayMessage {
            queue: "work".into(),
            message_id: Some(what.into()),
            content_type: None,
            fault: "no JSON".into(),
            sealed: vec![1],
        };
        stage.ledger().keep_stray(&stray).await.expect("to keep");
        let act = Act { who: "ops@scheduler".into(), act: "start".into(), detail: json!({}) };
        stage.ledger().note_act(act).await.expect("to note");
    };
    note("old").await;
    stage.advance(DAY * 2).await;
    note("young").await;
    stage.advance(KEEP - DAY).await;
    let pruned = prune(&stage, terms()).await;
    assert_eq!((pruned.notices, pruned.strays, pruned.acts), (1, 1, 1));
    let notices = stage.ledger().open_notices(10).await.expect("notices");
    assert_eq!(notices.iter().map(|open| open.notice.key.as_str()).collect::<Vec<_>>(), ["young"]);
    assert_eq!(stage.ledger().strays(0, 10).await.expect("strays").len(), 1);
}

pub(super) async fn when_it_last_ran_is_remembered(stage: Stage) {
    let last = async |job| stage.ledger().standing(job).await.expect("an answer").last_prune;
    assert_eq!(last(JOB).await, None);
    let act = Act { who: "ops@scheduler".into(), act: "prune".into(), detail: json!({ "job": JOB }) };
    stage.ledger().note_act(act).await.expect("to note");
    let now = stage.ledger().now().await.expect("a clock");
    let noted = last(JOB).await.expect("it ran");
    assert!(now.duration_since(noted).unsigned_abs() < Duration::from_secs(60), "{noted}");
    assert_eq!(last("another").await, None);
}
