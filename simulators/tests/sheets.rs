//! The Sheets simulator over real connections, with tokens from its own endpoint.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use reqwest::Client;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Number, Value, json};
use simulators::{
    DemoNight, NightOptions, SCOPE, Sheet, SheetCell, SheetsFailure, Simulators, SimulatorsConfig,
    Spreadsheet,
};

struct Fixture {
    simulators: Simulators,
    client: Client,
    token: String,
}

impl Fixture {
    async fn with(config: SimulatorsConfig) -> Self {
        // A second test of this process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let simulators = Simulators::start(config).await.expect("ports are free");
        let client = Client::builder().timeout(Duration::from_secs(20)).build().expect("a client");
        let mut fixture = Self { simulators, client, token: String::new() };
        fixture.token = fixture.new_token().await;
        fixture
    }

    /// Signs an assertion with the key file, as a client library does.
    async fn new_token(&self) -> String {
        let account = self.simulators.service_account_json();
        let account = serde_json::from_str::<Value>(&account).expect("JSON");
        let pem = account["private_key"].as_str().expect("a key");
        let base64 = pem.lines().filter(|line| !line.starts_with('-')).collect::<String>();
        let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(base64).expect("base64")).expect("a key");
        let now = self.simulators.clock().now_ms() / 1000;
        let claims = json!({
            "iss": account["client_email"], "aud": account["token_uri"], "scope": SCOPE,
            "iat": now, "exp": now + 3600,
        });
        let encode = |text: String| URL_SAFE.encode(text);
        let signed =
            [encode(json!({"alg": "RS256", "typ": "JWT"}).to_string()), encode(claims.to_string())].join(".");
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).expect("signs");
        let assertion = format!("{signed}.{}", URL_SAFE.encode(signature));
        let form = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &assertion)];
        let request = self.client.post(account["token_uri"].as_str().expect("a URL")).form(&form);
        let answer = request.send().await.expect("an answer").json::<Value>().await.expect("JSON");
        assert_eq!(answer["token_type"], "Bearer");
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    fn request(&self, path: &str) -> reqwest::RequestBuilder {
        let (base, id) = (self.simulators.sheets_url(), self.simulators.sheet_id());
        self.client.get(format!("{base}/v4/spreadsheets/{id}{path}")).bearer_auth(&self.token)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.request(path).send().await.expect("an answer");
        (response.status().as_u16(), response.json().await.expect("JSON"))
    }

    async fn batch_get(&self, ranges: &[&str]) -> (u16, Value) {
        let ranges = ranges.iter().map(|range| ("ranges", *range)).collect::<Vec<_>>();
        let options = [
            ("majorDimension", "ROWS"),
            ("valueRenderOption", "UNFORMATTED_VALUE"),
            ("dateTimeRenderOption", "SERIAL_NUMBER"),
            ("fields", "valueRanges(range,values)"),
        ];
        let request = self.request("/values:batchGet").query(&ranges).query(&options);
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.json().await.expect("JSON"))
    }
}

fn little_sheet() -> Spreadsheet {
    let text = SheetCell::text;
    let long = "3171014503900001".parse::<Number>().expect("a number");
    let rows = vec![
        vec![text("nik"), text("whatsapp_number"), text("last_updated_date")],
        vec![SheetCell::Number(long), SheetCell::Empty, SheetCell::Date(46349.5), SheetCell::Empty],
        vec![],
        vec![text("x"), SheetCell::error("#REF!"), SheetCell::Date(46349.0), SheetCell::Bool(true)],
        vec![SheetCell::Empty, text("")],
    ];
    let mut spreadsheet = Spreadsheet::of(Sheet::new("My 'Sheet'", rows));
    spreadsheet.sheets.push(Sheet { id: 7, ..Sheet::new("Blank", Vec::new()) });
    spreadsheet
}

