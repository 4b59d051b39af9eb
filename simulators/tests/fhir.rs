//! The FHIR simulator over real connections, and in process where the time is paused.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, ETAG, IF_MATCH, LAST_MODIFIED, LOCATION, RETRY_AFTER};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use simulators::{
    Capacity, ClientAuth, FaultPlan, FhirOptions, Latency, NIK_SYSTEM, OAuthClient, Operation, PatientFault,
    Population, Rate, ResourceView, Simulators, SimulatorsConfig, SlowBody,
};

struct Fixture {
    simulators: Simulators,
    client: Client,
    population: Population,
}

impl Fixture {
    async fn start() -> Self {
        Self::with(SimulatorsConfig::default()).await
    }

    async fn with(config: SimulatorsConfig) -> Self {
        // A second test of this process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let population = Population::generate(11, 60).with_irregular(1, 1);
        let config = SimulatorsConfig { population: Some(population.clone()), ..config };
        let simulators = Simulators::start(config).await.expect("ports are free");
        let client = Client::builder().timeout(Duration::from_secs(20)).build().expect("a client");
        Self { simulators, client, population }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.simulators.fhir_url())
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let response = self.client.get(self.url(path)).send().await.expect("an answer");
        (response.status(), response.json().await.expect("JSON"))
    }

    async fn search(&self, nik: &str) -> Value {
        self.get(&format!("Patient?identifier={NIK_SYSTEM}%7C{nik}")).await.1
    }

    /// The Patient of a person, with its id.
    async fn patient(&self, index: usize) -> (String, Value) {
        let bundle = self.search(&self.population.nik(index)).await;
        let patient = bundle["entry"][0]["resource"].clone();
        (patient["id"].as_str().expect("an id").to_owned(), patient)
    }

    async fn put(&self, id: &str, version: Option<&str>, body: &Value) -> reqwest::Result<reqwest::Response> {
        let mut request = self.client.put(self.url(&format!("Patient/{id}"))).json(body);
        if let Some(version) = version {
            request = request.header(IF_MATCH, version);
        }
        request.send().await
    }
}

#[tokio::test]
async fn a_search_by_system_alone_counts_whoever_has_an_identifier_of_it() {
    let fixture = Fixture::start().await;
    let count = async |query: &str| fixture.get(&format!("Patient?{query}&_count=0")).await.1;
    let of_system = count(&format!("identifier={NIK_SYSTEM}%7C")).await;
    let everybody = count("").await;
    let total = |bundle: &Value| bundle["total"].as_u64().expect("a total");
    assert!((60..=total(&everybody)).contains(&total(&of_system)), "{of_system}");
    assert!(of_system.get("entry").is_none(), "nobody is shown");
    assert_eq!(total(&count("identifier=http%3A%2F%2Fother%7C").await), 0);
}

