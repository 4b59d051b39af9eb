//! What a failed call means: final, or worth another attempt, and what the operator has to do.
//!
//! Google's error model: <https://cloud.google.com/apis/design/errors>. Bodies that were really answered are in
//! `tests/fixtures/sheets-errors`.

use std::error::Error as StdError;
use std::time::Duration;

use google_sheets4::Error;
use google_sheets4::common::{Delegate, Response, Retry};
use jiff::fmt::rfc2822;
use serde_json::Value;
use yup_oauth2::error::{AuthError, AuthErrorCode, SendError};

use super::super::error::{SourceError, TransientFault, shown};

/// More than any patience for quota: whatever is asked beyond it means giving up all the same.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// What to do about a failed call.
#[derive(Debug)]
pub(crate) enum Fault {
    /// No further attempt will help.
    Final(SourceError),
    /// The access token is not taken: once, with a new one, it may be.
    Unauthorized(SourceError),
    /// The range begins outside the sheet's grid.
    BeyondGrid,
    /// Wait until quota is there again.
    Quota { retry_after: Option<Duration> },
    /// May pass by itself.
    Transient { cause: TransientFault, retry_after: Option<Duration> },
}

/// Names that explanations need.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub client_email: String,
    pub spreadsheet_id: String,
}

/// Sees what `google-sheets4` keeps to itself of a refused request: the status and `Retry-After`.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    pub status: Option<u16>,
    pub retry_after: Option<Duration>,
}

impl Delegate for Witness {
    fn http_failure(&mut self, response: &Response, _error: Option<&Value>) -> Retry {
        self.status = Some(response.status().as_u16());
        self.retry_after = retry_after(response.headers());
        Retry::Abort
    }
}

impl Fault {
    /// Takes the error apart. Its own text is not used: it holds whole bodies, cells and tokens included.
    pub fn of(error: Error, witness: &Witness, identity: &Identity) -> Self {
        match error {
            Error::HttpError(error) => Self::transient(TransientFault::Connection(error.into())),
            Error::Io(error) => Self::transient(TransientFault::Connection(error.into())),
            Error::MissingToken(error) => Self::of_token(error),
            Error::BadRequest(body) => Self::of_status(witness, Some(&body), identity),
            Error::Failure(response) => {
                let status = Some(response.status().as_u16());
                Self::of_status(&Witness { status, ..*witness }, None, identity)
            }
            Error::JsonDecodeError(_, error) if error.is_eof() => Self::transient(TransientFault::Truncated),
            Error::JsonDecodeError(..) => Self::transient(TransientFault::NotTheService),
            Error::UploadSizeLimitExceeded(..)
            | Error::MissingAPIKey
            | Error::Cancelled
            | Error::FieldClash(_) => Self::Final(SourceError::Refused {
                status: 0,
                message: "the request could not be made".to_owned(),
            }),
        }
    }

    fn transient(cause: TransientFault) -> Self {
        Self::Transient { cause, retry_after: None }
    }

    fn of_status(witness: &Witness, body: Option<&Value>, identity: &Identity) -> Self {
        let retry_after = witness.retry_after;
        let body = Body::of(body);
        let status = witness.status.unwrap_or(body.code);
        match status {
            429 => Self::Quota { retry_after },
            403 if body.is_quota() => Self::Quota { retry_after },
            408 | 500.. => Self::Transient { cause: TransientFault::Status(status), retry_after },
            401 => {
                Self::Unauthorized(credentials("Google does not accept its access tokens; create a new key"))
            }
            // A body that cannot be read says nothing final, whatever its status: it may be a proxy's.
            _ if !body.is_googles() => Self::Transient { cause: TransientFault::Status(status), retry_after },
            400 if body.message.contains("exceeds grid limits") => Self::BeyondGrid,
            400 if body.message.starts_with("Unable to parse range") => {
                Self::Final(SourceError::RangeRefused { message: shown(body.message, 300, 8) })
            }
            400 if body.message.contains("not supported for this document") => {
                Self::Final(SourceError::OfficeFile)
            }
            403 if body.has_reason("SERVICE_DISABLED") => {
                Self::Final(SourceError::ApiDisabled { link: body.activation_link() })
            }
            403 if body.has_reason("ACCESS_TOKEN_SCOPE_INSUFFICIENT") => {
                Self::Final(credentials("its tokens may not read spreadsheets"))
            }
            403 if body.status == "PERMISSION_DENIED" => {
                Self::Final(SourceError::NotShared { client_email: identity.client_email.clone() })
            }
            404 => Self::Final(SourceError::NotFound { spreadsheet_id: identity.spreadsheet_id.clone() }),
            _ => Self::Final(SourceError::Refused { status, message: shown(body.message, 300, 8) }),
        }
    }

    fn of_token(error: Box<dyn StdError + Send + Sync>) -> Self {
        use yup_oauth2::Error;
        let Ok(error) = error.downcast::<Error>() else {
            return Self::transient(TransientFault::NotTheService);
        };
        match *error {
            Error::AuthError(error) => Self::of_refused_token(&error),
            Error::HttpError(error) => Self::transient(TransientFault::Connection(error.into())),
            Error::HttpClientError(SendError::Hyper(error)) => {
                Self::transient(TransientFault::Connection(error.into()))
            }
            Error::HttpClientError(error @ SendError::Timeout) => {
                Self::transient(TransientFault::Connection(error.into()))
            }
            Error::JSONError(error) if error.is_eof() => Self::transient(TransientFault::Truncated),
            Error::JSONError(_) | Error::MissingAccessToken => Self::transient(TransientFault::NotTheService),
            _ => Self::Final(credentials("no token could be asked for with it; create a new key")),
        }
    }

