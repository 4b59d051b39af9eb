//! Rows from an export of the sheet (`--file`), for a night when Google cannot be reached.
//!
//! The parsing runs on a blocking thread and hands batches over a bounded channel, so that a file of a
//! million rows needs no more memory than a small one (an XLSX keeps its table of distinct texts in memory,
//! that is how the format is made). What the bytes mean is decided in `csv` and `xlsx`.

use std::fs::File;
use std::io::Read;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use async_trait::async_trait;
use shared::domain::SourceRow;
use tokio::sync::mpsc;

use super::header::ColumnNames;
use super::range::SheetRange;
use super::row::is_blank_row;
use super::{
    BATCH_ROWS, LAST_ROW, REREADS_LIMIT, ROW_CELLS, ReadSummary, RowSink, RowSource, SourceError, csv, xlsx,
};

/// Batches on their way from the parsing thread to the sink.
const BATCHES_IN_FLIGHT: usize = 2;

/// What to read.
#[derive(Clone, Debug)]
pub struct FileConfig {
    /// A CSV or XLSX file.
    pub path: PathBuf,
    /// Where the rows are in it. The rows and columns of a range hold for both formats. The name of the sheet
    /// is for a workbook: it has to be there, but for the default range a workbook's first sheet will do.
    pub range: SheetRange,
    /// The header names.
    pub columns: ColumnNames,
}

/// Reads a CSV or XLSX export.
#[derive(Debug)]
pub struct FileSource {
    config: FileConfig,
}

impl FileSource {
    /// A source for this file; nothing is opened yet.
    pub fn new(config: FileConfig) -> Self {
        Self { config }
    }

    async fn read_once(&self, sink: &mut dyn RowSink) -> Result<u64, SourceError> {
        let (batches, mut received) = mpsc::channel(BATCHES_IN_FLIGHT);
        let config = self.config.clone();
        let batches =
            Batches::new(move |range, rows| batches.blocking_send((range, rows)).map_err(|_| Halt::Unwanted));
        let parsing = tokio::task::spawn_blocking(move || parse(&config, batches));
        while let Some((range, rows)) = received.recv().await {
            sink.replace(range, rows).await.map_err(SourceError::Sink)?;
        }
        match parsing.await {
            Ok(Ok(rows_read)) => Ok(rows_read),
            Ok(Err(Halt::Failed(error))) => Err(error),
            // Unwanted happens only after `received` is gone; a panic only on a file that breaks a parser.
            Ok(Err(Halt::Unwanted)) | Err(_) => {
                Err(self.config.problem("it is damaged; open it in a spreadsheet program and save it again"))
            }
        }
    }

    /// What tells that somebody wrote to the file.
    fn version(&self) -> Result<(u64, Option<SystemTime>), SourceError> {
        let metadata = std::fs::metadata(&self.config.path).map_err(|error| self.config.problem(error))?;
        Ok((metadata.len(), metadata.modified().ok()))
    }
}

#[async_trait]
impl RowSource for FileSource {
    fn describe(&self) -> String {
        "file".to_owned()
    }

    async fn read(&mut self, sink: &mut dyn RowSink) -> Result<ReadSummary, SourceError> {
        let mut rereads = 0;
        loop {
            let version = self.version()?;
            let rows_read = self.read_once(sink).await?;
            let changed = self.version()? != version;
            if !changed || rereads == REREADS_LIMIT {
                return Ok(ReadSummary { rows_read, changed_while_read: changed, rereads });
            }
            rereads += 1;
            tracing::warn!(rereads, "the file changed while it was read; reading it again");
        }
    }
}

impl FileConfig {
    /// A row that no sheet has.
    pub(super) fn too_wide(&self, sheet_row: u32) -> SourceError {
        self.problem(format!(
            "row {sheet_row} has more than {ROW_CELLS} cells, which no sheet has; remove the cells to the right of the \
             table and save it again"
        ))
    }

    /// Rows beyond the last that a source speaks of.
    pub(super) fn too_long(&self) -> SourceError {
        self.problem(format!("it has a row beyond {LAST_ROW}, which no sheet has; save it again"))
    }

    pub(super) fn problem(&self, problem: impl ToString) -> SourceError {
        SourceError::File { path: self.path.clone(), problem: problem.to_string() }
    }
}

