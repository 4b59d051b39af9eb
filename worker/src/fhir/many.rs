//! Many rows in one request: a search with many identifiers, and a Bundle of type `batch` with many writes.
//!
//! A row gets an answer here only where the server certainly gave one. Where it did not, the row has to ask
//! alone, and that is said instead.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header;
use http::{Method, Request, Response};
use serde_json::{Value, json};
use shared::domain::Nik;

use super::answer;
use super::auth::Sent;
use super::client::{FhirClient, Operation, Written};
use super::failure::Failure;
use super::patient::{Body, Patient, VersionId};
use super::search::{matches, next_link};
use super::telecom::Change;

/// Most pages of one search for many that are looked at.
const MAX_PAGES: u32 = 20;
/// A request for as many that is too large for the server will not do.
pub(super) const FEWEST: usize = 2;

/// A search for many, and its cost.
#[derive(Debug)]
pub struct SearchMany {
    /// In the order asked, whoever was certainly found, and found once. None: search this NIK alone.
    pub found: Result<Vec<Option<Patient>>, Failure>,
    /// HTTP requests it took: one a page.
    pub requests: u32,
}

/// What a Bundle's answer says of one write. None: nothing; read the Patient again.
pub type Entry = Option<Result<Written, Failure>>;

impl FhirClient {
    /// Looks for the Patients of many NIKs.
    ///
    /// A server may cut a result short without a word, and the twin of a Patient that was found may be in the part
    /// that is missing. So nothing at all counts as found unless the server says how many there are, all of them
    /// came, and each can be told to be one of those asked for.
    pub async fn search_many(&self, niks: &[Nik]) -> SearchMany {
        let mut requests = 0;
        let found = self.pages_of_many(niks, &mut requests).await;
        match &found {
            Ok(told) => self.choice.note_search_of_many(told.is_some()),
            // With fewer it may be taken.
            Err(failure) if failure.is_too_large() && niks.len() > FEWEST => {}
            Err(failure) if failure.is_for_the_request() => self.choice.note_search_of_many(false),
            Err(_) => {}
        }
        let nobody = || niks.iter().map(|_| None).collect();
        SearchMany { found: found.map(|found| found.unwrap_or_else(nobody)), requests }
    }

    /// None: not everything came, or not everything that came can be told to be whose.
    async fn pages_of_many(
        &self,
        niks: &[Nik],
        requests: &mut u32,
    ) -> Result<Option<Vec<Option<Patient>>>, Failure> {
        let mut slots: Vec<Slot> = niks.iter().map(|_| Slot::Empty).collect();
        let mut request = self.search_many_request(niks)?;
        let (mut total, mut came) = (None, 0);
        loop {
            *requests += 1;
            let (mut bundle, _) = self.ask(Operation::SearchMany, request).await?;
            total = total.or_else(|| bundle.get("total").and_then(Value::as_u64));
            for resource in matches(&mut bundle)? {
                came += 1;
                let Body::Whole(patient) = Patient::from_json(resource, None) else { return Ok(None) };
                let mut whose = (0..niks.len()).filter(|&at| patient.holds(&self.system, niks[at].expose()));
                let Some(at) = whose.next() else { return Ok(None) };
                // One Patient with two of the NIKs: each of its rows must see it for itself.
                if whose.next().is_some() {
                    return Ok(None);
                }
                slots[at] = match std::mem::replace(&mut slots[at], Slot::Several) {
                    Slot::Empty => Slot::One(patient),
                    _ => Slot::Several,
                };
            }
            let Some(next) = next_link(&bundle) else { break };
            if *requests == MAX_PAGES {
                return Ok(None);
            }
            request = self.next_page(Operation::SearchMany, &next)?;
        }
        let one = |slot| if let Slot::One(patient) = slot { Some(patient) } else { None };
        Ok((total == Some(came)).then(|| slots.into_iter().map(one).collect()))
    }

    /// Writes many changes with one Bundle, each provided that its Patient still has the version it was made from.
    /// No Patient may be in it twice.
    ///
    /// # Errors
    /// The Bundle was not taken, or its answer was lost: unless [`Failure::of_each`] says that it holds for every
    /// row, each Patient must be read again.
    pub async fn update_many(&self, changes: &[Change]) -> Result<Vec<Entry>, Failure> {
        self.update_with(changes, None).await
    }

