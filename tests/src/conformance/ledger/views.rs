//! The side that is looked at: lists, pages, filters and counts.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::domain::{Outcome, Reason, Warning};
use shared::ledger::{
    Act, Claim, ClaimRequest, Notice, Progress, Replay, RowFilter, RunId, RunKind, Selection, Settlement,
    Tally,
};
use uuid::Uuid;

use super::stage::{JOB, LEASE, Stage, closing, date, done, failed, key, plain, retry};

const ON: &str = "2026-11-23";

pub(super) async fn a_run_nobody_opened_is_not_there(stage: Stage) {
    let ledger = stage.ledger();
    let nobody = RunId(Uuid::nil());
    assert_eq!(ledger.run(nobody).await.expect("an answer"), None);
    assert_eq!(ledger.tally(nobody).await.expect("an answer"), Tally::default());
    assert_eq!(ledger.progress(nobody).await.expect("an answer"), Progress::default());
    assert!(!ledger.is_settled(nobody).await.expect("an answer"));
    assert!(!ledger.close_run(nobody, &closing()).await.expect("an answer"));
    assert!(ledger.rows(nobody, &RowFilter::default(), 0, 10).await.expect("an answer").is_empty());
    assert!(ledger.dead_letters(&Replay::default(), 0, 10).await.expect("an answer").is_empty());
    assert!(ledger.runs(JOB, None, 10).await.expect("an answer").is_empty());
}

pub(super) async fn unfinished_runs_come_oldest_date_first(stage: Stage) {
    let second = stage.night("2026-11-24", &[(2, 1, 1)]).await;
    let first = stage.night(ON, &[(2, 2, 2)]).await;
    let third = stage.run_of("2026-11-24", RunKind::DryRun, Selection::default(), &[]).await;
    let closed = stage.night("2026-11-22", &[]).await;
    assert!(stage.close(closed).await);
    let fence = stage.lock("2026-11-25", "producer").await;
    let seeding = stage.open(&fence, RunKind::Night, Selection::default()).await.id;
    let unfinished = async |job, on: Option<&str>| {
        let runs = stage.ledger().unfinished_runs(job, on.map(date)).await.expect("runs");
        runs.iter().map(|run| run.id).collect::<Vec<_>>()
    };
    assert_eq!(unfinished(JOB, None).await, [first, second, third, seeding]);
    assert_eq!(unfinished(JOB, Some("2026-11-24")).await, [second, third]);
    assert!(unfinished(JOB, Some("2026-11-22")).await.is_empty());
    assert!(unfinished("another job", None).await.is_empty());
}

pub(super) async fn runs_come_newest_first(stage: Stage) {
    let mut opened = Vec::new();
    for (on, who) in [("2026-11-24", 1), (ON, 2), ("2026-11-24", 3)] {
        opened.insert(0, stage.night(on, &[(2, who, 1), (3, who + 10, 1)]).await);
    }
    stage.finish(opened[0], 3, Outcome::SkippedNotFound).await;
    let runs = stage.ledger().runs(JOB, None, 10).await.expect("runs");
    assert_eq!(runs.iter().map(|summary| summary.run.id).collect::<Vec<_>>(), opened);
    assert_eq!(runs[0].tally.count(Outcome::SkippedNotFound), 1);
    assert_eq!((runs[0].tally.open, runs[1].tally.open), (1, 2));
    let limited = stage.ledger().runs(JOB, None, 2).await.expect("runs");
    assert_eq!(limited.iter().map(|summary| summary.run.id).collect::<Vec<_>>(), opened[..2]);
    let dated = stage.ledger().runs(JOB, Some(date(ON)), 10).await.expect("runs");
    assert_eq!(dated.iter().map(|summary| summary.run.id).collect::<Vec<_>>(), opened[1..2]);
    assert!(stage.ledger().runs("another job", None, 10).await.expect("runs").is_empty());
}

