//! Links that wrap a phone number: `wa.me`, `api.whatsapp.com/send`, `whatsapp://send`.

use std::borrow::Cow;

use super::numbering::{Numbered, number};

/// The text with each WhatsApp link replaced by the number it carries. Nothing where a link's number could be
/// read in two ways, or a link carries none (`wa.me/message/…`, a group's invitation, another site).
///
/// WhatsApp documents the number in a link as country code and number without `+` or zeros; people write
/// their national number there all the same. `0812…` can only be that. `812…` is only taken for it where it
/// is not a number of the country that the format says it is (81 is Japan).
pub(super) fn unwrapped(text: &str) -> Option<Cow<'_, str>> {
    let mut text = Cow::Borrowed(text);
    loop {
        let Some(link) = Link::find(&text) else {
            let lower = text.to_ascii_lowercase();
            let other_link = lower.contains("://") || lower.contains(HOSTS[0]);
            return (!other_link).then_some(text);
        };
        let national = match link.digits.as_bytes() {
            [b'0', ..] => true,
            [b'8', ..] => {
                if number(&link.digits, true) != Numbered::Nothing {
                    return None;
                }
                true
            }
            _ => false,
        };
        let sign = if national { "" } else { "+" };
        // A line break on both sides keeps the number apart from whatever the link touched.
        let replaced = format!("{}\n{sign}{}\n{}", &text[..link.start], link.digits, &text[link.end..]);
        text = Cow::Owned(replaced);
    }
}

/// A link that carries a number, and where it stands.
struct Link {
    start: usize,
    end: usize,
    digits: String,
}

impl Link {
    fn find(text: &str) -> Option<Self> {
        // ASCII only, so that offsets are those of the text itself.
        let lower = text.to_ascii_lowercase();
        let mut from = 0;
        while let Some(at) = next_host(&lower, from) {
            if let Some(link) = Self::at(&lower, at) {
                return Some(link);
            }
            from = at + 1;
        }
        None
    }

    /// The link whose host begins at `host`, if a number and nothing else stands where the number belongs.
    fn at(text: &str, host: usize) -> Option<Self> {
        let end =
            text[host..].find(|c: char| c.is_whitespace() || matches!(c, '"' | '<' | '>' | ')' | ']' | '\''));
        let end = end.map_or(text.len(), |length| host + length);
        let link = &text[host..end];
        let value = match link.strip_prefix("wa.me/") {
            Some(path) => path.split(['?', '#', '&']).next()?,
            None => {
                let query = link.split_once('?')?.1;
                query.split(['&', '#']).find_map(|pair| pair.strip_prefix("phone="))?
            }
        };
        let value = value.trim_end_matches([',', ';', '.', '/']);
        let value = value.strip_prefix("%2b").or_else(|| value.strip_prefix('+')).unwrap_or(value);
        let light = |c: char| c == '-' || c == '.';
        let digits: String = value.replace("%20", "").chars().filter(|c| !light(*c)).collect();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let start = scheme_start(text, host);
        Some(Self { start, end, digits })
    }
}

const HOSTS: [&str; 3] = ["wa.me/", "whatsapp.com/send", "whatsapp://send"];

fn next_host(text: &str, from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    HOSTS.iter().filter_map(|host| rest.find(host)).min().map(|at| from + at)
}

/// Where the link begins: its scheme and the names before the host belong to it.
fn scheme_start(text: &str, host: usize) -> usize {
    let mut start = host;
    for prefix in ["api.", "web.", "www.", "//", "https:", "http:"] {
        if text[..start].ends_with(prefix) {
            start -= prefix.len();
        }
    }
    start
}
