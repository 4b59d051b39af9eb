//! OpenTelemetry's own variables, as far as they are honoured. Those of the batches (`OTEL_BSP_*`) are read by its
//! library itself.

use std::time::Duration;

use super::reader::{Reader, http_url};
use crate::secrets::SecretRef;

/// The part of the rows whose way is traced where nobody says how many: a night is one trace, and 200 rows of 20,000
/// are what a person can look at.
const ROWS: f64 = 0.01;

/// Where traces go, and of how many rows.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// Where spans are posted; none: nothing is traced.
    pub endpoint: Option<String>,
    /// `OTEL_EXPORTER_OTLP_HEADERS`: `NAME=VALUE`, with commas between.
    pub headers: Option<SecretRef>,
    /// `OTEL_EXPORTER_OTLP_TIMEOUT`: the bound of one post.
    pub timeout: Duration,
    /// `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`: the part of the rows that are traced, from 0 to 1.
    pub rows: f64,
    /// `OTEL_SERVICE_NAME`.
    pub service: Option<String>,
    /// `OTEL_RESOURCE_ATTRIBUTES`.
    pub attributes: Vec<(String, String)>,
}

pub(super) fn read(reader: &mut Reader<'_>) -> TraceSettings {
    const URL: &str = "an http or https URL";
    let url = |text: &str| http_url(text).map(Some);
    let base = reader.value("OTEL_EXPORTER_OTLP_ENDPOINT", None, URL, url);
    let exact = reader.value("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", None, URL, url);
    // The one protocol that is spoken; refused rather than spoken to somebody who expects another.
    reader.value("OTEL_EXPORTER_OTLP_PROTOCOL", (), "http/protobuf", |text| {
        (text == "http/protobuf").then_some(())
    });
    let disabled = reader
        .value("OTEL_SDK_DISABLED", false, "true, false", |text| text.to_ascii_lowercase().parse().ok());
    let rows = sampled(reader);
    let endpoint = exact.or_else(|| base.map(|base| format!("{base}/v1/traces")));
    TraceSettings {
        endpoint: endpoint.filter(|_| !disabled && rows.is_some()),
        headers: reader.secret("OTEL_EXPORTER_OTLP_HEADERS"),
        timeout: reader.value(
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            Duration::from_secs(10),
            "a number of milliseconds, such as 10000",
            |text| text.parse().ok().filter(|millis| *millis > 0).map(Duration::from_millis),
        ),
        rows: rows.unwrap_or_default(),
        service: reader.text("OTEL_SERVICE_NAME"),
        attributes: reader.value("OTEL_RESOURCE_ATTRIBUTES", Vec::new(), "KEY=VALUE,KEY=VALUE", pairs),
    }
}

/// The part of the rows; none: nothing at all is traced.
fn sampled(reader: &mut Reader<'_>) -> Option<f64> {
    let part = reader.value("OTEL_TRACES_SAMPLER_ARG", None, "a number from 0 to 1", |text| {
        text.parse().ok().filter(|part| (0.0..=1.0).contains(part)).map(Some)
    });
    reader.value(
        "OTEL_TRACES_SAMPLER",
        Some(part.unwrap_or(ROWS)),
        "always_on, always_off, traceidratio, or one of these after parentbased_",
        |text| match text.strip_prefix("parentbased_").unwrap_or(text) {
            "always_on" => Some(Some(1.0)),
            "always_off" => Some(None),
            "traceidratio" => Some(Some(part.unwrap_or(1.0))),
            _ => None,
        },
    )
}

/// `KEY=VALUE` with commas between.
pub(crate) fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let pair = |part: &str| {
        let (key, value) = part.split_once('=')?;
        let (key, value) = (key.trim(), value.trim());
        (!key.is_empty()).then(|| (key.to_owned(), value.to_owned()))
    };
    text.trim().split(',').filter(|part| !part.trim().is_empty()).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{SettingError, Settings};

    fn read(pairs: &[(&str, &str)]) -> Result<TraceSettings, Vec<SettingError>> {
        let lookup =
            |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into());
        Settings::read(&lookup).map(|settings| settings.traces)
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");

    #[test]
    fn traces_go_where_the_standard_says_and_nowhere_by_default() {
        assert_eq!(read(&[]).unwrap().endpoint, None);
        assert_eq!(read(&[ENDPOINT]).unwrap().endpoint.unwrap(), "http://collector:4318/v1/traces");
        let exact = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://other/in");
        assert_eq!(read(&[ENDPOINT, exact]).unwrap().endpoint.unwrap(), "https://other/in");
        for off in [("OTEL_SDK_DISABLED", "True"), ("OTEL_TRACES_SAMPLER", "parentbased_always_off")] {
            assert_eq!(read(&[ENDPOINT, off]).unwrap().endpoint, None, "{off:?}");
        }
    }

    #[test]
    fn how_many_rows_are_traced_is_said_by_the_standards_sampler() {
        let rows = |pairs: &[(&str, &str)]| read(pairs).unwrap().rows;
        let part = ("OTEL_TRACES_SAMPLER_ARG", "0.25");
        assert_eq!((rows(&[]), rows(&[part])), (0.01, 0.25));
        let ratio = ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
        assert_eq!((rows(&[ratio]), rows(&[ratio, part])), (1.0, 0.25));
        assert_eq!(rows(&[("OTEL_TRACES_SAMPLER", "always_on"), part]), 1.0);
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_and_a_header_is_not_quoted() {
        let bad = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "http or https"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote", "always_on"),
            ("OTEL_TRACES_SAMPLER_ARG", "1.5", "0 to 1"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "milliseconds"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hunter2", "file:"),
            ("OTEL_RESOURCE_ATTRIBUTES", "production", "KEY=VALUE"),
        ];
        let errors = read(&bad.map(|(name, value, _)| (name, value))).unwrap_err();
        assert_eq!(errors.len(), bad.len(), "{errors:#?}");
        for (name, _, accepted) in bad {
            let error = errors.iter().find(|error| error.variable == name).unwrap().to_string();
            assert!(error.contains(accepted) && !error.contains("hunter2"), "{error}");
        }
    }
}
