//! A copy taken in the middle of a night, put back after it: the lost tail is done again, and changes nobody twice.

use std::path::PathBuf;

use simulators::{FaultPlan, Latency};
use tests::process::{Site, check_report, counts, mixed};

use super::interrupted::written;
use crate::cluster::ordinary::check_writes;

fn mode(file: &PathBuf) -> u32 {
    let metadata = std::fs::metadata(file).expect("a file");
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_put_back_to_the_middle_of_a_night_is_carried_on() {
    let night = mixed(97, 300);
    let site = Site::of(&night).await;
    let slow = FaultPlan { latency: Latency::fixed(100.0), ..FaultPlan::default() };
    site.simulators.set_faults(slow);
    let running = site.start_night();
    written(&site, 20).await;
    let copy = site.work().join("copy.db");
    site.run(&["--backup", Site::argument(&copy)]).await.expect(0);
    assert_eq!(mode(&copy), 0o600);
    let again = site.run(&["--backup", Site::argument(&copy)]).await.expect(1);
    assert!(again.stderr.contains("copy.db"), "it is not overwritten: {}", again.stderr);
    site.simulators.set_faults(FaultPlan::default());
    let first = running.end().await.expect(3).object();
    let changed = night.expected().patients_changed;
    check_writes(&site, changed);

    let ledger = site.work().join("nightly-sync.db");
    for part in ["-wal", "-shm"] {
        let left = PathBuf::from(format!("{}{part}", ledger.display()));
        assert!(!left.exists() || std::fs::remove_file(&left).is_ok());
    }
    std::fs::rename(&copy, &ledger).expect("to put it back");
    let open = site.run(&["runs", "--output", "json"]).await.expect(0).objects();
    assert_eq!((&open[0]["state"], open[0]["rows_open"] != 0), (&"open".into(), true), "{open:?}");
    let carried_on = site.run(&["--resume", "--output", "json"]).await.expect(3).object();
    check_report(&carried_on);
    // What was written after the copy is found written.
    let (before, after) = (counts(&first["outcomes"]), counts(&carried_on["outcomes"]));
    let applied =
        |outcomes: &std::collections::BTreeMap<String, u64>| outcomes["updated"] + outcomes["unchanged"];
    assert_eq!(applied(&before), applied(&after));
    assert!(after["updated"] < before["updated"], "{after:?}");
    check_writes(&site, changed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_before_any_night_says_that_nothing_ran() {
    let site = Site::of(&mixed(98, 200)).await;
    let refused = site.run(&["--backup", "copy.db"]).await.expect(2);
    assert!(refused.stderr.contains("nothing ran yet"), "{}", refused.stderr);
    assert!(!site.work().join("copy.db").exists());
}
