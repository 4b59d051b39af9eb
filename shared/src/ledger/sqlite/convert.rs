//! Between the ledger's types and SQLite's columns.

use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Value, ValueRef};
use uuid::Uuid;

use crate::data_key::KeyedHash;
use crate::domain::{RunDate, Warning};
use crate::ledger::{Order, RowKey, RunId};

impl ToSql for RunId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.0.as_bytes())))
    }
}

impl FromSql for RunId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Uuid::from_slice(value.as_blob()?).map(RunId).map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}

impl ToSql for KeyedHash {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.as_str().as_bytes())))
    }
}

impl FromSql for KeyedHash {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}

impl ToSql for RunDate {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(Value::Text(self.to_string())))
    }
}

/// A word of one of the contract's lists.
pub(super) struct Word<T>(pub(super) T);

impl<T> FromSql for Word<T>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Word).map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}

/// A column that holds a word, or nothing.
pub(super) fn word<T>(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<T>>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    Ok(row.get::<_, Option<Word<T>>>(column)?.map(|word| word.0))
}

/// A column that holds a word.
pub(super) fn needed<T>(row: &Row<'_>, column: &str) -> rusqlite::Result<T>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    Ok(row.get::<_, Word<T>>(column)?.0)
}

/// A column of microseconds since the Unix epoch.
pub(super) fn instant(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.and_then(|micros| Timestamp::from_microsecond(micros).ok()))
}

/// A column of JSON.
pub(super) fn json(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<serde_json::Value>> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| serde_json::from_str(&text).map_err(|error| FromSqlError::Other(Box::new(error)).into()))
        .transpose()
}

/// The three columns that name a row.
pub(super) fn row_key(row: &Row<'_>) -> rusqlite::Result<RowKey> {
    Ok(RowKey {
        run: row.get("run_id")?,
        sheet_row: row.get("sheet_row")?,
        generation: row.get("generation")?,
    })
}

/// Run date and snapshot order.
pub(super) fn order(row: &Row<'_>) -> rusqlite::Result<Order> {
    Ok(Order { date: needed(row, "run_date")?, snapshot: row.get("snapshot_order")? })
}

/// Codes separated by spaces. A code of another version is left out: it is a remark, not the outcome.
pub(super) fn warnings(text: &str) -> Vec<Warning> {
    text.split_whitespace().filter_map(|code| code.parse().ok()).collect()
}

/// The stored form of [`warnings`].
pub(super) fn warning_codes(warnings: &[Warning]) -> String {
    warnings.iter().map(|warning| warning.as_str()).collect::<Vec<_>>().join(" ")
}
