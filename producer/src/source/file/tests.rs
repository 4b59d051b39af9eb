use std::fmt::Write as _;
use std::path::Path;

use super::super::kept::Kept;
use super::super::{
    ColumnNames, FileConfig, FileSource, LAST_ROW, ReadSummary, RowSource, SheetRange, SourceError,
};
use super::*;

const HEADER: &str = "nik,whatsapp_number,last_updated_date";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/spreadsheets").join(name)
}

async fn read_from(path: PathBuf, range: &str) -> Result<(Kept, ReadSummary), SourceError> {
    let config = FileConfig { path, range: range.parse().unwrap(), columns: ColumnNames::default() };
    let mut kept = Kept::default();
    let summary = FileSource::new(config).read(&mut kept).await?;
    assert_eq!(summary.rows_read, kept.rows.len() as u64);
    assert_eq!(kept.ranges.last().map(|range| *range.end()), Some(LAST_ROW));
    Ok((kept, summary))
}

async fn read_named(name: &str, bytes: impl AsRef<[u8]>, range: &str) -> Result<Kept, SourceError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    Ok(read_from(path, range).await?.0)
}

async fn read_csv(bytes: impl AsRef<[u8]>) -> Result<Kept, SourceError> {
    read_named("rows.csv", bytes, "Sheet1").await
}

async fn problem_of(name: &str, bytes: impl AsRef<[u8]>) -> String {
    match read_named(name, bytes, "Sheet1").await {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{name} was read"),
    }
}

#[tokio::test]
async fn a_workbook_keeps_numbers_texts_errors_and_merged_cells_apart() {
    for (file, range) in [
        ("numbers.xlsx", "Sheet1"),
        ("numbers.xlsx", "nomor"),
        ("numbers.xlsx", "Nomor!A1:F"),
        ("numbers-1904.xlsx", "Sheet1"),
    ] {
        let (kept, summary) = read_from(fixture(file), range).await.unwrap();
        assert_eq!(summary, ReadSummary { rows_read: 9, changed_while_read: false, rereads: 0 });
        assert_eq!(kept.numbers(), [2, 3, 4, 5, 7, 8, 9, 11, 12], "{file}");
        for (row, expected) in [
            (2, ["text 3174012304560001", "text 0812-3456-7001", "number 46349"]),
            (3, ["number 3174012304560000", "number 81234567002", "number 46349.6041666667"]),
            (4, ["text 3174012304560003", "text +62 812 3456 7003", "text 23/11/2026"]),
            (5, ["error #N/A", "error #REF!", "number 46349"]),
            (7, ["text 3174012304560005", "text 081234567005", "number 46349"]),
            (8, ["", "text 081234567006", "number 46349"]),
            (9, ["", "", ""]),
            (11, ["text 3174012304560007", "number 81234567007", "number 46349"]),
            (12, ["text 3174012304560008", "text 081234567008", "number 46348"]),
        ] {
            assert_eq!(kept.texts(row), expected, "{file} row {row}");
        }
        assert!(kept.rows[&9].other_content && kept.rows[&8].other_content);
    }
}

#[tokio::test]
async fn a_csv_keeps_the_numbers_people_see() {
    for file in ["numbers.csv", "numbers-semicolon.csv"] {
        let (kept, _) = read_from(fixture(file), "Sheet1").await.unwrap();
        assert_eq!(kept.numbers(), [2, 3, 4, 5, 7, 8, 9, 11, 12], "{file}");
        assert_eq!(kept.texts(2), ["text 3174012304560001", "text 0812-3456-7001", "text 23/11/2026"]);
        assert_eq!(kept.texts(5), ["text #N/A", "text #REF!", "text 23/11/2026"]);
        assert_eq!(kept.texts(8), ["", "text 081234567006", "text 23/11/2026"]);
        assert_eq!(kept.texts(12), ["text 3174012304560008", "text 081234567008", "text 22/11/2026"]);
    }
}

