//! A FHIR R4 server with Patients only, and the faults it is told to have.
//!
//! [`FhirServer`] answers requests; it listens on nothing. `Simulators` puts it behind a socket, and a test
//! under paused time may call it in process. What it knows is in `store`, what goes wrong in `injection`.

mod admin;
mod batch;
mod capability;
mod identifiers;
mod injection;
mod reply;
mod route;
mod search;
mod store;
mod token;
mod view;
mod write;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::header::{CONTENT_TYPE, HOST, IF_MATCH, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use bytes::Bytes;
use serde_json::Value;
use tower::ServiceExt;

use crate::clock::{WallClock, instant_text};
use crate::faults::FaultPlan;
use crate::listener::ConnectionCut;
use crate::stats::Stats;

use injection::{ActiveFaults, Injection};
use reply::Reply;
use route::Interaction;
use search::Search;
use store::Absent;
use token::TokenDesk;
use write::WriteTerms;

pub(crate) use identifiers::nik_number;
pub use store::{FhirStore, InsertError};
pub use token::{ClientAuth, OAuthClient, TOKEN_PATH};

/// Where the FHIR service lives below its host.
pub const BASE_PATH: &str = "/fhir";

/// The identifier system of Indonesia's NIK.
pub const NIK_SYSTEM: &str = "https://fhir.kemkes.go.id/id/nik";

/// The largest request body, bytes.
const LARGEST_BODY: usize = 64 << 20;

/// What a FHIR server is like, apart from its Patients and its faults.
#[derive(Clone, Debug)]
pub struct FhirOptions {
    /// The identifier system of NIKs.
    pub nik_system: String,
    /// Whether PATCH is offered, and declared in the CapabilityStatement.
    pub supports_patch: bool,
    /// Whether batch Bundles are offered, and declared.
    pub supports_batch: bool,
    /// Whether PATCH is offered inside Bundles; otherwise such an entry is answered 501.
    pub supports_patch_in_batch: bool,
    /// The base URL in links; made from the request's `Host` when absent.
    pub public_url: Option<String>,
    /// How long an access token of its token endpoint lasts.
    pub token_lifetime: Duration,
    /// How clients of its token endpoint may show who they are.
    pub client_auth: ClientAuth,
    /// Seeds the faults.
    pub seed: u64,
}

impl Default for FhirOptions {
    fn default() -> Self {
        Self {
            nik_system: NIK_SYSTEM.to_owned(),
            supports_patch: true,
            supports_batch: true,
            supports_patch_in_batch: true,
            public_url: None,
            token_lifetime: Duration::from_secs(3600),
            client_auth: ClientAuth::Any,
            seed: 0,
        }
    }
}

/// A FHIR service. Clones are the same service.
#[derive(Clone)]
pub struct FhirServer {
    shared: Arc<Shared>,
    admin: axum::Router,
}

struct Shared {
    options: FhirOptions,
    store: FhirStore,
    stats: Arc<Stats>,
    clock: WallClock,
    faults: RwLock<Arc<ActiveFaults>>,
    api_keys: RwLock<Vec<String>>,
    tokens: TokenDesk,
}

/// What a request carries.
pub(crate) enum Payload {
    Raw { body: Bytes, is_json_patch: bool },
    Resource(Value),
}

/// What a request prefers (RFC 7240; FHIR R4, http.html#ops and search.html#errors).
struct Preferences {
    minimal: bool,
    strict: bool,
}

impl FhirServer {
    /// A service without Patients, faults or keys.
    pub fn new(options: FhirOptions, stats: Arc<Stats>, clock: WallClock) -> Self {
        let store = FhirStore::new(options.nik_system.clone(), clock.clone());
        let faults = RwLock::new(Arc::new(ActiveFaults::new(FaultPlan::default(), options.seed)));
        let api_keys = RwLock::default();
        let tokens = TokenDesk::new(options.token_lifetime, options.client_auth);
        let shared = Arc::new(Shared { options, store, stats, clock, faults, api_keys, tokens });
        Self { admin: admin::router(&shared), shared }
    }

