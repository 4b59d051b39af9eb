//! The settings of the outside contract, read once at start into one value that is passed on.
//!
//! Reading touches nothing: no file, no network. Secrets are references here, resolved by whoever needs them.

mod dashboard;
mod fhir;
mod reader;
mod secrets;
mod traces;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::domain::DateOrder;
use crate::domain::spelled;
use crate::secrets::{SecretRef, Secrets};
use reader::{Reader, duration, http_url};

pub use dashboard::{DashboardSettings, Network};
pub use fhir::{AuthKind, FhirBatch, FhirSearch, FhirSettings, FhirWrite, PreviousNumber};
pub use reader::SettingError;
pub use traces::TraceSettings;
#[cfg(feature = "otlp")]
pub(crate) use traces::pairs;

spelled! {
    /// `LOG_FORMAT`.
    LogFormat {
        /// One JSON object a line.
        Json = "json",
        /// For people.
        Text = "text",
    }
}

/// A setting, or several, that proved unusable when they were put to use, before anything was started: exit
/// status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadSettings(pub String);

impl BadSettings {
    /// What is wrong with a variable.
    pub fn of(variable: &str, error: impl std::fmt::Display) -> Self {
        Self(format!("{variable}: {error}"))
    }
}

/// The Google Sheet.
#[derive(Clone, Debug)]
pub struct SheetSettings {
    /// `SHEET_ID`.
    pub id: Option<String>,
    /// `SHEET_RANGE`.
    pub range: String,
    /// `SHEET_COLUMN_NIK`.
    pub column_nik: String,
    /// `SHEET_COLUMN_PHONE`.
    pub column_phone: String,
    /// `SHEET_COLUMN_UPDATED`.
    pub column_updated: String,
    /// `SHEET_DATE_ORDER`.
    pub date_order: DateOrder,
    /// `GOOGLE_CREDENTIALS`.
    pub credentials: Option<SecretRef>,
    /// `SHEETS_URL`; none means Google's.
    pub url: Option<String>,
}

/// `CA_FILE`, `HTTPS_PROXY`, `NO_PROXY`.
#[derive(Clone, Default)]
pub struct HttpSettings {
    /// PEM roots added to the system's.
    pub ca_file: Option<PathBuf>,
    /// The proxy for https; may hold a password.
    pub https_proxy: Option<String>,
    /// Hosts reached without it.
    pub no_proxy: Option<String>,
}

impl std::fmt::Debug for HttpSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpSettings").field("ca_file", &self.ca_file).finish_non_exhaustive()
    }
}

/// Everything a program is told from outside.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The Google Sheet.
    pub sheet: SheetSettings,
    /// The FHIR server.
    pub fhir: FhirSettings,
    /// CA and proxies.
    pub http: HttpSettings,
    /// What the references among these are read with.
    pub secrets: Secrets,
    /// `DATABASE_URL`, as given.
    pub database_url: Option<String>,
    /// `AMQP_URL`, as given.
    pub amqp_url: Option<String>,
    /// `AMQP_CERT_FILE` and `AMQP_KEY_FILE`: what we show to a broker that asks for a client's certificate.
    pub amqp_identity: Option<(PathBuf, PathBuf)>,
    /// `ALERT_WEBHOOK_URL`.
    pub alert_webhook: Option<SecretRef>,
    /// `DATA_KEY`.
    pub data_key: Option<SecretRef>,
    /// `JOB_NAME`.
    pub job: String,
    /// `RUN_TIMEZONE`.
    pub zone: TimeZone,
    /// `RETRY_MAX_ATTEMPTS`.
    pub retry_max_attempts: u32,
    /// `RUN_DEADLINE`.
    pub run_deadline: Duration,
    /// `RETENTION_DAYS`.
    pub retention_days: u32,
    /// `METRICS_ADDR`.
    pub metrics_addr: SocketAddr,
    /// The page.
    pub dashboard: DashboardSettings,
    /// `LOG_FORMAT`.
    pub log_format: Option<LogFormat>,
    /// Traces.
    pub traces: TraceSettings,
}

impl Settings {
    /// Reads the process's environment.
    pub fn from_env() -> Result<Self, Vec<SettingError>> {
        Self::read(&|variable| std::env::var(variable).ok())
    }

