//! The snapshot: what is seeded, cut, and decided about equal and conflicting rows before anything is published.

use shared::domain::{Column, Outcome, Reason, Warning};
use shared::ledger::{
    LedgerError, RowFilter, RowView, RunId, RunKind, RunState, Seeded, Selection, Snapshot,
};

use super::stage::{JOB, Stage, date, key, sheet_rows};

const ON: &str = "2026-11-23";

async fn rows(stage: &Stage, run: RunId) -> Vec<RowView> {
    stage.ledger().rows(run, &RowFilter::default(), 0, 1_000).await.expect("rows")
}

fn ends(rows: &[RowView]) -> Vec<(u32, Option<Outcome>, Option<Reason>)> {
    rows.iter().map(|row| (row.key.sheet_row, row.outcome, row.reason)).collect()
}

/// Outcome and reason.
type End = (Option<Outcome>, Option<Reason>);

const OPEN: End = (None, None);
const DUPLICATE: End = (Some(Outcome::DuplicateRow), None);
const CONFLICT: End = (Some(Outcome::Rejected), Some(Reason::ConflictingRows));
const REJECTED: End = (Some(Outcome::Rejected), Some(Reason::PhoneInvalid));

async fn assert_ends(stage: &Stage, run: RunId, expected: &[(u32, End)]) {
    let expected: Vec<_> = expected.iter().map(|&(row, (outcome, reason))| (row, outcome, reason)).collect();
    assert_eq!(ends(&rows(stage, run).await), expected);
}

pub(super) async fn runs_are_ordered_as_they_are_opened(stage: Stage) {
    let mut orders = Vec::new();
    for on in ["2026-11-23", "2026-11-22", "2026-11-23", "2026-11-25"] {
        let fence = stage.lock(on, "producer").await;
        orders.push(stage.open(&fence, RunKind::Night, Selection::default()).await.order);
    }
    assert!(orders.is_sorted_by(|earlier, later| earlier < later), "{orders:?}");
}

pub(super) async fn a_run_is_remembered_as_it_was_opened(stage: Stage) {
    let fence = stage.lock(ON, "producer").await;
    let niks = vec![stage.nik_hash(1).to_string(), stage.nik_hash(2).to_string()];
    let selection = Selection { limit: Some(7), niks, reapply: true };
    let opened = stage.open(&fence, RunKind::DryRun, selection.clone()).await;
    assert_eq!((opened.job.as_str(), opened.date, opened.kind), (JOB, date(ON), RunKind::DryRun));
    assert_eq!((&opened.selection, opened.source.as_str()), (&selection, "google-sheets"));
    assert_eq!((opened.state, opened.snapshot_at, opened.closed_at), (RunState::Seeding, None, None));
    assert_eq!(stage.ledger().run(opened.id).await.expect("a run").as_ref(), Some(&opened));

    let snapshot = Snapshot { rows_read: 31_000, changed_while_read: true };
    stage.ledger().complete_snapshot(&fence, opened.id, snapshot).await.expect("to complete");
    let complete = stage.ledger().run(opened.id).await.expect("a run").expect("it is there");
    assert_eq!(
        (complete.state, complete.rows_read, complete.changed_while_read),
        (RunState::Open, 31_000, true)
    );
    assert!(complete.snapshot_at.is_some_and(|at| at >= opened.started_at));
    assert_eq!(
        (complete.order, &complete.selection, complete.started_at),
        (opened.order, &selection, opened.started_at)
    );
}

pub(super) async fn seeding_again_replaces_the_range(stage: Stage) {
    let fence = stage.lock(ON, "producer").await;
    let run = stage.open(&fence, RunKind::Night, Selection::default()).await.id;
    let seeded = |sheet_rows: &[u32], which| {
        sheet_rows.iter().map(|&sheet_row| stage.row(run, sheet_row, sheet_row, which)).collect::<Vec<_>>()
    };
    stage.seed(&fence, run, 2..=10, seeded(&[2, 5, 10], 1)).await;
    stage.seed(&fence, run, 11..=20, seeded(&[11, 20], 1)).await;
    // The range was read again: a row went away, one came, one changed; its neighbours stay.
    let mut again = seeded(&[6, 10], 2);
    again[0].warnings = vec![Warning::PhoneRepeated, Warning::NikUnlikelyProvince];
    stage.seed(&fence, run, 3..=10, again).await;
    let rows = rows(&stage, run).await;
    assert_eq!(rows.iter().map(|row| row.key.sheet_row).collect::<Vec<_>>(), [2, 6, 10, 11, 20]);
    assert_eq!(rows[1].warnings, [Warning::PhoneRepeated, Warning::NikUnlikelyProvince]);
    assert_eq!(rows[1].nik, Some(stage.nik_hash(6)));
    // The first came for number 1, the changed one for number 2.
    let open = |at: usize| {
        shared::payload::Payload::open(stage.keys(), &rows[at].key, &rows[at].sealed).expect("ours")
    };
    assert_eq!(open(0).number, Some(super::number(1)));
    assert_eq!(open(2).number, Some(super::number(2)));
    stage.seed(&fence, run, 11..=20, Vec::new()).await;
    assert_eq!(stage.ledger().tally(run).await.expect("a tally").open, 3);
}

