//! The FHIR service's own OAuth2 token endpoint: client credentials for a short-lived access token (RFC 6749,
//! 4.4). Google's is in `oauth`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::time::Instant;

use crate::google_error::json_answer;
use crate::listener::ConnectionCut;
use crate::operation::Operation;

use super::injection::Injection;
use super::reply::Reply;
use super::{FhirServer, text_of};

/// Where the token endpoint is, beside the base URL.
pub const TOKEN_PATH: &str = "/oauth2/token";

/// How a client may show who it is (RFC 6749, 2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Either way.
    #[default]
    Any,
    /// Only in the `Authorization` header.
    Basic,
    /// Only in the form.
    Post,
}

/// An OAuth2 client that is let in.
#[derive(Clone, Debug)]
pub struct OAuthClient {
    /// `client_id`.
    pub id: String,
    /// `client_secret`.
    pub secret: String,
}

/// The clients it knows, and the tokens it gave out. With no clients, nobody needs a token.
pub(super) struct TokenDesk {
    clients: RwLock<Vec<OAuthClient>>,
    auth: ClientAuth,
    lifetime: Duration,
    issued: Mutex<Issued>,
}

#[derive(Default)]
struct Issued {
    count: u64,
    expiries: HashMap<String, Instant>,
}

impl TokenDesk {
    pub fn new(lifetime: Duration, auth: ClientAuth) -> Self {
        Self { clients: RwLock::default(), auth, lifetime, issued: Mutex::default() }
    }

    pub fn set_clients(&self, clients: Vec<OAuthClient>) {
        *self.clients.write().unwrap_or_else(PoisonError::into_inner) = clients;
    }

    pub fn revoke_all(&self) {
        self.issued().expiries.clear();
    }

    /// Whether a request may come in with what it carries.
    pub fn lets_in(&self, headers: &HeaderMap) -> bool {
        if self.clients.read().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return true;
        }
        let token = text_of(headers, AUTHORIZATION.as_str()).and_then(|sent| sent.strip_prefix("Bearer "));
        token.is_some_and(|token| {
            self.issued().expiries.get(token).is_some_and(|expiry| Instant::now() < *expiry)
        })
    }

    fn answer(&self, headers: &HeaderMap, form: &[u8]) -> Response<Body> {
        let field = |wanted: &str| {
            form_urlencoded::parse(form).find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
        };
        if field("grant_type").as_deref() != Some("client_credentials") {
            return json_answer(StatusCode::BAD_REQUEST, &json!({ "error": "unsupported_grant_type" }));
        }
        let basic = basic(headers).filter(|_| self.auth != ClientAuth::Post);
        let post = field("client_id").zip(field("client_secret")).filter(|_| self.auth != ClientAuth::Basic);
        let Some((id, secret)) = basic.or(post) else { return invalid_client() };
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        if !clients.iter().any(|client| client.id == id && client.secret == secret) {
            return invalid_client();
        }
        if field("scope").is_some_and(|scope| scope.contains("unknown")) {
            return json_answer(StatusCode::BAD_REQUEST, &json!({ "error": "invalid_scope" }));
        }
        let mut issued = self.issued();
        issued.count += 1;
        let token = format!("simulated-access-token-{}", issued.count);
        issued.expiries.insert(token.clone(), Instant::now() + self.lifetime);
        // Some servers give the seconds as text, and SATUSEHAT calls the type so.
        let body = json!({
            "access_token": token, "token_type": "BearerToken", "expires_in": self.lifetime.as_secs().to_string()
        });
        json_answer(StatusCode::OK, &body)
    }

    fn issued(&self) -> MutexGuard<'_, Issued> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client of an `Authorization: Basic` header; both halves are form-encoded first (RFC 6749, 2.3.1).
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let sent = text_of(headers, AUTHORIZATION.as_str())?.strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(sent).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decoded = |half: &str| {
        form_urlencoded::parse(format!("x={half}").as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    decoded(id).zip(decoded(secret))
}

fn invalid_client() -> Response<Body> {
    let mut response = json_answer(StatusCode::UNAUTHORIZED, &json!({ "error": "invalid_client" }));
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"simulators\""));
    response
}

impl FhirServer {
    /// Answers a request at [`TOKEN_PATH`].
    pub(super) async fn token(
        &self,
        method: &Method,
        headers: &HeaderMap,
        form: &[u8],
    ) -> Result<Response<Body>, ConnectionCut> {
        let stats = &self.shared.stats;
        let injection = self.faults().draw(Operation::Token, &[]);
        tokio::time::sleep(injection.delay).await;
        if injection.reset {
            stats.answered(Operation::Token, 0);
            return Err(ConnectionCut);
        }
        let response = match injection.refusal {
            Some(refusal) => Reply::refusal(refusal).into_response(&Injection::default()),
            None if method != Method::POST => json_answer(StatusCode::METHOD_NOT_ALLOWED, &json!({})),
            None => self.shared.tokens.answer(headers, form),
        };
        stats.answered(Operation::Token, response.status().as_u16());
        Ok(response)
    }
}
