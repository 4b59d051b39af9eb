//! `gcp-sm://projects/P/secrets/S/versions/V`: Google Cloud Secret Manager, by its REST API.
//!
//! <https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access>. Who we are is told by
//! the machine's metadata server, or by a service account's key (`GCP_CREDENTIALS`).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::Url;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::exchange::{Answer, exchange, lifetime};
use super::{ManagerError, SecretsTerms};
use crate::clock::Clock;

const WHAT: &str = "Google Cloud Secret Manager";
const METADATA: &str = "Google's metadata server";
const TOKENS: &str = "Google's token endpoint";

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A token is not used for the last moments of its life.
const MARGIN: Duration = Duration::from_secs(60);

/// What an assertion is good for, in seconds: Google's most.
const ASSERTED: i64 = 3600;

/// What is kept between two questions.
#[derive(Default)]
pub(super) struct Gcp {
    token: Option<(SecretString, Instant)>,
}

impl Gcp {
    /// A secret version's payload.
    pub(super) async fn read(
        &mut self,
        terms: &SecretsTerms,
        name: &str,
    ) -> Result<SecretString, ManagerError> {
        let location = name.split('/').skip_while(|part| *part != "locations").nth(1);
        let home = location.map_or("https://secretmanager.googleapis.com".into(), |location| {
            format!("https://secretmanager.{location}.rep.googleapis.com")
        });
        let base = terms.url("GCP_SECRETS_URL", Some(&home), false)?;
        let client = terms.client(&base, "GCP_SECRETS_URL")?;
        let url = format!("{}/v1/{name}:access", base.as_str().trim_end_matches('/'));
        let known = self.token.take().filter(|(_, until)| Instant::now() < *until);
        let was_known = known.is_some();
        let mut token = match known {
            Some(token) => token,
            None => log_in(terms).await?,
        };
        let ask = |token: SecretString| {
            let (client, url) = (&client, &url);
            async move { exchange(WHAT, || Ok(client.get(url).bearer_auth(token.expose_secret()))).await }
        };
        let mut answer = ask(token.0.clone()).await?;
        if answer.status == 401 && was_known {
            token = log_in(terms).await?;
            answer = ask(token.0.clone()).await?;
        }
        let secret = secret(&answer)?;
        self.token = Some(token);
        Ok(secret)
    }
}

/// A secret, whose checksum holds.
pub(crate) fn secret(answer: &Answer) -> Result<SecretString, ManagerError> {
    if !answer.is_success() {
        return Err(refusal(WHAT, answer));
    }
    payload(&answer.body).map_err(|problem| ManagerError::Unusable { what: WHAT, problem })
}

fn payload(answer: &Value) -> Result<SecretString, &'static str> {
    let data =
        answer.pointer("/payload/data").and_then(Value::as_str).ok_or("the answer holds no payload")?;
    let bytes = STANDARD.decode(data).map_err(|_| "the payload is not Base64")?;
    let told = answer.pointer("/payload/dataCrc32c");
    let told = told.and_then(|told| told.as_str().map_or(told.as_u64(), |text| text.parse().ok()));
    if told.is_some_and(|told| told != u64::from(crc32c(&bytes))) {
        return Err("the payload was damaged on its way (dataCrc32c)");
    }
    String::from_utf8(bytes).map(SecretString::from).map_err(|_| "the payload is not text")
}

/// CRC-32C (RFC 3720, appendix B.4), bit by bit: payloads are small.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

fn refusal(what: &'static str, answer: &Answer) -> ManagerError {
    // Of an API, and of a token endpoint.
    let code = answer.body.pointer("/error/status").or(answer.body.get("error"));
    answer.refusal(what, code.and_then(Value::as_str))
}

async fn log_in(terms: &SecretsTerms) -> Result<(SecretString, Instant), ManagerError> {
    let asked_at = Instant::now();
    let (what, answer) = match terms.text("GCP_CREDENTIALS") {
        Some(_) => (TOKENS, by_key(terms).await?),
        None => (METADATA, by_machine(terms).await?),
    };
    let (token, lasts) = access_token(what, &answer)?;
    Ok((token, asked_at + lasts.saturating_sub(MARGIN)))
}

/// An access token, and how long it lasts.
pub(crate) fn access_token(
    what: &'static str,
    answer: &Answer,
) -> Result<(SecretString, Duration), ManagerError> {
    if !answer.is_success() {
        return Err(refusal(what, answer));
    }
    let problem = "the answer holds no access token";
    let token = answer.body["access_token"].as_str().ok_or(ManagerError::Unusable { what, problem })?;
    Ok((SecretString::from(token), lifetime(answer.body.get("expires_in")).unwrap_or_default()))
}

async fn by_machine(terms: &SecretsTerms) -> Result<Answer, ManagerError> {
    const VARIABLE: &str = "GCE_METADATA_HOST";
    let host = terms.text(VARIABLE).unwrap_or("metadata.google.internal");
    let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
    let url =
        Url::parse(&url).map_err(|_| ManagerError::setting(VARIABLE, "not a host, with a port perhaps"))?;
    let client = terms.client(&url, VARIABLE)?;
    exchange(METADATA, || Ok(client.get(url.clone()).header("Metadata-Flavor", "Google"))).await
}

/// RFC 7523, as <https://developers.google.com/identity/protocols/oauth2/service-account> has it.
async fn by_key(terms: &SecretsTerms) -> Result<Answer, ManagerError> {
    const VARIABLE: &str = "GCP_CREDENTIALS";
    let bad = |problem: &str| ManagerError::setting(VARIABLE, problem);
    let key = terms.secret(VARIABLE, None, "").await?;
    let key: Value = serde_json::from_str(key.expose_secret())
        .map_err(|_| bad("not the JSON key of a service account"))?;
    let part = |name: &str| key[name].as_str().ok_or_else(|| bad("not the JSON key of a service account"));
    let url = Url::parse(part("token_uri")?).map_err(|_| bad("its token_uri is not an address"))?;
    let now = Clock::system().now().as_second();
    let claims = json!({
        "iss": part("client_email")?, "scope": SCOPE, "aud": url.as_str(), "iat": now, "exp": now + ASSERTED,
    });
    let assertion = signed(part("private_key")?, &claims)
        .ok_or_else(|| bad("its private_key is not an RSA key in PEM"))?;
    let client = terms.client(&url, VARIABLE)?;
    let form = [("grant_type", GRANT), ("assertion", assertion.expose_secret())];
    exchange(TOKENS, || Ok(client.post(url.clone()).form(&form))).await
}

/// A JWT by RS256.
fn signed(private_key: &str, claims: &Value) -> Option<SecretString> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(private_key.as_bytes()).ok()?;
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).ok()?;
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&json!({ "alg": "RS256", "typ": "JWT" })), part(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).ok()?;
    Some(SecretString::from(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_rfc() {
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
    }
}
