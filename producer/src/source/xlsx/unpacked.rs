//! Whether a workbook fits into memory once it is unpacked.
//!
//! A workbook is a ZIP of XML, and a small one may unpack to anything. The library that reads it keeps the table of texts,
//! and what it is in the middle of, in memory; so each part is gone through first, in pieces, and a workbook that is
//! beyond a limit is refused before the library sees it.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::rc::Rc;

use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use zip::ZipArchive;

/// Limits of what a workbook unpacks to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of all parts together. Sheets are streamed.
    pub all: u64,
    /// Bytes of a part that is no sheet. The table of texts is kept.
    pub part: u64,
    /// Bytes of a cell, or of a text in the table, with its formatting.
    pub cell: u64,
    /// Texts in the table.
    pub texts: u64,
}

/// A million rows of thirty columns are within them.
pub(super) const LIMITS: Limits = Limits { all: 4 << 30, part: 256 << 20, cell: 4 << 20, texts: 8_000_000 };

/// Why a workbook is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TooLarge {
    #[error("it unpacks to more than {0} bytes; remove what is not needed, or save the sheet as CSV")]
    All(u64),
    #[error(
        "a part of it that is no sheet unpacks to more than {0} bytes; remove what is not needed, or save the sheet as CSV"
    )]
    Part(u64),
    #[error("a cell of it takes more than {0} bytes; shorten it, or save the sheet as CSV")]
    Cell(u64),
    #[error("it has more than {0} different texts; remove what is not needed, or save the sheet as CSV")]
    Texts(u64),
}

/// Goes through all parts. What is no ZIP or no XML is left to the reader, which says so.
pub(super) fn check<R: Read + Seek>(file: R, limits: &Limits) -> Result<(), TooLarge> {
    let Ok(mut archive) = ZipArchive::new(file) else { return Ok(()) };
    let mut left = limits.all;
    for at in 0..archive.len() {
        let Ok(part) = archive.by_index(at) else { continue };
        let name = part.name().map(|name| name.to_lowercase().replace('\\', "/")).unwrap_or_default();
        let is_sheet = name.contains("worksheets/") && !name.ends_with("sharedstrings.xml");
        let (most, beyond) = match is_sheet || left < limits.part {
            true => (left, TooLarge::All(limits.all)),
            false => (limits.part, TooLarge::Part(limits.part)),
        };
        left -= read(part, most, beyond, limits)?;
    }
    Ok(())
}

/// How many bytes the part has, as far as it is XML.
fn read(part: impl Read, most: u64, beyond: TooLarge, limits: &Limits) -> Result<u64, TooLarge> {
    let budget = Rc::new(Budget { part: Cell::new(most), cell: Cell::new(limits.cell) });
    let mut xml = Reader::from_reader(Metered { part: BufReader::new(part), budget: budget.clone() });
    // As the reader of workbooks has it.
    xml.config_mut().check_end_names = false;
    xml.config_mut().expand_empty_elements = true;
    let (mut event, mut in_cell, mut texts) = (Vec::new(), false, 0);
    loop {
        event.clear();
        match xml.read_event_into(&mut event) {
            Ok(Event::Start(tag)) => match tag.local_name().as_ref() {
                "si" => {
                    texts += 1;
                    in_cell = true;
                }
                "c" => in_cell = true,
                "sst" if declared(&tag).is_none_or(|texts| texts > limits.texts) => {
                    return Err(TooLarge::Texts(limits.texts));
                }
                _ => {}
            },
            Ok(Event::End(tag)) if matches!(tag.local_name().as_ref(), "c" | "si") => in_cell = false,
            Ok(Event::Eof) | Err(_) => break,
            Ok(_) => {}
        }
        if texts > limits.texts {
            return Err(TooLarge::Texts(limits.texts));
        }
        if !in_cell {
            budget.cell.set(limits.cell);
        }
    }
    if budget.part.get() == 0 {
        return Err(beyond);
    }
    if budget.cell.get() == 0 {
        return Err(TooLarge::Cell(limits.cell));
    }
    Ok(most - budget.part.get())
}

/// How many texts the table says it has: room for them is made at once. None: it cannot be told.
fn declared(table: &BytesStart<'_>) -> Option<u64> {
    let mut declared = 0;
    for attribute in table.attributes().with_checks(false) {
        let attribute = attribute.ok()?;
        if attribute.key.local_name().as_ref() == "uniqueCount" {
            declared = declared.max(attribute.value.trim().parse().ok()?);
        }
    }
    Some(declared)
}

struct Budget {
    part: Cell<u64>,
    cell: Cell<u64>,
}

/// Ends where a budget does.
struct Metered<R> {
    part: BufReader<R>,
    budget: Rc<Budget>,
}

impl<R: Read> BufRead for Metered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let left = self.budget.part.get().min(self.budget.cell.get());
        let piece = self.part.fill_buf()?;
        Ok(&piece[..piece.len().min(usize::try_from(left).unwrap_or(usize::MAX))])
    }

    fn consume(&mut self, length: usize) {
        self.part.consume(length);
        for budget in [&self.budget.part, &self.budget.cell] {
            budget.set(budget.get().saturating_sub(length as u64));
        }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let length = piece.len().min(buffer.len());
        buffer[..length].copy_from_slice(&piece[..length]);
        self.consume(length);
        Ok(length)
    }
}

#[cfg(test)]
mod tests;