#[tokio::test]
async fn a_part_of_a_workbook_is_read_by_its_range() {
    let (kept, _) = read_from(fixture("numbers.xlsx"), "Nomor!B1:E4").await.unwrap();
    assert_eq!(kept.numbers(), [2, 3, 4]);
    assert!(!kept.rows[&2].other_content || kept.texts(2)[0] == "text 3174012304560001");

    let error = read_from(fixture("numbers.xlsx"), "Nomor!A2:F").await.err().unwrap();
    assert!(matches!(&error, SourceError::SheetShape(fault) if fault.sheet_row == 2), "{error}");
    assert!(!error.to_string().contains("3174012304560001"), "{error}");

    let error = read_from(fixture("numbers.xlsx"), "Nomor!C1:F").await.err().unwrap();
    assert!(error.to_string().contains("no column \"nik\""), "{error}");
}

#[tokio::test]
async fn a_missing_sheet_names_those_there_are() {
    let error = read_from(fixture("numbers.xlsx"), "Data!A1:F").await.err().unwrap();
    assert_eq!(error.to_string(), "there is no sheet named \"Data\" (SHEET_RANGE); found: Nomor, Petunjuk");
    assert!(error.is_systemic());
}

#[tokio::test]
async fn every_encoding_and_separator_gives_the_same_rows() {
    let text = "nik;whatsapp_number;catatan;last_updated_date\r\n\
                3174012304560001;0812;\"a;\r\n\r\nb é\";2026-11-23\r\n\
                \r\n\
                3174012304560002;0813;;2026-11-23";
    let utf16 = |mark: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        format!("{mark}{text}").encode_utf16().flat_map(bytes).collect()
    };
    let latin = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let variants: Vec<Vec<u8>> = vec![
        text.into(),
        format!("\u{feff}{text}").into(),
        format!("sep=;\r\n{text}").into(),
        format!("\u{feff}\"sep=;\"\r{text}").into(),
        text.replace("\r\n", "\n").into(),
        text.replace("\r\n", "\r").into(),
        text.replace(';', ",").into(),
        text.replace(';', "\t").into(),
        text.replace(';', "|").into(),
        format!("SEP=^\n{}", text.replace(';', "^")).into(),
        utf16("\u{feff}", u16::to_le_bytes),
        utf16("\u{feff}", u16::to_be_bytes),
        utf16("", u16::to_le_bytes),
        latin,
    ];
    for (i, bytes) in variants.into_iter().enumerate() {
        let kept = read_csv(bytes).await.unwrap();
        assert_eq!(kept.numbers(), [2, 4], "variant {i}");
        assert_eq!(kept.texts(2), ["text 3174012304560001", "text 0812", "text 2026-11-23"], "variant {i}");
        assert_eq!(kept.texts(4), ["text 3174012304560002", "text 0813", "text 2026-11-23"], "variant {i}");
    }
}

#[tokio::test]
async fn one_stray_byte_spoils_one_field_and_not_the_file() {
    let mut bytes = format!("{HEADER}\n3174\u{200b}012304560001,0812,a\n").into_bytes();
    bytes.extend_from_slice(b"caf\xe9,0813,b\n");
    let kept = read_csv(bytes).await.unwrap();
    assert_eq!(kept.texts(2)[0], "text 3174\u{200b}012304560001");
    assert_eq!(kept.texts(3)[0], "text café");
}

#[tokio::test]
async fn a_csv_of_the_whole_tab_is_read_by_its_range() {
    let text = format!("Laporan,,,\n,,,\n,{HEADER},x\n,n1,p1,d1,x\n,n2,p2,d2,x\n,n3,p3,d3,x\n");
    let kept = read_named("rows.csv", &text, "Sheet1!B3:D5").await.unwrap();
    assert_eq!(kept.numbers(), [4, 5]);
    assert_eq!(kept.texts(4), ["text n1", "text p1", "text d1"]);
    assert!(!kept.rows[&4].other_content, "the columns outside the range do not count");
}

#[tokio::test]
async fn ragged_rows_and_no_rows_are_fine() {
    let kept = read_csv(format!("{HEADER}\nn1\nn2,p2,d2,more,,\n,,\n ,\u{a0},\n")).await.unwrap();
    assert_eq!(kept.numbers(), [2, 3]);
    assert_eq!(kept.texts(2), ["text n1", "", ""]);
    assert!(read_csv(HEADER).await.unwrap().rows.is_empty());
    assert!(read_csv(format!("{HEADER}\n\n\n")).await.unwrap().rows.is_empty());
}

