//! Who may see and do what, asked of the router as a browser would.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use dashboard::{Dashboard, Deed, Hands, Item, Refused, router};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use jiff::SignedDuration;
use shared::clock::Clock;
use shared::data_key::DataKeys;
use shared::domain::{Nik, PhoneNumber, RunDate};
use shared::ledger::sqlite::SqliteLedger;
use shared::ledger::{
    Act, Ledger as _, LedgerSamples as _, LockAttempt, NewRun, RowKey, RunId, RunKind, Sample, SeedRow,
    Seeded, Selection, Snapshot,
};
use shared::payload::Payload;
use shared::secrets::LiveSecret;
use shared::settings::Settings;
use tower::ServiceExt as _;

const NIK: &str = "3171234567890001";
const NUMBER: &str = "+6281234567890";

/// Hands that only note what they are told.
#[derive(Default)]
struct Noting(Mutex<Vec<String>>);

#[async_trait]
impl Hands for Noting {
    async fn note(&self, act: Act) -> Result<(), Refused> {
        self.0.lock().unwrap().push(format!("{} by {}", act.act, act.who));
        Ok(())
    }

    async fn begin(&self, deed: Deed, who: String) -> Result<(), Refused> {
        self.0.lock().unwrap().push(format!("{deed:?} by {who}"));
        Ok(())
    }

    fn begun(&self) -> Vec<Item> {
        Vec::new()
    }
}

struct Scene {
    router: Router,
    ledger: Arc<SqliteLedger>,
    /// Seconds that the ledger's clock is ahead by.
    ahead: Arc<AtomicI64>,
    hands: Arc<Noting>,
    run: RunId,
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn cookie(&self) -> String {
        let cookie = self.headers["set-cookie"].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    fn location(&self) -> &str {
        self.headers["location"].to_str().unwrap()
    }

    fn csrf(&self) -> &str {
        let (_, rest) = self.text.split_once("name=\"csrf\" value=\"").expect("a form for a session");
        rest.split('"').next().unwrap()
    }
}

impl Scene {
    async fn new(more: &[(&str, &str)]) -> Self {
        let settings = Settings::read(&|name| {
            more.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned())
        });
        let ahead = Arc::new(AtomicI64::new(0));
        let (by, clock) = (ahead.clone(), Clock::system());
        let clock = Clock::from_fn(move || clock.now() + SignedDuration::from_secs(by.load(Relaxed)));
        let ledger = Arc::new(SqliteLedger::in_memory(clock).unwrap());
        let settings = settings.unwrap();
        let keys = Arc::new(DataKeys::parse(&DataKeys::generate()).unwrap());
        let date: RunDate = "2026-11-23".parse().unwrap();
        let lock =
            ledger.lock(&settings.job, date, "test", std::time::Duration::from_secs(60)).await.unwrap();
        let LockAttempt::Taken(fence) = lock else { panic!("locked") };
        let run = RunId::new(Clock::system().now());
        let new = NewRun {
            id: run,
            kind: RunKind::Night,
            selection: Selection::default(),
            source: "file".into(),
            started_by: "test".into(),
            hashes: keys.newest(),
        };
        ledger.open_run(&fence, new).await.unwrap();
        let (nik, number): (Nik, PhoneNumber) = (NIK.parse().unwrap(), NUMBER.parse().unwrap());
        let key = RowKey { run, sheet_row: 2, generation: 1 };
        let row = SeedRow {
            sheet_row: 2,
            rejected: None,
            nik: Some(keys.nik_hash(&nik)),
            number: Some(keys.number_hash(&number)),
            sealed: Payload { nik: Some(nik), number: Some(number) }.seal(&keys, &key),
            digests: None,
            warnings: Vec::new(),
        };
        ledger.seed(&fence, run, Seeded { range: 2..=2, rows: vec![row] }).await.unwrap();
        let snapshot = Snapshot { rows_read: 1, changed_while_read: false };
        ledger.complete_snapshot(&fence, run, snapshot).await.unwrap();
        let hands = Arc::new(Noting::default());
        let token = Some(LiveSecret::fixed("right".into()));
        let dashboard = Dashboard::new(ledger.clone(), hands.clone(), keys, &settings, token);
        Self { router: router(Arc::new(dashboard)), ledger, ahead, hands, run }
    }

    async fn ask(&self, mut request: Request<Body>, from: &str) -> Answer {
        let from: SocketAddr = format!("{from}:5000").parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(from));
        request.headers_mut().entry("host").or_insert("localhost:8080".parse().unwrap());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    async fn get(&self, path: &str, cookie: &str) -> Answer {
        self.ask(Request::get(path).header("cookie", cookie).body(Body::empty()).unwrap(), "127.0.0.1").await
    }

    async fn post(&self, path: &str, cookie: &str, form: &str) -> Answer {
        let request = Request::post(path).header("cookie", cookie).header("sec-fetch-site", "same-origin");
        self.ask(request.body(Body::from(form.to_owned())).unwrap(), "127.0.0.1").await
    }

