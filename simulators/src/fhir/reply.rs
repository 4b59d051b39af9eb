//! An answer of the FHIR service before it becomes an HTTP response or an entry of a Bundle.

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue, LAST_MODIFIED, RETRY_AFTER};
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::body::DribblingBody;
use crate::clock::{http_date, instant_text};

use super::injection::{Injection, Refusal};
use super::store::Stored;

const FHIR_JSON: HeaderValue = HeaderValue::from_static("application/fhir+json; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// One answer.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    content_type: HeaderValue,
    pub(crate) body: Bytes,
    version: Option<u32>,
    modified_ms: Option<i64>,
    retry_after: Option<u64>,
}

impl Reply {
    /// A resource or Bundle.
    pub(crate) fn resource(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self { status, content_type: FHIR_JSON, body, version: None, modified_ms: None, retry_after: None }
    }

    /// A Patient with its version; `minimal` leaves the body out (FHIR R4, http.html#ops).
    pub(crate) fn patient(status: StatusCode, stored: Stored, minimal: bool) -> Self {
        let body = if minimal { Bytes::new() } else { stored.body };
        Self {
            version: Some(stored.version),
            modified_ms: Some(stored.modified_ms),
            ..Self::resource(status, body)
        }
    }

    /// An OperationOutcome with one issue; `code` is from the value set issue-type.
    pub(crate) fn outcome(status: StatusCode, code: &str, diagnostics: &str) -> Self {
        let severity = if status.is_success() { "information" } else { "error" };
        Self::outcome_of(status, severity, code, diagnostics)
    }

    /// An error inside a success.
    pub(crate) fn error_in_200() -> Self {
        Self::outcome_of(StatusCode::OK, "error", "exception", "the upstream registry failed")
    }

    fn outcome_of(status: StatusCode, severity: &str, code: &str, diagnostics: &str) -> Self {
        let outcome = json!({
            "resourceType": "OperationOutcome",
            "issue": [{ "severity": severity, "code": code, "diagnostics": diagnostics }],
        });
        Self::resource(status, outcome.to_string())
    }

    /// The answer of a limit that is used up.
    pub(crate) fn too_many(retry_after: Option<u64>) -> Self {
        let reply = Self::outcome(StatusCode::TOO_MANY_REQUESTS, "throttled", "too many requests");
        Self { retry_after, ..reply }
    }

    /// An injected answer.
    pub(crate) fn refusal(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let reply = match refusal.body {
            None => {
                let code = match status.as_u16() {
                    401 => "login",
                    403 => "forbidden",
                    404 => "not-found",
                    409 => "conflict",
                    429 => "throttled",
                    400 | 422 => "processing",
                    _ => "transient",
                };
                Self::outcome(status, code, "injected by the fault plan")
            }
            Some(Value::String(text)) => {
                Self { content_type: TEXT, ..Self::resource(status, text.into_bytes()) }
            }
            Some(body) => Self { content_type: JSON, ..Self::resource(status, body.to_string()) },
        };
        Self { retry_after: refusal.retry_after, ..reply }
    }

    /// The HTTP response, with its body delivered as the injection says.
    pub(crate) fn into_response(self, injection: &Injection) -> Response<Body> {
        let length = self.body.len();
        let body = if injection.truncated_body {
            Body::new(DribblingBody::truncated(self.body))
        } else if let Some(over) = injection.slow_body {
            Body::new(DribblingBody::slow(self.body, over))
        } else {
            Body::from(self.body)
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if length > 0 {
            headers.insert(CONTENT_TYPE, self.content_type);
        }
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        if let Some(version) = self.version {
            headers.insert(ETAG, text_header(&etag(version)));
        }
        if let Some(ms) = self.modified_ms {
            headers.insert(LAST_MODIFIED, text_header(&http_date(ms)));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// An entry of a batch-response, appended as JSON.
    pub(crate) fn write_entry(&self, out: &mut Vec<u8>, location: Option<&str>) {
        let reason = self.status.canonical_reason().unwrap_or("");
        let mut response = json!({ "status": format!("{} {reason}", self.status.as_u16()) });
        if let Some(location) = location {
            response["location"] = location.into();
        }
        if let Some(version) = self.version {
            response["etag"] = Value::String(etag(version));
        }
        if let Some(ms) = self.modified_ms {
            response["lastModified"] = Value::String(instant_text(ms));
        }
        let is_json = self.content_type != TEXT && !self.body.is_empty();
        out.extend_from_slice(b"{");
        if is_json && self.status.is_success() {
            out.extend_from_slice(b"\"resource\":");
            out.extend_from_slice(&self.body);
            out.extend_from_slice(b",");
        }
        let response = response.to_string();
        out.extend_from_slice(b"\"response\":");
        if is_json && !self.status.is_success() {
            out.extend_from_slice(&response.as_bytes()[..response.len() - 1]);
            out.extend_from_slice(b",\"outcome\":");
            out.extend_from_slice(&self.body);
            out.extend_from_slice(b"}");
        } else {
            out.extend_from_slice(response.as_bytes());
        }
        out.extend_from_slice(b"}");
    }
}

/// A version as an entity tag; weak, as in FHIR R4 (http.html#concurrency).
pub(crate) fn etag(version: u32) -> String {
    format!("W/\"{version}\"")
}

fn text_header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits, letters, quotes and spaces are legal in a header")
}
