//! PUT, JSON Patch and DELETE of one Patient, and the versions that guard them.

use std::borrow::Cow;

use axum::http::StatusCode;
use bytes::Bytes;
use json_patch::{Patch, PatchErrorKind};
use serde_json::{Map, Value};

use super::reply::Reply;
use super::store::{Absent, Written};
use super::{FhirServer, Payload};

/// What the request says about its write, beside the resource.
#[derive(Clone, Default)]
pub(crate) struct WriteTerms {
    /// `If-Match`, as sent.
    pub(crate) if_match: Option<String>,
    /// `Prefer: return=minimal`.
    pub(crate) minimal: bool,
    /// Somebody else writes first.
    pub(crate) concurrent_edit: bool,
}

impl FhirServer {
    pub(super) fn put(&self, id: &str, payload: Payload, terms: &WriteTerms) -> Reply {
        let sent = match payload {
            Payload::Resource(resource) => Ok(resource),
            Payload::Raw { body, .. } => serde_json::from_slice(&body),
        };
        let patient = match sent {
            Ok(Value::Object(patient)) => patient,
            Ok(_) => return bad_request("the body is not a JSON object"),
            // serde_json's message quotes no content, only a place.
            Err(error) => return bad_request(&format!("the body is not JSON: {error}")),
        };
        if let Err(reply) = same_patient(&patient, id, StatusCode::BAD_REQUEST) {
            return reply;
        }
        let expected = match self.expected(terms) {
            Ok(expected) => expected,
            Err(reply) => return reply,
        };
        self.before_write(id, terms);
        let written = self.store().update(id, expected, patient, Some(self.stats().epoch()));
        self.written(written, terms)
    }

    pub(super) fn patch(&self, id: &str, payload: Payload, terms: &WriteTerms) -> Reply {
        if !self.options().supports_patch {
            return not_supported("PATCH is not supported");
        }
        let Payload::Raw { body, is_json_patch: true } = payload else {
            let diagnostics = "PATCH takes application/json-patch+json";
            return Reply::outcome(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-supported", diagnostics);
        };
        let patch = match serde_json::from_slice::<Patch>(&body) {
            Ok(patch) => patch,
            Err(error) => return bad_request(&format!("the body is not a JSON Patch: {error}")),
        };
        let expected = match self.expected(terms) {
            Ok(expected) => expected,
            Err(reply) => return reply,
        };
        self.before_write(id, terms);
        loop {
            let current = match self.store().read(id) {
                Ok(current) => current,
                Err(absent) => return self.written(Err(absent), terms),
            };
            if expected.is_some_and(|version| version != current.version) {
                return self.written(Err(Absent::Stale(current.version)), terms);
            }
            let patient = match patched(&current.body, &patch, id) {
                Ok(patient) => patient,
                Err(reply) => return reply,
            };
            let epoch = Some(self.stats().epoch());
            match self.store().update(id, Some(current.version), patient, epoch) {
                // Another write came between the read and this one, and this one named no version.
                Err(Absent::Stale(_)) if expected.is_none() => {}
                written => {
                    if written.is_ok() {
                        crate::stats::count(&self.stats().patches);
                    }
                    return self.written(written, terms);
                }
            }
        }
    }

    pub(super) fn delete(&self, id: &str, terms: &WriteTerms) -> Reply {
        let expected = match self.expected(terms) {
            Ok(expected) => expected,
            Err(reply) => return reply,
        };
        self.before_write(id, terms);
        match self.store().delete(id, expected, self.stats().epoch()) {
            Ok(written) => {
                self.stats().written(written.first, terms.if_match.is_some());
                Reply::outcome(StatusCode::OK, "informational", "deleted")
            }
            // Deleting what is deleted is done already (FHIR R4, http.html#delete).
            Err(Absent::Deleted) => Reply::resource(StatusCode::NO_CONTENT, Bytes::new()),
            Err(absent) => self.written(Err(absent), terms),
        }
    }

    /// The version in `If-Match`; one that is no version of ours matches none.
    fn expected(&self, terms: &WriteTerms) -> Result<Option<u32>, Reply> {
        let Some(sent) = terms.if_match.as_deref() else { return Ok(None) };
        let tag = sent.trim();
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        match tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) {
            _ if self.faults().plan.ignore_if_match => Ok(None),
            Some(version) => Ok(Some(version.parse().unwrap_or(0))),
            None => Err(bad_request("If-Match is not an entity tag")),
        }
    }

    fn before_write(&self, id: &str, terms: &WriteTerms) {
        if terms.concurrent_edit {
            self.store().touch(id);
        }
    }

    fn written(&self, written: Result<Written, Absent>, terms: &WriteTerms) -> Reply {
        match written {
            Ok(written) => {
                self.stats().written(written.first, terms.if_match.is_some());
                Reply::patient(StatusCode::OK, written.stored, terms.minimal)
            }
            Err(Absent::Stale(current)) => {
                crate::stats::count(&self.stats().conflicts_412);
                let diagnostics = format!("the current version is {current}");
                Reply::outcome(StatusCode::PRECONDITION_FAILED, "conflict", &diagnostics)
            }
            Err(Absent::Deleted) => gone(),
            // FHIR R4, http.html#upsert: no client-defined ids.
            Err(Absent::Unknown) => not_supported("no such Patient, and updates do not create"),
        }
    }
}

pub(super) fn gone() -> Reply {
    Reply::outcome(StatusCode::GONE, "deleted", "the Patient is deleted")
}

fn bad_request(diagnostics: &str) -> Reply {
    Reply::outcome(StatusCode::BAD_REQUEST, "invalid", diagnostics)
}

fn not_supported(diagnostics: &str) -> Reply {
    Reply::outcome(StatusCode::METHOD_NOT_ALLOWED, "not-supported", diagnostics)
}

fn same_patient(patient: &Map<String, Value>, id: &str, status: StatusCode) -> Result<(), Reply> {
    let text = |field: &str| patient.get(field).and_then(Value::as_str);
    if text("resourceType") != Some("Patient") {
        return Err(Reply::outcome(status, "invalid", "the resource is not a Patient"));
    }
    match text("id") {
        Some(sent) if sent == id => Ok(()),
        Some(_) => Err(Reply::outcome(status, "invalid", "the resource's id is not the one in the URL")),
        None => Err(Reply::outcome(status, "invalid", "the resource has no id")),
    }
}

fn patched(body: &Bytes, patch: &Patch, id: &str) -> Result<Map<String, Value>, Reply> {
    let unprocessable = |diagnostics: Cow<'_, str>| {
        Reply::outcome(StatusCode::UNPROCESSABLE_ENTITY, "processing", &diagnostics)
    };
    let mut patient = serde_json::from_slice::<Value>(body)
        .map_err(|error| unprocessable(format!("the stored resource is not JSON: {error}").into()))?;
    json_patch::patch(&mut patient, patch).map_err(|error| {
        let what = match error.kind {
            PatchErrorKind::TestFailed => "a test operation failed",
            _ => "an operation's path does not exist",
        };
        unprocessable(format!("operation {}: {what}", error.operation).into())
    })?;
    let Value::Object(patient) = patient else {
        return Err(unprocessable("the result is not a JSON object".into()));
    };
    same_patient(&patient, id, StatusCode::UNPROCESSABLE_ENTITY)?;
    Ok(patient)
}
