//! Setting a Patient's mobile number and touching nothing else (FHIR R4, ContactPoint).
//!
//! The mobile telecom is `system=phone`, `use=mobile`, and current: its `period.end` has not passed. Of several
//! current ones the best `rank` counts (the lowest positive one; none is worst), then the first.

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value, json};
use shared::domain::PhoneNumber;
use shared::settings::PreviousNumber;

use super::patient::{Patient, PatientId, VersionId};
use super::period;

const DATA_ABSENT: &str = "http://hl7.org/fhir/StructureDefinition/data-absent-reason";

/// How numbers are set.
#[derive(Clone, Debug)]
pub struct TelecomPolicy {
    /// What becomes of the number that was there.
    pub previous: PreviousNumber,
    /// Where a `period.end` without an offset is counted: `RUN_TIMEZONE`.
    pub zone: TimeZone,
}

/// What setting a number comes to.
#[derive(Debug)]
pub struct Edit {
    /// More than one current mobile telecom: the report warns.
    pub several_current_mobiles: bool,
    /// The write that is needed; `None` where the number is there already, in whatever spelling.
    pub change: Option<Change>,
}

/// A write of one Patient, bound to the version it was made from.
#[derive(Clone)]
pub struct Change {
    /// Whom it is for.
    pub id: PatientId,
    /// The version it was made from.
    pub version: VersionId,
    /// The whole resource with the new telecom, as JSON: for `PUT`.
    pub body: Bytes,
    /// The same as a JSON Patch (RFC 6902) that fails where the telecom is not as it was: for `PATCH`.
    pub patch: Bytes,
    /// The `telecom` before the change, null where there was none: personal data, to be sealed.
    pub before: Value,
    /// The number that it replaces, masked; none where there was none.
    pub previous: Option<String>,
    /// The number it sets.
    pub number: PhoneNumber,
}

impl Change {
    /// Whether a resource has the number, as after the change.
    pub(super) fn is_in(&self, resource: &Value) -> bool {
        let telecom = resource.get("telecom").and_then(Value::as_array);
        telecom.into_iter().flatten().any(|entry| {
            let field = |key: &str| entry.get(key).and_then(Value::as_str);
            field("system") == Some("phone")
                && field("use") == Some("mobile")
                && field("value").is_some_and(|value| is_same(value, &self.number))
        })
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change").field("id", &self.id).field("version", &self.version).finish_non_exhaustive()
    }
}

impl Patient {
    /// Works out what has to be written so that `number` is this Patient's mobile number at `now`.
    ///
    /// Only the `value` of the chosen entry changes, or an entry is appended where there is none. Extensions
    /// of the entry stay, and those of the value (`_value`) too, except a data-absent-reason: with a value
    /// there it would be false.
    ///
    /// Whether the Patient may have a number at all is another question: ask [`Patient::inactive`] first.
    pub fn edit(&self, number: &PhoneNumber, now: Timestamp, policy: &TelecomPolicy) -> Edit {
        let resource = self.resource();
        let entries = resource.get("telecom").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut mobiles = (0..entries.len()).filter(|&at| is_current_mobile(&entries[at], now, &policy.zone));
        let first = mobiles.next();
        let mut several_current_mobiles = false;
        let best = mobiles.fold(first, |best, at| {
            several_current_mobiles = true;
            // Strictly better only: among equals the first stays.
            best.filter(|&best| rank(&entries[best]) <= rank(&entries[at])).or(Some(at))
        });
        let present = best.and_then(|at| entries[at].get("value")?.as_str());
        if present.is_some_and(|value| is_same(value, number)) {
            return Edit { several_current_mobiles, change: None };
        }
        let mut telecom = entries.to_vec();
        let mut patch = Vec::from_iter(self.as_it_was());
        match best {
            None => {
                let entry = mobile(number, None);
                patch.push(match entries.is_empty() {
                    true => json!({ "op": "add", "path": "/telecom", "value": [entry] }),
                    false => json!({ "op": "add", "path": "/telecom/-", "value": entry }),
                });
                telecom.push(entry);
            }
            Some(at) if policy.previous == PreviousNumber::Keep && present.is_some() => {
                let rank = retire(&mut telecom[at], now);
                // In front, not at the end: another current entry of equal rank must not overtake it.
                let entry = mobile(number, rank);
                patch.push(replacing(at, &telecom[at]));
                patch.push(json!({ "op": "add", "path": format!("/telecom/{at}"), "value": entry }));
                telecom.insert(at, entry);
            }
            Some(at) => {
                set(&mut telecom[at], "value", Value::from(number.expose()));
                patch.push(replacing(at, &telecom[at]));
            }
        }
        let cannot_fail = "a tree of JSON values with string keys, written to memory, cannot fail";
        let body = serde_json::to_vec(&WithTelecom { resource, telecom: &telecom }).expect(cannot_fail);
        let patch = serde_json::to_vec(&patch).expect(cannot_fail);
        Edit {
            several_current_mobiles,
            change: Some(Change {
                id: self.id().clone(),
                version: self.version().clone(),
                body: body.into(),
                patch: patch.into(),
                before: resource.get("telecom").cloned().unwrap_or(Value::Null),
                previous: present.map(masked),
                number: number.clone(),
            }),
        }
    }

