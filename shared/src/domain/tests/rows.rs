use super::*;
use crate::domain::Column;

#[test]
fn blank_rows_do_not_count() {
    let empty = || row(Cell::Empty, Cell::Empty, Cell::Empty);
    assert_eq!(rules().read(&empty()), Reading::Blank);
    let invisible = row(text(" "), text("\u{200b}"), text("\n\u{a0}"));
    assert_eq!(rules().read(&invisible), Reading::Blank);
    let elsewhere = SourceRow { other_content: true, ..empty() };
    let Reading::Rejected(rejection) = rules().read(&elsewhere) else { panic!("has content") };
    assert_eq!((rejection.reason, rejection.column), (Reason::DateUnreadable, Column::Updated));
    assert_eq!((rejection.sheet_row, rejection.found.as_str()), (7, ""));
}

#[test]
fn the_date_decides_first() {
    assert_eq!(rules().read(&row(text("junk"), text("junk"), text("22/11/2026"))), Reading::OtherDate);
    let Reading::Rejected(rejection) = rules().read(&row(text(NIK), text(PHONE), text("31/02/2026"))) else {
        panic!("no such date")
    };
    assert_eq!((rejection.reason, rejection.found.as_str()), (Reason::DateUnreadable, "31/02/2026"));
    assert_eq!(rejection.nik.map(|nik| nik.expose().to_owned()).as_deref(), Some(NIK));
    assert_eq!(rejection.phone.map(|phone| phone.expose().to_owned()).as_deref(), Some("+6281234567890"));
}

#[test]
fn then_the_nik_then_the_number() {
    let Reading::Rejected(rejection) = rules().read(&row(text("317123"), text("08123"), text(DATE))) else {
        panic!("both bad")
    };
    assert_eq!((rejection.reason, rejection.column), (Reason::NikNot16Digits, Column::Nik));
    assert_eq!((rejection.nik, rejection.phone, rejection.found.as_str()), (None, None, "31****"));

    let Reading::Rejected(rejection) = rules().read(&row(text(NIK), text("istri 081234567890"), text(DATE)))
    else {
        panic!("a remark")
    };
    assert_eq!((rejection.reason, rejection.column), (Reason::PhoneNote, Column::Phone));
    assert_eq!(rejection.found, "istri 0812******90");
    assert!(rejection.nik.is_some() && rejection.phone.is_none());
    assert_eq!(rejection.warnings, [Warning::NikUnlikelyBirthDate]);

    let Reading::Valid(valid) = rules().read(&row(text("3171230101900001"), text(PHONE), text(DATE))) else {
        panic!("all good")
    };
    assert_eq!((valid.sheet_row, valid.warnings), (7, vec![]));
}

#[test]
fn what_was_found_is_masked() {
    for (nik, found) in [
        (text("31712345678900O1"), "3171*********0O1"),
        (text("3171 2345 6789 001"), "3171 **** **** *01"),
        (text("Budi Santoso"), "B*** S******"),
        (text("3171234567890001\n3171234567890002"), "3171************ **************02"),
        (Cell::Number(3_171_234_567_890_001.0), "3171**********01"),
        (Cell::Number(f64::NAN), "NaN"),
        (Cell::Boolean(true), "TRUE"),
        (Cell::Error("#REF!".to_owned()), "#REF!"),
        (text("#DIV/0!"), "#DIV/0!"),
        (text("tidak ada"), "tidak ada"),
        (Cell::Empty, ""),
    ] {
        let Reading::Rejected(rejection) = rules().read(&row(nik, text(PHONE), text(DATE))) else {
            panic!("{found}")
        };
        assert_eq!(rejection.found, found);
    }
}

#[test]
fn a_cell_that_is_too_long_is_rejected_whatever_column_it_is_in() {
    assert_eq!(Cell::of_text(String::new()), Cell::Empty);
    assert!(matches!(Cell::of_text("é".repeat(CELL_CHARS)), Cell::Text(_)));
    let long = || Cell::of_text("1".repeat(CELL_CHARS + 1));
    for (row, column) in [
        (row(long(), text(PHONE), text(DATE)), Column::Nik),
        (row(text(NIK), long(), text(DATE)), Column::Phone),
        (row(text(NIK), text(PHONE), long()), Column::Updated),
    ] {
        let Reading::Rejected(rejection) = rules().read(&row) else { panic!("{column} is rejected") };
        assert_eq!((rejection.reason, rejection.column), (Reason::CellTooLong, column));
        assert_eq!(rejection.found, "", "nothing of it is kept");
    }
}