pub(super) async fn a_job_stands_by_its_newest_night_and_its_last_whole_success(stage: Stage) {
    let standing = async |job| stage.ledger().standing(job).await.expect("an answer");
    let nothing = standing(JOB).await;
    assert!(nothing.newest.is_none() && nothing.last_success.is_none());
    assert_eq!((nothing.dead_letters_open, nothing.overlaps_refused), (0, 0));

    let whole = stage.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    stage.finish(whole, 3, Outcome::Updated).await;
    assert_eq!(standing(JOB).await.last_success, None, "it is not closed yet");
    let claimed = stage.take(key(whole, 2), 0).await;
    stage.record(&claimed, failed(Reason::PatientGone)).await;
    stage.bury(key(whole, 2)).await;
    assert!(stage.close(whole).await);
    let stands = standing(JOB).await;
    let newest = stands.newest.expect("a night");
    assert_eq!(newest.run.id, whole);
    assert_eq!((newest.tally.count(Outcome::Updated), newest.tally.count(Outcome::DeadLettered)), (1, 1));
    assert_eq!((stands.last_success, stands.dead_letters_open), (newest.run.closed_at, 1));
    assert!(stands.last_success.is_some());

    // A part of a night is the newest, and no success of the whole; a dry run is neither.
    let limited = Selection { limit: Some(1), ..Selection::default() };
    let part = stage.run_of("2026-11-24", RunKind::Night, limited, &[]).await;
    assert!(stage.close(part).await);
    let dry_run = stage.run_of("2026-11-25", RunKind::DryRun, Selection::default(), &[]).await;
    assert!(stage.close(dry_run).await);
    for who in ["one", "one", "another"] {
        let notice = Notice {
            key: format!("overlap:{JOB}:{ON}:{who}"),
            kind: "overlap_refused".into(),
            text: "refused".into(),
            detail: serde_json::Value::Null,
        };
        stage.ledger().post_notice(&notice).await.expect("to note it");
    }
    let after = standing(JOB).await;
    assert_eq!(after.newest.map(|summary| summary.run.id), Some(part));
    assert_eq!((after.last_success, after.overlaps_refused), (stands.last_success, 2));

    let replayed = stage.ledger().replay(Replay::default()).await.expect("to replay");
    assert_eq!((replayed.len(), standing(JOB).await.dead_letters_open), (1, 0));
    let other = standing("another job").await;
    assert!(other.newest.is_none() && other.last_success.is_none() && other.overlaps_refused == 0);
}

pub(super) async fn the_rows_that_ended_last_are_counted_over_nights(stage: Stage) {
    let standing = async |job| stage.ledger().standing(job).await.expect("an answer");
    assert!(standing(JOB).await.recent.is_empty());
    let fence = stage.lock("2026-11-22", "producer").await;
    let early = stage.open(&fence, RunKind::Night, Selection::default()).await.id;
    // What the snapshot decides says nothing of how rows fare.
    let mut rows = vec![stage.rejected(early, 2, 1, None), stage.row(early, 3, 2, 2)];
    rows.extend([stage.row(early, 4, 3, 3), stage.row(early, 5, 3, 3)]);
    stage.seed(&fence, early, 2..=5, rows).await;
    stage.complete(&fence, early).await;
    assert_eq!((standing(JOB).await.recent, standing(JOB).await.last_ended), (BTreeMap::new(), None));
    stage.kill(key(early, 3), Reason::PatientGone).await;
    let dead = BTreeMap::from([(Outcome::DeadLettered, 1)]);
    let stands = standing(JOB).await;
    assert_eq!(stands.recent, dead);
    let first_end = stands.last_ended.expect("a row ended");

    let late = stage.night(ON, &[(2, 11, 11), (3, 12, 12), (4, 13, 13)]).await;
    let stands = standing(JOB).await;
    assert_eq!((stands.recent, stands.last_ended), (dead, None), "no row of the newest night ended");
    stage.advance(Duration::from_secs(60)).await;
    stage.finish(late, 2, Outcome::Updated).await;
    stage.finish(late, 3, Outcome::Updated).await;
    let dry = stage.run_of(ON, RunKind::DryRun, Selection::default(), &[(2, 21, 21)]).await;
    stage.finish(dry, 2, Outcome::Unchanged).await;
    let stands = standing(JOB).await;
    assert_eq!(stands.recent, BTreeMap::from([(Outcome::DeadLettered, 1), (Outcome::Updated, 2)]));
    assert!(stands.last_ended > Some(first_end), "{:?}", stands.last_ended);
    stage.ledger().replay(Replay::default()).await.expect("to replay");
    assert_eq!(standing(JOB).await.recent, BTreeMap::from([(Outcome::Updated, 2)]), "it is open again");
    assert!(standing("another job").await.recent.is_empty());
}