    /// Reads any environment; the complaints name every setting that cannot be used.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<SettingError>> {
        let (settings, errors) = Self::read_what_can_be(lookup);
        if errors.is_empty() { Ok(settings) } else { Err(errors) }
    }

    /// The same where a setting that cannot be used has its default: to look at the others all the same.
    pub fn read_what_can_be(lookup: &dyn Fn(&str) -> Option<String>) -> (Self, Vec<SettingError>) {
        let mut reader = Reader::new(lookup);
        let http = HttpSettings {
            ca_file: reader.text("CA_FILE").map(PathBuf::from),
            https_proxy: reader.text("HTTPS_PROXY"),
            no_proxy: reader.text("NO_PROXY"),
        };
        let secrets = secrets::read(&mut reader, &http);
        // Every reference that is read from here on is read with these.
        reader.secrets = secrets.clone();
        let settings = Self {
            sheet: read_sheet(&mut reader),
            fhir: fhir::read(&mut reader),
            http,
            secrets,
            database_url: reader.text("DATABASE_URL"),
            amqp_url: reader.text("AMQP_URL"),
            amqp_identity: read_identity(&mut reader),
            alert_webhook: reader.secret("ALERT_WEBHOOK_URL"),
            data_key: reader.secret("DATA_KEY"),
            job: reader.value(
                "JOB_NAME",
                "nightly-whatsapp-sync".into(),
                "1 to 64 letters, digits, '-', '_' or '.'",
                |text| {
                    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
                    (text.len() <= 64 && text.bytes().all(plain)).then(|| text.to_owned())
                },
            ),
            zone: read_zone(&mut reader),
            retry_max_attempts: reader.value("RETRY_MAX_ATTEMPTS", 6, "a number from 1 to 100", |text| {
                text.parse().ok().filter(|attempts| (1..=100).contains(attempts))
            }),
            run_deadline: reader.value(
                "RUN_DEADLINE",
                Duration::from_secs(1800),
                "a duration such as 30m or 1h",
                duration,
            ),
            retention_days: reader.value("RETENTION_DAYS", 30, "a number of days, 30 or more", |text| {
                text.parse().ok().filter(|days| (30..=36_500).contains(days))
            }),
            metrics_addr: reader.value(
                "METRICS_ADDR",
                SocketAddr::from(([127, 0, 0, 1], 9464)),
                "an IP address and a port, such as 127.0.0.1:9464 or 0.0.0.0:9464",
                |text| text.parse().ok(),
            ),
            dashboard: dashboard::read(&mut reader),
            log_format: reader.value("LOG_FORMAT", None, "json, text", |text| text.parse().ok().map(Some)),
            traces: traces::read(&mut reader),
        };
        (settings, reader.errors)
    }
}

fn read_identity(reader: &mut Reader<'_>) -> Option<(PathBuf, PathBuf)> {
    let (certificate, key) = (reader.text("AMQP_CERT_FILE"), reader.text("AMQP_KEY_FILE"));
    let alone = match (&certificate, &key) {
        (Some(_), None) => "AMQP_KEY_FILE",
        (None, Some(_)) => "AMQP_CERT_FILE",
        _ => return certificate.map(PathBuf::from).zip(key.map(PathBuf::from)),
    };
    reader.refuse(alone, "not set; AMQP_CERT_FILE and AMQP_KEY_FILE go together, both PEM files".into());
    None
}

fn read_sheet(reader: &mut Reader<'_>) -> SheetSettings {
    let named = |reader: &Reader<'_>, variable, default: &str| {
        reader.text(variable).unwrap_or_else(|| default.to_owned())
    };
    SheetSettings {
        id: reader.text("SHEET_ID"),
        range: named(reader, "SHEET_RANGE", "Sheet1"),
        column_nik: named(reader, "SHEET_COLUMN_NIK", "nik"),
        column_phone: named(reader, "SHEET_COLUMN_PHONE", "whatsapp_number"),
        column_updated: named(reader, "SHEET_COLUMN_UPDATED", "last_updated_date"),
        date_order: reader.word("SHEET_DATE_ORDER", DateOrder::Dmy, "dmy, mdy"),
        credentials: reader.secret("GOOGLE_CREDENTIALS"),
        url: reader.value("SHEETS_URL", None, "an http or https URL", |text| http_url(text).map(Some)),
    }
}

