//! From a method and a path to the interaction that is meant, for HTTP requests and Bundle entries alike.

use axum::http::Method;

use crate::operation::Operation;

use super::search::Search;

/// What a request asks for. Paths are relative to the base URL.
pub(crate) enum Interaction {
    Metadata,
    Search(Search),
    /// `POST Patient/_search`: the parameters are in the body.
    SearchByForm,
    Read(String),
    Update(String),
    Patch(String),
    Delete(String),
    Batch,
    /// A path that is served, with a method that is not.
    NotAllowed,
    Unknown,
}

impl Interaction {
    /// `path` without its leading slash.
    pub(crate) fn of(method: &Method, path: &str, query: Option<&str>) -> Self {
        let query = query.unwrap_or("");
        match path.strip_suffix('/').unwrap_or(path) {
            "" if *method == Method::POST => Self::Batch,
            "metadata" if *method == Method::GET => Self::Metadata,
            "Patient" if *method == Method::GET => Self::Search(Search::parse(query.as_bytes())),
            "Patient/_search" if *method == Method::POST => Self::SearchByForm,
            "" | "metadata" | "Patient" | "Patient/_search" => Self::NotAllowed,
            path => match path.strip_prefix("Patient/") {
                Some(id) if is_id(id) => match method.as_str() {
                    "GET" => Self::Read(id.to_owned()),
                    "PUT" => Self::Update(id.to_owned()),
                    "PATCH" => Self::Patch(id.to_owned()),
                    "DELETE" => Self::Delete(id.to_owned()),
                    _ => Self::NotAllowed,
                },
                _ => Self::Unknown,
            },
        }
    }

    pub(crate) fn operation(&self) -> Operation {
        match self {
            Self::Metadata => Operation::Metadata,
            Self::Search(_) | Self::SearchByForm => Operation::Search,
            Self::Read(_) => Operation::Read,
            Self::Update(_) | Self::Patch(_) | Self::Delete(_) => Operation::Write,
            Self::Batch => Operation::Batch,
            Self::NotAllowed | Self::Unknown => Operation::Other,
        }
    }

    /// The Patient id in the path.
    pub(crate) fn id(&self) -> Option<&str> {
        match self {
            Self::Read(id) | Self::Update(id) | Self::Patch(id) | Self::Delete(id) => Some(id),
            _ => None,
        }
    }
}

/// FHIR R4, datatypes: `[A-Za-z0-9\-\.]{1,64}`.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
}
