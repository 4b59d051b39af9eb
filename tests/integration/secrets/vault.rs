//! `vault://`, against a real OpenBao.

use secrecy::ExposeSecret as _;
use serde_json::json;
use tests::managers::{Bao, Kubernetes, POD, Scene};

const KEY: &str = "a-very-secret-api-key";

const REFERENCE: &str = "vault://secret/apps/fhir#key";

async fn prepare() -> (Bao, Scene) {
    let bao = Bao::start().await;
    bao.keep("apps/fhir", json!({ "key": KEY, "account": { "type": "service_account" } })).await;
    let mut scene = Scene::default();
    scene.set("VAULT_ADDR", bao.url());
    (bao, scene)
}

async fn refused(scene: &Scene, text: &str) -> String {
    let refusal = scene.refusal(text).await;
    assert!(!refusal.contains(KEY), "the secret is not named: {refusal}");
    refusal
}

#[tokio::test]
async fn a_token_reads_fields_as_text_or_json_and_is_refused_by_name() {
    let (bao, mut scene) = prepare().await;
    scene.set_secret("VAULT_TOKEN", &bao.token("1h").await);
    assert_eq!(scene.read(REFERENCE).await.as_deref(), Ok(KEY));
    let account = scene.read("vault://secret/apps/fhir#account").await;
    assert_eq!(account.as_deref(), Ok(r#"{"type":"service_account"}"#));

    assert!(refused(&scene, "vault://secret/apps/fhir#absent").await.contains("no field"));
    assert!(refused(&scene, "vault://secret/apps/absent#key").await.contains("404"));
    assert!(refused(&scene, "vault://secret/others/fhir#key").await.contains("403 (permission denied)"));

    scene.set_secret("VAULT_TOKEN", "no-token");
    assert!(refused(&scene, REFERENCE).await.contains("403"));
    scene.set("VAULT_TOKEN", "a-literal-token");
    let literal = refused(&scene, REFERENCE).await;
    assert!(literal.contains("VAULT_TOKEN") && !literal.contains("a-literal-token"), "{literal}");
    scene.set("VAULT_TOKEN", REFERENCE);
    assert!(refused(&scene, REFERENCE).await.contains("in a file"));
    scene.set_secret("VAULT_TOKEN", "no-token");
    scene.set("VAULT_ADDR", "http://vault.example.org:8200");
    assert!(refused(&scene, REFERENCE).await.contains("https"));
    scene.set("VAULT_ADDR", "http://127.0.0.1:9");
    assert!(refused(&scene, REFERENCE).await.contains("cannot be reached"));
    scene.unset("VAULT_ADDR");
    assert!(refused(&scene, REFERENCE).await.contains("VAULT_ADDR: not set"));
}

#[tokio::test]
async fn an_app_role_logs_in_once_and_again_when_its_token_is_revoked() {
    let (bao, mut scene) = prepare().await;
    let (role, secret) = bao.app_role("1h").await;
    scene.set("VAULT_AUTH", "approle");
    scene.set("VAULT_ROLE_ID", role);
    scene.set_secret("VAULT_SECRET_ID", &secret);
    let reference = scene.reference(REFERENCE);
    let read = async || reference.resolve_anew().await.map(|secret| secret.expose_secret().to_owned());
    let before = bao.log_ins().await;
    for _ in 0..3 {
        assert_eq!(read().await.expect("a secret"), KEY);
    }
    assert_eq!(bao.log_ins().await, before + 1);
    bao.revoke_all("approle").await;
    assert_eq!(read().await.expect("a secret"), KEY);
    assert_eq!(bao.log_ins().await, before + 1, "the one before is revoked");

    scene.set_secret("VAULT_SECRET_ID", "another");
    let refusal = refused(&scene, REFERENCE).await;
    assert!(refusal.contains("log-in"), "{refusal}");
}

#[tokio::test]
async fn a_pod_logs_in_by_what_its_cluster_says_of_its_token() {
    let (bao, mut scene) = prepare().await;
    let kubernetes = Kubernetes::start().await;
    bao.kubernetes(kubernetes.url(), POD.0, POD.1).await;
    scene.set("VAULT_AUTH", "kubernetes");
    scene.set("VAULT_ROLE", "nightly-sync");
    scene.set_secret("VAULT_JWT", &Kubernetes::token("right"));
    assert_eq!(scene.read(REFERENCE).await.as_deref(), Ok(KEY));

    let forged = Kubernetes::token("wrong");
    scene.set_secret("VAULT_JWT", &forged);
    let refusal = refused(&scene, REFERENCE).await;
    assert!(refusal.contains("log-in answered 403") && !refusal.contains(&forged), "{refusal}");
    scene.unset("VAULT_JWT");
    let refusal = refused(&scene, REFERENCE).await;
    assert!(refusal.contains("/var/run/secrets/kubernetes.io/serviceaccount/token"), "{refusal}");
}

#[tokio::test]
async fn a_secret_is_asked_for_again_after_its_time_after_a_refusal_and_after_a_hangup() {
    let (bao, mut scene) = prepare().await;
    scene.set_secret("VAULT_TOKEN", &bao.token("1h").await);
    scene.set("SECRETS_TTL", "1h");
    let all = scene.secrets();
    let reference = all.reference(REFERENCE).expect("a reference");
    let resolve = async || reference.resolve().await.expect("a secret").expose_secret().to_owned();
    assert_eq!(resolve().await, KEY);
    bao.keep("apps/fhir", json!({ "key": "second" })).await;
    assert_eq!(resolve().await, KEY, "within its time");
    assert_eq!(reference.resolve_anew().await.expect("a secret").expose_secret(), "second");
    assert_eq!(resolve().await, "second", "what was asked for anew is remembered");
    bao.keep("apps/fhir", json!({ "key": "third" })).await;
    all.forget();
    assert_eq!(resolve().await, "third");

    scene.set("SECRETS_TTL", "1ms");
    let reference = scene.reference(REFERENCE);
    assert_eq!(reference.resolve().await.expect("a secret").expose_secret(), "third");
    bao.keep("apps/fhir", json!({ "key": "fourth" })).await;
    assert_eq!(reference.resolve().await.expect("a secret").expose_secret(), "fourth");
}
