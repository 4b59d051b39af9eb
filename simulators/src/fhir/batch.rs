//! Bundles of type `batch`: independent entries, each answered on its own.

use axum::http::{Method, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::faults::BatchLie;
use crate::operation::Operation;

use super::reply::Reply;
use super::route::Interaction;
use super::store::Stored;
use super::write::WriteTerms;
use super::{FhirServer, Payload};

#[derive(Deserialize)]
struct Bundle {
    #[serde(rename = "resourceType")]
    resource_type: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    entry: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    resource: Option<Value>,
    #[serde(default)]
    request: Option<EntryRequest>,
}

#[derive(Deserialize)]
struct EntryRequest {
    method: String,
    url: String,
    #[serde(rename = "ifMatch")]
    if_match: Option<String>,
}

impl FhirServer {
    pub(super) fn batch(&self, payload: Payload, base: &str, minimal: bool, strict: bool) -> Reply {
        let invalid = |diagnostics: &str| Reply::outcome(StatusCode::BAD_REQUEST, "invalid", diagnostics);
        if !self.options().supports_batch {
            return Reply::outcome(StatusCode::METHOD_NOT_ALLOWED, "not-supported", "no batch here");
        }
        let Payload::Raw { body, .. } = payload else { return invalid("no Bundle inside a Bundle") };
        let bundle = match serde_json::from_slice::<Bundle>(&body) {
            Ok(bundle) if bundle.resource_type == "Bundle" && bundle.kind == "batch" => bundle,
            Ok(_) => return invalid("only a Bundle of type batch is processed"),
            Err(error) => return invalid(&format!("the body is not a Bundle: {error}")),
        };
        let faults = self.faults();
        let plan = &faults.plan;
        if plan.largest_batch.is_some_and(|largest| bundle.entry.len() > largest) {
            return Reply::outcome(StatusCode::PAYLOAD_TOO_LARGE, "too-costly", "too many entries");
        }
        let of = |entry: &Entry| entry.request.as_ref().map_or(String::new(), |request| request.url.clone());
        let mut urls: Vec<String> = bundle.entry.iter().map(of).collect();
        // Never the search that some clients put in front.
        let unapplied = (plan.batch_lie == Some(BatchLie::Unapplied)).then_some(bundle.entry.len() / 2);
        let mut entries = bundle.entry.into_iter().enumerate().collect::<Vec<_>>();
        // FHIR R4, http.html#trules: DELETE, POST, PUT and PATCH, GET. The sort is stable.
        entries.sort_by_key(|(_, entry)| {
            match entry.request.as_ref().map(|request| request.method.as_str()) {
                Some("DELETE") => 0,
                Some("POST") => 1,
                Some("PUT" | "PATCH") => 2,
                _ => 3,
            }
        });
        let mut replies = entries
            .into_iter()
            .map(|(at, entry)| (at, self.entry(entry, base, minimal, strict, unapplied == Some(at))))
            .collect::<Vec<_>>();
        replies.sort_by_key(|(at, _)| *at);
        match plan.batch_lie {
            Some(BatchLie::Reversed) => replies.reverse(),
            Some(BatchLie::Another) => urls.rotate_left(1),
            Some(BatchLie::Unapplied) | None => {}
        }
        let locates = plan.batch_lie == Some(BatchLie::Another);
        let mut out = Vec::with_capacity(128 + replies.len() * 1600);
        out.extend_from_slice(br#"{"resourceType":"Bundle","type":"batch-response","entry":["#);
        let shown = replies.iter().filter(|_| !faults.drops_entry());
        for (at, (number, reply)) in shown.enumerate() {
            if at > 0 {
                out.push(b',');
            }
            reply.write_entry(&mut out, locates.then(|| urls[*number].as_str()));
        }
        out.extend_from_slice(b"]}");
        Reply::resource(StatusCode::OK, out)
    }

    fn entry(&self, entry: Entry, base: &str, minimal: bool, strict: bool, unapplied: bool) -> Reply {
        let invalid = |diagnostics: &str| Reply::outcome(StatusCode::BAD_REQUEST, "invalid", diagnostics);
        let Some(request) = entry.request else { return invalid("the entry has no request") };
        let Ok(method) = Method::from_bytes(request.method.as_bytes()) else {
            return invalid("the entry's method is none");
        };
        let url = request.url.strip_prefix(base).unwrap_or(&request.url);
        let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
        let interaction = Interaction::of(&method, path.trim_start_matches('/'), query);
        let operation = interaction.operation();
        let niks = self.niks_of(&interaction);
        let no_patch =
            matches!(interaction, Interaction::Patch(_)) && !self.options().supports_patch_in_batch;
        let reply = match self.faults().draw_entry(operation, &niks) {
            _ if no_patch => {
                Reply::outcome(StatusCode::NOT_IMPLEMENTED, "not-supported", "no PATCH in a batch")
            }
            Some(refusal) => Reply::refusal(refusal),
            None if unapplied && operation == Operation::Write => self.as_if_written(&interaction),
            None => {
                let concurrent_edit = operation == Operation::Write && self.faults().edits_before_entry();
                let terms = WriteTerms { if_match: request.if_match, minimal, concurrent_edit };
                match payload_of(entry.resource, &interaction) {
                    Ok(payload) => self.perform(interaction, payload, &terms, base, strict),
                    Err(diagnostics) => invalid(diagnostics),
                }
            }
        };
        let status = reply.status.as_u16();
        self.stats().entry_answered(operation, status);
        self.stats().log_watched(&niks, self.stats().elapsed_ms(), operation, status);
        reply
    }
}

impl FhirServer {
    /// The answer to a write that does not take place.
    fn as_if_written(&self, interaction: &Interaction) -> Reply {
        match interaction.id().map(|id| self.store().read(id)) {
            Some(Ok(stored)) => {
                let version = stored.version + 1;
                Reply::patient(StatusCode::OK, Stored { version, ..stored }, true)
            }
            _ => Reply::outcome(StatusCode::NOT_FOUND, "not-found", "no such Patient"),
        }
    }
}

/// A patch travels as a Binary (FHIR R4, http.html#patch).
fn payload_of(resource: Option<Value>, interaction: &Interaction) -> Result<Payload, &'static str> {
    match (interaction, resource) {
        (Interaction::Batch | Interaction::SearchByForm, _) => Err("not inside a Bundle"),
        (Interaction::Patch(_), Some(binary)) => {
            let data = binary["data"].as_str().and_then(|data| STANDARD.decode(data).ok());
            let is_json_patch = binary["contentType"].as_str() == Some("application/json-patch+json");
            let body = data.ok_or("the Binary's data is not base64")?.into();
            Ok(Payload::Raw { body, is_json_patch })
        }
        (_, Some(resource)) => Ok(Payload::Resource(resource)),
        (_, None) => Ok(Payload::Raw { body: Bytes::new(), is_json_patch: false }),
    }
}
