//! `doctor`: the FHIR server, with the worker's own client. It searches sixteen zeros, which nobody can have, reads the
//! CapabilityStatement, and writes nothing: whether an update is let through shows with the first one.

use std::sync::Arc;

use serde_json::Value;
use shared::clock::Clock;
use shared::doctor::{ANSWER, Findings, Subject};
use shared::error_chain;
use shared::settings::{AuthKind, FhirBatch, FhirSettings, FhirWrite};
use tokio::time::timeout;

use crate::composition::Fhir;
use crate::fhir::{Canary, Failure, FhirClient, Transient};

/// `fhir.…`.
pub async fn examine(subject: Arc<Subject>, clock: Clock, findings: Findings) {
    if subject.holds_up(&findings, "fhir", &["FHIR_"]) {
        return;
    }
    for (variable, secret) in
        [("FHIR_API_KEY", &subject.settings.fhir.api_key), ("FHIR_TOKEN", &subject.settings.fhir.token)]
    {
        if let Some(secret) = secret
            && !matches!(timeout(ANSWER, secret.resolve()).await, Ok(Ok(_)))
        {
            return findings.skipped("fhir", format!("not checked until {variable} can be read"));
        }
    }
    let mut settings = subject.settings.clone();
    settings.fhir.timeout = settings.fhir.timeout.min(ANSWER);
    let Fhir { client, credentials } = match Fhir::prepare(&settings, &clock).await {
        Ok(fhir) => fhir,
        Err(problem) => return findings.bad_setting("fhir", &problem),
    };
    let fhir = &settings.fhir;
    let statement = client.metadata().await;
    if let Err(
        failure @ (Failure::Transient { kind: Transient::Unreachable | Transient::Timeout, .. }
        | Failure::Throttled { .. }),
    ) = &statement
    {
        return unreachable(failure, &findings);
    }
    findings.ok("fhir.reach", reached(fhir));
    if fhir.auth.contains(&AuthKind::OAuth2) {
        match credentials.ready(&client).await {
            Ok(()) => findings.ok("fhir.token", "the token endpoint gives one"),
            Err(no_token) => return findings.wrong("fhir.token", no_token),
        }
    }
    // Some servers show it only to those they let in.
    let statement = match statement {
        Err(Failure::Unauthorized { .. }) => client.metadata().await,
        statement => statement,
    };
    let is_let_in = search(&client, &credentials.variables(), &findings).await;
    match statement {
        Ok(statement) => of_statement(&statement, fhir, &findings),
        Err(failure) if is_let_in => without_statement(&failure, fhir, &findings),
        Err(_) => findings.skipped("fhir.update", "not told before the credentials are let in"),
    }
    if is_let_in {
        of_system(&client, fhir, &findings).await;
    }
}

fn reached(fhir: &FhirSettings) -> &'static str {
    match &fhir.url {
        Some(url) if url.starts_with("http:") => {
            "it answers; without TLS, so whoever is in between reads NIKs"
        }
        _ => "it answers, and its certificate is trusted",
    }
}

fn unreachable(failure: &Failure, findings: &Findings) {
    let said = error_chain(failure);
    let lower = said.to_lowercase();
    if matches!(failure, Failure::Throttled { .. }) {
        findings.wrong("fhir.reach", format!("{said}; ask again later"));
    } else if lower.contains("corrupt message") {
        let problem = "what answers there speaks no TLS; is it http:// instead of https://, or another port?";
        findings.wrong("fhir.tls", format!("{problem} ({said})"));
    } else if ["certificate", "unknownissuer", "tls"].iter().any(|word| lower.contains(word)) {
        let problem = "TLS fails; name the authority that signed its certificate with CA_FILE, and use the host name \
                       that the certificate bears";
        findings.wrong("fhir.tls", format!("{problem} ({said})"));
    } else {
        let problem = "check FHIR_URL, that the server runs, HTTPS_PROXY, and firewalls in between";
        findings.wrong("fhir.reach", format!("{said}; {problem}"));
    }
}

