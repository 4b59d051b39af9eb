//! The OAuth2 token endpoint: a service account's signed assertion for a short-lived access token.
//!
//! RFC 7523 as Google's server-to-server flow narrows it; the words of the errors are Google's.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use crate::clock::WallClock;
use crate::google_error::json_answer;

/// The only scope that is granted.
pub const SCOPE: &str = "https://www.googleapis.com/auth/spreadsheets.readonly";

/// The simulated service account.
pub const CLIENT_EMAIL: &str = "nightly-sync@simulated-project.iam.gserviceaccount.com";

/// Google's own endpoint. Google's client libraries name it as the audience whatever the key file's `token_uri` is.
const GOOGLE_AUDIENCE: &str = "https://oauth2.googleapis.com/token";

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Published on purpose: it signs nothing but assertions for this simulator.
const PRIVATE_KEY: &str = include_str!("simulated_service_account_key.pem");

/// Google's longest assertion, seconds.
const LONGEST: i64 = 3600;
/// How far ahead an assertion's clock may run, seconds.
const LEEWAY: i64 = 300;

/// Checks assertions, and knows the tokens it gave out.
pub(crate) struct TokenIssuer {
    token_uri: String,
    lifetime: Duration,
    clock: WallClock,
    public_key: Vec<u8>,
    issued: Mutex<HashMap<String, Instant>>,
}

/// An error of RFC 6749, 5.2.
struct Refused(&'static str, &'static str);

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    #[serde(default)]
    scope: String,
    iat: i64,
    exp: i64,
}

/// The service account's PKCS#8 key in PEM, without the words above it.
fn private_key_pem() -> &'static str {
    PRIVATE_KEY.find("-----BEGIN").map_or(PRIVATE_KEY, |start| &PRIVATE_KEY[start..])
}

fn key_pair() -> RsaKeyPair {
    let base64 = private_key_pem().lines().filter(|line| !line.starts_with("-----")).collect::<String>();
    let der = STANDARD.decode(base64).expect("the embedded key is base64");
    RsaKeyPair::from_pkcs8(&der).expect("the embedded key is a PKCS#8 RSA key")
}

impl TokenIssuer {
    pub(crate) fn new(token_uri: String, lifetime: Duration, clock: WallClock) -> Self {
        let public_key = key_pair().public().as_ref().to_vec();
        Self { token_uri, lifetime, clock, public_key, issued: Mutex::default() }
    }

    /// The key file of the service account, as Google's console gives it.
    pub(crate) fn service_account_json(&self) -> String {
        let account = json!({
            "type": "service_account",
            "project_id": "simulated-project",
            "private_key_id": "0000000000000000000000000000000000000000",
            "private_key": private_key_pem(),
            "client_email": CLIENT_EMAIL,
            "client_id": "100000000000000000000",
            "token_uri": self.token_uri,
        });
        format!("{account:#}")
    }

    /// Answers `POST /token`; the body is a form. Says whether a token was issued.
    pub(crate) fn answer(&self, form: &[u8]) -> (bool, Response<Body>) {
        let field = |wanted: &str| {
            form_urlencoded::parse(form).find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
        };
        if field("grant_type").as_deref() != Some(GRANT_TYPE) {
            return refused(&Refused("unsupported_grant_type", "Invalid grant_type"));
        }
        let assertion = field("assertion").unwrap_or_default();
        match self.check(&assertion) {
            Ok(()) => {
                let token = self.issue();
                let expires_in = self.lifetime.as_secs();
                let body = json!({ "access_token": token, "expires_in": expires_in, "token_type": "Bearer" });
                (true, json_answer(StatusCode::OK, &body))
            }
            Err(error) => refused(&error),
        }
    }

    /// Whether this access token was given out and has not expired.
    pub(crate) fn knows(&self, token: &str) -> bool {
        self.issued().get(token).is_some_and(|expiry| Instant::now() < *expiry)
    }

    /// Takes every token back.
    pub(crate) fn revoke_all(&self) {
        self.issued().clear();
    }

    fn check(&self, assertion: &str) -> Result<(), Refused> {
        let malformed = || Refused("invalid_request", "Bad Request");
        let (signed, signature) = assertion.rsplit_once('.').ok_or_else(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
        let header = decoded::<Header>(header).ok_or_else(malformed)?;
        let claims = decoded::<Claims>(claims).ok_or_else(malformed)?;
        let signature = unpadded(signature).ok_or_else(malformed)?;
        if claims.iss != CLIENT_EMAIL {
            return Err(Refused("invalid_grant", "Invalid grant: account not found"));
        }
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public_key);
        if header.alg != "RS256" || key.verify(signed.as_bytes(), &signature).is_err() {
            return Err(Refused("invalid_grant", "Invalid JWT Signature."));
        }
        if claims.aud != self.token_uri && claims.aud != GOOGLE_AUDIENCE {
            return Err(Refused("invalid_grant", "Invalid JWT: Failed audience check."));
        }
        let now = self.clock.now_ms() / 1000;
        let long = claims.exp - claims.iat > LONGEST || claims.exp <= claims.iat;
        if long || claims.iat > now + LEEWAY || claims.exp <= now {
            let description = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable \
                               timeframe. Check your iat and exp values in the JWT claim.";
            return Err(Refused("invalid_grant", description));
        }
        if !claims.scope.split_whitespace().any(|scope| scope == SCOPE) {
            return Err(Refused("invalid_scope", "Invalid OAuth scope or ID token audience provided."));
        }
        Ok(())
    }

