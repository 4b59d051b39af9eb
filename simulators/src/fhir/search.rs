//! Search parameters, and the searchset Bundle that answers them.

use axum::http::StatusCode;
use serde_json::Value;

use crate::faults::ResourceView;

use super::FhirServer;
use super::nik_number;
use super::reply::Reply;
use super::view;

/// Entries on a page when `_count` is absent.
const DEFAULT_COUNT: usize = 20;
/// The largest page.
const MOST: usize = 1000;

/// A parsed search. Parameters of different names, and repeated ones, are AND; commas are OR.
pub(crate) struct Search {
    identifiers: Vec<Vec<Token>>,
    ids: Vec<Vec<String>>,
    elements: Option<Vec<String>>,
    count: usize,
    offset: usize,
    unknown: Option<String>,
    pairs: Vec<(String, String)>,
}

/// FHIR R4, search.html#token: `[system]|[code]`, `[code]` for any system, `|[code]` for none.
struct Token {
    system: Option<String>,
    value: String,
}

impl Search {
    /// Parses a query string or a form; both are `application/x-www-form-urlencoded`.
    pub(crate) fn parse(query: &[u8]) -> Self {
        let mut search = Self {
            identifiers: Vec::new(),
            ids: Vec::new(),
            elements: None,
            count: DEFAULT_COUNT,
            offset: 0,
            unknown: None,
            pairs: Vec::new(),
        };
        for (name, value) in form_urlencoded::parse(query) {
            match name.as_ref() {
                "identifier" => search.identifiers.push(alternatives(&value, ',').map(token).collect()),
                "_id" => search.ids.push(alternatives(&value, ',').collect()),
                "_elements" => {
                    search.elements =
                        Some(value.split(',').map(|element| element.trim().to_owned()).collect());
                }
                "_count" => search.count = value.parse().unwrap_or(DEFAULT_COUNT).min(MOST),
                "_offset" => {
                    search.offset = value.parse().unwrap_or(0);
                    continue;
                }
                "_format" | "_pretty" | "_total" | "_sort" | "_summary" => {}
                other => search.unknown = Some(other.to_owned()),
            }
            search.pairs.push((name.into_owned(), value.into_owned()));
        }
        search
    }

    /// The NIKs it names, as numbers.
    pub(crate) fn niks(&self) -> Vec<u64> {
        self.identifiers.iter().flatten().filter_map(|token| nik_number(&token.value)).collect()
    }

    fn link(&self, base: &str, offset: usize) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.pairs);
        if offset > 0 {
            query.append_pair("_offset", &offset.to_string());
        }
        format!("{base}/Patient?{}", query.finish())
    }
}

