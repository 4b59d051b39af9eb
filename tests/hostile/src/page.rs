//! Requests to the operators' page: paths, query strings, forms and headers.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use dashboard::{Dashboard, Deed, Hands, Item, Refused, router};
use http::{HeaderValue, Method, Request, header};
use http_body_util::BodyExt as _;
use shared::clock::Clock;
use shared::data_key::DataKeys;
use shared::ledger::Act;
use shared::ledger::sqlite::SqliteLedger;
use shared::secrets::LiveSecret;
use shared::settings::Settings;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use crate::input::Input;

/// What a page must never show as it was sent.
const MARKUP: &str = "<zq'\"";

const PATHS: &[&str] = &[
    "/",
    "/runs",
    "/runs/",
    "/runs/018f0000-0000-7000-8000-000000000000/rows",
    "/runs/018f0000-0000-7000-8000-000000000000/rows.csv",
    "/find",
    "/dead-letters",
    "/dead-letters/",
    "/dead-letters/preview",
    "/acts",
    "/actions",
    "/actions/rerun",
    "/actions/replay",
    "/login",
    "/language/",
    "/assets/",
];

const KEYS: &[&str] = &[
    "after",
    "before",
    "outcome",
    "reason",
    "warning",
    "row",
    "unfinished",
    "date",
    "back",
    "nik",
    "token",
    "csrf",
];

struct Idle;

#[async_trait]
impl Hands for Idle {
    async fn note(&self, _act: Act) -> Result<(), Refused> {
        Ok(())
    }

    async fn begin(&self, _deed: Deed, _who: String) -> Result<(), Refused> {
        Ok(())
    }

    fn begun(&self) -> Vec<Item> {
        Vec::new()
    }
}

/// A request, from a page of ours or not: no error of ours, nothing that leads elsewhere, no markup of theirs.
pub fn request(bytes: &[u8]) {
    static PAGE: OnceLock<(Runtime, Router)> = OnceLock::new();
    let (runtime, router) = PAGE.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        (runtime, page())
    });
    let Some(request) = request_of(&mut Input::new(bytes)) else { return };
    let told = format!("{} {}", request.method(), request.uri());
    runtime.block_on(async {
        let answer = router.clone().oneshot(request).await.expect("a router does not fail");
        assert!(!answer.status().is_server_error(), "{} to {told}", answer.status());
        if let Some(location) = answer.headers().get(header::LOCATION) {
            let location = location.to_str().expect("a location is text");
            let here =
                location.starts_with('/') && !location.starts_with("//") && !location.starts_with("/\\");
            assert!(here, "{told} leads to {location}");
        }
        let is_html = answer
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        let body = answer.into_body().collect().await.expect("a body comes to its end").to_bytes();
        assert!(body.len() < 1024 * 1024, "{} bytes", body.len());
        let text = String::from_utf8_lossy(&body);
        assert!(!(is_html && text.contains("<zq")), "{told} shows markup that was sent");
    });
}

fn request_of(input: &mut Input<'_>) -> Option<Request<Body>> {
    let choice = input.byte();
    let mut target = format!("{}{}", input.one_of(PATHS), encoded(&input.text()));
    let query = fields(input, choice & 1 == 1);
    if !query.is_empty() {
        target = format!("{target}?{query}");
    }
    let posts = choice & 2 == 2;
    let body = if posts { fields(input, choice & 4 == 4) } else { String::new() };
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = if posts { Method::POST } else { Method::GET };
    // What is live does not end.
    if target.starts_with("/live") {
        return None;
    }
    *request.uri_mut() = target.parse().ok()?;
    let from = SocketAddr::from(([127, 0, 0, 1], 5_000));
    request.extensions_mut().insert(ConnectInfo(from));
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_static("localhost:8080"));
    if choice & 8 == 0 {
        headers.insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
    }
    for name in [header::COOKIE, header::ACCEPT_LANGUAGE] {
        if let Ok(value) = HeaderValue::from_bytes(input.part()) {
            headers.insert(name, value);
        }
    }
    Some(request)
}

/// Fields as a form or query has them; or anything at all.
fn fields(input: &mut Input<'_>, raw: bool) -> String {
    if raw {
        return encoded(&input.text());
    }
    let mut fields = form_urlencoded::Serializer::new(String::new());
    for _ in 0..input.byte() % 4 {
        let value = input.text().replace("<", MARKUP);
        fields.append_pair(input.one_of(KEYS), &value);
    }
    fields.finish()
}

/// What a URI cannot hold, encoded; the rest as it is.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"%/?&=.-_~:@!$'()*+,;".contains(&byte);
    let mut out = String::new();
    for byte in text.bytes() {
        match plain(byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02x}")),
        }
    }
    out
}

fn page() -> Router {
    let settings = Settings::read(&|_| None).expect("the defaults are good");
    let ledger = Arc::new(SqliteLedger::in_memory(Clock::system()).expect("a ledger in memory"));
    let keys = Arc::new(DataKeys::parse(&DataKeys::generate()).expect("a key"));
    let token = Some(LiveSecret::fixed("right".into()));
    router(Arc::new(Dashboard::new(ledger, Arc::new(Idle), keys, &settings, token)))
}
