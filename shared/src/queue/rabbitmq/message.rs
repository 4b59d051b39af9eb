//! A row's message on the wire: its body, its properties, and what the broker's headers tell of its deaths.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ledger::{RowKey, RowMessage, RunId};

/// The body's form; another form gets another version.
const CONTENT_TYPE: &str = "application/vnd.nightly-sync.row.v1+json";

/// Kept on disk.
const PERSISTENT: u8 = 2;

/// The headers that carry a trace; no others are taken over from a delivery, least of all `x-death`: before
/// RabbitMQ 4.0.1 a message that is published again with it may be dropped as going in circles.
const TRACE_HEADERS: [&str; 2] = ["traceparent", "tracestate"];

/// The longest body that is decoded, in bytes, a hundred times what ours are; of a longer one no more is kept.
pub(crate) const LONGEST_BODY: usize = 64 * 1024;

/// The longest value of a header that is taken over: W3C's Trace Context has vendors pass on 512 characters.
const LONGEST_VALUE: usize = 512;

/// Deaths that are told, the latest ones; a message of ours dies in no more queues than there are.
const DEATHS: usize = 16;

/// Why a message cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Its content type is not ours, or of another version.
    #[error("its content type is {0:?}, not {CONTENT_TYPE}")]
    ContentType(Option<String>),
    /// It is longer than any of ours.
    #[error("its body has {0} bytes, more than {LONGEST_BODY}; no more than those are kept")]
    TooLong(usize),
    /// Its body is not of the form that its content type names.
    #[error("its body is not a row's message")]
    Body(#[from] serde_json::Error),
    /// The sealed payload in its body is not base64.
    #[error("its payload is not base64")]
    Payload(#[from] base64::DecodeError),
}

#[derive(Serialize, Deserialize)]
struct Body {
    run: RunId,
    row: u32,
    generation: u32,
    turn: u32,
    sealed: String,
}

pub(crate) fn encode(message: &RowMessage) -> Vec<u8> {
    let RowKey { run, sheet_row, generation } = message.key;
    let sealed = BASE64.encode(&message.sealed);
    serde_json::to_vec(&Body { run, row: sheet_row, generation, turn: message.turn, sealed })
        .expect("numbers and text can always be written as JSON")
}

pub(crate) fn decode(properties: &BasicProperties, body: &[u8]) -> Result<RowMessage, DecodeError> {
    let content_type = properties.content_type().as_ref().map(ShortString::as_str);
    if content_type != Some(CONTENT_TYPE) {
        return Err(DecodeError::ContentType(content_type.map(str::to_owned)));
    }
    if body.len() > LONGEST_BODY {
        return Err(DecodeError::TooLong(body.len()));
    }
    let Body { run, row, generation, turn, sealed } = serde_json::from_slice(body)?;
    let key = RowKey { run, sheet_row: row, generation };
    Ok(RowMessage { key, turn, sealed: BASE64.decode(sealed)? })
}

/// Properties of a message about to be published, and its id, unique per publish.
pub(crate) fn properties(trace: &[(String, String)]) -> (BasicProperties, String) {
    let id = Uuid::new_v4().to_string();
    let mut headers = FieldTable::default();
    for (name, value) in trace.iter().filter(|(name, _)| TRACE_HEADERS.contains(&name.as_str())) {
        headers.insert(name.as_str().into(), AMQPValue::LongString(value.as_str().into()));
    }
    let properties = BasicProperties::default()
        .with_content_type(CONTENT_TYPE.into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(id.as_str().into())
        .with_headers(headers);
    (properties, id)
}

/// The trace that a delivery carries.
pub(crate) fn trace(properties: &BasicProperties) -> Vec<(String, String)> {
    let Some(headers) = properties.headers() else { return Vec::new() };
    TRACE_HEADERS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), text(headers.inner().get(*name)?)?)))
        .collect()
}