pub(super) async fn nothing_is_seeded_into_a_complete_snapshot(stage: Stage) {
    let fence = stage.lock(ON, "producer").await;
    let run = stage.open(&fence, RunKind::Night, Selection::default()).await.id;
    stage.seed(&fence, run, 2..=2, vec![stage.row(run, 2, 1, 1)]).await;
    stage.complete(&fence, run).await;
    let late = Seeded { range: 2..=3, rows: vec![stage.row(run, 3, 2, 2)] };
    assert!(stage.ledger().seed(&fence, run, late).await.is_err());
    assert_ends(&stage, run, &[(2, OPEN)]).await;
}

pub(super) async fn completing_again_changes_nothing(stage: Stage) {
    let fence = stage.lock(ON, "producer").await;
    let run = stage.open(&fence, RunKind::Night, Selection::default()).await.id;
    stage.seed(&fence, run, 2..=2, vec![stage.row(run, 2, 1, 1)]).await;
    stage.complete(&fence, run).await;
    let before = stage.ledger().run(run).await.expect("a run");
    let other = Snapshot { rows_read: 5, changed_while_read: true };
    stage.ledger().complete_snapshot(&fence, run, other).await.expect("nothing to do is no error");
    assert_eq!(stage.ledger().run(run).await.expect("a run"), before);
}

pub(super) async fn a_limit_keeps_the_first_rows_of_the_sheet(stage: Stage) {
    let fence = stage.lock(ON, "producer").await;
    let selection = Selection { limit: Some(3), ..Selection::default() };
    let run = stage.open(&fence, RunKind::Night, selection).await.id;
    // Ranges may arrive in any order; rejected rows are selected rows too.
    stage.seed(&fence, run, 11..=20, vec![stage.row(run, 11, 4, 4), stage.row(run, 12, 5, 5)]).await;
    stage.seed(&fence, run, 2..=10, vec![stage.row(run, 3, 1, 1), stage.rejected(run, 9, 2, None)]).await;
    stage.complete(&fence, run).await;
    assert_ends(&stage, run, &[(3, OPEN), (9, REJECTED), (11, OPEN)]).await;
    assert_eq!(sheet_rows(&stage.due().await), [3, 11]);
}

/// A row is not right because the one that contradicts it lies beyond the limit.
pub(super) async fn a_limit_cuts_after_conflicts_are_decided(stage: Stage) {
    let selection = Selection { limit: Some(1), ..Selection::default() };
    let run = stage.run_of(ON, RunKind::Night, selection, &[(2, 1, 1), (3, 1, 2)]).await;
    assert_ends(&stage, run, &[(2, CONFLICT)]).await;
}

pub(super) async fn different_numbers_for_one_nik_reject_all_its_rows(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 9), (4, 1, 2), (5, 1, 3)]).await;
    assert_ends(&stage, run, &[(2, CONFLICT), (3, OPEN), (4, CONFLICT), (5, CONFLICT)]).await;
    let row = stage.view(run, 4).await;
    assert_eq!(row.column, Some(Column::Phone));
    assert_eq!((row.state.as_str(), row.attempts), ("done", 0));
    // What was found names the rows to compare, and nobody's number.
    let found = row.found.expect("what was found");
    assert!(["2", "4", "5"].iter().all(|row| found.contains(row)), "{found}");
}

pub(super) async fn the_first_of_equal_rows_stands_for_the_others(stage: Stage) {
    let run = stage.night(ON, &[(20, 1, 1), (3, 1, 1), (7, 1, 1), (4, 2, 2)]).await;
    assert_ends(&stage, run, &[(3, OPEN), (4, OPEN), (7, DUPLICATE), (20, DUPLICATE)]).await;
}

pub(super) async fn two_equal_rows_and_a_different_one_are_all_rejected(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 1, 1), (4, 1, 2), (5, 2, 1), (6, 2, 1)]).await;
    let expected = [(2, CONFLICT), (3, CONFLICT), (4, CONFLICT), (5, OPEN), (6, DUPLICATE)];
    assert_ends(&stage, run, &expected).await;
}

