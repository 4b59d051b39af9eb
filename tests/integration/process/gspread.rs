//! gspread, a client of Google Sheets nobody here wrote, reads the simulated Sheets API with a token that
//! google-auth got from the simulated token endpoint: our own client could share a misunderstanding with it.

use serde_json::{Value, json};
use simulators::{Sheet, SheetCell, SimulatorsConfig, Spreadsheet};
use tests::process::{PYTHON, Site, in_repository};
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_independent_client_reads_what_the_simulated_sheet_holds() {
    let python = in_repository(PYTHON);
    assert!(python.is_file(), "{} is missing; run first: scripts/install-gspread", python.display());
    let text = SheetCell::text;
    let rows = vec![
        vec![text("nik"), text("whatsapp_number"), text("note"), text("last_updated_date")],
        vec![text("3174014501900001"), text("0812-3456-7890"), text(""), SheetCell::Date(46349.0)],
        vec![],
        vec![
            SheetCell::number(3_174_014_501_900_002_u64),
            SheetCell::number(81_234_567_891_u64),
            SheetCell::Bool(true),
            SheetCell::Date(46349.5),
        ],
        vec![SheetCell::error("#REF!"), text("x"), text(""), text("")],
    ];
    let spreadsheet = Spreadsheet::of(Sheet::new("Petugas 'A' & B", rows));
    let title = spreadsheet.title.clone();
    let site = Site::with(SimulatorsConfig { spreadsheet, ..SimulatorsConfig::default() }).await;
    let key = site.file("key.json", site.simulators.service_account_json());
    let mut command = Command::new(python);
    command
        .arg(in_repository("tests/clients/read_with_gspread.py"))
        .args([Site::argument(&key), site.simulators.sheets_url(), &site.simulators.sheet_id()])
        .env_clear()
        .current_dir(site.work());
    let read = site.spawn(command).end().await.expect(0).object();

    assert_eq!(read["title"], title);
    assert_eq!(read["sheets"], json!([[0, "Petugas 'A' & B", 1005, 26]]));
    let header = ["nik", "whatsapp_number", "note", "last_updated_date"];
    let formatted = json!([
        header,
        ["3174014501900001", "0812-3456-7890", "", "23/11/2026"],
        ["", "", "", ""],
        // What a formatted view hides: the sheet shows fifteen digits.
        ["3174014501900000", "81234567891", "TRUE", "23/11/2026"],
        ["#REF!", "x", "", ""]
    ]);
    assert_eq!(read["formatted"], formatted);
    let values = json!([
        header,
        ["3174014501900001", "0812-3456-7890", "", 46349],
        [],
        [3_174_014_501_900_002_u64, 81_234_567_891_u64, true, 46349.5],
        ["#REF!", "x"]
    ]);
    assert_eq!(read["values"], values);
    assert_eq!(read["cell"], "0812-3456-7890");
    let ranges = json!([
        [["nik", "whatsapp_number"], ["3174014501900001", "0812-3456-7890"]],
        [[46349], [], [46349.5]]
    ]);
    assert_eq!(read["batch"], ranges);
    assert_eq!(read["records"].as_array().map(Vec::len), Some(4));
    for write in ["write", "batch_update"] {
        assert_eq!(
            (&read[write]["code"], &read[write]["status"]),
            (&json!(403), &json!("PERMISSION_DENIED"))
        );
    }
    assert_eq!((&read["no_such_range"]["code"], &read["no_such_sheet"]["code"]), (&json!(400), &json!(404)));
    assert!(said(&read["no_such_range"]).contains("Unable to parse range: NoSuchTab!A1:B2"), "{read}");
    assert_eq!(read["no_such_tab"], json!({ "type": "WorksheetNotFound" }));
    let stats = site.simulators.snapshot();
    assert_eq!((stats.tokens_issued, stats.token_refusals), (1, 0));
}

fn said(refusal: &Value) -> &str {
    refusal["message"].as_str().unwrap_or_default()
}
