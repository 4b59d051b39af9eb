//! Rows through the Google Sheets API, with a service account.
//!
//! Everything is behind `google-sheets4` and `yup-oauth2`; the rest of the project knows neither. What lives
//! where: `connector` is the way to the network (roots, proxies), `metered` keeps answers within
//! bounds there, `client` makes calls and tries them again,
//! `fault` says what a failed call means, `layout` finds the sheet and its columns, and this module reads.
//!
//! # Reading while people edit
//!
//! The API reads a range at a time, and a row inserted between two calls shifts all that follow. So each
//! range read is remembered by a hash of its three columns (in memory, 8 bytes for 5,000 rows); afterwards
//! those columns alone are read again and compared, and a range that differs is read and delivered anew.
//!
//! # Log level
//!
//! `yup-oauth2` prints the signed assertion and the access token at debug level. `shared::telemetry` caps its
//! level at info; a program that sets up logging by itself must do the same.

pub(crate) mod client;
mod connector;
pub(crate) mod fault;
mod layout;
pub mod look;
mod metered;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::Value;
use shared::domain::{Cell, SourceRow};
use shared::retry::RetryPolicy;

use self::client::{SheetsClient, Values};
pub use self::connector::Egress;
use self::layout::Layout;
use super::header::ColumnNames;
use super::range::{SheetRange, a1};
use super::row::is_blank_row;
use super::{BATCH_ROWS, LAST_ROW, REREADS_LIMIT, ReadSummary, RowSink, RowSource, SourceError};

/// Rows whose three columns one request of the second look covers. Quota counts requests; but each cell is a list of its
/// own when it is read, and takes some 350 bytes of memory for the moment.
const LOOK_ROWS: u32 = 10_000;

/// What to read and how.
#[derive(Clone, Debug)]
pub struct GoogleConfig {
    /// `SHEET_ID`.
    pub spreadsheet_id: String,
    /// `SHEET_RANGE`.
    pub range: SheetRange,
    /// `SHEET_COLUMN_*`.
    pub columns: ColumnNames,
    /// `GOOGLE_CREDENTIALS`: a service account's key as JSON. Its `token_uri` is where tokens come from.
    pub credentials: SecretString,
    /// `SHEETS_URL`; `None` is Google's.
    pub base_url: Option<String>,
    /// Roots and proxies.
    pub egress: Egress,
    /// Rows one request reads, at most [`BATCH_ROWS`].
    pub rows_per_request: u32,
    /// Time-out of one request, its token included.
    pub request_timeout: Duration,
    /// Attempts and delays of one request where it failed in a way that usually passes.
    pub retry: RetryPolicy,
    /// How long one request may wait in all for quota, which refills by the minute. Such waits use no attempt.
    pub quota_patience: Duration,
    /// Seed of the jitter in delays; `None` takes one from the system.
    pub jitter_seed: Option<u64>,
}

impl GoogleConfig {
    /// The settings with their defaults.
    pub fn new(spreadsheet_id: impl Into<String>, range: SheetRange, credentials: SecretString) -> Self {
        Self {
            spreadsheet_id: spreadsheet_id.into(),
            range,
            columns: ColumnNames::default(),
            credentials,
            base_url: None,
            egress: Egress::default(),
            rows_per_request: BATCH_ROWS,
            request_timeout: Duration::from_secs(60),
            retry: RetryPolicy {
                first: Duration::from_secs(1),
                max: Duration::from_secs(32),
                max_attempts: 6,
            },
            quota_patience: Duration::from_secs(300),
            jitter_seed: None,
        }
    }
}

/// Reads a Google spreadsheet.
pub struct GoogleSource {
    config: GoogleConfig,
    client: Option<SheetsClient>,
}

/// A range that was read: how it looked, and how many rows of it count.
struct Seen {
    hash: u64,
    rows: u64,
}

impl GoogleSource {
    /// A source for this spreadsheet; nothing is sent yet.
    pub fn new(config: GoogleConfig) -> Self {
        Self { config, client: None }
    }
}

