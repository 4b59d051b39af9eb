//! The Patients, as serialised bodies with their versions, and the identifiers they are found by.
//!
//! Bodies are kept as bytes: a search copies them into its Bundle without parsing, and a million of them fit in
//! memory. HTTP, views and faults live beside this module, not in it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::clock::{WallClock, instant_text};

use super::identifiers::IdentifierIndex;

pub(super) const SHARDS: usize = 256;

/// Why a Patient could not be loaded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InsertError {
    /// Not a JSON object with `resourceType` Patient.
    #[error("only Patient resources can be loaded")]
    NotAPatient,
    /// Another Patient has this id.
    #[error("a Patient with this id is already loaded")]
    DuplicateId,
}

/// A Patient as it stands.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) body: Bytes,
    pub(crate) version: u32,
    pub(crate) modified_ms: i64,
}

/// A version that was just made.
pub(crate) struct Written {
    pub(crate) stored: Stored,
    /// Whether it is the Patient's first in this epoch of the statistics.
    pub(crate) first: bool,
}

/// Why there is nothing to read or to write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    Unknown,
    Deleted,
    /// The Patient has this version, not the expected one.
    Stale(u32),
}

struct Record {
    id: Box<str>,
    body: Bytes,
    modified_ms: i64,
    /// 0 where the Patient has no 16-digit NIK.
    nik: u64,
    /// Hash of the identifiers, so that a write that leaves them alone does not touch the index.
    identifiers: u64,
    version: u32,
    changed_in_epoch: u32,
    deleted: bool,
}

type SlotsById = HashMap<Box<str>, u32>;

/// All Patients of one FHIR server.
pub struct FhirStore {
    shards: Box<[RwLock<Vec<Record>>]>,
    ids: Box<[RwLock<SlotsById>]>,
    identifiers: IdentifierIndex,
    filled: AtomicU32,
    /// Inserts are one after another, so that a slot's place in its shard is its number divided by the shards.
    inserting: Mutex<()>,
    clock: WallClock,
    hasher: RandomState,
}

/// As many shards as keep writers out of each other's way.
pub(super) fn sharded<T: Default>() -> Box<[RwLock<T>]> {
    (0..SHARDS).map(|_| RwLock::default()).collect()
}

pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

impl FhirStore {
    /// An empty store that indexes NIKs under this identifier system.
    pub fn new(nik_system: impl Into<String>, clock: WallClock) -> Self {
        Self {
            shards: sharded(),
            ids: sharded(),
            identifiers: IdentifierIndex::new(nik_system.into()),
            filled: AtomicU32::new(0),
            inserting: Mutex::new(()),
            clock,
            hasher: RandomState::new(),
        }
    }

    /// Loads a Patient as version 1 and gives its id, which is made up where the resource has none.
    ///
    /// # Errors
    /// Not a Patient, or an id that is already taken.
    pub fn insert(&self, patient: Value) -> Result<String, InsertError> {
        let Value::Object(mut fields) = patient else { return Err(InsertError::NotAPatient) };
        if fields.get("resourceType").and_then(Value::as_str) != Some("Patient") {
            return Err(InsertError::NotAPatient);
        }
        let id = match fields.get("id").and_then(Value::as_str) {
            Some(id) => id.to_owned(),
            None => {
                let id = format!("patient-{}", self.filled.load(Ordering::Relaxed));
                fields.shift_insert(1.min(fields.len()), "id".to_owned(), Value::String(id.clone()));
                id
            }
        };
        let now = self.clock.now_ms();
        let identifiers = identifiers_of(&fields);
        let body = stamped(&mut fields, 1, now);
        self.insert_body(&id, body, now, &identifiers)?;
        Ok(id)
    }

    /// Loads a Patient whose body is already stamped as version 1, with its (system, value) identifiers.
    pub(crate) fn insert_body(
        &self,
        id: &str,
        body: Bytes,
        modified_ms: i64,
        identifiers: &[(String, String)],
    ) -> Result<(), InsertError> {
        let _one_at_a_time = self.inserting.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = self.filled.load(Ordering::Relaxed);
        {
            let mut ids = write(&self.ids[self.shard_of(id)]);
            if ids.contains_key(id) {
                return Err(InsertError::DuplicateId);
            }
            ids.insert(id.into(), slot);
        }
        let record = Record {
            id: id.into(),
            body,
            modified_ms,
            nik: self.identifiers.nik_in(identifiers),
            identifiers: self.hasher.hash_one(identifiers),
            version: 1,
            changed_in_epoch: 0,
            deleted: false,
        };
        write(&self.shards[slot as usize % SHARDS]).push(record);
        self.filled.store(slot + 1, Ordering::Release);
        self.identifiers.add(slot, identifiers);
        Ok(())
    }

