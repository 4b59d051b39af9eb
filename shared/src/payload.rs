//! What travels sealed: a row's NIK and number, bound to the run and row they belong to.

use crate::data_key::{DataKeyError, DataKeys, Digests, KeyedHash};
use crate::domain::{Nik, PhoneNumber};
use crate::ledger::RowKey;

/// A row's personal data, as far as it could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// The NIK, where the cell held one.
    pub nik: Option<Nik>,
    /// The number, where the cell held one.
    pub number: Option<PhoneNumber>,
}

impl Payload {
    /// Seals it for a row. Clear form: the NIK, a line feed, the number in E.164; either may be empty.
    pub fn seal(&self, keys: &DataKeys, row: &RowKey) -> Vec<u8> {
        let nik = self.nik.as_ref().map_or("", Nik::expose);
        let number = self.number.as_ref().map_or("", PhoneNumber::expose);
        keys.seal(&row.place(), format!("{nik}\n{number}").as_bytes())
    }

    /// The hashes of both.
    pub fn hashes(&self, keys: &DataKeys) -> (Option<KeyedHash>, Option<KeyedHash>) {
        (
            self.nik.as_ref().map(|nik| keys.nik_hash(nik)),
            self.number.as_ref().map(|number| keys.number_hash(number)),
        )
    }

    /// What the hashes are made of, sealed; none where there is neither.
    pub fn digests(&self, keys: &DataKeys) -> Option<Vec<u8>> {
        let digests = Digests::of(self.nik.as_ref(), self.number.as_ref());
        digests.is_some().then(|| keys.seal_digests(&digests))
    }

    /// Opens what [`seal`](Self::seal) made for the same row.
    pub fn open(keys: &DataKeys, row: &RowKey, sealed: &[u8]) -> Result<Self, DataKeyError> {
        let clear = keys.open(&row.place(), sealed)?;
        let text = str::from_utf8(&clear).map_err(|_| DataKeyError::Broken)?;
        let (nik, number) = text.split_once('\n').ok_or(DataKeyError::Broken)?;
        Ok(Self { nik: read(nik)?, number: read(number)? })
    }
}

fn read<T: std::str::FromStr>(text: &str) -> Result<Option<T>, DataKeyError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| DataKeyError::Broken)
}
