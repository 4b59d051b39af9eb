//! What is in a process's memory stays there when it crashes, whatever the machine allows.

use simulators::{FaultPlan, Latency};
use tests::night::until;
use tests::process::{Cluster, DATE, Running, mixed};

/// The soft and the hard limit of the size of a core dump.
fn limits(of: &Running) -> Option<[String; 2]> {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", of.id())).expect("a running process");
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    // While it is still the shell that it was started by.
    let name = std::fs::read_to_string(format!("/proc/{}/comm", of.id())).expect("a running process");
    let mut words = line.trim_start_matches("Max core file size").split_whitespace().map(str::to_owned);
    (name.trim() != "sh").then(|| [words.next().expect("a limit"), words.next().expect("a limit")])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_program_dumps_core() {
    let night = mixed(121, 40);
    let mut cluster = Cluster::of(&night).await;
    // Each lives until it is told otherwise: nothing is answered in time.
    cluster.simulators.set_faults(FaultPlan { latency: Latency::fixed(600_000.0), ..FaultPlan::default() });
    for (program, arguments) in [
        ("producer", &["--date", DATE][..]),
        ("worker", &[]),
        ("dashboard", &[]),
        ("standalone", &["--serve"]),
    ] {
        if program == "standalone" {
            cluster.set("DATABASE_URL", "sqlite:nightly-sync.db");
            cluster.set("AMQP_URL", "");
        }
        let running = cluster.spawn(cluster.dumpable_program(program, arguments));
        let none = Some(["0".to_owned(), "0".to_owned()]);
        let seen = async || limits(&running);
        until(&format!("{program} to allow itself no core dump"), seen, |seen| *seen == none).await;
        assert!(!running.crash().await, "{program}");
    }
}
