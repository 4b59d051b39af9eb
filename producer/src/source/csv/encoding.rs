//! From bytes to text, as a stream, by the byte order mark or by what the bytes look like.
//!
//! UTF-16 is turned into UTF-8 as a whole. UTF-8 and Windows-1252 are told apart field by field: the
//! separators are the same bytes in both, so one stray byte spoils one field and not the file.

use std::borrow::Cow;
use std::io::{self, Cursor, Read};

use encoding_rs::{Decoder, Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};

const CHUNK_BYTES: usize = 16 * 1024;
const LOOK_BYTES: u64 = 1024;

/// The file's text with the byte order mark taken off: UTF-8, or bytes for [`field`] to judge.
pub(super) fn decoded<R: Read + 'static>(mut file: R) -> io::Result<Box<dyn Read>> {
    let mut head = Vec::new();
    (&mut file).take(LOOK_BYTES).read_to_end(&mut head)?;
    let (encoding, mark) = match Encoding::for_bom(&head) {
        Some((encoding, mark)) => (Some(encoding), mark),
        None => (unmarked_utf16(&head), 0),
    };
    let bytes = Cursor::new(head.split_off(mark)).chain(file);
    Ok(match encoding {
        Some(encoding) if encoding == UTF_16LE || encoding == UTF_16BE => {
            Box::new(Utf16::new(bytes, encoding.new_decoder_without_bom_handling()))
        }
        _ => Box::new(bytes),
    })
}

/// A field as text: UTF-8 where it is valid, Windows-1252 otherwise.
pub(super) fn field(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0,
    }
}

/// UTF-16 without a mark: a table in Latin letters has a zero in every other byte.
fn unmarked_utf16(head: &[u8]) -> Option<&'static Encoding> {
    let zeros = |offset| head.iter().skip(offset).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let (many, few) = (head.len() / 4, head.len() / 16);
    if odd > many && even <= few {
        Some(UTF_16LE)
    } else if even > many && odd <= few {
        Some(UTF_16BE)
    } else {
        None
    }
}

struct Utf16<R> {
    bytes: R,
    decoder: Decoder,
    text: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: Read> Utf16<R> {
    fn new(bytes: R, decoder: Decoder) -> Self {
        Self { bytes, decoder, text: Vec::new(), at: 0, ended: false }
    }

    fn decode_more(&mut self) -> io::Result<()> {
        let mut chunk = [0; CHUNK_BYTES];
        let length = self.bytes.read(&mut chunk)?;
        self.ended = length == 0;
        let room = self.decoder.max_utf8_buffer_length(length).unwrap_or(4 * CHUNK_BYTES);
        self.text.resize(room, 0);
        self.at = 0;
        let (_, _, written, _) = self.decoder.decode_to_utf8(&chunk[..length], &mut self.text, self.ended);
        self.text.truncate(written);
        Ok(())
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.text.len() && !self.ended {
            self.decode_more()?;
        }
        let length = buffer.len().min(self.text.len() - self.at);
        buffer[..length].copy_from_slice(&self.text[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: Vec<u8>) -> String {
        let mut text = Vec::new();
        decoded(Cursor::new(bytes)).unwrap().read_to_end(&mut text).unwrap();
        field(&text).into_owned()
    }

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn reads_each_encoding_with_and_without_its_mark() {
        let text = "nik,nama é 😀\r\n".repeat(3_000);
        assert!(decode(text.clone().into_bytes()) == text);
        assert!(decode(format!("\u{feff}{text}").into_bytes()) == text);
        for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
            assert!(decode(utf16(&format!("\u{feff}{text}"), bytes)) == text);
            assert!(decode(utf16(&text, bytes)) == text);
        }
        assert_eq!(decode(b"caf\xe9 \x80".to_vec()), "café €");
    }

    #[test]
    fn half_a_character_at_the_end_is_replaced_not_lost_in_silence() {
        let mut bytes = utf16("\u{feff}ab", u16::to_le_bytes);
        bytes.push(b'c');
        assert_eq!(decode(bytes), "ab\u{fffd}");
    }
}
