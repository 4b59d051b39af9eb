//! Patients with whatever JSON can hold, made from a seed.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Map, Value, json};
use simulators::NIK_SYSTEM;

use super::Person;

/// Numbers that a detour by a float, or by a careless printer, would change.
const NUMBERS: [&str; 9] = [
    "1.10",
    "0.0",
    "-0.0",
    "1E-7",
    "100000000000000000000000.5",
    "0.30000000000000004",
    "9007199254740993",
    "-12",
    "1.50000",
];

const TEXTS: [&str; 9] = [
    "",
    " ",
    "Siti Nurhaliza",
    "\u{0}\u{1f}\"\\/",
    "日本\u{2028}\u{2029}",
    "e\u{301} é \u{200f}\u{feff}",
    "𝟎𝟏",
    "{\"not\": \"parsed\"}",
    "0812-3456-7890",
];

/// So many Patients whose ids and NIKs follow on those of `first` others.
pub fn generated(seed: u64, first: usize, count: usize) -> Vec<(Person, Value)> {
    let mut dice = SmallRng::seed_from_u64(seed);
    (first..first + count)
        .map(|at| {
            let person = Person { file: "generated".into(), at };
            let patient = patient(&person, &mut dice);
            (person, patient)
        })
        .collect()
}

fn patient(person: &Person, dice: &mut SmallRng) -> Value {
    let mut patient = Map::new();
    let scatter = |patient: &mut Map<String, Value>, dice: &mut SmallRng| {
        for _ in 0..dice.random_range(0..4) {
            // With a letter no element of R4 begins with, so that none is given a meaning.
            let name = format!("{}x{}", if dice.random() { "_" } else { "" }, dice.random_range(0..50));
            patient.insert(name, value(dice, 3));
        }
    };
    scatter(&mut patient, dice);
    patient.insert("resourceType".into(), json!("Patient"));
    patient.insert("id".into(), json!(person.id()));
    scatter(&mut patient, dice);
    let mut identifiers = vec![json!({ "system": NIK_SYSTEM, "value": person.nik(), "x": value(dice, 2) })];
    if dice.random() {
        identifiers.insert(0, json!({ "value": "MR-1", "_system": { "extension": [value(dice, 2)] } }));
    }
    patient.insert("identifier".into(), identifiers.into());
    scatter(&mut patient, dice);
    if dice.random_bool(0.8) {
        let entries: Vec<Value> = (0..dice.random_range(1..4)).map(|_| telecom(dice)).collect();
        patient.insert("telecom".into(), entries.into());
    }
    scatter(&mut patient, dice);
    Value::Object(patient)
}

fn telecom(dice: &mut SmallRng) -> Value {
    let mut entry = Map::new();
    let words = |dice: &mut SmallRng, words: &[&str]| json!(words.choose(dice).expect("words"));
    for field in ["system", "x1", "value", "use", "rank", "_value", "extension"] {
        if !dice.random_bool(0.7) {
            continue;
        }
        let value = match field {
            "system" => words(dice, &["phone", "phone", "email", "other"]),
            "use" => words(dice, &["mobile", "mobile", "home", "old"]),
            "value" => words(dice, &["081111111111", "+62 811-1111-112", "a@example.org"]),
            "rank" => json!(dice.random_range(1..4)),
            "_value" => {
                json!({ "extension": [{ "url": "https://example.org/x", "valueDecimal": number(dice) }] })
            }
            "extension" => json!([{ "url": "https://example.org/y", "x": value(dice, 2) }]),
            _ => value(dice, 1),
        };
        entry.insert(field.into(), value);
    }
    Value::Object(entry)
}

fn value(dice: &mut SmallRng, depth: u32) -> Value {
    match dice.random_range(0..if depth == 0 { 4 } else { 6 }) {
        0 => json!(TEXTS.choose(dice).expect("texts")),
        1 => number(dice),
        2 => json!(dice.random::<bool>()),
        3 => Value::Null,
        4 => (0..dice.random_range(0..4)).map(|_| value(dice, depth - 1)).collect(),
        _ => {
            let fields = (0..dice.random_range(0..4)).map(|at| (format!("x{at}"), value(dice, depth - 1)));
            Value::Object(fields.collect())
        }
    }
}

fn number(dice: &mut SmallRng) -> Value {
    serde_json::from_str(NUMBERS.choose(dice).expect("numbers")).expect("a JSON number")
}