#[tokio::test]
async fn a_cell_too_long_is_its_rows_trouble_alone() {
    let kept = read_csv(format!("{HEADER}\n{},0812,d\nn,p,d\n", "1".repeat(40_000))).await.unwrap();
    assert_eq!(kept.texts(2), ["too long", "text 0812", "text d"]);
    assert_eq!(kept.numbers(), [2, 3]);
}

#[tokio::test]
async fn what_is_no_table_says_what_to_do() {
    let zip = std::fs::read(fixture("numbers.xlsx")).unwrap();
    for (name, bytes, expected) in [
        ("a.csv", Vec::new(), "it is empty"),
        ("a.csv", zip.clone(), "name it .xlsx"),
        ("a.ods", zip.clone(), "save it as XLSX or CSV"),
        ("a.xlsx", b"nik,whatsapp_number".to_vec(), "name it .csv"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 old".to_vec(), "without a password"),
        ("a.csv", b"\n <!DOCTYPE html><title>Sign in".to_vec(), "download the sheet as CSV or XLSX"),
        ("a.pdf", b"%PDF-1.7".to_vec(), "download the sheet as CSV or XLSX"),
        ("a.xlsx", zip[..zip.len() / 2].to_vec(), "damaged"),
        ("a.csv", format!("{HEADER}\nn,\"p,d\nn,p,d\n").into_bytes(), "a quotation mark in row 2 is opened"),
        (
            "a.csv",
            format!("{HEADER}\n{}\n", "x".repeat(5_000_000)).into_bytes(),
            "row 2 has more than 4194304 bytes",
        ),
        (
            "a.csv",
            format!("{HEADER}\n{}\n", ",".repeat(20_000)).into_bytes(),
            "row 2 has more than 18278 cells",
        ),
        ("a.csv", ",".repeat(20_000).into_bytes(), "row 1 has more than 18278 cells"),
        ("a.csv", b"\n".to_vec(), "row 1 is not the header"),
        ("a.csv", b"a;b;c\n1;2;3\n".to_vec(), "found: a, b, c"),
    ] {
        let problem = problem_of(name, bytes).await;
        assert!(problem.contains(expected), "{name}: {problem}");
    }
    let error = read_from(PathBuf::from("/nowhere/rows.csv"), "Sheet1").await.err().unwrap();
    assert!(error.to_string().starts_with("/nowhere/rows.csv cannot be read: "), "{error}");
}

#[tokio::test]
async fn many_rows_come_in_bounded_batches() {
    let mut text = format!("{HEADER}\n");
    for row in 2..=12_001 {
        writeln!(text, "n{row},p{row},d").unwrap();
    }
    let kept = read_csv(&text).await.unwrap();
    assert_eq!(kept.ranges, [2..=5_001, 5_002..=10_001, 10_002..=LAST_ROW]);
    assert_eq!(kept.rows.len(), 12_000);
    assert_eq!(kept.texts(12_001), ["text n12001", "text p12001", "text d"]);
}

#[tokio::test]
async fn a_file_written_to_while_it_is_read_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.csv");
    std::fs::write(&path, format!("{HEADER}\nn1,p1,d\nn2,p2,d\n")).unwrap();
    let config =
        FileConfig { path: path.clone(), range: SheetRange::default(), columns: ColumnNames::default() };
    let mut kept = Kept::after(move |batches| match batches {
        0 => Ok(std::fs::write(&path, format!("{HEADER}\nn3,p3,dd\n"))?),
        _ => Ok(()),
    });
    let summary = FileSource::new(config).read(&mut kept).await.unwrap();
    assert_eq!(summary, ReadSummary { rows_read: 1, changed_while_read: false, rereads: 1 });
    assert_eq!(kept.numbers(), [2]);
    assert_eq!(kept.texts(2)[0], "text n3");
}