pub(super) async fn no_more_than_a_thousand_rows_are_recent(stage: Stage) {
    let rows =
        |whose: u32, of: u32| (0..of).map(|row| (row + 2, row + whose, row + whose)).collect::<Vec<_>>();
    let end_all = async |run, of: u32, settlement: Settlement| {
        let requests: Vec<_> =
            (0..of).map(|row| ClaimRequest { key: key(run, row + 2), turn: 0, alone: false }).collect();
        let claims = stage.ledger().claim(&requests, LEASE).await.expect("to claim");
        let records: Vec<_> = claims
            .iter()
            .map(|claim| match claim {
                Claim::Ours(claimed) => plain(claimed, settlement.clone()),
                other => panic!("it was not claimed: {other:?}"),
            })
            .collect();
        stage.ledger().record(&records).await.expect("to record");
    };
    let early = stage.night("2026-11-22", &rows(1, 900)).await;
    end_all(early, 900, done(Outcome::Unchanged)).await;
    stage.advance(Duration::from_secs(60)).await;
    let late = stage.night(ON, &rows(2_001, 998)).await;
    end_all(late, 998, done(Outcome::Updated)).await;
    let recent = async || stage.ledger().standing(JOB).await.expect("an answer").recent;
    assert_eq!(recent().await, BTreeMap::from([(Outcome::Updated, 998), (Outcome::Unchanged, 2)]));
    stage.advance(Duration::from_secs(60)).await;
    let newest = stage.night("2026-11-24", &rows(4_001, 3)).await;
    end_all(newest, 3, done(Outcome::SkippedNotFound)).await;
    let expected = BTreeMap::from([(Outcome::Updated, 997), (Outcome::SkippedNotFound, 3)]);
    assert_eq!(recent().await, expected);
}

pub(super) async fn rows_are_paged_and_filtered(stage: Stage) {
    let rows: Vec<_> = (2..22).map(|row| (row, row, row)).collect();
    let run = stage.night(ON, &rows).await;
    stage.night("2026-11-24", &rows).await;
    for sheet_row in [4, 7, 19] {
        stage.finish(run, sheet_row, Outcome::Updated).await;
    }
    stage.kill(key(run, 9), Reason::PatientGone).await;
    stage.kill(key(run, 10), Reason::PatientInactive).await;
    let list = async |filter: RowFilter, after, limit| {
        let rows = stage.ledger().rows(run, &filter, after, limit).await.expect("rows");
        rows.iter().map(|row| row.key.sheet_row).collect::<Vec<_>>()
    };
    let all = RowFilter::default;
    assert_eq!(list(all(), 0, 5).await, [2, 3, 4, 5, 6]);
    assert_eq!(list(all(), 6, 5).await, [7, 8, 9, 10, 11]);
    assert_eq!(list(all(), 18, 5).await, [19, 20, 21]);
    assert!(list(all(), 21, 5).await.is_empty());
    assert!(list(all(), 0, 0).await.is_empty());
    let updated = RowFilter { outcome: Some(Outcome::Updated), ..all() };
    assert_eq!(list(updated.clone(), 0, 2).await, [4, 7]);
    assert_eq!(list(updated.clone(), 7, 2).await, [19]);
    assert_eq!(list(RowFilter { outcome: Some(Outcome::DeadLettered), ..all() }, 0, 10).await, [9, 10]);
    assert_eq!(list(RowFilter { reason: Some(Reason::PatientInactive), ..all() }, 0, 10).await, [10]);
    let niks = vec![stage.nik_hash(19), stage.nik_hash(20), stage.nik_hash(500)];
    assert_eq!(list(RowFilter { niks: niks.clone(), ..all() }, 0, 10).await, [19, 20]);
    assert_eq!(list(RowFilter { niks, ..updated }, 0, 10).await, [19]);
}

