//! What a server says about an error, made fit for a log and an operator: found in any of the forms servers
//! use, without control characters, without long digit runs (NIKs, phone numbers), short.

use std::fmt;

use serde_json::Value;

use super::auth::Sent;

/// Most characters of a server's text that are kept.
const MAX_CHARS: usize = 300;
/// Most characters of a server's text that are looked at.
const MAX_RAW_CHARS: usize = 4_000;
/// The longest body that is looked at as JSON, in bytes: what is in a longer one is not worth its memory.
const MAX_JSON: usize = 256 * 1024;
/// Digits in a row that are let through: a status or a line number is no number of a person.
const MAX_DIGITS: usize = 4;
/// The same where nothing but separators stands between the digits, as in a phone number.
const MAX_SPACED_DIGITS: usize = 6;

/// A scrubbed text, possibly empty. Printed with `{:#}` it brings its own `: ` in front, if not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation(String);

impl Explanation {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A text of ours, with nothing from outside in it.
    pub(super) fn ours(text: &'static str) -> Self {
        Self(text.to_owned())
    }

    /// What the body of an answer says, whatever its form.
    pub(super) fn of_body(body: &[u8], sent: &Sent) -> Self {
        let value = (body.len() <= MAX_JSON).then(|| serde_json::from_slice::<Value>(body).ok());
        match value.flatten() {
            Some(value) => Self::of_json(&value, sent),
            None => Self::scrub(&plain(body), sent),
        }
    }

    /// What a JSON body says: an OperationOutcome, a list of rule messages, a gateway's error object.
    pub(super) fn of_json(value: &Value, sent: &Sent) -> Self {
        let mut parts = Vec::new();
        collect(value, &mut parts);
        Self::scrub(&parts.join("; "), sent)
    }

    fn scrub(raw: &str, sent: &Sent) -> Self {
        let visible: String = raw.chars().take(MAX_RAW_CHARS).filter_map(visible).collect();
        let concealed = sent.conceal(visible);
        let masked = mask_digits(&concealed);
        let words = masked.split_whitespace().collect::<Vec<_>>().join(" ");
        Self(shorten(words))
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() && !self.0.is_empty() {
            f.write_str(": ")?;
        }
        f.write_str(&self.0)
    }
}

/// Gathers the texts meant for people from a JSON error, in order.
fn collect(value: &Value, parts: &mut Vec<String>) {
    match value {
        Value::String(text) => parts.push(text.clone()),
        Value::Array(items) => items.iter().take(10).for_each(|item| collect(item, parts)),
        Value::Object(object) => {
            if let Some(issues) = object.get("issue").and_then(Value::as_array) {
                issues.iter().take(10).for_each(|issue| parts.extend(issue_text(issue)));
                return;
            }
            if let Some(rule) = object.get("ruleNumber").and_then(scalar) {
                let message = object.get("message").and_then(scalar).unwrap_or_default();
                parts.push(format!("rule {rule}: {message}"));
                return;
            }
            // What gateways and frameworks call it: {"fault":{"faultstring"}}, {"error":{"message"}}, RFC 9457.
            for key in ["fault", "faultstring", "error", "error_description", "message", "title", "detail"] {
                match object.get(key) {
                    Some(Value::String(text)) => parts.push(text.clone()),
                    Some(nested @ (Value::Object(_) | Value::Array(_))) => collect(nested, parts),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// One `OperationOutcome.issue`: its code, then details and diagnostics.
fn issue_text(issue: &Value) -> Option<String> {
    let field =
        |pointer: &str| issue.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    let code = field("/code");
    let details = field("/details/text").or_else(|| field("/details/coding/0/display"));
    let diagnostics = field("/diagnostics").filter(|text| details != Some(*text));
    let said: Vec<&str> = [details, diagnostics].into_iter().flatten().collect();
    match (code, said.is_empty()) {
        (Some(code), false) => Some(format!("{code}: {}", said.join(", "))),
        (Some(code), true) => Some(code.to_owned()),
        (None, false) => Some(said.join(", ")),
        (None, true) => None,
    }
}

/// A body that is not JSON: text as it is; of a web page, its title.
fn plain(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * MAX_RAW_CHARS)]);
    let trimmed = text.trim_start();
    if !trimmed.starts_with('<') {
        return text.into_owned();
    }
    // Lower-casing ASCII keeps byte positions, so they hold in the original too.
    let lower = trimmed.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|start| {
        let start = start + "<title>".len();
        lower[start..].find("</title>").map(|length| trimmed[start..start + length].to_owned())
    });
    title.map_or_else(|| "a web page".to_owned(), |title| format!("a web page: {title}"))
}

/// Control characters become spaces; marks that are not seen (zero width, direction) are dropped, since they
/// would hide digits from the mask and forge log lines.
fn visible(c: char) -> Option<char> {
    match c {
        '\u{ad}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => None,
        c if c.is_control() || c == '\u{2028}' || c == '\u{2029}' => Some(' '),
        c => Some(c),
    }
}

/// Replaces runs of more than four digits, and phone-like runs of more than six with nothing but separators
/// between them, by `***`.
fn mask_digits(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        if !chars[i].is_numeric() {
            out.push(chars[i]);
            i += 1;
            continue;
        }
        let (mut end, mut digits, mut run, mut longest) = (i, 0, 0, 0);
        let mut j = i;
        while j < chars.len() {
            if chars[j].is_numeric() {
                digits += 1;
                run += 1;
                longest = longest.max(run);
                j += 1;
                end = j;
            } else if matches!(
                chars[j],
                ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}' | '\u{2010}'..='\u{2015}'
            ) {
                run = 0;
                j += 1;
            } else {
                break;
            }
        }
        if longest > MAX_DIGITS || digits > MAX_SPACED_DIGITS {
            out.push_str("***");
        } else {
            out.extend(&chars[i..end]);
        }
        i = end;
    }
    out
}

