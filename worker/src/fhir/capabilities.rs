//! What the server's CapabilityStatement says it can do, and what we do by it.

use std::sync::OnceLock;

use serde_json::Value;
use shared::settings::FhirWrite;

const JSON_PATCH: &str = "application/json-patch+json";

/// What a server declares, of what we could use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offers {
    /// JSON Patch of a Patient.
    pub patch: bool,
}

impl Offers {
    /// Reads a CapabilityStatement (FHIR R4, CapabilityStatement): `patch` must be among the Patient's
    /// interactions, and JSON among the formats of patches.
    pub fn of(statement: &Value) -> Self {
        let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned();
        let servers = list(statement, "rest").unwrap_or_default();
        let servers = servers.iter().filter(|rest| rest["mode"] != "client");
        let mut resources = servers.flat_map(|rest| list(rest, "resource").unwrap_or_default());
        let patches = resources.any(|resource| {
            let interactions = list(&resource, "interaction").unwrap_or_default();
            resource["type"] == "Patient" && interactions.iter().any(|it| it["code"] == "patch")
        });
        let formats = list(statement, "patchFormat").unwrap_or_default();
        Self { patch: patches && formats.iter().any(|format| format == JSON_PATCH) }
    }
}

/// How we write: as the settings say, or as the server offers once that is known.
#[derive(Debug)]
pub(super) struct Choice {
    write: FhirWrite,
    offers: OnceLock<Offers>,
}

impl Choice {
    pub fn new(write: FhirWrite) -> Self {
        Self { write, offers: OnceLock::new() }
    }

    /// Whether the server has to be asked first.
    pub fn is_open(&self) -> bool {
        self.write == FhirWrite::Auto && self.offers.get().is_none()
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
    fn a_patch_needs_both_the_interaction_and_the_format() {
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
            let choice = Choice::new(write);
            assert_eq!(choice.is_open(), write == FhirWrite::Auto);
            choice.settle(Offers { patch: offered });
            choice.settle(Offers { patch: !offered });
            assert!(!choice.is_open());
            assert_eq!(choice.writes_by_patch(), patches, "{write}, {offered}");
        }
    }
}