/// `x-death` in short, the latest first: `rejected in nightly-sync.work.v1, 1 time; …`.
pub(crate) fn deaths(properties: &BasicProperties) -> String {
    let entries =
        properties.headers().as_ref().and_then(|headers| headers.inner().get("x-death")?.as_array());
    let told =
        entries.map_or(&[][..], |entries| entries.as_slice()).iter().take(DEATHS).filter_map(|entry| {
            let entry = entry.as_field_table()?.inner();
            let count = entry.get("count").and_then(AMQPValue::as_long_long_int).unwrap_or(1);
            let times = if count == 1 { "time" } else { "times" };
            Some(format!(
                "{} in {}, {count} {times}",
                text(entry.get("reason")?)?,
                text(entry.get("queue")?)?
            ))
        });
    told.collect::<Vec<_>>().join("; ")
}

/// A text; none where it is longer than those that we know.
fn text(value: &AMQPValue) -> Option<String> {
    let text = match value {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok()?,
        AMQPValue::ShortString(text) => text.as_str(),
        _ => return None,
    };
    (text.len() <= LONGEST_VALUE).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use lapin::types::FieldArray;

    use super::*;

    fn message() -> RowMessage {
        let key = RowKey { run: RunId(Uuid::from_u128(7)), sheet_row: 12, generation: 3 };
        RowMessage { key, turn: 4, sealed: (0..=255).collect() }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let (properties, id) =
            properties(&[("traceparent".into(), "00-1-2-01".into()), ("x-death".into(), "no".into())]);
        let body = encode(&message());
        assert_eq!(decode(&properties, &body).unwrap(), message());
        assert_eq!(properties.message_id().as_ref().map(ShortString::as_str), Some(id.as_str()));
        assert_eq!(trace(&properties), [("traceparent".to_owned(), "00-1-2-01".to_owned())]);
        assert_eq!(deaths(&properties), "");
    }

    #[test]
    fn the_form_on_the_wire_stays() {
        let wire = r#"{"run":"00000000-0000-0000-0000-000000000007","row":12,"generation":3,"turn":4,"sealed":"AAEC"}"#;
        let message = RowMessage { sealed: vec![0, 1, 2], ..message() };
        assert_eq!(String::from_utf8(encode(&message)).unwrap(), wire);
        assert_eq!(decode(&properties(&[]).0, wire.as_bytes()).unwrap(), message);
    }

    #[test]
    fn what_is_not_ours_is_not_decoded() {
        let (ours, _) = properties(&[]);
        let of = |content_type: &str| ours.clone().with_content_type(content_type.into());
        for (properties, body) in [
            (of("application/json"), encode(&message())),
            (of("application/vnd.nightly-sync.row.v2+json"), encode(&message())),
            (BasicProperties::default(), encode(&message())),
            (ours.clone(), b"{}".to_vec()),
            (ours.clone(), b"\xff".to_vec()),
            (
                ours.clone(),
                encode(&message()).strip_suffix(b"\"}").unwrap().iter().chain(b"!\"}").copied().collect(),
            ),
        ] {
            assert!(decode(&properties, &body).is_err(), "{}", String::from_utf8_lossy(&body));
        }
    }

    #[test]
    fn what_is_longer_than_ours_is_neither_decoded_nor_taken_over() {
        let body = encode(&RowMessage { sealed: vec![0; LONGEST_BODY], ..message() });
        let error = decode(&properties(&[]).0, &body).unwrap_err();
        assert!(matches!(error, DecodeError::TooLong(length) if length == body.len()), "{error}");
        let (long, _) = properties(&[("tracestate".into(), "x".repeat(LONGEST_VALUE + 1))]);
        assert_eq!(trace(&long), []);
    }

    #[test]
    fn deaths_are_told_in_short() {
        let death = |reason: &str, queue: &str, count: i64| {
            let mut entry = FieldTable::default();
            entry.insert("reason".into(), AMQPValue::LongString(reason.into()));
            entry.insert("queue".into(), AMQPValue::LongString(queue.into()));
            entry.insert("count".into(), AMQPValue::LongLongInt(count));
            AMQPValue::FieldTable(entry)
        };
        let mut headers = FieldTable::default();
        let array = vec![death("rejected", "work", 1), death("expired", "retry", 2), AMQPValue::Void];
        headers.insert("x-death".into(), AMQPValue::FieldArray(FieldArray::from(array)));
        let properties = BasicProperties::default().with_headers(headers);
        assert_eq!(deaths(&properties), "rejected in work, 1 time; expired in retry, 2 times");
    }
}
