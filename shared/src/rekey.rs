//! Brings everything that the ledger holds under the newest key of `DATA_KEY`: sealed values are sealed anew, hashes made
//! anew, each NIK's newest success among them. In batches, each a transaction; what is under the newest key already is
//! passed over, so a change that was interrupted goes on where it was.
//!
//! It refuses to begin while a run is unfinished, and no run is opened while it lasts: hashes of two keys do not
//! compare, and a person must not be met half changed. A night that finds one begun carries it on first.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::data_key::{DataKeyError, DataKeys, KeyedHash};
use crate::ledger::{Act, Held, HeldKind, KeyState, Ledger, LedgerError, RowKey};
use crate::payload::Payload;

/// What a batch changes: some ten milliseconds' work of either ledger.
const BATCH: u32 = 200;

/// One process at a time.
const DUTY: &str = "rekey";

/// How long the duty is held; each batch holds it anew.
const LEASE: Duration = Duration::from_secs(60);

/// Texts first: the persons in them are found by their old hashes.
const KINDS: [HeldKind; 7] = [
    HeldKind::Selection,
    HeldKind::Act,
    HeldKind::Row,
    HeldKind::DeadLetter,
    HeldKind::Intent,
    HeldKind::Stray,
    HeldKind::Newest,
];

/// How many of each kind were brought under the newest key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Rekeyed {
    /// Rows, with their successes.
    pub rows: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Intents.
    pub intents: u64,
    /// Messages that nobody could read.
    pub strays: u64,
    /// Persons' newest successes.
    pub newest_successes: u64,
    /// Selections of runs and notes of acts.
    pub texts: u64,
    /// What could not be: damaged, or of a person of whom nothing else is known any more.
    pub left: u64,
}

impl fmt::Display for Rekeyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, dead_letters, intents, strays, newest_successes, texts, left } = self;
        write!(
            f,
            "{rows} rows, {dead_letters} dead letters, {intents} intents, {strays} unreadable messages, \
             {newest_successes} newest successes, {texts} notes; left as they were: {left}"
        )
    }
}

/// Why it stopped; starting again carries it on.
#[derive(Debug, thiserror::Error)]
pub enum RekeyError {
    /// The ledger failed, or a run is unfinished.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A key that is needed is missing.
    #[error("something in the ledger cannot be brought under the newest key")]
    Key(#[from] DataKeyError),
    /// A change to another key was begun than this process's newest.
    #[error("a change of the data key to '{next}' is under way, and the first line of DATA_KEY is '{ours}'")]
    Other {
        /// Where it leads.
        next: String,
        /// The newest key here.
        ours: String,
    },
}

/// See the module.
pub struct Rekey {
    ledger: Arc<dyn Ledger>,
    keys: Arc<DataKeys>,
    holder: String,
}

/// How one look at the ledger's key ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Hashes of this process compare with the ledger's.
    Yes,
    /// Another process is changing the key.
    Elsewhere,
}

impl Rekey {
    /// `holder` names this process among its peers.
    pub fn new(ledger: Arc<dyn Ledger>, keys: Arc<DataKeys>, holder: String) -> Self {
        Self { ledger, keys, holder }
    }

    /// Makes this process hash with the key that the ledger's hashes are made with; carries a change that was begun to
    /// its end before.
    pub async fn settle(&self, who: &str) -> Result<Settled, RekeyError> {
        let newest = self.keys.newest();
        match self.ledger.key_state().await? {
            None => self.keys.hash_under(&newest)?,
            Some(KeyState { hashes, next: None }) => self.keys.hash_under(&hashes)?,
            Some(KeyState { next: Some(next), .. }) if next != newest => {
                return Err(RekeyError::Other { next, ours: newest });
            }
            Some(_) => {
                tracing::info!("a change of the data key was begun, carrying it on before anything else");
                return Ok(match self.run(who).await? {
                    Some(_) => Settled::Yes,
                    None => Settled::Elsewhere,
                });
            }
        }
        Ok(Settled::Yes)
    }

    /// Brings everything under the newest key, and notes it as an act of `who`. None: another process is at it.
    pub async fn run(&self, who: &str) -> Result<Option<Rekeyed>, RekeyError> {
        if !self.ledger.hold_duty(DUTY, &self.holder, LEASE).await? {
            return Ok(None);
        }
        let newest = self.keys.newest();
        let before = self.ledger.key_state().await?.map(|state| state.hashes);
        self.ledger.begin_rekey(&newest).await?;
        self.keys.hash_under(&newest)?;
        let mut all = Rekeyed::default();
        for kind in KINDS {
            let mut last = None;
            while let Some(held) = self.batch(kind, last.as_ref(), &mut all).await? {
                last = Some(held);
                if !self.ledger.hold_duty(DUTY, &self.holder, LEASE).await? {
                    return Ok(None);
                }
            }
        }
        if !self.ledger.end_rekey(&newest).await? {
            return Ok(None);
        }
        let detail = json!({ "from": before, "to": newest, "changed": all });
        self.ledger.note_act(Act { who: who.to_owned(), act: "rekey".into(), detail }).await?;
        self.ledger.hold_duty(DUTY, &self.holder, Duration::ZERO).await?;
        tracing::info!(
            key = newest,
            left = all.left,
            "everything in the ledger is under the newest data key"
        );
        Ok(Some(all))
    }

