//! Answers of a FHIR server, and of the token endpoint in front of it.
//!
//! The client gets them from a transport that is a function: what is tested is the way of every answer in the product.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use jiff::tz::TimeZone;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::domain::{Nik, PhoneNumber};
use shared::settings::{FhirBatch, FhirSearch, FhirWrite, PreviousNumber};
use tokio::runtime::Runtime;
use worker::fhir::{
    Body, Change, Failure, FhirClient, FhirConfig, Found, Patient, PatientId, Reading, TelecomPolicy,
    Transport, TransportError, VersionId,
};

use crate::input::{Input, longest_run_of_digits};

const SYSTEM: &str = "https://fhir.kemkes.go.id/id/nik";
const NIKS: [&str; 3] = ["3171234567890001", "3171234567890002", "3171234567890003"];
const NUMBER: &str = "+6281234567890";
const NOW: &str = "2026-11-23T16:00:00Z";
/// No wait is longer.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// A search's pages.
pub fn bundle(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let pages: Vec<_> =
        std::iter::from_fn(|| (!input.is_empty()).then(|| answer(200, input.part()))).collect();
    let search = ask(client(FhirWrite::Put, pages), |client| async move { client.search(&nik(0)).await });
    assert!(search.requests <= 20, "{} pages", search.requests);
    match search.found {
        Ok(Found::One(patient)) => assert!(patient.holds(SYSTEM, NIKS[0]), "somebody else is found"),
        Ok(Found::Several(count)) => assert!(count > 1),
        Ok(Found::None | Found::Partial(_) | Found::Mismatch) => {}
        Err(failure) => check_failure(&failure),
    }
}

/// A Patient that is read, and its telecom changed.
pub fn patient(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let policy = TelecomPolicy {
        previous: input.one_of(&[PreviousNumber::Replace, PreviousNumber::Keep]),
        zone: TimeZone::fixed(jiff::tz::offset(7)),
    };
    let body = input.rest();
    let id = id_in(body);
    let reading = ask(client(FhirWrite::Put, vec![answer(200, body)]), |client| async move {
        client.read(&id, &nik(0)).await
    });
    match reading {
        Ok(Reading::Whole(patient)) => {
            assert!(patient.holds(SYSTEM, NIKS[0]), "somebody else is read");
            let _ = patient.inactive();
            check_edit(&patient, &policy);
        }
        Ok(Reading::Partial | Reading::Mismatch) => {}
        Err(failure) => check_failure(&failure),
    }
}

/// The id that the body says it has, so that more than a mismatch is reached.
fn id_in(body: &[u8]) -> PatientId {
    let said = serde_json::from_slice::<Value>(body).ok();
    let said = said.and_then(|body| PatientId::new(body.get("id")?.as_str()?));
    said.unwrap_or_else(|| PatientId::new("p1").expect("an id"))
}

/// Nothing but one number changes, once, and a patch comes to the same as the whole body.
fn check_edit(patient: &Patient, policy: &TelecomPolicy) {
    let number: PhoneNumber = NUMBER.parse().expect("a number");
    let now = NOW.parse().expect("an instant");
    let edit = patient.edit(&number, now, policy);
    let before = Value::Object(patient.resource().clone());
    let Some(change) = edit.change else { return };
    assert_eq!(&change.id, patient.id());
    assert!(
        change.previous.as_ref().is_none_or(|shown| longest_run_of_digits(shown) <= 6),
        "{:?}",
        change.previous
    );
    let after: Value = serde_json::from_slice(&change.body).expect("the body is JSON");

    let without = |whole: &Value| {
        let mut rest = whole.as_object().expect("a resource").clone();
        rest.shift_remove("telecom");
        Value::Object(rest).to_string()
    };
    assert_eq!(without(&before), without(&after), "something else changed");
    let telecom = |whole: &Value| whole.get("telecom").and_then(Value::as_array).cloned().unwrap_or_default();
    let (was, is) = (telecom(&before), telecom(&after));
    let kept = is.iter().filter(|entry| was.contains(entry)).count();
    assert!(
        kept + 2 >= is.len() && is.len() >= was.len() && is.len() <= was.len() + 1,
        "{was:?} became {is:?}"
    );
    let ours = is.iter().filter(|entry| entry.get("value").and_then(Value::as_str) == Some(NUMBER)).count();
    assert!(ours >= 1, "the number is not there");

    let patch: json_patch::Patch = serde_json::from_slice(&change.patch).expect("a JSON Patch");
    let mut patched = before;
    json_patch::patch(&mut patched, &patch).expect("a patch of what was read applies");
    assert_eq!(patched, after, "a patch comes to something else");

    let Body::Whole(again) = Patient::from_json(after, None) else { return };
    assert!(again.edit(&number, now, policy).change.is_none(), "a second edit has something to do");
}

/// Any answer to a write: errors of any form, from the server or a gateway.
pub fn outcome(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let write = input.one_of(&[FhirWrite::Put, FhirWrite::Patch]);
    let status =
        input.one_of(&[200, 201, 204, 202, 302, 400, 401, 403, 404, 405, 409, 412, 415, 422, 429, 500, 503]);
    let mut answer = answer(status, &[]);
    for name in [http::header::RETRY_AFTER, http::header::ETAG] {
        if let Ok(value) = http::HeaderValue::from_bytes(input.part()) {
            answer.headers_mut().insert(name, value);
        }
    }
    *answer.body_mut() = Bytes::copy_from_slice(input.rest());
    let written = ask(client(write, vec![answer]), |client| async move { client.update(&change(0)).await });
    match written {
        Ok(_) => assert!(matches!(status, 200 | 201 | 204), "{status} is no success"),
        Err(failure) => check_failure(&failure),
    }
}

