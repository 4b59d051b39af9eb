//! The logs of a cluster: no line for a row, and every line an object of JSON.

use serde_json::Value;
use simulators::{FaultPlan, Latency, Rate};
use tests::process::{Cluster, Sign, check_night, mixed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_logs_what_happens_to_the_night_and_not_to_its_rows() {
    let night = mixed(112, 1_000);
    let mut cluster = Cluster::of(&night).await;
    cluster.set("RETRY_MAX_ATTEMPTS", "20");
    let (latency, error_500) = (Latency::fixed(2.0), Rate::of(0.02));
    cluster.simulators.set_faults(FaultPlan { latency, error_500, ..FaultPlan::default() });
    let workers = cluster.workers(2);
    let produced = cluster.start_produced_night().end().await.expect(3);
    check_night(&produced.object(), night.expected());
    let mut logs = vec![produced.stderr];
    for worker in workers {
        worker.signal(Sign::Terminate);
        logs.push(worker.end().await.expect(143).stderr);
    }
    for log in &logs {
        let lines: Vec<_> = log.lines().collect();
        for line in &lines {
            assert!(matches!(serde_json::from_str(line), Ok(Value::Object(_))), "{line}");
        }
        assert!((1..60).contains(&lines.len()), "{log}");
    }
}
