//! `prune`, and retention at the end of each run.

use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};
use tests::process::{DATE, Site, mixed};

const DAYS: i64 = 86_400 * 1_000_000;

/// Makes everything in the ledger look older by so many days.
fn age(site: &Site, days: i64) {
    let ledger = Connection::open(site.work().join("nightly-sync.db")).expect("the ledger");
    ledger.busy_timeout(Duration::from_secs(10)).expect("a time-out");
    for (table, column) in [
        ("run", "started_at"),
        ("run", "snapshot_at"),
        ("run", "closed_at"),
        ("dead_letter", "died_at"),
        ("act", "at"),
        ("notice", "noted_at"),
    ] {
        let aged = format!("UPDATE {table} SET {column} = {column} - {}", days * DAYS);
        ledger.execute(&aged, []).expect("to age");
    }
}

fn ask(site: &Site, query: &str) -> i64 {
    let ledger = Connection::open(site.work().join("nightly-sync.db")).expect("the ledger");
    ledger.query_row(query, [], |row| row.get(0)).expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_old_is_deleted_after_open_dead_letters_were_announced() {
    let night = mixed(91, 1_200);
    let site = Site::of(&night).await;
    let report = site.night().await.expect(3).object();
    let rows = report["rows_selected"].as_i64().expect("a count");
    let dead = report["outcomes"]["dead_lettered"].as_i64().expect("a count");
    let prune = ["prune", "--output", "json"];
    let young = site.run(&prune).await.expect(0).object();
    assert!(young.as_object().expect("a map").values().all(|count| count == 0), "{young}");

    age(&site, 31);
    let unannounced = site.run(&prune).await.expect(0);
    assert_eq!(unannounced.object()["rows"], 0, "nobody was told of its dead letters");
    let told = ask(&site, "SELECT COUNT(*) FROM notice WHERE kind = 'dead_letters_expire'");
    assert_eq!(told, 1);
    age(&site, 4);
    let text = site.run(&["prune"]).await.expect(0).stdout;
    assert!(text.starts_with("Deleted what was older than 30 days: "), "{text}");
    assert!(text.contains(&format!("{rows} rows, 0 replayed and {dead} open dead letters")), "{text}");
    for table in ["row", "dead_letter", "intent", "success", "row_history", "attempt"] {
        assert_eq!(ask(&site, &format!("SELECT COUNT(*) FROM {table}")), 0, "{table}");
    }
    assert!(ask(&site, "SELECT COUNT(*) FROM newest_success") > 0, "an old number must not come back");
    let recorded =
        "SELECT detail ->> '$.deleted.rows' FROM act WHERE act = 'prune' ORDER BY number DESC LIMIT 1";
    assert_eq!(ask(&site, recorded), rows);
    assert!(site.run(&["rows", DATE]).await.expect(0).stdout.contains("Nothing to list"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_run_deletes_what_is_old_at_its_end() {
    let night = mixed(92, 200);
    let site = Site::of(&night).await;
    // Without dead letters there is nothing to announce.
    let first = site.run(&["--date", DATE, "--dry-run", "--output", "json"]).await.expect(0).object();
    age(&site, 31);
    let second: Value = site.night().await.expect(3).object();
    assert_eq!(ask(&site, "SELECT COUNT(*) FROM run"), 1, "{}", first["run_id"]);
    assert_eq!(Some(ask(&site, "SELECT COUNT(*) FROM row")), second["rows_selected"].as_i64());
    let kept = site.run(&["runs", "--output", "json"]).await.expect(0).objects();
    assert_eq!(kept.iter().map(|run| &run["run_id"]).collect::<Vec<_>>(), [&second["run_id"]]);
    assert_ne!(json!(first["run_id"]), second["run_id"]);
    for table in tables_of_runs(&site) {
        let left = format!("SELECT COUNT(*) FROM {table} WHERE run_id NOT IN (SELECT run_id FROM run)");
        assert_eq!(ask(&site, &left), 0, "{table} of the deleted run");
    }
}

/// Every table with something of a run in it, but the one that outlives its runs.
fn tables_of_runs(site: &Site) -> Vec<String> {
    let ledger = Connection::open(site.work().join("nightly-sync.db")).expect("the ledger");
    let mut tables = ledger
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'newest_success'
               AND EXISTS (SELECT 1 FROM pragma_table_info(sqlite_schema.name) WHERE name = 'run_id')",
        )
        .expect("a query");
    let tables = tables.query_map([], |row| row.get(0)).expect("tables").collect::<Result<Vec<_>, _>>();
    let tables = tables.expect("their names");
    assert!(tables.len() > 5, "{tables:?}");
    tables
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn less_than_thirty_days_is_refused_and_nothing_is_deleted() {
    let night = mixed(93, 50);
    let mut site = Site::of(&night).await;
    site.night().await;
    site.set("RETENTION_DAYS", "29");
    let refused = site.run(&["prune"]).await.expect(2);
    assert!(refused.stderr.contains("RETENTION_DAYS"), "{}", refused.stderr);
}
