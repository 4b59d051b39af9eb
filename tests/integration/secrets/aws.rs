//! `aws-sm://`, against moto, which checks signatures as AWS does.

use secrecy::ExposeSecret as _;
use tests::managers::{Agent, Moto, REGION, Scene};

const KEY: &str = "a-very-secret-api-key";
const NAME: &str = "nightly/fhir";

async fn prepare() -> (Moto, Scene) {
    let moto = Moto::start().await;
    moto.keep(NAME, KEY).await;
    let mut scene = Scene::default();
    scene.set("AWS_ENDPOINT_URL", moto.url());
    (moto, scene)
}

fn reference(name: &str) -> String {
    format!("aws-sm://{REGION}/{name}")
}

#[tokio::test]
async fn an_access_key_reads_a_secret_whole_or_by_field_and_a_wrong_one_is_refused() {
    let (moto, mut scene) = prepare().await;
    moto.keep("nightly/fields", r#"{"key":"in a field"}"#).await;
    let (id, secret) = moto.access_key().await;
    moto.check_signatures().await;
    scene.set("AWS_ACCESS_KEY_ID", &id);
    scene.set_secret("AWS_SECRET_ACCESS_KEY", &secret);
    assert_eq!(scene.read(&reference(NAME)).await.as_deref(), Ok(KEY));
    assert_eq!(scene.read(&reference("nightly/fields#key")).await.as_deref(), Ok("in a field"));
    assert!(scene.refusal(&reference("nightly/absent")).await.contains("ResourceNotFoundException"));
    assert!(scene.refusal(&reference("nightly/fields#absent")).await.contains("no field"));
    assert!(scene.refusal(&reference("nightly/fhir#key")).await.contains("not made of fields"));

    scene.set_secret("AWS_SECRET_ACCESS_KEY", "another");
    let refused = scene.refusal(&reference(NAME)).await;
    assert!(refused.contains("403") && !refused.contains(&secret), "{refused}");
    scene.set("AWS_SECRET_ACCESS_KEY", &secret);
    let literal = scene.refusal(&reference(NAME)).await;
    assert!(literal.contains("AWS_SECRET_ACCESS_KEY") && !literal.contains(&secret), "{literal}");
}

#[tokio::test]
async fn a_container_and_a_machine_are_told_who_they_are() {
    let (moto, mut scene) = prepare().await;
    let key = moto.assumed().await;
    moto.check_signatures().await;
    let agent = Agent::start(key, "a-container-token").await;
    scene.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", agent.url());
    assert_eq!(scene.read(&reference(NAME)).await.as_deref(), Ok(KEY));

    scene.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.container());
    let refused = scene.refusal(&reference(NAME)).await;
    assert!(refused.contains("container") && refused.contains("401"), "{refused}");
    scene.set_file("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "a-container-token");
    assert_eq!(scene.read(&reference(NAME)).await.as_deref(), Ok(KEY));
}

#[tokio::test]
async fn a_web_identity_is_exchanged_for_keys() {
    let (moto, mut scene) = prepare().await;
    scene.set("AWS_STS_ENDPOINT_URL", moto.url());
    scene.set("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/nightly-sync");
    scene.set_file("AWS_WEB_IDENTITY_TOKEN_FILE", "a-web-identity-token");
    assert_eq!(scene.read(&reference(NAME)).await.as_deref(), Ok(KEY));
    scene.unset("AWS_ROLE_ARN");
    assert!(scene.refusal(&reference(NAME)).await.contains("AWS_ROLE_ARN: not set"));
}

#[tokio::test]
async fn a_rotated_secret_is_asked_for_again() {
    let (moto, mut scene) = prepare().await;
    scene.set("AWS_ACCESS_KEY_ID", "test");
    scene.set_secret("AWS_SECRET_ACCESS_KEY", "test");
    let reference = scene.reference(&reference(NAME));
    assert_eq!(reference.resolve().await.expect("a secret").expose_secret(), KEY);
    moto.keep(NAME, "second").await;
    assert_eq!(reference.resolve().await.expect("a secret").expose_secret(), KEY, "within its time");
    assert_eq!(reference.resolve_anew().await.expect("a secret").expose_secret(), "second");
}
