//! Access tokens by OAuth2 client credentials (RFC 6749, 4.4): got from the token endpoint, kept until shortly
//! before they expire. Who waits for one, and when it is put in use, is in `credentials`.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use shared::error_chain;
use shared::secrets::{SecretError, SecretRef};
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::fhir::{Transport, TransportError};

/// A token is replaced so long before it expires, or a fifth of its life where that is shorter: a request that
/// waits for its turn, and a clock that runs otherwise, must not meet its end.
const MARGIN: Duration = Duration::from_secs(60);

/// How long an endpoint that failed is left alone while the token it gave is still good.
const LEFT_ALONE: Duration = Duration::from_secs(1);

/// The settings of `FHIR_AUTH=oauth2`.
#[derive(Clone, Debug)]
pub struct TokenTerms {
    /// `FHIR_TOKEN_URL`.
    pub url: String,
    /// `FHIR_CLIENT_ID`.
    pub client_id: String,
    /// `FHIR_CLIENT_SECRET`.
    pub client_secret: SecretRef,
    /// `FHIR_SCOPE`.
    pub scope: Option<String>,
    /// Bound of one request: `FHIR_TIMEOUT`.
    pub timeout: Duration,
}

/// Why there is no token. Quotes nothing that the endpoint said but RFC 6749's error codes: it could repeat what
/// it was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    /// Not reached, no answer in time, or a status that may pass.
    #[error("the token endpoint (FHIR_TOKEN_URL) {0}")]
    Unavailable(String),
    /// The client is refused.
    #[error(
        "the token endpoint refuses our client (invalid_client); check FHIR_CLIENT_ID and FHIR_CLIENT_SECRET"
    )]
    InvalidClient,
    /// It wants something else of us.
    #[error("the token endpoint refuses the request ({0})")]
    Refused(String),
    /// A success without a token that can be used.
    #[error("the token endpoint's answer {0}; check FHIR_TOKEN_URL")]
    Unusable(&'static str),
}

/// An access token.
pub(crate) struct Token {
    pub(crate) access: SecretString,
    /// When it is time for another; never where the endpoint does not say how long it lasts.
    fresh_until: Option<Instant>,
    expires_at: Option<Instant>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("fresh_until", &self.fresh_until).finish_non_exhaustive()
    }
}

impl Token {
    fn new(access: SecretString, lifetime: Option<Duration>, asked_at: Instant) -> Self {
        let until = |lasts: Duration| asked_at.checked_add(lasts);
        let fresh = lifetime.map(|lifetime| lifetime - MARGIN.min(lifetime / 5));
        Self { access, fresh_until: fresh.and_then(until), expires_at: lifetime.and_then(until) }
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh_until.is_none_or(|until| Instant::now() < until)
    }

    /// Leaves an endpoint that just failed alone for a moment. False: the token has expired.
    pub(crate) fn put_off(&mut self) -> bool {
        let soon = Instant::now() + LEFT_ALONE;
        let lasts = self.expires_at.is_none_or(|end| Instant::now() < end);
        self.fresh_until = self.expires_at.map(|end| end.min(soon));
        lasts
    }
}

/// How we show who we are (RFC 6749, 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientAuth {
    /// In the `Authorization` header, which every server must take.
    Basic,
    /// In the form, which some servers take alone.
    Post,
}

/// Gets tokens. One at a time is the caller's business.
pub struct TokenSource {
    terms: TokenTerms,
    transport: Transport,
    secret: SecretString,
    /// The way that was taken before.
    proven: Option<ClientAuth>,
}

impl TokenSource {
    /// Resolves the client secret; sends nothing.
    ///
    /// # Errors
    /// The secret cannot be resolved.
    pub async fn prepare(terms: TokenTerms, transport: Transport) -> Result<Self, SecretError> {
        let secret = terms.client_secret.resolve().await?;
        Ok(Self { terms, transport, secret, proven: None })
    }

    /// Gets a token; where the client is refused, once more with the secret resolved again.
    pub(crate) async fn fetch(&mut self) -> Result<Token, NoToken> {
        let refused = match self.fetch_either_way().await {
            Err(NoToken::InvalidClient) => NoToken::InvalidClient,
            other => return other,
        };
        match self.terms.client_secret.resolve_anew().await {
            Ok(fresh) if fresh.expose_secret() != self.secret.expose_secret() => {
                self.secret = fresh;
                let token = self.fetch_either_way().await?;
                tracing::info!(
                    "the token endpoint refused the client secret; it had changed, going on with the new one"
                );
                Ok(token)
            }
            Ok(_) => Err(refused),
            Err(error) => {
                tracing::warn!(
                    error = error_chain(&error),
                    "a refused client secret cannot be resolved again"
                );
                Err(refused)
            }
        }
    }

