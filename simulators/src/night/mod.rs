//! A whole night from a seed: the sheet's rows, the Patients they are about, and what must become of them.
//!
//! A night keeps eight bytes a row; rows are written when they are asked for, so that a million of them can be
//! streamed to a file.

mod expected;
mod plan;
mod row;

use std::io::Write;
use std::path::Path;

use jiff::civil::Date;

use crate::population::Population;
use crate::sheet::{Sheet, SheetCell, Spreadsheet};

pub use expected::Expected;
pub use plan::{NightError, NightOptions};

use plan::{RowKind, RowPlan};
use row::Medium;

/// The header of the sheet and of the CSV file.
pub const HEADER: [&str; 4] = ["nik", "nama", "whatsapp_number", "last_updated_date"];

/// A night's input and its expected end.
pub struct DemoNight {
    seed: u64,
    run_date: Date,
    population: Population,
    rows: Vec<RowPlan>,
    expected: Expected,
}

impl DemoNight {
    /// Mixes a night. The run date is `YYYY-MM-DD`; the same arguments give the same night.
    ///
    /// # Errors
    /// A bad date, or parts that do not fit together.
    pub fn build(seed: u64, run_date: &str, options: &NightOptions) -> Result<Self, NightError> {
        let run_date = run_date.parse::<Date>().map_err(|_| NightError::RunDate)?;
        let (population, rows) = plan::plan(seed, options)?;
        let mut expected = Expected::default();
        rows.iter().for_each(|row| expected.count(row.kind));
        Ok(Self { seed, run_date, population, rows, expected })
    }

    /// The seed of the demo's night, on one machine and on a cluster alike.
    pub const SEED: u64 = 20_000;

    /// The people in the FHIR server.
    pub fn population(&self) -> &Population {
        &self.population
    }

    /// What a correct run makes of it.
    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// The sheet, as `Sheet1` of a spreadsheet: the header, then the rows.
    pub fn spreadsheet(&self) -> Spreadsheet {
        let header = HEADER.map(SheetCell::text).to_vec();
        let rows = (0..self.rows.len()).map(|index| self.row(index, Medium::Sheet).to_vec());
        Spreadsheet::of(Sheet::new("Sheet1", std::iter::once(header).chain(rows).collect()))
    }

    /// For each Patient the night leaves with a number it asks for: the NIK and the number in E.164.
    pub fn expected_numbers(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let settled = |row: &&RowPlan| matches!(row.kind, RowKind::Updated | RowKind::Unchanged);
        self.rows.iter().filter(settled).filter_map(|row| {
            Some((self.population.nik(row.person as usize), row::number_of(*row, &self.population)?))
        })
    }

    /// Writes the same night as a CSV file: UTF-8, comma-separated, with its header. Cells that a sheet would
    /// type are written as text.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_csv(&self, path: impl AsRef<Path>) -> std::io::Result<()> {
        let file = std::io::BufWriter::with_capacity(1 << 16, std::fs::File::create(path)?);
        let mut csv = csv::Writer::from_writer(file);
        csv.write_record(HEADER)?;
        for index in 0..self.rows.len() {
            let cells = self.row(index, Medium::Csv);
            csv.write_record(cells.iter().map(text_of))?;
        }
        csv.into_inner().map_err(csv::IntoInnerError::into_error)?.flush()
    }

    fn row(&self, index: usize, medium: Medium) -> row::Row {
        row::row(self.seed, index, self.rows[index], &self.population, self.run_date, medium)
    }
}

fn text_of(cell: &SheetCell) -> String {
    match cell {
        SheetCell::Empty => String::new(),
        SheetCell::Text(text) | SheetCell::Error(text) => text.to_string(),
        SheetCell::Number(number) => number.to_string(),
        SheetCell::Date(serial) => serial.to_string(),
        SheetCell::Bool(set) => set.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::{FhirStore, NIK_SYSTEM};
    use std::collections::BTreeMap;

    #[test]
    fn the_parts_add_up_and_the_seed_decides() {
        let options = NightOptions::sized(3_000, 1_000);
        let night = DemoNight::build(4, "2026-11-23", &options).expect("a night");
        let expected = night.expected();
        assert_eq!((expected.rows_read, expected.rows_selected), (3_000, 1_000));
        assert_eq!(expected.outcomes.values().sum::<u64>(), 1_000);
        assert_eq!((expected.outcome("unknown"), expected.outcome("skipped_not_found")), (0, 30));
        assert_eq!(expected.outcome("unchanged"), 150);
        assert_eq!(expected.outcome("duplicate_row"), 10);
        assert_eq!(expected.outcome("rejected"), 20 + 10);
        assert_eq!(expected.outcome("dead_lettered"), 10);
        assert_eq!(expected.reasons["ambiguous_patient"], 5);
        assert_eq!(expected.patients_changed, expected.outcome("updated"));
        let rows = |seed| {
            let night = DemoNight::build(seed, "2026-11-23", &options).expect("a night");
            (0..3_000)
                .map(|index| night.row(index, Medium::Csv).map(|cell| text_of(&cell)))
                .collect::<Vec<_>>()
        };
        assert_eq!(rows(4), rows(4));
        assert_ne!(rows(4), rows(5));
        assert_eq!(night.spreadsheet().sheets[0].rows.len(), 3_001);
        assert!(matches!(DemoNight::build(4, "23/11/2026", &options), Err(NightError::RunDate)));
        let short = NightOptions { patients: Some(10), ..options };
        assert!(matches!(DemoNight::build(4, "2026-11-23", &short), Err(NightError::People { .. })));
    }

    #[test]
    fn rows_stand_for_the_patients_they_are_about() {
        let night = DemoNight::build(8, "2026-11-23", &NightOptions::sized(600, 500)).expect("a night");
        let store = FhirStore::new(NIK_SYSTEM, crate::WallClock::default());
        night.population().load_into(&store);
        let mut kinds = BTreeMap::new();
        for (index, plan) in night.rows.iter().enumerate() {
            let nik = night.population().nik(plan.person as usize);
            let holders = store.patient_by_nik(&nik).len();
            let wanted = match plan.kind {
                RowKind::Unknown => 0,
                RowKind::Ambiguous => 2,
                RowKind::Earlier => holders,
                _ => 1,
            };
            assert_eq!(holders, wanted, "row {index}");
            if plan.kind == RowKind::Bad(plan::Bad::PhoneNotMobile) {
                let landline = text_of(&night.row(index, Medium::Csv)[2]);
                let parsed = phonenumber::parse(Some(phonenumber::country::ID), &landline).expect("a number");
                assert!(phonenumber::is_valid(&parsed), "a landline that exists: {landline}");
            }
            *kinds.entry(format!("{:?}", plan.kind)).or_insert(0) += 1;
        }
        assert!(kinds.len() > 12, "{kinds:?}");
        assert_eq!(night.expected_numbers().count() as u64, {
            night.expected().outcome("updated") + night.expected().outcome("unchanged")
        });
    }

    #[test]
    fn a_csv_has_every_row() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("night.csv");
        let night = DemoNight::build(1, "2026-11-23", &NightOptions::all_need_write(2_000)).expect("a night");
        night.write_csv(&path).expect("written");
        let mut csv = csv::Reader::from_path(&path).expect("opened");
        assert_eq!(csv.headers().expect("a header"), HEADER.as_slice());
        assert_eq!(
            csv.records().filter(|record| record.as_ref().is_ok_and(|row| row.len() == 4)).count(),
            2_000
        );
        assert_eq!(night.expected().outcome("updated"), 2_000);
    }
}
