//! Nights that are interrupted, and processes that die in the middle of one.

use std::ops::RangeInclusive;
use std::sync::Arc;

use async_trait::async_trait;
use producer::source::{ReadSummary, RowSink, RowSource, SourceError};
use producer::{Halt, ProducerError};
use shared::domain::{Cell, Outcome, Reason, SourceRow};
use shared::ledger::{CRASHES_ALONE, CRASHES_IN_COMPANY, LedgerView as _, RunState};
use shared::status::Status;
use simulators::{FaultPlan, Latency, Operation, PatientFault};
use tests::night::{Brought, DATE, Point, Process, Scene, until, whole};

use super::ways::WAYS;

/// Starts the night and lets the process die when `until` comes.
async fn dies(process: Process, until: impl Future<Output = ()>, kill: impl FnOnce()) {
    let order = whole();
    {
        let night = Box::pin(process.night(DATE, &order));
        tokio::select! {
            ended = night => panic!("it ended before it died: {ended:?}"),
            () = until => kill(),
        }
    }
    drop(process);
}

#[tokio::test]
async fn an_interrupted_night_drains_and_the_next_start_carries_it_on() {
    // More than a worker has in hand, which it finishes.
    let scene = Scene::people(400).await;
    scene.type_everybody(0..400, 0);
    scene.simulators.set_faults(FaultPlan { latency: Latency::fixed(5.0), ..FaultPlan::default() });
    let process = scene.open().await;
    let order = whole();
    let stopping = async {
        process.until_done(30).await;
        process.stop.cancel();
    };
    let (ended, ()) = Box::pin(async { tokio::join!(process.night(DATE, &order), stopping) }).await;
    let ended = ended.expect("a night");
    assert!(matches!(ended.halt, Some(Halt::Interrupted)), "{:?}", ended.halt);
    // Drained: what was in hand has its outcome, and nothing is claimed.
    let run = ended.reports[0].run_id.parse().expect("a run's id");
    drop(process);
    let rows = scene.rows(run).await;
    assert!(rows.iter().all(|row| row.state == "done" || row.state == "pending"), "{rows:?}");
    assert!(rows.iter().any(|row| row.state == "pending"));
    let read = scene.simulators.snapshot().batch_gets;

    let carried_on = scene.night().await;
    assert_eq!(carried_on.reports[0].run_id, ended.reports[0].run_id);
    let stats = scene.simulators.snapshot();
    assert_eq!((stats.batch_gets, stats.writes, stats.writes_beyond_first), (read, 400, 0));
    scene.check().await;
}

#[tokio::test]
async fn a_process_that_dies_in_the_middle_leaves_nothing_undone_and_nothing_done_twice() {
    for way in WAYS {
        let mut scene = Scene::people(240).await;
        way.set(&mut scene);
        // So few that a night of many at once has a middle, too.
        scene.tuning.worker.gather.most = 5;
        scene.type_everybody(0..240, 0);
        scene.simulators.set_faults(FaultPlan { latency: Latency::fixed(5.0), ..FaultPlan::default() });
        for rows in [15, 45, 75] {
            let mut process = scene.open().await;
            let looking = process.companion();
            // Held nowhere, only killed: what its tasks still ask of the ledger comes to nothing.
            let hold = process.hold(Point::Never);
            dies(process, looking.until_done(rows), || hold.kill()).await;
        }
        scene.night().await;
        assert_eq!(scene.outcomes().await, [Outcome::Updated; 240], "{way:?}");
        let stats = scene.simulators.snapshot();
        assert_eq!((stats.writes, stats.writes_beyond_first), (240, 0), "{way:?}");
        scene.check().await;
    }
}

