//! Brings the tables up to date: all of it in one transaction, one process at a time, and without a prepared
//! statement, so that it too may go through a transaction pooler.

use deadpool_postgres::{Object, Pool};
use refinery_core::Migration;
use refinery_core::traits::r#async::{AsyncMigrate, AsyncQuery, AsyncTransaction};
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

/// What a migration's name begins with that takes something away: the version follows that a program has to know of to do
/// without it.
const CONTRACTION: &str = "contract_after_";

/// Brings the tables of the connection's schema up to date. Where they are, nothing but reading is needed, so a
/// role that may create no table can start. Tables that a newer program brought further are left as they are.
pub(super) async fn migrate(pool: &Pool) -> Result<(), LedgerError> {
    let runner = embedded::migrations::runner();
    // Taken out of the pool for good: however this ends, no transaction is left open on a pooled connection.
    let connection = Object::take(pool.get().await.map_err(|source| failed(DOING, source))?);
    let step = async |sql: &str| connection.batch_execute(sql).await.map_err(|source| failed(DOING, source));
    if is_usable(&connection).await? {
        return Ok(());
    }
    // A lock of this transaction, not of the session: it needs no connection of its own.
    step(
        "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 60000;
         SELECT pg_advisory_xact_lock(hashtext('nightly-sync ' || current_schema()))",
    )
    .await?;
    // Whoever had the lock before may have been a newer program.
    match is_usable(&connection).await {
        Ok(false) => {}
        otherwise => {
            step("ROLLBACK").await?;
            return otherwise.map(|_| ());
        }
    }
    let migrated = runner.run_async(&mut Migrating(&connection)).await;
    step(if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    migrated.map_err(|source| LedgerError::Migration(Box::new(source))).map(|_| ())
}

/// Whether there is nothing to do.
async fn is_usable(client: &Client) -> Result<bool, LedgerError> {
    let noted = applied(client).await.map_err(|source| failed(DOING, source))?;
    match standing(&versions(), &noted) {
        Tables::Usable => Ok(true),
        Tables::TooNew { version, name } => Err(LedgerError::TooNew { version, name }),
        Tables::Other => Ok(false),
    }
}

/// How tables stand to a program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tables {
    /// It can work with them: its own, or those of a newer program that took nothing away that it needs.
    Usable,
    /// A newer program took away what it needs.
    TooNew {
        /// The migration that did.
        version: String,
        /// Its name.
        name: String,
    },
    /// They lack something, or are another build's.
    Other,
}

/// Compares a program's versions of the tables with those that are noted in a database, both oldest first.
pub(crate) fn standing(ours: &[(String, String, String)], noted: &[(String, String, String)]) -> Tables {
    if noted.len() < ours.len() || noted[..ours.len()] != *ours {
        return Tables::Other;
    }
    let number = |version: &str| version.parse::<u32>().unwrap_or_default();
    let newest = ours.last().map_or(0, |(version, ..)| number(version));
    let is_missed = |(_, name, _): &&(String, String, String)| {
        name.strip_prefix(CONTRACTION).is_some_and(|after| number(after) > newest)
    };
    match noted[ours.len()..].iter().find(is_missed) {
        Some((version, name, _)) => Tables::TooNew { version: version.clone(), name: name.clone() },
        None => Tables::Usable,
    }
}

/// The versions that are noted in the database, oldest first; none where nothing is noted.
async fn applied(client: &Client) -> Result<Vec<(String, String, String)>, Error> {
    let known = simple(client, "SELECT to_regclass('refinery_schema_history')").await?;
    if known.first().and_then(|row| row.first().cloned()).flatten().is_none() {
        return Ok(Vec::new());
    }
    let rows = simple(client, "SELECT version, name, checksum FROM refinery_schema_history ORDER BY version");
    let text = |row: Vec<Option<String>>| {
        let mut columns = row.into_iter().map(Option::unwrap_or_default);
        let mut next = || columns.next().unwrap_or_default();
        (next(), next(), next())
    };
    Ok(rows.await?.into_iter().map(text).collect())
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

#[cfg(test)]
mod tests {
    use super::{Tables, standing};

    fn noted(versions: &[(u32, &str)]) -> Vec<(String, String, String)> {
        let row = |(version, name): &(u32, &str)| (version.to_string(), (*name).to_owned(), "1".to_owned());
        versions.iter().map(row).collect()
    }

    #[test]
    fn a_newer_programs_additions_are_borne_and_what_it_took_away_after_us_is_not() {
        let ours = noted(&[(1, "ledger"), (4, "pages")]);
        let with = |more: &[(u32, &str)]| standing(&ours, &[ours.clone(), noted(more)].concat());
        assert_eq!(with(&[]), Tables::Usable);
        assert_eq!(with(&[(5, "samples"), (6, "more")]), Tables::Usable);
        assert_eq!(with(&[(5, "samples"), (6, "contract_after_4")]), Tables::Usable);
        let refused = Tables::TooNew { version: "6".into(), name: "contract_after_5".into() };
        assert_eq!(with(&[(5, "samples"), (6, "contract_after_5")]), refused);
    }

    #[test]
    fn tables_that_lack_something_or_are_of_another_build_are_not_usable() {
        let ours = noted(&[(1, "ledger"), (4, "pages")]);
        assert_eq!(standing(&ours, &[]), Tables::Other);
        assert_eq!(standing(&ours, &noted(&[(1, "ledger")])), Tables::Other);
        assert_eq!(standing(&ours, &noted(&[(1, "ledger"), (3, "other"), (4, "pages")])), Tables::Other);
        assert_eq!(standing(&ours, &noted(&[(1, "ledger"), (5, "later")])), Tables::Other);
    }
}