#[tokio::test]
async fn searches_by_get_by_form_and_page_by_page() {
    let fixture = Fixture::start().await;
    let regular = fixture.population.regular();
    let nik = fixture.population.nik(regular.start);
    let bundle = fixture.search(&nik).await;
    assert_eq!((&bundle["total"], &bundle["entry"][0]["search"]["mode"]), (&json!(1), &json!("match")));
    let resource = &bundle["entry"][0]["resource"];
    assert_eq!(resource["identifier"][0]["value"], nik);
    assert!(bundle["entry"][0]["fullUrl"].as_str().expect("text").starts_with(fixture.simulators.fhir_url()));
    assert_eq!(resource, &fixture.simulators.store().patient_by_nik(&nik)[0]);
    assert!(resource["extension"][1]["valueDecimal"].to_string().ends_with('0'), "digits are kept");

    let nobody = fixture.search("0000000000000000").await;
    assert_eq!((&nobody["total"], nobody.get("entry")), (&json!(0), None));

    let tokens = regular.map(|index| format!("{NIK_SYSTEM}|{}", fixture.population.nik(index)));
    let wanted = tokens.collect::<Vec<_>>();
    let form = [("identifier", wanted.join(",")), ("_count", "25".to_owned())];
    let request = fixture.client.post(fixture.url("Patient/_search")).form(&form);
    let mut bundle = request.send().await.expect("an answer").json::<Value>().await.expect("JSON");
    assert_eq!(bundle["total"], wanted.len());
    let mut seen = Vec::new();
    loop {
        for entry in bundle["entry"].as_array().expect("entries") {
            seen.push(entry["resource"]["id"].to_string());
        }
        let links = bundle["link"].as_array().expect("links");
        let Some(next) = links.iter().find(|link| link["relation"] == "next") else { break };
        let next = fixture.client.get(next["url"].as_str().expect("a URL")).send().await.expect("an answer");
        bundle = next.json().await.expect("JSON");
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), wanted.len());

    let (_, page) = fixture.get(&format!("Patient?identifier={nik}&_elements=identifier")).await;
    let part = &page["entry"][0]["resource"];
    assert_eq!(part["meta"]["tag"][0]["code"], "SUBSETTED");
    assert!(part.get("telecom").is_none() && part["identifier"].is_array());

    let strict = fixture.client.get(fixture.url("Patient?nik=1")).header("Prefer", "handling=strict");
    assert_eq!(strict.send().await.expect("an answer").status(), 400);
    fixture.simulators.set_faults(FaultPlan { ignore_search: true, ..FaultPlan::default() });
    let everybody = fixture.search("0000000000000000").await;
    assert_eq!(everybody["total"], 61);
    assert_eq!(everybody["entry"].as_array().map(Vec::len), Some(20));
}

#[tokio::test]
async fn writes_are_guarded_by_their_version() {
    let fixture = Fixture::start().await;
    let (id, mut patient) = fixture.patient(fixture.population.regular().start).await;
    let read = fixture.client.get(fixture.url(&format!("Patient/{id}"))).send().await.expect("an answer");
    assert_eq!(read.headers()[ETAG], "W/\"1\"");
    assert!(read.headers()[LAST_MODIFIED].to_str().expect("text").ends_with("GMT"));

    patient["unknown"] = json!({"kept": [1, null]});
    let written = fixture.put(&id, Some("W/\"1\""), &patient).await.expect("an answer");
    assert_eq!(
        (written.status(), &written.headers()[ETAG]),
        (StatusCode::OK, &"W/\"2\"".parse().expect("ok"))
    );
    let body = written.json::<Value>().await.expect("JSON");
    assert_eq!((&body["meta"]["versionId"], &body["unknown"]), (&json!("2"), &patient["unknown"]));
    let names =
        |resource: &Value| resource.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&body), names(&patient), "the order of elements is kept");

    let stale = fixture.put(&id, Some("W/\"1\""), &patient).await.expect("an answer");
    assert_eq!(stale.status(), 412);
    assert_eq!(stale.json::<Value>().await.expect("JSON")["resourceType"], "OperationOutcome");
    let again = fixture.put(&id, None, &body).await.expect("an answer");
    assert_eq!(again.headers()[ETAG], "W/\"3\"", "an identical PUT is a new version");
    let minimal =
        fixture.client.put(fixture.url(&format!("Patient/{id}"))).header("Prefer", "return=minimal");
    let minimal = minimal.header(IF_MATCH, "W/\"3\"").json(&body).send().await.expect("an answer");
    assert!(minimal.headers().get(LOCATION).is_none() && minimal.status() == 200);
    assert_eq!(minimal.bytes().await.expect("a body").len(), 0);

    assert_eq!(fixture.put("other", None, &body).await.expect("an answer").status(), 400);
    let mut nameless = body.clone();
    nameless.as_object_mut().expect("an object").shift_remove("id");
    assert_eq!(fixture.put(&id, None, &nameless).await.expect("an answer").status(), 400);
    let unknown = json!({"resourceType": "Patient", "id": "nobody"});
    assert_eq!(fixture.put("nobody", None, &unknown).await.expect("an answer").status(), 405);

    let deleted =
        fixture.client.delete(fixture.url(&format!("Patient/{id}"))).send().await.expect("an answer");
    assert_eq!(deleted.status(), 200);
    assert_eq!(fixture.get(&format!("Patient/{id}")).await.0, 410);
    assert_eq!(fixture.put(&id, None, &body).await.expect("an answer").status(), 410);
    assert_eq!(fixture.get("Patient/nobody").await.0, 404);

    let stats = fixture.simulators.snapshot();
    assert_eq!((stats.writes, stats.distinct_patients_changed, stats.writes_beyond_first), (4, 1, 3));
    assert_eq!((stats.writes_without_if_match, stats.conflicts_412), (2, 1));
    fixture.simulators.stats().reset();
    let (other, body) = fixture.patient(fixture.population.regular().start + 1).await;
    fixture.put(&other, None, &body).await.expect("an answer");
    let stats = fixture.simulators.snapshot();
    assert_eq!((stats.writes, stats.distinct_patients_changed, stats.searches), (1, 1, 1));
}

