//! Makes blank lines visible to the CSV parser, which skips them: a spreadsheet program shows them, and rows
//! keep the numbers people see.
//!
//! Every line end outside quotation marks becomes `\n`, and a blank line becomes a row with one empty quoted
//! field. Whether a quotation mark opens a field is decided as the `csv` crate decides it: only at the
//! field's very start.

use std::io::{self, Read};

const CHUNK_BYTES: usize = 64 * 1024;

/// Longer than any row people write; more within quotation marks means that one swallows the rows after it.
const ROW_BYTES_LIMIT: usize = 4 * 1024 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    RowStart,
    FieldStart,
    Unquoted,
    Quoted,
    /// After a quotation mark within quotation marks: the end of them, or the first half of a doubled one.
    QuoteInQuoted,
}

/// Why the text has no rows to give, as the message of an [`io::ErrorKind::InvalidData`] error.
#[derive(Debug, thiserror::Error)]
enum Endless {
    #[error(
        "a quotation mark in row {0} is opened and not closed, so the rows after it cannot be told apart"
    )]
    Quote(u32),
    #[error("row {0} has more than {ROW_BYTES_LIMIT} bytes; is it a CSV?")]
    Row(u32),
}

/// A reader over `text` with visible blank lines.
pub(super) struct VisibleRows<R> {
    text: R,
    separator: u8,
    state: State,
    after_return: bool,
    row: u32,
    row_bytes: usize,
    chunk: Box<[u8]>,
    out: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: Read> VisibleRows<R> {
    pub fn new(text: R, separator: u8) -> Self {
        Self {
            text,
            separator,
            state: State::RowStart,
            after_return: false,
            row: 1,
            row_bytes: 0,
            chunk: vec![0; CHUNK_BYTES].into_boxed_slice(),
            out: Vec::new(),
            at: 0,
            ended: false,
        }
    }

    fn translate_more(&mut self) -> io::Result<()> {
        self.out.clear();
        self.at = 0;
        let length = self.text.read(&mut self.chunk)?;
        self.ended = length == 0;
        for at in 0..length {
            self.translate(self.chunk[at]);
        }
        let runs_on = self.row_bytes > ROW_BYTES_LIMIT;
        let endless = match self.state {
            State::Quoted if runs_on || self.ended => Endless::Quote(self.row),
            _ if runs_on => Endless::Row(self.row),
            _ => return Ok(()),
        };
        Err(io::Error::new(io::ErrorKind::InvalidData, endless))
    }

    fn translate(&mut self, byte: u8) {
        let second_half = std::mem::take(&mut self.after_return) && byte == b'\n';
        if second_half {
            return;
        }
        self.row_bytes += 1;
        self.state = match (self.state, byte) {
            (State::Quoted, b'"') => State::QuoteInQuoted,
            (State::Quoted, _) => State::Quoted,
            (before, b'\r' | b'\n') => {
                if before == State::RowStart {
                    self.out.extend_from_slice(b"\"\"");
                }
                self.out.push(b'\n');
                self.after_return = byte == b'\r';
                self.row = self.row.saturating_add(1);
                self.row_bytes = 0;
                self.state = State::RowStart;
                return;
            }
            (State::RowStart | State::FieldStart | State::QuoteInQuoted, b'"') => State::Quoted,
            (_, byte) if byte == self.separator => State::FieldStart,
            _ => State::Unquoted,
        };
        self.out.push(byte);
    }
}

impl<R: Read> Read for VisibleRows<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.out.len() && !self.ended {
            self.translate_more()?;
        }
        let length = buffer.len().min(self.out.len() - self.at);
        buffer[..length].copy_from_slice(&self.out[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time, so that every boundary falls everywhere.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(self.0.len()).min(buffer.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    fn rows(text: &str) -> Vec<Vec<String>> {
        let of = |drip| {
            ::csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .from_reader(VisibleRows::new(Drip(text.as_bytes(), drip), b','))
                .into_records()
                .map(|record| record.unwrap().iter().map(str::to_owned).collect::<Vec<_>>())
                .collect::<Vec<_>>()
        };
        let at_once = of(usize::MAX);
        for drip in 1..4 {
            assert_eq!(of(drip), at_once, "{drip} bytes at a time: {text:?}");
        }
        at_once
    }

    #[test]
    fn blank_lines_are_rows_whatever_ends_a_line() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["a,b", "", "\"1\n\n2\",\"x\"\"\"", "", "", "c\"d,\"e\"f"].join(end);
            let expected =
                [vec!["a", "b"], vec![""], vec!["1\n\n2", "x\""], vec![""], vec![""], vec!["c\"d", "ef"]];
            assert_eq!(rows(&text), expected, "{end:?}");
            assert_eq!(rows(&format!("{text}{end}")), expected, "{end:?} at the end is no row of its own");
        }
    }

    #[test]
    fn a_line_end_of_two_characters_within_quotes_stays() {
        assert_eq!(rows("\"a\r\n\r\nb\",c\r\n\r\nd"), [vec!["a\r\n\r\nb", "c"], vec![""], vec!["d"]]);
    }

    #[test]
    fn an_open_quotation_mark_is_an_error_that_names_its_row() {
        let mut out = Vec::new();
        let error = VisibleRows::new("a\n\nb,\"c\nd\ne".as_bytes(), b',').read_to_end(&mut out).unwrap_err();
        assert!(error.to_string().contains("row 3 "), "{error}");
    }

    #[test]
    fn a_row_that_runs_on_is_an_error_before_it_fills_the_memory() {
        let text = io::repeat(b'x');
        let error = VisibleRows::new(b"a\n\"".chain(text), b',')
            .take(1 << 30)
            .read_to_end(&mut Vec::new())
            .unwrap_err();
        assert!(error.to_string().contains("quotation mark in row 2 "), "{error}");
        let text = b"a\n".chain(io::repeat(b'x'));
        let error = VisibleRows::new(text, b',').take(1 << 30).read_to_end(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("row 2 has more than 4194304 bytes"), "{error}");
    }
}