    /// RFC 6749, section 5.2, and Google's descriptions.
    fn of_refused_token(error: &AuthError) -> Self {
        let description = error.error_description.as_deref().unwrap_or_default();
        let lower = description.to_lowercase();
        let explanation = match &error.error {
            AuthErrorCode::Other(code)
                if matches!(
                    code.as_str(),
                    "server_error" | "temporarily_unavailable" | "internal_failure"
                ) =>
            {
                return Self::transient(TransientFault::Status(503));
            }
            AuthErrorCode::InvalidGrant if lower.contains("short-lived") || lower.contains("iat and exp") => {
                "Google finds its signature's time wrong: set this machine's clock (NTP)"
            }
            AuthErrorCode::InvalidGrant if lower.contains("signature") => {
                "Google does not know the key: it was deleted or belongs to another account; create a new one"
            }
            AuthErrorCode::InvalidGrant if lower.contains("account not found") => {
                "the service account was deleted; create one, and share the sheet with it"
            }
            AuthErrorCode::InvalidClient | AuthErrorCode::UnauthorizedClient => {
                "the service account is disabled or may not ask for tokens"
            }
            _ => {
                "Google issues no token for it; create a new key, and see that this machine's clock is right"
            }
        };
        let words = [error.error.as_str(), description].join(" ");
        Self::Final(credentials(&format!("{explanation} ({})", shown(words.trim(), 200, 8))))
    }
}

fn credentials(explanation: &str) -> SourceError {
    SourceError::Credentials { explanation: explanation.to_owned() }
}

/// The parts of an error body, empty where it is none.
#[derive(Default)]
struct Body<'a> {
    code: u16,
    status: &'a str,
    message: &'a str,
    details: &'a [Value],
}

impl<'a> Body<'a> {
    fn of(body: Option<&'a Value>) -> Self {
        let Some(error) = body.and_then(|body| body.get("error")) else { return Self::default() };
        let text = |name| error.get(name).and_then(Value::as_str).unwrap_or_default();
        Self {
            code: error
                .get("code")
                .and_then(Value::as_u64)
                .and_then(|code| u16::try_from(code).ok())
                .unwrap_or(0),
            status: text("status"),
            message: text("message"),
            details: error.get("details").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default(),
        }
    }

    fn is_googles(&self) -> bool {
        !self.status.is_empty() || !self.message.is_empty()
    }

    fn has_reason(&self, reason: &str) -> bool {
        self.details.iter().any(|detail| detail.get("reason").and_then(Value::as_str) == Some(reason))
    }

    fn is_quota(&self) -> bool {
        self.status == "RESOURCE_EXHAUSTED" || self.has_reason("RATE_LIMIT_EXCEEDED")
    }

    fn activation_link(&self) -> String {
        let links = self.details.iter().filter_map(|detail| detail.get("links")?.as_array()).flatten();
        let urls = links.filter_map(|link| link.get("url")?.as_str());
        // It goes to a terminal, and is for a person to follow.
        let fits = |url: &&str| url.len() <= 300 && url.bytes().all(|byte| byte.is_ascii_graphic());
        let mut googles = urls.filter(|url| url.starts_with("https://console.")).filter(fits);
        googles
            .next()
            .unwrap_or("https://console.cloud.google.com/apis/library/sheets.googleapis.com")
            .to_owned()
    }
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a moment, which is taken against the answer's own
/// `Date` so that this machine's clock does not matter.
///
/// At most [`LONGEST_WAIT`].
pub(crate) fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let value = text(http::header::RETRY_AFTER)?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds).min(LONGEST_WAIT));
    }
    let moment = rfc2822::parse(value).ok()?.timestamp();
    let now = rfc2822::parse(text(http::header::DATE)?).ok()?.timestamp();
    let wait = Duration::try_from(moment.duration_since(now)).unwrap_or(Duration::ZERO);
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> http::HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn retry_after_is_seconds_or_a_moment() {
        let at = ("retry-after", "Mon, 23 Nov 2026 17:00:30 GMT");
        for (pairs, expected) in [
            (vec![("retry-after", "12")], Some(12)),
            (vec![at, ("date", "Mon, 23 Nov 2026 17:00:00 GMT")], Some(30)),
            (vec![at, ("date", "Mon, 23 Nov 2026 17:01:00 GMT")], Some(0)),
            (vec![at], None),
            (vec![("retry-after", "18446744073709551615")], Some(3600)),
            (vec![("retry-after", "soon")], None),
            (vec![], None),
        ] {
            assert_eq!(retry_after(&headers(&pairs)), expected.map(Duration::from_secs), "{pairs:?}");
        }
    }

    #[test]
    fn a_refused_token_says_what_to_do() {
        for (code, description, expected) in [
            (
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.",
                "clock (NTP)",
            ),
            ("invalid_grant", "Invalid JWT Signature.", "does not know the key"),
            ("invalid_grant", "Invalid grant: account not found", "was deleted"),
            ("unauthorized_client", "", "disabled"),
            ("invalid_scope", "", "create a new key"),
        ] {
            let error = AuthError {
                error: code.into(),
                error_description: Some(description.to_owned()),
                error_uri: None,
            };
            let Fault::Final(error) = Fault::of_refused_token(&error) else {
                panic!("{code} {description} is final")
            };
            assert!(error.to_string().contains(expected), "{error}");
        }
        let error = AuthError { error: "internal_failure".into(), error_description: None, error_uri: None };
        assert!(matches!(Fault::of_refused_token(&error), Fault::Transient { .. }));
    }
}
