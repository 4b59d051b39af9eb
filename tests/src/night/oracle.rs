//! What must hold after any night that ended, whatever went wrong in it.

use std::collections::BTreeMap;

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use shared::data_key::DataKeys;
use shared::domain::{Nik, Outcome, PhoneNumber};
use shared::ledger::sqlite::SqliteLedger;
use shared::ledger::{LedgerView, Replay, RowKey, RowView, RunKind, RunState};
use shared::payload::Payload;
use shared::settings::FhirBatch;

use super::rows::endings;
use super::scene::Scene;

/// What the nights wrote, by NIK.
type Updates = BTreeMap<String, u32>;

impl Scene {
    /// The oracle. Call it when every night of the test has ended.
    ///
    /// # Panics
    /// Something does not hold.
    pub async fn check(&self) {
        let updates = self.check_ledger().await;
        self.check_patients(&self.look(), &self.keys().await, &updates).await;
    }

    /// The oracle without its look at each Patient, where the test itself changed or deleted some.
    ///
    /// # Panics
    /// Something does not hold.
    pub async fn check_but_patients(&self) {
        let updates = self.check_ledger().await;
        self.check_writes(&updates);
    }

    async fn check_ledger(&self) -> Updates {
        let (ledger, keys) = (self.look(), self.keys().await);
        let runs = ledger.runs(&self.settings().job, None, 1_000).await.expect("a list");
        let mut updates = Updates::new();
        let mut dead_rows = Vec::new();
        for summary in &runs {
            let (run, tally) = (&summary.run, &summary.tally);
            if run.state == RunState::Abandoned {
                assert_eq!(run.kind, RunKind::DryRun, "only a dry run may be abandoned");
                continue;
            }
            assert_eq!(
                (run.state, tally.open),
                (RunState::Closed, 0),
                "run {} of {} ended",
                run.id,
                run.date
            );
            assert!(ledger.is_settled(run.id).await.expect("an answer"));
            assert_eq!(
                *tally,
                ledger.tally(run.id).await.expect("a tally"),
                "what is kept is what is counted"
            );
            let rows = self.rows(run.id).await;
            assert_eq!(
                tally.outcomes.values().sum::<u64>(),
                rows.len() as u64,
                "outcomes sum to rows_selected"
            );
            assert!(rows.iter().all(|row| row.state == "done"));
            let endings = endings(&rows);
            for (row, ending) in rows.iter().zip(endings) {
                let says_why = matches!(ending.outcome, Outcome::Rejected | Outcome::DeadLettered);
                assert_eq!(ending.reason.is_some(), says_why, "row {}: {ending:?}", row.key.sheet_row);
            }
            if run.kind == RunKind::Night {
                count_updates(&keys, &rows, &mut updates);
                dead_rows.extend(
                    rows.iter().filter(|row| row.outcome == Some(Outcome::DeadLettered)).map(|row| row.key),
                );
            }
        }
        self.check_dead_letters(&ledger, dead_rows).await;
        self.check_leftovers();
        assert_eq!(ledger.gate().await.expect("an answer"), None, "the gate is open");
        updates
    }

    async fn check_dead_letters(&self, ledger: &SqliteLedger, mut dead_rows: Vec<RowKey>) {
        let letters = ledger.dead_letters(&Replay::default(), 0, 100_000).await.expect("a list");
        let open = letters.iter().filter(|letter| letter.replayed_at.is_none());
        let mut open: Vec<RowKey> = open.map(|letter| letter.key).collect();
        open.sort();
        dead_rows.sort();
        assert_eq!(open, dead_rows, "open dead letters are the dead rows");
        let history: u64 = self.count("SELECT COUNT(*) FROM row_history");
        assert_eq!(
            letters.len() - open.len(),
            history as usize,
            "each generation before the last left one ending"
        );
        let generations: u64 = self.count("SELECT COALESCE(SUM(generation - 1), 0) FROM row");
        assert_eq!(history, generations);
    }

    fn check_leftovers(&self) {
        // The clock of these leases is the scene's; none may stand at all once a night has ended.
        assert_eq!(
            self.count("SELECT COUNT(*) FROM run_lock WHERE lease_until > 0"),
            0,
            "the run lock is free"
        );
        assert_eq!(self.count("SELECT COUNT(*) FROM nik_lease"), 0, "no NIK is held");
    }