    async fn logged_in(&self) -> (String, String) {
        let answer = self.post("/login", "", "name=Sari&token=right").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        let cookie = answer.cookie();
        let csrf = self.get("/actions", &cookie).await.csrf().to_owned();
        (cookie, csrf)
    }

    fn noted(&self) -> Vec<String> {
        self.hands.0.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn every_answer_has_the_headers_and_nothing_inline() {
    let scene = Scene::new(&[]).await;
    let run = format!("/runs/{}", scene.run);
    let row = format!("{run}/rows/2");
    for path in [
        "/",
        "/runs",
        &run,
        &format!("{run}/rows"),
        &row,
        "/find",
        "/dead-letters",
        "/actions",
        "/acts",
        "/login",
        "/nowhere",
    ] {
        let answer = scene.get(path, "").await;
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        assert!(!answer.text.contains("<style") && !answer.text.contains(" style="), "{path}");
        assert!(!answer.text.contains("<script>") && !answer.text.contains(" onclick"), "{path}");
        let expected = if path == "/nowhere" { StatusCode::NOT_FOUND } else { StatusCode::OK };
        assert_eq!(answer.status, expected, "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn numbers_are_masked_until_they_are_revealed_and_that_is_noted() {
    let scene = Scene::new(&[]).await;
    let (cookie, csrf) = scene.logged_in().await;
    let row = format!("/runs/{}/rows/2", scene.run);
    for path in [&row, &format!("/runs/{}/rows", scene.run), &format!("/runs/{}/rows.csv", scene.run)] {
        let text = scene.get(path, &cookie).await.text;
        assert!(
            !text.contains(NIK) && !text.contains(NUMBER) && !text.contains(&NUMBER[1..]),
            "{path}: {text}"
        );
    }
    let found = scene.post("/find", &cookie, &format!("nik={NIK}")).await;
    assert!(found.text.contains(&row) && !found.text.contains(NIK), "{}", found.text);
    assert!(scene.noted().is_empty());
    assert_eq!(scene.post(&row, "", "").await.status, StatusCode::SEE_OTHER, "not without a log-in");
    let revealed = scene.post(&row, &cookie, &format!("csrf={csrf}")).await;
    assert!(revealed.text.contains(NIK) && revealed.text.contains(&NUMBER[1..]));
    assert_eq!(scene.noted(), ["reveal by Sari (unverified)"]);
}

#[tokio::test]
async fn a_night_that_was_missed_does_not_hide_what_the_newest_one_left() {
    // Its night is unfinished, and days ago.
    let scene = Scene::new(&[("RUN_DEADLINE", "1m")]).await;
    let page = scene.get("/", "").await.text;
    let (missed, unfinished) = (page.find("Missed: the night of"), page.find("2026-11-23</h2>"));
    assert!(missed.is_some() && missed < unfinished, "{page}");
}

#[tokio::test]
async fn a_run_that_nobody_works_on_says_so_and_leads_to_resume() {
    let scene = Scene::new(&[]).await;
    scene.ledger.add_sample(scene.run, &Sample::default()).await.unwrap();
    let run = format!("/runs/{}", scene.run);
    let words = [("en", "obody works on it since"), ("id", "idak ada yang mengerjakan sejak")];
    for (minutes, is_told) in [(0, false), (5, true)] {
        scene.ahead.store(minutes * 60, Relaxed);
        for (lang, words) in words {
            for path in ["/", &run] {
                let text = scene.get(path, &format!("ns_lang={lang}")).await.text;
                assert_eq!(text.contains(words), is_told, "{path} {lang} after {minutes} min: {text}");
                assert!(!is_told || text.contains("class=\"button\" href=\"/actions\""), "{path}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_deed_needs_a_log_in_and_the_sessions_own_form_from_this_page() {
    let scene = Scene::new(&[]).await;
    let answer = scene.post("/actions/resume", "", "").await;
    assert!(answer.location().starts_with("/login"), "{answer:?}");
    let (cookie, csrf) = scene.logged_in().await;
    assert_eq!(scene.post("/actions/resume", &cookie, "").await.status, StatusCode::FORBIDDEN);
    assert_eq!(scene.post("/actions/resume", &cookie, "csrf=0").await.status, StatusCode::FORBIDDEN);
    for (name, value) in
        [("sec-fetch-site", "cross-site"), ("origin", "http://evil.example"), ("origin", "null")]
    {
        let request = Request::post("/actions/resume").header("cookie", &cookie).header(name, value);
        let answer = scene.ask(request.body(Body::from(format!("csrf={csrf}"))).unwrap(), "127.0.0.1").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}: {value}");
    }
    let none = scene
        .post("/actions/replay", &cookie, &format!("csrf={csrf}&reason=write_conflict&row=nonsense"))
        .await;
    assert_eq!(none.status, StatusCode::BAD_REQUEST, "no row is not all rows");
    assert!(scene.noted().is_empty());
    let answer = scene.post("/actions/resume", &cookie, &format!("csrf={csrf}&date=2026-11-23")).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/actions"));
    assert_eq!(scene.noted().len(), 1);
    assert!(
        scene.noted()[0].starts_with("Resume(Some(") && scene.noted()[0].ends_with("by Sari (unverified)")
    );
    assert_eq!(scene.post("/logout", &cookie, &format!("csrf={csrf}")).await.status, StatusCode::SEE_OTHER);
    let answer = scene.post("/actions/resume", &cookie, &format!("csrf={csrf}")).await;
    assert!(answer.location().starts_with("/login"), "logged out");
}

#[tokio::test]
async fn a_session_is_kept_from_scripts_and_other_sites_and_wrong_tokens_are_held_back() {
    let scene = Scene::new(&[]).await;
    let answer = scene.post("/login", "", "name=Sari&token=right&back=//evil.example").await;
    assert_eq!(answer.location(), "/");
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains("Secure"),
        "{cookie}"
    );
    for _ in 0..5 {
        let answer = scene.post("/login", "", "name=Sari&token=wr0ng").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert!(!answer.text.contains("wr0ng"));
    }
    let held = scene.post("/login", "", "name=Sari&token=right").await;
    assert_eq!(held.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(held.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn beyond_loopback_every_page_needs_the_log_in() {
    let scene = Scene::new(&[("DASHBOARD_ADDR", "0.0.0.0:8080")]).await;
    let run = format!("/runs/{}", scene.run);
    for path in [
        "/",
        "/live/tonight",
        "/runs",
        &run,
        &format!("{run}/rows.csv"),
        "/find",
        "/dead-letters",
        "/acts",
        "/actions",
    ] {
        let answer = scene.get(path, "").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
        assert!(answer.location().starts_with("/login?back="), "{path}");
    }
    let (cookie, _) = scene.logged_in().await;
    assert_eq!(scene.get(&run, &cookie).await.status, StatusCode::OK);
}

#[tokio::test]
async fn on_loopback_a_foreign_name_for_this_machine_reads_nothing() {
    let scene = Scene::new(&[]).await;
    let request = Request::get("/").header("host", "evil.example:8080").body(Body::empty()).unwrap();
    assert_eq!(scene.ask(request, "127.0.0.1").await.status, StatusCode::MISDIRECTED_REQUEST);
    let request = Request::get("/").header("host", "[::1]:8080").body(Body::empty()).unwrap();
    assert_eq!(scene.ask(request, "127.0.0.1").await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_user_header_counts_from_the_trusted_proxy_only() {
    let scene = Scene::new(&[
        ("DASHBOARD_ADDR", "0.0.0.0:8080"),
        ("DASHBOARD_USER_HEADER", "X-Forwarded-User"),
        ("DASHBOARD_TRUSTED_PROXY", "10.0.0.0/8"),
    ])
    .await;
    for (from, who, secure) in [("10.1.2.3", "dewi", true), ("192.0.2.9", "Sari (unverified)", false)] {
        let send = |request: http::request::Builder, body: String| {
            let request = request.header("x-forwarded-user", "dewi").header("x-forwarded-proto", "https");
            scene.ask(request.body(Body::from(body)).unwrap(), from)
        };
        let answer = send(Request::post("/login"), "name=Sari&token=right".into()).await;
        assert_eq!(answer.headers["set-cookie"].to_str().unwrap().ends_with("; Secure"), secure);
        let cookie = answer.cookie();
        let csrf =
            send(Request::get("/actions").header("cookie", &cookie), String::new()).await.csrf().to_owned();
        let request = Request::post("/actions/resume").header("cookie", &cookie);
        assert_eq!(send(request, format!("csrf={csrf}")).await.status, StatusCode::SEE_OTHER);
        let noted = scene.noted();
        assert!(noted.last().unwrap().ends_with(&format!("by {who}")), "{noted:?}");
    }
}

#[tokio::test]
async fn listening_beyond_loopback_without_a_token_is_refused() {
    let settings =
        Settings::read(&|name| (name == "DASHBOARD_ADDR").then(|| "0.0.0.0:8080".to_owned())).unwrap();
    let problem = Dashboard::token(&settings).await.unwrap_err().to_string();
    assert!(problem.contains("DASHBOARD_TOKEN") && problem.contains("127.0.0.1"), "{problem}");
    let settings = Settings::read(&|_| None).unwrap();
    assert!(Dashboard::token(&settings).await.unwrap().is_none());
}

#[tokio::test]
async fn the_page_speaks_what_the_browser_asks_for_until_it_is_switched() {
    let scene = Scene::new(&[]).await;
    let request = Request::get("/").header("accept-language", "id-ID,id;q=0.9");
    let answer = scene.ask(request.body(Body::empty()).unwrap(), "127.0.0.1").await;
    assert!(answer.text.contains("<html lang=\"id\">") && answer.text.contains("Malam ini"));
    let switched = scene.get("/language/en?back=/runs", "").await;
    assert_eq!(switched.location(), "/runs");
    assert!(scene.get("/", &switched.cookie()).await.text.contains("<html lang=\"en\">"));
}
