//! The pages of a cluster: who may see them, what they show, and that what is pressed there is published and carried out
//! by the workers.

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Response};
use serde_json::json;
use simulators::{FaultPlan, Latency, Operation, PatientFault, SimulatorsConfig};
use tests::browser::{Office, TOKEN};
use tests::process::{Cluster, DATE, Pages, check_night, mixed, run_id};

/// Somebody at the pages, without a browser.
struct Person<'a> {
    client: Client,
    base: &'a str,
    cookie: String,
}

impl<'a> Person<'a> {
    fn new(office: &'a Office) -> Self {
        // An error means that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        Self { client: client.build().expect("a client"), base: office.base(), cookie: String::new() }
    }

    async fn get(&self, path: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.base)).header(COOKIE, &self.cookie);
        request.send().await.expect("an answer")
    }

    async fn read(&self, path: &str) -> String {
        self.get(path).await.text().await.expect("text")
    }

    async fn post(&self, path: &str, form: String) -> Response {
        let request = self.client.post(format!("{}{path}", self.base)).header(COOKIE, &self.cookie);
        request.body(form).send().await.expect("an answer")
    }

    async fn log_in(&mut self) {
        let answer = self.post("/login", format!("name=Sari&token={TOKEN}")).await;
        let cookie = answer.headers()[SET_COOKIE].to_str().expect("text");
        self.cookie = cookie.split(';').next().expect("a first part").to_owned();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_that_is_run_from_the_page_is_carried_out_by_the_workers() {
    let night = mixed(43, 100);
    let mut cluster = Cluster::of(&night).await;
    let _workers = cluster.workers(1);
    let office = Office::of(cluster.dashboard(TOKEN)).await;
    let mut person = Person::new(&office);
    person.log_in().await;
    let actions = person.read("/actions").await;
    let (_, csrf) = actions.split_once("name=\"csrf\" value=\"").expect("a form");
    let csrf = csrf.split('"').next().expect("a value");
    let answer = person.post("/actions/rerun", format!("csrf={csrf}&date={DATE}")).await;
    assert_eq!(answer.status().as_u16(), 303);

    let closed = cluster.until_run_is("closed").await;
    check_night(&closed, night.expected());
    assert!(person.read("/acts").await.contains("Sari (unverified)"));
    assert!(person.read("/").await.contains(DATE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listening_beyond_loopback_without_a_token_is_refused_at_the_start() {
    let mut cluster = Cluster::with(SimulatorsConfig::default()).await;
    cluster.set("DASHBOARD_ADDR", "0.0.0.0:0");
    let refused = cluster.spawn(cluster.program("dashboard", &[])).end().await.expect(2);
    for word in ["DASHBOARD_TOKEN: not set", "DASHBOARD_ADDR", "file:/run/secrets/", "listen on 127.0.0.1"] {
        assert!(refused.stderr.contains(word), "{word} is not named: {}", refused.stderr);
    }
    assert_eq!(refused.stdout, "");
    let made = "SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema()";
    assert_eq!(cluster.count(made).await, 0, "nothing was touched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_loopback_every_page_is_behind_the_log_in_for_reading_too() {
    let night = mixed(44, 40);
    let mut cluster = Cluster::of(&night).await;
    let _worker = cluster.worker();
    let report = cluster.start_produced_night().end().await.expect(3).object();
    cluster.set("DASHBOARD_ADDR", "0.0.0.0:0");
    let office = Office::of(cluster.dashboard(TOKEN)).await;
    let mut person = Person::new(&office);
    let run = format!("/runs/{}", run_id(&report));
    let pages = [
        "/",
        "/runs",
        &run,
        &format!("{run}/rows"),
        &format!("{run}/rows.csv?outcome=rejected"),
        &format!("{run}/rows/2"),
        "/find",
        "/dead-letters",
        "/dead-letters/ambiguous_patient",
        "/actions",
        "/acts",
        "/live/tonight",
        "/live/actions",
        "/live/replays",
    ];
    for page in pages.iter().chain([&"/nowhere"]) {
        let answer = person.get(page).await;
        assert_eq!(answer.status().as_u16(), 303, "{page}");
        let location = answer.headers()[LOCATION].to_str().expect("text").to_owned();
        assert!(location.starts_with("/login?back="), "{page}: {location}");
        assert_eq!(answer.text().await.expect("text"), "", "{page}");
    }
    for form in ["/find", "/dead-letters/preview", "/actions/resume", "/actions/rerun", "/actions/replay"] {
        assert_eq!(person.post(form, "nik=3171234567890001".into()).await.status().as_u16(), 303, "{form}");
    }
    for open in ["/login", "/assets/style.css", "/assets/live.js", "/assets/icon.svg"] {
        assert_eq!(person.get(open).await.status().as_u16(), 200, "{open}");
    }
    person.log_in().await;
    for page in pages {
        assert_eq!(person.get(page).await.status().as_u16(), 200, "{page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_is_watched_and_its_dead_letters_are_replayed_in_a_browser() {
    let night = mixed(45, 1_000);
    let mut cluster = Cluster::of(&night).await;
    cluster.set("FHIR_MAX_CONCURRENCY", "10");
    let refused =
        PatientFault { operation: Some(Operation::Write), status: Some(422), ..PatientFault::default() };
    let patients = [super::dead_letters::somebody(&cluster, &night)].map(|nik| (nik, refused.clone()));
    let slow = FaultPlan { latency: Latency::fixed(150.0), ..FaultPlan::default() };
    cluster.simulators.set_faults(FaultPlan { patients: patients.into(), ..slow });
    let _workers = cluster.workers(2);
    let office = Office::of(cluster.dashboard(TOKEN)).await;
    let producer = cluster.start_produced_night();
    cluster.until_run_is("open").await;
    office.play("live", json!({})).await.all_well();
    let report = producer.end().await.expect(3).object();
    assert_eq!(report["reasons"]["rejected_by_server"], 1, "{report}");

    cluster.simulators.set_faults(FaultPlan::default());
    let before = cluster.simulators.snapshot().distinct_patients_changed;
    let seen = office.play("replay", json!({ "reason": "rejected_by_server" })).await.all_well();
    assert_eq!(seen.told["rows"], 1);
    assert_eq!(cluster.simulators.snapshot().distinct_patients_changed, before + 1);
    cluster.until_queues_are_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_metrics_and_health_are_served_and_tell_of_the_job() {
    let night = mixed(46, 60);
    let mut cluster = Cluster::of(&night).await;
    let mut office = Office::of(cluster.dashboard(TOKEN)).await;
    let pages = Pages::of(&mut office.running).await;
    assert_eq!(pages.get("/healthz").await, (200, "ok\n".into()));
    assert_eq!(pages.get("/readyz").await, (200, "ledger: ok\n".into()));
    assert_eq!(pages.scrape().await.get("run_state{state=\"closed\"}"), None, "nothing ran yet");
    let _worker = cluster.worker();
    let report = cluster.start_produced_night().end().await.expect(3).object();
    let closed = |scrape: &tests::process::Scrape| scrape.get("run_state{state=\"closed\"}") == Some(1.0);
    let scrape = tests::night::until("the closed night to be seen", || pages.scrape(), closed).await;
    for (outcome, rows) in report["outcomes"].as_object().expect("a map") {
        assert_eq!(scrape.by_label("rows_total").get(outcome).copied(), rows.as_f64(), "{outcome}");
    }
    assert_eq!(scrape.get("dead_letters_open"), report["outcomes"]["dead_lettered"].as_f64());
    assert_eq!(scrape.get("fhir_in_flight"), None, "it sends nothing there");
}
