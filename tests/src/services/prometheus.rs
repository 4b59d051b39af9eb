//! A Prometheus of a test's own, and the tools that come with it. There is no other source of one than the programs of
//! this machine (`scripts/install-prometheus`).

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::folder::{Private, free_port};

const PATIENCE: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_millis(50);

/// `$1` is its configuration, `$2` the rules, `$3` its port.
const START: &str = r#"
printf %s "$1" >"$folder/prometheus.yml"
cat "$2" >"$folder/alerts.yml"
chmod a+r "$folder"/*.yml
as prometheus --config.file="$folder/prometheus.yml" --storage.tsdb.path="$folder/data" \
  --web.listen-address="127.0.0.1:$3" >"$folder/server.log" 2>&1 &
server=$!
"#;

/// Scrapes and evaluates every second.
pub struct Prometheus {
    base: String,
    client: reqwest::Client,
    _server: Private,
}

impl Prometheus {
    /// Started with these rules, it scrapes these addresses as one job.
    ///
    /// # Panics
    /// It does not come up.
    pub async fn start(rules: &Path, job: &str, targets: &[String]) -> Self {
        // An error means that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30));
        let client = client.build().expect("a client");
        let settings = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
             rule_files: [alerts.yml]\n\
             scrape_configs: [{{job_name: {job}, static_configs: [{{targets: {targets:?}}}]}}]\n"
        );
        let mut problem = String::new();
        // Another process may take the port first.
        for _ in 0..3 {
            let port = free_port().expect("a free port");
            let arguments = [OsStr::new(&settings), rules.as_os_str(), OsStr::new(&port)];
            let mut server = Private::start("prometheus", START, &arguments).expect("it starts");
            let base = format!("http://127.0.0.1:{port}");
            match answering(&client, &base, &mut server).await {
                Ok(()) => return Self { base, client, _server: server },
                Err(said) => problem = said,
            }
        }
        panic!("no Prometheus (scripts/install-prometheus): {problem}");
    }

    /// What a query is answered with: each series' labels and value.
    ///
    /// # Panics
    /// It is refused.
    pub async fn query(&self, query: &str) -> Vec<Value> {
        let data = self.get("/api/v1/query", &[("query", query)]).await;
        data["result"].as_array().cloned().unwrap_or_else(|| panic!("{query}: {data}"))
    }

    /// The names of the alerts that fire.
    pub async fn firing(&self) -> Vec<String> {
        let data = self.get("/api/v1/alerts", &[]).await;
        let alerts = data["alerts"].as_array().expect("alerts").iter();
        let firing = alerts.filter(|alert| alert["state"] == "firing");
        firing.map(|alert| alert["labels"]["alertname"].as_str().expect("a name").to_owned()).collect()
    }

    /// The rules, as it understood them.
    pub async fn rules(&self) -> Vec<Value> {
        let data = self.get("/api/v1/rules", &[]).await;
        let groups = data["groups"].as_array().expect("groups").iter();
        groups.flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let answer = self.client.get(format!("{}{path}", self.base)).query(query).send().await;
        let text = answer.expect("an answer").text().await.expect("a body");
        let mut answer: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}"));
        assert_eq!(answer["status"], "success", "{query:?}: {answer}");
        answer["data"].take()
    }
}

async fn answering(client: &reqwest::Client, base: &str, server: &mut Private) -> Result<(), String> {
    let gives_up = Instant::now() + PATIENCE;
    loop {
        let answer = client.get(format!("{base}/-/ready")).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        if server.has_ended() || Instant::now() > gives_up {
            let log = std::fs::read_to_string(server.folder.join("server.log"));
            return Err(log.unwrap_or_else(|error| format!("it left no log: {error}")));
        }
        sleep(EVERY).await;
    }
}
