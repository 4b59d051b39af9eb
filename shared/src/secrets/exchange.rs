//! One request to a secrets manager, tried again where that may help, and what its settings say.

use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use reqwest::{Client, RequestBuilder, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

#[cfg(feature = "aws-sm")]
use super::Local;
use super::{ManagerError, Place, SecretError, SecretsTerms, trimmed};
use crate::body::{self, BodyError};
use crate::error_chain;
use crate::retry::RetryPolicy;

/// Bound of one request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer that is read: AWS keeps secrets of 64 KiB, Google of 64 KiB, Vault of 512 KiB at most
/// (<https://developer.hashicorp.com/vault/docs/internals/limits>).
const MOST: usize = 1024 * 1024;

/// The longest that a token is taken to last, whatever is said: it is replaced once it is refused, too.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A start that meets a manager's restart waits a moment, and no night waits long.
const RETRY: RetryPolicy =
    RetryPolicy { first: Duration::from_millis(300), max: Duration::from_secs(2), max_attempts: 3 };

/// An answer: whether it is a success is for the caller to say.
pub(crate) struct Answer {
    pub(super) status: u16,
    /// Text where it is not JSON.
    pub(super) body: Value,
}

impl Answer {
    pub(crate) fn of(status: u16, body: &[u8]) -> Self {
        let text = || Value::String(String::from_utf8_lossy(body).into_owned());
        Self { status, body: serde_json::from_slice(body).unwrap_or_else(|_| text()) }
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The refusal, with the error's code if it is nothing but a code: a text could repeat what was sent.
    pub(super) fn refusal(&self, what: &'static str, code: Option<&str>) -> ManagerError {
        let is_code = |code: &&str| {
            code.len() <= 64 && code.bytes().all(|b| b.is_ascii_alphanumeric() || b"_ ".contains(&b))
        };
        let code = code.filter(is_code).map(|code| format!("({code})")).unwrap_or_default();
        ManagerError::Refused { what, status: self.status, code }
    }
}

/// Sends what `make` makes, three times at most where there is no answer, or one that may pass.
pub(super) async fn exchange(
    what: &'static str,
    make: impl Fn() -> Result<RequestBuilder, ManagerError>,
) -> Result<Answer, ManagerError> {
    let mut dice = SmallRng::from_os_rng();
    let mut attempt = 0;
    loop {
        attempt += 1;
        let answered = send(what, make()?).await;
        let may_pass = match &answered {
            Ok(answer) => answer.status == 429 || answer.status >= 500,
            Err(_) => true,
        };
        if !may_pass || RETRY.is_exhausted(attempt) {
            return answered;
        }
        tokio::time::sleep(RETRY.delay(attempt, &mut dice)).await;
    }
}

async fn send(what: &'static str, request: RequestBuilder) -> Result<Answer, ManagerError> {
    let unreachable =
        |error: reqwest::Error| ManagerError::Unreachable { what, why: error_chain(&error.without_url()) };
    let answer = request.send().await.map_err(unreachable)?;
    let status = answer.status().as_u16();
    let bytes = body::at_most(answer, MOST).await.map_err(|error| match error {
        BodyError::Broken(error) => unreachable(error),
        BodyError::TooLarge(_) => ManagerError::Unusable { what, problem: "the answer is larger than 1 MiB" },
    })?;
    Ok(Answer::of(status, &bytes))
}

/// How long something lasts that is good for so many seconds; none where that is no number.
pub(super) fn lifetime(seconds: Option<&Value>) -> Option<Duration> {
    Some(Duration::from_secs(seconds?.as_u64()?).min(LONGEST))
}

impl SecretsTerms {
    /// A variable's text; a blank one counts as not set.
    pub(super) fn text(&self, variable: &'static str) -> Option<&str> {
        self.given.get(variable).map(|given| given.expose_secret())
    }

    pub(super) fn needed(&self, variable: &'static str, why: &str) -> Result<&str, ManagerError> {
        self.text(variable).ok_or_else(|| ManagerError::setting(variable, format!("not set; {why}")))
    }

    /// The secret that a variable refers to, which may be in a file or another variable only: a manager cannot keep
    /// the key to itself.
    pub(super) async fn secret(
        &self,
        variable: &'static str,
        default: Option<&str>,
        why: &str,
    ) -> Result<SecretString, ManagerError> {
        let given = match self.text(variable).or(default) {
            Some(given) => given,
            None => self.needed(variable, why)?,
        };
        let bad = |error: SecretError| ManagerError::secret(variable, &error);
        let place: Place = given.parse().map_err(|error| match error {
            error @ SecretError::Literal => ManagerError::setting(variable, format!("the value {error}")),
            other => bad(other),
        })?;
        let Place::Local(local) = &place else {
            let problem = "has to be in a file or another variable: it is what opens the secrets manager";
            return Err(ManagerError::setting(variable, problem));
        };
        trimmed(&local.read().await.map_err(bad)?, &place).map_err(bad)
    }

    /// What is in the file that a variable names.
    #[cfg(feature = "aws-sm")]
    pub(super) async fn file(&self, variable: &'static str) -> Result<SecretString, ManagerError> {
        let path = self.text(variable).unwrap_or_default();
        let file = Local::File(path.into());
        let bad = |error: SecretError| ManagerError::secret(variable, &error);
        trimmed(&file.read().await.map_err(bad)?, &Place::Local(file)).map_err(bad)
    }

    /// An address, in clear only towards this machine, unless `plainly`: what is asked for is a secret.
    pub(super) fn url(
        &self,
        variable: &'static str,
        default: Option<&str>,
        plainly: bool,
    ) -> Result<Url, ManagerError> {
        let given = match self.text(variable).or(default) {
            Some(given) => given,
            None => {
                self.needed(variable, "the secrets manager's address, such as https://vault.example:8200")?
            }
        };
        let url = Url::parse(given).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
        });
        let url = url
            .ok_or_else(|| ManagerError::setting(variable, "not an http or https URL without a password"))?;
        if url.scheme() == "http" && !plainly && !is_local(&url) {
            let problem =
                "leads away from this machine by http, where secrets can be read on the way; give https://…";
            return Err(ManagerError::setting(variable, problem));
        }
        Ok(url)
    }

    /// A client towards this address.
    pub(super) fn client(&self, url: &Url, variable: &'static str) -> Result<Client, ManagerError> {
        crate::webhook::client(&self.http, url, TIMEOUT, variable)
            .map_err(|error| ManagerError::setting(variable, error))
    }
}

fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
