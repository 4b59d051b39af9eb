//! Exit status 4, and who takes over from whom.

use std::time::{Duration, Instant};

use simulators::{FaultPlan, Latency};
use tests::process::{DATE, Site, check_night, counts, mixed, run_id};

/// One lease of the run lock: how long a starter waits for another process.
const LEASE: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_ends_with_4_and_a_third_takes_over_from_one_that_was_killed() {
    let night = mixed(21, 200);
    let mut site = Site::of(&night).await;
    site.simulators.set_faults(FaultPlan { latency: Latency::fixed(10.0), ..FaultPlan::default() });
    site.set("FHIR_MAX_RPS", "4");
    let mut first = site.start_night();
    first.until_logged("snapshot complete").await;

    // Lists need no lock.
    let runs = site.run(&["runs", "--output", "json"]).await.expect(0).objects();
    assert_eq!((runs.len(), &runs[0]["state"]), (1, &"open".into()));
    let listed = site.run(&["rows", DATE, "--output", "csv"]).await.expect(0).stdout;
    let mut rows = csv::Reader::from_reader(listed.as_bytes());
    assert_eq!(rows.records().filter(|row| row.is_ok()).count() as u64, night.expected().rows_selected);

    let asked = Instant::now();
    let second = site.night().await.expect(4);
    let waited = asked.elapsed();
    assert!(waited >= LEASE, "it gave up after {waited:?}");
    assert_eq!(second.stdout, "");
    assert!(second.stderr.contains("another live process"), "{}", second.stderr);

    assert!(first.kill().await, "the first was still at it");
    site.unset("FHIR_MAX_RPS");
    let asked = Instant::now();
    let mut third = site.start_night();
    third.until_logged("carrying on the unfinished run").await;
    assert!(asked.elapsed() < LEASE, "it took {:?} to take over", asked.elapsed());
    let report = third.end().await.expect(3).object();
    check_night(&report, night.expected());
    assert_eq!(run_id(&report), run_id(&runs[0]));
    let stats = site.simulators.snapshot();
    assert_eq!((stats.writes, stats.writes_beyond_first), (night.expected().patients_changed, 0));
    assert_eq!(counts(&report["outcomes"])["updated"], stats.writes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_on_databases_of_their_own_do_not_lock_each_other_out() {
    let night = mixed(22, 40);
    let site = Site::of(&night).await;
    let mut other = Site::of(&night).await;
    other.set("DATABASE_URL", format!("sqlite:{}", other.work().join("other.db").display()));
    let (one, another) = tokio::join!(site.night(), other.night());
    check_night(&one.expect(3).object(), night.expected());
    check_night(&another.expect(3).object(), night.expected());
}