    /// The Patients.
    pub fn store(&self) -> &FhirStore {
        &self.shared.store
    }

    /// The counters.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.shared.stats
    }

    /// Replaces the fault plan; buckets are full again and counters start over. Requests already let in end
    /// under the old plan.
    pub fn set_faults(&self, plan: FaultPlan) {
        self.shared.set_faults(plan);
    }

    /// The fault plan.
    pub fn fault_plan(&self) -> FaultPlan {
        self.faults().plan.clone()
    }

    /// The keys accepted in `x-api-key`; with none, every request is.
    pub fn set_api_keys(&self, keys: impl IntoIterator<Item = String>) {
        self.shared.set_api_keys(keys.into_iter().collect());
    }

    /// The OAuth2 clients that get a token; with none, nobody needs one. Tokens already given out stay good.
    pub fn set_clients(&self, clients: impl IntoIterator<Item = OAuthClient>) {
        self.shared.tokens.set_clients(clients.into_iter().collect());
    }

    /// Takes back every token of its token endpoint.
    pub fn revoke_tokens(&self) {
        self.shared.tokens.revoke_all();
    }

    /// Answers one request: FHIR under [`BASE_PATH`], the simulator's own pages (`/_faults`, `/_stats`, …)
    /// beside it.
    ///
    /// # Errors
    /// The connection is to be reset instead of answered.
    pub async fn call(&self, request: Request<Body>) -> Result<Response<Body>, ConnectionCut> {
        let path = request.uri().path();
        let below = path.strip_prefix(BASE_PATH).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        if path == TOKEN_PATH {
            let (parts, body) = request.into_parts();
            let form = to_bytes(body, LARGEST_BODY).await.unwrap_or_default();
            return self.token(&parts.method, &parts.headers, &form).await;
        }
        let Some(below) = below else {
            let Ok(response) = self.admin.clone().oneshot(request).await;
            return Ok(response);
        };
        let interaction =
            Interaction::of(request.method(), below.trim_start_matches('/'), request.uri().query());
        let (parts, body) = request.into_parts();
        let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
            let reply = Reply::outcome(StatusCode::PAYLOAD_TOO_LARGE, "too-long", "the body is too large");
            return Ok(reply.into_response(&Injection::default()));
        };
        let interaction = match interaction {
            Interaction::SearchByForm => Interaction::Search(Search::parse(&body)),
            other => other,
        };
        self.exchange(interaction, &parts.headers, body).await
    }

    async fn exchange(
        &self,
        interaction: Interaction,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<Body>, ConnectionCut> {
        let operation = interaction.operation();
        let stats = &self.shared.stats;
        if !matches!(interaction, Interaction::Metadata) && !self.shared.knows(headers) {
            stats.answered(operation, 401);
            let reply = Reply::outcome(
                StatusCode::UNAUTHORIZED,
                "login",
                "the API key or token is missing or not known",
            );
            let mut response = reply.into_response(&Injection::default());
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey"));
            return Ok(response);
        }
        let faults = self.faults();
        let niks = if faults.names_patients() || stats.is_watching() {
            self.niks_of(&interaction)
        } else {
            Vec::new()
        };
        let admitted = faults.admit();
        let at_ms = stats.arrived(admitted.is_ok());
        let answered = |status: u16| {
            stats.answered(operation, status);
            stats.log_watched(&niks, at_ms, operation, status);
        };
        let _in_flight = match admitted {
            Ok(held) => held,
            Err(retry_after) => {
                answered(429);
                return Ok(Reply::too_many(retry_after).into_response(&Injection::default()));
            }
        };
        let mut injection = faults.draw(operation, &niks);
        if !injection.delay.is_zero() {
            tokio::time::sleep(injection.delay).await;
        }
        if injection.reset {
            answered(0);
            return Err(ConnectionCut);
        }
        let reply = if let Some(refusal) = injection.refusal.take() {
            Reply::refusal(refusal)
        } else if injection.outcome_in_200 {
            Reply::error_in_200()
        } else {
            let preferences = Preferences::of(headers);
            let terms = WriteTerms {
                if_match: text_of(headers, IF_MATCH.as_str()).map(str::to_owned),
                minimal: preferences.minimal,
                concurrent_edit: injection.concurrent_edit,
            };
            let content_type = text_of(headers, CONTENT_TYPE.as_str()).unwrap_or("");
            let is_json_patch = content_type.starts_with("application/json-patch+json");
            let payload = Payload::Raw { body, is_json_patch };
            self.perform(interaction, payload, &terms, &self.base(headers), preferences.strict)
        };
        if injection.reply_lost {
            answered(0);
            return Err(ConnectionCut);
        }
        answered(reply.status.as_u16());
        Ok(reply.into_response(&injection))
    }

    /// Carries out what is asked, faults apart.
    fn perform(
        &self,
        interaction: Interaction,
        payload: Payload,
        terms: &WriteTerms,
        base: &str,
        strict: bool,
    ) -> Reply {
        match interaction {
            Interaction::Metadata => {
                let now = instant_text(self.shared.clock.now_ms());
                let statement = capability::statement(self.options(), base, &now);
                Reply::resource(StatusCode::OK, statement.to_string())
            }
            Interaction::Search(search) => self.search(&search, base, strict),
            Interaction::Read(id) => match self.store().read(&id) {
                Ok(stored) => {
                    let stored = view::shown(stored, self.faults().plan.read_view);
                    Reply::patient(StatusCode::OK, stored, false)
                }
                Err(Absent::Deleted) => write::gone(),
                Err(_) => Reply::outcome(StatusCode::NOT_FOUND, "not-found", "no such Patient"),
            },
            Interaction::Update(id) => self.put(&id, payload, terms),
            Interaction::Patch(id) => self.patch(&id, payload, terms),
            Interaction::Delete(id) => self.delete(&id, terms),
            Interaction::Batch => self.batch(payload, base, terms.minimal, strict),
            Interaction::NotAllowed | Interaction::SearchByForm => {
                let diagnostics = "this interaction is not supported";
                Reply::outcome(StatusCode::METHOD_NOT_ALLOWED, "not-supported", diagnostics)
            }
            Interaction::Unknown => {
                Reply::outcome(StatusCode::NOT_FOUND, "not-found", "nothing is served here")
            }
        }
    }

    /// Whose request it is.
    fn niks_of(&self, interaction: &Interaction) -> Vec<u64> {
        match interaction {
            Interaction::Search(search) => search.niks(),
            other => other.id().and_then(|id| self.store().nik_of(id)).into_iter().collect(),
        }
    }

    fn options(&self) -> &FhirOptions {
        &self.shared.options
    }

    fn faults(&self) -> Arc<ActiveFaults> {
        self.shared.faults.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn base(&self, headers: &HeaderMap) -> String {
        match &self.options().public_url {
            Some(url) => url.clone(),
            None => format!("http://{}{BASE_PATH}", text_of(headers, HOST.as_str()).unwrap_or("localhost")),
        }
    }
}

impl Shared {
    fn set_faults(&self, plan: FaultPlan) {
        let active = Arc::new(ActiveFaults::new(plan, self.options.seed));
        *self.faults.write().unwrap_or_else(PoisonError::into_inner) = active;
    }

    fn set_api_keys(&self, keys: Vec<String>) {
        *self.api_keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    fn knows(&self, headers: &HeaderMap) -> bool {
        let keys = self.api_keys.read().unwrap_or_else(PoisonError::into_inner);
        let key_is_good = keys.is_empty()
            || text_of(headers, "x-api-key").is_some_and(|sent| keys.iter().any(|key| key == sent));
        key_is_good && self.tokens.lets_in(headers)
    }
}

impl Preferences {
    fn of(headers: &HeaderMap) -> Self {
        let mut preferences = Self { minimal: false, strict: false };
        for value in headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok()) {
            for preference in value.split([',', ';']).map(str::trim) {
                preferences.minimal |= preference.eq_ignore_ascii_case("return=minimal");
                preferences.strict |= preference.eq_ignore_ascii_case("handling=strict");
            }
        }
        preferences
    }
}

fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
