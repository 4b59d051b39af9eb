use secrecy::ExposeSecret as _;

use super::*;

#[test]
fn a_literal_is_refused_with_what_is_accepted_and_never_quoted() {
    let error = "s3cr3t-api-key".parse::<SecretRef>().unwrap_err().to_string();
    assert!(error.contains("file:/run/secrets/x") && error.contains("vault://MOUNT/PATH#FIELD"), "{error}");
    assert!(!error.contains("s3cr3t"), "{error}");
}

#[tokio::test]
async fn a_file_is_read_anew_each_time_without_its_last_line_end() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let reference: SecretRef = format!("file:{}", file.path().display()).parse().unwrap();
    assert!(matches!(reference.resolve().await, Err(SecretError::Empty { .. })));
    for (content, secret) in [("old\n", "old"), ("new\r\n", "new")] {
        std::fs::write(file.path(), content).unwrap();
        assert_eq!(reference.resolve().await.unwrap().expose_secret(), secret);
    }
}

#[tokio::test]
async fn a_missing_file_is_named() {
    let missing: SecretRef = "file:/nonexistent/secret".parse().unwrap();
    assert!(missing.resolve().await.unwrap_err().to_string().contains("/nonexistent/secret"));
}

#[test]
fn a_managers_reference_has_to_be_complete() {
    for whole in [
        "vault://kv/fhir#key",
        "vault://kv/team/fhir#key",
        "gcp-sm://projects/p/secrets/s/versions/latest",
        "gcp-sm://projects/p/locations/asia-southeast2/secrets/s/versions/3#key",
        "aws-sm://ap-southeast-3/nightly/fhir",
        "aws-sm://ap-southeast-3/nightly/fhir#key",
    ] {
        let reference = whole.parse::<SecretRef>().unwrap();
        assert_eq!(reference.to_string(), whole);
        assert!(reference.is_managed());
    }
    for (part, accepted) in [
        ("vault://kv/fhir", "vault://MOUNT/PATH#FIELD"),
        ("vault://kv#key", "vault://MOUNT/PATH#FIELD"),
        ("vault://kv/../sys/seal#key", "vault://MOUNT/PATH#FIELD"),
        ("vault://kv/fhir?version=1#key", "vault://MOUNT/PATH#FIELD"),
        ("gcp-sm://projects/p/secrets/s", "versions/latest"),
        ("aws-sm://nightly#key", "aws-sm://REGION/NAME"),
        ("aws-sm://ap-southeast-3/nightly#", "aws-sm://REGION/NAME"),
    ] {
        let error = part.parse::<SecretRef>().unwrap_err().to_string();
        assert!(error.contains(part) && error.contains(accepted), "{error}");
    }
}

#[cfg(not(feature = "vault"))]
#[tokio::test]
async fn a_manager_that_is_not_built_in_is_named_with_its_feature() {
    let error = "vault://kv/fhir#key".parse::<SecretRef>().unwrap().resolve().await.unwrap_err().to_string();
    assert!(error.contains("vault://kv/fhir#key") && error.contains("--features vault"), "{error}");
}

#[cfg(all(feature = "vault", feature = "gcp-sm"))]
#[test]
fn what_is_said_to_last_for_ever_lasts_a_day() {
    use std::time::Duration;

    let body = br#"{"auth":{"client_token":"t","lease_duration":18446744073709551615},
                    "access_token":"t","expires_in":18446744073709551615}"#;
    let answer = exchange::Answer::of(200, body);
    // Both are added to a clock, which ends.
    assert_eq!(vault::logged_in(&answer).unwrap().1, Some(Duration::from_secs(86_400)));
    assert_eq!(gcp::access_token("Google", &answer).unwrap().1, Duration::from_secs(86_400));
}
