//! Brings the tables up to date: all of it in one transaction, one process at a time, and without a prepared
//! statement, so that it too may go through a transaction pooler.

use deadpool_postgres::{Object, Pool};
use refinery_core::traits::r#async::{AsyncMigrate, AsyncQuery, AsyncTransaction};
use refinery_core::{Migration, Runner};
use time::OffsetDateTime;
use tokio_postgres::{Client, Error, SimpleQueryMessage};

use super::failed;
use crate::ledger::LedgerError;

mod embedded {
    refinery::embed_migrations!("../migrations/postgres");
}

/// The tables' versions, oldest first, as they are noted in the database: version, name, checksum.
pub(crate) fn versions() -> Vec<(String, String, String)> {
    let runner = embedded::migrations::runner();
    let mut all: Vec<_> = runner.get_migrations().iter().collect();
    all.sort();
    let noted = |migration: &&Migration| {
        (migration.version().to_string(), migration.name().to_owned(), migration.checksum().to_string())
    };
    all.iter().map(noted).collect()
}

/// The names of all tables that are made.
pub(crate) fn tables() -> Vec<String> {
    let runner = embedded::migrations::runner();
    let made = |migration: &Migration| {
        let sql = migration.sql().unwrap_or_default();
        let names = sql.split("CREATE TABLE ").skip(1).filter_map(|rest| rest.split([' ', '(']).next());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    runner.get_migrations().iter().flat_map(made).collect()
}

const DOING: &str = "bring its tables up to date";

/// Brings the tables of the connection's schema up to date. Where they are, nothing but reading is needed, so a
/// role that may create no table can start.
pub(super) async fn migrate(pool: &Pool) -> Result<(), LedgerError> {
    let runner = embedded::migrations::runner();
    // Taken out of the pool for good: however this ends, no transaction is left open on a pooled connection.
    let connection = Object::take(pool.get().await.map_err(|source| failed(DOING, source))?);
    let step = async |sql: &str| connection.batch_execute(sql).await.map_err(|source| failed(DOING, source));
    if is_current(&connection, &runner).await.map_err(|source| failed(DOING, source))? {
        return Ok(());
    }
    // A lock of this transaction, not of the session: it needs no connection of its own.
    step(
        "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 60000;
         SELECT pg_advisory_xact_lock(hashtext('nightly-sync ' || current_schema()))",
    )
    .await?;
    let migrated = runner.run_async(&mut Migrating(&connection)).await;
    step(if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    migrated.map_err(|source| LedgerError::Migration(Box::new(source))).map(|_| ())
}

async fn is_current(client: &Client, runner: &Runner) -> Result<bool, Error> {
    let known = simple(client, "SELECT to_regclass('refinery_schema_history')").await?;
    if known.first().and_then(|row| row.first().cloned()).flatten().is_none() {
        return Ok(false);
    }
    let applied =
        simple(client, "SELECT version, name, checksum FROM refinery_schema_history ORDER BY version")
            .await?;
    let mut wanted: Vec<_> = runner.get_migrations().iter().collect();
    wanted.sort();
    Ok(wanted.len() == applied.len()
        && wanted.iter().zip(applied).all(|(wanted, applied)| {
            applied
                == [wanted.version().to_string(), wanted.name().to_owned(), wanted.checksum().to_string()]
                    .map(Some)
        }))
}

/// The rows of a query without parameters, as text.
pub(crate) async fn simple(client: &Client, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
    let answers = client.simple_query(sql).await?;
    let rows = answers.iter().filter_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    Ok(rows.map(|row| (0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect()).collect())
}

/// A connection with a transaction open, as refinery wants it.
struct Migrating<'a>(&'a Client);

impl AsyncTransaction for Migrating<'_> {
    type Error = Error;

    async fn execute<'a, T: Iterator<Item = &'a str> + Send + 'a>(
        &'a mut self,
        queries: T,
    ) -> Result<usize, Error> {
        let mut count = 0;
        for query in queries {
            self.0.batch_execute(query).await?;
            count += 1;
        }
        Ok(count)
    }
}

impl AsyncQuery<Vec<Migration>> for Migrating<'_> {
    async fn query(&mut self, query: &str) -> Result<Vec<Migration>, Error> {
        let applied = simple(self.0, query).await?;
        let text =
            |row: &[Option<String>], column: usize| row.get(column).cloned().flatten().unwrap_or_default();
        Ok(applied
            .iter()
            .map(|row| {
                // When it was applied is shown to nobody here.
                Migration::applied(
                    text(row, 0).parse().unwrap_or_default(),
                    text(row, 1),
                    OffsetDateTime::UNIX_EPOCH,
                    text(row, 3).parse().unwrap_or_default(),
                )
            })
            .collect())
    }
}

impl AsyncMigrate for Migrating<'_> {}
