//! The settings by themselves, and the secrets they refer to.

use std::sync::Arc;

use tokio::time::timeout;

use super::{ANSWER, Findings, Subject};
use crate::data_key::DataKeys;
use crate::error_chain;
use crate::secrets::SecretRef;
use crate::settings::Settings;

/// A line for each setting that cannot be read, and one for each secret that is referred to.
pub async fn examine(subject: Arc<Subject>, findings: Findings) {
    let Subject { settings, errors } = &*subject;
    for error in errors {
        findings.wrong(error.variable, &error.problem);
    }
    if errors.is_empty() {
        findings.ok("settings", "every value that is set can be read");
    }
    for (variable, secret) in secrets(settings) {
        let Some(secret) = secret else { continue };
        match timeout(ANSWER, secret.resolve()).await {
            Ok(Ok(_)) if variable == "DATA_KEY" => match DataKeys::resolve(secret).await {
                Ok(_) => findings.ok(variable, format!("{secret:?} can be read{}", exposure(secret))),
                Err(problem) => findings.bad_setting(variable, &problem),
            },
            Ok(Ok(_)) => findings.ok(variable, format!("{secret:?} can be read{}", exposure(secret))),
            Ok(Err(error)) => {
                // A manager's error says itself what to do.
                let cure =
                    if secret.is_managed() { "" } else { "; put the secret there, readable by this user" };
                findings.wrong(variable, format!("{}{cure}", error_chain(&error)));
            }
            Err(_) => {
                findings.wrong(variable, format!("{secret:?} cannot be read within {} s", ANSWER.as_secs()))
            }
        }
    }
}

/// The same, for a program of a cluster: every process of it needs the same key.
pub async fn examine_of_cluster(subject: Arc<Subject>, findings: Findings) {
    examine(subject.clone(), findings.clone()).await;
    if subject.settings.data_key.is_none() && !subject.errors.iter().any(|error| error.variable == "DATA_KEY")
    {
        let problem = "not set; make a key (echo \"1:$(head -c 32 /dev/urandom | base64)\"), and give every process of \
                       the cluster a reference to it such as file:/run/secrets/data-key";
        findings.wrong("DATA_KEY", problem);
    }
}

fn secrets(settings: &Settings) -> [(&'static str, &Option<SecretRef>); 8] {
    [
        ("GOOGLE_CREDENTIALS", &settings.sheet.credentials),
        ("FHIR_API_KEY", &settings.fhir.api_key),
        ("FHIR_TOKEN", &settings.fhir.token),
        ("FHIR_CLIENT_SECRET", &settings.fhir.client_secret),
        ("DATA_KEY", &settings.data_key),
        ("DASHBOARD_TOKEN", &settings.dashboard.token),
        ("ALERT_WEBHOOK_URL", &settings.alert_webhook),
        ("OTEL_EXPORTER_OTLP_HEADERS", &settings.traces.headers),
    ]
}

/// A word on a file that others can read too. Orchestrators mount secrets so by default, hence no more than a word.
fn exposure(secret: &SecretRef) -> &'static str {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(path) = secret.as_file() else { return "" };
    match std::fs::metadata(path) {
        Ok(file) if file.permissions().mode() & 0o077 != 0 => {
            ", by others on this machine too (chmod 600 keeps them out)"
        }
        _ => "",
    }
}
