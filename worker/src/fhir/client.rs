//! What is asked of a FHIR server for one row, one HTTP request each; for many rows at once, see `many`.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, Uri};
use reqwest::Url;
use serde_json::Value;
use shared::clock::Clock;
use shared::domain::Nik;
use shared::metrics::Metrics;
use shared::settings::FhirSearch;
use tower::ServiceExt;

use super::answer;
use super::auth::{Auth, BadSecret, Credential};
use super::capabilities::{Choice, Offers};
use super::config::{BadConfig, FhirConfig};
use super::failure::{Failure, Transient};
use super::measured::measured;
use super::patient::{Patient, PatientId, VersionId};
use super::search::{Found, Matches, Verdict, judge, matches};
use super::telecom::Change;
use super::traced::traced;
use super::transport::Transport;

/// Most pages of one search that are looked at. A NIK has one Patient, or a few by mistake.
const MAX_PAGES: u32 = 20;

pub(super) const FHIR_JSON: HeaderValue = HeaderValue::from_static("application/fhir+json");
const JSON_PATCH: HeaderValue = HeaderValue::from_static("application/json-patch+json");
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
pub(super) const PREFER: header::HeaderName = header::HeaderName::from_static("prefer");
const STRICT: HeaderValue = HeaderValue::from_static("handling=strict");
pub(super) const MINIMAL: HeaderValue = HeaderValue::from_static("return=minimal");

/// What a request is for; travels among its extensions, so that a layer can measure by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// The search for a NIK, or one of its further pages.
    Search,
    /// The read of one Patient.
    Read,
    /// The write of one Patient.
    Update,
    /// The search for an impossible NIK.
    Canary,
    /// The search for many NIKs, or one of its further pages.
    SearchMany,
    /// A Bundle of many writes.
    Bundle,
    /// The read of the CapabilityStatement.
    Metadata,
}

impl Operation {
    /// As a metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Read => "read",
            Self::Update => "update",
            Self::Canary => "canary",
            Self::SearchMany => "search_many",
            Self::Bundle => "bundle",
            Self::Metadata => "metadata",
        }
    }
}

/// A search and its cost.
#[derive(Debug)]
pub struct Search {
    /// Whom it found.
    pub found: Result<Found, Failure>,
    /// HTTP requests it took: one a page.
    pub requests: u32,
}

/// A Patient read by its id.
#[derive(Debug)]
pub enum Reading {
    /// Whole, and its own identifier holds the NIK.
    Whole(Patient),
    /// The server gives only a part of it: must not be written back.
    Partial,
    /// Another Patient, or one whose own identifier does not hold the NIK (any more).
    Mismatch,
}

/// A write that went through.
#[derive(Debug)]
pub struct Written {
    /// The new version, where the server says it.
    pub version: Option<VersionId>,
}

/// Whether the server looks at what is searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canary {
    /// Nobody was found under sixteen zeros.
    Honoured,
    /// Somebody was: the server ignores the search, and nothing may be written.
    SearchIgnored,
}

/// A client of one FHIR server; shared by reference between tasks.
pub struct FhirClient {
    transport: Transport,
    pub(super) auth: Auth,
    pub(super) clock: Clock,
    timeout: Duration,
    /// Ends in a slash.
    pub(super) base: Url,
    pub(super) system: String,
    /// `identifier=SYSTEM|` percent-encoded; a NIK, being digits, goes behind it as it is.
    pub(super) identifier_query: String,
    search: FhirSearch,
    pub(super) choice: Choice,
}

impl fmt::Debug for FhirClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FhirClient")
            .field("base", &self.base.as_str())
            .field("system", &self.system)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

impl FhirClient {
    /// Makes a client; sends nothing. The clock is only asked where a server gives `Retry-After` as a date
    /// without a `Date`.
    ///
    /// # Errors
    /// A setting that cannot be used.
    pub fn new(config: &FhirConfig, transport: Transport, clock: Clock) -> Result<Self, BadConfig> {
        if config.identifier_system.trim().is_empty() {
            return Err(BadConfig::IdentifierSystem);
        }
        let base = config.base()?;
        // Separators inside a search value are escaped (FHIR R4, search, 3.1.1.4.0.1 "Escaping").
        let mut escaped = String::new();
        for c in config.identifier_system.chars() {
            if matches!(c, '\\' | ',' | '|' | '$') {
                escaped.push('\\');
            }
            escaped.push(c);
        }
        let mut query = base.clone();
        query.query_pairs_mut().append_pair("identifier", &format!("{escaped}|"));
        Ok(Self {
            transport,
            auth: Auth::new(&config.credentials)?,
            clock,
            timeout: config.timeout,
            identifier_query: query.query().unwrap_or_default().to_owned(),
            base,
            system: config.identifier_system.clone(),
            search: config.search,
            choice: Choice::new(config.write, config.batch),
        })
    }

