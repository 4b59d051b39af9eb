//! Replays: a new generation of a row that died.

use std::time::Duration;

use shared::domain::{Outcome, Reason};
use shared::ledger::{Claim, Recorded, Replay, RowKey, RunId, RunState};

use super::stage::{JOB, LEASE, Stage, date, done, key, retry, sheet_rows};

const ON: &str = "2026-11-23";
const NEXT: &str = "2026-11-24";

fn again(run: RunId, sheet_row: u32) -> RowKey {
    RowKey { generation: 2, ..key(run, sheet_row) }
}

async fn replay(stage: &Stage, replay: Replay) -> Vec<RowKey> {
    let mut opened = stage.ledger().replay(replay).await.expect("to replay");
    opened.sort();
    opened
}

/// Two runs with three dead letters each: rows 2 and 3 of the first two people, row 4 of the third.
async fn graveyard(stage: &Stage) -> (RunId, RunId) {
    let mut runs = Vec::new();
    for on in [ON, NEXT] {
        let run = stage.night(on, &[(2, 1, 1), (3, 2, 2), (4, 3, 3), (5, 4, 4)]).await;
        stage.kill(key(run, 2), Reason::AmbiguousPatient).await;
        stage.kill(key(run, 3), Reason::RetriesExhausted).await;
        stage.kill(key(run, 4), Reason::RetriesExhausted).await;
        runs.push(run);
    }
    (runs[0], runs[1])
}

pub(super) async fn a_replay_opens_one_new_generation(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    stage.kill(key(run, 2), Reason::RetriesExhausted).await;
    assert_eq!(replay(&stage, Replay::default()).await, [again(run, 2)]);
    assert!(replay(&stage, Replay::default()).await.is_empty(), "its dead letter is not open any more");
    let row = stage.view(run, 2).await;
    assert_eq!((row.key, row.outcome, row.state.as_str()), (again(run, 2), None, "pending"));
    let letters = stage.ledger().dead_letters(&Replay::default(), 0, 10).await.expect("dead letters");
    assert_eq!(letters.len(), 1, "the dead letter is kept");
    assert!(letters[0].replayed_at.is_some());
    assert_eq!(letters[0].key, key(run, 2));
    // It goes the way of every row.
    let due = stage.due().await;
    assert_eq!(due.iter().map(|message| message.key).collect::<Vec<_>>(), [again(run, 2), key(run, 3)]);
    let claimed = stage.take(again(run, 2), due[0].turn).await;
    assert_eq!(stage.record(&claimed, done(Outcome::Updated)).await, Recorded::Yes { turn: due[0].turn });
    assert_eq!(stage.outcome(run, 2).await, Some(Outcome::Updated));
}

pub(super) async fn two_replays_at_once_open_one_generation(stage: Stage) {
    let (first, second) = graveyard(&stage).await;
    let ledger = stage.ledger();
    let (one, other) = tokio::join!(ledger.replay(Replay::default()), ledger.replay(Replay::default()));
    let mut opened = [one.expect("to replay"), other.expect("to replay")].concat();
    opened.sort();
    let mut all: Vec<_> =
        [first, second].iter().flat_map(|run| [2, 3, 4].map(|row| again(*run, row))).collect();
    all.sort();
    assert_eq!(opened, all);
}

pub(super) async fn a_replayed_row_starts_afresh(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let claimed = stage.take(key(run, 2), 0).await;
    stage.record(&claimed, retry(Duration::from_secs(1), true)).await;
    let claimed = stage.take(key(run, 2), 1).await;
    stage.record(&claimed, super::stage::failed(Reason::RetriesExhausted)).await;
    stage.bury(key(run, 2)).await;
    assert_eq!(stage.view(run, 2).await.attempts, 2);
    replay(&stage, Replay::default()).await;
    let row = stage.view(run, 2).await;
    assert_eq!((row.attempts, row.reason, row.found), (0, None, None));
    let due = stage.due().await;
    let fresh = stage.take(due[0].key, due[0].turn).await;
    assert_eq!((fresh.attempts, &fresh.intent), (0, &None));
    assert!(fresh.epoch > claimed.epoch, "a record of the former generation must not pass for one of this");
    assert_eq!(stage.record(&claimed, done(Outcome::Updated)).await, Recorded::Refused);
    stage.bury(key(run, 2)).await;
    assert_eq!(stage.view(run, 2).await.state, "claimed", "a burial of the former generation is late");
}

