//! `make bench-micro`: what the steps of a row's way cost by themselves.

mod ledger;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use shared::data_key::DataKeys;
use shared::domain::{Cell, DateOrder, Nik, PhoneNumber, Reading, RowRules, SourceRow};
use shared::ledger::{RowKey, RunId};
use shared::payload::Payload;
use shared::settings::PreviousNumber;
use simulators::{NIK_SYSTEM, Population};
use worker::fhir::{Body, Patient, TelecomPolicy};

const NIK: &str = "3171014503900001";

fn nik() -> Nik {
    NIK.parse().expect("a NIK")
}

fn number() -> PhoneNumber {
    PhoneNumber::from_telecom("081234567890").expect("a number")
}

/// A Patient of the simulators, as a search brings it.
fn patient() -> Vec<u8> {
    let store = simulators::FhirStore::new(NIK_SYSTEM, simulators::WallClock::default());
    let population = Population::generate(1, 16);
    population.load_into(&store);
    // The one with most to it.
    let bodies = (0..16).flat_map(|person| store.patient_by_nik(&population.nik(person)));
    bodies.map(|patient: Value| patient.to_string().into_bytes()).max_by_key(Vec::len).expect("Patients")
}

fn rows(criterion: &mut Criterion) {
    let rules = RowRules {
        run_date: "2026-11-23".parse().expect("a date"),
        zone: TimeZone::UTC,
        date_order: DateOrder::Dmy,
    };
    let cell = |text: &str| Cell::Text(text.into());
    let row = SourceRow {
        sheet_row: 2,
        nik: cell(NIK),
        phone: cell("0812-3456-7890"),
        updated: cell("2026-11-23"),
        other_content: true,
    };
    assert!(matches!(rules.read(&row), Reading::Valid(_)), "it is measured on a good row");
    criterion.bench_function("row: read", |bencher| bencher.iter(|| rules.read(black_box(&row))));
}

fn patients(criterion: &mut Criterion) {
    let body = patient();
    let whole = |body: &[u8]| match Patient::from_json(serde_json::from_slice(body).expect("JSON"), None) {
        Body::Whole(patient) => patient,
        Body::Partial(_) | Body::Other => panic!("a whole Patient"),
    };
    criterion.bench_function("Patient: parse and judge", |bencher| bencher.iter(|| whole(black_box(&body))));
    let (patient, number) = (whole(&body), number());
    let policy = TelecomPolicy { previous: PreviousNumber::Replace, zone: TimeZone::UTC };
    let now: Timestamp = "2026-11-23T16:00:00Z".parse().expect("a time");
    assert!(patient.edit(&number, now, &policy).change.is_some(), "it is measured on a change");
    criterion.bench_function("Patient: set the number", |bencher| {
        bencher.iter(|| patient.edit(black_box(&number), now, &policy));
    });
}

fn secrets(criterion: &mut Criterion) {
    let keys = DataKeys::parse(&DataKeys::generate()).expect("a key just made");
    let row = RowKey { run: RunId::new(Timestamp::UNIX_EPOCH), sheet_row: 2, generation: 1 };
    let payload = Payload { nik: Some(nik()), number: Some(number()) };
    criterion.bench_function("payload: hash", |bencher| bencher.iter(|| black_box(&payload).hashes(&keys)));
    criterion
        .bench_function("payload: seal", |bencher| bencher.iter(|| black_box(&payload).seal(&keys, &row)));
    let sealed = payload.seal(&keys, &row);
    criterion.bench_function("payload: open", |bencher| {
        bencher.iter(|| Payload::open(&keys, &row, black_box(&sealed)).expect("sealed a line above"));
    });
    let before = json!([{ "system": "phone", "use": "mobile", "value": "+6281111111111" }]).to_string();
    criterion.bench_function("telecom before a write: seal", |bencher| {
        bencher.iter(|| keys.seal(&row.place(), black_box(before.as_bytes())));
    });
}

criterion_group! {
    name = steps;
    config = Criterion::default();
    targets = rows, patients, secrets
}
criterion_group! {
    name = batches;
    // Each sample is on rows of its own, which have to be put into the ledger first.
    config = Criterion::default().sample_size(10);
    targets = ledger::batches
}
criterion_main!(steps, batches);