    /// Changes what comes after `last`. None: there is no more.
    pub async fn batch(
        &self,
        kind: HeldKind,
        last: Option<&Held>,
        all: &mut Rekeyed,
    ) -> Result<Option<Held>, RekeyError> {
        let held = self.ledger.held(kind, last, BATCH).await?;
        let last = held.last().cloned();
        let mut changes = Vec::new();
        for before in held {
            match self.renewed(&before).await {
                Ok(Some(after)) => changes.push((before, after)),
                Ok(None) => {}
                Err(RekeyError::Key(DataKeyError::Broken)) => all.left += 1,
                Err(error) => return Err(error),
            }
        }
        let changed = changes.len() as u64;
        if changed > 0 {
            self.ledger.replace_held(changes).await?;
        }
        *match kind {
            HeldKind::Selection | HeldKind::Act => &mut all.texts,
            HeldKind::Row => &mut all.rows,
            HeldKind::DeadLetter => &mut all.dead_letters,
            HeldKind::Intent => &mut all.intents,
            HeldKind::Stray => &mut all.strays,
            HeldKind::Newest => &mut all.newest_successes,
        } += changed;
        Ok(last)
    }

    /// The same under the newest key; none where it is under it already.
    async fn renewed(&self, held: &Held) -> Result<Option<Held>, RekeyError> {
        let keys = &self.keys;
        let is_new = |sealed: &[u8]| keys.is_sealed_by_newest(sealed);
        Ok(match held.clone() {
            Held::Selection { run, json } => {
                self.reworded(&json).await?.map(|json| Held::Selection { run, json })
            }
            Held::Act { number, json } => self.reworded(&json).await?.map(|json| Held::Act { number, json }),
            Held::Row { sealed, digests, nik, .. }
                if is_new(&sealed)
                    && digests.as_deref().is_some_and(is_new)
                    && nik.as_ref().is_none_or(|nik| keys.is_of_newest(nik)) =>
            {
                None
            }
            Held::Row { key, sealed, .. } => {
                let payload = Payload::open(keys, &key, &sealed)?;
                let (nik, number) = payload.hashes(keys);
                let digests = payload.digests(keys);
                Some(Held::Row { key, nik, number, sealed: payload.seal(keys, &key), digests })
            }
            Held::DeadLetter { sealed, nik, .. } if is_new(&sealed) && keys.is_of_newest(&nik) => None,
            Held::DeadLetter { number, key, sealed, .. } => {
                let payload = Payload::open(keys, &key, &sealed)?;
                let nik = payload.hashes(keys).0.ok_or(DataKeyError::Broken)?;
                Some(Held::DeadLetter { number, key, nik, sealed: payload.seal(keys, &key) })
            }
            Held::Intent { before, .. } if is_new(&before) => None,
            Held::Intent { key, patient, before } => {
                let place = key.place();
                let patient = keys.seal_text(&place, &keys.open_text(&place, &patient)?);
                let before = keys.seal(&place, &keys.open(&place, &before)?);
                Some(Held::Intent { key, patient, before })
            }
            Held::Stray { sealed, .. } if is_new(&sealed) => None,
            Held::Stray { number, place, sealed } => {
                let sealed = keys.seal(&place, &keys.open(&place, &sealed)?);
                Some(Held::Stray { number, place, sealed })
            }
            Held::Newest { nik, digests, .. }
                if keys.is_of_newest(&nik) && digests.as_deref().is_some_and(is_new) =>
            {
                None
            }
            Held::Newest { digests, key, sealed, .. } => {
                let digests = self.digests(digests.as_deref(), &key, sealed.as_deref())?;
                let (nik, number) = keys.hashes_of(&keys.open_digests(&digests)?);
                let (nik, number) = nik.zip(number).ok_or(DataKeyError::Broken)?;
                let digests = Some(keys.seal_digests(&keys.open_digests(&digests)?));
                Some(Held::Newest { nik, number, digests, key, sealed })
            }
        })
    }

    /// Those that are kept, or of the row that is.
    fn digests(
        &self,
        digests: Option<&[u8]>,
        key: &RowKey,
        sealed: Option<&[u8]>,
    ) -> Result<Vec<u8>, DataKeyError> {
        match (digests, sealed) {
            (Some(digests), _) => Ok(digests.to_vec()),
            (None, Some(sealed)) => {
                Payload::open(&self.keys, key, sealed)?.digests(&self.keys).ok_or(DataKeyError::Broken)
            }
            (None, None) => Err(DataKeyError::Broken),
        }
    }

    /// JSON with every older hash of a known person replaced; none where there is none.
    async fn reworded(&self, json: &str) -> Result<Option<String>, RekeyError> {
        let mut text = json.to_owned();
        for word in json.split('"') {
            let Ok(old) = word.parse::<KeyedHash>() else { continue };
            if self.keys.is_of_newest(&old) {
                continue;
            }
            if let Some(new) = self.hash_now(&old).await? {
                text = text.replace(old.as_str(), new.as_str());
            }
        }
        Ok((text != json).then_some(text))
    }

    async fn hash_now(&self, old: &KeyedHash) -> Result<Option<KeyedHash>, RekeyError> {
        Ok(match self.ledger.held_of(old).await? {
            Some(Held::Row { key, sealed, .. }) => {
                Payload::open(&self.keys, &key, &sealed)?.hashes(&self.keys).0
            }
            Some(Held::Newest { digests: Some(digests), .. }) => {
                self.keys.hashes_of(&self.keys.open_digests(&digests)?).0
            }
            _ => None,
        })
    }
}
