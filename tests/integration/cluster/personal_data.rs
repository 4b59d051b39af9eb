//! No NIK and no number in clear in anything that a night leaves behind: not in Postgres's files, not in RabbitMQ's, not
//! in logs, metrics, traces, notices, reports or exports.

use simulators::{FaultPlan, Latency, Rate, Webhook};
use tests::collector::Collector;
use tests::night::until;
use tests::process::{Cluster, DATE, Pages, Secrets, Site, check_night, mixed};
use tests::services::{Broker, PostgresServer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_personal_is_in_a_file_or_log_of_a_cluster() {
    let night = mixed(91, 300);
    let secrets = Secrets::of_night(&night);
    let (broker, database) = (Broker::start().await, PostgresServer::own().await);
    broker.management().make_vhost("night");
    let place = database.place().await;
    let mut cluster = Cluster::on(Site::world_of(&night), place.uri, broker.url("night")).await;
    let (collector, room) = (Collector::start().await, Webhook::start().await.expect("loopback has ports"));
    cluster.set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint());
    cluster.set("OTEL_TRACES_SAMPLER", "always_on");
    let url = cluster.file("webhook", room.url());
    cluster.set("ALERT_WEBHOOK_URL", format!("file:{}", url.display()));
    cluster.set("RUST_LOG", "debug");
    cluster.set("RETRY_MAX_ATTEMPTS", "20");
    cluster.simulators.set_faults(FaultPlan {
        latency: Latency::fixed(20.0),
        error_500: Rate::of(0.03),
        reset: Rate::of(0.03),
        ..FaultPlan::default()
    });
    cluster.produce(&["--date", DATE, "--detach"]).await.expect(0);
    // Before a worker has taken anything: every message is in the broker's files, and later in its retry queues.
    secrets.search(broker.folder(), 100_000);
    let mut workers = cluster.workers(2);
    let writes = async || cluster.simulators.snapshot().writes;
    until("writes", writes, |writes| *writes > 50).await;
    secrets.search(broker.folder(), 100_000);
    let closed = cluster.until_run_is("closed").await;
    check_night(&closed, night.expected());
    secrets.search(broker.folder(), 100_000);
    // Somebody else's message, which nobody can read. It is in clear in the broker's files: that is its sender's doing.
    let nik = night.population().nik(0);
    for queue in ["nightly-whatsapp-sync.work.v1", "nightly-whatsapp-sync.dead.v1"] {
        broker.management().publish("night", queue, (&nik, &format!("text/plain; nik={nik}")), &nik);
    }
    let kept = async || cluster.count("SELECT count(*) FROM stray").await;
    until("the strays to be kept", kept, |strays| *strays == 2).await;
    let day = ["export-breach", "--from", "2026-01-01T00:00", "--to", "2126-01-01T00:00"];
    let person = cluster.nik_hash(&nik).as_str().to_owned();
    let access = ["export-access", "--nik", &person];
    for list in [&["rows", DATE][..], &["dead-letters"], &["runs"], &day, &access] {
        for form in ["json", "csv", "text"] {
            cluster.produce(&[list, &["--output", form]].concat()).await.expect(0);
        }
    }
    for form in ["json", "html", "text"] {
        cluster.produce(&["run", DATE, "--output", form]).await.expect(0);
    }
    cluster.produce(&["--replay-dlq", "--output", "json"]).await.expect(3);
    for worker in &mut workers {
        let scrape = Pages::of(worker).await.scrape().await.text;
        let leaks = secrets.found_in(scrape.as_bytes());
        assert!(scrape.contains("nightly_sync_rows_total") && leaks.is_empty(), "{leaks:?}");
    }
    for worker in workers {
        worker.signal(tests::process::Sign::Terminate);
        worker.end().await.expect(143);
    }
    secrets.search(database.folder().expect("a private server"), 10_000_000);
    secrets.search(&cluster.output(), 100_000);
    let (traces, notices) = (collector.bytes(), format!("{:?}", room.taken()));
    assert!(traces.len() > 100_000 && notices.contains("closed"), "{} bytes, {notices}", traces.len());
    for told in [traces.as_slice(), notices.as_bytes()] {
        let leaks = secrets.found_in(told);
        assert!(leaks.is_empty(), "{leaks:?}");
    }
}
