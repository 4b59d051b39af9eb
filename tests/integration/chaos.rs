//! Each fault of the table once, with a small night; `make chaos` plays them many times. `make test` plays those that no
//! other test has anything like.

use tests::chaos::table;
use tests::process::in_repository;

/// One night with a fault. On a thread of its own: it has a runtime of its own.
fn survives(name: &str) {
    // Another test of this process may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let table = table();
    let fault = table.iter().find(|fault| fault.name == name).expect("a fault of the table");
    fault.repeats().once(1).verdict.assert();
}

/// As images and releases are built: by name, with every feature that they may have.
#[test]
fn no_shipped_program_has_failpoints() {
    let programs = ["producer", "worker", "dashboard", "standalone"];
    for program in programs {
        let features = "otlp,vault,gcp-sm,aws-sm";
        let mut tree = std::process::Command::new(env!("CARGO"));
        tree.current_dir(in_repository("")).args(["tree", "--locked", "--offline", "--edges", "normal"]);
        tree.args(["--prefix", "none", "--package", program, "--features", features]);
        let output = tree.output().expect("cargo runs");
        let crates = String::from_utf8(output.stdout).expect("text");
        let named = |name: &str| crates.lines().any(|line| line.starts_with(&format!("{name} v")));
        assert!(named("shared"), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!named("fail"), "{program} is built with failpoints");
    }
}

macro_rules! faults {
    ($($(#[$how:meta])* $test:ident: $name:literal,)*) => {
        $(#[test]
        $(#[$how])*
        fn $test() {
            survives($name);
        })*

        #[test]
        fn every_fault_of_the_table_is_played_here() {
            let played = [$($name),*];
            assert_eq!(table().iter().map(|fault| fault.name.as_str()).collect::<Vec<_>>(), played);
        }
    };
}

faults! {
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_producer_killed_when_its_run_is_opened: "killed-run-opened",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_producer_killed_in_the_middle_of_the_sheet: "killed-seeded",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_producer_killed_when_its_snapshot_is_complete: "killed-snapshot-complete",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_steward_killed_when_rows_are_taken: "killed-taken",
    a_publisher_killed_before_its_confirms: "killed-published",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_steward_killed_after_its_confirms: "killed-confirmed",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_steward_killed_when_that_is_noted: "killed-noted-published",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_steward_killed_before_it_closes_a_run: "killed-settled",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_steward_killed_when_a_run_is_closed: "killed-closed",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    an_operator_killed_in_the_middle_of_a_replay: "killed-replayed",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_worker_killed_after_a_claim: "killed-claimed",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_worker_killed_between_intent_and_write: "killed-intended",
    a_worker_killed_between_write_and_record: "killed-written",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_worker_killed_between_record_and_acknowledgement: "killed-recorded",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_worker_killed_after_an_acknowledgement: "killed-settle",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_worker_killed_between_a_copy_and_the_original: "killed-put-off",
    a_worker_killed_between_failed_and_reject: "killed-failed",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_worker_killed_between_burial_and_acknowledgement: "killed-buried",
    a_fleet_killed_again_and_again: "fleet-killed-past-the-delivery-limit",
    a_worker_that_stood_still_past_its_lease: "worker-stopped-past-its-lease",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    workers_that_come_and_go: "scale-down-storm",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_broker_killed_while_messages_are_published: "broker-killed-while-publishing",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_broker_that_is_away_for_long: "broker-away-for-long",
    connections_to_the_broker_that_are_reset: "broker-connections-reset",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_black_hole_before_the_broker: "broker-black-hole",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_broker_without_disk: "broker-disk-alarm",
    a_database_killed_around_commits: "postgres-killed-around-commit",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_black_hole_before_the_database: "postgres-black-hole",
    a_database_put_back_to_an_earlier_moment: "postgres-restored-to-earlier",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_server_that_applies_and_does_not_answer: "fhir-applies-and-drops-the-reply",
    a_storm_of_429_and_503: "fhir-storm-with-retry-after",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_black_hole_before_the_server: "fhir-black-hole",
    a_dead_letter_queue_that_is_deleted: "dead-letter-queue-deleted",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    retry_queues_that_are_deleted: "retry-queues-deleted",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_work_queue_that_is_deleted: "work-queue-deleted",
    messages_that_cannot_be_decoded: "undecodable-messages",
    messages_that_are_published_twice: "messages-published-twice",
    two_producers_and_a_third: "two-producers",
    #[ignore = "minutes, with its like; `make test-all` and `make chaos` play it"]
    a_producer_killed_again_and_again: "producer-killed-again-and-again",
    a_producer_that_stood_still_past_its_lock: "producer-stopped-past-its-lock",
    a_replay_in_the_middle_of_a_run: "replay-during-a-run",
}
