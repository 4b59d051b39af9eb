//! A search Bundle's pages, judged entry by entry (FHIR R4, search, 3.1.1; Bundle.entry.search.mode).

use serde_json::Value;

use super::failure::Failure;
use super::patient::{Body, Patient, PatientId};

/// Whom a search for a NIK found.
#[derive(Debug)]
pub enum Found {
    /// Nobody has this NIK.
    None,
    /// One Patient, whole, whose own identifier holds the NIK.
    One(Patient),
    /// One Patient, but only a part of its body (or one without identifiers): read it by its id.
    Partial(PatientId),
    /// At least this many different Patients.
    Several(usize),
    /// An entry whose own identifier does not hold the NIK: the server may be ignoring the search.
    Mismatch,
}

/// A body where a certain Patient was expected.
pub(super) enum Verdict {
    Whole(Patient),
    Partial(PatientId),
    Mismatch,
    Other,
}

/// Judges a body by what it shows of itself.
pub(super) fn judge(body: Body, system: &str, nik: &str) -> Verdict {
    match body {
        Body::Other => Verdict::Other,
        Body::Partial(id) => Verdict::Partial(id),
        // Servers that give only the id do not always tag the body as SUBSETTED.
        Body::Whole(patient) if patient.identifiers().is_empty() => Verdict::Partial(patient.id().clone()),
        Body::Whole(patient) if patient.holds(system, nik) => Verdict::Whole(patient),
        Body::Whole(_) => Verdict::Mismatch,
    }
}

/// Collects the matches of one search over its pages.
pub(super) struct Matches<'a> {
    system: &'a str,
    nik: &'a str,
    first: Found,
    /// Different Patients so far; a page by offset can repeat what an earlier page had.
    ids: Vec<PatientId>,
}

impl<'a> Matches<'a> {
    pub fn new(system: &'a str, nik: &'a str) -> Self {
        Self { system, nik, first: Found::None, ids: Vec::new() }
    }

    /// Takes a page in; returns the address of the next one, if it could still change the result.
    pub fn take(&mut self, mut bundle: Value) -> Result<Option<String>, Failure> {
        for resource in matches(&mut bundle)? {
            match judge(Patient::from_json(resource, None), self.system, self.nik) {
                Verdict::Whole(patient) => self.add(patient.id().clone(), || Found::One(patient)),
                Verdict::Partial(id) => self.add(id.clone(), || Found::Partial(id)),
                Verdict::Mismatch => {
                    self.first = Found::Mismatch;
                    return Ok(None);
                }
                Verdict::Other => {
                    return Err(Failure::unexpected(200, "a search match is no Patient or has no usable id"));
                }
            }
        }
        Ok(if self.ids.len() > 1 { None } else { next_link(&bundle) })
    }

    /// The result so far.
    pub fn found(self) -> Found {
        match self.first {
            Found::Mismatch => Found::Mismatch,
            _ if self.ids.len() > 1 => Found::Several(self.ids.len()),
            first => first,
        }
    }

    fn add(&mut self, id: PatientId, found: impl FnOnce() -> Found) {
        if self.ids.is_empty() {
            self.first = found();
        }
        if !self.ids.contains(&id) {
            self.ids.push(id);
        }
    }
}

/// Takes the matching resources out of a page. Included resources are passed over; an outcome with an error
/// has been refused before the page came here.
pub(super) fn matches(bundle: &mut Value) -> Result<Vec<Value>, Failure> {
    let entries = match bundle.get_mut("entry") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(entries)) => std::mem::take(entries),
        Some(_) => return Err(Failure::unexpected(200, "the Bundle's entry is not a list")),
    };
    let mut resources = Vec::with_capacity(entries.len());
    for mut entry in entries {
        let mode = entry.pointer("/search/mode").and_then(Value::as_str);
        let kind = entry.pointer("/resource/resourceType").and_then(Value::as_str);
        // No mode counts as a match: some servers leave it out.
        if mode.is_some_and(|mode| mode != "match") || kind == Some("OperationOutcome") {
            continue;
        }
        resources.push(entry.get_mut("resource").map(Value::take).unwrap_or_default());
    }
    Ok(resources)
}

pub(super) fn next_link(bundle: &Value) -> Option<String> {
    let links = bundle.get("link")?.as_array()?;
    let next = links.iter().find(|link| link.get("relation").and_then(Value::as_str) == Some("next"))?;
    next.get("url")?.as_str().map(str::to_owned)
}