/// `Retry-After`, and the `Date` that it is counted from.
pub fn retry_after(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut answer = answer(429, b"");
    for name in [http::header::RETRY_AFTER, http::header::DATE] {
        if let Ok(value) = http::HeaderValue::from_bytes(input.part()) {
            answer.headers_mut().insert(name, value);
        }
    }
    let (_, googles) = producer::fuzzing::refusal(429, b"{}", answer.headers());
    assert!(googles.is_none_or(|wait| wait <= Duration::from_secs(3_600)), "{googles:?}");
    let failure = ask(client(FhirWrite::Put, vec![answer]), |client| async move {
        client.update(&change(0)).await.expect_err("429 is no success")
    });
    check_failure(&failure);
}

/// A CapabilityStatement.
pub fn capabilities(bytes: &[u8]) {
    let client = Arc::new(client(FhirWrite::Auto, vec![answer(200, bytes)]));
    let asking = client.clone();
    let learnt = block_on(async move { asking.learn_capabilities().await });
    assert!(!client.wants_capabilities(), "it is settled whatever is answered");
    if let Err(failure) = &learnt {
        check_failure(failure);
        assert!(!client.writes_by_patch() && !client.searches_many(), "nothing is offered");
    }
    let said = serde_json::from_slice::<Value>(bytes).map(|said| said.to_string()).unwrap_or_default();
    assert!(!client.writes_by_patch() || said.contains("patch"));
}

/// Answers to a search and to a write for many.
pub fn many(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let write = input.one_of(&[FhirWrite::Put, FhirWrite::Patch]);
    let searched = answer(200, input.part());
    let status = input.one_of(&[200, 200, 200, 400, 405, 413, 422, 429, 500, 503]);
    let written = answer(status, input.rest());
    let niks: Vec<Nik> = (0..NIKS.len()).map(nik).collect();
    let search = ask(client(write, vec![searched]), |client| async move { client.search_many(&niks).await });
    match search.found {
        Ok(found) => {
            assert_eq!(found.len(), NIKS.len());
            for (patient, nik) in found.iter().zip(NIKS) {
                assert!(
                    patient.as_ref().is_none_or(|patient| patient.holds(SYSTEM, nik)),
                    "somebody else is found"
                );
            }
        }
        Err(failure) => check_failure(&failure),
    }
    let changes: Vec<Change> = (0..2).map(change).collect();
    match ask(client(write, vec![written]), |client| async move { client.update_many(&changes).await }) {
        Ok(entries) => {
            assert_eq!(entries.len(), 2);
            entries.iter().flatten().filter_map(|entry| entry.as_ref().err()).for_each(check_failure);
        }
        Err(failure) => check_failure(&failure),
    }
}

/// A token endpoint's answer.
pub fn token(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let status = input.one_of(&[200, 200, 200, 400, 401, 403, 429, 500]);
    let answer = answer(status, input.rest());
    match block_on(async move { worker::fuzzing::token(&answer) }) {
        Ok((token, _)) => {
            assert_eq!(status, 200);
            assert!(!token.expose_secret().is_empty());
        }
        Err(error) => {
            let told = error.to_string();
            assert!(told.len() < 200 && told.is_ascii(), "{told}");
        }
    }
}

/// What is told of a failure shows nobody's number, is short and on one line, and no wait is longer than is honoured.
fn check_failure(failure: &Failure) {
    let told = failure.to_string();
    let said = told.replace("16777216", "").replace(|c| " -./()".contains(c), "");
    assert!(longest_run_of_digits(&said) <= 6, "{told}");
    assert!(told.chars().count() <= 400 && !told.chars().any(char::is_control), "{told:?}");
    if let Failure::Throttled { retry_after: Some(wait), .. } = failure {
        assert!(*wait <= LONGEST_WAIT, "{wait:?}");
    }
}

fn nik(at: usize) -> Nik {
    NIKS[at].parse().expect("a NIK")
}

fn change(at: usize) -> Change {
    Change {
        id: PatientId::new(format!("p{}", at + 1)).expect("an id"),
        version: VersionId::new("7").expect("a version"),
        body: Bytes::from_static(br#"{"resourceType":"Patient"}"#),
        patch: Bytes::from_static(b"[]"),
        before: json!([]),
        previous: None,
        number: PhoneNumber::from_telecom("+6281234567890").expect("a number"),
    }
}

fn answer(status: u16, body: &[u8]) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::copy_from_slice(body));
    *answer.status_mut() = status.try_into().expect("a status");
    answer
}

/// A client that gets these answers, and then none.
fn client(write: FhirWrite, answers: Vec<Response<Bytes>>) -> FhirClient {
    let config = FhirConfig {
        base_url: "https://fhir.test/r4".to_owned(),
        identifier_system: SYSTEM.to_owned(),
        timeout: Duration::from_secs(30),
        credentials: Vec::new(),
        search: FhirSearch::Get,
        write,
        batch: FhirBatch::Auto,
        max_concurrency: 1,
        ca_file: None,
        https_proxy: None,
        no_proxy: None,
    };
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    let transport = Transport::new(tower::service_fn(move |_: Request<Bytes>| {
        let next = answers.lock().unwrap_or_else(PoisonError::into_inner).next();
        async move { next.ok_or(TransportError::Timeout) }
    }));
    let clock = Clock::from_fn(|| NOW.parse().expect("an instant"));
    FhirClient::new(&config, transport, clock).expect("good settings")
}

fn ask<T, F: Future<Output = T>>(client: FhirClient, question: impl FnOnce(Arc<FhirClient>) -> F) -> T {
    block_on(question(Arc::new(client)))
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
    });
    runtime.block_on(work)
}