fn shorten(text: String) -> String {
    match text.char_indices().nth(MAX_CHARS) {
        None => text,
        Some(_) => text.chars().take(MAX_CHARS - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::auth::{Auth, Credential};

    fn scrubbed(raw: &str) -> String {
        let auth = Auth::new(&[Credential::ApiKey("s3cr3t-key".into())]).unwrap();
        Explanation::of_body(raw.as_bytes(), &auth.current()).0
    }

    #[test]
    fn digits_of_people_are_masked_and_those_of_machines_are_not() {
        assert_eq!(scrubbed("NIK 3174051212900001 is wrong"), "NIK *** is wrong");
        assert_eq!(scrubbed("call +62 812-3456-7890 now"), "call +*** now");
        assert_eq!(scrubbed("call 0812  3456\n7890 or 0812 - 3456 - 7890"), "call *** or ***");
        assert_eq!(scrubbed("31740\u{200b}51212\u{200b}900001"), "***");
        assert_eq!(scrubbed("line 12, column 345: HTTP 422"), "line 12, column 345: HTTP 422");
        assert_eq!(scrubbed("٠٨١٢٣٤٥٦٧٨٩"), "***");
    }

    #[test]
    fn every_known_form_of_error_is_understood() {
        let outcome = r#"{"resourceType":"OperationOutcome","issue":[
            {"severity":"error","code":"invalid","details":{"text":"bad telecom"},"diagnostics":"at Patient.telecom"},
            {"severity":"error","code":"processing"}]}"#;
        assert_eq!(scrubbed(outcome), "invalid: bad telecom, at Patient.telecom; processing");
        assert_eq!(scrubbed(r#"[{"ruleNumber":10101,"message":"no"}]"#), "rule ***: no");
        assert_eq!(scrubbed(r#"[{"ruleNumber":"RuleNumber:12","message":"no"}]"#), "rule RuleNumber:12: no");
        assert_eq!(
            scrubbed(r#"{"fault":{"faultstring":"Invalid ApiKey","detail":{"errorcode":"x"}}}"#),
            "Invalid ApiKey"
        );
        assert_eq!(scrubbed("<html><head><TITLE>502 Bad\nGateway</TITLE>"), "a web page: 502 Bad Gateway");
        assert_eq!(scrubbed("upstream\r\n\tfailed"), "upstream failed");
        assert_eq!(scrubbed(""), "");
    }

    #[test]
    fn a_key_sent_back_is_concealed_and_a_long_text_is_cut() {
        assert_eq!(scrubbed("unknown key s3cr3t-key"), "unknown key ***");
        let long = scrubbed(&"é".repeat(5_000));
        assert_eq!(long.chars().count(), MAX_CHARS);
        assert!(long.ends_with('…'));
    }
}
