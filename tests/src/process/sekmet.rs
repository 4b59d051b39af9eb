//! SEKMET (`sekmet-fhir` on PyPI), a FHIR server nobody here wrote: our own simulator could share
//! our misunderstandings.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::binaries::{SEKMET, in_repository};
use crate::night::until;

/// Starts on another port, should somebody take the one that was just free.
const STARTS: u32 = 5;

/// What a server is like; by default it takes what a profile would refuse, and keeps it, as servers in use do,
/// and it is open to everybody.
#[derive(Clone, Copy, Debug, Default)]
pub struct SekmetOptions {
    /// It refuses what R4 does not know.
    pub strict: bool,
    /// It asks for an access token of five seconds, which it gives to [`CLIENT`].
    pub closed: bool,
}

/// The OAuth2 client it knows: id and secret. Form-encoded the secret is another text, and SEKMET does not decode
/// it in the header, so only the form gets a token.
pub const CLIENT: (&str, &str) = ("nightly-sync", "a+client secret");

/// A running server with no data; stopped when dropped.
pub struct Sekmet {
    base_url: String,
    closed: bool,
    client: reqwest::Client,
    _child: Child,
    _folder: TempDir,
}

impl Sekmet {
    /// Starts the server on a free port of the loopback interface.
    ///
    /// # Panics
    /// It is not installed, or does not start.
    pub async fn start(options: SekmetOptions) -> Self {
        let program = in_repository(SEKMET);
        assert!(program.is_file(), "{} is missing; run first: scripts/install-sekmet", program.display());
        // An error means that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().expect("a client");
        for _ in 0..STARTS {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let port = free_port();
            let base_url = format!("http://127.0.0.1:{port}/fhir");
            let data = folder.path().join("data");
            std::fs::create_dir(&data).expect("a folder");
            let inbound = if options.strict { "strict" } else { "warn" };
            let mut settings = format!(
                "base_url: {base_url}\nhost: 127.0.0.1\nport: {port}\ndata_dir: {}\nlog_inbound: false\n\
                 validation: {{inbound: {inbound}}}\nsimulator: {{enabled: false}}\n",
                data.display()
            );
            if options.closed {
                let (id, secret) = CLIENT;
                settings += &format!(
                    "server_auth: {{types: [smart], token_lifetime: 5, smart_clients: [{{client_id: {id}, \
                     client_secret: '{secret}', scopes: 'system/Patient.read system/Patient.write'}}]}}\n"
                );
            }
            std::fs::write(folder.path().join("settings.yaml"), settings).expect("a file");
            let mut child = Command::new(&program)
                .args(["serve", "-c", "settings.yaml"])
                .current_dir(folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .expect("SEKMET starts");
            let metadata = format!("{base_url}/metadata");
            let look = || {
                let ended = child.try_wait().expect("a child can be asked");
                let answer = client.get(&metadata).send();
                async move { (ended, answer.await.map_err(|error| error.to_string())) }
            };
            let (ended, _) =
                until("an answer of SEKMET", look, |(ended, answer)| ended.is_some() || answer.is_ok()).await;
            if ended.is_none() {
                let closed = options.closed;
                return Self { base_url, closed, client, _child: child, _folder: folder };
            }
        }
        panic!("SEKMET ended at once, {STARTS} times");
    }

    /// The FHIR base URL.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Its token endpoint.
    pub fn token_url(&self) -> String {
        let root = self.base_url.strip_suffix("/fhir").expect("the base URL was made so");
        format!("{root}/auth/token")
    }

    async fn send(&self, mut request: reqwest::RequestBuilder) -> reqwest::Result<reqwest::Response> {
        if self.closed {
            let (id, secret) = CLIENT;
            let form = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
            let token: Value = self.client.post(self.token_url()).form(&form).send().await?.json().await?;
            request = request.bearer_auth(token["access_token"].as_str().expect("a token"));
        }
        request.send().await
    }

    /// Stores a Patient under its id.
    ///
    /// # Errors
    /// The server refuses it; its status and words.
    pub async fn put(&self, patient: &Value) -> Result<(), String> {
        let id = patient["id"].as_str().expect("a Patient with an id");
        let request = self
            .client
            .put(format!("{}/Patient/{id}", self.base_url))
            .header("content-type", "application/fhir+json")
            .body(patient.to_string());
        let answer = self.send(request).await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = answer.text().await.map_err(|error| error.to_string())?;
        if status.is_success() { Ok(()) } else { Err(format!("{status}: {body}")) }
    }

    /// Stores many Patients under their ids.
    ///
    /// # Panics
    /// The server refuses one.
    pub async fn put_all(&self, patients: &[Value]) {
        for some in patients.chunks(100) {
            let entry = |patient: &Value| {
                let id = patient["id"].as_str().expect("a Patient with an id");
                json!({ "resource": patient, "request": { "method": "PUT", "url": format!("Patient/{id}") } })
            };
            let entries: Vec<Value> = some.iter().map(entry).collect();
            let bundle = json!({ "resourceType": "Bundle", "type": "batch", "entry": entries });
            let request = self.client.post(&self.base_url).header("content-type", "application/fhir+json");
            let answer = self.send(request.body(bundle.to_string())).await.expect("an answer");
            let answer: Value = answer.json().await.expect("a Bundle");
            let entries = answer["entry"].as_array().expect("entries");
            let taken =
                |entry: &&Value| entry["response"]["status"].as_str().is_some_and(|it| it.starts_with('2'));
            assert_eq!(entries.iter().filter(taken).count(), some.len(), "{answer}");
        }
    }

    /// Every Patient as the server gives it, by id.
    ///
    /// # Panics
    /// The server does not give them.
    pub async fn all(&self) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::new();
        let mut next = Some(format!("{}/Patient?_count=500", self.base_url));
        while let Some(url) = next {
            let answer = self.send(self.client.get(url)).await.expect("an answer");
            let page: Value = answer.json().await.expect("a Bundle");
            for entry in page["entry"].as_array().map(Vec::as_slice).unwrap_or_default() {
                let patient = entry["resource"].clone();
                all.insert(patient["id"].as_str().expect("an id").to_owned(), patient);
            }
            let links = page["link"].as_array().expect("links");
            let link = links.iter().find(|link| link["relation"] == "next");
            next = link.and_then(|link| link["url"].as_str()).map(str::to_owned);
        }
        all
    }

    /// A Patient as the server gives it, as text: decimals keep their digits.
    ///
    /// # Panics
    /// The server does not have it.
    pub async fn get(&self, id: &str) -> String {
        let request = self.client.get(format!("{}/Patient/{id}", self.base_url));
        let answer = self.send(request).await.expect("an answer");
        assert!(answer.status().is_success(), "Patient/{id}: {}", answer.status());
        answer.text().await.expect("a body")
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
