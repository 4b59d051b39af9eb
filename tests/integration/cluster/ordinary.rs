//! Nights in which nothing goes wrong.

use serde_json::Value;
use shared::queue::Depth;
use tests::process::{Cluster, DATE, Sign, Site, check_night, check_row, mixed};
use tests::services::{Broker, PostgresServer};

/// What must hold at a site after a night in which all of these Patients changed.
pub fn check_writes(site: &Site, changed: u64) {
    let stats = site.simulators.snapshot();
    assert_eq!((stats.writes, stats.distinct_patients_changed), (changed, changed), "each Patient once");
    assert_eq!((stats.writes_beyond_first, stats.writes_without_if_match), (0, 0));
}

fn endings(rows: &[Value]) -> Vec<Value> {
    let ending =
        |row: &Value| serde_json::json!([row["sheet_row"], row["outcome"], row["reason"], row["warnings"]]);
    rows.iter().map(ending).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_of_three_workers_comes_to_what_one_process_comes_to() {
    let night = mixed(31, 400);
    let cluster = Cluster::of(&night).await;
    let workers = cluster.workers(3);
    let report = cluster.start_produced_night().end().await.expect(3).object();
    check_night(&report, night.expected());
    check_writes(&cluster, night.expected().patients_changed);
    assert_eq!(cluster.depths().await, [Depth::default(); 2], "the queues are empty");
    let rows = cluster.produce(&["rows", DATE, "--output", "json"]).await.expect(0).objects();
    rows.iter().for_each(check_row);
    for worker in workers {
        worker.signal(Sign::Terminate);
        worker.end().await.expect(143);
    }

    let alone = Site::of(&night).await;
    let same = alone.night().await.expect(3).object();
    assert_eq!((&report["outcomes"], &report["reasons"]), (&same["outcomes"], &same["reasons"]));
    let rows_alone = alone.run(&["rows", DATE, "--output", "json"]).await.expect(0).objects();
    assert_eq!(endings(&rows), endings(&rows_alone), "row for row");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_day_again_writes_nothing() {
    let night = mixed(32, 100);
    let cluster = Cluster::of(&night).await;
    let _workers = cluster.workers(2);
    cluster.start_produced_night().end().await.expect(3);
    let writes = cluster.simulators.snapshot().writes;
    let report = cluster.start_produced_night().end().await.expect(3).object();
    assert_eq!(cluster.simulators.snapshot().writes, writes);
    assert_eq!(report["outcomes"]["updated"], 0);
    assert!(report["outcomes"]["skipped_already_applied"].as_u64() > Some(0), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_goes_through_the_workers_and_leaves_a_stopped_night_alone() {
    let night = mixed(33, 100);
    let cluster = Cluster::of(&night).await;
    // Published, and nobody there to work on it.
    cluster.produce(&["--date", DATE, "--detach"]).await.expect(0);
    let [nights, dry_runs] = cluster.depths().await;
    assert!(nights.ready > 0 && dry_runs.ready == 0, "{nights:?} {dry_runs:?}");
    // Its producer publishes to a queue of its own. Workers take both; only the dry run may be done when it reports.
    let dry_run = cluster.producer(&["--date", DATE, "--dry-run", "--output", "json"]);
    let _workers = cluster.workers(2);
    let report = dry_run.end().await.expect(0).object();
    assert_eq!(report["kind"], "dry_run");
    // The night that was waiting, which the workers may have finished by now.
    let finished = cluster.produce(&["--resume", "--output", "json"]).await.expect(3).object();
    check_night(&finished, night.expected());
    check_writes(&cluster, night.expected().patients_changed);
    cluster.until_queues_are_empty().await;
}

/// Patients as they are now, of everybody whom the night leaves with a number.
fn patients(cluster: &Cluster, niks: &[String]) -> Vec<Value> {
    niks.iter().flat_map(|nik| cluster.simulators.store().patient_by_nik(nik)).collect()
}

/// Gives each Patient the telecom it has in the backup.
async fn restore(cluster: &Cluster, niks: &[String], backup: &[Value]) {
    for (mut now, before) in patients(cluster, niks).into_iter().zip(backup) {
        now["telecom"] = before["telecom"].clone();
        cluster.put(&now).await;
    }
}

fn assert_numbers(cluster: &Cluster, expected: &[(String, String)]) {
    for (nik, number) in expected {
        let now = cluster.simulators.store().current_mobile(nik).expect("everybody has a number");
        let digits: String = now.chars().filter(char::is_ascii_digit).collect();
        assert!(digits.ends_with(&number[3..]), "a Patient has another number than the sheet asks for");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_server_gets_every_number_again_or_those_of_the_people_named() {
    let night = mixed(34, 60);
    let cluster = Cluster::of(&night).await;
    let _workers = cluster.workers(2);
    let expected: Vec<(String, String)> = night.expected_numbers().collect();
    let niks: Vec<String> = expected.iter().map(|(nik, _)| nik.clone()).collect();
    let backup = patients(&cluster, &niks);
    let first = cluster.start_produced_night().end().await.expect(3).object();
    let changed = &first["outcomes"]["updated"];
    let is_other = |nik: &&String| {
        let now = cluster.simulators.store().patient_by_nik(nik);
        !backup.iter().any(|before| before["id"] == now[0]["id"] && before["telecom"] == now[0]["telecom"])
    };
    let named: Vec<String> =
        niks.iter().filter(is_other).take(2).map(|nik| cluster.nik_hash(nik).to_string()).collect();

    restore(&cluster, &niks, &backup).await;
    let whole = ["--from", DATE, "--to", DATE, "--reapply", "--output", "json"];
    let of_two = [&whole[..], &["--nik", &named[0], "--nik", &named[1]]].concat();
    let report = cluster.produce(&of_two).await.expect(0).object();
    assert_eq!(report["outcomes"]["updated"], 2, "{report}");
    assert_eq!(report["rows_selected"], 2);

    restore(&cluster, &niks, &backup).await;
    let report = cluster.produce(&whole).await.expect(3).object();
    assert_eq!(&report["outcomes"]["updated"], changed, "{report}");
    assert_numbers(&cluster, &expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_behind_a_private_ca_that_asks_for_certificates_is_used_over_tls() {
    let night = mixed(35, 40);
    let broker = Broker::start().await;
    broker.management().make_vhost("night");
    let place = PostgresServer::get().await.place().await;
    let mut cluster = Cluster::on(Site::world_of(&night), place.uri, broker.tls_url("night")).await;
    let certificates = broker.certificates();
    let files = [
        ("CA_FILE", &certificates.root),
        ("AMQP_CERT_FILE", &certificates.client.0),
        ("AMQP_KEY_FILE", &certificates.client.1),
    ];
    for (variable, pem) in files {
        let path = cluster.file(variable, pem);
        cluster.set(variable, Site::argument(&path));
    }
    let _worker = cluster.worker();
    let report = cluster.start_produced_night().end().await.expect(3).object();
    check_night(&report, night.expected());
    check_writes(&cluster, night.expected().patients_changed);

    cluster.set("AMQP_KEY_FILE", "");
    let refused = cluster.start_produced_night().end().await.expect(2);
    assert!(refused.stderr.contains("AMQP_KEY_FILE: not set"), "{}", refused.stderr);
}
