//! `rekey` on a cluster whose workers go on.

use secrecy::ExposeSecret as _;
use shared::data_key::DataKeys;
use tests::night::until;
use tests::process::{Cluster, counts, mixed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_changed_beside_workers_killed_in_the_middle_and_carried_on() {
    let night = mixed(97, 1_200);
    let mut cluster = Cluster::of(&night).await;
    let old = cluster.setting("DATA_KEY").expect("a cluster has one");
    let old = std::fs::read_to_string(old.trim_start_matches("file:")).expect("the key");
    let new = DataKeys::generate().expose_secret().trim().replacen("1:", "new:", 1);
    // Every process knows both before one of them uses the new one.
    let both = cluster.site_mut().file("both", format!("{new}\n{old}"));
    let first = {
        let _worker = cluster.worker();
        cluster.start_produced_night().end().await.expect(3).object()
    };
    cluster.set("DATA_KEY", format!("file:{}", both.display()));
    let _workers = cluster.workers(2);
    let writes = cluster.simulators.snapshot().writes;
    let applied = counts(&first["outcomes"])["updated"] + counts(&first["outcomes"])["unchanged"];
    let check = |cluster: &Cluster, report: &serde_json::Value| {
        assert_eq!(counts(&report["outcomes"])["skipped_already_applied"], applied);
        assert_eq!(cluster.simulators.snapshot().writes, writes);
    };
    check(&cluster, &cluster.start_produced_night().end().await.expect(3).object());

    let under_new = "SELECT count(*) FROM row WHERE nik_hash LIKE 'new:%'";
    let running = cluster.producer(&["rekey"]);
    until("rows under the new key", async || cluster.count(under_new).await, |rows| *rows > 0).await;
    running.kill().await;
    let (done, all) = (cluster.count(under_new).await, cluster.count("SELECT count(*) FROM row").await);
    assert!(done > 0 && done < all, "{done} of {all}: it was in the middle");
    // It is another's only when the duty of who died has lapsed.
    check(&cluster, &cluster.start_produced_night().end().await.expect(3).object());
    let left = "SELECT count(*) FROM newest_success WHERE nik_hash NOT LIKE 'new:%'";
    assert_eq!(cluster.count(left).await, 0);

    let only = cluster.site_mut().file("only", &new);
    cluster.set("DATA_KEY", format!("file:{}", only.display()));
    let _worker = cluster.worker();
    check(&cluster, &cluster.start_produced_night().end().await.expect(3).object());
}
