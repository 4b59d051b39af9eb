//! What pages are made of.

use std::time::Duration;

use shared::domain::{Outcome, Reason, Warning};
use shared::ledger::{
    Act, DeadLetterFilter, DeadLetterGroup, Gate, GateKind, Page, Replay, RowFilter, RowKey, RunId, RunKind,
    Selection, Settlement, Tally, Window,
};

use super::stage::{JOB, LEASE, Stage, TOOK, date, done, failed, key, retry};

const ON: &str = "2026-11-23";

/// The tally, which must be the same kept and counted.
async fn tally(stage: &Stage, run: RunId) -> Tally {
    let kept = stage.ledger().counted(run).await.expect("counts");
    assert_eq!(kept, stage.ledger().tally(run).await.expect("a tally"));
    kept
}

pub(super) async fn what_is_counted_is_kept(stage: Stage) {
    let fence = stage.lock(ON, "producer").await;
    let run = stage.open(&fence, RunKind::Night, Selection::default()).await.id;
    let mut rows: Vec<_> = (2..12).map(|row| stage.row(run, row, row, row)).collect();
    rows[0].warnings = vec![Warning::PhoneRepeated, Warning::NikUnlikelyProvince];
    rows[3].warnings = vec![Warning::PhoneRepeated];
    rows.push(stage.rejected(run, 12, 12, None));
    rows.push(stage.row(run, 13, 2, 2));
    rows.push(stage.row(run, 14, 11, 500));
    stage.seed(&fence, run, 2..=14, rows).await;
    stage.complete(&fence, run).await;
    stage.ledger().unlock(&fence).await.expect("to unlock");
    let begun = tally(&stage, run).await;
    assert_eq!((begun.selected(), begun.open), (13, 9));
    assert_eq!((begun.count(Outcome::Rejected), begun.count(Outcome::DuplicateRow)), (3, 1));
    stage.finish(run, 2, Outcome::Updated).await;
    let claimed = stage.take(key(run, 3), 0).await;
    let warned = Settlement::Done {
        outcome: Outcome::Unchanged,
        warnings: vec![Warning::SeveralCurrentMobiles],
        previous: None,
    };
    stage.record(&claimed, warned).await;
    let claimed = stage.take(key(run, 4), 0).await;
    stage.record(&claimed, retry(Duration::ZERO, true)).await;
    assert_eq!(tally(&stage, run).await.retries, 3);
    stage.kill(key(run, 5), Reason::WriteConflict).await;
    let dead = tally(&stage, run).await;
    assert_eq!((dead.count(Outcome::DeadLettered), dead.reasons[&Reason::WriteConflict]), (1, 1));
    assert_eq!(dead.warnings[&Warning::PhoneRepeated], 2);
    // A record that is refused and a burial that is repeated count nothing.
    stage.record(&claimed, done(Outcome::Updated)).await;
    stage.bury(key(run, 5)).await;
    assert_eq!(tally(&stage, run).await, dead);
    // Superseded, by the ledger itself.
    let newer = stage.night("2026-11-24", &[(2, 6, 60)]).await;
    stage.finish(newer, 2, Outcome::Updated).await;
    stage.ask(key(run, 6), 0).await;
    assert_eq!(tally(&stage, run).await.count(Outcome::Superseded), 1);
    let replayed = stage.ledger().replay(Replay::default()).await.expect("to replay");
    assert_eq!(replayed.len(), 1);
    let reopened = tally(&stage, run).await;
    assert_eq!((reopened.count(Outcome::DeadLettered), reopened.open), (0, dead.open));
    let claimed = stage.take(replayed[0], 0).await;
    stage.record(&claimed, done(Outcome::Updated)).await;
    assert_eq!(tally(&stage, run).await.count(Outcome::Updated), 2);
    assert_eq!(tally(&stage, newer).await.count(Outcome::Updated), 1);
}

