//! The cells of a row, as people type them.

use jiff::tz::TimeZone;
use shared::domain::{
    CELL_CHARS, Cell, Column, DateOrder, Language, PhoneNumber, Reading, RowRules, RunDate, SourceRow,
    explain,
};

use crate::input::Input;

const NIK: &str = "3171234567890001";
const PHONE: &str = "081234567890";
const DATE: &str = "2026-11-23";

/// A row with this in the NIK's column.
pub fn nik(bytes: &[u8]) {
    let cell = cell(&mut Input::new(bytes));
    check(&SourceRow { nik: cell, ..good() });
}

/// A row with this in the number's column.
pub fn phone(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let cell = cell(&mut input);
    if let Cell::Text(text) = &cell
        && let Some(number) = PhoneNumber::from_telecom(text)
    {
        assert_eq!(PhoneNumber::from_telecom(number.expose()), Some(number), "a number is read as stored");
    }
    check(&SourceRow { phone: cell, ..good() });
}

/// A row with this in the date's column, and the same as the date of a command.
pub fn date(bytes: &[u8]) {
    let cell = cell(&mut Input::new(bytes));
    if let Cell::Text(text) = &cell
        && let Ok(date) = text.parse::<RunDate>()
    {
        assert_eq!(date.to_string().parse(), Ok(date), "a date is read as printed");
    }
    check(&SourceRow { updated: cell, ..good() });
}

/// A row of anything.
pub fn row(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let [nik, phone, updated] = std::array::from_fn(|_| cell(&mut input));
    let other_content = input.byte() % 2 == 1;
    check(&SourceRow { nik, phone, updated, other_content, ..good() });
}

fn good() -> SourceRow {
    let text = |text: &str| Cell::Text(text.to_owned());
    SourceRow {
        sheet_row: 7,
        nik: text(NIK),
        phone: text(PHONE),
        updated: text(DATE),
        ..SourceRow::default()
    }
}

fn cell(input: &mut Input<'_>) -> Cell {
    match input.byte() % 8 {
        0 => Cell::Empty,
        1 => {
            let digits = std::array::from_fn(|_| input.byte());
            Cell::Number(f64::from_le_bytes(digits))
        }
        2 => Cell::Boolean(input.byte() % 2 == 1),
        3 => Cell::Error(input.text()),
        4 => input.text().trim().parse().map_or(Cell::Empty, Cell::Number),
        // As long as a cell may be, and longer.
        5 => {
            let times = usize::from(input.byte()) * 256 + 1;
            Cell::of_text(input.text().chars().cycle().take(times).collect())
        }
        _ => Cell::of_text(input.text()),
    }
}

fn check(row: &SourceRow) {
    for order in [DateOrder::Dmy, DateOrder::Mdy] {
        let rules = RowRules {
            run_date: DATE.parse().expect("a date"),
            zone: TimeZone::fixed(jiff::tz::offset(7)),
            date_order: order,
        };
        match rules.read(row) {
            Reading::Blank => assert!(!row.other_content, "a row with content counts"),
            Reading::OtherDate => assert_ne!(row.updated, Cell::Empty, "no date is no other date"),
            Reading::Valid(valid) => {
                assert!(
                    valid.nik.expose().len() == 16 && valid.nik.expose().bytes().all(|b| b.is_ascii_digit())
                );
                assert!(!format!("{valid:?}").contains(valid.nik.expose()), "masked");
                assert!(!format!("{valid:?}").contains(&valid.phone.expose()[1..]), "masked");
                let clean = SourceRow {
                    nik: Cell::Text(valid.nik.expose().to_owned()),
                    phone: Cell::Text(valid.phone.expose().to_owned()),
                    ..row.clone()
                };
                let Reading::Valid(again) = rules.read(&clean) else { panic!("what was read is read again") };
                assert_eq!((again.nik, again.phone), (valid.nik, valid.phone));
            }
            Reading::Rejected(rejection) => {
                let found = &rejection.found;
                assert!(found.chars().count() <= 80 && !found.chars().any(char::is_control), "{found:?}");
                check_masked(row, rejection.column, found);
                for language in Language::ALL {
                    let text = explain(rejection.reason, Some(rejection.column), 7, found, "NIK", *language);
                    assert!(text.contains('7') && text.chars().count() < 600, "{text}");
                }
            }
        }
    }
}

/// Where there are many digits, some of them must be hidden.
fn check_masked(row: &SourceRow, column: Column, found: &str) {
    let cell = match column {
        Column::Nik => &row.nik,
        Column::Phone => &row.phone,
        Column::Updated => &row.updated,
    };
    let digits = |text: &str| text.chars().filter(|c| c.is_numeric()).count();
    let shown = digits(found);
    let most = if column == Column::Updated { 8 } else { 6 };
    assert!(shown <= most, "{shown} digits are shown in {column}: {found}");
    if let Cell::Text(text) = cell {
        assert!(text.chars().count() <= CELL_CHARS);
    }
}