fn read_zone(reader: &mut Reader<'_>) -> TimeZone {
    let name = reader.text("RUN_TIMEZONE").unwrap_or_else(|| "Asia/Jakarta".to_owned());
    TimeZone::get(&name).unwrap_or_else(|_| {
        reader.refuse(
            "RUN_TIMEZONE",
            format!("found '{name}'; accepted: an IANA time zone such as Asia/Jakarta"),
        );
        TimeZone::UTC
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, Vec<SettingError>> {
        Settings::read(&|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.sheet.range, "Sheet1");
        assert_eq!(settings.fhir.identifier_system, "https://fhir.kemkes.go.id/id/nik");
        assert_eq!((settings.fhir.max_concurrency, settings.retry_max_attempts), (256, 6));
        assert_eq!(settings.fhir.auth, [AuthKind::ApiKey]);
        assert_eq!((settings.fhir.write, settings.fhir.batch), (FhirWrite::Put, FhirBatch::Off));
        assert_eq!(settings.fhir.search, FhirSearch::Get);
        assert_eq!(settings.run_deadline, Duration::from_secs(30 * 60));
        assert_eq!(settings.zone.iana_name(), Some("Asia/Jakarta"));
        assert_eq!(settings.job, "nightly-whatsapp-sync");
        assert_eq!(settings.metrics_addr.to_string(), "127.0.0.1:9464");
    }

    #[test]
    fn every_bad_value_is_named_with_what_is_accepted_all_at_once() {
        let bad = [
            ("SHEET_DATE_ORDER", "ymd", "dmy, mdy"),
            ("FHIR_URL", "ftp://x", "http"),
            ("FHIR_AUTH", "bearer,oauth2", "api-key,oauth2"),
            ("FHIR_TOKEN_URL", "token.example.org", "http or https URL"),
            ("FHIR_SEARCH", "put", "get, post"),
            ("FHIR_WRITE", "post", "put, patch, auto"),
            ("FHIR_BATCH", "50", "off, on, auto"),
            ("FHIR_MAX_CONCURRENCY", "0", "1 to 10000"),
            ("FHIR_MAX_RPS", "-1", "more than 0"),
            ("FHIR_TIMEOUT", "30", "30s"),
            ("PREVIOUS_NUMBER", "delete", "replace, keep"),
            ("RUN_TIMEZONE", "Asia/Djakarta", "Asia/Jakarta"),
            ("RETRY_MAX_ATTEMPTS", "zero", "1 to 100"),
            ("RUN_DEADLINE", "0m", "30m"),
            ("RETENTION_DAYS", "7", "30 or more"),
            ("METRICS_ADDR", "9464", "127.0.0.1:9464"),
            ("DASHBOARD_ADDR", "8080", "127.0.0.1:8080"),
            ("DASHBOARD_TRUSTED_PROXY", "proxy", "10.0.0.0/8"),
            ("LOG_FORMAT", "xml", "json, text"),
            ("JOB_NAME", "a b", "letters"),
        ];
        let pairs: Vec<_> = bad.iter().map(|(name, value, _)| (*name, *value)).collect();
        let errors = read(&pairs).unwrap_err();
        assert_eq!(errors.len(), bad.len(), "{errors:#?}");
        for (name, value, accepted) in bad {
            let error = errors.iter().find(|error| error.variable == name).unwrap().to_string();
            assert!(error.contains(value) && error.contains(accepted), "{error}");
        }
    }

    #[test]
    fn a_token_endpoint_is_taken_as_it_is_and_kinds_of_credentials_in_any_order() {
        let url = "https://auth.example.org/token/";
        let settings = read(&[("FHIR_AUTH", "oauth2, api-key"), ("FHIR_TOKEN_URL", url)]).unwrap().fhir;
        assert_eq!(settings.auth, [AuthKind::ApiKey, AuthKind::OAuth2]);
        assert_eq!(settings.token_url.as_deref(), Some(url));
    }

    #[test]
    fn a_secret_given_literally_is_refused_and_not_quoted() {
        let errors = read(&[("FHIR_API_KEY", "hunter2-hunter2"), ("DATA_KEY", "AAAA")]).unwrap_err();
        assert_eq!(errors.len(), 2);
        assert!(!format!("{errors:?}").contains("hunter2"));
    }
}
