//! Where rows come from: the Google Sheets API, or a CSV or XLSX export of the same sheet.
//!
//! A source finds the three columns by their header names, reads every row below the header in bounded
//! memory and delivers cells as they are. What a cell means, which rows belong to the run date, and where the
//! rows are kept is decided elsewhere.
//!
//! Rows that are blank are left out: nothing but white space or invisible characters in the three columns,
//! and nothing but that, or an unticked box (`FALSE`), in any other.

pub(crate) mod csv;
mod error;
pub(crate) mod file;
pub(crate) mod google;
mod header;
#[cfg(test)]
mod kept;
mod range;
mod row;
pub(crate) mod xlsx;

use std::error::Error;
use std::ops::RangeInclusive;

use async_trait::async_trait;
use shared::domain::SourceRow;

pub use self::error::{SourceError, TransientFault};
pub use self::file::{FileConfig, FileSource};
pub use self::google::{Egress, GoogleConfig, GoogleSource, look};
pub use self::header::{ColumnNames, ColumnProblem, ShapeFault};
pub use self::range::{Area, RangeError, SheetRange};

/// The most rows one [`RowSink::replace`] gets.
pub const BATCH_ROWS: u32 = 5_000;

/// The last row number a source speaks of: no sheet is longer, and it fits a signed 32-bit column.
pub const LAST_ROW: u32 = i32::MAX as u32;

/// The most cells that are read of one row: Google's limit of columns
/// (<https://support.google.com/drive/answer/37603>), above Excel's 16,384.
pub const ROW_CELLS: usize = 18_278;

/// How often a sheet that changes while it is read is read again before its rows are taken as last seen.
pub const REREADS_LIMIT: u32 = 3;

/// Reads the sheet.
#[async_trait]
pub trait RowSource: Send {
    /// A word for reports: `google-sheets` or `file`. Holds no secret and no personal data.
    fn describe(&self) -> String;

    /// Reads every row below the header and hands them to `sink`, in sheet order, in batches of at most
    /// [`BATCH_ROWS`] rows; what changed meanwhile is read and handed over again (see [`RowSink::replace`]).
    /// May be called again; each call reads anew.
    ///
    /// # Errors
    ///
    /// [`SourceError`], which explains to an operator what to do. The sink then holds a part of the rows.
    async fn read(&mut self, sink: &mut dyn RowSink) -> Result<ReadSummary, SourceError>;
}

/// What a sink may fail with; it comes back as [`SourceError::Sink`].
pub type SinkError = Box<dyn Error + Send + Sync>;

/// Takes the rows of a sheet.
#[async_trait]
pub trait RowSink: Send {
    /// Puts `rows` in the place of everything the sink has with a `sheet_row` in `range`.
    ///
    /// One verb for first delivery and for correction: a part of the sheet that changed while it was read is
    /// delivered again with the same range. All rows lie within the range, ascending; numbers of the range
    /// without a row are blank, removed or beyond the end. The last call of a read reaches to [`LAST_ROW`], so
    /// after a read that succeeded the sink holds nothing of an earlier one that broke off.
    ///
    /// # Errors
    ///
    /// Whatever keeps the sink from taking the rows; the read ends with it.
    async fn replace(&mut self, range: RangeInclusive<u32>, rows: Vec<SourceRow>) -> Result<(), SinkError>;
}

/// What a read found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadSummary {
    /// Rows below the header that are not blank, as last seen.
    pub rows_read: u64,
    /// Whether the sheet still changed when it had been read again [`REREADS_LIMIT`] times: each row is as
    /// last seen, but they may not all be of one moment.
    pub changed_while_read: bool,
    /// How often something had changed and was read again.
    pub rereads: u32,
}
