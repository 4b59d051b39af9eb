//! Patients: the versions that outcomes explain, the newest number, and everything else as it was.

use serde_json::Value;
use shared::data_key::KeyedHash;
use shared::domain::{Nik, PhoneNumber};
use shared::payload::Payload;

use super::ledger::Updates;
use super::{Before, Oracle, Verdict, Writes};

impl Oracle<'_> {
    pub(super) async fn judge_writes(&self, verdict: &mut Verdict, updates: &Updates) {
        let stats = self.stats.snapshot();
        let mut explained = updates.values().map(|times| u64::from(*times)).sum();
        if let Some(before) = self.before {
            let blind = stats.writes_without_if_match;
            verdict.wrong(blind > 0, || format!("{blind} writes named no version"));
            let made = self.judge_patients(verdict, before, updates).await;
            // What each person's versions explain was said there.
            explained =
                if matches!(self.writes, Writes::Explained | Writes::LostTail) { made } else { explained };
        }
        let (writes, explained) = (stats.writes, explained + self.other_writes);
        verdict.doubled(writes.saturating_sub(explained), || {
            format!("{writes} writes, {explained} of them explained")
        });
        verdict.lost(explained.saturating_sub(writes), || {
            format!("{writes} writes, of {explained} that there must be")
        });
    }

    /// Gives how many versions the nights made of these Patients.
    async fn judge_patients(&self, verdict: &mut Verdict, before: &Before, updates: &Updates) -> u64 {
        let strangers = updates.keys().filter(|nik| !before.contains_key(*nik)).count();
        verdict.doubled(strangers as u64, || format!("{strangers} people were updated who had no Patient"));
        let mut made = 0;
        for (nik, before) in before {
            let hash = self.keys.nik_hash(&nik.parse::<Nik>().expect("a NIK"));
            let now = self.store.patient_by_nik(nik);
            let gone = before.len().saturating_sub(now.len());
            verdict.lost(gone as u64, || format!("{}: {gone} Patients are gone", hash.short()));
            let mut bumped = 0;
            for (now, before) in now.iter().zip(before) {
                let versions = version(now).saturating_sub(version(before));
                bumped += versions;
                if versions > 0 {
                    judge_rest(verdict, &hash, now, before);
                }
            }
            made += u64::from(bumped);
            let updated = updates.get(nik).copied().unwrap_or(0);
            self.judge_versions(verdict, &hash, bumped, updated).await;
            self.judge_number(verdict, nik, &hash).await;
        }
        made
    }

    async fn judge_versions(&self, verdict: &mut Verdict, hash: &KeyedHash, bumped: u32, updated: u32) {
        let (fewest, most) = match self.writes {
            _ if bumped == updated => return,
            Writes::Others => return,
            Writes::Exact => (updated, updated),
            Writes::LostTail => {
                let sql = format!(
                    "SELECT COUNT(*) FROM row JOIN run USING (run_id)
                     WHERE kind = 'night' AND nik_hash = '{hash}' AND outcome IN ('updated', 'unchanged')"
                );
                (updated, u32::try_from(self.world.count(&sql).await).expect("few rows of one person"))
            }
            Writes::Explained => {
                let of_nik = |what: &str, and: &str| {
                    format!(
                        "SELECT COUNT({what}) FROM row JOIN run USING (run_id) LEFT JOIN intent USING (run_id, sheet_row)
                         WHERE kind = 'night' AND nik_hash = '{hash}' AND {and}"
                    )
                };
                let numbers = of_nik("DISTINCT number_hash", "outcome = 'updated'");
                let in_doubt = of_nik(
                    "intent.generation",
                    "(intent.generation < row.generation OR outcome <> 'updated')",
                );
                let restored = of_nik("intent.generation", "outcome = 'superseded'");
                let count =
                    async |sql| u32::try_from(self.world.count(sql).await).expect("few rows of one person");
                let most = updated + count(&in_doubt).await + count(&restored).await;
                (count(&numbers).await, most)
            }
        };
        let says = || format!("{}: {bumped} versions for {updated} `updated`", hash.short());
        verdict.doubled(u64::from(bumped.saturating_sub(most)), says);
        verdict.lost(u64::from(fewest.saturating_sub(bumped)), says);
    }

    /// FHIR holds the number of the newest success.
    async fn judge_number(&self, verdict: &mut Verdict, nik: &str, hash: &KeyedHash) {
        let source = match self.ledger.newest_success(hash).await {
            Ok(Some((_, _, Some(source)))) => source,
            Ok(_) => return,
            Err(error) => return verdict.wrong(true, || format!("no look at the newest success: {error}")),
        };
        let Ok(payload) = Payload::open(self.keys, &source.key, &source.sealed) else {
            return verdict.wrong(true, || format!("{}: the newest success cannot be opened", hash.short()));
        };
        let stands = self.store.current_mobile(nik);
        let stands = stands.as_deref().and_then(PhoneNumber::from_telecom);
        verdict.lost(u64::from(stands != payload.number), || {
            format!("{}: FHIR does not hold the number of the newest success", hash.short())
        });
    }
}

fn version(patient: &Value) -> u32 {
    patient["meta"]["versionId"].as_str().and_then(|version| version.parse().ok()).expect("a version")
}

/// Everything of the Patient is as it was, to the byte and in order, but its version and its current mobile.
fn judge_rest(verdict: &mut Verdict, hash: &KeyedHash, now: &Value, before: &Value) {
    let rest = |patient: &Value| {
        let mut patient = patient.as_object().expect("an object").clone();
        for changed in ["meta", "telecom"] {
            patient.shift_remove(changed);
        }
        serde_json::to_string(&patient).expect("JSON")
    };
    verdict.lost(u64::from(rest(now) != rest(before)), || {
        format!("{}: more than the telecom changed", hash.short())
    });
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
    verdict.lost(missing.len() as u64, || {
        format!("{}: {} telecoms other than the mobile are gone", hash.short(), missing.len())
    });
}
