//! `kill -9`, again and again, at seeded moments of all phases; then the same command once more.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use simulators::{DemoNight, FaultPlan, Latency, NightOptions, Rate};
use tests::process::{DATE, Running, Site, check_night, check_row};

use super::interrupted::written;

/// When a process is killed: after something was seen, and a while that the seed decides.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// The process was started.
    Started,
    /// It opened or found its run.
    RunFound,
    /// The rows are in the ledger, and publishing begins.
    SnapshotComplete,
    /// This share of the night's writes was made.
    Written(f64),
}

/// How far the first kills let a run come, and how evenly the others lie in the night.
fn plan(kills: u32) -> Vec<Moment> {
    let early =
        [Moment::Started, Moment::Started, Moment::RunFound, Moment::RunFound, Moment::SnapshotComplete];
    let rest = kills - early.len() as u32;
    let writing = (1..=rest).map(|at| Moment::Written(f64::from(at) / f64::from(rest + 1)));
    early.into_iter().chain(writing).collect()
}

/// What a kill found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// No run yet; perhaps no database and no key.
    Starting,
    /// A run without a whole snapshot.
    Seeding,
    /// A snapshot, and no write yet.
    Publishing,
    /// Some writes, not all.
    Writing,
}

async fn phase(site: &Site, changes: u64) -> Option<Phase> {
    let runs = match site.run(&["runs", "--output", "json"]).await {
        // Killed before there was a database, or a key.
        none if none.status == Some(2) => return Some(Phase::Starting),
        listed => listed.expect(0).objects(),
    };
    let Some(run) = runs.first() else { return Some(Phase::Starting) };
    match (run["state"].as_str(), site.simulators.snapshot().writes) {
        (Some("seeding"), _) => Some(Phase::Seeding),
        (Some("open"), 0) => Some(Phase::Publishing),
        (Some("open"), writes) if writes < changes => Some(Phase::Writing),
        _ => None,
    }
}

async fn kill_at(site: &Site, mut running: Running, moment: Moment, changes: u64, dice: &mut StdRng) {
    let longest = match moment {
        Moment::Started => 60,
        // A night that is nearly done ends soon after it is found.
        Moment::RunFound => 20,
        Moment::SnapshotComplete => 300,
        Moment::Written(_) => 80,
    };
    match moment {
        Moment::Started => {}
        Moment::RunFound => running.until_logged("run_date").await,
        Moment::SnapshotComplete => running.until_logged("snapshot complete").await,
        Moment::Written(share) => written(site, (share * changes as f64) as u64).await,
    }
    // The moment itself is what is random here; there is no condition to wait for.
    tokio::time::sleep(Duration::from_millis(dice.random_range(0..longest))).await;
    assert!(running.kill().await, "it ended before it could be killed at {moment:?}");
}

async fn survives(seed: u64, night: DemoNight, kills: u32, faults: FaultPlan, many_at_once: bool) {
    let mut site = Site::of(&night).await;
    // Slow enough that no start comes to the end before it is killed.
    site.set("FHIR_MAX_CONCURRENCY", if many_at_once { "1" } else { "8" });
    site.set("FHIR_BATCH", if many_at_once { "on" } else { "off" });
    // Nothing can be written before the kill that is to find a snapshot and no write.
    let not_yet = FaultPlan { latency: Latency::fixed(10_000.0), ..FaultPlan::default() };
    site.simulators.set_faults(not_yet);
    let changes = night.expected().patients_changed;
    let mut dice = StdRng::seed_from_u64(seed);
    let mut hit = BTreeSet::new();
    for moment in plan(kills) {
        if matches!(moment, Moment::Written(_)) {
            site.simulators.set_faults(faults.clone());
        }
        kill_at(&site, site.start_night(), moment, changes, &mut dice).await;
        hit.extend(phase(&site, changes).await);
    }
    let all = BTreeSet::from([Phase::Starting, Phase::Seeding, Phase::Publishing, Phase::Writing]);
    assert_eq!(hit, all, "the kills must hit every phase; seed {seed}");

    let report = site.night().await.expect(3).object();
    check_night(&report, night.expected());
    let runs = site.run(&["runs", "--output", "json"]).await.expect(0).objects();
    assert_eq!(runs, [report], "one run all along");
    let rows = site.run(&["rows", DATE, "--output", "json"]).await.expect(0).objects();
    rows.iter().for_each(check_row);
    let places: BTreeSet<u64> = rows.iter().filter_map(|row| row["sheet_row"].as_u64()).collect();
    assert_eq!(
        (places.len(), rows.len() as u64),
        (rows.len(), night.expected().rows_selected),
        "each row once"
    );

    let stats = site.simulators.snapshot();
    assert_eq!((stats.writes, stats.writes_beyond_first), (changes, 0), "seed {seed}");
    assert_eq!((stats.distinct_patients_changed, stats.writes_without_if_match), (changes, 0));
    for (nik, number) in night.expected_numbers() {
        let now = site.simulators.store().current_mobile(&nik).expect("everybody has a number");
        let digits: String = now.chars().filter(char::is_ascii_digit).collect();
        assert!(digits.ends_with(&number[3..]), "a Patient has another number than the sheet asks for");
    }
}

/// A night with many rows of other dates: reading it takes a while, which the kills must hit.
fn night(seed: u64, rows_today: usize) -> DemoNight {
    let options = NightOptions::sized(8 * rows_today, rows_today);
    DemoNight::build(seed, DATE, &options).expect("the parts fit together")
}

fn slow() -> FaultPlan {
    FaultPlan { latency: Latency::log_normal(40.0, 0.5), ..FaultPlan::default() }
}

/// One write in twenty is applied, and its answer never comes.
fn slow_and_replies_lost() -> FaultPlan {
    FaultPlan { applied_reply_lost: Rate::of(0.05), ..slow() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_killed_8_times_ends_as_if_nothing_had_happened() {
    survives(81, night(81, 800), 8, slow(), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_killed_8_times_with_replies_lost_ends_as_if_nothing_had_happened() {
    survives(82, night(82, 800), 8, slow_and_replies_lost(), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_of_many_at_once_killed_8_times_with_replies_lost_ends_as_if_nothing_had_happened() {
    let slower = FaultPlan { latency: Latency::fixed(150.0), ..slow_and_replies_lost() };
    survives(88, night(88, 800), 8, slower, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; `make test-all` runs it"]
async fn nights_killed_20_times_end_as_if_nothing_had_happened() {
    for seed in 83..87 {
        let faults = if seed % 2 == 0 { slow() } else { slow_and_replies_lost() };
        survives(seed, night(seed, 2_000), 20, faults, false).await;
    }
}