/// Searches sixteen zeros; whether the credentials are let in.
async fn search(client: &FhirClient, variables: &str, findings: &Findings) -> bool {
    match client.canary().await {
        Ok(Canary::Honoured) => {
            findings.ok("fhir.credentials", format!("they are let in ({variables})"));
            findings.ok("fhir.search", "a search for an impossible NIK finds nobody");
            true
        }
        Ok(Canary::SearchIgnored) => {
            findings.ok("fhir.credentials", format!("they are let in ({variables})"));
            findings.wrong(
                "fhir.search",
                "it answers a search for an impossible NIK with Patients: it ignores the identifier search, and \
                 nothing would be written; have its owner enable search by identifier",
            );
            true
        }
        Err(failure @ Failure::Unauthorized { .. }) => {
            findings.wrong("fhir.credentials", format!("{failure}; check {variables}"));
            false
        }
        Err(failure @ Failure::Forbidden { .. }) => {
            let problem = "the credentials may not search Patients; have the server's owner allow Patient search, read and update";
            findings.wrong("fhir.credentials", format!("{failure}; {problem}"));
            false
        }
        Err(failure @ (Failure::Gone { .. } | Failure::Rejected { .. })) => {
            let problem = "is FHIR_URL the base URL, the part before /Patient? If it is, its owner must enable search by identifier";
            findings.wrong("fhir.search", format!("{}; {problem}", error_chain(&failure)));
            false
        }
        Err(failure) => {
            findings
                .wrong("fhir.search", format!("{}; ask its owner to look at its log", error_chain(&failure)));
            false
        }
    }
}

fn without_statement(failure: &Failure, fhir: &FhirSettings, findings: &Findings) {
    let said = error_chain(failure);
    if fhir.write == FhirWrite::Auto || fhir.batch == FhirBatch::Auto {
        let problem =
            "FHIR_WRITE or FHIR_BATCH says auto, and the CapabilityStatement cannot be read; set put and off";
        findings.wrong("fhir.capabilities", format!("{problem} ({said})"));
    } else {
        findings.skipped(
            "fhir.capabilities",
            format!("the CapabilityStatement cannot be read, nor is it needed ({said})"),
        );
    }
}

/// What the CapabilityStatement declares (FHIR R4, CapabilityStatement): version, search, update, and what settings
/// count on.
fn of_statement(statement: &Value, fhir: &FhirSettings, findings: &Findings) {
    let version = statement["fhirVersion"].as_str().unwrap_or_default();
    if statement["resourceType"] != "CapabilityStatement" {
        let problem = "what it shows under /metadata is no CapabilityStatement; is FHIR_URL the base URL of a FHIR server?";
        return findings.wrong("fhir.capabilities", problem);
    }
    if !version.starts_with('4') {
        let problem =
            format!("it speaks FHIR {version:?}; R4 (4.0.1) is needed: name the R4 base URL with FHIR_URL");
        return findings.wrong("fhir.capabilities", problem);
    }
    let Some(patient) = patient_of(statement) else {
        let problem = "its CapabilityStatement has no Patient; is FHIR_URL the right server?";
        return findings.wrong("fhir.capabilities", problem);
    };
    findings.ok("fhir.capabilities", format!("FHIR {version}, with Patients"));
    let declares = |code: &str| has_code(&patient["interaction"], code);
    let by_patch = fhir.write == FhirWrite::Patch;
    let patches = declares("patch")
        && statement["patchFormat"]
            .as_array()
            .is_some_and(|formats| formats.iter().any(|format| format == "application/json-patch+json"));
    if by_patch && !patches {
        findings.wrong(
            "fhir.update",
            "FHIR_WRITE=patch, and it declares no JSON Patch of Patients; set FHIR_WRITE=put",
        );
    } else if !by_patch && !declares("update") {
        let problem = "it declares no update of Patients; have its owner allow it to these credentials, nothing can be written else";
        findings.wrong("fhir.update", problem);
    } else if patient["versioning"] == "no-version" {
        let problem = "it keeps no versions of Patients, so that two writers would overwrite each other; have its owner switch versioning on";
        findings.wrong("fhir.update", problem);
    } else {
        let how = if by_patch || (fhir.write == FhirWrite::Auto && patches) { "JSON Patch" } else { "PUT" };
        findings.ok(
            "fhir.update",
            format!("it declares the update of Patients, by {how}; nothing was written to try"),
        );
    }
    let batches = servers(statement).any(|rest| has_code(&rest["interaction"], "batch"));
    if fhir.batch == FhirBatch::On && !batches {
        findings.wrong("fhir.batch", "FHIR_BATCH=on, and it declares no batches; set FHIR_BATCH=off");
    } else if fhir.batch == FhirBatch::Off {
        if batches {
            findings
                .ok("fhir.batch", "it declares batches, which are faster; FHIR_BATCH=auto would use them");
        }
    } else {
        findings.ok(
            "fhir.batch",
            if batches { "it declares batches" } else { "it declares none, so none are sent" },
        );
    }
}

