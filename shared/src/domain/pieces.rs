//! A cell's text taken apart into groups of digits and what stands around them.
//!
//! Nothing is decided here about what a group is; `nik_cell` and `phone_cell` do that.

use std::ops::Range;

/// The words that are dress in one kind of cell: labels such as `NIK` or `WA`, in lower case.
pub(super) type Labels = &'static [&'static str];

/// Words between two values, in Indonesian and English.
const CONNECTIVES: Labels = &["atau", "atw", "dan", "or", "and"];

/// What a text holds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Pieces<'a> {
    /// The groups of digits, in order. A label, a connective, a comma, a slash, a line break and the like
    /// stand between two groups, as does a `+`.
    pub groups: Vec<Group<'a>>,
    /// Words that are no labels, or symbols that are no punctuation.
    pub remark: bool,
    /// Something stands among the digits that is not dress: a letter for a digit, a mask, a question mark.
    pub damaged: bool,
    /// Scientific notation: `3.17E+15`.
    pub scientific: bool,
}

/// Digits that only light punctuation divides: space, dot, dash, bracket, quote, underscore.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Group<'a> {
    /// A `+` stands in front.
    pub plus: bool,
    /// The runs of digits, and the punctuation before each but the first.
    pub runs: Vec<Run<'a>>,
}

/// A run of digits without anything between.
#[derive(Debug, PartialEq)]
pub(super) struct Run<'a> {
    /// The punctuation between the run before and this one; empty for the first.
    pub gap: &'a str,
    /// ASCII digits, at least one.
    pub digits: &'a str,
}

impl Run<'_> {
    /// Whether a bracket opens in front of it.
    pub fn is_bracketed(&self) -> bool {
        self.gap.contains(['(', '[', '{', '<'])
    }
}

impl Group<'_> {
    /// Whether a dot reads as a decimal point: the only dot, with one digit before it or at most two behind.
    /// `81234567890.0` is no number, and not `812345678900` either.
    pub fn is_decimal(&self) -> bool {
        let mut dots = self.runs.iter().enumerate().filter(|(_, run)| run.gap.contains('.'));
        let (Some((at, run)), None) = (dots.next(), dots.next()) else { return false };
        let ends = at + 1 == self.runs.len() && run.digits.len() <= 2;
        let starts = at == 1 && self.runs[0].digits.len() == 1;
        run.gap == "." && (starts || ends)
    }

    /// Whether some gap is a row of dots, dashes or underscores, which stand for digits left out.
    pub fn is_masked(&self) -> bool {
        let marks = |gap: &str| gap.bytes().filter(|byte| matches!(byte, b'.' | b'-' | b'_')).count();
        self.runs.iter().any(|run| marks(run.gap) > 1)
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Digits,
    Word,
    Plus,
    /// May stand inside a number.
    Light,
    /// Stands between values.
    Divider,
    /// Dress in front of a number (`# 0812`, `• 0812`); behind digits it stands for others.
    Mark,
    /// Never dress next to a number.
    Doubt,
    Symbol,
}

#[derive(Clone, Debug)]
struct Token {
    kind: Kind,
    at: Range<usize>,
}

impl<'a> Pieces<'a> {
    /// Takes a text apart that `plain` has cleaned.
    pub fn of(text: &'a str, labels: Labels) -> Self {
        let text = without_chat_marks(text);
        let tokens = tokens(text);
        let mut pieces = Self::default();
        let mut open: Option<Group<'a>> = None;
        let mut gap_from = 0;
        for (index, token) in tokens.iter().enumerate() {
            let before = index.checked_sub(1).map(|before| tokens[before].kind);
            let after = tokens.get(index + 1).map(|after| after.kind);
            let behind_digits = before == Some(Kind::Digits);
            let before_digits = after == Some(Kind::Digits);
            match token.kind {
                Kind::Digits => {
                    let group = open.get_or_insert_default();
                    let gap = if group.runs.is_empty() { "" } else { &text[gap_from..token.at.start] };
                    group.runs.push(Run { gap, digits: &text[token.at.clone()] });
                    gap_from = token.at.end;
                    continue;
                }
                Kind::Light => continue,
                Kind::Plus => {
                    pieces.close(open.take());
                    open = Some(Group { plus: true, runs: Vec::new() });
                    continue;
                }
                Kind::Divider => {}
                Kind::Mark => pieces.damaged |= behind_digits,
                Kind::Doubt => pieces.damaged = true,
                Kind::Symbol => {
                    pieces.damaged |= behind_digits && before_digits;
                    pieces.remark = true;
                }
                Kind::Word => {
                    let word = text[token.at.clone()].to_lowercase();
                    if behind_digits && is_exponent(&word, text, &tokens[index + 1..]) {
                        pieces.scientific = true;
                    } else if (behind_digits && before_digits) || word.bytes().all(|letter| letter == b'x') {
                        pieces.damaged = true;
                    } else if !labels.contains(&word.as_str()) && !CONNECTIVES.contains(&word.as_str()) {
                        // One or two letters that touch a number are taken for digits (`08123456789O`), more
                        // for a word that lacks its space.
                        let touches = behind_digits || before_digits;
                        pieces.damaged |= touches && word.chars().count() <= 2;
                        pieces.remark = true;
                    }
                }
            }
            pieces.close(open.take());
        }
        pieces.close(open);
        pieces
    }