pub(super) async fn dead_letters_are_paged_and_filtered(stage: Stage) {
    let rows: Vec<_> = (2..12).map(|row| (row, row, row)).collect();
    let first = stage.night(ON, &rows).await;
    let second = stage.night("2026-11-24", &rows).await;
    for sheet_row in 2..12 {
        let reason = if sheet_row < 5 { Reason::PatientGone } else { Reason::WriteConflict };
        stage.kill(key(second, sheet_row), reason).await;
        stage.kill(key(first, sheet_row), reason).await;
    }
    let list = async |filter: &Replay, after, limit| {
        stage.ledger().dead_letters(filter, after, limit).await.expect("dead letters")
    };
    let all = Replay::default();
    let whole = list(&all, 0, 100).await;
    assert_eq!(whole.len(), 20);
    assert!(
        whole
            .is_sorted_by(|earlier, later| earlier.number < later.number && earlier.died_at <= later.died_at)
    );
    assert_eq!((whole[0].key, whole[1].key), (key(second, 2), key(first, 2)), "oldest death first");
    let mut paged = Vec::new();
    while let page = list(&all, paged.last().map_or(0, |(number, _)| *number), 7).await
        && !page.is_empty()
    {
        assert!(page.len() <= 7);
        paged.extend(page.iter().map(|letter| (letter.number, letter.key)));
    }
    assert_eq!(paged, whole.iter().map(|letter| (letter.number, letter.key)).collect::<Vec<_>>());
    let count = async |filter: Replay| list(&filter, 0, 100).await.len();
    assert_eq!(count(Replay { reason: Some(Reason::PatientGone), ..all.clone() }).await, 6);
    assert_eq!(count(Replay { from: Some(date("2026-11-24")), ..all.clone() }).await, 10);
    assert_eq!(count(Replay { to: Some(date("2026-11-22")), ..all.clone() }).await, 0);
    assert_eq!(count(Replay { niks: vec![stage.nik_hash(3)], ..all.clone() }).await, 2);
    assert_eq!(count(Replay { rows: vec![key(first, 3), key(first, 4)], ..all.clone() }).await, 2);
    let niks = vec![stage.nik_hash(3), stage.nik_hash(8)];
    let narrow = Replay { niks, reason: Some(Reason::PatientGone), to: Some(date(ON)), ..all };
    let narrow = list(&narrow, 0, 100).await;
    assert_eq!(narrow.iter().map(|letter| letter.key).collect::<Vec<_>>(), [key(first, 3)]);
}