impl FhirServer {
    pub(super) fn search(&self, search: &Search, base: &str, strict: bool) -> Reply {
        if let Some(unknown) = search.unknown.as_ref().filter(|_| strict) {
            let diagnostics = format!("unknown search parameter {}", unknown.escape_debug());
            return Reply::outcome(StatusCode::BAD_REQUEST, "not-supported", &diagnostics);
        }
        crate::stats::count(&self.stats().searches);
        let faults = self.faults();
        let asked = search.identifiers.iter().flatten().count();
        if faults.plan.longest_search.is_some_and(|longest| asked > longest) {
            return Reply::outcome(StatusCode::URI_TOO_LONG, "too-long", "too many identifiers");
        }
        let everybody = faults.plan.ignore_search || (search.identifiers.is_empty() && search.ids.is_empty());
        let (total, mut page) = if everybody { self.everybody(search) } else { self.matches(search) };
        let stops_at = faults.plan.search_stops_at.unwrap_or(usize::MAX);
        page.truncate(stops_at);
        let mut body = Vec::with_capacity(512 + page.len() * 1400);
        body.extend_from_slice(br#"{"resourceType":"Bundle","type":"searchset""#);
        if !faults.plan.search_without_total {
            body.extend_from_slice(format!(",\"total\":{total}").as_bytes());
        }
        body.extend_from_slice(br#","link":[{"relation":"self","url":"#);
        push_text(&mut body, &search.link(base, search.offset));
        let next = search.offset + page.len();
        if search.count > 0 && next < total && page.len() < stops_at {
            body.extend_from_slice(br#"},{"relation":"next","url":"#);
            push_text(&mut body, &search.link(base, next));
        }
        body.extend_from_slice(b"}]");
        for (at, slot) in page.iter().enumerate() {
            body.extend_from_slice(if at == 0 { br#","entry":["# } else { b"," });
            self.push_entry(&mut body, *slot, search, base, faults.plan.search_view);
        }
        body.extend_from_slice(if page.is_empty() { b"}" } else { b"]}" });
        Reply::resource(StatusCode::OK, body)
    }

    fn push_entry(&self, body: &mut Vec<u8>, slot: u32, search: &Search, base: &str, shown: ResourceView) {
        body.extend_from_slice(b"{\"fullUrl\":");
        push_text(body, &format!("{base}/Patient/{}", self.store().id_at(slot)));
        // A Patient deleted since the match has no resource left to show.
        if let Some(stored) = self.store().at(slot) {
            body.extend_from_slice(b",\"resource\":");
            let stored = view::shown(stored, shown);
            match &search.elements {
                Some(elements) => body.extend_from_slice(&view::elements(stored, elements).body),
                None => body.extend_from_slice(&stored.body),
            }
        }
        body.extend_from_slice(br#","search":{"mode":"match"}}"#);
    }

    fn everybody(&self, search: &Search) -> (usize, Vec<u32>) {
        let all = (0..self.store().len() as u32).filter(|slot| self.store().at(*slot).is_some());
        let mut total = 0;
        let mut page = Vec::new();
        for slot in all {
            if total >= search.offset && page.len() < search.count {
                page.push(slot);
            }
            total += 1;
        }
        (total, page)
    }

    fn matches(&self, search: &Search) -> (usize, Vec<u32>) {
        let store = self.store();
        let by_identifier = search.identifiers.iter().map(|any| {
            let hides = any.len() > 1 && self.faults().plan.many_hides_twins;
            let shown = if hides { 1 } else { usize::MAX };
            let found =
                |token: &Token| store.find(token.system.as_deref(), &token.value).into_iter().take(shown);
            any.iter().flat_map(found).collect::<Vec<_>>()
        });
        let by_id = search.ids.iter().map(|any| {
            let live = any.iter().filter_map(|id| store.slot(id));
            live.filter(|slot| store.at(*slot).is_some()).collect::<Vec<_>>()
        });
        let mut all = by_identifier.chain(by_id);
        let mut found = all.next().unwrap_or_default();
        for other in all {
            found.retain(|slot| other.contains(slot));
        }
        if found.len() > 1 {
            found.sort_unstable();
            found.dedup();
        }
        let total = found.len();
        (total, found.into_iter().skip(search.offset).take(search.count).collect())
    }
}

/// Splits at separators that are not escaped by a backslash; the pieces keep their escapes.
fn alternatives(text: &str, separator: char) -> impl Iterator<Item = String> {
    let mut pieces = vec![String::new()];
    let mut escaped = false;
    for letter in text.chars() {
        if letter == separator && !escaped {
            pieces.push(String::new());
            continue;
        }
        escaped = letter == '\\' && !escaped;
        if let Some(piece) = pieces.last_mut() {
            piece.push(letter);
        }
    }
    pieces.into_iter().filter(|piece| !piece.is_empty())
}

fn token(text: String) -> Token {
    let bar = text.char_indices().find(|(at, letter)| *letter == '|' && !text[..*at].ends_with('\\'));
    match bar {
        Some((at, _)) => Token { system: Some(unescaped(&text[..at])), value: unescaped(&text[at + 1..]) },
        None => Token { system: None, value: unescaped(&text) },
    }
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        plain.push(if letter == '\\' { letters.next().unwrap_or('\\') } else { letter });
    }
    plain
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(Value::from(text).to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_keep_escaped_commas_and_bars() {
        let search = Search::parse(br"identifier=http%3A%2F%2Fx%7Ca%5C%2Cb,%7Cc,d%5C%7Ce&_count=7");
        let tokens =
            search.identifiers[0].iter().map(|token| (token.system.as_deref(), token.value.as_str()));
        assert_eq!(tokens.collect::<Vec<_>>(), [(Some("http://x"), "a,b"), (Some(""), "c"), (None, "d|e")]);
        assert_eq!(search.count, 7);
    }
}