#[tokio::test]
async fn a_json_patch_tests_before_it_changes() {
    let fixture = Fixture::start().await;
    let (id, patient) = fixture.patient(fixture.population.regular().start).await;
    let patch = |operations: Value| {
        let request = fixture.client.patch(fixture.url(&format!("Patient/{id}")));
        request.header(CONTENT_TYPE, "application/json-patch+json").body(operations.to_string()).send()
    };
    let decimal: Value = serde_json::from_str("1.10").expect("a number");
    let entry = json!({"system": "phone", "use": "mobile", "value": "+628115550001"});
    let good = json!([
        {"op": "test", "path": "/meta/versionId", "value": "1"},
        {"op": "add", "path": "/telecom", "value": [entry]},
        {"op": "replace", "path": "/extension/1/valueDecimal", "value": decimal},
    ]);
    let answer = patch(good.clone()).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let body = answer.text().await.expect("a body");
    assert!(body.contains("\"valueDecimal\":1.10}"), "{body}");
    let nik = patient["identifier"][0]["value"].as_str().expect("a NIK");
    assert_eq!(fixture.simulators.store().current_mobile(nik).as_deref(), Some("+628115550001"));
    assert_eq!(patch(good).await.expect("an answer").status(), 422, "the version has moved on");
    let request = fixture.client.patch(fixture.url(&format!("Patient/{id}"))).json(&json!([]));
    assert_eq!(request.send().await.expect("an answer").status(), 415);
}

