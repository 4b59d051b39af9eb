//! Between the ledger's types and Postgres's columns.

use std::error::Error;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use jiff::Timestamp;
use jiff::civil::{Date, date};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};
use uuid::Uuid;

use crate::data_key::KeyedHash;
use crate::domain::{RunDate, Warning};
use crate::ledger::{LedgerError, Order, RowKey, RunId};

/// A `date` on the wire counts days from here.
const FIRST_DAY: Date = date(2000, 1, 1);

impl ToSql for RunDate {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.date().since(FIRST_DAY)?.get_days().to_sql(ty, out)
    }

    accepts!(DATE);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for RunDate {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let days = i32::from_sql(&Type::INT4, raw)?;
        let day = FIRST_DAY.checked_add(jiff::Span::new().try_days(days)?)?;
        Ok(day.to_string().parse()?)
    }

    accepts!(DATE);
}

/// A column's value.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &'static str) -> Result<T, LedgerError> {
    row.try_get(column).map_err(|_| LedgerError::Foreign { what: column })
}

/// A number that is never negative.
pub(super) fn count(row: &Row, column: &'static str) -> Result<u32, LedgerError> {
    u32::try_from(get::<i32>(row, column)?).map_err(|_| LedgerError::Foreign { what: column })
}

/// A count of many rows.
pub(super) fn total(row: &Row, column: &'static str) -> Result<u64, LedgerError> {
    u64::try_from(get::<i64>(row, column)?).map_err(|_| LedgerError::Foreign { what: column })
}

/// A column that holds a word of one of the contract's lists, or a keyed hash, or nothing.
pub(super) fn word<T: FromStr>(row: &Row, column: &'static str) -> Result<Option<T>, LedgerError> {
    let text: Option<&str> = get(row, column)?;
    text.map(str::parse).transpose().map_err(|_| LedgerError::Foreign { what: column })
}

/// A column that holds a word.
pub(super) fn needed<T: FromStr>(row: &Row, column: &'static str) -> Result<T, LedgerError> {
    word(row, column)?.ok_or(LedgerError::Foreign { what: column })
}

/// A column of instants.
pub(super) fn instant(row: &Row, column: &'static str) -> Result<Option<Timestamp>, LedgerError> {
    let at: Option<SystemTime> = get(row, column)?;
    at.map(Timestamp::try_from).transpose().map_err(|_| LedgerError::Foreign { what: column })
}

/// A column of microseconds that are left of something; nothing where it has passed.
pub(super) fn left(row: &Row, column: &'static str) -> Result<Option<Duration>, LedgerError> {
    let micros: Option<i64> = get(row, column)?;
    Ok(micros
        .and_then(|micros| u64::try_from(micros).ok())
        .filter(|micros| *micros > 0)
        .map(Duration::from_micros))
}

/// The three columns that name a row.
pub(super) fn row_key(row: &Row) -> Result<RowKey, LedgerError> {
    Ok(RowKey {
        run: RunId(get(row, "run_id")?),
        sheet_row: count(row, "sheet_row")?,
        generation: count(row, "generation")?,
    })
}

/// Run date and snapshot order.
pub(super) fn order(row: &Row) -> Result<Order, LedgerError> {
    Ok(Order { date: get(row, "run_date")?, snapshot: get(row, "snapshot_order")? })
}

/// Codes separated by spaces. A code of another version is left out: it is a remark, not the outcome.
pub(super) fn warnings(row: &Row) -> Result<Vec<Warning>, LedgerError> {
    let codes: &str = get(row, "warnings")?;
    Ok(codes.split_whitespace().filter_map(|code| code.parse().ok()).collect())
}

/// The stored form of [`warnings`].
pub(super) fn warning_codes(warnings: &[Warning]) -> String {
    warnings.iter().map(|warning| warning.as_str()).collect::<Vec<_>>().join(" ")
}

/// A duration as statements take it, who multiply it with `interval '1 microsecond'`.
pub(super) fn micros(duration: Duration) -> i64 {
    // A thousand years at most: what is added to an instant must remain one.
    const MOST: i64 = 1_000 * 365 * 86_400 * 1_000_000;
    i64::try_from(duration.as_micros()).map_or(MOST, |micros| micros.min(MOST))
}

/// A count as a column takes it.
pub(super) fn int(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Keyed hashes as an array of text.
pub(super) fn texts<'a>(hashes: impl IntoIterator<Item = &'a KeyedHash>) -> Vec<&'a str> {
    hashes.into_iter().map(KeyedHash::as_str).collect()
}

/// Row keys as the arrays that statements unnest.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) runs: Vec<Uuid>,
    pub(super) rows: Vec<i32>,
    pub(super) generations: Vec<i32>,
}

impl FromIterator<RowKey> for Keys {
    fn from_iter<T: IntoIterator<Item = RowKey>>(keys: T) -> Self {
        let mut arrays = Self::default();
        for key in keys {
            arrays.runs.push(key.run.0);
            arrays.rows.push(int(key.sheet_row));
            arrays.generations.push(int(key.generation));
        }
        arrays
    }
}
