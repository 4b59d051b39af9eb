//! Many rows in one request: what goes out, and what each row is told.

use super::*;

fn niks(count: usize) -> Vec<Nik> {
    (1..=count).map(|at| format!("317405121290{at:04}").parse().unwrap()).collect()
}

/// The Patient of one of [`niks`].
fn patient(at: usize) -> Value {
    let mut patient = patient_json(&format!("p{at}"));
    patient["identifier"][0]["value"] = format!("317405121290{at:04}").into();
    patient
}

fn page(resources: &[Value], total: Value) -> Value {
    let mut page = bundle(resources);
    page["total"] = total;
    page
}

fn batching() -> FhirConfig {
    FhirConfig { batch: FhirBatch::On, ..config("https://fhir.test/r4/") }
}

/// Whom a search for three finds, by id; or the failure.
async fn found(answers: impl IntoIterator<Item = Response<Bytes>>) -> Result<Vec<Option<String>>, Failure> {
    let found = Script::of(answers).client_with(&batching()).search_many(&niks(3)).await.found?;
    let id = |patient: Option<Patient>| patient.map(|patient| patient.id().as_str().to_owned());
    Ok(found.into_iter().map(id).collect())
}

fn named(ids: [Option<&str>; 3]) -> Vec<Option<String>> {
    ids.map(|id| id.map(str::to_owned)).into()
}

#[tokio::test]
async fn a_search_for_many_goes_out_as_one_list_with_room_for_twins() {
    let script = Script::of([json_reply(200, &page(&[], 0.into()))]);
    let client = script.client_with(&batching());
    assert_eq!(client.search_many(&niks(2)).await.requests, 1);
    let system = "https%3A%2F%2Ffhir.kemkes.go.id%2Fid%2Fnik%7C";
    let identifiers = format!("identifier={system}3174051212900001%2C{system}3174051212900002");
    let expected = format!("https://fhir.test/r4/Patient?{identifiers}&_count=4&_total=accurate");
    assert_eq!(script.urls(), [expected]);
    assert_eq!(script.header(0, "prefer").as_deref(), Some("handling=strict"));
}

#[tokio::test]
async fn only_who_certainly_is_the_only_one_is_found() {
    let one = |resources: &[Value], total: u64| [json_reply(200, &page(resources, total.into()))];
    let nobody = named([None; 3]);
    let all = one(&[patient(3), patient(1), patient(2)], 3);
    assert_eq!(found(all).await.unwrap(), named([Some("p1"), Some("p2"), Some("p3")]));
    let missing = one(&[patient(3)], 1);
    assert_eq!(found(missing).await.unwrap(), named([None, None, Some("p3")]));
    let mut twin = patient(1);
    twin["id"] = "twin".into();
    let doubled = one(&[patient(1), twin.clone(), patient(3)], 3);
    assert_eq!(found(doubled).await.unwrap(), named([None, None, Some("p3")]));

    // Where something is missing or cannot be told to be whose, a twin may hide in it.
    assert_eq!(found(one(&[patient(1), patient(2)], 3)).await.unwrap(), nobody, "cut short");
    assert_eq!(found([json_reply(200, &bundle(&[patient(1)]))]).await.unwrap(), nobody, "no total");
    let id_only = json!({ "resourceType": "Patient", "id": "p2" });
    assert_eq!(found(one(&[patient(1), id_only], 2)).await.unwrap(), nobody, "an id only");
    assert_eq!(found(one(&[patient(1), patient(9)], 2)).await.unwrap(), nobody, "a stranger");
    let mut both = patient(1);
    both["identifier"].as_array_mut().unwrap().push(patient(2)["identifier"][0].clone());
    assert_eq!(found(one(&[both, patient(3)], 2)).await.unwrap(), nobody, "one with two of the NIKs");

    // A twin on the next page.
    let mut first = page(&[patient(1)], 2.into());
    first["link"] = json!([{ "relation": "next", "url": "https://fhir.test/r4/?page=2" }]);
    let pages = [json_reply(200, &first), json_reply(200, &page(&[twin], 2.into()))];
    assert_eq!(found(pages).await.unwrap(), nobody);

    assert!(matches!(found([reply(429, "")]).await, Err(Failure::Throttled { .. })));
    assert!(matches!(found([reply(500, "")]).await, Err(Failure::Transient { .. })));
}

#[tokio::test]
async fn searches_for_many_that_tell_nothing_are_given_up() {
    let useless = json_reply(200, &bundle(&[patient(1)]));
    let good = json_reply(200, &page(&[patient(1)], 1.into()));
    let refused = reply(400, "");
    let script = Script::of([
        useless.clone(),
        useless.clone(),
        good,
        useless,
        refused.clone(),
        reply(500, ""),
        refused,
    ]);
    let client = script.client_with(&batching());
    for _ in 0..7 {
        assert!(client.searches_many());
        let _ = client.search_many(&niks(3)).await;
    }
    assert!(!client.searches_many(), "three in a row; a failure that may pass is not one of them");
    assert!(client.writes_in_bundles());
}

fn changes() -> Vec<Change> {
    let policy = TelecomPolicy { previous: PreviousNumber::Replace, zone: jiff::tz::TimeZone::UTC };
    let change = |at| whole(patient(at)).edit(&number(), now(), &policy).change.unwrap();
    (1..=3).map(change).collect()
}

fn done(at: usize) -> Value {
    let location = format!("https://fhir.test/r4/Patient/p{at}/_history/8");
    json!({ "response": { "status": "200 OK", "location": location, "etag": "W/\"8\"" } })
}

fn response(entries: &[Value]) -> Response<Bytes> {
    json_reply(200, &json!({ "resourceType": "Bundle", "type": "batch-response", "entry": entries }))
}

