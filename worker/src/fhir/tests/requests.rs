//! What goes out: addresses, headers, credentials, bodies.

use super::*;

const ENCODED: &str = "identifier=https%3A%2F%2Ffhir.kemkes.go.id%2Fid%2Fnik%7C0000000000000000";

#[tokio::test]
async fn a_search_goes_out_strict_and_encoded() {
    let script = Script::of([json_reply(200, &bundle(&[])), json_reply(200, &bundle(&[]))]);
    let client = script.client_with(&config("https://fhir.test/r4"));
    client.search(&nik()).await.found.unwrap();
    client.canary().await.unwrap();
    assert_eq!(script.urls(), vec![format!("https://fhir.test/r4/Patient?{ENCODED}"); 2]);
    assert_eq!(script.header(0, "accept").as_deref(), Some("application/fhir+json"));
    assert_eq!(script.header(0, "prefer").as_deref(), Some("handling=strict"));
    assert_eq!(script.header(0, "x-api-key").as_deref(), Some("key-one"));
    assert_eq!(script.header(0, "authorization"), None);
    let asked = script.asked.lock().unwrap();
    assert_eq!(asked[0].extensions().get(), Some(&Operation::Search));
    assert_eq!(asked[1].extensions().get(), Some(&Operation::Canary));
}

#[tokio::test]
async fn a_search_by_post_keeps_the_nik_out_of_the_address() {
    let script = Script::of([json_reply(200, &bundle(&[]))]);
    let config = FhirConfig { search: FhirSearch::Post, ..config("https://fhir.test/r4/") };
    script.client_with(&config).search(&nik()).await.found.unwrap();
    assert_eq!(script.urls(), ["https://fhir.test/r4/Patient/_search"]);
    assert_eq!(script.header(0, "content-type").as_deref(), Some("application/x-www-form-urlencoded"));
    let asked = script.asked.lock().unwrap();
    assert_eq!(asked[0].method(), http::Method::POST);
    assert_eq!(asked[0].body(), ENCODED);
}

#[tokio::test]
async fn separators_in_the_system_are_escaped() {
    let script = Script::of([json_reply(200, &bundle(&[]))]);
    let config = FhirConfig { identifier_system: "urn:a,b|c&d".to_owned(), ..config("https://fhir.test") };
    script.client_with(&config).search(&nik()).await.found.unwrap();
    assert!(script.urls()[0].contains("identifier=urn%3Aa%5C%2Cb%5C%7Cc%26d%7C0000"), "{:?}", script.urls());
}

#[tokio::test]
async fn a_read_falls_back_to_the_entity_tag_and_checks_who_it_is() {
    let id = PatientId::new("p1").unwrap();
    let read = async |body: &Value, etag: Option<&str>| {
        let mut reply = json_reply(200, body);
        if let Some(etag) = etag {
            reply.headers_mut().insert("etag", etag.parse().unwrap());
        }
        Script::of([reply]).client().read(&id, &nik()).await.unwrap()
    };
    let version = |reading: Reading| match reading {
        Reading::Whole(patient) => patient.version().as_str().to_owned(),
        other => panic!("{other:?}"),
    };
    let mut unversioned = patient_json("p1");
    unversioned["meta"] = json!({});
    assert_eq!(version(read(&patient_json("p1"), Some("W/\"8\"")).await), "7");
    assert_eq!(version(read(&unversioned, Some("W/\"8\"")).await), "8");
    assert_eq!(version(read(&unversioned, Some("\"a-b=\"")).await), "a-b=");
    assert!(matches!(read(&unversioned, None).await, Reading::Partial));
    assert!(matches!(read(&unversioned, Some("8")).await, Reading::Partial));
    assert!(matches!(read(&patient_json("p2"), None).await, Reading::Mismatch));
    let mut stranger = patient_json("p1");
    stranger["identifier"][0]["system"] = "urn:x".into();
    assert!(matches!(read(&stranger, None).await, Reading::Mismatch));
}

