//! The client against scripted answers; `sockets` alone opens any.

mod classification;
mod many;
mod patients;
mod requests;
mod search;
mod sockets;
mod telecom;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::domain::{Nik, PhoneNumber};
use shared::settings::{FhirBatch, FhirSearch, FhirWrite, PreviousNumber};

use super::*;

const SYSTEM: &str = "https://fhir.kemkes.go.id/id/nik";
const NUMBER: &str = "+6281234567890";

/// Sixteen zeros serve as anybody's NIK here.
fn nik() -> Nik {
    Nik::impossible()
}

fn number() -> PhoneNumber {
    PhoneNumber::from_telecom(NUMBER).expect("a valid number")
}

fn now() -> Timestamp {
    "2026-11-23T17:00:00.5Z".parse().unwrap()
}

fn config(base_url: &str) -> FhirConfig {
    FhirConfig {
        base_url: base_url.to_owned(),
        identifier_system: SYSTEM.to_owned(),
        timeout: Duration::from_secs(5),
        credentials: vec![Credential::ApiKey("key-one".into())],
        search: FhirSearch::Get,
        write: FhirWrite::Put,
        batch: FhirBatch::Off,
        max_concurrency: 4,
        ca_file: None,
        https_proxy: None,
        no_proxy: None,
    }
}

fn patient_json(id: &str) -> Value {
    json!({
        "resourceType": "Patient", "id": id, "meta": { "versionId": "7" },
        "identifier": [{ "system": SYSTEM, "value": nik().expose() }],
        "telecom": [{ "system": "phone", "value": "+628111111111", "use": "mobile" }]
    })
}

fn whole(resource: Value) -> Patient {
    match Patient::from_json(resource, None) {
        Body::Whole(patient) => patient,
        other => panic!("expected a whole Patient, got {other:?}"),
    }
}

fn bundle(resources: &[Value]) -> Value {
    let entries: Vec<Value> =
        resources.iter().map(|it| json!({ "resource": it, "search": { "mode": "match" } })).collect();
    json!({ "resourceType": "Bundle", "type": "searchset", "entry": entries })
}

fn reply(status: u16, body: impl Into<Bytes>) -> Response<Bytes> {
    Response::builder().status(status).body(body.into()).unwrap()
}

fn json_reply(status: u16, body: &Value) -> Response<Bytes> {
    reply(status, serde_json::to_vec(body).unwrap())
}

type Answer = Result<Response<Bytes>, TransportError>;

/// A server that gives prepared answers in order and keeps what it was asked.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Request<Bytes>>>>,
}

impl Script {
    fn of(answers: impl IntoIterator<Item = Response<Bytes>>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into_iter().map(Ok).collect())), ..Self::default() }
    }

    fn failing(error: TransportError) -> Self {
        Self { answers: Arc::new(Mutex::new([Err(error)].into())), ..Self::default() }
    }

    fn transport(&self) -> Transport {
        let script = self.clone();
        Transport::new(tower::service_fn(move |request| {
            let script = script.clone();
            async move {
                script.asked.lock().unwrap().push(request);
                script.answers.lock().unwrap().pop_front().expect("an answer for every request")
            }
        }))
    }

    fn client(&self) -> FhirClient {
        self.client_with(&config("https://fhir.test/r4/"))
    }

    fn client_with(&self, config: &FhirConfig) -> FhirClient {
        FhirClient::new(config, self.transport(), Clock::system()).unwrap()
    }

    fn urls(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|request| request.uri().to_string()).collect()
    }

    fn header(&self, at: usize, name: &str) -> Option<String> {
        let asked = self.asked.lock().unwrap();
        asked[at].headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    }
}

fn a_change() -> Change {
    let policy = TelecomPolicy { previous: PreviousNumber::Replace, zone: jiff::tz::TimeZone::UTC };
    whole(patient_json("p1")).edit(&number(), now(), &policy).change.expect("another number was there")
}

/// An error with all its causes, in both forms, as a careless log would print it.
fn everything_said(error: &dyn std::error::Error) -> String {
    let mut said = format!("{error} {error:?}");
    let mut next = error.source();
    while let Some(cause) = next {
        said.push_str(&format!(" {cause} {cause:?}"));
        next = cause.source();
    }
    said
}
