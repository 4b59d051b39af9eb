use std::io::{Cursor, Write as _};

use zip::write::{SimpleFileOptions, ZipWriter};

use super::*;

const SMALL: Limits = Limits { all: 200_000, part: 50_000, cell: 10_000, texts: 100 };

/// A workbook's parts, packed.
fn packed(parts: &[(&str, String)]) -> Cursor<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in parts {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap()
}

fn checked(parts: &[(&str, String)]) -> Result<(), TooLarge> {
    check(packed(parts), &SMALL)
}

fn sheet(cells: &str) -> String {
    format!("<worksheet><sheetData><row>{cells}</row></sheetData></worksheet>")
}

fn texts(declared: &str, texts: &str) -> String {
    format!("<sst uniqueCount=\"{declared}\">{texts}</sst>")
}

const SHEET: &str = "xl/worksheets/sheet1.xml";
const TEXTS: &str = "xl/sharedStrings.xml";

#[test]
fn what_is_within_the_limits_passes() {
    let ordinary = [
        (SHEET, sheet(&"<c><v>12</v></c>".repeat(10_000))),
        (TEXTS, texts("100", &"<si><t>text</t></si>".repeat(100))),
        ("xl/media/image1.png", "\u{89}PNG < not XML".repeat(100)),
    ];
    assert_eq!(checked(&ordinary), Ok(()));
    assert_eq!(check(Cursor::new(b"PK no archive".to_vec()), &SMALL), Ok(()), "the reader says what it is");
}

#[test]
fn a_workbook_that_unpacks_to_too_much_is_refused() {
    let cells = sheet(&"<c><v>1</v></c>".repeat(20_000));
    let bomb = packed(&[(SHEET, cells.clone())]);
    assert!(bomb.get_ref().len() < 3_000, "{} bytes, which unpack to {}", bomb.get_ref().len(), cells.len());
    assert_eq!(check(bomb, &SMALL), Err(TooLarge::All(200_000)));
    let several: Vec<_> =
        ["1", "2", "3"].map(|at| format!("xl/worksheets/sheet{at}.xml")).into_iter().collect();
    let half = sheet(&"<c><v>1</v></c>".repeat(6_000));
    let parts: Vec<_> = several.iter().map(|name| (name.as_str(), half.clone())).collect();
    assert_eq!(checked(&parts), Err(TooLarge::All(200_000)), "together");
    let styles = format!("<styleSheet>{}</styleSheet>", "<xf/>".repeat(20_000));
    assert_eq!(checked(&[("xl/styles.xml", styles)]), Err(TooLarge::Part(50_000)));
    assert_eq!(checked(&[("xl/worksheets/sharedStrings.xml", cells)]), Err(TooLarge::Part(50_000)));
}

#[test]
fn a_cell_that_takes_too_much_is_refused_however_it_is_made() {
    let long = "x".repeat(10_001);
    for cell in [
        format!("<c><v>{long}</v></c>"),
        format!("<c><is><t><![CDATA[{long}]]></t></is></c>"),
        format!("<c><!-- {long} --></c>"),
        format!("<c t=\"{long}\"/>"),
        format!("<x:c><x:is>{}</x:is></x:c>", "<x:r><x:t>run</x:t></x:r>".repeat(1_000)),
        format!("<junk><![CDATA[{long}]]></junk>"),
    ] {
        assert_eq!(checked(&[(SHEET, sheet(&cell))]), Err(TooLarge::Cell(10_000)), "{}", &cell[..30]);
    }
    let runs = "<r><t>run</t></r>".repeat(1_000);
    assert_eq!(checked(&[(TEXTS, texts("1", &format!("<si>{runs}</si>")))]), Err(TooLarge::Cell(10_000)));
}

#[test]
fn a_table_of_too_many_texts_is_refused_when_it_says_so_and_when_it_has_them() {
    let many = Err(TooLarge::Texts(100));
    assert_eq!(checked(&[(TEXTS, texts("1", &"<si/>".repeat(101)))]), many);
    for declared in ["101", "99999999999999", "999999999999999999999999", "-1", "many"] {
        assert_eq!(checked(&[(TEXTS, texts(declared, "<si/>"))]), many, "{declared}");
    }
    assert_eq!(checked(&[(TEXTS, "<sst><si/></sst>".to_owned())]), Ok(()));
}
