//! `rekey`: killed in the middle, carried on by the next night, and nothing left under the old key.

use rusqlite::Connection;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use shared::data_key::DataKeys;
use tests::night::until;
use tests::process::{DATE, Site, counts, mixed};

fn ask(site: &Site, query: &str) -> i64 {
    let ledger = Connection::open(site.work().join("nightly-sync.db")).expect("the ledger");
    ledger.busy_timeout(std::time::Duration::from_secs(10)).expect("a time-out");
    ledger.query_row(query, [], |row| row.get(0)).expect("an answer")
}

/// A line for `DATA_KEY`.
fn new_line() -> String {
    DataKeys::generate().expose_secret().trim().replacen("1:", "new:", 1)
}

fn check_nothing_new(site: &Site, report: &Value, first: &Value, writes: u64) {
    let (first, second) = (counts(&first["outcomes"]), counts(&report["outcomes"]));
    assert_eq!(second["skipped_already_applied"], first["updated"] + first["unchanged"]);
    assert_eq!((second["updated"], second["unchanged"]), (0, 0));
    assert_eq!(site.simulators.snapshot().writes, writes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rekey_that_is_killed_is_carried_on_by_the_next_night() {
    let night = mixed(95, 3_000);
    let site = Site::of(&night).await;
    let first = site.night().await.expect(3).object();
    let writes = site.simulators.snapshot().writes;
    let file = site.work().join("nightly-sync.db.key");
    let old = std::fs::read_to_string(&file).expect("the key");
    let new = new_line();
    std::fs::write(&file, format!("{new}\n{old}")).expect("a file");
    check_nothing_new(&site, &site.night().await.expect(3).object(), &first, writes);

    let (under_new, all) =
        ("SELECT COUNT(*) FROM row WHERE nik_hash LIKE 'new:%'", "SELECT COUNT(*) FROM row");
    let running = site.start(&["rekey"]);
    until("rows under the new key", async || ask(&site, under_new), |rows| *rows > 0).await;
    running.kill().await;
    let done = ask(&site, under_new);
    assert!(done > 0 && done < ask(&site, all), "{done}: it was in the middle");

    let carried_on = site.night().await.expect(3);
    assert!(carried_on.stderr.contains("carrying it on before anything else"), "{}", carried_on.stderr);
    check_nothing_new(&site, &carried_on.object(), &first, writes);
    std::fs::write(&file, &new).expect("a file");
    for (table, column) in [
        ("row", "nik_hash"),
        ("newest_success", "nik_hash"),
        ("success", "number_hash"),
        ("dead_letter", "nik_hash"),
    ] {
        let left = format!("SELECT COUNT(*) FROM {table} WHERE {column} NOT LIKE 'new:%'");
        assert_eq!(ask(&site, &left), 0, "{table}");
    }
    check_nothing_new(&site, &site.night().await.expect(3).object(), &first, writes);
    site.run(&["rows", DATE, "--output", "csv"]).await.expect(0);
    let again = site.run(&["rekey"]).await.expect(0).stdout;
    assert!(
        again.contains("Under key 'new' now: 0 rows") && again.contains("not needed any more"),
        "{again}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rekey_beside_an_unfinished_night_is_refused() {
    let night = mixed(96, 100);
    let mut site = Site::of(&night).await;
    site.set("RUN_DEADLINE", "1s");
    site.simulators.fhir().set_api_keys(["another-key".to_owned()]);
    site.night().await.expect(5);
    let refused = site.run(&["rekey"]).await.expect(5);
    assert!(refused.stderr.contains("is not finished"), "{}", refused.stderr);
    assert_eq!(refused.stdout, "");
}
