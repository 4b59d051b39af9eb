//! The sheet: rows of the plan, read a few at a time, and edited by somebody now and then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use producer::Sources;
use producer::source::{LAST_ROW, ReadSummary, RowSink, RowSource, SourceError};
use shared::domain::{Cell, SourceRow};
use simulators::Population;

use super::life::Life;
use super::plan::{DAYS, Typed};
use super::weather::Weather;

/// Rows handed over at once, so that a death finds half a snapshot.
const BATCH: usize = 4;

/// See the module. Clones are the same sheet.
#[derive(Clone)]
pub(super) struct Sheet {
    rows: Arc<Mutex<Vec<Typed>>>,
    population: Arc<Population>,
    weather: Arc<Weather>,
}

impl Sheet {
    pub(super) fn new(rows: Vec<Typed>, population: Arc<Population>, weather: Arc<Weather>) -> Self {
        Self { rows: Mutex::new(rows).into(), population, weather }
    }

    pub(super) fn retype(&self, row: usize, number: u64) {
        if let Some(row) = self.rows.lock().unwrap_or_else(PoisonError::into_inner).get_mut(row) {
            row.number = number;
        }
    }

    /// As one process reads it.
    pub(super) fn read_by(&self, life: &Life) -> Arc<dyn Sources> {
        Arc::new(Read { sheet: self.clone(), life: life.clone() })
    }

    fn typed(&self) -> Vec<SourceRow> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let people = &self.population;
        let row = |(at, row): (usize, Typed)| SourceRow {
            sheet_row: u32::try_from(at).expect("few rows") + 2,
            nik: Cell::Text(people.nik(row.person)),
            phone: Cell::Text(number(people, row.person, row.number)),
            updated: Cell::Text(DAYS[row.day].to_owned()),
            other_content: false,
        };
        rows.into_iter().enumerate().map(row).collect()
    }
}

/// Which number a row of the plan means.
fn number(people: &Population, person: usize, which: u64) -> String {
    let current = people.current_mobile(person).filter(|_| which == 0);
    current.unwrap_or_else(|| people.new_mobile(person, which))
}

#[derive(Clone)]
struct Read {
    sheet: Sheet,
    life: Life,
}

#[async_trait]
impl Sources for Read {
    async fn open(&self) -> Result<Box<dyn RowSource>, SourceError> {
        Ok(Box::new(self.clone()))
    }

    fn describe(&self) -> String {
        "simulated".into()
    }
}

#[async_trait]
impl RowSource for Read {
    fn describe(&self) -> String {
        "simulated".into()
    }

    async fn read(&mut self, sink: &mut dyn RowSink) -> Result<ReadSummary, SourceError> {
        let rows = self.sheet.typed();
        let batches = rows.chunks(BATCH).count().max(1);
        for at in 0..batches {
            self.life.step("reads the sheet").await;
            tokio::time::sleep(Duration::from_millis(self.sheet.weather.draw(1..400))).await;
            let batch: Vec<SourceRow> = rows.iter().skip(at * BATCH).take(BATCH).cloned().collect();
            let first = u32::try_from(at * BATCH).expect("few rows") + 2;
            let last = if at + 1 == batches { LAST_ROW } else { first + BATCH as u32 - 1 };
            sink.replace(first..=last, batch).await.map_err(SourceError::Sink)?;
        }
        Ok(ReadSummary { rows_read: rows.len() as u64, ..ReadSummary::default() })
    }
}