pub(super) async fn a_tally_counts_what_rows_became(stage: Stage) {
    let fence = stage.lock(ON, "producer").await;
    let run = stage.open(&fence, RunKind::Night, Selection::default()).await.id;
    let mut rows: Vec<_> = (2..8).map(|row| stage.row(run, row, row, row)).collect();
    rows[0].warnings = vec![Warning::NikUnlikelyProvince, Warning::PhoneRepeated];
    rows[1].warnings = vec![Warning::PhoneRepeated];
    rows.push(stage.rejected(run, 8, 8, None));
    rows.push(stage.row(run, 9, 2, 2));
    rows.push(stage.row(run, 10, 7, 1));
    stage.seed(&fence, run, 2..=10, rows).await;
    stage.complete(&fence, run).await;
    stage.finish(run, 2, Outcome::Updated).await;
    stage.finish(run, 3, Outcome::Updated).await;
    stage.finish(run, 4, Outcome::Unchanged).await;
    stage.kill(key(run, 5), Reason::RejectedByServer).await;
    let tally = stage.ledger().tally(run).await.expect("a tally");
    let expected = Tally {
        outcomes: BTreeMap::from([
            (Outcome::Updated, 2),
            (Outcome::Unchanged, 1),
            (Outcome::DuplicateRow, 1),
            (Outcome::Rejected, 3),
            (Outcome::DeadLettered, 1),
        ]),
        reasons: BTreeMap::from([
            (Reason::PhoneInvalid, 1),
            (Reason::ConflictingRows, 2),
            (Reason::RejectedByServer, 1),
        ]),
        warnings: BTreeMap::from([(Warning::NikUnlikelyProvince, 1), (Warning::PhoneRepeated, 2)]),
        open: 1,
        requests: 8,
        retries: 4,
    };
    assert_eq!(tally, expected);
    assert_eq!((tally.selected(), tally.count(Outcome::Superseded)), (9, 0));
}

pub(super) async fn progress_counts_what_is_on_its_way(stage: Stage) {
    let rows: Vec<_> = (2..8).map(|row| (row, row, row)).collect();
    let run = stage.night(ON, &rows).await;
    let progress = async || stage.ledger().progress(run).await.expect("progress");
    assert_eq!(progress().await, Progress { selected: 6, open: 6, unpublished: 6, ..Progress::default() });
    stage.finish(run, 2, Outcome::Updated).await;
    stage.kill(key(run, 3), Reason::PatientGone).await;
    let claimed = stage.take(key(run, 4), 0).await;
    stage.record(&claimed, retry(Duration::from_secs(1), true)).await;
    let claimed = stage.take(key(run, 5), 0).await;
    stage.record(&claimed, failed(Reason::PatientGone)).await;
    stage.take(key(run, 6), 0).await;
    assert_eq!(progress().await, Progress { selected: 6, open: 4, retrying: 1, unpublished: 1, dead: 2 });
    let claimed = stage.take(key(run, 4), 1).await;
    stage.record(&claimed, done(Outcome::Unchanged)).await;
    assert_eq!(progress().await, Progress { selected: 6, open: 3, retrying: 0, unpublished: 1, dead: 2 });
}

pub(super) async fn progress_counts_what_the_queue_may_not_have(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2), (4, 3, 3), (5, 4, 4)]).await;
    let other = stage.night("2026-11-24", &[(2, 5, 5)]).await;
    let unpublished = async |run| stage.ledger().progress(run).await.expect("progress").unpublished;
    let due = stage.due().await;
    assert_eq!(unpublished(run).await, 4, "taken to be published, and not confirmed yet");
    stage.confirm(&due[..3]).await;
    assert_eq!((unpublished(run).await, unpublished(other).await), (1, 1));
    // Whoever has a row has had its message.
    stage.take(key(run, 5), 0).await;
    assert_eq!(unpublished(run).await, 0);
    let claimed = stage.take(key(run, 2), 0).await;
    assert_eq!(unpublished(run).await, 0);
    stage.record(&claimed, shared::ledger::Settlement::Returned).await;
    assert_eq!(unpublished(run).await, 1, "its next message is not on its way yet");
    let failing = stage.take(key(run, 3), 0).await;
    stage.record(&failing, failed(Reason::PatientGone)).await;
    stage.finish(run, 4, Outcome::Updated).await;
    assert_eq!(unpublished(run).await, 1, "nothing is to be published of what failed or is done");
}

pub(super) async fn an_act_is_noted(stage: Stage) {
    let detail = serde_json::json!({ "from": ON, "niks": [stage.nik_hash(1).as_str()], "count": 3 });
    for act in ["start", "replay"] {
        let act = Act { who: "ops@scheduler".into(), act: act.into(), detail: detail.clone() };
        stage.ledger().note_act(act).await.expect("to note an act");
    }
}
