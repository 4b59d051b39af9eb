//! A dead letter's way: from a refusal through RabbitMQ into the table, and back by a replay.

use std::time::Duration;

use serde_json::{Value, json};
use shared::queue::Depth;
use simulators::{FaultPlan, Latency, Operation, PatientFault};
use tests::night::{until, until_within};
use tests::process::{Cluster, DATE, check_report, counts, mixed};

fn refusing(nik: &str, status: u16) -> FaultPlan {
    let fault =
        PatientFault { operation: Some(Operation::Write), status: Some(status), ..PatientFault::default() };
    FaultPlan {
        latency: Latency::fixed(5.0),
        patients: [(nik.to_owned(), fault)].into(),
        ..FaultPlan::default()
    }
}

/// Somebody whose number the night changes.
pub(super) fn somebody(cluster: &Cluster, night: &simulators::DemoNight) -> String {
    let differs = |(nik, number): &(String, String)| {
        let now = cluster.simulators.store().current_mobile(nik).unwrap_or_default();
        let digits: String = now.chars().filter(char::is_ascii_digit).collect();
        !digits.ends_with(&number[3..])
    };
    night.expected_numbers().find(differs).expect("a number that changes").0
}

pub(super) async fn letters(cluster: &Cluster, flags: &[&str]) -> Vec<Value> {
    let list = [&["dead-letters", "--output", "json"], flags].concat();
    cluster.produce(&list).await.expect(0).objects()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_refused_with_422_is_kept_replayed_once_and_ends_updated() {
    let night = mixed(61, 80);
    let cluster = Cluster::of(&night).await;
    let nik = somebody(&cluster, &night);
    let hash = cluster.nik_hash(&nik).to_string();
    cluster.simulators.set_faults(refusing(&nik, 422));
    let _workers = cluster.workers(2);
    let report = cluster.start_produced_night().end().await.expect(3).object();
    check_report(&report);
    assert_eq!(report["reasons"]["rejected_by_server"], 1, "{report}");
    let of_them = ["--nik", hash.as_str()];
    let kept = letters(&cluster, &of_them).await;
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!((&kept[0]["reason"], &kept[0]["generation"]), (&json!("rejected_by_server"), &json!(1)));
    assert_eq!(cluster.depths().await, [Depth::default(); 2], "its message is used up");

    cluster.simulators.set_faults(FaultPlan::default());
    // Two operators at once: one generation.
    let replay = [&["--replay-dlq", "--output", "json"], &of_them[..]].concat();
    let (one, other) = tokio::join!(cluster.produce(&replay), cluster.produce(&replay));
    let mut replayed =
        [one.expect(0).object(), other.expect(0).object()].map(|ended| ended["replayed"].clone());
    replayed.sort_by_key(Value::as_u64);
    assert_eq!(replayed, [json!(0), json!(1)]);
    let rows = [&["rows", DATE, "--output", "json"], &of_them[..]].concat();
    let rows = cluster.produce(&rows).await.expect(0).objects();
    assert!(rows.iter().any(|row| row["outcome"] == "updated"), "{rows:?}");
    assert_eq!(letters(&cluster, &of_them).await.len(), 0);
    let history = letters(&cluster, &[&of_them[..], &["--all"]].concat()).await;
    assert_eq!(history.len(), 1, "its history is visible: {history:?}");
    assert!(history[0]["replayed_at"].is_string(), "{history:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lasting_403_on_one_patient_is_one_dead_letter_and_the_night_goes_on() {
    let night = mixed(62, 120);
    let cluster = Cluster::of(&night).await;
    let nik = somebody(&cluster, &night);
    cluster.simulators.set_faults(refusing(&nik, 403));
    let _workers = cluster.workers(2);
    let report = cluster.start_produced_night().end().await.expect(3).object();
    check_report(&report);
    assert_eq!(report["reasons"]["rejected_by_server"], 1, "{report}");
    assert_eq!(letters(&cluster, &["--nik", cluster.nik_hash(&nik).as_str()]).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_killed_on_a_dead_letters_way_leave_one() {
    let night = mixed(63, 60);
    let cluster = Cluster::of(&night).await;
    // Every write is refused: as many dead letters as there are changes, made while workers die.
    let refused = simulators::StatusFault {
        status: 422,
        rate: 1.0,
        operations: Some(vec![Operation::Write]),
        retry_after: None,
        body: None,
    };
    cluster.simulators.set_faults(FaultPlan { statuses: vec![refused], ..FaultPlan::default() });
    let mut worker = cluster.worker();
    let producer = cluster.start_produced_night();
    let dead = async || cluster.count_dead_letters().await;
    for kill in 1..=4 {
        until("a dead letter more", dead, |letters| *letters >= kill).await;
        worker.kill().await;
        worker = cluster.worker();
    }
    let report = producer.end().await.expect(3).object();
    check_report(&report);
    let changed = night.expected().patients_changed;
    assert_eq!(report["reasons"]["rejected_by_server"], changed, "{report}");
    let open = letters(&cluster, &[]).await;
    assert_eq!(open.len() as u64, report["outcomes"]["dead_lettered"].as_u64().expect("a count"));
    cluster.until_queues_are_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: six times until a dead worker's lease is over"]
async fn a_row_that_kills_its_worker_every_time_becomes_a_poison_message_and_its_neighbours_are_done() {
    let night = mixed(64, 60);
    let cluster = Cluster::of(&night).await;
    let nik = somebody(&cluster, &night);
    let hash = cluster.nik_hash(&nik);
    // Long enough to be seen while it is worked on.
    let fault =
        PatientFault { operation: Some(Operation::Search), latency_ms: 700, ..PatientFault::default() };
    let plan = FaultPlan { patients: [(nik, fault)].into(), ..FaultPlan::default() };
    cluster.simulators.set_faults(plan);
    let of_it = format!("FROM row WHERE nik_hash = '{hash}' AND");
    let mut worker = cluster.worker();
    let producer = cluster.start_produced_night();
    for claim in 1..=6 {
        let claimed = format!("SELECT count(*) {of_it} state = 'claimed' AND crashes = {claim}");
        let look = async || cluster.count(&claimed).await;
        until_within(Duration::from_secs(60), "the row to be worked on", look, |rows| *rows == 1).await;
        // As if it was this row that did it.
        assert!(worker.kill().await);
        worker = cluster.worker();
    }
    let report = producer.end().await.expect(3).object();
    check_report(&report);
    assert_eq!(report["reasons"]["poison_message"], 1, "{report}");
    let mut expected = night.expected().outcomes.clone();
    *expected.get_mut("updated").expect("some change") -= 1;
    *expected.get_mut("dead_lettered").expect("some are dead") += 1;
    let mut outcomes = counts(&report["outcomes"]);
    outcomes.retain(|_, rows| *rows > 0);
    assert_eq!(outcomes, expected, "its neighbours are done");
    let kept = letters(&cluster, &["--nik", hash.as_str()]).await;
    assert_eq!(kept[0]["reason"], "poison_message");
    drop(worker);
}
