//! The errors of Google's APIs, with the bodies recorded from the real ones.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Response, StatusCode};
use serde_json::{Value, json};

/// An error with `error.code`, `error.message` and `error.status`, and `error.details` where there are some.
pub(crate) fn error(code: StatusCode, message: &str, status: &str, details: Option<Value>) -> Response<Body> {
    let mut body = json!({ "error": { "code": code.as_u16(), "message": message, "status": status } });
    if let Some(details) = details {
        body["error"]["details"] = details;
    }
    json_answer(code, &body)
}

pub(crate) fn json_answer(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=UTF-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

pub(crate) fn invalid_argument(message: &str) -> Response<Body> {
    error(StatusCode::BAD_REQUEST, message, "INVALID_ARGUMENT", None)
}

pub(crate) fn not_found() -> Response<Body> {
    error(StatusCode::NOT_FOUND, "Requested entity was not found.", "NOT_FOUND", None)
}

pub(crate) fn unauthenticated(has_token: bool) -> Response<Body> {
    let what = if has_token {
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other \
         valid authentication credential."
    } else {
        "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or \
         other valid authentication credential."
    };
    error(StatusCode::UNAUTHORIZED, what, "UNAUTHENTICATED", None)
}

pub(crate) fn not_shared() -> Response<Body> {
    error(StatusCode::FORBIDDEN, "The caller does not have permission", "PERMISSION_DENIED", None)
}

/// A write with a token that may only read.
pub(crate) fn read_only() -> Response<Body> {
    let details = json!([{
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        "domain": "googleapis.com",
        "metadata": { "service": "sheets.googleapis.com" },
    }]);
    let message = "Request had insufficient authentication scopes.";
    error(StatusCode::FORBIDDEN, message, "PERMISSION_DENIED", Some(details))
}

pub(crate) fn api_disabled() -> Response<Body> {
    let url =
        "https://console.developers.google.com/apis/api/sheets.googleapis.com/overview?project=000000000000";
    let message = format!(
        "Google Sheets API has not been used in project 000000000000 before or it is disabled. Enable it by \
         visiting {url} then retry. If you enabled this API recently, wait a few minutes for the action to \
         propagate to our systems and retry."
    );
    let details = json!([
        {
            "@type": "type.googleapis.com/google.rpc.Help",
            "links": [{ "description": "Google developers console API activation", "url": url }],
        },
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "SERVICE_DISABLED",
            "domain": "googleapis.com",
            "metadata": { "consumer": "projects/000000000000", "service": "sheets.googleapis.com" },
        },
    ]);
    error(StatusCode::FORBIDDEN, &message, "PERMISSION_DENIED", Some(details))
}

/// A used-up read quota. The real one, as recorded, carries no `Retry-After`.
pub(crate) fn quota_exceeded(per_minute: u32) -> Response<Body> {
    let message = "Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute per user' \
                   of service 'sheets.googleapis.com' for consumer 'project_number:000000000000'.";
    let details = json!([
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "RATE_LIMIT_EXCEEDED",
            "domain": "googleapis.com",
            "metadata": {
                "quota_limit_value": per_minute.to_string(),
                "service": "sheets.googleapis.com",
                "consumer": "projects/000000000000",
                "quota_unit": "1/min/{project}/{user}",
                "quota_location": "global",
                "quota_metric": "sheets.googleapis.com/read_requests",
                "quota_limit": "ReadRequestsPerMinutePerUser",
            },
        },
        {
            "@type": "type.googleapis.com/google.rpc.Help",
            "links": [{
                "description": "Request a higher quota limit.",
                "url": "https://cloud.google.com/docs/quotas/help/request_increase",
            }],
        },
    ]);
    error(StatusCode::TOO_MANY_REQUESTS, message, "RESOURCE_EXHAUSTED", Some(details))
}

/// A 429 that comes as a web page, as Google's front ends send to networks they suspect.
pub(crate) fn automated_queries() -> Response<Body> {
    let page = "<html><head><title>Sorry...</title></head><body><h1>We're sorry...</h1><p>... but your computer \
                or network may be sending automated queries. To protect our users, we can't process your request \
                right now.</p></body></html>";
    let mut response = Response::new(Body::from(page));
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// A failure of Google's own.
pub(crate) fn backend(status: StatusCode) -> Response<Body> {
    let (message, name) = match status.as_u16() {
        503 => ("The service is currently unavailable.", "UNAVAILABLE"),
        _ => ("Internal error encountered.", "INTERNAL"),
    };
    error(status, message, name, None)
}
