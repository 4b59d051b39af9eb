//! From an identifier to the Patients that hold it: sharded, and compact for the millions that are NIKs.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::collections::hash_map::{Entry, HashMap};
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::RwLock;

use super::store::{SHARDS, read, sharded, write};

/// A NIK as a number: exactly 16 ASCII digits, or nothing. Sixteen digits always fit, and leading zeros are no
/// ambiguity where the length is fixed.
pub(crate) fn nik_number(text: &str) -> Option<u64> {
    // Offset by one so that 0 can stand for "none" while sixteen zeros stay a value of their own.
    (text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse::<u64>().ok().map(|number| number + 1))
        .flatten()
}

/// Nearly every identifier belongs to one Patient.
enum Slots {
    One(u32),
    Many(Vec<u32>),
}

impl Slots {
    fn append_to(&self, slots: &mut Vec<u32>) {
        match self {
            Self::One(slot) => slots.push(*slot),
            Self::Many(many) => slots.extend_from_slice(many),
        }
    }
}

type Shard<K> = RwLock<HashMap<K, Slots>>;

/// The index of one store. Slots are the store's numbers of its Patients.
pub(super) struct IdentifierIndex {
    niks: Box<[Shard<u64>]>,
    /// Everything else, keyed by `system|value`.
    others: Box<[Shard<Box<str>>]>,
    /// The systems in `others`, for searches that name none.
    systems: RwLock<BTreeSet<Box<str>>>,
    nik_system: String,
    hasher: RandomState,
}

impl IdentifierIndex {
    pub(super) fn new(nik_system: String) -> Self {
        let (niks, others) = (sharded(), sharded());
        Self { niks, others, systems: RwLock::default(), nik_system, hasher: RandomState::new() }
    }

    pub(super) fn nik_system(&self) -> &str {
        &self.nik_system
    }

    /// The first NIK among (system, value) identifiers; 0 where there is none.
    pub(super) fn nik_in(&self, identifiers: &[(String, String)]) -> u64 {
        identifiers.iter().find_map(|(system, value)| self.as_nik(system, value)).unwrap_or(0)
    }

    /// The slots that hold a value; no system matches any.
    pub(super) fn find(&self, system: Option<&str>, value: &str) -> Vec<u32> {
        let mut slots = Vec::new();
        if let Some(nik) = self.as_nik(system.unwrap_or(&self.nik_system), value) {
            collect(self.nik_shard(nik), &nik, &mut slots);
        }
        let mut other = |system: &str| {
            let key = other_key(system, value);
            collect(self.other_shard(&key), key.as_ref(), &mut slots);
        };
        match system {
            Some(system) => other(system),
            None => read(&self.systems).iter().for_each(|system| other(system)),
        }
        slots
    }

    /// Who has an identifier of this system, whatever its value.
    pub(super) fn of_system(&self, system: &str) -> Vec<u32> {
        let mut slots = Vec::new();
        if system == self.nik_system {
            self.niks
                .iter()
                .for_each(|shard| read(shard).values().for_each(|held| held.append_to(&mut slots)));
        }
        let key = other_key(system, "");
        for shard in &self.others {
            let shard = read(shard);
            shard
                .iter()
                .filter(|(other, _)| other.starts_with(&*key))
                .for_each(|(_, held)| held.append_to(&mut slots));
        }
        slots
    }

    pub(super) fn add(&self, slot: u32, identifiers: &[(String, String)]) {
        for (system, value) in identifiers {
            if let Some(nik) = self.as_nik(system, value) {
                add(self.nik_shard(nik), nik, slot);
                continue;
            }
            if !read(&self.systems).contains(system.as_str()) {
                write(&self.systems).insert(system.as_str().into());
            }
            let key = other_key(system, value);
            add(self.other_shard(&key), key, slot);
        }
    }

    pub(super) fn remove(&self, slot: u32, identifiers: &[(String, String)]) {
        for (system, value) in identifiers {
            if let Some(nik) = self.as_nik(system, value) {
                remove(self.nik_shard(nik), &nik, slot);
            } else {
                let key = other_key(system, value);
                remove(self.other_shard(&key), key.as_ref(), slot);
            }
        }
    }

    fn as_nik(&self, system: &str, value: &str) -> Option<u64> {
        if system == self.nik_system { nik_number(value) } else { None }
    }

    fn nik_shard(&self, nik: u64) -> &Shard<u64> {
        &self.niks[self.hasher.hash_one(nik) as usize % SHARDS]
    }

    fn other_shard(&self, key: &str) -> &Shard<Box<str>> {
        &self.others[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

fn other_key(system: &str, value: &str) -> Box<str> {
    format!("{system}|{value}").into()
}

fn collect<K: Borrow<Q> + Eq + Hash, Q: Eq + Hash + ?Sized>(shard: &Shard<K>, key: &Q, slots: &mut Vec<u32>) {
    if let Some(held) = read(shard).get(key) {
        held.append_to(slots);
    }
}

fn add<K: Eq + Hash>(shard: &Shard<K>, key: K, slot: u32) {
    match write(shard).entry(key) {
        Entry::Vacant(vacant) => {
            vacant.insert(Slots::One(slot));
        }
        Entry::Occupied(mut occupied) => match occupied.get_mut() {
            Slots::One(same) if *same == slot => {}
            Slots::One(earlier) => {
                let both = vec![*earlier, slot];
                occupied.insert(Slots::Many(both));
            }
            Slots::Many(many) if many.contains(&slot) => {}
            Slots::Many(many) => many.push(slot),
        },
    }
}

fn remove<K: Borrow<Q> + Eq + Hash, Q: Eq + Hash + ?Sized>(shard: &Shard<K>, key: &Q, slot: u32) {
    let mut shard = write(shard);
    match shard.get_mut(key) {
        Some(Slots::Many(many)) => many.retain(|other| *other != slot),
        Some(Slots::One(only)) if *only == slot => {
            shard.remove(key);
        }
        _ => {}
    }
}