#[tokio::test]
async fn an_update_is_bound_to_its_version() {
    let mut answer = reply(200, "");
    answer.headers_mut().insert("etag", "W/\"8\"".parse().unwrap());
    let script = Script::of([answer, json_reply(200, &patient_json("p1")), reply(200, "")]);
    let client = script.client();
    let change = a_change();
    let version = async || client.update(&change).await.unwrap().version.map(|it| it.as_str().to_owned());
    assert_eq!(version().await.as_deref(), Some("8"));
    assert_eq!(version().await.as_deref(), Some("7"));
    assert_eq!(version().await, None);
    assert_eq!(script.urls()[0], "https://fhir.test/r4/Patient/p1");
    assert_eq!(script.header(0, "if-match").as_deref(), Some("W/\"7\""));
    assert_eq!(script.header(0, "prefer").as_deref(), Some("return=minimal"));
    assert_eq!(script.header(0, "content-type").as_deref(), Some("application/fhir+json"));
    let asked = script.asked.lock().unwrap();
    assert_eq!(asked[0].method(), http::Method::PUT);
    assert_eq!(asked[0].body(), &change.body);
}

#[tokio::test]
async fn a_replaced_credential_is_sent_from_then_on() {
    let script = Script::of([reply(401, "bad key-one"), reply(401, "bad key-two"), reply(401, "")]);
    let client = script.client();
    let refused = async || match client.search(&nik()).await.found {
        Err(Failure::Unauthorized { generation, text }) => (generation, text.to_string()),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused().await, (1, "bad ***".to_owned()));
    assert_eq!(client.replace_credential(Credential::ApiKey("key-two".into())).unwrap(), 2);
    assert_eq!(refused().await, (2, "bad ***".to_owned()));
    client.replace_credential(Credential::Bearer("token".into())).unwrap();
    assert!(client.replace_credential(Credential::ApiKey("line\nbreak".into())).is_err());
    assert_eq!(client.credential_generation(), 3);
    refused().await;
    assert_eq!(script.header(1, "x-api-key").as_deref(), Some("key-two"));
    assert_eq!(script.header(2, "x-api-key").as_deref(), Some("key-two"));
    assert_eq!(script.header(2, "authorization").as_deref(), Some("Bearer token"));
    let said = format!("{client:?} {:?} {:?}", config("https://fhir.test"), script.asked.lock().unwrap());
    assert!(!said.contains("key-") && !said.contains("Bearer"), "{said}");
}

#[test]
fn settings_that_cannot_work_are_named() {
    let refused = |config: FhirConfig| {
        FhirClient::new(&config, Script::default().transport(), Clock::system()).unwrap_err().to_string()
    };
    for url in
        ["", "fhir.test", "ftp://fhir.test", "https://u:p@fhir.test", "https://fhir.test/?a=b", "https://["]
    {
        assert!(refused(config(url)).starts_with("FHIR_URL: "), "{url}");
    }
    let no_system = FhirConfig { identifier_system: " ".to_owned(), ..config("https://fhir.test") };
    assert!(refused(no_system).starts_with("FHIR_IDENTIFIER_SYSTEM"));
    let key = || Credential::ApiKey("k".into());
    let twice = FhirConfig { credentials: vec![key(), key()], ..config("https://fhir.test") };
    assert!(refused(twice).contains("twice"));
    let bad_key =
        FhirConfig { credentials: vec![Credential::ApiKey("a\nb".into())], ..config("https://fhir.test") };
    assert!(refused(bad_key).starts_with("FHIR_API_KEY"));

    let refused =
        |config: FhirConfig| reqwest_transport(&config).err().map(|error| error.to_string()).unwrap();
    let https = || config("https://fhir.test");
    let missing = FhirConfig { ca_file: Some("/nowhere.pem".into()), ..https() };
    assert_eq!(refused(missing), "CA_FILE: /nowhere.pem cannot be read");
    let no_pem =
        FhirConfig { ca_file: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into()), ..https() };
    assert!(refused(no_pem).contains("no PEM certificate"));
    let proxy = FhirConfig { https_proxy: Some("http://user:secret@[".to_owned()), ..https() };
    assert!(refused(proxy).starts_with("HTTPS_PROXY"));
}

fn patching(write: FhirWrite) -> FhirConfig {
    FhirConfig { write, ..config("https://fhir.test/r4/") }
}

