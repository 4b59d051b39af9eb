//! Google Cloud Secret Manager, its token endpoint and a machine's metadata server on loopback, as their references
//! describe them.
//!
//! <https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access>,
//! <https://cloud.google.com/compute/docs/access/authenticate-workloads>,
//! <https://developers.google.com/identity/protocols/oauth2/service-account>.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use simulators::{Simulators, SimulatorsConfig};
use tokio::task::AbortHandle;

/// The service account.
const EMAIL: &str = "nightly-sync@a-project.iam.gserviceaccount.com";

/// Google on loopback; gone when dropped.
pub struct Google {
    url: String,
    account: String,
    kept: Arc<Mutex<Kept>>,
    task: AbortHandle,
}

#[derive(Default)]
struct Kept {
    payloads: HashMap<String, String>,
    /// Access tokens that are good.
    tokens: Vec<String>,
    given: u32,
    accesses: u32,
    damaged: bool,
    failures: u32,
    /// The service account's.
    public_key: Vec<u8>,
}

type Shared = State<Arc<Mutex<Kept>>>;

impl Google {
    /// Starts one.
    ///
    /// # Panics
    /// Never in practice: nothing from outside goes in.
    pub async fn start() -> Self {
        // Its key is taken over: ring makes none for RSA.
        let simulators = Simulators::start(SimulatorsConfig::default()).await.expect("loopback has ports");
        let mut account: Value = serde_json::from_str(&simulators.service_account_json()).expect("JSON");
        let pem = account["private_key"].as_str().expect("a key").as_bytes();
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem).expect("PEM");
        let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).expect("an RSA key");
        let public_key = key.public().as_ref().to_vec();
        let kept = Arc::new(Mutex::new(Kept { public_key, ..Kept::default() }));
        let app = Router::new()
            .route("/v1/{*name}", get(access))
            .route("/token", post(by_assertion))
            .route("/computeMetadata/v1/instance/service-accounts/default/token", get(by_machine))
            .with_state(kept.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let serve = async move { axum::serve(listener, app).await.expect("a server") };
        account["token_uri"] = format!("{url}/token").into();
        account["client_email"] = EMAIL.into();
        Self { url, account: account.to_string(), kept, task: tokio::spawn(serve).abort_handle() }
    }

    /// What `GCP_SECRETS_URL` is to be.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What `GCE_METADATA_HOST` is to be.
    pub fn host(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// A service account's key, whose tokens come from here.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Keeps a payload as this version.
    pub fn keep(&self, name: &str, payload: &str) {
        self.kept().payloads.insert(name.to_owned(), payload.to_owned());
    }

    /// Payloads come damaged from here on.
    pub fn damage(&self) {
        self.kept().damaged = true;
    }

    /// The next so many requests for a payload are answered 503.
    pub fn fail(&self, times: u32) {
        self.kept().failures = times;
    }

    /// No token that was given is good any more.
    pub fn revoke(&self) {
        self.kept().tokens.clear();
    }

    /// How often a payload was asked for.
    pub fn accesses(&self) -> u32 {
        self.kept().accesses
    }

    /// How many tokens were given.
    pub fn tokens(&self) -> u32 {
        self.kept().given
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        lock(&self.kept)
    }
}

impl Drop for Google {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refused(status: StatusCode, word: &str) -> Response {
    let error = json!({ "error": { "code": status.as_u16(), "message": "no", "status": word } });
    (status, Json(error)).into_response()
}

async fn access(State(kept): Shared, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let mut kept = lock(&kept);
    kept.accesses += 1;
    if kept.failures > 0 {
        kept.failures -= 1;
        return refused(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE");
    }
    let given = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kept.tokens.iter().any(|token| given == format!("Bearer {token}")) {
        return refused(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED");
    }
    let Some(payload) = name.strip_suffix(":access").and_then(|name| kept.payloads.get(name)) else {
        return refused(StatusCode::NOT_FOUND, "NOT_FOUND");
    };
    let sum = crc32c(payload.as_bytes());
    let payload = if kept.damaged { format!("{payload}!") } else { payload.clone() };
    let payload = json!({ "data": STANDARD.encode(payload), "dataCrc32c": sum.to_string() });
    Json(json!({ "name": name, "payload": payload })).into_response()
}

fn give(kept: &Mutex<Kept>) -> Response {
    let mut kept = lock(kept);
    kept.given += 1;
    let token = format!("token-{}", kept.given);
    kept.tokens.push(token.clone());
    Json(json!({ "access_token": token, "expires_in": 3599, "token_type": "Bearer" })).into_response()
}

async fn by_machine(State(kept): Shared, headers: HeaderMap) -> Response {
    // Without it a request may have been forged by way of a page.
    if headers.get("metadata-flavor").is_none_or(|flavor| flavor != "Google") {
        return StatusCode::FORBIDDEN.into_response();
    }
    give(&kept)
}

async fn by_assertion(State(kept): Shared, Form(form): Form<HashMap<String, String>>) -> Response {
    let is_grant =
        form.get("grant_type").is_some_and(|grant| grant == "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let key = lock(&kept).public_key.clone();
    let claims = form.get("assertion").and_then(|assertion| claims(assertion, &key));
    let is_ours = claims.is_some_and(|claims| {
        let lasts = claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(end, start)| end - start);
        claims["iss"] == EMAIL
            && claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
            && claims["aud"].as_str().is_some_and(|audience| audience.ends_with("/token"))
            && lasts == Some(3600)
    });
    if !is_grant || !is_ours {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response();
    }
    give(&kept)
}

/// The claims of an assertion whose signature is right.
fn claims(assertion: &str, key: &[u8]) -> Option<Value> {
    let (text, signature) = assertion.rsplit_once('.')?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key);
    key.verify(text.as_bytes(), &decode(signature)?).ok()?;
    serde_json::from_slice(&decode(text.split_once('.')?.1)?).ok()
}

/// By the table, as RFC 3720 has it: not by the code that is tested.
fn crc32c(bytes: &[u8]) -> u32 {
    let table: Vec<u32> =
        (0..256_u32).map(|byte| (0..8).fold(byte, |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1)))).collect();
    let step = |crc: u32, byte: &u8| (crc >> 8) ^ table[((crc ^ u32::from(*byte)) & 0xff) as usize];
    !bytes.iter().fold(u32::MAX, step)
}
