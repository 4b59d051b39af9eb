//! The settings of the environment, and references to secrets.

use shared::secrets::SecretRef;
use shared::settings::Settings;

use crate::input::Input;

const VARIABLES: &[&str] = &[
    "ALERT_WEBHOOK_URL",
    "AMQP_CERT_FILE",
    "AMQP_KEY_FILE",
    "AMQP_URL",
    "AWS_ENDPOINT_URL",
    "DASHBOARD_ADDR",
    "DASHBOARD_TOKEN",
    "DASHBOARD_TRUSTED_PROXY",
    "DASHBOARD_USER_HEADER",
    "DATABASE_URL",
    "DATA_KEY",
    "FHIR_API_KEY",
    "FHIR_AUTH",
    "FHIR_BATCH",
    "FHIR_CLIENT_ID",
    "FHIR_CLIENT_SECRET",
    "FHIR_IDENTIFIER_SYSTEM",
    "FHIR_MAX_CONCURRENCY",
    "FHIR_MAX_RPS",
    "FHIR_SEARCH",
    "FHIR_TIMEOUT",
    "FHIR_TOKEN",
    "FHIR_TOKEN_URL",
    "FHIR_URL",
    "FHIR_WRITE",
    "GOOGLE_CREDENTIALS",
    "HTTPS_PROXY",
    "JOB_NAME",
    "LOG_FORMAT",
    "METRICS_ADDR",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "PREVIOUS_NUMBER",
    "RETENTION_DAYS",
    "RETRY_MAX_ATTEMPTS",
    "RUN_DEADLINE",
    "RUN_TIMEZONE",
    "SECRETS_TTL",
    "SHEETS_URL",
    "SHEET_DATE_ORDER",
    "SHEET_ID",
    "SHEET_RANGE",
    "VAULT_ADDR",
    "VAULT_TOKEN",
];

/// Those that hold a reference, or what is as secret.
const SECRET: &[&str] = &[
    "ALERT_WEBHOOK_URL",
    "DASHBOARD_TOKEN",
    "DATA_KEY",
    "FHIR_API_KEY",
    "FHIR_CLIENT_SECRET",
    "FHIR_TOKEN",
    "GOOGLE_CREDENTIALS",
    "HTTPS_PROXY",
];

/// An environment of some variables.
pub fn read(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut given: Vec<(&str, String)> = Vec::new();
    while !input.is_empty() && given.len() < 16 {
        given.push((input.one_of(VARIABLES), input.text()));
    }
    let lookup = |name: &str| given.iter().find(|(set, _)| *set == name).map(|(_, value)| value.clone());
    match Settings::read(&lookup) {
        Ok(settings) => {
            assert!(settings.retention_days >= 30 && (1..=100).contains(&settings.retry_max_attempts));
            assert!(!settings.run_deadline.is_zero() && !settings.fhir.timeout.is_zero());
            let printed = format!("{settings:?}");
            if let Some(proxy) = lookup("HTTPS_PROXY").filter(|proxy| proxy.trim().len() > 16) {
                let elsewhere = given.iter().filter(|(_, value)| value.contains(proxy.trim())).count() > 1;
                assert!(elsewhere || !printed.contains(proxy.trim()), "a proxy may hold a password");
            }
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in &errors {
                let value = lookup(error.variable).unwrap_or_default();
                let told = error.to_string();
                assert!(told.starts_with(error.variable), "{told}");
                assert!(told.chars().count() <= 1_000 + value.chars().count(), "{told}");
                // A reference may be shown, what is none may not: it may be the secret.
                let is_reference = value.trim().contains("://") || value.trim().starts_with("env:");
                if SECRET.contains(&error.variable) && !is_reference && value.trim().len() > 16 {
                    assert!(!told.contains(value.trim()), "{} is shown", error.variable);
                }
            }
        }
    }
}

/// A reference to a secret.
pub fn secret(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let scheme = input.one_of(&["", "", "file:", "env:", "vault://", "gcp-sm://projects/", "aws-sm://"]);
    let text = format!("{scheme}{}", input.text());
    match text.parse::<SecretRef>() {
        Ok(reference) => {
            assert_eq!(reference.to_string(), text, "a reference is shown as it was given");
            let path = text.split_once("://").map_or("", |(_, rest)| rest);
            let document = path.split('#').next().unwrap_or_default();
            let climbs = document.split('/').any(|part| part == "..");
            assert!(!(reference.is_managed() && climbs), "{text} leads elsewhere");
        }
        Err(error) => {
            let told = error.to_string();
            let known = ["file:", "env:", "vault://", "gcp-sm://", "aws-sm://"];
            if !known.iter().any(|scheme| text.starts_with(scheme)) && text.len() > 16 {
                assert!(!told.contains(&text), "what is no reference may be the secret");
            }
        }
    }
}