/// Why parsing ended early.
pub(crate) enum Halt {
    /// Nobody takes the rows any more.
    Unwanted,
    /// The file cannot be read.
    Failed(SourceError),
}

impl From<SourceError> for Halt {
    fn from(error: SourceError) -> Self {
        Self::Failed(error)
    }
}

type Take = Box<dyn FnMut(RangeInclusive<u32>, Vec<SourceRow>) -> Result<(), Halt> + Send>;

/// Collects rows into batches for whoever takes them.
pub(crate) struct Batches {
    take: Take,
    first: u32,
    rows: Vec<SourceRow>,
    rows_read: u64,
}

impl Batches {
    pub fn new(
        take: impl FnMut(RangeInclusive<u32>, Vec<SourceRow>) -> Result<(), Halt> + Send + 'static,
    ) -> Self {
        Self { take: Box::new(take), first: 1, rows: Vec::new(), rows_read: 0 }
    }

    /// Says which row is the first below the header.
    pub fn begin(&mut self, first: u32) {
        self.first = first;
    }

    /// Takes the next row, ascending; leaves blank ones out.
    pub fn push(&mut self, row: SourceRow) -> Result<(), Halt> {
        if is_blank_row(&row) {
            return Ok(());
        }
        let sheet_row = row.sheet_row;
        self.rows.push(row);
        self.rows_read += 1;
        if self.rows.len() < BATCH_ROWS as usize {
            return Ok(());
        }
        let range = self.first..=sheet_row;
        self.first = sheet_row + 1;
        self.send(range)
    }

    /// Hands over the rest; gives the number of rows in all.
    pub fn finish(mut self) -> Result<u64, Halt> {
        let range = self.first..=LAST_ROW;
        self.send(range)?;
        Ok(self.rows_read)
    }

    fn send(&mut self, range: RangeInclusive<u32>) -> Result<(), Halt> {
        let rows = std::mem::take(&mut self.rows);
        (self.take)(range, rows)
    }
}

fn parse(config: &FileConfig, batches: Batches) -> Result<u64, Halt> {
    let mut file = File::open(&config.path).map_err(|error| config.problem(error))?;
    let mut head = Vec::new();
    (&mut file).take(4096).read_to_end(&mut head).map_err(|error| config.problem(error))?;
    // Opened again rather than rewound: a workbook's reader seeks by itself, a CSV's only reads.
    let file = File::open(&config.path).map_err(|error| config.problem(error))?;
    match Format::of(&config.path, &head).map_err(|problem| config.problem(problem))? {
        Format::Csv => csv::parse(config, file, batches),
        Format::Xlsx => xlsx::parse(config, file, batches),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    Xlsx,
}

impl Format {
    /// The format by the name's ending, where the first bytes do not contradict it.
    pub fn of(path: &Path, head: &[u8]) -> Result<Self, &'static str> {
        const OLE2: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        let ending = ending.as_deref().unwrap_or_default();
        let is_zip = head.starts_with(b"PK\x03\x04");
        let start = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
        let start = start.get(..start.len().min(16)).unwrap_or_default().to_ascii_lowercase();
        let is_page =
            ["<!doctype", "<html", "<?xml", "<table"].iter().any(|tag| start.starts_with(tag.as_bytes()));
        if head.is_empty() {
            Err("it is empty")
        } else if is_zip
            && (ending == "ods" || head.windows(24).any(|part| part == b"vnd.oasis.opendocument.s"))
        {
            Err("it is an OpenDocument file; save it as XLSX or CSV")
        } else if is_zip && matches!(ending, "csv" | "tsv" | "txt") {
            Err(
                "it is named like a CSV but is a workbook or another archive; name it .xlsx if it is a workbook",
            )
        } else if is_zip {
            Ok(Self::Xlsx)
        } else if head.starts_with(OLE2) {
            Err("it is an old .xls workbook or one with a password; save it as XLSX without a password")
        } else if start.starts_with(b"%pdf") || is_page {
            Err("it is a document or a web page, not a table; download the sheet as CSV or XLSX")
        } else if matches!(ending, "xlsx" | "xlsm") {
            Err(
                "it is named like a workbook but is none; if it is a CSV, name it .csv, otherwise download it again",
            )
        } else {
            Ok(Self::Csv)
        }
    }
}

#[cfg(test)]
mod tests;
