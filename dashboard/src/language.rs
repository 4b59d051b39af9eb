//! English and Bahasa Indonesia: chosen by the browser, switched by a cookie.

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;
use shared::domain::Language;

use crate::headers::cookie;

/// The cookie of a choice that was made.
pub(crate) const COOKIE: &str = "ns_lang";

/// The language of one page. Both texts stand side by side where they are used, so that neither is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lang(pub(crate) Language);

impl Lang {
    /// What was chosen, else what the browser asks for, else English.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        if let Some(chosen) = cookie(headers, COOKIE).and_then(|text| text.parse().ok()) {
            return Self(chosen);
        }
        let asked = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self(asked_for(asked))
    }

    /// `en` or `id`, as HTML has it.
    pub(crate) fn code(&self) -> &'static str {
        self.0.as_str()
    }

    /// The text in this language.
    pub(crate) fn t<'a>(&self, english: &'a str, indonesian: &'a str) -> &'a str {
        match self.0 {
            Language::En => english,
            Language::Id => indonesian,
        }
    }

    /// A number with its thousands apart.
    pub(crate) fn number(&self, number: &u64) -> String {
        let text = shared::report::thousands(*number);
        match self.0 {
            Language::En => text,
            Language::Id => text.replace(',', "."),
        }
    }
}

/// The one of our languages with the highest weight (RFC 9110 §12.5.4); the first of equals.
fn asked_for(header: &str) -> Language {
    let mut best = (0.0, Language::En);
    for part in header.split(',') {
        let (tag, weight) = part.split_once(";q=").unwrap_or((part, "1"));
        let weight: f32 = weight.trim().parse().unwrap_or(0.0);
        let primary = tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase();
        // `in` is what old systems call Indonesian.
        let language = match primary.as_str() {
            "en" => Language::En,
            "id" | "in" => Language::Id,
            _ => continue,
        };
        if weight > best.0 {
            best = (weight, language);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_chooses_by_weight() {
        for (header, language) in [
            ("", Language::En),
            ("id-ID,id;q=0.9,en;q=0.8", Language::Id),
            ("en-US,en;q=0.9,id;q=0.8", Language::En),
            ("fr, in;q=0.5, en;q=0.4", Language::Id),
            ("fr", Language::En),
        ] {
            assert_eq!(asked_for(header), language, "{header}");
        }
    }
}