pub(super) async fn counts_begin_with_the_snapshot(stage: Stage) {
    let fence = stage.lock(ON, "producer").await;
    let selection = Selection { limit: Some(2), ..Selection::default() };
    let run = stage.open(&fence, RunKind::DryRun, selection).await.id;
    let rows = (2..7).map(|row| stage.row(run, row, row, row)).collect();
    stage.seed(&fence, run, 2..=6, rows).await;
    let counted = async || stage.ledger().counted(run).await.expect("counts");
    assert_eq!(counted().await, Tally::default());
    stage.complete(&fence, run).await;
    stage.complete(&fence, run).await;
    assert_eq!(counted().await, Tally { open: 2, ..Tally::default() });
}

pub(super) async fn a_page_goes_forwards_and_backwards(stage: Stage) {
    let rows: Vec<_> = (2..22).map(|row| (row, row, row)).collect();
    let run = stage.night(ON, &rows).await;
    for sheet_row in [4, 7, 19] {
        stage.finish(run, sheet_row, Outcome::Updated).await;
    }
    let page = async |filter: &RowFilter, page, limit| {
        let rows = stage.ledger().row_page(run, filter, page, limit).await.expect("rows");
        rows.iter().map(|row| row.key.sheet_row).collect::<Vec<_>>()
    };
    let all = RowFilter::default();
    assert_eq!(page(&all, Page::First, 4).await, [2, 3, 4, 5]);
    assert_eq!(page(&all, Page::After(5), 4).await, [6, 7, 8, 9]);
    assert_eq!(page(&all, Page::Before(10), 4).await, [6, 7, 8, 9]);
    assert_eq!(page(&all, Page::Before(4), 4).await, [2, 3]);
    assert_eq!(page(&all, Page::After(20), 4).await, [21]);
    assert!(page(&all, Page::Before(2), 4).await.is_empty());
    let updated = RowFilter { outcome: Some(Outcome::Updated), ..all };
    assert_eq!(page(&updated, Page::Before(19), 1).await, [7]);
    assert_eq!(page(&updated, Page::Before(100), 2).await, [7, 19]);
    assert_eq!(page(&updated, Page::After(4), 1).await, [7]);
}

pub(super) async fn rows_are_filtered_by_what_became_of_them(stage: Stage) {
    let fence = stage.lock(ON, "producer").await;
    let run = stage.open(&fence, RunKind::Night, Selection::default()).await.id;
    let mut rows: Vec<_> = (2..12).map(|row| stage.row(run, row, row, row)).collect();
    rows[3].warnings = vec![Warning::PhoneRepeated];
    rows[5].warnings = vec![Warning::NikUnlikelyProvince, Warning::PhoneRepeated];
    rows.push(stage.rejected(run, 12, 12, None));
    stage.seed(&fence, run, 2..=12, rows).await;
    stage.complete(&fence, run).await;
    stage.finish(run, 2, Outcome::Updated).await;
    for sheet_row in [3, 5, 9] {
        stage.kill(key(run, sheet_row), Reason::PatientGone).await;
    }
    let list = async |filter: RowFilter| {
        let rows = stage.ledger().row_page(run, &filter, Page::First, 100).await.expect("rows");
        rows.iter().map(|row| row.key.sheet_row).collect::<Vec<_>>()
    };
    let all = RowFilter::default;
    let gone = RowFilter { reason: Some(Reason::PatientGone), ..all() };
    assert_eq!(list(gone.clone()).await, [3, 5, 9]);
    assert_eq!(list(RowFilter { outcome: Some(Outcome::DeadLettered), ..gone.clone() }).await, [3, 5, 9]);
    assert_eq!(list(RowFilter { outcome: Some(Outcome::Rejected), ..all() }).await, [12]);
    assert_eq!(list(RowFilter { warning: Some(Warning::PhoneRepeated), ..all() }).await, [5, 7]);
    assert_eq!(list(RowFilter { warning: Some(Warning::NikUnlikelyProvince), ..all() }).await, [7]);
    assert_eq!(list(RowFilter { warning: Some(Warning::PhoneRepeated), ..gone.clone() }).await, [5]);
    assert_eq!(list(RowFilter { unfinished: true, ..all() }).await, [4, 6, 7, 8, 10, 11]);
    assert_eq!(list(RowFilter { sheet_row: Some(7), ..all() }).await, [7]);
    assert!(list(RowFilter { sheet_row: Some(70), ..all() }).await.is_empty());
    let niks = vec![stage.nik_hash(9), stage.nik_hash(10)];
    assert_eq!(list(RowFilter { niks: niks.clone(), ..all() }).await, [9, 10]);
    assert_eq!(list(RowFilter { niks, ..gone }).await, [9]);
}