    /// How many Patients were ever loaded, deleted ones included.
    pub fn len(&self) -> usize {
        self.filled.load(Ordering::Acquire) as usize
    }

    /// Whether no Patient was ever loaded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The Patients that hold this NIK now, as they stand.
    pub fn patient_by_nik(&self, nik: &str) -> Vec<Value> {
        let slots = self.find(Some(self.identifiers.nik_system()), nik);
        let bodies = slots.into_iter().filter_map(|slot| self.at(slot));
        bodies.filter_map(|stored| serde_json::from_slice(&stored.body).ok()).collect()
    }

    /// The current mobile number of the one Patient with this NIK, as it is written there; none where no or
    /// several Patients hold the NIK.
    pub fn current_mobile(&self, nik: &str) -> Option<String> {
        let patients = self.patient_by_nik(nik);
        let [patient] = patients.as_slice() else { return None };
        let today = instant_text(self.clock.now_ms());
        let current = |entry: &&Value| {
            let is = |field: &str, wanted: &str| entry[field].as_str() == Some(wanted);
            let ended = entry["period"]["end"].as_str().is_some_and(|end| end < &today[..end.len().min(10)]);
            is("system", "phone") && is("use", "mobile") && !ended && entry["value"].is_string()
        };
        let entries = patient["telecom"].as_array()?.iter().filter(current);
        let best = entries.min_by_key(|entry| entry["rank"].as_u64().unwrap_or(u64::MAX))?;
        best["value"].as_str().map(str::to_owned)
    }

    /// The version of the Patient with this id; none where it is unknown or deleted.
    pub fn version(&self, id: &str) -> Option<u32> {
        self.read(id).ok().map(|stored| stored.version)
    }

    /// Writes a Patient again as it stands, as another writer would: one more version, outside the statistics.
    /// Says whether there was such a Patient.
    pub fn touch(&self, id: &str) -> bool {
        let Ok(stored) = self.read(id) else { return false };
        let Ok(Value::Object(fields)) = serde_json::from_slice(&stored.body) else { return false };
        self.update(id, None, fields, None).is_ok()
    }

    pub(crate) fn read(&self, id: &str) -> Result<Stored, Absent> {
        let slot = self.slot(id).ok_or(Absent::Unknown)?;
        self.at(slot).ok_or(Absent::Deleted)
    }

    /// The Patient in a slot, unless it is deleted.
    pub(crate) fn at(&self, slot: u32) -> Option<Stored> {
        let shard = read(&self.shards[slot as usize % SHARDS]);
        let record = shard.get(slot as usize / SHARDS).filter(|record| !record.deleted)?;
        Some(Stored { body: record.body.clone(), version: record.version, modified_ms: record.modified_ms })
    }

    pub(crate) fn slot(&self, id: &str) -> Option<u32> {
        read(&self.ids[self.shard_of(id)]).get(id).copied()
    }

    /// The id of the Patient in a slot, which always holds one.
    pub(crate) fn id_at(&self, slot: u32) -> Box<str> {
        let shard = read(&self.shards[slot as usize % SHARDS]);
        shard.get(slot as usize / SHARDS).map(|record| record.id.clone()).unwrap_or_default()
    }

    /// The NIK of the Patient with this id.
    pub(crate) fn nik_of(&self, id: &str) -> Option<u64> {
        let slot = self.slot(id)?;
        let shard = read(&self.shards[slot as usize % SHARDS]);
        shard.get(slot as usize / SHARDS).map(|record| record.nik).filter(|nik| *nik != 0)
    }