pub(super) async fn a_replayed_row_counts_once_by_its_newest_generation(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    stage.kill(key(run, 2), Reason::RetriesExhausted).await;
    stage.finish(run, 3, Outcome::Updated).await;
    let tally = stage.ledger().tally(run).await.expect("a tally");
    assert_eq!((tally.count(Outcome::DeadLettered), tally.count(Outcome::Updated), tally.open), (1, 1, 0));
    replay(&stage, Replay::default()).await;
    let tally = stage.ledger().tally(run).await.expect("a tally");
    assert_eq!((tally.count(Outcome::DeadLettered), tally.open, tally.selected()), (0, 1, 2));
    let claimed = stage.take(again(run, 2), 0).await;
    stage.record(&claimed, done(Outcome::Unchanged)).await;
    let tally = stage.ledger().tally(run).await.expect("a tally");
    assert_eq!((tally.count(Outcome::Unchanged), tally.reasons.len(), tally.selected()), (1, 0, 2));
}

pub(super) async fn a_replayed_row_can_die_again(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    for generation in 1..=3 {
        stage.kill(RowKey { generation, ..key(run, 2) }, Reason::WriteConflict).await;
        let letters = stage.ledger().dead_letters(&Replay::default(), 0, 10).await.expect("dead letters");
        assert_eq!(letters.len() as u32, generation);
        let open: Vec<_> = letters.iter().filter(|letter| letter.replayed_at.is_none()).collect();
        assert_eq!((open.len(), open[0].key.generation), (1, generation));
        let opened = replay(&stage, Replay::default()).await;
        assert_eq!(opened, [RowKey { generation: generation + 1, ..key(run, 2) }]);
    }
}

pub(super) async fn a_replay_is_narrowed_by_nik(stage: Stage) {
    let (first, second) = graveyard(&stage).await;
    let niks = vec![stage.nik_hash(3), stage.nik_hash(99)];
    let opened = replay(&stage, Replay { niks, ..Replay::default() }).await;
    let mut expected = [again(first, 4), again(second, 4)];
    expected.sort();
    assert_eq!(opened, expected);
}

pub(super) async fn a_replay_is_narrowed_by_date(stage: Stage) {
    let (first, second) = graveyard(&stage).await;
    let between = |from, to| Replay { from, to, ..Replay::default() };
    assert!(replay(&stage, between(Some(date("2026-11-25")), None)).await.is_empty());
    assert!(replay(&stage, between(None, Some(date("2026-11-22")))).await.is_empty());
    let opened = replay(&stage, between(Some(date(ON)), Some(date(ON)))).await;
    assert_eq!(opened, [2, 3, 4].map(|row| again(first, row)));
    let opened = replay(&stage, between(None, Some(date("2026-11-30")))).await;
    assert_eq!(opened, [2, 3, 4].map(|row| again(second, row)));
}

pub(super) async fn a_replay_is_narrowed_by_reason(stage: Stage) {
    let (first, second) = graveyard(&stage).await;
    let replay_for = Replay { reason: Some(Reason::AmbiguousPatient), ..Replay::default() };
    let opened = replay(&stage, replay_for).await;
    let mut expected = [again(first, 2), again(second, 2)];
    expected.sort();
    assert_eq!(opened, expected);
}

pub(super) async fn a_replay_is_narrowed_by_row(stage: Stage) {
    let (first, second) = graveyard(&stage).await;
    let rows = vec![key(first, 3), key(second, 4), key(second, 5), again(second, 2)];
    let narrow = Replay { rows, ..Replay::default() };
    // The list that an operator is shown first is narrowed alike.
    let shown = stage.ledger().dead_letters(&narrow, 0, 10).await.expect("dead letters");
    assert_eq!(shown.iter().map(|letter| letter.key).collect::<Vec<_>>(), [key(first, 3), key(second, 4)]);
    let opened = replay(&stage, narrow).await;
    let mut expected = [again(first, 3), again(second, 4)];
    expected.sort();
    assert_eq!(opened, expected);
}

pub(super) async fn a_replayed_row_can_be_superseded(stage: Stage) {
    let older = stage.night(ON, &[(2, 1, 1)]).await;
    stage.kill(key(older, 2), Reason::RetriesExhausted).await;
    let newer = stage.night(NEXT, &[(2, 1, 2)]).await;
    stage.finish(newer, 2, Outcome::Updated).await;
    replay(&stage, Replay::default()).await;
    let claim = stage.ask(again(older, 2), 0).await;
    assert!(matches!(claim, Claim::Settled(Some(Outcome::Superseded))), "{claim:?}");
}