#[tokio::test]
async fn values_have_the_shapes_of_the_real_api() {
    let config = SimulatorsConfig { spreadsheet: little_sheet(), ..SimulatorsConfig::default() };
    let fixture = Fixture::with(config).await;
    let (_, about) = fixture.get("?fields=sheets.properties,properties").await;
    assert_eq!(about["sheets"][1]["properties"]["sheetId"], 7);
    let grid = &about["sheets"][0]["properties"]["gridProperties"];
    assert_eq!((&grid["rowCount"], &grid["columnCount"]), (&json!(1005), &json!(26)));

    let (status, body) = fixture.batch_get(&["'My ''Sheet'''!A2:D", "Blank"]).await;
    assert_eq!(status, 200, "{body}");
    let ranges = &body["valueRanges"];
    assert_eq!(ranges[0]["range"], "'My ''Sheet'''!A2:D1005");
    let wanted = json!([[3171014503900001u64, "", 46349.5], [], ["x", "#REF!", 46349, true]]);
    assert_eq!(ranges[0]["values"], wanted);
    assert_eq!(ranges[1], json!({"range": "Blank!A1:Z1000", "majorDimension": "ROWS"}));

    let (_, one) = fixture.get("/values/'My%20''Sheet'''!A2:D2").await;
    assert_eq!(
        one["values"],
        json!([["3171014503900000", "", "23/11/2026"]]),
        "a formatted view hides digits"
    );
    for (range, message) in [
        ("NOPE!A5:F15", "Unable to parse range: NOPE!A5:F15"),
        (
            "Blank!A1001:C1200",
            "Range (Blank!A1001:C1200) exceeds grid limits. Max rows: 1000, max columns: 26",
        ),
    ] {
        let (status, body) = fixture.batch_get(&[range]).await;
        assert_eq!((status, &body["error"]["message"]), (400, &json!(message)));
        assert_eq!(body["error"]["status"], "INVALID_ARGUMENT");
    }
    let other = format!("{}/v4/spreadsheets/other", fixture.simulators.sheets_url());
    let other = fixture.client.get(other).bearer_auth(&fixture.token).send().await.expect("an answer");
    assert_eq!(other.status(), 404);
    let stats = fixture.simulators.snapshot();
    assert_eq!((stats.tokens_issued, stats.batch_gets), (1, 1));
}

#[tokio::test]
async fn reads_need_a_token_and_a_quota_and_may_be_made_to_fail() {
    let config = SimulatorsConfig {
        spreadsheet: little_sheet(),
        reads_per_minute: Some(6),
        ..SimulatorsConfig::default()
    };
    let mut fixture = Fixture::with(config).await;
    fixture.simulators.sheets().revoke_tokens();
    let (status, body) = fixture.get("").await;
    assert_eq!((status, &body["error"]["status"]), (401, &json!("UNAUTHENTICATED")));
    fixture.token = fixture.new_token().await;
    let failures = [
        SheetsFailure::Status(503),
        SheetsFailure::AutomatedQueries,
        SheetsFailure::NotShared,
        SheetsFailure::TruncatedBody,
        SheetsFailure::Reset,
    ];
    fixture.simulators.sheets().fail_next(failures);
    for status in [503, 429, 403] {
        assert_eq!(fixture.request("").send().await.expect("an answer").status(), status);
    }
    let truncated = fixture.request("").send().await.expect("a head");
    assert!(truncated.status() == 200 && truncated.bytes().await.is_err());
    assert!(fixture.request("").send().await.is_err());
    assert_eq!(fixture.get("").await.0, 200);
    let refused = fixture.request("").send().await.expect("an answer");
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().get("retry-after").is_none());
    let body = refused.json::<Value>().await.expect("JSON");
    assert_eq!(body["error"]["status"], "RESOURCE_EXHAUSTED");
}

#[tokio::test]
async fn a_night_is_served_and_can_change_while_it_is_read() {
    let night = DemoNight::build(3, "2026-11-23", &NightOptions::sized(300, 200)).expect("a night");
    let config = SimulatorsConfig {
        spreadsheet: night.spreadsheet(),
        population: Some(night.population().clone()),
        ..SimulatorsConfig::default()
    };
    let fixture = Fixture::with(config).await;
    fixture.simulators.sheets().edit_after_batch_get(2, |spreadsheet| {
        let sheet = spreadsheet.sheet_mut("Sheet1").expect("there");
        sheet.set(5, 0, SheetCell::text("edited"));
    });
    let mut seen = Vec::new();
    for _ in 0..3 {
        let (_, body) = fixture.batch_get(&["Sheet1!A1:D2", "Sheet1!A3:D"]).await;
        let rows = &body["valueRanges"];
        assert_eq!(rows[0]["values"][0], json!(["nik", "nama", "whatsapp_number", "last_updated_date"]));
        assert!(rows[1]["values"].as_array().expect("rows").len() <= 299);
        seen.push(rows[1]["values"][3][0] == "edited");
    }
    assert_eq!(seen, [false, false, true]);
    assert!(fixture.simulators.store().len() >= night.population().len());
    fixture.simulators.shutdown().await;
}
