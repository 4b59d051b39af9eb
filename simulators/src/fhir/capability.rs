//! The CapabilityStatement: what the simulated server says it can do.

use serde_json::{Value, json};

use super::FhirOptions;

/// `GET metadata` (FHIR R4, capabilitystatement).
pub(crate) fn statement(options: &FhirOptions, base: &str, now: &str) -> Value {
    let mut interactions = vec!["read", "search-type", "update", "delete"];
    if options.supports_patch {
        interactions.push("patch");
    }
    let interactions = interactions.iter().map(|code| json!({ "code": code })).collect::<Vec<_>>();
    let mut statement = json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": now,
        "kind": "instance",
        "software": { "name": "simulators", "version": env!("CARGO_PKG_VERSION") },
        "implementation": { "description": "A simulated FHIR server", "url": base },
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "rest": [{
            "mode": "server",
            "resource": [{
                "type": "Patient",
                "interaction": interactions,
                "versioning": "versioned-update",
                "readHistory": false,
                "updateCreate": false,
                "conditionalUpdate": false,
                "searchParam": [
                    { "name": "identifier", "type": "token" },
                    { "name": "_id", "type": "token" },
                ],
            }],
        }],
    });
    // Absent rather than empty: an empty array is not valid FHIR JSON.
    if options.supports_batch {
        statement["rest"][0]["interaction"] = json!([{ "code": "batch" }]);
    }
    if options.supports_patch {
        statement["patchFormat"] = json!(["application/json-patch+json"]);
    }
    statement
}