    fn close(&mut self, group: Option<Group<'a>>) {
        match group {
            Some(group) if group.runs.is_empty() => self.damaged |= group.plus,
            Some(group) => self.groups.push(group),
            None => {}
        }
    }
}

/// The words of a text in lower case, and whether anything but words and punctuation is in it. Asterisks are
/// more than punctuation: something is hidden behind them.
pub(super) fn words(text: &str) -> (Vec<String>, bool) {
    let mut words = Vec::new();
    let mut other = false;
    for token in tokens(text) {
        match token.kind {
            Kind::Word => words.push(text[token.at].to_lowercase()),
            Kind::Digits | Kind::Symbol => other = true,
            Kind::Doubt => other |= !matches!(&text[token.at], "?" | "…" | "‥"),
            Kind::Plus | Kind::Light | Kind::Divider | Kind::Mark => {}
        }
    }
    (words, other)
}

/// `*0812…*`: a chat writes bold with asterisks. Only a pair around the whole text is one; any other
/// asterisk stands for a hidden digit.
fn without_chat_marks(text: &str) -> &str {
    match text.strip_prefix('*').and_then(|rest| rest.strip_suffix('*')) {
        Some(inner) if !inner.contains('*') => inner,
        _ => text,
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((start, c)) = chars.next() {
        let kind = kind(c);
        let mut end = start + c.len_utf8();
        match kind {
            Kind::Digits | Kind::Word => {
                while let Some(&(at, next)) = chars.peek() {
                    if self::kind(next) != kind {
                        break;
                    }
                    end = at + next.len_utf8();
                    chars.next();
                }
                // The label written with dots, `W.A` or `H.P`, is one word.
                if kind == Kind::Word && end - start == 1 && is_dotted_label(&text[start..]) {
                    end = start + 3;
                    chars.next();
                    chars.next();
                }
            }
            Kind::Plus | Kind::Light | Kind::Divider | Kind::Mark | Kind::Doubt | Kind::Symbol => {}
        }
        tokens.push(Token { kind, at: start..end });
    }
    tokens
}

fn is_dotted_label(text: &str) -> bool {
    let label = text.get(..3).is_some_and(|label| ["w.a", "h.p"].contains(&label.to_lowercase().as_str()));
    label && !text[3..].starts_with(char::is_alphabetic)
}

fn kind(c: char) -> Kind {
    match c {
        '0'..='9' => Kind::Digits,
        '+' => Kind::Plus,
        ' ' | '.' | '-' | '_' | '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | '\'' | '"' => Kind::Light,
        '/' | ',' | ';' | ':' | '=' | '|' | '&' | '\\' | '\n' | '~' | '!' => Kind::Divider,
        '#' | '•' | '●' | '▪' | '◦' | '‣' => Kind::Mark,
        '*' | '?' | '@' | '…' | '‥' | '\u{fffd}' | '\u{202e}' => Kind::Doubt,
        _ if c.is_alphabetic() => Kind::Word,
        _ => Kind::Symbol,
    }
}

/// Whether a word behind digits is the `E` of scientific notation: a sign or nothing, and at most three
/// digits, follow.
fn is_exponent(word: &str, text: &str, rest: &[Token]) -> bool {
    let digits = match rest {
        [sign, digits, ..] if matches!(&text[sign.at.clone()], "+" | "-") => digits,
        [digits, ..] => digits,
        [] => return false,
    };
    word == "e" && digits.kind == Kind::Digits && digits.at.len() <= 3
}
