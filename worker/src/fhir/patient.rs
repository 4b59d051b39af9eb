//! One Patient as the server gave it: identity, version, and whether it may be written back at all.
//!
//! The telecom rules are in `telecom`.

use std::fmt;

use serde_json::{Map, Value};

/// A Patient's logical id. Opaque; servers may use more than FHIR's own alphabet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PatientId(String);

impl PatientId {
    /// Takes an id of 1 to 256 visible ASCII characters that is a path segment of its own: no `/`, `?`, `#`,
    /// `%`, `\`, and neither `.` nor `..`.
    pub fn new(id: impl Into<String>) -> Option<Self> {
        let id = id.into();
        let fits = (1..=256).contains(&id.len()) && id != "." && id != "..";
        let plain = id.bytes().all(|b| b.is_ascii_graphic() && !br#"/?#%\<>"{}|^`"#.contains(&b));
        (fits && plain).then_some(Self(id))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PatientId {
    /// The id as a report may show it: some servers use the NIK as id.
    pub fn shown(&self) -> String {
        shown(&self.0)
    }
}

impl fmt::Display for PatientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A resource's version: opaque text, not a number (UUIDs and others are seen).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VersionId(String);

impl VersionId {
    /// Takes what an entity tag can hold (RFC 9110, section 8.8.3): visible ASCII without a double quote.
    pub fn new(version: impl Into<String>) -> Option<Self> {
        let version = version.into();
        let fits = !version.is_empty() && version.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
        fits.then_some(Self(version))
    }

    /// Reads an `ETag` header: `W/"3"`, or `"3"`.
    pub fn from_etag(etag: &str) -> Option<Self> {
        let etag = etag.trim();
        let quoted = etag.strip_prefix("W/").unwrap_or(etag);
        Self::new(quoted.strip_prefix('"')?.strip_suffix('"')?)
    }

    /// The version as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As `If-Match` wants it: `W/"3"`.
    pub(super) fn etag(&self) -> String {
        format!("W/\"{}\"", self.0)
    }
}

/// A whole Patient, with an id and a version: fit to be edited and written back.
pub struct Patient {
    id: PatientId,
    version: VersionId,
    resource: Map<String, Value>,
}

impl fmt::Debug for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patient")
            .field("id", &self.id)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// What a JSON value turns out to be where a Patient was expected.
#[derive(Debug)]
pub enum Body {
    /// A Patient that may be edited.
    Whole(Patient),
    /// A Patient that must not be written back: see [`Patient::from_json`].
    Partial(PatientId),
    /// Another resource, or a Patient without a usable id.
    Other,
}

/// Why a Patient must not get a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inactive {
    /// The Patient that took its place, as the server refers to it.
    pub successor: Option<String>,
}

impl fmt::Display for Inactive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.successor {
            Some(successor) => write!(f, "replaced by {successor}"),
            None => f.write_str("not active"),
        }
    }
}

impl Patient {
    /// Judges a resource. The version is `meta.versionId`, else the one from the answer's `ETag`.
    ///
    /// Partial, because writing it back would destroy what the server holds:
    /// - tagged or labelled `SUBSETTED`, `REDACTED`, `MASKED`, `ANONYED` or `PSEUDED`
    ///   (<http://terminology.hl7.org/CodeSystem/v3-ObservationValue>);
    /// - `***` in any string outside the narrative;
    /// - no version, so that a change in between would not be noticed;
    /// - a `telecom` that is not a list of objects.
    pub fn from_json(resource: Value, etag: Option<VersionId>) -> Body {
        let Value::Object(resource) = resource else { return Body::Other };
        if resource.get("resourceType").and_then(Value::as_str) != Some("Patient") {
            return Body::Other;
        }
        let Some(id) = resource.get("id").and_then(Value::as_str).and_then(PatientId::new) else {
            return Body::Other;
        };
        let meta = resource.get("meta");
        let version = meta
            .and_then(|meta| meta.get("versionId"))
            .and_then(Value::as_str)
            .and_then(VersionId::new)
            .or(etag);
        let Some(version) = version else { return Body::Partial(id) };
        if meta.is_some_and(is_reduced) || is_masked(&resource) || !has_usable_telecom(&resource) {
            return Body::Partial(id);
        }
        Body::Whole(Self { id, version, resource })
    }

    /// The logical id.
    pub fn id(&self) -> &PatientId {
        &self.id
    }

    /// The version this body is of.
    pub fn version(&self) -> &VersionId {
        &self.version
    }

    /// The resource as it came.
    pub fn resource(&self) -> &Map<String, Value> {
        &self.resource
    }

    /// Whether `identifier` holds exactly this system and value.
    ///
    /// An identifier with `use=old` or a past period counts: a NIK belongs to one person for life, and a NIK
    /// that a clerk has retired on this Patient still says whose record it is.
    pub fn holds(&self, system: &str, value: &str) -> bool {
        let field = |identifier: &Value, key: &str, wanted: &str| {
            identifier.get(key).and_then(Value::as_str) == Some(wanted)
        };
        self.identifiers().iter().any(|it| field(it, "system", system) && field(it, "value", value))
    }

    /// The identifiers; empty where the body has none.
    pub(super) fn identifiers(&self) -> &[Value] {
        self.resource.get("identifier").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Says why this Patient must not be written: `active` is false, or a `link` of type `replaced-by`.
    /// Long digit runs in the successor's reference are masked, should a server use NIKs as ids.
    pub fn inactive(&self) -> Option<Inactive> {
        let links = self.resource.get("link").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let replaced =
            links.iter().find(|link| link.get("type").and_then(Value::as_str) == Some("replaced-by"));
        let dead = self.resource.get("active") == Some(&Value::Bool(false));
        if replaced.is_none() && !dead {
            return None;
        }
        let reference = replaced.and_then(|link| link.pointer("/other/reference")?.as_str());
        Some(Inactive { successor: reference.map(shown) })
    }
}

/// A reference fit for a report: short, printable, without a NIK.
fn shown(reference: &str) -> String {
    let mut out = String::new();
    for part in reference.split_inclusive(|c: char| !c.is_ascii_digit()) {
        let digits = part.trim_end_matches(|c: char| !c.is_ascii_digit());
        if digits.len() >= 16 {
            out.push_str("***");
            out.push_str(&part[digits.len()..]);
        } else {
            out.push_str(part);
        }
    }
    out.chars().filter(|c| !c.is_control()).take(200).collect()
}

fn is_reduced(meta: &Value) -> bool {
    ["tag", "security"].iter().any(|key| {
        meta.get(key).and_then(Value::as_array).is_some_and(|codings| {
            codings.iter().any(|coding| {
                matches!(
                    coding.get("code").and_then(Value::as_str),
                    Some("SUBSETTED" | "REDACTED" | "MASKED" | "ANONYED" | "PSEUDED")
                )
            })
        })
    })
}

/// The narrative is left out: it is prose, and servers rebuild it.
fn is_masked(resource: &Map<String, Value>) -> bool {
    resource.iter().any(|(key, value)| key != "text" && has_mask(value))
}

fn has_mask(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("***"),
        Value::Array(items) => items.iter().any(has_mask),
        Value::Object(object) => object.values().any(has_mask),
        _ => false,
    }
}

fn has_usable_telecom(resource: &Map<String, Value>) -> bool {
    match resource.get("telecom") {
        None | Some(Value::Null) => true,
        Some(Value::Array(entries)) => entries.iter().all(Value::is_object),
        Some(_) => false,
    }
}