#[tokio::test]
async fn a_process_that_dies_at_any_point_of_a_rows_way_is_made_up_for() {
    let points = [Point::Claimed, Point::Intended, Point::Written, Point::Recorded, Point::Dying];
    for (way, point) in WAYS.into_iter().flat_map(|way| points.map(|point| (way, point))) {
        let what = format!("{way:?}, {point:?}");
        let mut scene = Scene::people(10).await;
        way.set(&mut scene);
        scene.type_everybody(0..10, 0);
        let fault =
            PatientFault { operation: Some(Operation::Write), status: Some(422), ..PatientFault::default() };
        let patients = [(scene.population.nik(6), fault)].into();
        scene.simulators.set_faults(FaultPlan { patients, ..FaultPlan::default() });
        let mut process = scene.open().await;
        let hold = process.hold(point);
        dies(process, hold.reached(), || hold.kill()).await;
        let ended = scene.night().await;
        assert_eq!(ended.reports[0].rows_selected, 10, "{what}");
        for (person, ending) in scene.endings().await.into_iter().enumerate() {
            let expected = if person == 6 { Outcome::DeadLettered } else { Outcome::Updated };
            assert_eq!((ending.outcome, ending.attempts), (expected, 1), "{what}, person {person}");
        }
        assert_eq!(scene.simulators.snapshot().writes_beyond_first, 0, "{what}");
        scene.check().await;
    }
}

#[tokio::test]
async fn a_night_that_is_interrupted_while_the_sheet_is_read_publishes_nothing_and_reads_again() {
    let scene = Scene::people(20).await;
    scene.type_everybody(0..20, 0);
    let mut process = scene.open().await;
    let hold = process.hold(Point::Seeded);
    let order = whole();
    let stopping = async {
        hold.reached().await;
        process.stop.cancel();
    };
    let (ended, ()) = Box::pin(async { tokio::join!(process.night(DATE, &order), stopping) }).await;
    let ended = ended.expect("a night");
    hold.release();
    assert!(matches!(ended.halt, Some(Halt::Interrupted)), "{:?}", ended.halt);
    assert_eq!(process.newest().await.expect("a run").run.state, RunState::Seeding);
    drop(process);
    assert_eq!(scene.simulators.snapshot().requests.get("write"), None);

    // Meanwhile somebody corrects one row and removes the last five.
    let mut rows: Vec<_> = (0..15).map(|person| (person, 0, DATE)).collect();
    rows[3].1 = 1;
    scene.type_rows(&rows);
    let read = scene.simulators.snapshot().batch_gets;
    let again = scene.night().await;
    assert!(scene.simulators.snapshot().batch_gets > read, "the sheet is read again");
    assert_eq!(again.reports[0].run_id, ended.reports[0].run_id);
    assert_eq!((again.reports[0].rows_selected, again.reports[0].rows_read), (15, 15));
    scene.assert_numbers([3], 1);
    scene.check().await;
}

/// Delivers these rows, then fails without a remedy.
struct BreaksOff(Vec<SourceRow>);

#[async_trait]
impl RowSource for BreaksOff {
    fn describe(&self) -> String {
        "breaks off".into()
    }

    async fn read(&mut self, sink: &mut dyn RowSink) -> Result<ReadSummary, SourceError> {
        let range: RangeInclusive<u32> = 2..=1_000;
        sink.replace(range, self.0.clone()).await.map_err(SourceError::Sink)?;
        Err(SourceError::Setting { variable: "SHEET_RANGE", problem: "breaks off".into() })
    }
}