#[tokio::test]
async fn a_batch_answers_each_entry_and_reads_after_it_writes() {
    let fixture = Fixture::start().await;
    let regular = fixture.population.regular();
    let (first, mut patient) = fixture.patient(regular.start).await;
    let (second, _) = fixture.patient(regular.start + 1).await;
    let ill = fixture.population.nik(regular.start + 2);
    let fault =
        PatientFault { status: Some(503), operation: Some(Operation::Search), ..PatientFault::default() };
    let plan = FaultPlan { patients: [(ill.clone(), fault)].into(), ..FaultPlan::default() };
    fixture.simulators.set_faults(plan);
    patient["active"] = json!(false);
    let patch = "W3sib3AiOiJhZGQiLCJwYXRoIjoiL2FjdGl2ZSIsInZhbHVlIjpmYWxzZX1d";
    let entry = |method: &str, url: String| json!({"request": {"method": method, "url": url}});
    let mut put = entry("PUT", format!("Patient/{first}"));
    put["request"]["ifMatch"] = json!("W/\"1\"");
    put["resource"] = patient.clone();
    let mut stale = put.clone();
    stale["request"]["ifMatch"] = json!("W/\"9\"");
    let mut patched = entry("PATCH", format!("Patient/{second}"));
    patched["resource"] =
        json!({"resourceType": "Binary", "contentType": "application/json-patch+json", "data": patch});
    let bundle = json!({"resourceType": "Bundle", "type": "batch", "entry": [
        entry("GET", format!("Patient/{first}")),
        put,
        stale,
        patched,
        entry("GET", format!("Patient?identifier={NIK_SYSTEM}%7C{ill}")),
        entry("GET", format!("Patient?identifier={NIK_SYSTEM}%7C0000000000000000")),
    ]});
    let send = || fixture.client.post(fixture.simulators.fhir_url()).json(&bundle).send();
    let answer = send().await.expect("an answer").json::<Value>().await.expect("JSON");
    let entries = answer["entry"].as_array().expect("entries");
    let statuses =
        entries.iter().map(|entry| entry["response"]["status"].as_str().expect("text")[..3].to_owned());
    assert_eq!(statuses.collect::<Vec<_>>(), ["200", "200", "412", "200", "503", "200"]);
    assert_eq!(entries[0]["resource"]["meta"]["versionId"], "2", "reads come after writes");
    assert_eq!(entries[1]["response"]["etag"], "W/\"2\"");
    assert_eq!(entries[2]["response"]["outcome"]["resourceType"], "OperationOutcome");
    assert_eq!(entries[3]["resource"]["active"], false);
    assert_eq!(entries[5]["resource"]["total"], 0);
    let stats = fixture.simulators.snapshot();
    assert_eq!(stats.batch_entries["write"]["200"], 2);
    assert_eq!(stats.requests["batch"]["200"], 1);

    fixture.simulators.set_faults(FaultPlan { batch_entry_missing: 1.0, ..FaultPlan::default() });
    let answer = send().await.expect("an answer").json::<Value>().await.expect("JSON");
    assert_eq!(answer["entry"], json!([]));
}

#[tokio::test]
async fn keys_metadata_and_views() {
    let config = SimulatorsConfig { api_keys: vec!["old".to_owned()], ..SimulatorsConfig::default() };
    let fixture = Fixture::with(config).await;
    let (status, statement) = fixture.get("metadata").await;
    let patient = &statement["rest"][0]["resource"][0];
    assert_eq!((status.as_u16(), &patient["updateCreate"]), (200, &json!(false)));
    assert_eq!(statement["rest"][0]["interaction"][0]["code"], "batch");
    assert!(patient["interaction"].as_array().expect("a list").contains(&json!({"code": "patch"})));

    let nik = fixture.population.nik(fixture.population.regular().start);
    let search = |key: &str| {
        let request = fixture.client.get(fixture.url(&format!("Patient?identifier={nik}")));
        request.header("x-api-key", key).send()
    };
    assert_eq!(search("new").await.expect("an answer").status(), 401);
    fixture.simulators.fhir().set_api_keys(["old".to_owned(), "new".to_owned()]);
    assert_eq!(search("new").await.expect("an answer").status(), 200);

    let plan = FaultPlan { search_view: ResourceView::Masked, ..FaultPlan::default() };
    fixture.simulators.set_faults(plan);
    let masked = search("new").await.expect("an answer").text().await.expect("a body");
    assert!(masked.contains("***") && masked.contains(&nik));
}