    /// Whether this is still the Patient that `change` was made from.
    pub fn is_what_was_changed(&self, change: &Change) -> bool {
        let telecom = self.resource().get("telecom").unwrap_or(&Value::Null);
        self.version() == &change.version && telecom == &change.before
    }

    /// The operation that fails where somebody else changed the telecom. All of it is compared, because which
    /// entry counts depends on the others. JSON Patch cannot test that something is absent; there the version
    /// is compared, and where the body does not hold it, `If-Match` alone guards.
    fn as_it_was(&self) -> Option<Value> {
        let resource = self.resource();
        let test = |path: &str, value: &Value| json!({ "op": "test", "path": path, "value": value });
        match resource.get("telecom") {
            Some(telecom) => Some(test("/telecom", telecom)),
            None => Some(test("/meta/versionId", resource.get("meta")?.get("versionId")?)),
        }
    }
}

/// What cannot be read as a number could be anything, and is hidden whole.
fn masked(value: &str) -> String {
    PhoneNumber::from_telecom(value).map_or_else(|| "***".to_owned(), |number| number.masked())
}

fn replacing(at: usize, entry: &Value) -> Value {
    json!({ "op": "replace", "path": format!("/telecom/{at}"), "value": entry })
}

fn is_current_mobile(entry: &Value, now: Timestamp, zone: &TimeZone) -> bool {
    let field = |key: &str| entry.get(key).and_then(Value::as_str);
    field("system") == Some("phone")
        && field("use") == Some("mobile")
        && !entry
            .pointer("/period/end")
            .and_then(Value::as_str)
            .is_some_and(|end| period::has_passed(end, now, zone))
}

fn rank(entry: &Value) -> u64 {
    entry.get("rank").and_then(Value::as_u64).filter(|&rank| rank > 0).unwrap_or(u64::MAX)
}

fn is_same(value: &str, number: &PhoneNumber) -> bool {
    // Equal text is the common case, and spares the parser.
    value == number.expose() || PhoneNumber::from_telecom(value).as_ref() == Some(number)
}

fn mobile(number: &PhoneNumber, rank: Option<Value>) -> Value {
    let mut entry = json!({ "system": "phone", "value": number.expose(), "use": "mobile" });
    if let Some(rank) = rank {
        entry["rank"] = rank;
    }
    entry
}

/// Turns an entry into a previous number that ended at `now`; returns the rank it gives up.
fn retire(entry: &mut Value, now: Timestamp) -> Option<Value> {
    set(entry, "use", Value::from("old"));
    let end = Value::from(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let entry = entry.as_object_mut()?;
    let period = entry.entry("period").or_insert_with(|| Value::Object(Map::new()));
    if !period.is_object() {
        *period = Value::Object(Map::new());
    }
    set(period, "end", end);
    entry.shift_remove("rank")
}

/// Sets a primitive element in place, or appends it, and takes away a data-absent-reason it had.
fn set(element: &mut Value, key: &str, value: Value) {
    let Some(element) = element.as_object_mut() else { return };
    element.insert(key.to_owned(), value);
    let shadow = format!("_{key}");
    let Some(extras) = element.get_mut(&shadow).and_then(Value::as_object_mut) else { return };
    if let Some(extensions) = extras.get_mut("extension").and_then(Value::as_array_mut) {
        extensions.retain(|extension| extension.get("url").and_then(Value::as_str) != Some(DATA_ABSENT));
        if extensions.is_empty() {
            extras.shift_remove("extension");
        }
    }
    if extras.is_empty() {
        element.shift_remove(&shadow);
    }
}

/// The resource with another telecom: in its place, or at the end where there was none. Written from the
/// parts, because copying a resource costs more than the rest of an edit.
struct WithTelecom<'a> {
    resource: &'a Map<String, Value>,
    telecom: &'a [Value],
}

impl Serialize for WithTelecom<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.resource {
            if key == "telecom" {
                map.serialize_entry(key, self.telecom)?;
            } else {
                map.serialize_entry(key, value)?;
            }
        }
        if !self.resource.contains_key("telecom") {
            map.serialize_entry("telecom", self.telecom)?;
        }
        map.end()
    }
}