    fn issue(&self) -> String {
        let mut bytes = [0u8; 32];
        SystemRandom::new().fill(&mut bytes).expect("the operating system gives random bytes");
        let token = format!("ya29.simulated-{}", URL_SAFE_NO_PAD.encode(bytes));
        let now = Instant::now();
        let mut issued = self.issued();
        issued.retain(|_, expiry| *expiry > now);
        issued.insert(token.clone(), now + self.lifetime);
        token
    }

    fn issued(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(Refused(error, description): &Refused) -> (bool, Response<Body>) {
    let body = json!({ "error": error, "error_description": description });
    (false, json_answer(StatusCode::BAD_REQUEST, &body))
}

/// Base64url, padded or not: RFC 7515 leaves the padding out, yup-oauth2 does not.
fn unpadded(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

fn decoded<T: for<'a> Deserialize<'a>>(part: &str) -> Option<T> {
    serde_json::from_slice(&unpadded(part)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;
    use base64::engine::general_purpose::URL_SAFE;
    use ring::signature::RSA_PKCS1_SHA256;
    use serde_json::Value;

    const URI: &str = "http://127.0.0.1:1/token";

    fn claims(issuer: &TokenIssuer) -> Value {
        let now = issuer.clock.now_ms() / 1000;
        json!({ "iss": CLIENT_EMAIL, "aud": URI, "scope": SCOPE, "iat": now, "exp": now + 3600 })
    }

    fn signed(claims: &Value, padded: bool) -> String {
        let encode =
            |bytes: &[u8]| if padded { URL_SAFE.encode(bytes) } else { URL_SAFE_NO_PAD.encode(bytes) };
        let signed = format!(
            "{}.{}",
            encode(br#"{"typ":"JWT","alg":"RS256"}"#),
            encode(claims.to_string().as_bytes())
        );
        let key = key_pair();
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).expect("signs");
        format!("{signed}.{}", encode(&signature))
    }

    async fn exchanged(issuer: &TokenIssuer, assertion: &str) -> Value {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", GRANT_TYPE)
            .append_pair("assertion", assertion)
            .finish();
        let (_, response) = issuer.answer(form.as_bytes());
        let body = to_bytes(response.into_body(), usize::MAX).await.expect("in memory");
        serde_json::from_slice(&body).expect("JSON")
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_good_assertion_gets_a_token_and_the_token_expires() {
        let clock = WallClock::default();
        let issuer = TokenIssuer::new(URI.to_owned(), Duration::from_secs(600), clock.clone());
        let good = claims(&issuer);
        let mut to_google = good.clone();
        to_google["aud"] = json!(GOOGLE_AUDIENCE);
        for (claims, padded) in [(&good, true), (&good, false), (&to_google, false)] {
            let answer = exchanged(&issuer, &signed(claims, padded)).await;
            assert_eq!(answer["expires_in"], 600, "{answer}");
            let token = answer["access_token"].as_str().expect("a token");
            assert!(issuer.knows(token));
            tokio::time::advance(Duration::from_secs(601)).await;
            assert!(!issuer.knows(token));
        }

        let mut forged = signed(&good, false);
        let at = forged.len() - 20;
        let other = if forged[at..].starts_with('A') { "B" } else { "A" };
        forged.replace_range(at..=at, other);
        let changed = |field: &str, value: Value| {
            let mut changed = good.clone();
            changed[field] = value;
            signed(&changed, true)
        };
        let drive = "https://www.googleapis.com/auth/drive";
        let cases = [
            (forged, "invalid_grant", "Signature"),
            (changed("iss", json!("other@example.org")), "invalid_grant", "account not found"),
            (changed("aud", json!("https://example.org/token")), "invalid_grant", "audience"),
            (changed("scope", json!(drive)), "invalid_scope", "scope"),
            (
                changed("exp", json!(good["iat"].as_i64().expect("iat") + 7200)),
                "invalid_grant",
                "short-lived",
            ),
            ("nonsense".to_owned(), "invalid_request", ""),
        ];
        for (assertion, error, words) in cases {
            let answer = exchanged(&issuer, &assertion).await;
            assert_eq!(answer["error"], error, "{answer}");
            assert!(answer["error_description"].as_str().expect("words").contains(words), "{answer}");
        }
        for skew in [-3_600_000, 3_700_000] {
            clock.set_skew_ms(skew);
            let answer = exchanged(&issuer, &signed(&good, true)).await;
            let words = answer["error_description"].as_str().expect("words");
            assert!(words.contains("short-lived token (60 minutes)"), "{answer}");
        }
    }
}