#[tokio::test]
async fn a_lost_reply_was_applied_and_a_reset_was_not() {
    let fixture = Fixture::start().await;
    let (id, patient) = fixture.patient(fixture.population.regular().start).await;
    let nik = patient["identifier"][0]["value"].as_str().expect("a NIK").to_owned();
    fixture.simulators.stats().watch([&nik]);
    let always = |operation| Rate::of_operations(1.0, [operation]);
    let lost = FaultPlan { applied_reply_lost: always(Operation::Write), ..FaultPlan::default() };
    let faults = fixture.simulators.fhir_url().replace("/fhir", "/_faults");
    let put = fixture.client.put(&faults).json(&lost).send().await.expect("an answer");
    assert_eq!(put.status(), 204);
    assert!(fixture.put(&id, Some("W/\"1\""), &patient).await.is_err());
    assert_eq!(fixture.simulators.store().version(&id), Some(2));

    fixture.simulators.set_faults(FaultPlan { reset: always(Operation::Write), ..FaultPlan::default() });
    assert!(fixture.put(&id, Some("W/\"2\""), &patient).await.is_err());
    assert_eq!(fixture.simulators.store().version(&id), Some(2));

    let plan = FaultPlan { concurrent_edit: always(Operation::Write), ..FaultPlan::default() };
    fixture.simulators.set_faults(plan);
    let raced = fixture.put(&id, Some("W/\"2\""), &patient).await.expect("an answer");
    assert_eq!(raced.status(), 412);

    let body = json!("upstream is down");
    let fault =
        PatientFault { status: Some(502), body: Some(body), retry_after: Some(7), ..Default::default() };
    let plan = FaultPlan { patients: [(nik.clone(), fault)].into(), ..FaultPlan::default() };
    fixture.simulators.set_faults(plan);
    let ill = fixture.put(&id, None, &patient).await.expect("an answer");
    assert_eq!((ill.status().as_u16(), &ill.headers()[RETRY_AFTER]), (502, &"7".parse().expect("a header")));
    assert_eq!(ill.text().await.expect("a body"), "upstream is down");

    let stats = fixture.simulators.snapshot();
    let log = stats.watched[&nik].iter().map(|request| request.status).collect::<Vec<_>>();
    assert_eq!(log, [0, 0, 412, 502]);
    assert_eq!((stats.requests["write"]["cut"], stats.writes), (2, 1));
}

#[tokio::test]
async fn bodies_dribble_or_break_off() {
    let fixture = Fixture::start().await;
    let path = "Patient?_count=30";
    fixture.simulators.set_faults(FaultPlan { truncated_body: Rate::of(1.0), ..FaultPlan::default() });
    let response = fixture.client.get(fixture.url(path)).send().await.expect("a head");
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.is_err());
    let slow = SlowBody { rate: 1.0, over_ms: 60, operations: None };
    fixture.simulators.set_faults(FaultPlan { slow_body: slow, ..FaultPlan::default() });
    let started = tokio::time::Instant::now();
    let (_, bundle) = fixture.get(path).await;
    assert_eq!(bundle["entry"].as_array().map(Vec::len), Some(30));
    assert!(started.elapsed() >= Duration::from_millis(45));
    let wrong = fixture.client.put(fixture.simulators.fhir_url().replace("/fhir", "/_faults"));
    let wrong = wrong.json(&json!({"eror_500": {"rate": 1}})).send().await.expect("an answer");
    assert!(wrong.status().is_client_error(), "a misspelt fault is refused");
}

#[tokio::test(start_paused = true)]
async fn capacity_and_latency_follow_the_paused_clock() {
    use axum::body::Body;
    use axum::http::Request;

    let options = simulators::FhirOptions::default();
    let stats = std::sync::Arc::new(simulators::Stats::default());
    let server = simulators::FhirServer::new(options, stats, simulators::WallClock::default());
    Population::generate(2, 10).load_into(server.store());
    let capacity = Capacity { requests_per_second: 50.0, burst: Some(5.0), retry_after: Some(2) };
    let latency_by_operation = [(Operation::Search, Latency::fixed(250.0))].into();
    let plan = FaultPlan { capacity: Some(capacity), latency_by_operation, ..FaultPlan::default() };
    server.set_faults(plan);
    let ask = |path: &'static str| {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        server.call(request)
    };
    let started = tokio::time::Instant::now();
    assert_eq!(ask("/fhir/Patient?_id=P20000000003").await.expect("an answer").status(), 200);
    assert_eq!(started.elapsed(), Duration::from_millis(250));
    let mut accepted = 0;
    for _ in 0..1000 {
        let response = ask("/fhir/Patient/P20000000003").await.expect("an answer");
        if response.status() == 200 {
            accepted += 1;
        } else {
            assert_eq!(
                (response.status().as_u16(), &response.headers()["retry-after"]),
                (429, &"2".parse().expect("ok"))
            );
        }
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    assert!((500..=506).contains(&accepted), "{accepted}");
    let snapshot = server.stats().snapshot();
    assert_eq!(snapshot.rejected_429, 1000 - accepted);
    let sums = snapshot
        .per_second
        .iter()
        .fold((0, 0), |sum, second| (sum.0 + second.accepted, sum.1 + second.rejected));
    assert_eq!(sums, (accepted + 1, 1000 - accepted));
}

