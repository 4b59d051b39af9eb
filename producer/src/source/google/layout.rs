//! Where in the spreadsheet the rows are: the sheet, its size, the header row and its columns.

use super::super::BATCH_ROWS;
use super::super::error::SourceError;
use super::super::header::Columns;
use super::super::range::a1;
use super::client::{SheetsClient, Tab};
use super::{GoogleConfig, cell_of};

/// The place of the rows, all bounds included.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub tab: String,
    pub header_row: u32,
    /// The grid's or the range's last row, filled or not; may be the header row.
    pub last_row: u32,
    /// A is 0.
    pub first_column: u32,
    pub last_column: u32,
    /// Counted from `first_column`.
    pub columns: Columns,
}

impl Layout {
    /// Asks for the sheets and the header row.
    ///
    /// # Errors
    ///
    /// [`SourceError::TabMissing`], [`SourceError::SheetShape`], and whatever keeps a call from succeeding.
    pub async fn find(client: &mut SheetsClient, config: &GoogleConfig) -> Result<Self, SourceError> {
        let tabs = client.tabs().await?;
        let tab = choose(&tabs, config)?;
        let area = config.range.area;
        let last_row = area.last_row.map_or(tab.rows, |last| last.min(tab.rows));
        let last_column =
            area.last_column.map_or(tab.columns, |last| last.saturating_add(1).min(tab.columns));
        // A range that begins outside the grid has no header, and Google would refuse to read it.
        let inside = last_row >= area.first_row && last_column > area.first_column;
        let last_column = last_column.saturating_sub(1);
        let header = if inside {
            let columns = (area.first_column, last_column);
            let range = a1(&tab.title, columns, (area.first_row, area.first_row));
            client.values(&[range]).await?.into_iter().flatten().next().unwrap_or_default()
        } else {
            Vec::new()
        };
        let header: Vec<_> = header.into_iter().map(cell_of).collect();
        let columns = Columns::locate(&header, &config.columns, area.first_row, area.first_column)
            .map_err(SourceError::SheetShape)?;
        Ok(Self {
            tab: tab.title.clone(),
            header_row: area.first_row,
            last_row,
            first_column: area.first_column,
            last_column,
            columns,
        })
    }

    /// Whether nothing at all stands in the sheet, a header included, as far as one request sees. The whole sheet,
    /// whatever the range: one that lies beside the rows is a mistake, not a night without rows.
    pub async fn is_blank(client: &mut SheetsClient, config: &GoogleConfig) -> Result<bool, SourceError> {
        let tabs = client.tabs().await?;
        let tab = choose(&tabs, config)?;
        if tab.rows == 0 || tab.columns == 0 {
            return Ok(true);
        }
        let range = a1(&tab.title, (0, tab.columns - 1), (1, tab.rows.min(BATCH_ROWS)));
        Ok(client.values(&[range]).await?.into_iter().flatten().all(|row| row.is_empty()))
    }

    /// Whether the cells of a row are still where they were. The number of rows and of other columns may differ.
    pub fn is_like(&self, other: &Self) -> bool {
        self.tab == other.tab && self.columns == other.columns
    }
}

/// The sheet that is meant: by its name, by its name in other letter cases (Google lets no two names differ
/// only in that), or the first where none is named.
fn choose<'a>(tabs: &'a [Tab], config: &GoogleConfig) -> Result<&'a Tab, SourceError> {
    let Some(wanted) = &config.range.tab else {
        return tabs.first().ok_or_else(|| SourceError::tab_missing("", []));
    };
    let like = |tab: &&Tab| tab.title.trim().to_lowercase() == wanted.trim().to_lowercase();
    tabs.iter()
        .find(|tab| tab.title == *wanted)
        .or_else(|| tabs.iter().find(like))
        .ok_or_else(|| SourceError::tab_missing(wanted, tabs.iter().map(|tab| tab.title.as_str())))
}
