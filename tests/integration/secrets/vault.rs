//! `vault://`, against a real OpenBao.

use std::collections::BTreeMap;

use secrecy::ExposeSecret as _;
use serde_json::json;
use shared::error_chain;
use shared::secrets::SecretRef;
use tests::managers::{Bao, Kubernetes, POD, settings};

const KEY: &str = "a-very-secret-api-key";

/// A folder for what the log-in needs, and the settings so far.
struct Scene {
    bao: Bao,
    folder: tempfile::TempDir,
    variables: BTreeMap<&'static str, String>,
}

impl Scene {
    async fn new() -> Self {
        let bao = Bao::start().await;
        bao.keep("apps/fhir", json!({ "key": KEY, "account": { "type": "service_account" } })).await;
        let variables = BTreeMap::from([("VAULT_ADDR", bao.url().to_owned())]);
        Self { bao, folder: tempfile::tempdir().expect("a folder"), variables }
    }

    fn set(&mut self, variable: &'static str, value: impl Into<String>) {
        self.variables.insert(variable, value.into());
    }

    fn set_secret(&mut self, variable: &'static str, secret: &str) {
        let path = self.folder.path().join(variable);
        std::fs::write(&path, format!("{secret}\n")).expect("a file");
        self.set(variable, format!("file:{}", path.display()));
    }

    fn reference(&self, text: &str) -> SecretRef {
        settings(&self.variables).secrets.reference(text).expect("a reference")
    }

    async fn read(&self, text: &str) -> Result<String, String> {
        match self.reference(text).resolve().await {
            Ok(secret) => Ok(secret.expose_secret().to_owned()),
            Err(error) => Err(error_chain(&error)),
        }
    }

    async fn refused(&self, text: &str) -> String {
        let refusal = self.read(text).await.expect_err("it cannot be read");
        assert!(refusal.contains(text), "the reference is named: {refusal}");
        assert!(!refusal.contains(KEY), "the secret is not: {refusal}");
        refusal
    }
}

#[tokio::test]
async fn a_token_reads_fields_as_text_or_json_and_is_refused_by_name() {
    let mut scene = Scene::new().await;
    scene.set_secret("VAULT_TOKEN", &scene.bao.token("1h").await);
    assert_eq!(scene.read("vault://secret/apps/fhir#key").await.as_deref(), Ok(KEY));
    let account = scene.read("vault://secret/apps/fhir#account").await;
    assert_eq!(account.as_deref(), Ok(r#"{"type":"service_account"}"#));

    assert!(scene.refused("vault://secret/apps/fhir#absent").await.contains("no field"));
    assert!(scene.refused("vault://secret/apps/absent#key").await.contains("404"));
    assert!(scene.refused("vault://secret/others/fhir#key").await.contains("403 (permission denied)"));

    scene.set_secret("VAULT_TOKEN", "no-token");
    assert!(scene.refused("vault://secret/apps/fhir#key").await.contains("403"));
    scene.set("VAULT_TOKEN", "a-literal-token");
    let literal = scene.refused("vault://secret/apps/fhir#key").await;
    assert!(literal.contains("VAULT_TOKEN") && !literal.contains("a-literal-token"), "{literal}");
    scene.set("VAULT_TOKEN", "vault://secret/apps/fhir#key");
    assert!(scene.refused("vault://secret/apps/fhir#key").await.contains("in a file"));
    scene.set("VAULT_ADDR", "http://vault.example.org:8200");
    assert!(scene.refused("vault://secret/apps/fhir#key").await.contains("https"));
    scene.set("VAULT_ADDR", "http://127.0.0.1:9");
    assert!(scene.refused("vault://secret/apps/fhir#key").await.contains("cannot be reached"));
    scene.variables.remove("VAULT_ADDR");
    assert!(scene.refused("vault://secret/apps/fhir#key").await.contains("VAULT_ADDR: not set"));
}

#[tokio::test]
async fn an_app_role_logs_in_once_and_again_when_its_token_is_revoked() {
    let mut scene = Scene::new().await;
    let (role, secret) = scene.bao.app_role("1h").await;
    scene.set("VAULT_AUTH", "approle");
    scene.set("VAULT_ROLE_ID", role);
    scene.set_secret("VAULT_SECRET_ID", &secret);
    let reference = scene.reference("vault://secret/apps/fhir#key");
    let read = async || reference.resolve_anew().await.map(|secret| secret.expose_secret().to_owned());
    let before = scene.bao.log_ins().await;
    for _ in 0..3 {
        assert_eq!(read().await.expect("a secret"), KEY);
    }
    assert_eq!(scene.bao.log_ins().await, before + 1);
    scene.bao.revoke_all("approle").await;
    assert_eq!(read().await.expect("a secret"), KEY);
    assert_eq!(scene.bao.log_ins().await, before + 1, "the one before is revoked");

    scene.set_secret("VAULT_SECRET_ID", "another");
    let refusal = scene.refused("vault://secret/apps/fhir#key").await;
    assert!(refusal.contains("log-in"), "{refusal}");
}

#[tokio::test]
async fn a_pod_logs_in_by_what_its_cluster_says_of_its_token() {
    let mut scene = Scene::new().await;
    let kubernetes = Kubernetes::start().await;
    scene.bao.kubernetes(kubernetes.url(), POD.0, POD.1).await;
    scene.set("VAULT_AUTH", "kubernetes");
    scene.set("VAULT_ROLE", "nightly-sync");
    scene.set_secret("VAULT_JWT", &Kubernetes::token("right"));
    assert_eq!(scene.read("vault://secret/apps/fhir#key").await.as_deref(), Ok(KEY));

    let forged = Kubernetes::token("wrong");
    scene.set_secret("VAULT_JWT", &forged);
    let refusal = scene.refused("vault://secret/apps/fhir#key").await;
    assert!(refusal.contains("log-in answered 403") && !refusal.contains(&forged), "{refusal}");
    scene.variables.remove("VAULT_JWT");
    let refusal = scene.refused("vault://secret/apps/fhir#key").await;
    assert!(refusal.contains("/var/run/secrets/kubernetes.io/serviceaccount/token"), "{refusal}");
}

#[tokio::test]
async fn a_secret_is_asked_for_again_after_its_time_after_a_refusal_and_after_a_hangup() {
    let mut scene = Scene::new().await;
    scene.set_secret("VAULT_TOKEN", &scene.bao.token("1h").await);
    scene.set("SECRETS_TTL", "1h");
    let all = settings(&scene.variables).secrets;
    let reference = all.reference("vault://secret/apps/fhir#key").expect("a reference");
    let resolve = async || reference.resolve().await.expect("a secret").expose_secret().to_owned();
    assert_eq!(resolve().await, KEY);
    scene.bao.keep("apps/fhir", json!({ "key": "second" })).await;
    assert_eq!(resolve().await, KEY, "within its time");
    assert_eq!(reference.resolve_anew().await.expect("a secret").expose_secret(), "second");
    assert_eq!(resolve().await, "second", "what was asked for anew is remembered");
    scene.bao.keep("apps/fhir", json!({ "key": "third" })).await;
    all.forget();
    assert_eq!(resolve().await, "third");

    scene.set("SECRETS_TTL", "1ms");
    let reference = scene.reference("vault://secret/apps/fhir#key");
    assert_eq!(reference.resolve().await.expect("a secret").expose_secret(), "third");
    scene.bao.keep("apps/fhir", json!({ "key": "fourth" })).await;
    assert_eq!(reference.resolve().await.expect("a secret").expose_secret(), "fourth");
}