    async fn fetch_either_way(&mut self) -> Result<Token, NoToken> {
        let ways = self.proven.map_or(vec![ClientAuth::Basic, ClientAuth::Post], |proven| vec![proven]);
        let mut fetched = Err(NoToken::InvalidClient);
        for way in ways {
            fetched = self.fetch_once(way).await;
            match fetched {
                Err(NoToken::InvalidClient) => {}
                Ok(_) => {
                    self.proven = Some(way);
                    break;
                }
                Err(_) => break,
            }
        }
        fetched
    }

    async fn fetch_once(&self, way: ClientAuth) -> Result<Token, NoToken> {
        let asked_at = Instant::now();
        let exchange = self.transport.clone().oneshot(self.request(way)?);
        let answer = match tokio::time::timeout(self.terms.timeout, exchange).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(TransportError::Unreachable(cause))) => {
                return Err(NoToken::Unavailable(format!(
                    "cannot be reached: {}",
                    error_chain(cause.as_ref())
                )));
            }
            Ok(Err(error)) => return Err(NoToken::Unavailable(format!("failed: {error}"))),
            Err(_) => return Err(NoToken::Unavailable("did not answer in time".into())),
        };
        read(&answer, asked_at)
    }

    fn request(&self, way: ClientAuth) -> Result<Request<Bytes>, NoToken> {
        // Used as a form encoder only; its address is never asked.
        let mut form = Url::parse("form:").expect("a constant URL");
        let encoded = |text: &str| -> String {
            let mut one = Url::parse("form:").expect("a constant URL");
            one.query_pairs_mut().append_key_only(text);
            one.query().unwrap_or_default().to_owned()
        };
        form.query_pairs_mut().append_pair("grant_type", "client_credentials");
        if let Some(scope) = &self.terms.scope {
            form.query_pairs_mut().append_pair("scope", scope);
        }
        if way == ClientAuth::Post {
            let mut pairs = form.query_pairs_mut();
            pairs.append_pair("client_id", &self.terms.client_id);
            pairs.append_pair("client_secret", self.secret.expose_secret());
        }
        let mut request = Request::new(Bytes::from(form.query().unwrap_or_default().to_owned()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.terms.url.parse().map_err(|_| NoToken::Refused("FHIR_TOKEN_URL".into()))?;
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, form);
        if way == ClientAuth::Basic {
            let (id, secret) = (encoded(&self.terms.client_id), encoded(self.secret.expose_secret()));
            let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
            let mut basic = HeaderValue::try_from(basic).expect("base64 is visible ASCII");
            basic.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, basic);
        }
        Ok(request)
    }
}

pub(crate) fn read(answer: &Response<Bytes>, asked_at: Instant) -> Result<Token, NoToken> {
    let body = serde_json::from_slice::<Value>(answer.body());
    let status = answer.status();
    if !status.is_success() {
        let code = body.as_ref().ok().and_then(|body| known_code(body.get("error")?.as_str()?));
        return Err(match (code, status.as_u16()) {
            (Some("invalid_client"), _) | (None, 401) => NoToken::InvalidClient,
            (Some("invalid_scope"), _) => NoToken::Refused("invalid_scope; check FHIR_SCOPE".into()),
            (Some(code), 400..=499) => NoToken::Refused(code.into()),
            (_, status @ (408 | 425 | 429 | 500..)) => NoToken::Unavailable(format!("answers {status}")),
            (_, status) => NoToken::Refused(format!("status {status}; check FHIR_TOKEN_URL")),
        });
    }
    let Ok(body) = body else { return Err(NoToken::Unusable("is not JSON")) };
    // Servers call it Bearer, bearer or BearerToken.
    let kind = body.get("token_type").and_then(Value::as_str).unwrap_or("bearer");
    if !kind.to_ascii_lowercase().starts_with("bearer") {
        return Err(NoToken::Unusable("holds no bearer token"));
    }
    let access = body.get("access_token").and_then(Value::as_str).filter(|token| !token.is_empty());
    let Some(access) = access else { return Err(NoToken::Unusable("holds no access_token")) };
    let seconds = body.get("expires_in").and_then(|lasts| match lasts {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    });
    Ok(Token::new(access.into(), seconds.map(Duration::from_secs), asked_at))
}

/// RFC 6749, 5.2.
fn known_code(code: &str) -> Option<&'static str> {
    [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ]
    .into_iter()
    .find(|known| *known == code)
}

#[cfg(test)]
mod tests;
