//! A sink for tests that keeps rows as the contract of [`RowSink::replace`] asks, and checks the source's
//! side of it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use async_trait::async_trait;
use shared::domain::{Cell, SourceRow};

use super::{BATCH_ROWS, RowSink, SinkError};

type Before = Box<dyn FnMut(usize) -> Result<(), SinkError> + Send>;

/// The rows by number, and the ranges they came in.
#[derive(Default)]
pub(super) struct Kept {
    pub rows: BTreeMap<u32, SourceRow>,
    pub ranges: Vec<RangeInclusive<u32>>,
    before: Option<Before>,
}

impl Kept {
    /// A sink that calls `before` each time a batch is to be taken, with the number of batches so far.
    pub fn after(before: impl FnMut(usize) -> Result<(), SinkError> + Send + 'static) -> Self {
        Self { before: Some(Box::new(before)), ..Self::default() }
    }

    /// A row's NIK, number and date, each as text for comparison.
    pub fn texts(&self, sheet_row: u32) -> [String; 3] {
        let row = &self.rows[&sheet_row];
        [&row.nik, &row.phone, &row.updated].map(as_text)
    }

    pub fn numbers(&self) -> Vec<u32> {
        self.rows.keys().copied().collect()
    }
}

pub(super) fn as_text(cell: &Cell) -> String {
    match cell {
        Cell::Empty => String::new(),
        Cell::Text(text) => format!("text {text}"),
        Cell::Number(number) => format!("number {number}"),
        Cell::Boolean(boolean) => format!("boolean {boolean}"),
        Cell::Error(error) => format!("error {error}"),
        Cell::TooLong => "too long".to_owned(),
    }
}

#[async_trait]
impl RowSink for Kept {
    async fn replace(&mut self, range: RangeInclusive<u32>, rows: Vec<SourceRow>) -> Result<(), SinkError> {
        if let Some(before) = &mut self.before {
            before(self.ranges.len())?;
        }
        assert!(rows.len() <= BATCH_ROWS as usize, "a batch of {}", rows.len());
        assert!(rows.iter().all(|row| range.contains(&row.sheet_row)), "rows outside {range:?}");
        assert!(rows.is_sorted_by(|a, b| a.sheet_row < b.sheet_row), "rows of {range:?} not in order");
        self.rows.retain(|number, _| !range.contains(number));
        self.rows.extend(rows.into_iter().map(|row| (row.sheet_row, row)));
        self.ranges.push(range);
        Ok(())
    }
}
