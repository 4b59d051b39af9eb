//! Whom a search finds, over all its pages.

use super::*;

fn page(resources: &[Value], next: &str) -> Value {
    let mut page = bundle(resources);
    page["link"] = json!([{ "relation": "self", "url": "x" }, { "relation": "next", "url": next }]);
    page
}

async fn search(pages: &[Value]) -> (Search, Script) {
    let script = Script::of(pages.iter().map(|page| json_reply(200, page)));
    (script.client().search(&nik()).await, script)
}

async fn found(pages: &[Value]) -> Found {
    search(pages).await.0.found.unwrap()
}

fn stranger() -> Value {
    let mut resource = patient_json("other");
    resource["identifier"][0]["value"] = "3174051212900001".into();
    resource
}

#[tokio::test]
async fn matches_are_counted_by_patient() {
    let (one, two) = (patient_json("p1"), patient_json("p2"));
    assert!(matches!(found(&[json!({ "resourceType": "Bundle" })]).await, Found::None));
    assert!(matches!(found(&[bundle(&[])]).await, Found::None));
    assert!(
        matches!(found(&[bundle(std::slice::from_ref(&one))]).await, Found::One(it) if it.id().as_str() == "p1")
    );
    assert!(matches!(found(&[bundle(&[one.clone(), one.clone()])]).await, Found::One(_)));
    assert!(matches!(found(&[bundle(&[one.clone(), two, patient_json("p3")])]).await, Found::Several(3)));
}

#[tokio::test]
async fn includes_and_outcomes_are_no_matches_and_no_mode_is_one() {
    let warning =
        json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": "warning", "code": "x" }] });
    let bundle = json!({ "resourceType": "Bundle", "entry": [
        { "resource": warning, "search": { "mode": "outcome" } },
        { "resource": warning },
        { "resource": stranger(), "search": { "mode": "include" } },
        { "resource": patient_json("p1") },
    ] });
    assert!(matches!(found(&[bundle]).await, Found::One(_)));
}

#[tokio::test]
async fn a_match_that_does_not_hold_the_nik_is_never_anybody() {
    assert!(matches!(found(&[bundle(&[stranger()])]).await, Found::Mismatch));
    assert!(matches!(found(&[bundle(&[patient_json("p1"), stranger()])]).await, Found::Mismatch));
    // No second page is asked for: everybody could be on them.
    assert!(matches!(found(&[page(&[stranger()], "?page=2")]).await, Found::Mismatch));
}

#[tokio::test]
async fn a_partial_match_is_only_an_id() {
    let mut subsetted = patient_json("p1");
    subsetted["meta"]["tag"] = json!([{ "code": "SUBSETTED" }]);
    let only_id = json!({ "resourceType": "Patient", "id": "p1", "meta": { "versionId": "1" } });
    let no_version = json!({ "resourceType": "Patient", "id": "p1" });
    for body in [subsetted, only_id, no_version] {
        assert!(matches!(found(&[bundle(&[body])]).await, Found::Partial(id) if id.as_str() == "p1"));
    }
}

#[tokio::test]
async fn next_links_are_followed_on_the_same_server_only() {
    let (one, two) = (patient_json("p1"), patient_json("p2"));
    let base = "https://fhir.test/r4";
    let (result, script) = search(&[
        page(&[], &format!("{base}?_getpages=a%7Cb&x=1#top")),
        page(std::slice::from_ref(&one), "Patient?page=3"),
        page(std::slice::from_ref(&one), "https://fhir.test:443/elsewhere?page=4"),
        bundle(&[]),
    ])
    .await;
    assert!(matches!(result.found, Ok(Found::One(_))));
    assert_eq!(result.requests, 4);
    let urls = script.urls();
    assert_eq!(urls[1], format!("{base}?_getpages=a%7Cb&x=1"));
    assert_eq!(urls[2], format!("{base}/Patient?page=3"));
    assert_eq!(script.header(3, "x-api-key").as_deref(), Some("key-one"));

    assert!(matches!(found(&[page(&[one], "?page=2"), bundle(&[two])]).await, Found::Several(2)));
    for elsewhere in
        ["https://evil.test/r4?page=2", "http://fhir.test/r4?page=2", "//evil.test/", "https://["]
    {
        let (result, script) = search(&[page(&[], elsewhere)]).await;
        assert!(matches!(result.found, Err(Failure::Rejected { status: 200, .. })), "{elsewhere}");
        assert_eq!((result.requests, script.urls().len()), (1, 1));
    }
}

#[tokio::test]
async fn a_search_without_end_is_given_up() {
    let pages: Vec<Value> = (0..30).map(|_| page(&[], "?page=again")).collect();
    let (result, _) = search(&pages).await;
    assert!(matches!(result.found, Err(Failure::Rejected { .. })));
    assert_eq!(result.requests, 20);
}

#[tokio::test]
async fn entries_that_cannot_be_judged_are_refused() {
    for entry in [
        json!({ "fullUrl": "https://fhir.test/r4/Patient/p1" }),
        json!({ "resource": { "resourceType": "Patient" } }),
        json!({ "resource": { "resourceType": "Person", "id": "p1" } }),
    ] {
        let (result, _) = search(&[json!({ "resourceType": "Bundle", "entry": [entry] })]).await;
        assert!(matches!(result.found, Err(Failure::Rejected { .. })));
    }
    let (result, _) = search(&[json!({ "resourceType": "Bundle", "entry": {} })]).await;
    assert!(matches!(result.found, Err(Failure::Rejected { .. })));
}

#[tokio::test]
async fn the_canary_sees_a_server_that_ignores_the_search() {
    let canary = async |body: Value| Script::of([json_reply(200, &body)]).client().canary().await.unwrap();
    assert_eq!(canary(bundle(&[])).await, Canary::Honoured);
    assert_eq!(canary(page(&[], "?page=2")).await, Canary::Honoured);
    assert_eq!(canary(bundle(&[stranger()])).await, Canary::SearchIgnored);
    assert_eq!(canary(bundle(&[patient_json("zeros")])).await, Canary::SearchIgnored);
    let included = json!({ "resourceType": "Bundle", "entry": [{ "resource": stranger(), "search": { "mode": "include" } }] });
    assert_eq!(canary(included).await, Canary::Honoured);
}