fn servers(statement: &Value) -> impl Iterator<Item = &Value> {
    statement["rest"].as_array().into_iter().flatten().filter(|rest| rest["mode"] != "client")
}

fn patient_of(statement: &Value) -> Option<&Value> {
    servers(statement)
        .flat_map(|rest| rest["resource"].as_array().into_iter().flatten())
        .find(|resource| resource["type"] == "Patient")
}

fn has_code(interactions: &Value, code: &str) -> bool {
    interactions.as_array().is_some_and(|all| all.iter().any(|interaction| interaction["code"] == code))
}

/// A system that is misspelt finds nobody, night after night, and looks like people who are not there.
async fn of_system(client: &FhirClient, fhir: &FhirSettings, findings: &Findings) {
    const CHECK: &str = "fhir.identifier";
    let system = &fhir.identifier_system;
    match client.count_of_system().await {
        Ok(Some(0)) => {
            let problem = format!(
                "no Patient has an identifier of {system}; ask the server's owner for the system of the NIK"
            );
            findings.wrong(CHECK, format!("{problem} (FHIR_IDENTIFIER_SYSTEM)"));
        }
        Ok(Some(_)) => findings.ok(CHECK, format!("there are Patients with an identifier of {system}")),
        Ok(None) => findings
            .skipped(CHECK, format!("it does not tell how many Patients have an identifier of {system}")),
        Err(failure) => findings.skipped(CHECK, format!("it does not tell ({})", error_chain(&failure))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::doctor::Verdict;
    use shared::settings::Settings;

    use super::*;

    /// What is found wrong with a statement, under these settings; `change` spoils one that is well.
    fn wrong(settings: &[(&str, &str)], change: impl FnOnce(&mut Value)) -> Vec<String> {
        let lookup =
            |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into());
        let settings = Settings::read(&lookup).expect("settings that can be read");
        let mut statement = json!({
            "resourceType": "CapabilityStatement",
            "fhirVersion": "4.0.1",
            "patchFormat": ["application/json-patch+json"],
            "rest": [{
                "mode": "server",
                "interaction": [{ "code": "batch" }],
                "resource": [{
                    "type": "Patient",
                    "versioning": "versioned",
                    "interaction": [{ "code": "read" }, { "code": "update" }, { "code": "patch" }],
                }],
            }],
        });
        change(&mut statement);
        let findings = Findings::default();
        of_statement(&statement, &settings.fhir, &findings);
        let found = findings.take().into_iter().filter(|found| found.verdict == Verdict::Wrong);
        found.map(|found| found.check).collect()
    }

    #[test]
    fn a_statement_that_does_not_do_is_found_by_what_is_wrong_with_it() {
        let patient = "/rest/0/resource/0";
        let set = |pointer: String, value: Value| {
            move |statement: &mut Value| *statement.pointer_mut(&pointer).expect("a part of it") = value
        };
        let none: Vec<String> = Vec::new();
        assert_eq!(wrong(&[], |_| {}), none);
        assert_eq!(wrong(&[("FHIR_WRITE", "patch"), ("FHIR_BATCH", "on")], |_| {}), none);
        let capabilities = ["fhir.capabilities"];
        assert_eq!(wrong(&[], |statement| *statement = json!({ "name": "a web shop" })), capabilities);
        assert_eq!(wrong(&[], set("/fhirVersion".into(), json!("3.0.2"))), capabilities, "STU3");
        assert_eq!(wrong(&[], set("/fhirVersion".into(), json!("5.0.0"))), capabilities, "R5");
        assert_eq!(wrong(&[], set(format!("{patient}/type"), json!("Person"))), capabilities);
        assert_eq!(wrong(&[], set("/rest/0/mode".into(), json!("client"))), capabilities);
        let update = ["fhir.update"];
        assert_eq!(wrong(&[], set(format!("{patient}/interaction"), json!([{ "code": "read" }]))), update);
        assert_eq!(wrong(&[], set(format!("{patient}/versioning"), json!("no-version"))), update);
        let by_patch = [("FHIR_WRITE", "patch")];
        assert_eq!(wrong(&by_patch, set("/patchFormat".into(), json!(["application/fhir+json"]))), update);
        let batch = [("FHIR_BATCH", "on")];
        assert_eq!(wrong(&batch, set("/rest/0/interaction".into(), json!([]))), ["fhir.batch"]);
    }
}