#[async_trait]
impl RowSource for GoogleSource {
    fn describe(&self) -> String {
        "google-sheets".to_owned()
    }

    async fn read(&mut self, sink: &mut dyn RowSink) -> Result<ReadSummary, SourceError> {
        let client = match self.client.take() {
            Some(client) => client,
            None => SheetsClient::connect(&self.config).await?,
        };
        let client = self.client.insert(client);
        let layout = match Layout::find(client, &self.config).await {
            Err(SourceError::SheetShape(fault))
                if fault.found.is_empty() && Layout::is_blank(client, &self.config).await? =>
            {
                tracing::warn!("there is nothing in the sheet, not even a header: a run of no rows");
                sink.replace(1..=LAST_ROW, Vec::new()).await.map_err(SourceError::Sink)?;
                return Ok(ReadSummary::default());
            }
            found => found?,
        };
        let chunk_rows = self.config.rows_per_request.clamp(1, BATCH_ROWS);
        let mut reading = Reading { client, layout, chunk_rows, seen: Vec::new(), sink };
        reading.read_on().await?;

        let mut rereads = 0;
        let changed_while_read = loop {
            let layout = Layout::find(reading.client, &self.config).await?;
            if !reading.catch_up(layout).await? {
                break false;
            }
            if rereads == REREADS_LIMIT {
                break true;
            }
            rereads += 1;
            tracing::warn!(rereads, "the sheet changed while it was read; what differs was read again");
        };
        let rows_read = reading.seen.iter().map(|seen| seen.rows).sum();
        reading.end().await?;
        Ok(ReadSummary { rows_read, changed_while_read, rereads })
    }
}

/// One read of the sheet.
struct Reading<'a> {
    client: &'a mut SheetsClient,
    layout: Layout,
    chunk_rows: u32,
    /// By chunk, from the row below the header on.
    seen: Vec<Seen>,
    sink: &'a mut dyn RowSink,
}

