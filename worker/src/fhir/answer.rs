//! What an answer means: its status, then, where the status says success, its body.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use jiff::Timestamp;
use serde_json::Value;

use super::auth::Sent;
use super::client::Operation;
use super::explanation::Explanation;
use super::failure::{Failure, TooLarge, Transient};
use super::retry_after::retry_after;

/// The most values that a body may be made of. In memory a value takes tens of bytes however few it has in the body, so
/// [`MAX_BODY`](super::MAX_BODY) alone would let one answer fill gigabytes; a Bundle of a hundred Patients has some
/// ten thousands.
pub const MAX_VALUES: usize = 500_000;

/// A body that was not JSON. Says where, not what: the body may hold anything.
#[derive(Debug, thiserror::Error)]
#[error("not JSON (line {line}, column {column})")]
struct NotJson {
    line: usize,
    column: usize,
}

/// Judges an answer; gives the resource in its body, if it has one.
///
/// A body that reports an error is an error whatever the status says.
///
/// # Errors
/// Everything but an answer of the kind that `operation` asks for.
pub(super) fn resource(
    operation: Operation,
    answer: &Response<Bytes>,
    sent: &Sent,
    now: Timestamp,
) -> Result<Option<Value>, Failure> {
    let body = answer.body();
    check_status(operation, answer.status(), answer.headers(), body, sent, now)?;
    let status = answer.status().as_u16();
    let body = body.strip_prefix(b"\xef\xbb\xbf".as_slice()).unwrap_or(body);
    if operation == Operation::Update && body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    if values_at_most(body) > MAX_VALUES {
        return Err(Failure::TooLarge(TooLarge::Values));
    }
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        let cause = NotJson { line: error.line(), column: error.column() };
        Failure::transient(Transient::Broken, Some(Box::new(cause)))
    })?;
    check_body(operation, status, &value, sent)?;
    Ok(Some(value))
}

/// No less than the number of values in a JSON text: each but the first has one of these in front of it, and so have
/// some characters within strings.
fn values_at_most(json: &[u8]) -> usize {
    json.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count() + 1
}

fn check_status(
    operation: Operation,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    sent: &Sent,
    now: Timestamp,
) -> Result<(), Failure> {
    let code = status.as_u16();
    let text = || Explanation::of_body(body, sent);
    let one_patient = matches!(operation, Operation::Read | Operation::Update);
    Err(match code {
        200 | 201 | 204 => return Ok(()),
        // Accepted, but for later or in part: whether a write took place is open.
        202..=299 => Failure::transient(Transient::Broken, None),
        300..=399 => Failure::unexpected(code, "a redirect, which is not followed: check FHIR_URL"),
        401 => Failure::Unauthorized { generation: sent.generation, text: text() },
        403 => Failure::Forbidden { status: code, text: text() },
        404 | 410 if one_patient => Failure::Gone { status: code },
        // The proxy in between wants credentials; the server has seen nothing.
        407 => Failure::Transient { kind: Transient::Unreachable, text: text(), cause: None },
        409 | 412 if operation == Operation::Update => Failure::Conflict { status: code, text: text() },
        429 => Failure::Throttled { status: code, retry_after: retry_after(headers, now) },
        503 if headers.contains_key(http::header::RETRY_AFTER) => {
            Failure::Throttled { status: code, retry_after: retry_after(headers, now) }
        }
        408 | 425 | 500.. => Failure::Transient { kind: Transient::Server(code), text: text(), cause: None },
        _ => Failure::Rejected { status: code, text: text() },
    })
}

fn check_body(operation: Operation, status: u16, value: &Value, sent: &Sent) -> Result<(), Failure> {
    let explained = |value: &Value| Failure::Rejected { status, text: Explanation::of_json(value, sent) };
    let kind = value.get("resourceType").and_then(Value::as_str);
    match (kind, operation) {
        (Some("OperationOutcome"), _) => match (outcome_error(value), operation) {
            (Some(error), _) => Err(of_outcome(error, status, value, sent)),
            (None, Operation::Update) => Ok(()),
            (None, _) => Err(explained(value)),
        },
        (Some("Bundle"), Operation::Search | Operation::SearchMany | Operation::Canary) => {
            let entries = value.get("entry").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            for resource in entries.iter().filter_map(|entry| entry.get("resource")) {
                if resource.get("resourceType").and_then(Value::as_str) == Some("OperationOutcome")
                    && let Some(error) = outcome_error(resource)
                {
                    return Err(of_outcome(error, status, resource, sent));
                }
            }
            Ok(())
        }
        (Some("Patient"), Operation::Read | Operation::Update) => Ok(()),
        (Some("CapabilityStatement"), Operation::Metadata) | (Some("Bundle"), Operation::Bundle) => Ok(()),
        // A list of {ruleNumber, message}, or a gateway's error object.
        (None, _) if !Explanation::of_json(value, sent).as_str().is_empty() => Err(explained(value)),
        // Nothing says that the write failed, and nothing that it did not.
        (_, Operation::Update) => Err(Failure::transient(Transient::Broken, None)),
        _ => Err(Failure::unexpected(status, "the answer is not the FHIR resource that was asked for")),
    }
}

/// The code of the first issue that is an error.
fn outcome_error(outcome: &Value) -> Option<&str> {
    let issues = outcome.get("issue")?.as_array()?;
    let error = issues
        .iter()
        .find(|issue| matches!(issue.get("severity").and_then(Value::as_str), Some("error" | "fatal")))?;
    Some(error.get("code").and_then(Value::as_str).unwrap_or_default())
}

/// An error inside a success: by its code (FHIR R4, IssueType), the transient ones may pass.
fn of_outcome(code: &str, status: u16, outcome: &Value, sent: &Sent) -> Failure {
    let text = Explanation::of_json(outcome, sent);
    match code {
        "throttled" => Failure::Throttled { status, retry_after: None },
        "transient" | "lock-error" | "no-store" | "timeout" | "incomplete" => {
            Failure::Transient { kind: Transient::Server(status), text, cause: None }
        }
        _ => Failure::Rejected { status, text },
    }
}