pub(super) async fn rejected_rows_are_nobodys_duplicates(stage: Stage) {
    let fence = stage.lock(ON, "producer").await;
    let run = stage.open(&fence, RunKind::Night, Selection::default()).await.id;
    let rows = vec![
        stage.rejected(run, 2, 1, Some(1)),
        stage.row(run, 3, 1, 1),
        stage.row(run, 4, 1, 1),
        stage.rejected(run, 5, 2, Some(3)),
        stage.row(run, 6, 2, 2),
        stage.rejected(run, 7, 3, None),
        stage.rejected(run, 8, 3, None),
    ];
    stage.seed(&fence, run, 2..=8, rows).await;
    stage.complete(&fence, run).await;
    let expected =
        [(2, REJECTED), (3, OPEN), (4, DUPLICATE), (5, REJECTED), (6, OPEN), (7, REJECTED), (8, REJECTED)];
    assert_ends(&stage, run, &expected).await;
    let row = stage.view(run, 2).await;
    assert_eq!((row.column, row.found.as_deref()), (Some(Column::Phone), Some("08**")));
}

pub(super) async fn one_number_for_two_niks_is_no_conflict(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 1)]).await;
    assert_ends(&stage, run, &[(2, OPEN), (3, OPEN)]).await;
}

pub(super) async fn runs_do_not_make_each_others_duplicates(stage: Stage) {
    let first = stage.night(ON, &[(2, 1, 1)]).await;
    let second = stage.night(ON, &[(2, 1, 1), (3, 1, 1)]).await;
    let third = stage.night(ON, &[(2, 1, 2)]).await;
    assert_ends(&stage, first, &[(2, OPEN)]).await;
    assert_ends(&stage, second, &[(2, OPEN), (3, DUPLICATE)]).await;
    assert_ends(&stage, third, &[(2, OPEN)]).await;
}

pub(super) async fn an_empty_sheet_is_a_whole_run(stage: Stage) {
    let run = stage.night(ON, &[]).await;
    assert!(stage.due_when_idle().await.is_empty());
    assert!(stage.ledger().is_settled(run).await.expect("an answer"));
    assert!(stage.close(run).await);
    assert_eq!(stage.ledger().tally(run).await.expect("a tally").selected(), 0);
}

pub(super) async fn a_bad_seed_leaves_the_snapshot_as_it_was(stage: Stage) {
    let fence = stage.lock(ON, "producer").await;
    let run = stage.open(&fence, RunKind::Night, Selection::default()).await.id;
    stage.seed(&fence, run, 2..=3, vec![stage.row(run, 2, 1, 1), stage.row(run, 3, 2, 2)]).await;
    // One sheet row twice: no reader may hand this over, and half of it must not stay.
    let twice = Seeded { range: 2..=3, rows: vec![stage.row(run, 3, 4, 4), stage.row(run, 3, 5, 5)] };
    let refused = stage.ledger().seed(&fence, run, twice).await;
    assert!(matches!(refused, Err(LedgerError::Database { .. })), "{refused:?}");
    let rows = rows(&stage, run).await;
    let niks: Vec<_> = rows.iter().map(|row| (row.key.sheet_row, row.nik.clone())).collect();
    assert_eq!(niks, [(2, Some(stage.nik_hash(1))), (3, Some(stage.nik_hash(2)))]);
}

pub(super) async fn a_dry_run_can_be_abandoned_and_a_night_cannot(stage: Stage) {
    let fence = stage.lock(ON, "producer").await;
    for (kind, becomes, left) in
        [(RunKind::DryRun, RunState::Abandoned, 0), (RunKind::Night, RunState::Open, 1)]
    {
        let run = stage.open(&fence, kind, Selection::default()).await.id;
        stage.seed(&fence, run, 2..=2, vec![stage.row(run, 2, 1, 1)]).await;
        stage.complete(&fence, run).await;
        stage.ledger().abandon_run(&fence, run).await.expect("an answer");
        let state = stage.ledger().run(run).await.expect("a run").map(|run| run.state);
        assert_eq!(state, Some(becomes), "{kind}");
        assert_eq!(stage.take_due(Some(run), 10, true).await.len(), left, "{kind}");
        assert_eq!(stage.ledger().unfinished_runs(JOB, None).await.expect("runs").len(), left, "{kind}");
        assert!(!stage.close(run).await, "{kind}");
        assert_eq!(stage.view(run, 2).await.key, key(run, 2));
    }
}
