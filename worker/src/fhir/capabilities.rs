//! What the server's CapabilityStatement says it can do, and what we do by it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use serde_json::Value;
use shared::error_chain;
use shared::settings::{FhirBatch, FhirWrite};

use super::failure::Failure;

const JSON_PATCH: &str = "application/json-patch+json";

/// What a server declares, of what we could use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offers {
    /// JSON Patch of a Patient.
    pub patch: bool,
    /// Bundles of type `batch`.
    pub batch: bool,
}

impl Offers {
    /// Reads a CapabilityStatement (FHIR R4, CapabilityStatement): `patch` must be among the Patient's
    /// interactions, and JSON among the formats of patches; `batch` among the interactions of the whole.
    pub fn of(statement: &Value) -> Self {
        let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned();
        let servers = list(statement, "rest").unwrap_or_default();
        let servers = || servers.iter().filter(|rest| rest["mode"] != "client");
        let declares = |of: &Value, code: &str| {
            list(of, "interaction").unwrap_or_default().iter().any(|interaction| interaction["code"] == code)
        };
        let mut resources = servers().flat_map(|rest| list(rest, "resource").unwrap_or_default());
        let patches = resources.any(|resource| resource["type"] == "Patient" && declares(&resource, "patch"));
        let formats = list(statement, "patchFormat").unwrap_or_default();
        Self {
            patch: patches && formats.iter().any(|format| format == JSON_PATCH),
            batch: servers().any(|rest| declares(rest, "batch")),
        }
    }
}

/// Searches for many in a row that came to nothing before no more are tried.
const VAIN: u32 = 3;

/// Trials in a row that came to no answer before the server is taken not to do it.
const TRIALS: u32 = 3;

/// What is known of a kind of request for many.
#[derive(Debug, Default)]
pub(super) struct Proof {
    proven: AtomicBool,
    inconclusive: AtomicU32,
}

impl Proof {
    fn is_missing(&self) -> bool {
        !self.proven.load(Ordering::Relaxed)
    }
}

/// How we ask and write: as the settings say, or as the server offers once that is known; and, of requests for many
/// rows, no more of what it turned out not to take.
#[derive(Debug)]
pub(super) struct Choice {
    write: FhirWrite,
    batch: FhirBatch,
    offers: OnceLock<Offers>,
    searches_in_vain: AtomicU32,
    no_bundles: AtomicBool,
    no_patches_in_bundles: AtomicBool,
    searches_proof: Proof,
    bundles_proof: Proof,
}

impl Choice {
    pub fn new(write: FhirWrite, batch: FhirBatch) -> Self {
        Self {
            write,
            batch,
            offers: OnceLock::new(),
            searches_in_vain: AtomicU32::new(0),
            no_bundles: AtomicBool::new(false),
            no_patches_in_bundles: AtomicBool::new(false),
            searches_proof: Proof::default(),
            bundles_proof: Proof::default(),
        }
    }

    /// Whether the server has to be asked first.
    pub fn is_open(&self) -> bool {
        let asks = self.write == FhirWrite::Auto || self.batch == FhirBatch::Auto;
        asks && self.offers.get().is_none()
    }

    /// Settles it, once: what one row was promised holds for all.
    pub fn settle(&self, offers: Offers) {
        let _ = self.offers.set(offers);
    }

    pub fn writes_by_patch(&self) -> bool {
        match self.write {
            FhirWrite::Put => false,
            FhirWrite::Patch => true,
            FhirWrite::Auto => self.offers.get().is_some_and(|offers| offers.patch),
        }
    }

    pub fn searches_many(&self) -> bool {
        self.batches() && self.searches_in_vain.load(Ordering::Relaxed) < VAIN
    }

    pub fn writes_in_bundles(&self) -> bool {
        let no_patches = self.no_patches_in_bundles.load(Ordering::Relaxed);
        self.batches() && !self.no_bundles.load(Ordering::Relaxed) && !(no_patches && self.writes_by_patch())
    }

    /// Notes whether a search for many told anything.
    pub fn note_search_of_many(&self, told: bool) {
        if told {
            self.searches_in_vain.store(0, Ordering::Relaxed);
        } else if self.searches_in_vain.fetch_add(1, Ordering::Relaxed) + 1 == VAIN {
            tracing::warn!(
                "the FHIR server's answers to searches for many Patients cannot be relied on; searching one by one"
            );
        }
    }

    /// Whether searches for many are still to show that their answers can be relied on.
    pub fn searches_on_trial(&self) -> bool {
        self.searches_proof.is_missing()
    }

    /// The same of Bundles.
    pub fn bundles_on_trial(&self) -> bool {
        self.bundles_proof.is_missing()
    }

    /// Notes what a trial of searches came to. None: nothing.
    pub fn note_trial_of_searches(&self, right: Option<bool>) {
        match right {
            Some(true) => self.searches_proof.proven.store(true, Ordering::Relaxed),
            Some(false) => self.distrust_searches(),
            None => {
                if self.searches_proof.inconclusive.fetch_add(1, Ordering::Relaxed) + 1 == TRIALS {
                    self.distrust_searches();
                }
            }
        }
    }

