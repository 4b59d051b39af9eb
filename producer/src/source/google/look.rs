//! Looks at the sheet step by step, so that each thing that can be wrong with it has a name.

use shared::domain::SourceRow;

use super::super::BATCH_ROWS;
use super::super::error::SourceError;
use super::super::range::a1;
use super::client::SheetsClient;
use super::layout::Layout;
use super::{GoogleConfig, cell_of};

/// A step, in the order in which they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The key is read.
    Credentials,
    /// Google gives a token for it, and shows the spreadsheet.
    Share,
    /// The tab and its header row are found.
    Header,
    /// Its first rows are read.
    Rows,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Whom the sheet has to be shared with, once the key is read.
    pub client_email: Option<String>,
    /// The spreadsheet's tabs, once it is shown.
    pub tabs: Option<usize>,
    /// The tab that is read, once its header is found; nothing where there is nothing in it at all.
    pub tab: Option<String>,
    /// Its first rows, none of them blank as far as the sheet tells.
    pub rows: Vec<SourceRow>,
}

/// Takes all steps; what was seen until one fails stays in `seen`.
///
/// # Errors
/// The step that failed, and why.
pub async fn look(config: &GoogleConfig, seen: &mut Seen) -> Result<(), (Step, SourceError)> {
    let at = |step| move |error| (step, error);
    let mut client = SheetsClient::connect(config).await.map_err(at(Step::Credentials))?;
    seen.client_email = Some(client.client_email().to_owned());
    seen.tabs = Some(client.tabs().await.map_err(at(Step::Share))?.len());
    let layout = match Layout::find(&mut client, config).await {
        Err(SourceError::SheetShape(fault))
            if fault.found.is_empty()
                && Layout::is_blank(&mut client, config).await.map_err(at(Step::Header))? =>
        {
            return Ok(());
        }
        found => found.map_err(at(Step::Header))?,
    };
    seen.tab = Some(layout.tab.clone());
    let first = layout.header_row + 1;
    let last = layout.last_row.min(layout.header_row + BATCH_ROWS.min(config.rows_per_request));
    if first > last {
        return Ok(());
    }
    let range = a1(&layout.tab, (layout.first_column, layout.last_column), (first, last));
    let values =
        client.values(&[range]).await.map_err(at(Step::Rows))?.into_iter().next().unwrap_or_default();
    seen.rows = (first..)
        .zip(values)
        .filter(|(_, cells)| !cells.is_empty())
        .map(|(row, cells)| layout.columns.row(row, cells.into_iter().map(cell_of).enumerate()))
        .collect();
    Ok(())
}