    fn count(&self, sql: &str) -> u64 {
        u64::try_from(self.ask(sql)[0]).expect("a count")
    }

    /// What the database answers to a query of one column of numbers: for what no view shows.
    pub fn ask(&self, sql: &str) -> Vec<i64> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let db = Connection::open_with_flags(self.database(), flags).expect("a database");
        let mut found = db.prepare(sql).expect("a query");
        let numbers = found.query_map([], |row| row.get(0)).expect("an answer");
        numbers.collect::<rusqlite::Result<_>>().expect("numbers")
    }

    fn check_writes(&self, updates: &Updates) {
        let stats = self.simulators.snapshot();
        let off = self.settings().fhir.batch == FhirBatch::Off;
        assert!(!off || !stats.requests.contains_key("batch"), "a Bundle nobody asked for");
        let explained = updates.values().map(|times| u64::from(*times)).sum::<u64>() + self.other_writes;
        assert_eq!(stats.writes, explained, "every write is one row's `updated`");
    }

    async fn check_patients(&self, ledger: &SqliteLedger, keys: &DataKeys, updates: &Updates) {
        assert_eq!(self.simulators.snapshot().writes_without_if_match, 0, "every write names its version");
        self.check_writes(updates);
        for (nik, before) in self.before() {
            let now = self.simulators.store().patient_by_nik(nik);
            assert_eq!(now.len(), before.len());
            for (now, before) in now.iter().zip(before) {
                assert_same_but_mobile(now, before);
                let bumped = version(now) - version(before);
                let times = updates.get(nik).copied().unwrap_or(0);
                assert!(self.others_write || bumped == times, "{bumped} versions for {times} updates");
            }
            let hash = keys.nik_hash(&nik.parse::<Nik>().expect("a NIK"));
            let Some((_, _, Some(source))) = ledger.newest_success(&hash).await.expect("an answer") else {
                continue;
            };
            let newest = Payload::open(keys, &source.key, &source.sealed).expect("our own seal").number;
            let stands = self.simulators.store().current_mobile(nik);
            let stands = stands.as_deref().and_then(PhoneNumber::from_telecom);
            assert_eq!(stands, newest, "FHIR holds the number of the newest success");
        }
    }
}

fn count_updates(keys: &DataKeys, rows: &[RowView], updates: &mut Updates) {
    for row in rows.iter().filter(|row| row.outcome == Some(Outcome::Updated)) {
        let payload = Payload::open(keys, &row.key, &row.sealed).expect("our own seal");
        let nik = payload.nik.expect("a row with an outcome of FHIR has a NIK");
        *updates.entry(nik.expose().to_owned()).or_default() += 1;
    }
}

fn version(patient: &Value) -> u32 {
    patient["meta"]["versionId"].as_str().and_then(|version| version.parse().ok()).expect("a version")
}

/// Everything of the Patient is as it was, to the byte and in order, but its version and its current mobile.
fn assert_same_but_mobile(now: &Value, before: &Value) {
    let rest = |patient: &Value| {
        let mut patient = patient.as_object().expect("an object").clone();
        for changed in ["meta", "telecom"] {
            patient.shift_remove(changed);
        }
        serde_json::to_string(&patient).expect("JSON")
    };
    assert_eq!(rest(now), rest(before), "only the telecom changed");
    let is_current = |entry: &&Value| {
        entry["system"] == "phone" && entry["use"] == "mobile" && entry.pointer("/period/end").is_none()
    };
    let kept = |patient: &Value| -> Vec<String> {
        let telecom = patient["telecom"].as_array().map(Vec::as_slice).unwrap_or_default();
        telecom.iter().filter(|entry| !is_current(entry)).map(Value::to_string).collect()
    };
    let (now, mut missing) = (kept(now), kept(before));
    for entry in &now {
        if let Some(at) = missing.iter().position(|before| before == entry) {
            missing.remove(at);
        }
    }
    assert!(missing.is_empty(), "{} telecoms other than the mobile are gone", missing.len());
}