impl Reading<'_> {
    /// Reads the chunks that were not read yet.
    async fn read_on(&mut self) -> Result<(), SourceError> {
        while let Some(rows) = self.chunk(self.seen.len()) {
            let seen = self.read_chunk(rows).await?;
            self.seen.push(seen);
        }
        Ok(())
    }

    /// Looks at the sheet again and reads what is not as it was; tells whether anything was.
    async fn catch_up(&mut self, layout: Layout) -> Result<bool, SourceError> {
        let moved = !layout.is_like(&self.layout);
        self.layout = layout;
        if moved {
            self.seen.clear();
            self.read_on().await?;
            return Ok(true);
        }
        let chunks = (0..self.seen.len()).take_while(|index| self.chunk(*index).is_some()).count();
        let mut changed = self.seen.drain(chunks..).any(|seen| seen.rows > 0);
        let chunks_per_look = (LOOK_ROWS / self.chunk_rows).max(1) as usize;
        for first in (0..chunks).step_by(chunks_per_look) {
            let indexes = first..chunks.min(first + chunks_per_look);
            let hashes = self.look(indexes.clone()).await?;
            for (index, hash) in indexes.zip(hashes) {
                if hash == self.seen[index].hash {
                    continue;
                }
                changed = true;
                if let Some(rows) = self.chunk(index) {
                    self.seen[index] = self.read_chunk(rows).await?;
                }
            }
        }
        // The grid may have grown. Empty rows, which Google appends by the thousand, are no change.
        self.read_on().await?;
        Ok(changed || self.seen[chunks..].iter().any(|seen| seen.rows > 0))
    }

    /// Clears what the sink may have below the last row.
    async fn end(&mut self) -> Result<(), SourceError> {
        let after = self.layout.last_row.max(self.layout.header_row) + 1;
        self.sink.replace(after..=LAST_ROW, Vec::new()).await.map_err(SourceError::Sink)
    }

    /// The rows of a chunk, as far as the sheet goes.
    fn chunk(&self, index: usize) -> Option<RangeInclusive<u32>> {
        let offset = u32::try_from(index).ok()?.checked_mul(self.chunk_rows)?;
        let first = (self.layout.header_row + 1).checked_add(offset)?;
        let last = first.saturating_add(self.chunk_rows - 1).min(self.layout.last_row);
        (first <= last).then_some(first..=last)
    }

    /// Reads rows whole and delivers them.
    async fn read_chunk(&mut self, rows: RangeInclusive<u32>) -> Result<Seen, SourceError> {
        let columns = (self.layout.first_column, self.layout.last_column);
        let range = a1(&self.layout.tab, columns, (*rows.start(), *rows.end()));
        let values = self.client.values(&[range]).await?.into_iter().next().unwrap_or_default();
        let mut hasher = DefaultHasher::new();
        let mut counted = Vec::with_capacity(values.len());
        for (sheet_row, cells) in rows.clone().zip(values) {
            let cells = cells.into_iter().map(cell_of).enumerate();
            let row = self.layout.columns.row(sheet_row, cells);
            hash_row(&row, &mut hasher);
            if !is_blank_row(&row) {
                counted.push(row);
            }
        }
        let seen = Seen { hash: hasher.finish(), rows: counted.len() as u64 };
        self.sink.replace(rows, counted).await.map_err(SourceError::Sink)?;
        Ok(seen)
    }

    /// Reads the three columns of these chunks, and how each looks now.
    async fn look(&mut self, indexes: std::ops::Range<usize>) -> Result<Vec<u64>, SourceError> {
        let chunks: Vec<_> = indexes.map_while(|index| self.chunk(index)).collect();
        let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else { return Ok(Vec::new()) };
        let rows = (*first.start(), *last.end());
        let columns = self.layout.columns;
        let ranges = [columns.nik, columns.phone, columns.updated].map(|column| {
            let column = self.layout.first_column + column as u32;
            a1(&self.layout.tab, (column, column), rows)
        });
        let mut columns: Vec<_> =
            self.client.values(&ranges).await?.into_iter().map(Values::into_iter).collect();
        let mut cell = |column: usize| {
            let values = columns.get_mut(column).and_then(Iterator::next);
            values.and_then(|row| row.into_iter().next()).map_or(Cell::Empty, cell_of)
        };
        let mut hashes = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let mut hasher = DefaultHasher::new();
            for sheet_row in chunk {
                let (nik, phone, updated) = (cell(0), cell(1), cell(2));
                let row = SourceRow { sheet_row, nik, phone, updated, other_content: false };
                hash_row(&row, &mut hasher);
            }
            hashes.push(hasher.finish());
        }
        Ok(hashes)
    }
}

/// A value as the API gives it with `UNFORMATTED_VALUE`; an error such as `#REF!` arrives as text.
pub(crate) fn cell_of(value: Value) -> Cell {
    match value {
        Value::Null => Cell::Empty,
        Value::Bool(boolean) => Cell::Boolean(boolean),
        Value::String(text) => Cell::of_text(text),
        Value::Number(number) => {
            number.as_f64().map_or_else(|| Cell::Error("not a number".to_owned()), Cell::Number)
        }
        Value::Array(_) | Value::Object(_) => Cell::Error("not a value".to_owned()),
    }
}

/// Adds the three cells; a row with none of them adds nothing, so it does not matter whether the API left it
/// out.
fn hash_row(row: &SourceRow, hasher: &mut DefaultHasher) {
    let cells = [&row.nik, &row.phone, &row.updated];
    if cells.iter().all(|cell| **cell == Cell::Empty) {
        return;
    }
    row.sheet_row.hash(hasher);
    for cell in cells {
        std::mem::discriminant(cell).hash(hasher);
        match cell {
            Cell::Empty | Cell::TooLong => {}
            Cell::Text(text) | Cell::Error(text) => text.hash(hasher),
            Cell::Number(number) => number.to_bits().hash(hasher),
            Cell::Boolean(boolean) => boolean.hash(hasher),
        }
    }
}

#[cfg(test)]
mod tests;