#[tokio::test]
async fn a_file_that_keeps_changing_is_taken_as_last_seen() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.csv");
    std::fs::write(&path, format!("{HEADER}\nn,p,d\n")).unwrap();
    let config =
        FileConfig { path: path.clone(), range: SheetRange::default(), columns: ColumnNames::default() };
    let mut kept = Kept::after(move |batches| {
        let more = "n,p,d\n".repeat(batches + 2);
        Ok(std::fs::write(&path, format!("{HEADER}\n{more}"))?)
    });
    let summary = FileSource::new(config).read(&mut kept).await.unwrap();
    assert_eq!(summary, ReadSummary { rows_read: 4, changed_while_read: true, rereads: REREADS_LIMIT });
}

#[tokio::test]
async fn a_sink_that_fails_ends_the_read() {
    let mut kept = Kept::after(|_| Err("the ledger is gone".into()));
    let config = FileConfig {
        path: fixture("numbers.csv"),
        range: SheetRange::default(),
        columns: ColumnNames::default(),
    };
    let error = FileSource::new(config).read(&mut kept).await.unwrap_err();
    assert!(matches!(&error, SourceError::Sink(_)) && !error.is_systemic(), "{error}");
}

/// The smallest workbook there is, with these cells in the rows below its header.
fn workbook(rows: &str) -> Vec<u8> {
    const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    const LINKS: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    const PACKAGE: &str = "http://schemas.openxmlformats.org/package/2006/relationships";
    let text = |cell: &str, text: &str| format!("<c r=\"{cell}\" t=\"inlineStr\"><is><t>{text}</t></is></c>");
    let header = [text("A1", "nik"), text("B1", "whatsapp_number"), text("C1", "last_updated_date")].concat();
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, part) in [
        (
            "_rels/.rels",
            format!(
                "<Relationships xmlns=\"{PACKAGE}\"><Relationship Id=\"r1\" Type=\"{LINKS}/officeDocument\" \
                 Target=\"xl/workbook.xml\"/></Relationships>"
            ),
        ),
        (
            "xl/workbook.xml",
            format!(
                "<workbook xmlns=\"{MAIN}\" xmlns:r=\"{LINKS}\"><sheets><sheet name=\"Sheet1\" sheetId=\"1\" \
                 r:id=\"r1\"/></sheets></workbook>"
            ),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            format!(
                "<Relationships xmlns=\"{PACKAGE}\"><Relationship Id=\"r1\" Type=\"{LINKS}/worksheet\" \
                 Target=\"worksheets/sheet1.xml\"/></Relationships>"
            ),
        ),
        (
            "xl/worksheets/sheet1.xml",
            format!(
                "<worksheet xmlns=\"{MAIN}\"><sheetData><row r=\"1\">{header}</row>{rows}</sheetData></worksheet>"
            ),
        ),
    ] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut zip, part.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[tokio::test]
async fn a_workbook_beyond_a_limit_says_which() {
    let good = "<row r=\"2\"><c r=\"A2\"><v>1</v></c></row>";
    let kept = read_named("a.xlsx", workbook(good), "Sheet1").await.unwrap();
    assert_eq!(kept.numbers(), [2], "the workbook itself is fine");

    let long = "1".repeat(40_000);
    let row = format!("<row r=\"2\"><c r=\"A2\" t=\"str\"><v>{long}</v></c></row>{}", good.replace('2', "3"));
    let kept = read_named("a.xlsx", workbook(&row), "Sheet1").await.unwrap();
    assert_eq!((kept.numbers(), kept.texts(2)[0].as_str()), (vec![2, 3], "too long"));

    let bomb =
        workbook(&format!("<row r=\"2\"><c r=\"A2\" t=\"str\"><v>{}</v></c></row>", "1".repeat(5_000_000)));
    assert!(bomb.len() < 10_000, "{} bytes", bomb.len());
    for (rows, expected) in [
        (bomb, "a cell of it takes more than 4194304 bytes"),
        (workbook("<row r=\"2\"><c r=\"AAAA2\"><v>1</v></c></row>"), "row 2 has more than 18278 cells"),
        (
            workbook(&format!("<row r=\"2\">{}</row>", "<c/>".repeat(20_000))),
            "row 2 has more than 18278 cells",
        ),
        (workbook("<row r=\"4294967295\"><c><v>1</v></c></row>"), "a row beyond 2147483647"),
    ] {
        let problem = problem_of("a.xlsx", rows).await;
        assert!(problem.contains(expected), "{expected}: {problem}");
    }
}
