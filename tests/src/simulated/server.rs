//! The simulators' FHIR server without a socket: latencies and faults as the weather has them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::Value;
use simulators::{FhirOptions, FhirServer, Population, Stats, WallClock};
use tokio::time::sleep;
use worker::fhir::{Transport, TransportError};

use super::life::Life;
use super::plan::{ServerFault, Without};
use super::weather::Weather;

/// The bound of a request, `FHIR_TIMEOUT`.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// See the module. Clones are the same server.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) fhir: FhirServer,
    pub(super) population: Arc<Population>,
    pub(super) weather: Arc<Weather>,
    /// Whose Patient has which id.
    ids: Arc<BTreeMap<String, usize>>,
    touched: Arc<Mutex<Vec<String>>>,
    without: Option<Without>,
}

impl Server {
    pub(super) fn of(population: Arc<Population>, weather: Arc<Weather>, without: Option<Without>) -> Self {
        let fhir = FhirServer::new(FhirOptions::default(), Arc::new(Stats::default()), WallClock::default());
        population.load_into(fhir.store());
        let id = |patient: Value| patient["id"].as_str().expect("an id").to_owned();
        let of = |person: usize| fhir.store().patient_by_nik(&population.nik(person)).into_iter().map(id);
        let ids = (0..population.len()).flat_map(|person| of(person).map(move |id| (id, person))).collect();
        Self { ids: Arc::new(ids), touched: Arc::default(), fhir, population, weather, without }
    }

    /// The way of a process to it.
    pub(super) fn transport(&self, life: &Life) -> Transport {
        let (server, life) = (self.clone(), life.clone());
        Transport::new(tower::service_fn(move |request| {
            let (server, life) = (server.clone(), life.clone());
            async move {
                life.step(&format!("asks {}", described(&request))).await;
                let answer = server.exchange(request).await;
                let told =
                    answer.as_ref().map_or_else(ToString::to_string, |answer| answer.status().to_string());
                life.step(&told).await;
                answer
            }
        }))
    }

    /// Somebody else writes a Patient as it stands.
    pub(super) fn touch(&self, id: &str) {
        if self.fhir.store().touch(id) {
            self.touched.lock().unwrap_or_else(PoisonError::into_inner).push(id.to_owned());
        }
    }

    /// Whom somebody else wrote.
    pub(super) fn touched(&self) -> Vec<String> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Somebody else writes a person's Patient as it stands.
    pub(super) fn touch_person(&self, person: usize) {
        for patient in self.fhir.store().patient_by_nik(&self.population.nik(person)) {
            self.touch(patient["id"].as_str().unwrap_or_default());
        }
    }

    async fn exchange(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        if self.without == Some(Without::IfMatch) {
            request.headers_mut().remove("if-match");
        }
        let fault = self.weather.server_fault();
        let (there, back) = (self.weather.draw(1..60), self.weather.draw(1..60));
        let status = |status: StatusCode, retry_after: Option<&'static str>| {
            let mut answer = Response::new(Bytes::new());
            *answer.status_mut() = status;
            if let Some(seconds) = retry_after {
                answer.headers_mut().insert("retry-after", http::HeaderValue::from_static(seconds));
            }
            answer
        };
        let broken = || TransportError::Broken("cut".into());
        sleep(Duration::from_millis(there)).await;
        match fault {
            Some(ServerFault::Unreachable) => return Err(TransportError::Unreachable("refused".into())),
            Some(ServerFault::Cut) => return Err(broken()),
            Some(ServerFault::Broken) => return Ok(status(StatusCode::INTERNAL_SERVER_ERROR, None)),
            Some(ServerFault::Unavailable) => return Ok(status(StatusCode::SERVICE_UNAVAILABLE, Some("3"))),
            Some(ServerFault::Throttled) => return Ok(status(StatusCode::TOO_MANY_REQUESTS, Some("2"))),
            Some(ServerFault::ThrottledUntold) => return Ok(status(StatusCode::TOO_MANY_REQUESTS, None)),
            Some(ServerFault::Unauthorized) if self.without == Some(Without::TheRefusedKey) => {
                return Ok(status(StatusCode::UNPROCESSABLE_ENTITY, None));
            }
            Some(ServerFault::Unauthorized) => return Ok(status(StatusCode::UNAUTHORIZED, None)),
            _ => {}
        }
        if self.person_of(&request).is_some_and(|person| self.weather.refuses(person)) {
            return Ok(status(StatusCode::UNPROCESSABLE_ENTITY, None));
        }
        if fault == Some(ServerFault::WrittenFirst) && request.method() == Method::PUT {
            self.touch(request.uri().path().rsplit('/').next().unwrap_or_default());
        }
        // A server that is slow does what it was asked within the bound of the request, and says so after it.
        let (doing, saying) = match fault {
            Some(ServerFault::Slow) => {
                (self.weather.draw(0..TIMEOUT.as_millis() as u64 - 100), 2 * TIMEOUT.as_millis() as u64)
            }
            _ => (0, back),
        };
        let fhir = self.fhir.clone();
        // It goes on when nobody waits any more: who asked may be dead.
        let done = tokio::spawn(async move {
            sleep(Duration::from_millis(doing)).await;
            let answer = fhir.call(request.map(Body::from)).await;
            sleep(Duration::from_millis(saying)).await;
            answer
        });
        let answer = done.await.expect("the simulator does not panic").map_err(|_| broken())?;
        if fault == Some(ServerFault::AnswerLost) {
            return Err(broken());
        }
        let (parts, body) = answer.into_parts();
        Ok(Response::from_parts(parts, to_bytes(body, usize::MAX).await.map_err(|_| broken())?))
    }

    fn person_of(&self, request: &Request<Bytes>) -> Option<usize> {
        self.ids.get(request.uri().path().rsplit('/').next()?).copied()
    }
}

/// Without the NIK that a search has in its URL.
fn described(request: &Request<Bytes>) -> String {
    let version = request.headers().get("if-match").and_then(|version| version.to_str().ok());
    format!("{} {} {}", request.method(), request.uri().path(), version.unwrap_or_default())
}