    /// The slots found by an identifier; `None` as the system matches any, and no value matches any of the system's
    /// (FHIR R4, search.html#token: `[system]|`).
    pub(crate) fn find(&self, system: Option<&str>, value: &str) -> Vec<u32> {
        let mut slots = match system {
            Some(system) if value.is_empty() && !system.is_empty() => self.identifiers.of_system(system),
            system => self.identifiers.find(system, value),
        };
        slots.retain(|slot| self.at(*slot).is_some());
        slots
    }

    /// Replaces a Patient's body. `epoch` is that of the statistics; none for writes they do not count.
    pub(crate) fn update(
        &self,
        id: &str,
        expected: Option<u32>,
        mut fields: Map<String, Value>,
        epoch: Option<u32>,
    ) -> Result<Written, Absent> {
        let slot = self.slot(id).ok_or(Absent::Unknown)?;
        let identifiers = identifiers_of(&fields);
        let hash = self.hasher.hash_one(identifiers.as_slice());
        let now = self.clock.now_ms();
        let mut shard = write(&self.shards[slot as usize % SHARDS]);
        let record = shard.get_mut(slot as usize / SHARDS).ok_or(Absent::Unknown)?;
        record.check(expected)?;
        record.version += 1;
        record.modified_ms = now;
        let body = stamped(&mut fields, record.version, now);
        let previous = std::mem::replace(&mut record.body, body);
        if record.identifiers != hash {
            record.identifiers = hash;
            record.nik = self.identifiers.nik_in(&identifiers);
            // Under the Patient's lock, or two writers could leave the index with the loser's identifiers. A
            // search never holds an index lock while it takes a Patient's.
            if let Ok(Value::Object(fields)) = serde_json::from_slice(&previous) {
                self.identifiers.remove(slot, &identifiers_of(&fields));
            }
            self.identifiers.add(slot, &identifiers);
        }
        Ok(record.written(epoch))
    }

    pub(crate) fn delete(&self, id: &str, expected: Option<u32>, epoch: u32) -> Result<Written, Absent> {
        let slot = self.slot(id).ok_or(Absent::Unknown)?;
        let mut shard = write(&self.shards[slot as usize % SHARDS]);
        let record = shard.get_mut(slot as usize / SHARDS).ok_or(Absent::Unknown)?;
        record.check(expected)?;
        record.version += 1;
        record.modified_ms = self.clock.now_ms();
        record.deleted = true;
        Ok(record.written(Some(epoch)))
    }

    fn shard_of(&self, id: &str) -> usize {
        self.hasher.hash_one(id) as usize % SHARDS
    }
}

impl Record {
    fn check(&self, expected: Option<u32>) -> Result<(), Absent> {
        match expected {
            _ if self.deleted => Err(Absent::Deleted),
            Some(version) if version != self.version => Err(Absent::Stale(self.version)),
            _ => Ok(()),
        }
    }

    fn written(&mut self, epoch: Option<u32>) -> Written {
        let first = epoch.is_some_and(|epoch| epoch != self.changed_in_epoch);
        self.changed_in_epoch = epoch.unwrap_or(self.changed_in_epoch);
        let (body, version, modified_ms) = (self.body.clone(), self.version, self.modified_ms);
        Written { stored: Stored { body, version, modified_ms }, first }
    }
}

fn identifiers_of(fields: &Map<String, Value>) -> Vec<(String, String)> {
    let all = fields.get("identifier").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    all.iter()
        .filter(|identifier| identifier["value"].is_string())
        .map(|identifier| (text(&identifier["system"]), text(&identifier["value"])))
        .collect()
}

/// Serialises a Patient with its version and time in `meta`; every other byte of it stays.
fn stamped(fields: &mut Map<String, Value>, version: u32, modified_ms: i64) -> Bytes {
    if !fields.get("meta").is_some_and(Value::is_object) {
        fields.shift_remove("meta");
        fields.shift_insert(2.min(fields.len()), "meta".to_owned(), Value::Object(Map::new()));
    }
    if let Some(Value::Object(meta)) = fields.get_mut("meta") {
        meta.insert("versionId".to_owned(), Value::String(version.to_string()));
        meta.insert("lastUpdated".to_owned(), Value::String(instant_text(modified_ms)));
    }
    let body = serde_json::to_vec(fields).expect("a JSON object always serialises");
    // Boxed, so that no spare capacity is kept for as long as the body is.
    Bytes::from(body.into_boxed_slice())
}