#[tokio::test]
async fn a_patch_is_bound_to_its_version_and_tests_what_was_there() {
    let script = Script::of([json_reply(200, &patient_json("p1"))]);
    let change = a_change();
    script.client_with(&patching(FhirWrite::Patch)).update(&change).await.unwrap();
    assert_eq!(script.header(0, "if-match").as_deref(), Some("W/\"7\""));
    assert_eq!(script.header(0, "content-type").as_deref(), Some("application/json-patch+json"));
    let asked = script.asked.lock().unwrap();
    assert_eq!((asked[0].method(), asked[0].uri().path()), (&http::Method::PATCH, "/r4/Patient/p1"));
    let sent: Value = serde_json::from_slice(asked[0].body()).unwrap();
    let before = json!({ "system": "phone", "value": "+628111111111", "use": "mobile" });
    let after = json!({ "system": "phone", "value": NUMBER, "use": "mobile" });
    let expected = json!([
        { "op": "test", "path": "/telecom", "value": [before] },
        { "op": "replace", "path": "/telecom/0", "value": after }
    ]);
    assert_eq!(sent, expected);
}

#[test]
fn a_patch_of_no_telecom_tests_the_version_it_was_made_from() {
    let policy = TelecomPolicy { previous: PreviousNumber::Keep, zone: jiff::tz::TimeZone::UTC };
    let mut resource = patient_json("p1");
    resource.as_object_mut().unwrap().shift_remove("telecom");
    let change = whole(resource).edit(&number(), now(), &policy).change.unwrap();
    let sent: Value = serde_json::from_slice(&change.patch).unwrap();
    let entry = json!({ "system": "phone", "value": NUMBER, "use": "mobile" });
    let expected = json!([
        { "op": "test", "path": "/meta/versionId", "value": "7" },
        { "op": "add", "path": "/telecom", "value": [entry] }
    ]);
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn auto_writes_as_the_capability_statement_says_and_puts_where_it_cannot_be_read() {
    let statement = |interaction: &str| {
        json_reply(
            200,
            &json!({ "resourceType": "CapabilityStatement", "patchFormat": ["application/json-patch+json"],
                "rest": [{ "mode": "server", "resource": [
                    { "type": "Patient", "interaction": [{ "code": interaction }] }] }] }),
        )
    };
    for (answer, readable, method) in [
        (statement("patch"), true, "PATCH"),
        (statement("update"), true, "PUT"),
        (reply(404, ""), false, "PUT"),
        (reply(500, ""), false, "PUT"),
        (reply(200, "<html>"), false, "PUT"),
        (json_reply(200, &patient_json("p1")), false, "PUT"),
    ] {
        let script = Script::of([answer, json_reply(200, &patient_json("p1"))]);
        let client = script.client_with(&patching(FhirWrite::Auto));
        assert!(client.wants_capabilities());
        assert_eq!(client.learn_capabilities().await.is_ok(), readable);
        assert!(!client.wants_capabilities(), "it is asked once");
        client.update(&a_change()).await.unwrap();
        let asked = script.asked.lock().unwrap();
        assert_eq!(asked[0].uri(), "https://fhir.test/r4/metadata");
        assert_eq!(asked[1].method(), method);
    }
}

#[tokio::test]
async fn a_server_that_takes_no_patches_is_not_the_rows_trouble() {
    for status in [405, 415, 501] {
        let client = Script::of([reply(status, "")]).client_with(&patching(FhirWrite::Patch));
        let failure = client.update(&a_change()).await.unwrap_err();
        assert!(matches!(failure, Failure::Forbidden { .. }), "{failure:?}");
        assert!(failure.to_string().contains(&status.to_string()), "{failure}");
    }
    for (status, conflict) in [(400, false), (422, false), (409, true), (412, true)] {
        let client = Script::of([reply(status, "")]).client_with(&patching(FhirWrite::Patch));
        let failure = client.update(&a_change()).await.unwrap_err();
        assert_eq!(matches!(failure, Failure::Conflict { .. }), conflict, "{failure:?}");
        assert_eq!(failure.may_be_failed_test(), !conflict, "{failure:?}");
    }
}
