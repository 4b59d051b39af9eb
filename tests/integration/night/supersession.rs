//! Newest wins: an older date never overwrites what a newer one applied, whichever comes first.

use std::time::Duration;

use shared::domain::Outcome;
use simulators::Operation;
use tests::night::{DATE, LATER, Point, Scene, until, whole};
use tests::oracle::Writes;

/// Longer than any lease.
const LONG: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn an_older_date_that_comes_after_a_newer_one_writes_nothing() {
    let scene = Scene::people(20).await;
    let rows: Vec<_> = (0..20).flat_map(|person| [(person, 0, DATE), (person, 1, LATER)]).collect();
    scene.type_rows(&rows);
    scene.order(LATER, &whole()).await;
    scene.order(DATE, &whole()).await;
    assert_eq!(scene.outcomes().await, [Outcome::Superseded; 20]);
    scene.assert_numbers(0..20, 1);
    assert_eq!(scene.simulators.snapshot().writes, 20);
    scene.check().await;
}

#[tokio::test]
async fn the_same_number_on_a_newer_date_is_unchanged_and_on_an_older_one_superseded() {
    let scene = Scene::people(10).await;
    let rows: Vec<_> = (0..10).flat_map(|person| [(person, 0, DATE), (person, 0, LATER)]).collect();
    scene.type_rows(&rows);
    scene.order(DATE, &whole()).await;
    scene.order(LATER, &whole()).await;
    assert_eq!(scene.outcomes().await, [Outcome::Unchanged; 10]);
    scene.order(DATE, &whole()).await;
    assert_eq!(scene.outcomes().await, [Outcome::Superseded; 10]);
    assert_eq!(scene.simulators.snapshot().writes, 10);
    scene.check().await;
}

/// The older date's process is stopped at `point` for longer than its lease, while another process applies the
/// newer date; then it goes on, or it is dead. Afterwards each night is started again.
async fn overtaken(point: Point, it_dies: bool) -> Scene {
    let mut scene = Scene::people(1).await;
    scene.type_rows(&[(0, 0, DATE), (0, 1, LATER)]);
    // One round publishes; none takes the row back from the process that is stopped.
    scene.tuning.producer.steward.every = LONG;
    let mut older = scene.open().await;
    let newer = older.companion();
    let hold = older.hold(point);
    let order = whole();
    let overtaking = async {
        hold.reached().await;
        let producer = newer.producer();
        let night = producer.night(LATER.parse().expect("a date"), &order, &newer.stop);
        let work = async {
            until("the newer row to be published", || newer.depth(), |depth| depth.ready == 1).await;
            // The older process's leases are over now.
            scene.move_clock(LONG);
            newer.beside_workers(newer.until_done(1)).await;
            newer.stop.cancel();
        };
        let (ended, ()) = tokio::join!(night, work);
        ended.expect("the newer night");
        if it_dies {
            hold.kill()
        } else {
            hold.release()
        }
        older.stop.cancel();
    };
    let night = older.night(DATE, &order);
    if it_dies {
        tokio::select! {
            ended = Box::pin(night) => panic!("it should be dead: {ended:?}"),
            () = Box::pin(overtaking) => {}
        }
    } else {
        let (ended, ()) = Box::pin(async { tokio::join!(night, overtaking) }).await;
        ended.expect("the older night");
    }
    drop((older, newer));
    scene.tuning.producer.steward.every = Duration::from_millis(20);
    scene.order(LATER, &whole()).await;
    assert_eq!(scene.outcomes().await, [Outcome::Updated]);
    scene.assert_numbers([0], 1);
    scene
}

/// How the older date's row ended.
async fn older_ending(scene: &Scene) -> Outcome {
    let ended = scene.order(DATE, &whole()).await;
    let rows = scene.rows(ended.reports[0].run_id.parse().expect("a run's id")).await;
    rows[0].outcome.expect("it ended")
}

#[tokio::test]
async fn a_worker_stopped_between_read_and_write_does_not_overwrite_a_newer_number() {
    let scene = overtaken(Point::Intended, false).await;
    assert_eq!(scene.simulators.snapshot().conflicts_412, 1, "its write was refused");
    assert_eq!(older_ending(&scene).await, Outcome::Superseded);
    scene.assert_numbers([0], 1);
    scene.check().await;
}

#[tokio::test]
async fn a_worker_that_dies_between_read_and_write_leaves_a_row_to_the_newer_number() {
    let scene = overtaken(Point::Intended, true).await;
    assert_eq!(older_ending(&scene).await, Outcome::Superseded);
    assert_eq!(scene.simulators.snapshot().writes, 1);
    scene.assert_numbers([0], 1);
    scene.check().await;
}

#[tokio::test]
async fn a_worker_stopped_or_dead_after_its_write_leaves_the_newer_number_alone() {
    for it_dies in [false, true] {
        let mut scene = overtaken(Point::Written, it_dies).await;
        assert_eq!(older_ending(&scene).await, Outcome::Superseded, "dead: {it_dies}");
        assert_eq!(scene.simulators.snapshot().writes, 2, "dead: {it_dies}");
        scene.assert_numbers([0], 1);
        // The older number was written before the newer one, under a lease that was taken over.
        scene.writes = Writes::Explained;
        scene.check().await;
    }
}

#[tokio::test]
async fn no_write_starts_with_less_lease_left_than_a_request_may_take() {
    let mut scene = Scene::people(1).await;
    scene.set("FHIR_TIMEOUT", "500ms");
    scene.tuning.worker.lease_margin = Duration::from_millis(1_200);
    scene.type_everybody(0..1, 0);
    let mut process = scene.open().await;
    let hold = process.hold(Point::Intended);
    let order = whole();
    let slow_ledger = async {
        hold.reached().await;
        let now = process.common.backing.clock.now();
        let spent = || async { process.common.backing.clock.now().duration_since(now) };
        until("the lease to be nearly over", spent, |spent| spent.as_millis() > 800).await;
        hold.release();
    };
    let (ended, ()) = Box::pin(async { tokio::join!(process.night(DATE, &order), slow_ledger) }).await;
    ended.expect("a night");
    drop(process);
    let stats = scene.simulators.snapshot();
    let asked = |operation: Operation| {
        stats.requests.get(operation.name()).map_or(0, |statuses| statuses.values().sum())
    };
    // In doubt about its intent it reads the Patient again under a new claim, and only then writes.
    assert_eq!((asked(Operation::Read), asked(Operation::Write)), (1, 1));
    assert_eq!(scene.endings().await[0].attempts, 1);
    scene.check().await;
}