    fn distrust_searches(&self) {
        if self.searches_in_vain.swap(VAIN, Ordering::Relaxed) < VAIN {
            tracing::warn!(
                "a search for many Patients found others than searches for each of them; searching one by one"
            );
        }
    }

    /// Notes what a trial of Bundles came to. None: nothing.
    pub fn note_trial_of_bundles(&self, right: Option<bool>) {
        match right {
            Some(true) => self.bundles_proof.proven.store(true, Ordering::Relaxed),
            Some(false) => self.distrust_bundles("what it says of a write is not what was written"),
            None => {
                if self.bundles_proof.inconclusive.fetch_add(1, Ordering::Relaxed) + 1 == TRIALS {
                    self.distrust_bundles("three of them failed, or could not be looked at");
                }
            }
        }
    }

    /// Notes a sign that answers to Bundles cannot be relied on.
    pub fn distrust_bundles(&self, what: &'static str) {
        if !self.no_bundles.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                what,
                "the FHIR server's answers to Bundles cannot be relied on; writing one by one"
            );
        }
    }

    /// Notes that the server takes no Bundles.
    pub fn refuse_bundles(&self, failure: &Failure) {
        if !self.no_bundles.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                error = error_chain(failure),
                "the FHIR server does not take Bundles; writing one by one"
            );
        }
    }

    /// Notes that the server takes Bundles, but no patches in them.
    pub fn refuse_patches_in_bundles(&self) {
        if !self.no_patches_in_bundles.swap(true, Ordering::Relaxed) {
            tracing::warn!("the FHIR server does not take patches in Bundles; writing one by one");
        }
    }

    fn batches(&self) -> bool {
        match self.batch {
            FhirBatch::Off => false,
            FhirBatch::On => true,
            FhirBatch::Auto => self.offers.get().is_some_and(|offers| offers.batch),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn statement(interactions: &[&str], formats: &Value) -> Value {
        let interactions: Vec<_> = interactions.iter().map(|code| json!({ "code": code })).collect();
        json!({ "resourceType": "CapabilityStatement", "patchFormat": formats, "rest": [{
            "mode": "server",
            "resource": [
                { "type": "Observation", "interaction": [{ "code": "patch" }] },
                { "type": "Patient", "interaction": interactions }
            ]
        }] })
    }

    #[test]
    fn a_patch_needs_both_the_interaction_and_the_format_and_a_batch_its_own() {
        let json_patch = json!(["application/fhir+json", JSON_PATCH]);
        for (interactions, formats, offered) in [
            (&["read", "patch"][..], json_patch.clone(), true),
            (&["read", "update"], json_patch.clone(), false),
            (&["patch"], json!(["application/fhir+json"]), false),
            (&["patch"], Value::Null, false),
        ] {
            assert_eq!(Offers::of(&statement(interactions, &formats)).patch, offered, "{interactions:?}");
        }
        let mut as_client = statement(&["patch"], &json_patch);
        as_client["rest"][0]["mode"] = "client".into();
        assert_eq!(Offers::of(&as_client), Offers::default(), "what it can ask of others is not offered");
        assert!(!Offers::of(&statement(&["batch"], &json_patch)).batch, "of a Patient it means nothing");
        let mut batching = statement(&["read"], &Value::Null);
        batching["rest"][0]["interaction"] = json!([{ "code": "transaction" }, { "code": "batch" }]);
        assert_eq!(Offers::of(&batching), Offers { patch: false, batch: true });
        for nothing in [json!({}), json!([]), json!({ "rest": "none" })] {
            assert_eq!(Offers::of(&nothing), Offers::default());
        }
    }

    #[test]
    fn only_auto_goes_by_what_is_offered_and_is_settled_once() {
        for (write, offered, patches) in [
            (FhirWrite::Put, true, false),
            (FhirWrite::Patch, false, true),
            (FhirWrite::Auto, true, true),
            (FhirWrite::Auto, false, false),
        ] {
            let choice = Choice::new(write, FhirBatch::Off);
            assert_eq!(choice.is_open(), write == FhirWrite::Auto);
            choice.settle(Offers { patch: offered, batch: false });
            choice.settle(Offers { patch: !offered, batch: true });
            assert!(!choice.is_open());
            assert_eq!(choice.writes_by_patch(), patches, "{write}, {offered}");
        }
        for (batch, offered, batches) in [
            (FhirBatch::Off, true, false),
            (FhirBatch::On, false, true),
            (FhirBatch::Auto, true, true),
            (FhirBatch::Auto, false, false),
        ] {
            let choice = Choice::new(FhirWrite::Put, batch);
            assert_eq!(choice.is_open(), batch == FhirBatch::Auto);
            choice.settle(Offers { patch: false, batch: offered });
            assert_eq!((choice.searches_many(), choice.writes_in_bundles()), (batches, batches), "{batch}");
        }
    }
}
