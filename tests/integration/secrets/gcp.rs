//! `gcp-sm://`, against a loopback server that does as Google's reference says.

use secrecy::ExposeSecret as _;
use tests::managers::{Google, Scene};

const KEY: &str = "a-very-secret-api-key";
const NAME: &str = "projects/a-project/secrets/fhir/versions/latest";
const REFERENCE: &str = "gcp-sm://projects/a-project/secrets/fhir/versions/latest";

async fn prepare() -> (Google, Scene) {
    let google = Google::start().await;
    google.keep(NAME, KEY);
    let mut scene = Scene::default();
    scene.set("GCP_SECRETS_URL", google.url());
    scene.set("GCE_METADATA_HOST", google.host());
    (google, scene)
}

#[tokio::test]
async fn a_machine_and_a_service_account_read_a_version() {
    let (google, mut scene) = prepare().await;
    assert_eq!(scene.read(REFERENCE).await.as_deref(), Ok(KEY));
    google.revoke();
    scene.unset("GCE_METADATA_HOST");
    scene.set_secret("GCP_CREDENTIALS", google.account());
    assert_eq!(scene.read(REFERENCE).await.as_deref(), Ok(KEY));
    assert_eq!(google.tokens(), 2);

    google.keep(NAME, r#"{"key":"in a field"}"#);
    assert_eq!(scene.read(&format!("{REFERENCE}#key")).await.as_deref(), Ok("in a field"));
}

#[tokio::test]
async fn a_refusal_names_the_reference_and_nothing_secret() {
    let (google, mut scene) = prepare().await;
    let absent = "gcp-sm://projects/a-project/secrets/absent/versions/latest";
    assert!(scene.refusal(absent).await.contains("404 (NOT_FOUND)"));
    google.damage();
    let damaged = scene.refusal(REFERENCE).await;
    assert!(damaged.contains("damaged") && !damaged.contains(KEY), "{damaged}");
    google.fail(3);
    assert!(scene.refusal(REFERENCE).await.contains("503 (UNAVAILABLE)"));

    let other = google.account().replace("nightly-sync@", "somebody@");
    scene.set_secret("GCP_CREDENTIALS", &other);
    let refused = scene.refusal(REFERENCE).await;
    assert!(refused.contains("token endpoint") && refused.contains("400 (invalid_grant)"), "{refused}");
    scene.set("GCP_CREDENTIALS", google.account());
    let literal = scene.refusal(REFERENCE).await;
    assert!(literal.contains("GCP_CREDENTIALS") && !literal.contains("PRIVATE KEY"), "{literal}");
}

#[tokio::test]
async fn one_request_serves_all_fields_and_a_moments_trouble_is_borne() {
    let (google, scene) = prepare().await;
    google.keep(NAME, r#"{"a":"1","b":"2"}"#);
    google.fail(1);
    let all = scene.secrets();
    let fields = ["a", "b"].map(|field| all.reference(&format!("{REFERENCE}#{field}")).expect("a reference"));
    let (a, b, again) = tokio::join!(fields[0].resolve(), fields[1].resolve(), fields[0].resolve());
    for (read, value) in [(a, "1"), (b, "2"), (again, "1")] {
        assert_eq!(read.expect("a secret").expose_secret(), value);
    }
    assert_eq!(google.accesses(), 2, "one that failed, and one for all");
}

#[tokio::test]
async fn a_rotated_secret_and_a_revoked_token_are_asked_for_again() {
    let (google, scene) = prepare().await;
    let reference = scene.reference(REFERENCE);
    assert_eq!(reference.resolve().await.expect("a secret").expose_secret(), KEY);
    google.keep(NAME, "second");
    google.revoke();
    assert_eq!(reference.resolve().await.expect("a secret").expose_secret(), KEY, "within its time");
    assert_eq!(reference.resolve_anew().await.expect("a secret").expose_secret(), "second");
    assert_eq!(google.tokens(), 2);
}
