//! The pages of a process, read as a scraper and a prober read them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::child::Running;

/// Where a process serves metrics and health.
#[derive(Clone)]
pub struct Pages {
    base: String,
    client: reqwest::Client,
}

/// One scrape: the text, and its samples by name and labels as they are written.
#[derive(Debug)]
pub struct Scrape {
    /// As it came.
    pub text: String,
    samples: BTreeMap<String, f64>,
}

impl Pages {
    /// At this address.
    pub fn at(address: SocketAddr) -> Self {
        // An error means that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30));
        Self { base: format!("http://{address}"), client: client.build().expect("a client") }
    }

    /// Of a program, as its log tells.
    pub async fn of(running: &mut Running) -> Self {
        Self::named_by(running, "serving metrics").await
    }

    /// Of the dashboard in a program, likewise.
    pub async fn dashboard_of(running: &mut Running) -> Self {
        Self::named_by(running, "serving the page").await
    }

    async fn named_by(running: &mut Running, message: &str) -> Self {
        running.until_logged(message).await;
        let log = running.stderr();
        let line = log.lines().find(|line| line.contains(message)).expect("it was logged");
        let line: Value = serde_json::from_str(line).expect("a log off a terminal is JSON");
        Self::at(line["address"].as_str().expect("an address").parse().expect("an address"))
    }

    /// Host and port.
    pub fn authority(&self) -> String {
        self.base.trim_start_matches("http://").to_owned()
    }

    /// Status and body of a page.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    /// `/metrics`.
    ///
    /// # Panics
    /// It is not in the Prometheus text format.
    pub async fn scrape(&self) -> Scrape {
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, 200, "{text}");
        let mut samples = BTreeMap::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
            let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            assert!(samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
        }
        Scrape { text, samples }
    }
}

impl Scrape {
    /// A sample, such as `run_state{state="open"}`: its name without the prefix.
    pub fn get(&self, series: &str) -> Option<f64> {
        self.samples.get(&format!("nightly_sync_{series}")).copied()
    }

    /// The samples of a metric, by the value of its only label.
    pub fn by_label(&self, metric: &str) -> BTreeMap<String, f64> {
        let start = format!("nightly_sync_{metric}{{");
        let labelled = self.samples.iter().filter(|(series, _)| series.starts_with(&start));
        let value = |series: &str| series.split('"').nth(1).expect("a label").to_owned();
        labelled.map(|(series, sample)| (value(series), *sample)).collect()
    }

    /// The names of each sample's labels, for a metric with its prefix; a histogram's bounds aside.
    pub fn labels(&self, metric: &str) -> Vec<Vec<&str>> {
        let of_metric = |series: &&String| {
            let name = series.split('{').next().unwrap_or_default();
            name.strip_prefix(metric).is_some_and(|rest| ["", "_bucket", "_sum", "_count"].contains(&rest))
        };
        self.samples.keys().filter(of_metric).map(|series| label_names(series)).collect()
    }

    /// All samples of a metric together.
    pub fn sum(&self, metric: &str) -> f64 {
        let start = format!("nightly_sync_{metric}{{");
        self.samples.iter().filter(|(series, _)| series.starts_with(&start)).map(|(_, sample)| sample).sum()
    }

    /// The names that `# TYPE` lines declare, each once.
    ///
    /// # Panics
    /// One is declared twice.
    pub fn declared(&self) -> BTreeMap<String, String> {
        let mut declared = BTreeMap::new();
        for line in self.text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').expect("a name and a kind");
            assert!(declared.insert(name.to_owned(), kind.to_owned()).is_none(), "declared twice: {name}");
        }
        declared
    }
}

fn label_names(series: &str) -> Vec<&str> {
    let labels = series.split_once('{').map_or("", |(_, labels)| labels.trim_end_matches('}'));
    let names = labels.split(',').filter_map(|label| label.split_once('='));
    names.map(|(name, _)| name).filter(|name| *name != "le").collect()
}