pub(super) async fn runs_are_paged_newest_first(stage: Stage) {
    let mut opened = Vec::new();
    for (on, who) in [("2026-11-24", 1), (ON, 2), ("2026-11-24", 3), ("2026-11-25", 4)] {
        opened.insert(0, stage.night(on, &[(2, who, 1), (3, who + 10, 1)]).await);
    }
    stage.finish(opened[1], 3, Outcome::SkippedNotFound).await;
    let list = async |page, limit| stage.ledger().run_page(JOB, page, limit).await.expect("runs");
    let names =
        |runs: &[shared::ledger::RunSummary]| runs.iter().map(|summary| summary.run.id).collect::<Vec<_>>();
    let first = list(Page::First, 3).await;
    assert_eq!(names(&first), opened[..3]);
    assert_eq!((first[1].tally.count(Outcome::SkippedNotFound), first[1].tally.open), (1, 1));
    let order = |at: usize| first[at].run.order;
    assert_eq!(names(&list(Page::After(order(1)), 3).await), opened[2..]);
    assert_eq!(names(&list(Page::Before(order(2)), 1).await), opened[1..2]);
    assert_eq!(names(&list(Page::Before(order(2)), 5).await), opened[..2]);
    assert!(stage.ledger().run_page("another job", Page::First, 3).await.expect("runs").is_empty());
    let by = stage.ledger().started_by(opened[0]).await.expect("a name");
    assert_eq!(by.as_deref(), Some("ops@scheduler"));
}

pub(super) async fn the_runs_of_a_stretch_of_dates(stage: Stage) {
    let last = stage.night("2026-11-30", &[(2, 1, 1)]).await;
    let first = stage.night("2026-11-01", &[(2, 2, 2)]).await;
    let again = stage.night("2026-11-01", &[(2, 3, 3)]).await;
    stage.night("2026-12-01", &[]).await;
    stage.night("2026-10-31", &[]).await;
    stage.finish(last, 2, Outcome::Updated).await;
    let between = async |job| {
        let runs = stage.ledger().runs_between(job, date("2026-11-01"), date("2026-11-30")).await;
        runs.expect("runs")
            .into_iter()
            .map(|summary| (summary.run.id, summary.tally.open))
            .collect::<Vec<_>>()
    };
    assert_eq!(between(JOB).await, [(first, 1), (again, 1), (last, 0)]);
    assert!(between("another job").await.is_empty());
}

pub(super) async fn a_history_of_failures_and_a_good_end(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    let history = async |row| stage.ledger().history(run, row).await.expect("a history");
    assert!(history(4).await.is_none());
    let fresh = history(2).await.expect("the row");
    assert!(fresh.ending.is_none() && fresh.attempts.is_empty() && fresh.intents.is_empty());
    let claimed = stage.take(key(run, 2), 0).await;
    stage.record(&claimed, retry(Duration::from_secs(1), true)).await;
    let claimed = stage.take(key(run, 2), 1).await;
    stage.record(&claimed, retry(Duration::from_secs(1), false)).await;
    let claimed = stage.take(key(run, 2), 2).await;
    stage.intend(&claimed, "sealed-id", "7").await;
    stage.record(&claimed, done(Outcome::Updated)).await;
    let told = history(2).await.expect("the row");
    assert_eq!(told.row.outcome, Some(Outcome::Updated));
    assert_eq!((told.requests, told.retries), (6, 3));
    let attempts: Vec<_> =
        told.attempts.iter().map(|attempt| (attempt.generation, attempt.last, attempt.counted)).collect();
    assert_eq!(attempts, [(1, false, true), (1, false, false)]);
    assert!(told.attempts.iter().all(|attempt| attempt.took == TOOK && attempt.error.contains("503")));
    assert_eq!(told.attempts[0].exchanges[0].operation, "search");
    let ending = told.ending.expect("it ended");
    assert_eq!((ending.took, ending.exchanges.len()), (TOOK, 1));
    assert!(told.attempts[0].at <= told.attempts[1].at && told.attempts[1].at <= ending.at);
    let intents: Vec<_> =
        told.intents.iter().map(|intent| (intent.generation, &*intent.patient, &*intent.version)).collect();
    assert_eq!(intents, [(1, "sealed-id", "7")]);
    assert!(told.dead_letters.is_empty() && told.generations.is_empty());
    assert!(history(3).await.expect("the row").attempts.is_empty(), "one row's history is not another's");
}