#[tokio::test]
async fn a_token_is_asked_for_where_there_are_clients_and_each_way_of_asking_can_be_barred() {
    for (client_auth, basic, post) in
        [(ClientAuth::Any, 200, 200), (ClientAuth::Basic, 200, 401), (ClientAuth::Post, 401, 200)]
    {
        let fhir = FhirOptions { client_auth, ..FhirOptions::default() };
        let fixture = Fixture::with(SimulatorsConfig { fhir, ..SimulatorsConfig::default() }).await;
        let any = format!("Patient?identifier={NIK_SYSTEM}%7C0000000000000000");
        assert_eq!(fixture.get(&any).await.0, 200, "open");
        let (id, secret) = ("a client".to_owned(), "s:e+c".to_owned());
        fixture.simulators.fhir().set_clients([OAuthClient { id: id.clone(), secret: secret.clone() }]);
        assert_eq!(fixture.get(&any).await.0, 401);

        let ask = || fixture.client.post(fixture.simulators.fhir_token_url());
        let grant = ("grant_type", "client_credentials");
        let header =
            ask().basic_auth("a+client", Some("s%3Ae%2Bc")).form(&[grant]).send().await.expect("an answer");
        let form = ask().form(&[grant, ("client_id", &id), ("client_secret", &secret)]);
        let form = form.send().await.expect("an answer");
        assert_eq!((header.status().as_u16(), form.status().as_u16()), (basic, post));
        let granted = if basic == 200 { header } else { form };
        let token = granted.json::<Value>().await.expect("JSON")["access_token"].clone();
        let search =
            || fixture.client.get(fixture.url(&any)).bearer_auth(token.as_str().expect("text")).send();
        assert_eq!(search().await.expect("an answer").status(), 200);
        fixture.simulators.fhir().revoke_tokens();
        assert_eq!(search().await.expect("an answer").status(), 401);
        let other = ask().form(&[("grant_type", "password")]).send().await.expect("an answer");
        assert_eq!(other.status(), 400);
    }
}

#[tokio::test]
async fn a_search_can_stop_short_and_hide_its_total_and_if_match_be_ignored() {
    let fixture = Fixture::start().await;
    let niks = fixture
        .population
        .regular()
        .map(|person| format!("{NIK_SYSTEM}%7C{}", fixture.population.nik(person)));
    let niks: Vec<String> = niks.take(15).collect();
    let path = format!("Patient?identifier={}", niks.join("%2C"));
    let shown = async || {
        let bundle = fixture.get(&path).await.1;
        let next =
            bundle["link"].as_array().is_some_and(|links| links.iter().any(|it| it["relation"] == "next"));
        (bundle["entry"].as_array().map_or(0, Vec::len), bundle["total"].clone(), next)
    };
    fixture.simulators.set_faults(FaultPlan { search_stops_at: Some(10), ..FaultPlan::default() });
    assert_eq!(shown().await, (10, json!(15), false));
    fixture.simulators.set_faults(FaultPlan { search_without_total: true, ..FaultPlan::default() });
    assert_eq!(shown().await, (15, Value::Null, false));

    let (id, patient) = fixture.patient(fixture.population.regular().start).await;
    let stale =
        async || fixture.put(&id, Some("W/\"7\""), &patient).await.expect("an answer").status().as_u16();
    assert_eq!(stale().await, 412);
    fixture.simulators.set_faults(FaultPlan { ignore_if_match: true, ..FaultPlan::default() });
    assert_eq!(stale().await, 200);
}
