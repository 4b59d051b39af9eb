//! What goes wrong: what is tried again, and how the rest is explained.

use super::super::super::TransientFault;
use super::stub::answer;
use super::*;

type Spoil = fn(&mut GoogleConfig);

fn recorded(name: &str) -> String {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/sheets-errors").join(name);
    std::fs::read_to_string(path).unwrap()
}

async fn error_of(config: GoogleConfig) -> SourceError {
    match read(config).await {
        Err(error) => error,
        Ok(_) => panic!("the sheet was read"),
    }
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let page = recorded("drive-automated-queries_429.html");
    let quota = recorded("sheets-spreadsheets-get-quota-exceeded-readgroup_429.json");
    for first in [
        vec![answer(429, page.clone()), answer(429, quota.clone()), answer(429, ""), answer(429, quota)],
        vec![answer(500, ""), answer(503, "<html>")],
        vec![answer(502, "{\"error\":{\"code\":502,\"message\":\"bad gateway\"}}"), answer(408, "")],
        vec![answer(200, ""), answer(200, "{\"valueRanges\": [{\"va")],
        vec![answer(200, "<html>sign in to the network</html>"), answer(200, "{}")],
        vec![answer(403, "<html>proxy</html>")],
        vec![None, answer(200, "{}"), answer(200, "{\"valueRanges\":[]}")],
        vec![answer(401, "{\"error\":{\"code\":401,\"status\":\"UNAUTHENTICATED\",\"message\":\"x\"}}")],
    ] {
        let stub = Stub::start(cells(12)).await;
        let scripted = format!("{first:?}");
        stub.sheet().answers.extend(first);
        let (_, summary) = read(config(&stub)).await.unwrap_or_else(|error| panic!("{scripted}: {error}"));
        assert_eq!(summary.rows_read, 11, "{scripted}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_cut_off_and_says_what_to_do() {
    let stub = Stub::start(cells(2)).await;
    let large = format!("{{\"valueRanges\":[{{\"values\":[[\"{}\"]]}}]}}", "x".repeat(ANSWER_BYTES));
    stub.sheet().answers.extend([None, answer(200, large.clone())]);
    let error = error_of(config(&stub)).await;
    assert!(matches!(error, SourceError::AnswerTooLarge { .. }) && error.is_systemic(), "{error}");
    assert!(error.to_string().contains("SHEET_RANGE"), "{error}");
    assert_eq!(stub.sheet().calls.len(), 2, "it is not asked for again");

    // Every answer has the whole limit.
    let stub = Stub::start(cells(2)).await;
    let half = || answer(200, format!("{{\"sheets\":[],\"x\":\"{}\"}}", "x".repeat(ANSWER_BYTES * 2 / 3)));
    stub.sheet().answers.extend([half(), half()]);
    let mut client = SheetsClient::connect(&config(&stub)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(client.tabs().await.unwrap().len(), 0);
    }
}

#[tokio::test]
async fn what_a_library_panics_at_is_one_failed_attempt() {
    let stub = Stub::start(cells(2)).await;
    let absurd = format!("{{\"access_token\":\"a\",\"token_type\":\"Bearer\",\"expires_in\":{}}}", i64::MAX);
    stub.sheet().token_answers.push_back(answer(200, absurd));
    assert_eq!(read(config(&stub)).await.unwrap().1.rows_read, 2);
    assert_eq!(stub.sheet().tokens, 2);
}

#[tokio::test]
async fn what_a_token_endpoint_stumbles_over_passes_too() {
    let stub = Stub::start(cells(2)).await;
    let stumbles = [answer(500, "<html>"), answer(503, "{\"error\":\"temporarily_unavailable\"}")];
    stub.sheet().token_answers.extend(stumbles);
    assert_eq!(read(config(&stub)).await.unwrap().1.rows_read, 2);
    assert_eq!(stub.sheet().tokens, 3);

    let stub = Stub::start(cells(2)).await;
    stub.sheet().token_answers.push_back(answer(400, recorded("tokeninfo-stale_400.json")));
    assert_eq!(read(config(&stub)).await.unwrap().1.rows_read, 2);
}

#[tokio::test]
async fn a_token_taken_back_is_asked_for_again_once() {
    let refused =
        || answer(401, "{\"error\":{\"code\":401,\"status\":\"UNAUTHENTICATED\",\"message\":\"x\"}}");
    let stub = Stub::start(cells(2)).await;
    stub.sheet().answers.extend([None, refused()]);
    read(config(&stub)).await.unwrap();
    assert_eq!(stub.sheet().tokens, 2);

    let stub = Stub::start(cells(2)).await;
    stub.sheet().answers.extend([refused(), refused()]);
    let error = error_of(config(&stub)).await;
    assert!(matches!(error, SourceError::Credentials { .. }), "{error}");
}

#[tokio::test]
async fn retry_after_is_honoured_and_patience_ends() {
    let stub = Stub::start(cells(2)).await;
    let mut busy = answer(503, "").unwrap();
    busy.headers_mut().insert("retry-after", "1".parse().unwrap());
    stub.sheet().answers.push_back(Some(busy));
    let started = tokio::time::Instant::now();
    read(config(&stub)).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));

    let mut settings = config(&stub);
    settings.quota_patience = Duration::from_millis(30);
    stub.sheet().answers.extend(std::iter::repeat_with(|| answer(429, "")).take(1000));
    let error = error_of(settings).await;
    assert!(matches!(error, SourceError::Quota { .. }) && error.is_systemic(), "{error}");
}

