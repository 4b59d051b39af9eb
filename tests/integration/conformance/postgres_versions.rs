//! A program and the next one on the same tables, as docs/upgrading.md promises it.

use shared::domain::Outcome;
use shared::ledger::postgres::{PostgresLedger, PostgresTerms};
use shared::ledger::{Claim, ClaimRequest, Ledger as _, LedgerError, Record, RowKey, Settlement};
use tests::conformance::ledger::{LEASE, Postgres, Stage, plain};
use tests::night::until;
use tests::services::PostgresServer;
use tests::services::postgres::Place;
use tokio_postgres::types::Type;

const ON: &str = "2026-11-23";

async fn place() -> Place {
    PostgresServer::get().await.place().await
}

/// What the migration of a later version does and notes.
async fn migrate(place: &Place, name: &str, sql: &str) {
    let noted = format!(
        "{sql}; INSERT INTO refinery_schema_history SELECT max(version) + 1, '{name}', max(applied_on), '1' \
         FROM refinery_schema_history"
    );
    place.client().await.batch_execute(&noted).await.expect("a later version");
}

#[tokio::test]
async fn a_night_goes_on_over_what_a_newer_program_adds() {
    let place = place().await;
    let stage = Stage::new(Postgres::at(&place).await);
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    let key = |sheet_row| RowKey { run, sheet_row, generation: 1 };
    let first = stage.take(key(2), 0).await;
    migrate(
        &place,
        "more",
        "ALTER TABLE row ADD COLUMN more text, ADD COLUMN much integer NOT NULL DEFAULT 0;
         CREATE TABLE more (id integer PRIMARY KEY)",
    )
    .await;
    let done = || Settlement::Done { outcome: Outcome::Updated, warnings: Vec::new(), previous: None };
    stage.ledger().record(&[plain(&first, done())]).await.expect("what was claimed before");

    let late =
        PostgresLedger::connect(&place.address(), PostgresTerms::default()).await.expect("a late start");
    let claims = late.claim(&[ClaimRequest { key: key(3), turn: 0, alone: false }], LEASE).await.unwrap();
    let Claim::Ours(second) = &claims[0] else { panic!("{claims:?}") };
    let record: Record = plain(second, done());
    late.record(&[record]).await.unwrap();
    for sheet_row in [2, 3] {
        assert_eq!(stage.outcome(run, sheet_row).await, Some(Outcome::Updated));
    }
    let next = stage.night("2026-11-24", &[(2, 3, 3)]).await;
    assert_eq!(stage.outcome(next, 2).await, None, "seeded, and open");
}

/// Both find a database without tables; the newer one is first.
#[tokio::test]
async fn a_program_that_waits_for_a_newer_one_to_make_the_tables_bears_them() {
    let place = place().await;
    let newer = place.client().await;
    let lock = "BEGIN; SELECT pg_advisory_xact_lock(hashtext('nightly-sync ' || current_schema()))";
    newer.batch_execute(lock).await.expect("the lock of migrations");
    let address = place.address();
    let waiting =
        tokio::spawn(async move { PostgresLedger::connect(&address, PostgresTerms::default()).await });
    let beside = place.client().await;
    let waits = async || {
        let asked =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = $1";
        let found = beside.query_typed_one(asked, &[(&place.name, Type::TEXT)]).await.expect("an answer");
        found.get::<_, i64>(0)
    };
    until("it to wait", waits, |waiting| *waiting > 0).await;
    let other = self::place().await;
    drop(Stage::new(Postgres::at(&other).await));
    let noted = format!(
        "CREATE TABLE refinery_schema_history AS SELECT * FROM {}.refinery_schema_history;
         INSERT INTO refinery_schema_history VALUES (999, 'newer', '', '1'); COMMIT",
        other.name
    );
    newer.batch_execute(&noted).await.expect("what a newer program notes");
    waiting.await.expect("no panic").expect("it bears them");
}

#[tokio::test]
async fn who_lacks_what_a_newer_program_took_away_is_refused_by_name() {
    let place = place().await;
    drop(Stage::new(Postgres::at(&place).await));
    migrate(&place, "contract_after_1", "SELECT").await;
    PostgresLedger::connect(&place.address(), PostgresTerms::default()).await.expect("it knows version 1");
    migrate(&place, "contract_after_999", "SELECT").await;
    let Err(refused) = PostgresLedger::connect(&place.address(), PostgresTerms::default()).await else {
        panic!("it needs what is gone")
    };
    assert!(
        matches!(&refused, LedgerError::TooNew { name, .. } if name == "contract_after_999"),
        "{refused}"
    );
    assert!(refused.to_string().contains("start the newer one"), "{refused}");
}