    /// [`update_many`](Self::update_many), with a search in front of the writes that finds nobody. R4 has the server
    /// carry it out last, and answer it first.
    pub(super) async fn update_with(
        &self,
        changes: &[Change],
        canary: Option<&str>,
    ) -> Result<Vec<Entry>, Failure> {
        let patch = self.choice.writes_by_patch();
        let mut request = Request::new(bundle(changes, patch, canary));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = super::client::uri(self.base.as_str().trim_end_matches('/'))?;
        request.extensions_mut().insert(Operation::Bundle);
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, super::client::FHIR_JSON);
        headers.insert(super::client::PREFER, super::client::MINIMAL);
        let sent = self.auth.current();
        let answered = self.ask(Operation::Bundle, request).await;
        if let Err(failure) = &answered
            && failure.is_for_the_request()
            && !(failure.is_too_large() && changes.len() > FEWEST)
        {
            self.choice.refuse_bundles(failure);
        }
        let (mut response, _) = answered?;
        let mut entries = match response.get_mut("entry") {
            Some(Value::Array(entries)) => std::mem::take(entries),
            _ => Vec::new(),
        };
        let nothing = || Ok(changes.iter().map(|_| None).collect());
        // Answers come in the order of the questions (FHIR R4, http.html#transaction-response); if one is missing,
        // nothing says which.
        if entries.len() != changes.len() + usize::from(canary.is_some()) {
            self.choice.distrust_bundles("there are not as many answers as entries");
            return nothing();
        }
        let is_of_search = |entry: &Value| entry.pointer("/resource/resourceType") == Some(&"Bundle".into());
        if canary.is_some() {
            let first = entries.remove(0);
            // A server without searches in Bundles refuses it there.
            let refused = first.pointer("/response/status").and_then(Value::as_str);
            let refused = refused.is_some_and(|status| status.starts_with(['4', '5']));
            if !(is_of_search(&first) || refused) || entries.iter().any(is_of_search) {
                self.choice.distrust_bundles("the answers are not in the entries' order");
                return nothing();
            }
        }
        let read = |(entry, change): (Value, &Change)| self.entry(entry, change, patch, &sent);
        Ok(entries.into_iter().zip(changes).map(read).collect())
    }

    fn entry(&self, mut entry: Value, change: &Change, patch: bool, sent: &Sent) -> Entry {
        let resource = entry.get_mut("resource").map(Value::take);
        let mut said = entry.get_mut("response")?.take();
        // A server that says where it wrote must say our Patient.
        let location = said.get("location").and_then(Value::as_str);
        if location.is_some_and(|location| !names(location, change)) {
            self.choice.distrust_bundles("an entry's answer is about another Patient");
            return None;
        }
        let status: u16 = said.get("status")?.as_str()?.get(..3)?.parse().ok()?;
        let etag = said.get("etag").and_then(Value::as_str).map(str::to_owned);
        let body = said.get_mut("outcome").map(Value::take).filter(|outcome| !outcome.is_null()).or(resource);
        let body = body.filter(|body| !body.is_null()).map_or(Bytes::new(), |body| body.to_string().into());
        let response = Response::builder().status(status).body(body).ok()?;
        let now = self.clock.now();
        match answer::resource(Operation::Update, &response, sent, now) {
            // Carried out, it would be another: an answer without effect.
            Ok(_) if etag.as_deref().and_then(VersionId::from_etag).as_ref() == Some(&change.version) => None,
            Ok(value) => {
                let in_body = value.as_ref().and_then(|it| it.pointer("/meta/versionId")?.as_str());
                let etag = etag.as_deref().and_then(VersionId::from_etag);
                Some(Ok(Written { version: in_body.and_then(VersionId::new).or(etag) }))
            }
            Err(failure) if patch => match failure.of_patch() {
                Failure::Forbidden { status: 405 | 415 | 501, .. } => {
                    self.choice.refuse_patches_in_bundles();
                    None
                }
                failure => Some(Err(failure)),
            },
            Err(failure) => Some(Err(failure)),
        }
    }

    fn search_many_request(&self, niks: &[Nik]) -> Result<Request<Bytes>, Failure> {
        let (name, system) = self.identifier_query.split_once('=').unwrap_or(("identifier", ""));
        let tokens: Vec<String> = niks.iter().map(|nik| format!("{system}{}", nik.expose())).collect();
        // Room for everybody and a twin each on one page.
        let query = format!("{name}={}&_count={}&_total=accurate", tokens.join("%2C"), niks.len() * 2);
        self.search_by(Operation::SearchMany, query)
    }
}

enum Slot {
    Empty,
    One(Patient),
    Several,
}

/// Whether a location, absolute or not, with or without a version, is the changed Patient's.
fn names(location: &str, change: &Change) -> bool {
    let mut parts = location.split('/').skip_while(|part| *part != "Patient").skip(1);
    parts.next() == Some(change.id.as_str())
}

/// A Bundle of these writes. Bodies go in as they are, so that a Bundle loses nothing that a `PUT` would not.
fn bundle(changes: &[Change], patch: bool, canary: Option<&str>) -> Bytes {
    let mut out = Vec::with_capacity(changes.iter().map(|change| change.body.len() + 200).sum());
    out.extend_from_slice(br#"{"resourceType":"Bundle","type":"batch","entry":["#);
    if let Some(url) = canary {
        let entry = json!({ "request": { "method": "GET", "url": url } });
        out.extend_from_slice(entry.to_string().as_bytes());
    }
    for (at, change) in changes.iter().enumerate() {
        if at > 0 || canary.is_some() {
            out.push(b',');
        }
        out.extend_from_slice(br#"{"resource":"#);
        if patch {
            // FHIR R4, http.html#patch: in a Bundle a patch travels as a Binary.
            let binary = json!({
                "resourceType": "Binary",
                "contentType": "application/json-patch+json",
                "data": STANDARD.encode(&change.patch),
            });
            out.extend_from_slice(binary.to_string().as_bytes());
        } else {
            out.extend_from_slice(&change.body);
        }
        let request = json!({
            "method": if patch { "PATCH" } else { "PUT" },
            "url": format!("Patient/{}", change.id),
            "ifMatch": change.version.etag(),
        });
        out.extend_from_slice(br#","request":"#);
        out.extend_from_slice(request.to_string().as_bytes());
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    out.into()
}