#[tokio::test]
async fn what_does_not_pass_is_explained() {
    let error = |code: u16, status: &str, message: &str| {
        json!({ "error": { "code": code, "status": status, "message": message } }).to_string()
    };
    for (status, body, expected) in [
        (
            403,
            error(403, "PERMISSION_DENIED", "The caller does not have permission"),
            "add reader@p.iam.gserviceaccount.com as a Viewer",
        ),
        (
            403,
            recorded("sheets-spreadsheets-get-api-key-not-enabled_403.json"),
            "enable it at https://console.developers.google.com/apis/api/sheets.googleapis.com/overview?project=000000000000",
        ),
        (
            404,
            recorded("sheets-spreadsheets-get-nonexistent-sheet-id_404.json"),
            "Google knows no spreadsheet sheet-id_1",
        ),
        (
            400,
            recorded("sheets-spreadsheets-get-bad-field-mask_400.json"),
            "status 400: Request contains an invalid argument.",
        ),
        (
            400,
            recorded("sheets-spreadsheets-get-nonexistent-range_400.json"),
            "SHEET_RANGE names: Unable to parse range: NOPE!A5:F15; if the tab was renamed",
        ),
        (400, recorded("tokeninfo-stale_400.json"), "in 3 attempts"),
        (
            400,
            error(400, "FAILED_PRECONDITION", "This operation is not supported for this document"),
            "Save as Google Sheets",
        ),
        (400, error(400, "INVALID_ARGUMENT", "bad 3174012304560001"), "bad ****"),
        (500, String::new(), "could not be reached or did not answer properly in 3 attempts"),
        (403, String::new(), "in 3 attempts"),
    ] {
        let stub = Stub::start(cells(2)).await;
        stub.sheet().answers.extend(std::iter::repeat_with(|| answer(status, body.clone())).take(3));
        let error = error_of(config(&stub)).await;
        assert!(error.to_string().contains(expected), "{status} {body}: {error}");
        assert!(error.is_systemic());
    }
}

#[tokio::test]
async fn a_missing_tab_or_column_is_explained_before_any_row_is_read() {
    let stub = Stub::start(cells(2)).await;
    let mut settings = config(&stub);
    settings.range = "Data!A1:F".parse().unwrap();
    let error = error_of(settings).await;
    assert_eq!(error.to_string(), "there is no sheet named \"Data\" (SHEET_RANGE); found: Sheet1");

    let mut settings = config(&stub);
    settings.columns.phone = "no_wa".to_owned();
    let error = error_of(settings).await;
    assert!(matches!(error, SourceError::SheetShape(_)), "{error}");

    for range in ["Sheet1!A99:F", "Sheet1!Z1:AA"] {
        let mut settings = config(&stub);
        settings.range = range.parse().unwrap();
        let error = error_of(settings).await;
        assert!(error.to_string().ends_with("the row is empty"), "{range}: {error}");
    }
}