/// What three rows are told, in short.
async fn told(config: &FhirConfig, entries: &[Value]) -> [String; 3] {
    let client = Script::of([response(entries)]).client_with(config);
    let entries = client.update_many(&changes()).await.unwrap();
    let short = |entry: Entry| match entry {
        None => "unsaid".to_owned(),
        Some(Ok(written)) => format!("version {:?}", written.version.map(|it| it.as_str().to_owned())),
        Some(Err(Failure::Conflict { .. })) => "conflict".into(),
        Some(Err(Failure::Gone { .. })) => "gone".into(),
        Some(Err(Failure::Rejected { .. })) => "rejected".into(),
        Some(Err(Failure::Throttled { .. })) => "throttled".into(),
        Some(Err(Failure::Transient { kind, .. })) => format!("{kind:?}"),
        Some(Err(other)) => format!("{other:?}"),
    };
    entries.into_iter().map(short).collect::<Vec<_>>().try_into().unwrap()
}

const EIGHT: &str = r#"version Some("8")"#;

#[tokio::test]
async fn a_bundle_carries_every_body_as_it_is_with_its_version() {
    let script = Script::of([response(&[done(1), done(2), done(3)])]);
    let changes = changes();
    script.client_with(&batching()).update_many(&changes).await.unwrap();
    assert_eq!(script.urls(), ["https://fhir.test/r4"]);
    assert_eq!(script.header(0, "content-type").as_deref(), Some("application/fhir+json"));
    let asked = script.asked.lock().unwrap();
    assert_eq!(
        (asked[0].method(), asked[0].extensions().get()),
        (&http::Method::POST, Some(&Operation::Bundle))
    );
    let text = std::str::from_utf8(asked[0].body()).unwrap();
    for change in &changes {
        assert!(text.contains(std::str::from_utf8(&change.body).unwrap()), "byte for byte");
    }
    let sent: Value = serde_json::from_str(text).unwrap();
    assert_eq!((&sent["type"], sent["entry"].as_array().map(Vec::len)), (&"batch".into(), Some(3)));
    let request = json!({ "method": "PUT", "url": "Patient/p2", "ifMatch": "W/\"7\"" });
    assert_eq!(sent["entry"][1]["request"], request);
}

#[tokio::test]
async fn a_patch_travels_as_a_binary() {
    let script = Script::of([response(&[done(1), done(2), done(3)])]);
    let changes = changes();
    let config = FhirConfig { write: FhirWrite::Patch, ..batching() };
    script.client_with(&config).update_many(&changes).await.unwrap();
    let sent: Value = serde_json::from_slice(script.asked.lock().unwrap()[0].body()).unwrap();
    let entry = &sent["entry"][0];
    assert_eq!(entry["request"]["method"], "PATCH");
    assert_eq!(entry["resource"]["contentType"], "application/json-patch+json");
    use base64::Engine as _;
    let data = entry["resource"]["data"].as_str().unwrap();
    assert_eq!(base64::engine::general_purpose::STANDARD.decode(data).unwrap(), changes[0].patch);
}

#[tokio::test]
async fn every_entry_is_judged_as_an_answer_of_its_own() {
    let refused = |status: &str| json!({ "response": { "status": status } });
    let outcome = json!({ "resourceType": "OperationOutcome",
        "issue": [{ "severity": "error", "code": "processing" }] });
    let error_inside = json!({ "response": { "status": "200 OK", "outcome": outcome } });
    for (entry, expected) in [
        (done(2), EIGHT),
        (json!({ "response": { "status": "200", "etag": "W/\"8\"" } }), EIGHT),
        (json!({ "response": { "status": "200 OK" }, "resource": patient(2) }), r#"version Some("7")"#),
        (json!({ "response": { "status": "204" } }), "version None"),
        (refused("412 Precondition Failed"), "conflict"),
        (refused("409"), "conflict"),
        (refused("410 Gone"), "gone"),
        (refused("422"), "rejected"),
        (error_inside, "rejected"),
        (refused("429 Too Many Requests"), "throttled"),
        (refused("503"), "Server(503)"),
        // What says nothing, or says it of another.
        (done(3), "unsaid"),
        (json!({}), "unsaid"),
        (json!({ "response": {} }), "unsaid"),
        (refused("OK"), "unsaid"),
        (Value::Null, "unsaid"),
    ] {
        assert_eq!(
            told(&batching(), &[done(1), entry.clone(), done(3)]).await,
            [EIGHT, expected, EIGHT],
            "{entry}"
        );
    }
    assert_eq!(told(&batching(), &[done(1), done(3)]).await, [const { "unsaid" }; 3], "one is missing");
    assert_eq!(told(&batching(), &[]).await, [const { "unsaid" }; 3]);
}

#[tokio::test]
async fn a_server_without_bundles_or_without_patches_in_them_is_remembered() {
    let client = Script::of([reply(405, "")]).client_with(&batching());
    assert!(client.update_many(&changes()).await.is_err());
    assert!(!client.writes_in_bundles() && client.searches_many());

    let client = Script::of([reply(500, "")]).client_with(&batching());
    assert!(client.update_many(&changes()).await.unwrap_err().leaves_write_in_doubt());
    assert!(client.writes_in_bundles(), "that may pass");

    let refused = json!({ "response": { "status": "501 Not Implemented" } });
    let patching = FhirConfig { write: FhirWrite::Patch, ..batching() };
    let client = Script::of([response(&[refused.clone(), done(2), done(3)])]).client_with(&patching);
    assert!(client.update_many(&changes()).await.unwrap()[0].is_none());
    assert!(!client.writes_in_bundles());
    assert_eq!(told(&batching(), &[refused, done(2), done(3)]).await[0], "Server(501)");
}
