//! Exports: CSV and XLSX.

use std::io::{Cursor, Write as _};

use producer::fuzzing::{Read, csv as read_csv, format, xlsx as read_xlsx};
use producer::source::{BATCH_ROWS, ColumnNames, FileConfig, LAST_ROW, SourceError};
use shared::domain::{CELL_CHARS, Cell, SourceRow};
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::input::{Input, longest_run_of_digits};

fn config(range: &str) -> FileConfig {
    FileConfig {
        path: "rows".into(),
        range: range.parse().expect("a range"),
        columns: ColumnNames { nik: "n".into(), phone: "p".into(), updated: "d".into() },
    }
}

/// A CSV: as it is, and below a header.
pub fn csv(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let config = config(input.one_of(&["Sheet1", "Sheet1!A1:C", "Sheet1!B2:F500"]));
    let header = input.one_of(&["", "n,p,d\n", "d;p;n;x\r\n", "n\tx\tp\td\n"]);
    let file = [header.as_bytes(), input.rest()].concat();
    let _ = format("rows.csv", &file[..file.len().min(4096)]);
    if let Some(read) = checked(read_csv(&config, file)) {
        check_round_trip(&config, &read);
    }
}

/// Written as a CSV again, the rows are the same.
fn check_round_trip(config: &FileConfig, read: &Read) {
    let rows = read.iter().flat_map(|(_, rows)| rows);
    let text = |cell: &Cell| match cell {
        Cell::Text(text) => Some(text.clone()),
        Cell::Empty => Some(String::new()),
        _ => None,
    };
    let three = |row: &SourceRow| Some([text(&row.nik)?, text(&row.phone)?, text(&row.updated)?]);
    // A byte order mark in the middle, and rows that other columns alone make count, would not come back.
    let texts: Vec<[String; 3]> =
        rows.filter_map(three).filter(|texts| texts.iter().any(|text| !is_blank(text))).collect();
    let mut writer =
        ::csv::WriterBuilder::new().quote_style(::csv::QuoteStyle::Always).from_writer(Vec::new());
    writer.write_record(["n", "p", "d"]).expect("memory can be written");
    texts.iter().for_each(|texts| writer.write_record(texts).expect("memory can be written"));
    let written = writer.into_inner().expect("memory can be written");
    let whole = FileConfig { range: "Sheet1".parse().expect("a range"), ..config.clone() };
    let mut marked = vec![0xef, 0xbb, 0xbf];
    marked.extend(written);
    let again = read_csv(&whole, marked).expect("what was written is read");
    let again: Vec<[String; 3]> = again.iter().flat_map(|(_, rows)| rows).filter_map(three).collect();
    assert_eq!(again, texts);
}

fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || !c.is_alphanumeric())
}

/// A workbook: as it is, or packed from a sheet, a table of texts and styles, which chance alone would never pack.
pub fn xlsx(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let config = config(input.one_of(&["Sheet1", "Sheet1!B2:F500", "Data!A1:ZZZ"]));
    let file = match input.byte() % 4 {
        0 => input.rest().to_vec(),
        _ => packed([input.part(), input.part(), input.part(), input.rest()]),
    };
    checked(read_xlsx(&config, &file));
}

/// A ZIP of these parts, and of those that lead to them.
fn packed([sheet, texts, styles, workbook]: [&[u8]; 4]) -> Vec<u8> {
    const LINKS: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let links = |target: &str, kind: &str| {
        format!(
            "<Relationships><Relationship Id=\"r1\" Type=\"{LINKS}/{kind}\" Target=\"{target}\"/></Relationships>"
        )
    };
    let (root, of_workbook) =
        (links("xl/workbook.xml", "officeDocument"), links("worksheets/sheet1.xml", "worksheet"));
    let ordinary = "<workbook><sheets><sheet name=\"Sheet1\" sheetId=\"1\" r:id=\"r1\"/></sheets></workbook>";
    let workbook = if workbook.is_empty() { ordinary.as_bytes() } else { workbook };
    let parts = [
        ("_rels/.rels", root.as_bytes()),
        ("xl/workbook.xml", workbook),
        ("xl/_rels/workbook.xml.rels", of_workbook.as_bytes()),
        ("xl/worksheets/sheet1.xml", sheet),
        ("xl/sharedStrings.xml", texts),
        ("xl/styles.xml", styles),
    ];
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, part) in parts.into_iter().filter(|(_, part)| !part.is_empty()) {
        zip.start_file(name, stored).expect("memory can be written");
        zip.write_all(part).expect("memory can be written");
    }
    zip.finish().expect("memory can be written").into_inner()
}

/// Rows are in order and within their range, cells no longer than they may be, and an error shows nobody's number.
fn checked(read: Result<Read, SourceError>) -> Option<Read> {
    match read {
        Ok(read) => {
            let mut last = 0;
            for (range, rows) in &read {
                assert!(*range.start() > last, "{range:?} after row {last}");
                last = *range.end();
                assert!(rows.len() <= BATCH_ROWS as usize);
                assert!(
                    rows.is_sorted_by(|one, next| one.sheet_row < next.sheet_row),
                    "rows are out of order"
                );
                assert!(rows.iter().all(|row| range.contains(&row.sheet_row)), "a row is out of range");
                let cells = rows.iter().flat_map(|row| [&row.nik, &row.phone, &row.updated]);
                for cell in cells {
                    if let Cell::Text(text) = cell {
                        assert!(text.chars().count() <= CELL_CHARS);
                    }
                }
            }
            assert_eq!(last, LAST_ROW, "the last range reaches to the end");
            Some(read)
        }
        Err(error) => {
            let told = error.to_string();
            // Limits and row numbers of ours have up to ten.
            assert!(longest_run_of_digits(&told) <= 10 && told.chars().count() < 3_000, "{told}");
            None
        }
    }
}
