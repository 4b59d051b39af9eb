//! What a container asks of the programs: the tables made by a command of its own, and a health check without another
//! program.

use tests::process::{Cluster, Pages, mixed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrate_makes_the_tables_and_ends_and_may_be_asked_again() {
    let cluster = Cluster::of(&mixed(111, 60)).await;
    let noted = async || cluster.count("SELECT count(*) FROM refinery_schema_history").await;
    assert_eq!(noted().await, 0);
    cluster.produce(&["migrate"]).await.expect(0);
    let made = noted().await;
    assert!(made > 5, "{made} versions");
    assert_eq!(cluster.count("SELECT count(*) FROM run").await, 0);
    assert!(cluster.produce(&["migrate"]).await.expect(0).stdout.contains("up to date"));
    assert_eq!(noted().await, made);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_tells_whether_the_process_beside_it_answers() {
    let mut cluster = Cluster::of(&mixed(112, 60)).await;
    let mut worker = cluster.worker();
    let address = Pages::of(&mut worker).await.authority();
    cluster.set("METRICS_ADDR", address.clone());
    let health = async |program: &str| cluster.spawn(cluster.program(program, &["health"])).end().await;
    for program in ["worker", "dashboard", "producer", "standalone"] {
        health(program).await.expect(0);
    }
    worker.kill().await;
    for program in ["worker", "dashboard", "producer", "standalone"] {
        let said = health(program).await.expect(1).stderr;
        assert!(said.contains(&address) && said.contains("METRICS_ADDR"), "{said}");
    }
}
