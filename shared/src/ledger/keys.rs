//! What the ledger holds under a data key, and how it comes under another: the side of `rekey`.
//!
//! Hashes are compared, so at any time all that matter are of one key, which the ledger names. While a change of it is
//! under way no run may be opened or replayed, and it may not begin while one is unfinished: so no claim ever meets a
//! person half of whose records are under another key.

use async_trait::async_trait;

use super::{LedgerError, RowKey, RunId};
use crate::data_key::KeyedHash;

/// Which key the ledger's hashes are made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyState {
    /// The key's name.
    pub hashes: String,
    /// The key that a change under way leads to.
    pub next: Option<String>,
}

impl KeyState {
    /// Whether hashes of this key compare with the ledger's now.
    pub(super) fn admits(&self, ours: &str) -> Result<(), LedgerError> {
        match &self.next {
            Some(_) => Err(LedgerError::Rekeying),
            None if self.hashes == ours => Ok(()),
            None => Err(LedgerError::OtherKey { theirs: self.hashes.clone(), ours: ours.to_owned() }),
        }
    }
}

/// Kinds of what is held under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldKind {
    /// [`Held::Selection`].
    Selection,
    /// [`Held::Act`].
    Act,
    /// [`Held::Row`].
    Row,
    /// [`Held::DeadLetter`].
    DeadLetter,
    /// [`Held::Intent`].
    Intent,
    /// [`Held::Stray`].
    Stray,
    /// [`Held::Newest`].
    Newest,
}

/// Something sealed or hashed. Each names its line in its table; the rest is what depends on the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Which persons a run was asked for: hashes among JSON.
    Selection {
        /// The run.
        run: RunId,
        /// The selection.
        json: String,
    },
    /// What an operator did: hashes among JSON.
    Act {
        /// Its number.
        number: i64,
        /// The detail.
        json: String,
    },
    /// A row. Its success goes with it.
    Row {
        /// Which; its generation does not matter here.
        key: RowKey,
        /// The NIK's hash.
        nik: Option<KeyedHash>,
        /// The number's hash.
        number: Option<KeyedHash>,
        /// NIK and number.
        sealed: Vec<u8>,
        /// Their digests, sealed.
        digests: Option<Vec<u8>>,
    },
    /// A dead letter.
    DeadLetter {
        /// Its number.
        number: i64,
        /// The row it is of.
        key: RowKey,
        /// The NIK's hash.
        nik: KeyedHash,
        /// NIK and number.
        sealed: Vec<u8>,
    },
    /// An intent.
    Intent {
        /// The row it is of.
        key: RowKey,
        /// The Patient's logical id, sealed, in Base64.
        patient: String,
        /// The telecom before the write, sealed.
        before: Vec<u8>,
    },
    /// A message that could not be decoded.
    Stray {
        /// Its number.
        number: i64,
        /// What it is bound to.
        place: Vec<u8>,
        /// Its body.
        sealed: Vec<u8>,
    },
    /// A person's newest success.
    Newest {
        /// The NIK's hash.
        nik: KeyedHash,
        /// The number's hash.
        number: KeyedHash,
        /// Digests of both, sealed; none in one that an earlier version wrote.
        digests: Option<Vec<u8>>,
        /// The row it came from.
        key: RowKey,
        /// What is sealed there, while it is kept.
        sealed: Option<Vec<u8>>,
    },
}

/// See the module.
#[async_trait]
pub trait LedgerKeys: Send + Sync {
    /// Which key hashes are made with; none before the first run.
    async fn key_state(&self) -> Result<Option<KeyState>, LedgerError>;

    /// Begins to bring everything under the key `to`, or goes on with it.
    ///
    /// # Errors
    /// [`LedgerError::Unfinished`] while a run is.
    async fn begin_rekey(&self, to: &str) -> Result<(), LedgerError>;

    /// What is held of this kind, in a fixed order, after `after`.
    async fn held(&self, kind: HeldKind, after: Option<&Held>, limit: u32) -> Result<Vec<Held>, LedgerError>;

    /// A row, or else the newest success, of the person with this hash.
    async fn held_of(&self, nik: &KeyedHash) -> Result<Option<Held>, LedgerError>;

    /// Puts each second in the place of its first, all in one transaction.
    async fn replace_held(&self, changes: Vec<(Held, Held)>) -> Result<(), LedgerError>;

    /// Everything is under the key `to`: runs may be opened again. False: another change was begun since.
    async fn end_rekey(&self, to: &str) -> Result<bool, LedgerError>;
}