pub(super) async fn a_history_over_a_replay(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    stage.kill(key(run, 2), Reason::RejectedByServer).await;
    let replayed = stage.ledger().replay(Replay::default()).await.expect("to replay");
    let claimed = stage.take(replayed[0], 0).await;
    stage.record(&claimed, failed(Reason::PatientGone)).await;
    stage.bury(replayed[0]).await;
    let told = stage.ledger().history(run, 2).await.expect("a history").expect("the row");
    assert_eq!((told.row.key.generation, told.row.reason), (2, Some(Reason::PatientGone)));
    let generations: Vec<_> =
        told.generations.iter().map(|before| (before.generation, before.outcome, before.reason)).collect();
    assert_eq!(generations, [(1, Outcome::DeadLettered, Some(Reason::RejectedByServer))]);
    let attempts: Vec<_> = told.attempts.iter().map(|attempt| (attempt.generation, attempt.last)).collect();
    assert_eq!(attempts, [(1, true), (2, true)]);
    let letters: Vec<_> = told
        .dead_letters
        .iter()
        .map(|letter| (letter.key.generation, letter.replayed_at.is_some()))
        .collect();
    assert_eq!(letters, [(1, true), (2, false)]);
    let ending = told.ending.expect("it is dead-lettered");
    assert!(ending.at >= told.dead_letters[0].died_at && ending.exchanges.is_empty());
}

pub(super) async fn what_the_ledger_settles_has_an_end_too(stage: Stage) {
    let older = stage.night(ON, &[(2, 1, 1)]).await;
    let newer = stage.night("2026-11-24", &[(2, 1, 2)]).await;
    stage.finish(newer, 2, Outcome::Updated).await;
    stage.ask(key(older, 2), 0).await;
    let told = stage.ledger().history(older, 2).await.expect("a history").expect("the row");
    assert_eq!(told.row.outcome, Some(Outcome::Superseded));
    let ending = told.ending.expect("an end");
    assert!(ending.took.is_zero() && ending.exchanges.is_empty());
}

pub(super) async fn a_claim_that_was_given_back_is_no_attempt(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let claimed = stage.take(key(run, 2), 0).await;
    stage.record(&claimed, Settlement::Returned).await;
    let told = stage.ledger().history(run, 2).await.expect("a history").expect("the row");
    assert!(told.attempts.is_empty() && told.ending.is_none());
}

pub(super) async fn dead_letters_in_groups(stage: Stage) {
    let rows: Vec<_> = (2..8).map(|row| (row, row, row)).collect();
    let first = stage.night(ON, &rows).await;
    let second = stage.night("2026-11-24", &[(2, 100, 1)]).await;
    for sheet_row in 2..5 {
        stage.kill(key(first, sheet_row), Reason::WriteConflict).await;
    }
    stage.advance(LEASE).await;
    stage.kill(key(first, 5), Reason::PatientGone).await;
    stage.kill(key(second, 2), Reason::PatientGone).await;
    let groups = async |run| stage.ledger().dead_letter_groups(run).await.expect("groups");
    let counts = |groups: &[DeadLetterGroup]| {
        groups.iter().map(|group| (group.reason, group.open)).collect::<Vec<_>>()
    };
    let all = groups(None).await;
    assert_eq!(counts(&all), [(Reason::WriteConflict, 3), (Reason::PatientGone, 2)]);
    assert!(all[0].oldest <= all[0].newest && all[0].newest < all[1].oldest);
    assert_eq!(counts(&groups(Some(second)).await), [(Reason::PatientGone, 1)]);
    let only = Replay { reason: Some(Reason::WriteConflict), ..Replay::default() };
    stage.ledger().replay(only).await.expect("to replay");
    assert_eq!(counts(&groups(None).await), [(Reason::PatientGone, 2)]);
}