pub(super) async fn a_replay_leaves_the_run_closed(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    stage.kill(key(run, 2), Reason::RetriesExhausted).await;
    assert!(stage.close(run).await);
    let closed = stage.ledger().run(run).await.expect("a run");
    replay(&stage, Replay::default()).await;
    assert_eq!(stage.ledger().run(run).await.expect("a run"), closed);
    assert!(closed.is_some_and(|run| run.state == RunState::Closed));
    assert!(!stage.ledger().is_settled(run).await.expect("an answer"));
    assert_eq!(sheet_rows(&stage.due().await), [2], "rows of closed runs are swept too");
    let claimed = stage.take(again(run, 2), 0).await;
    stage.record(&claimed, done(Outcome::Updated)).await;
    assert!(stage.ledger().is_settled(run).await.expect("an answer"));
    assert!(!stage.close(run).await, "it was closed before");
}

/// A replay that was killed left its rows to nobody: no open dead letters any more, and a run that nothing carried
/// on.
pub(super) async fn a_replay_under_way_leaves_its_run_unfinished(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    stage.kill(key(run, 2), Reason::RetriesExhausted).await;
    assert!(stage.close(run).await);
    let unfinished = async || stage.ledger().unfinished_runs(JOB, Some(date(ON))).await.expect("runs");
    assert!(unfinished().await.is_empty());
    replay(&stage, Replay::default()).await;
    let under_way = unfinished().await;
    assert_eq!(
        under_way.iter().map(|run| (run.id, run.state)).collect::<Vec<_>>(),
        [(run, RunState::Closed)]
    );
    let claimed = stage.take(again(run, 2), 0).await;
    stage.record(&claimed, done(Outcome::Updated)).await;
    assert!(unfinished().await.is_empty());
}

/// Found by reading: A was applied, B died, A was said again and skipped; the replay of B overwrote the newer A.
pub(super) async fn a_number_said_again_is_newer_than_a_dead_letter_before_it(stage: Stage) {
    let first = stage.night(ON, &[(2, 1, 1)]).await;
    stage.finish(first, 2, Outcome::Updated).await;
    let second = stage.night(ON, &[(2, 1, 2)]).await;
    stage.kill(key(second, 2), Reason::RejectedByServer).await;
    let third = stage.night(ON, &[(2, 1, 1)]).await;
    let skipped = stage.ask(key(third, 2), 0).await;
    assert!(matches!(skipped, Claim::Settled(Some(Outcome::SkippedAlreadyApplied))), "{skipped:?}");
    replay(&stage, Replay::default()).await;
    let too_late = stage.ask(again(second, 2), 0).await;
    assert!(matches!(too_late, Claim::Settled(Some(Outcome::Superseded))), "{too_late:?}");
}

pub(super) async fn the_newest_replays_tell_how_far_they_are(stage: Stage) {
    let (first, second) = graveyard(&stage).await;
    let begins = stage.ledger().now().await.expect("the time");
    let newest = async || stage.ledger().replays(begins, 2).await.expect("replays");
    assert!(newest().await.is_empty());
    let of = |reason| Replay { reason: Some(reason), ..Replay::default() };
    replay(&stage, of(Reason::AmbiguousPatient)).await;
    stage.advance(LEASE).await;
    replay(&stage, of(Reason::RetriesExhausted)).await;
    let begun = newest().await;
    assert_eq!(begun.iter().map(|one| (one.rows(), one.open)).collect::<Vec<_>>(), [(4, 4), (2, 2)]);
    assert!(begun[0].at > begun[1].at);
    assert_eq!(stage.ledger().replays(begun[0].at, 2).await.expect("replays"), begun[..1]);
    assert_eq!(begun[0].runs, [(first, date(ON)), (second, date(NEXT))]);

    let claimed = stage.take(again(first, 3), 0).await;
    stage.record(&claimed, done(Outcome::Updated)).await;
    stage.kill(again(first, 4), Reason::RetriesExhausted).await;
    let told = newest().await;
    let ended = [(Outcome::Updated, 1), (Outcome::DeadLettered, 1)];
    assert_eq!((&told[0].outcomes, told[0].open, told[0].rows()), (&ended.into(), 2, 4));
    assert_eq!(told[1], begun[1], "each counts its own");

    // What died again is replayed again: that is another replay's.
    stage.advance(LEASE).await;
    replay(&stage, of(Reason::RetriesExhausted)).await;
    let told = newest().await;
    assert_eq!((told[0].rows(), told[0].open, told[0].runs.len()), (1, 1, 1));
    assert_eq!((&told[1].outcomes, told[1].open), (&ended.into(), 2));
}