    /// Measures each request from now on, and traces those of rows that are traced.
    #[must_use]
    pub fn watched(self, metrics: Metrics) -> Self {
        let transport = traced(measured(self.transport, metrics), &self.base);
        Self { transport, ..self }
    }

    /// Puts a newly resolved credential in the place of the one of its kind, for requests from now on; returns
    /// the new generation.
    ///
    /// # Errors
    /// A secret that no header can carry; the old one stays.
    pub fn replace_credential(&self, fresh: Credential) -> Result<u64, BadSecret> {
        self.auth.replace(fresh)
    }

    /// Counts the replacements, from 1; see [`Failure::Unauthorized`].
    pub fn credential_generation(&self) -> u64 {
        self.auth.current().generation
    }

    /// Looks for the Patient with this NIK, following `next` links on the same server, until the result is
    /// certain. Only entries with `search.mode=match` (or none) count, and each must hold the NIK itself.
    pub async fn search(&self, nik: &Nik) -> Search {
        let mut requests = 0;
        let found = self.pages(nik, &mut requests).await;
        Search { found, requests }
    }

    async fn pages(&self, nik: &Nik, requests: &mut u32) -> Result<Found, Failure> {
        let mut found = Matches::new(&self.system, nik.expose());
        let mut request = self.search_request(Operation::Search, nik)?;
        loop {
            *requests += 1;
            let (bundle, _) = self.ask(Operation::Search, request).await?;
            let Some(next) = found.take(bundle)? else { return Ok(found.found()) };
            if *requests == MAX_PAGES {
                return Err(Failure::unexpected(200, "the search result does not end after 20 pages"));
            }
            request = self.next_page(Operation::Search, &next)?;
        }
    }

    /// Reads a Patient by its id, for the person with this NIK.
    ///
    /// # Errors
    /// [`Failure::Gone`] where it was deleted, and all others.
    pub async fn read(&self, id: &PatientId, nik: &Nik) -> Result<Reading, Failure> {
        let (value, etag) = self.ask(Operation::Read, get(Operation::Read, self.patient(id)?)).await?;
        let verdict = judge(Patient::from_json(value, etag), &self.system, nik.expose());
        Ok(match verdict {
            Verdict::Whole(patient) if patient.id() == id => Reading::Whole(patient),
            Verdict::Partial(partial) if partial == *id => Reading::Partial,
            Verdict::Whole(_) | Verdict::Partial(_) | Verdict::Mismatch => Reading::Mismatch,
            Verdict::Other => return Err(Failure::unexpected(200, "a Patient without a usable id")),
        })
    }

    /// Writes a change with `PUT` or `PATCH`, provided that the Patient still has the version it was made from.
    ///
    /// # Errors
    /// [`Failure::Conflict`] where it has another; [`Failure::may_be_failed_test`] says after which others a patch
    /// may have met another telecom, and [`Failure::leaves_write_in_doubt`] after which the Patient must be read
    /// again.
    pub async fn update(&self, change: &Change) -> Result<Written, Failure> {
        let patch = self.choice.writes_by_patch();
        let (method, kind, body) = match patch {
            true => (Method::PATCH, JSON_PATCH, &change.patch),
            false => (Method::PUT, FHIR_JSON, &change.body),
        };
        let mut request = Request::new(body.clone());
        *request.method_mut() = method;
        *request.uri_mut() = self.patient(&change.id)?;
        request.extensions_mut().insert(Operation::Update);
        let headers = request.headers_mut();
        let if_match = HeaderValue::try_from(change.version.etag())
            .expect("VersionId admits visible ASCII only, which a header can carry");
        headers.insert(header::IF_MATCH, if_match);
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(PREFER, MINIMAL);
        let sent = self.send(Operation::Update, request).await;
        let (value, etag) = sent.map_err(|failure| if patch { failure.of_patch() } else { failure })?;
        let in_body = value.as_ref().and_then(|patient| patient.pointer("/meta/versionId")?.as_str());
        Ok(Written { version: in_body.and_then(VersionId::new).or(etag) })
    }

    /// Whether [`update`](Self::update) sends JSON Patches.
    pub fn writes_by_patch(&self) -> bool {
        self.choice.writes_by_patch()
    }

    /// Whether many searches may go into one.
    pub fn searches_many(&self) -> bool {
        self.choice.searches_many()
    }

    /// Whether many writes may go into one Bundle.
    pub fn writes_in_bundles(&self) -> bool {
        self.choice.writes_in_bundles()
    }

    /// Whether a setting leaves something to the CapabilityStatement, which was not read yet.
    pub fn wants_capabilities(&self) -> bool {
        self.choice.is_open()
    }

    /// Reads the CapabilityStatement, and settles by it what settings leave to the server. Where it cannot be
    /// read, the server is taken to offer nothing.
    ///
    /// # Errors
    /// Why it cannot be read; it is settled all the same.
    pub async fn learn_capabilities(&self) -> Result<(), Failure> {
        let statement = self.metadata().await;
        self.choice.settle(statement.as_ref().map_or(Offers::default(), Offers::of));
        statement.map(drop)
    }