pub(super) async fn a_page_of_dead_letters(stage: Stage) {
    let rows: Vec<_> = (2..8).map(|row| (row, row, row)).collect();
    let run = stage.night(ON, &rows).await;
    let other = stage.night("2026-11-24", &[(2, 100, 1)]).await;
    for sheet_row in 2..8 {
        let reason = if sheet_row < 5 { Reason::WriteConflict } else { Reason::PatientGone };
        stage.kill(key(run, sheet_row), reason).await;
    }
    stage.kill(key(other, 2), Reason::WriteConflict).await;
    let list = async |filter: &DeadLetterFilter, page, limit| {
        stage.ledger().dead_letter_page(filter, page, limit).await.expect("dead letters")
    };
    let rows = |letters: &[shared::ledger::DeadLetterView]| {
        letters.iter().map(|letter| (letter.key.run, letter.key.sheet_row)).collect::<Vec<_>>()
    };
    let all = DeadLetterFilter::default();
    let first = list(&all, Page::First, 3).await;
    assert_eq!(rows(&first), [(run, 2), (run, 3), (run, 4)]);
    let next = list(&all, Page::After(first[2].number), 10).await;
    assert_eq!(rows(&next), [(run, 5), (run, 6), (run, 7), (other, 2)]);
    assert_eq!(rows(&list(&all, Page::Before(next[1].number), 2).await), [(run, 4), (run, 5)]);
    let conflicts = DeadLetterFilter { reason: Some(Reason::WriteConflict), open: true, ..all.clone() };
    assert_eq!(list(&conflicts, Page::First, 10).await.len(), 4);
    let of_other = DeadLetterFilter { run: Some(other), ..conflicts.clone() };
    assert_eq!(rows(&list(&of_other, Page::First, 10).await), [(other, 2)]);
    let of_nik = DeadLetterFilter { niks: vec![stage.nik_hash(6)], ..all.clone() };
    assert_eq!(rows(&list(&of_nik, Page::First, 10).await), [(run, 6)]);
    let only = Replay { rows: vec![key(run, 3)], ..Replay::default() };
    stage.ledger().replay(only).await.expect("to replay");
    assert_eq!(list(&conflicts, Page::First, 10).await.len(), 3);
    assert_eq!(list(&DeadLetterFilter { open: true, ..all.clone() }, Page::First, 10).await.len(), 6);
    assert_eq!(list(&all, Page::First, 10).await.len(), 7, "a replayed one is still there");
}