#[tokio::test]
async fn credentials_that_do_not_work_are_explained_without_showing_them() {
    let stub = Stub::start(cells(2)).await;
    let refused = "{\"error\":\"invalid_grant\",\"error_description\":\"Invalid JWT Signature.\"}";
    stub.sheet().token_answers.push_back(answer(400, refused));
    let error = error_of(config(&stub)).await;
    assert!(error.to_string().contains("does not know the key"), "{error}");

    let key: Value = serde_json::from_str(&stub.key()).unwrap();
    let with = |name: &str, value: Value| {
        let mut key = key.clone();
        key[name] = value;
        key.to_string()
    };
    for (json, expected) in [
        ("secret words".to_owned(), "it is not JSON"),
        (with("type", json!("authorized_user")), "service_account"),
        (with("private_key", json!("secret words")), "not an RSA key"),
        (with("private_key", json!(17)), "is missing"),
        (with("token_uri", json!("secret words")), "token_uri is not an address"),
    ] {
        let mut settings = config(&stub);
        settings.credentials = SecretString::from(json);
        assert!(!format!("{settings:?}").contains("secret words"));
        let error = error_of(settings).await;
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!format!("{error} {error:?}").contains("secret words"));
    }
}

#[tokio::test]
async fn settings_are_judged_before_anything_is_sent() {
    let stub = Stub::start(cells(2)).await;
    let bad: [(&str, Spoil); 4] = [
        ("SHEET_ID", |settings| {
            settings.spreadsheet_id = "https://docs.google.com/spreadsheets/d/x/edit".to_owned()
        }),
        ("SHEETS_URL", |settings| settings.base_url = Some("sheets.googleapis.com".to_owned())),
        ("HTTPS_PROXY", |settings| settings.egress.https_proxy = Some(SecretString::from("socks5://p:1"))),
        ("CA_FILE", |settings| settings.egress.ca_file = Some("/nowhere/ca.pem".into())),
    ];
    for (variable, spoil) in bad {
        let mut settings = config(&stub);
        spoil(&mut settings);
        let error = error_of(settings).await;
        assert!(error.to_string().starts_with(variable), "{error}");
        assert!(!error.is_systemic());
    }
    assert!(stub.sheet().calls.is_empty());
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_given_up_with_the_cause() {
    let stub = Stub::start(cells(2)).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = config(&stub);
    settings.base_url = Some(format!("http://{}", silent.local_addr().unwrap()));
    settings.request_timeout = Duration::from_millis(300);
    let error = error_of(settings).await;
    assert!(
        matches!(&error, SourceError::Unreachable { attempts: 3, source: TransientFault::TimedOut(_), .. }),
        "{error:?}"
    );

    drop(silent);
    let mut settings = config(&stub);
    settings.base_url = Some("http://127.0.0.1:1/".to_owned());
    let error = error_of(settings).await;
    assert!(
        matches!(&error, SourceError::Unreachable { source: TransientFault::Connection(_), .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn https_goes_through_the_proxy_unless_excepted() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let stub = Stub::start(cells(2)).await;
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = proxy.local_addr().unwrap();
    let asked = tokio::spawn(async move {
        let (mut connection, _) = proxy.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(connection.read_u8().await.unwrap());
        }
        connection.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await.unwrap();
        String::from_utf8(request).unwrap()
    });
    let mut settings = config(&stub);
    settings.base_url = Some("https://sheets.example.invalid".to_owned());
    settings.retry.max_attempts = 1;
    settings.egress.https_proxy = Some(SecretString::from(format!("http://user:word@{address}")));
    settings.egress.no_proxy = Some("direct.invalid".to_owned());
    assert!(!format!("{settings:?}").contains("word"));
    let error = error_of(settings).await;
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error}");
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("CONNECT sheets.example.invalid:443 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("Proxy-Authorization: Basic dXNlcjp3b3Jk\r\n"), "{asked}");
}
