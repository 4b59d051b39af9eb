//! Tabular data as a spreadsheet holds it: typed cells in sheets of a fixed grid.

use serde_json::{Number, Value};

/// A cell. What a person sees in it and what the API gives can differ; see [`Render`].
#[derive(Clone, PartialEq)]
pub enum SheetCell {
    /// Nothing.
    Empty,
    /// Text.
    Text(Box<str>),
    /// A number, with the digits it is sent with.
    Number(Number),
    /// A cell formatted as a date: days since 1899-12-30, with the time of day as the fraction.
    Date(f64),
    /// A check box, or TRUE and FALSE.
    Bool(bool),
    /// An error such as `#REF!`; the API gives its text.
    Error(Box<str>),
}

/// How cells are rendered (`valueRenderOption` and `dateTimeRenderOption` of the Sheets API).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Render {
    /// As a person sees them.
    Formatted,
    /// Typed; dates as serial numbers.
    Serial,
    /// Typed; dates as text.
    DateText,
}

impl SheetCell {
    /// A text cell.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into().into_boxed_str())
    }

    /// A numeric cell.
    pub fn number(number: impl Into<Number>) -> Self {
        Self::Number(number.into())
    }

    /// An error cell, such as `#REF!`.
    pub fn error(text: impl Into<String>) -> Self {
        Self::Error(text.into().into_boxed_str())
    }

    /// Whether the API drops it at the end of a row.
    pub(crate) fn is_blank(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Text(text) => text.is_empty(),
            _ => false,
        }
    }

    /// The cell in an answer; a blank one between others is `""`.
    pub(crate) fn render(&self, render: Render) -> Value {
        match (self, render) {
            (Self::Empty, _) => Value::from(""),
            (Self::Text(text) | Self::Error(text), _) => Value::from(text.as_ref()),
            (Self::Number(number), Render::Formatted) => Value::from(displayed(number)),
            (Self::Number(number), _) => Value::Number(number.clone()),
            (Self::Bool(set), Render::Formatted) => Value::from(if *set { "TRUE" } else { "FALSE" }),
            (Self::Bool(set), _) => Value::from(*set),
            (Self::Date(serial), Render::Serial) if serial.fract() == 0.0 => Value::from(*serial as i64),
            (Self::Date(serial), Render::Serial) => Value::from(*serial),
            (Self::Date(serial), _) => Value::from(date_text(*serial)),
        }
    }
}

/// A spreadsheet shows 15 significant digits; the rest of a long number is zeros.
fn displayed(number: &Number) -> String {
    let text = number.to_string();
    let digits = text.trim_start_matches('-');
    if digits.len() <= 15 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text;
    }
    let kept = text.len() - digits.len() + 15;
    format!("{}{}", &text[..kept], "0".repeat(text.len() - kept))
}

fn date_text(serial: f64) -> String {
    let epoch = jiff::civil::date(1899, 12, 30);
    match epoch.checked_add(jiff::Span::new().days(serial.floor() as i64)) {
        Ok(date) => date.strftime("%d/%m/%Y").to_string(),
        Err(_) => serial.to_string(),
    }
}

/// The serial number of a date, as a spreadsheet stores it.
pub fn date_serial(date: jiff::civil::Date) -> i64 {
    let epoch = jiff::civil::date(1899, 12, 30);
    i64::from(epoch.until(date).map(|span| span.get_days()).unwrap_or(0))
}

/// A sheet (a tab).
#[derive(Clone)]
pub struct Sheet {
    /// Its name, as in `Sheet1!A1`.
    pub title: String,
    /// Its `sheetId`.
    pub id: i64,
    /// Rows from the first; rows and cells may be missing at the end.
    pub rows: Vec<Vec<SheetCell>>,
    /// Rows of the grid; at least as many as are filled.
    pub grid_rows: u32,
    /// Columns of the grid.
    pub grid_columns: u32,
}

impl Sheet {
    /// A sheet of these rows, with a thousand blank rows below them and at least 26 columns, as a new sheet has.
    pub fn new(title: impl Into<String>, rows: Vec<Vec<SheetCell>>) -> Self {
        let widest = rows.iter().map(Vec::len).max().unwrap_or(0);
        let grid_rows = u32::try_from(rows.len() + 1000).unwrap_or(u32::MAX);
        let grid_columns = u32::try_from(widest.max(26)).unwrap_or(u32::MAX);
        Self { title: title.into(), id: 0, rows, grid_rows, grid_columns }
    }

    /// Replaces a cell, growing the sheet where it has to; both indexes count from 0.
    pub fn set(&mut self, row: usize, column: usize, cell: SheetCell) {
        if self.rows.len() <= row {
            self.rows.resize_with(row + 1, Vec::new);
        }
        let cells = &mut self.rows[row];
        if cells.len() <= column {
            cells.resize(column + 1, SheetCell::Empty);
        }
        cells[column] = cell;
        self.grid_rows = self.grid_rows.max(u32::try_from(row + 1).unwrap_or(u32::MAX));
        self.grid_columns = self.grid_columns.max(u32::try_from(column + 1).unwrap_or(u32::MAX));
    }
}

/// A spreadsheet.
#[derive(Clone)]
pub struct Spreadsheet {
    /// Its id, as in its URL.
    pub id: String,
    /// Its name.
    pub title: String,
    /// IANA zone of its dates.
    pub time_zone: String,
    /// Its tabs, in order; at least one.
    pub sheets: Vec<Sheet>,
}

impl Spreadsheet {
    /// A spreadsheet of one sheet, in Jakarta's zone.
    pub fn of(sheet: Sheet) -> Self {
        Self {
            id: "simulated-spreadsheet".to_owned(),
            title: "WhatsApp numbers".to_owned(),
            time_zone: "Asia/Jakarta".to_owned(),
            sheets: vec![sheet],
        }
    }

    /// The sheet with this title.
    pub fn sheet_mut(&mut self, title: &str) -> Option<&mut Sheet> {
        self.sheets.iter_mut().find(|sheet| sheet.title == title)
    }
}

impl Default for Spreadsheet {
    fn default() -> Self {
        Self::of(Sheet::new("Sheet1", Vec::new()))
    }
}