#[tokio::test]
async fn a_source_that_breaks_off_publishes_nothing_and_leaves_no_row_behind() {
    let scene = Scene::people(10).await;
    scene.type_everybody(0..4, 0);
    let text = |text: String| Cell::Text(text);
    let row = |person: usize| SourceRow {
        sheet_row: 100 + person as u32,
        nik: text(scene.population.nik(person)),
        phone: text(scene.population.new_mobile(person, 1)),
        updated: text(DATE.into()),
        other_content: false,
    };
    let rows: Vec<_> = (0..10).map(row).collect();
    let mut process = scene.open().await;
    process.sources = Arc::new(Brought(move || Box::new(BreaksOff(rows.clone())) as Box<dyn RowSource>));
    let ended = Box::pin(process.night(DATE, &whole())).await;
    assert!(matches!(ended, Err(ProducerError::Source(_))), "{ended:?}");
    assert_eq!(process.depth().await, shared::queue::Depth::default());
    drop(process);
    assert_eq!(scene.simulators.snapshot().requests.get("write"), None);
    let unfinished = scene.look().unfinished_runs(&scene.settings().job, None).await.expect("a list");
    let ended = scene.night().await;
    assert_eq!(ended.reports[0].run_id, unfinished[0].id.to_string());
    assert_eq!(ended.reports[0].rows_selected, 4);
    scene.assert_numbers(0..4, 0);
    scene.check().await;
}

#[tokio::test]
async fn a_row_that_ends_its_process_every_time_is_given_up_and_takes_nobody_with_it() {
    const POISON: i64 = 2;
    let scene = Scene::people(6).await;
    scene.type_everybody(0..6, 0);
    // Its search is never answered in time: the process dies over it first.
    let hangs = PatientFault { latency_ms: 60_000, ..PatientFault::default() };
    let patients = [(scene.population.nik(POISON as usize), hangs)].into();
    scene.simulators.set_faults(FaultPlan {
        latency: Latency::fixed(50.0),
        patients,
        ..FaultPlan::default()
    });
    for death in 1..=CRASHES_IN_COMPANY + CRASHES_ALONE {
        let mut process = scene.open().await;
        let hold = process.hold(Point::Never);
        // A dead process's claims are void, and due at once.
        let in_hand = "SELECT sheet_row - 2 FROM row WHERE state = 'claimed' AND sweep_at > 0";
        let until = async {
            let look = async || scene.ask(in_hand);
            let in_hand = until("the row to be claimed", look, |seen| seen.contains(&POISON)).await;
            assert!(death <= CRASHES_IN_COMPANY || in_hand == [POISON], "death {death} over {in_hand:?}");
        };
        dies(process, until, || hold.kill()).await;
    }
    let ended = scene.night().await;
    assert_eq!(ended.status(), Status::DeadLetters);
    for (person, ending) in (0..).zip(scene.endings().await) {
        let expected = match person {
            POISON => (Outcome::DeadLettered, Some(Reason::PoisonMessage)),
            _ => (Outcome::Updated, None),
        };
        assert_eq!((ending.outcome, ending.reason), expected, "person {person}");
    }
    assert_eq!(scene.simulators.snapshot().writes_beyond_first, 0);
    scene.check().await;
}

#[tokio::test]
async fn a_ledger_that_is_away_for_a_moment_costs_no_row_its_claim() {
    let scene = Scene::people(5).await;
    scene.type_everybody(0..5, 0);
    let mut process = scene.open().await;
    // The ledger is away for the worker only: a producer that cannot watch its run ends.
    let producer = process.producer();
    let hold = process.hold(Point::Written);
    let outage = async {
        hold.reached().await;
        let intended = async || scene.ask("SELECT COUNT(*) FROM intent");
        until("every row to stand before its record", intended, |seen| *seen == [5]).await;
        hold.kill();
        until("a record to fail", async || hold.refusals(), |refusals| *refusals > 0).await;
        hold.revive();
    };
    let order = whole();
    let night = process.beside_workers(producer.night(DATE.parse().expect("a date"), &order, &process.stop));
    let (ended, ()) = Box::pin(async { tokio::join!(night, outage) }).await;
    assert_eq!(ended.expect("a night").status(), Status::Done);
    drop((process, producer));
    assert_eq!(scene.ask("SELECT DISTINCT epoch FROM row"), [1], "nothing was claimed twice");
    assert!(
        scene.endings().await.iter().all(|ending| (ending.outcome, ending.attempts) == (Outcome::Updated, 1))
    );
    assert_eq!(scene.simulators.snapshot().writes, 5);
    scene.check().await;
}