    /// The CapabilityStatement.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub async fn metadata(&self) -> Result<Value, Failure> {
        let request = get(Operation::Metadata, uri(&format!("{}metadata", self.base))?);
        Ok(self.ask(Operation::Metadata, request).await?.0)
    }

    /// Searches a NIK that nobody can have. Any match at all, whoever it is, means that the server ignores
    /// the search.
    ///
    /// # Errors
    /// As a search.
    pub async fn canary(&self) -> Result<Canary, Failure> {
        let request = self.search_request(Operation::Canary, &Nik::impossible())?;
        let (mut bundle, _) = self.ask(Operation::Canary, request).await?;
        Ok(if matches(&mut bundle)?.is_empty() { Canary::Honoured } else { Canary::SearchIgnored })
    }

    /// How many Patients have an identifier of our system, whatever its value; nothing where the server does not tell.
    /// Nobody is named in the answer.
    ///
    /// # Errors
    /// As a search.
    pub async fn count_of_system(&self) -> Result<Option<u64>, Failure> {
        let query = format!("{}&_summary=count&_total=accurate&_count=0", self.identifier_query);
        let request = self.search_by(Operation::Canary, query)?;
        let (bundle, _) = self.ask(Operation::Canary, request).await?;
        Ok(bundle.get("total").and_then(Value::as_u64))
    }

    fn search_request(&self, operation: Operation, nik: &Nik) -> Result<Request<Bytes>, Failure> {
        self.search_by(operation, format!("{}{}", self.identifier_query, nik.expose()))
    }

    pub(super) fn next_page(&self, operation: Operation, link: &str) -> Result<Request<Bytes>, Failure> {
        Ok(strict(get(operation, self.same_server(link)?)))
    }

    pub(super) fn search_by(&self, operation: Operation, query: String) -> Result<Request<Bytes>, Failure> {
        if self.search == FhirSearch::Get {
            return Ok(strict(get(operation, uri(&format!("{}Patient?{query}", self.base))?)));
        }
        let mut request = Request::new(Bytes::from(query));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri(&format!("{}Patient/_search", self.base))?;
        request.headers_mut().insert(header::CONTENT_TYPE, FORM);
        request.extensions_mut().insert(operation);
        Ok(strict(request))
    }

    pub(super) fn patient(&self, id: &PatientId) -> Result<Uri, Failure> {
        uri(&format!("{}Patient/{id}", self.base))
    }

    /// A link of a Bundle, which may be relative. Never another server's: it would get our credentials.
    fn same_server(&self, link: &str) -> Result<Uri, Failure> {
        match self.base.join(link) {
            Ok(url) if url.origin() == self.base.origin() => {
                let mut url = url;
                url.set_fragment(None);
                uri(url.as_str())
            }
            _ => Err(Failure::unexpected(200, "the next page of the search is not on this server")),
        }
    }

    /// Sends a request whose answer must have a body.
    pub(super) async fn ask(
        &self,
        operation: Operation,
        request: Request<Bytes>,
    ) -> Result<(Value, Option<VersionId>), Failure> {
        match self.send(operation, request).await? {
            (Some(value), etag) => Ok((value, etag)),
            (None, _) => Err(Failure::transient(Transient::Broken, None)),
        }
    }

    async fn send(
        &self,
        operation: Operation,
        mut request: Request<Bytes>,
    ) -> Result<(Option<Value>, Option<VersionId>), Failure> {
        let sent = self.auth.current();
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, FHIR_JSON);
        sent.apply(headers);
        let answered = tokio::time::timeout(self.timeout, self.transport.clone().oneshot(request)).await;
        let writes = matches!(operation, Operation::Update | Operation::Bundle);
        let of_operation = |failure: Failure| if writes { failure.of_write() } else { failure };
        let response: Response<Bytes> = answered
            .map_err(|_| Failure::transient(Transient::Timeout, None))?
            .map_err(|error| of_operation(Failure::from_transport(error)))?;
        let value = answer::resource(operation, &response, &sent, self.clock.now()).map_err(of_operation)?;
        let etag = response.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok());
        Ok((value, etag.and_then(VersionId::from_etag)))
    }
}

pub(super) fn get(operation: Operation, uri: Uri) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = uri;
    request.extensions_mut().insert(operation);
    request
}

fn strict(mut request: Request<Bytes>) -> Request<Bytes> {
    request.headers_mut().insert(PREFER, STRICT);
    request
}

/// The parser's error is dropped: it could quote the text, which may have the NIK in it.
pub(super) fn uri(text: &str) -> Result<Uri, Failure> {
    text.parse().map_err(|_| Failure::unexpected(200, "an address on this server cannot be used"))
}