pub(super) async fn whose_data_was_in_hand_between_two_instants(stage: Stage) {
    // An instant that nothing else shares.
    let tick = async || {
        stage.advance(Duration::from_millis(10)).await;
        let now = stage.ledger().now().await.expect("a clock");
        stage.advance(Duration::from_millis(10)).await;
        now
    };
    let before = tick().await;
    let fence = stage.lock(ON, "producer").await;
    let run = stage.open(&fence, RunKind::Night, Selection::default()).await.id;
    let mut rows: Vec<_> = (2..6).map(|row| stage.row(run, row, row, row)).collect();
    rows.push(stage.rejected(run, 6, 6, None));
    stage.seed(&fence, run, 2..=6, rows).await;
    stage.complete(&fence, run).await;
    stage.ledger().unlock(&fence).await.expect("to unlock");
    let read = tick().await;
    stage.finish(run, 2, Outcome::Updated).await;
    stage.kill(key(run, 3), Reason::WriteConflict).await;
    stage.kill(key(run, 4), Reason::WriteConflict).await;
    let ended = tick().await;
    let quiet = tick().await;
    let only = Replay { rows: vec![key(run, 3)], ..Replay::default() };
    stage.ledger().replay(only).await.expect("to replay");
    let replayed = tick().await;
    let again = stage.take(RowKey { generation: 2, ..key(run, 3) }, 0).await;
    stage.record(&again, done(Outcome::Updated)).await;
    let end = tick().await;

    let handled = async |from, to| {
        let window = Window { from, to };
        let rows = stage.ledger().handled(run, window, 0, 10).await.expect("rows");
        for row in &rows {
            assert!(row.from <= to && row.until.is_none_or(|until| until >= from), "{row:?}");
            assert!(!row.sealed.is_empty());
        }
        rows.into_iter().map(|row| (row.key.sheet_row, row.until.is_none())).collect::<Vec<_>>()
    };
    let nobody = handled(before, before).await;
    assert!(nobody.is_empty(), "{nobody:?}");
    let all = [2, 3, 4, 5, 6].map(|row| (row, row == 5));
    assert_eq!(handled(before, end).await, all);
    assert_eq!(
        handled(read, read).await,
        [2, 3, 4, 5].map(|row| (row, row == 5)),
        "the rejected one had ended"
    );
    assert_eq!(handled(ended, quiet).await, [(5, true)], "between the night and the replay");
    assert_eq!(handled(replayed, end).await, [(3, false), (5, true)]);
    let window = Window { from: before, to: end };
    let page = stage.ledger().handled(run, window, 2, 2).await.expect("rows");
    assert_eq!(page.iter().map(|row| row.key.sheet_row).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(page[0].nik, Some(stage.nik_hash(3)));
}

pub(super) async fn acts_of_a_run_and_of_all(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let other = stage.night("2026-11-24", &[(2, 2, 2)]).await;
    let details = [
        ("start", serde_json::json!({ "run_id": run })),
        ("start", serde_json::json!({ "run_id": other })),
        ("replay", serde_json::json!({ "filter": {}, "count": 3, "runs": [other, run] })),
        ("reveal", serde_json::json!({ "run_id": run, "sheet_row": 2 })),
        ("replay", serde_json::json!({ "filter": {}, "count": 0 })),
    ];
    for (act, detail) in details {
        let act = Act { who: "ops@scheduler".into(), act: act.into(), detail };
        stage.ledger().note_act(act).await.expect("to note an act");
    }
    let list = async |run, page, limit| stage.ledger().acts(run, page, limit).await.expect("acts");
    let words = |acts: &[shared::ledger::NotedAct]| {
        acts.iter().map(|noted| noted.act.act.clone()).collect::<Vec<_>>()
    };
    let all = list(None, Page::First, 3).await;
    assert_eq!(words(&all), ["replay", "reveal", "replay"]);
    assert!(all.is_sorted_by(|later, earlier| later.number > earlier.number && later.at >= earlier.at));
    assert_eq!(all[2].act.detail["count"], 3);
    assert_eq!(words(&list(None, Page::After(all[2].number), 9).await), ["start", "start"]);
    assert_eq!(words(&list(None, Page::Before(all[2].number), 1).await), ["reveal"]);
    assert_eq!(words(&list(Some(run), Page::First, 9).await), ["reveal", "replay", "start"]);
    assert_eq!(words(&list(Some(other), Page::First, 9).await), ["replay", "start"]);
}

pub(super) async fn a_gate_tells_since_when(stage: Stage) {
    let shut = async |kind: GateKind| {
        let gate = Gate { kind, reason: "refused".into() };
        stage.ledger().shut_gate(&gate, LEASE).await.expect("to shut");
        stage.ledger().gate().await.expect("an answer").expect("it is shut").since
    };
    let since = shut(GateKind::Throttled).await;
    stage.advance(LEASE / 2).await;
    assert_eq!(shut(GateKind::Systemic).await, since, "it was shut all the time");
    stage.advance(LEASE * 2).await;
    assert!(shut(GateKind::Systemic).await > since, "it had lapsed in between");
}
