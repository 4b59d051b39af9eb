//! Notices on their way out: from the ledger's outbox to `ALERT_WEBHOOK_URL`.
//!
//! Whoever changes a state puts its notice into the ledger in the same transaction, under a key that is unique for
//! the change; so there is one notice, however many processes saw it. Posting is a duty that one process has at a
//! time. A webhook that fails harms nothing: notices wait.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Certificate, Client, NoProxy, Proxy, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::error_chain;
use crate::ledger::{Ledger, LedgerError, Notice};
use crate::secrets::LiveSecret;
use crate::settings::{BadSettings, HttpSettings, Settings};

const VARIABLE: &str = "ALERT_WEBHOOK_URL";

const DUTY: &str = "notify";

/// Bound of one post.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Between two looks at the outbox.
const EVERY: Duration = Duration::from_secs(1);

/// What the wait after a post that failed grows to at most.
const MOST: Duration = Duration::from_secs(60);

const GOOGLE_CHAT: &str = "chat.googleapis.com";

/// Attempts after which a notice that is refused is given up.
const ATTEMPTS: u32 = 20;

/// Notices posted in one round.
const WINDOW: u32 = 20;

/// Where notices are posted.
pub struct Webhook {
    http: HttpSettings,
    secret: LiveSecret,
}

/// Why a notice could not be posted. Holds no URL: a webhook's URL is its secret.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// No answer.
    #[error("the webhook could not be reached")]
    Unreachable(#[source] reqwest::Error),
    /// An answer other than 2xx.
    #[error("the webhook answered {0}")]
    Refused(u16),
    /// The secret changed, and not for the better.
    #[error("the webhook's address cannot be used")]
    Unusable(#[source] BadSettings),
}

impl Webhook {
    /// Resolves `ALERT_WEBHOOK_URL`; none where it is not set. Sends nothing.
    pub async fn prepare(settings: &Settings) -> Result<Option<Self>, BadSettings> {
        let Some(reference) = &settings.alert_webhook else { return Ok(None) };
        let bad = |error: &dyn std::error::Error| BadSettings::of(VARIABLE, error_chain(error));
        let secret = LiveSecret::resolve(reference, VARIABLE).await.map_err(|error| bad(&error))?;
        client(&settings.http, &address(&secret.last())?, TIMEOUT, VARIABLE)?;
        Ok(Some(Self { http: settings.http.clone(), secret }))
    }

    async fn post(&self, job: &str, notice: &Notice) -> Result<(), WebhookError> {
        // Notices are few: a client for each, and the address may have changed.
        let url = address(&self.secret.current().await).map_err(WebhookError::Unusable)?;
        let client = client(&self.http, &url, TIMEOUT, VARIABLE).map_err(WebhookError::Unusable)?;
        let answer = client.post(url.clone()).json(&body(&url, job, notice)).send().await;
        let answer = answer.map_err(|error| WebhookError::Unreachable(error.without_url()))?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(WebhookError::Refused(status.as_u16())) }
    }
}

fn address(secret: &SecretString) -> Result<Url, BadSettings> {
    let url = Url::parse(secret.expose_secret().trim()).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| BadSettings::of(VARIABLE, "the secret is not an http or https URL"))
}

/// Slack shows `text` and leaves the rest alone; Google Chat refuses fields that it does not know.
fn body(to: &Url, job: &str, notice: &Notice) -> serde_json::Value {
    if to.host_str() == Some(GOOGLE_CHAT) {
        json!({ "text": notice.text })
    } else {
        json!({ "text": notice.text, "kind": notice.kind, "job": job, "detail": notice.detail })
    }
}

/// A client towards `url`, which `variable` names, with the settings' roots and proxies.
pub(crate) fn client(
    http: &HttpSettings,
    url: &Url,
    timeout: Duration,
    variable: &str,
) -> Result<Client, BadSettings> {
    let mut builder = Client::builder()
        .user_agent(concat!("nightly-sync/", env!("CARGO_PKG_VERSION")))
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    if let Some(proxy) = &http.https_proxy {
        let proxy = Proxy::https(proxy).map_err(|_| BadSettings::of("HTTPS_PROXY", "not a proxy's URL"))?;
        builder = builder.proxy(proxy.no_proxy(http.no_proxy.as_deref().and_then(NoProxy::from_string)));
    }
    if url.scheme() == "http" {
        // TLS is never spoken then; without this, building fails where the system has no roots (slim images).
        builder = builder.tls_certs_only([]);
    } else if let Some(path) = &http.ca_file {
        let pem = std::fs::read(path).map_err(|error| {
            BadSettings::of("CA_FILE", format!("{} cannot be read: {error}", path.display()))
        })?;
        let roots = Certificate::from_pem_bundle(&pem).map_err(|_| {
            BadSettings::of("CA_FILE", format!("{} holds no PEM certificate", path.display()))
        })?;
        builder = builder.tls_certs_merge(roots);
    }
    builder.build().map_err(|error| BadSettings::of(variable, error_chain(&error.without_url())))
}

/// Posts what is in the outbox.
pub struct Notifier {
    ledger: Arc<dyn Ledger>,
    webhook: Option<Webhook>,
    job: String,
    holder: String,
}

impl Notifier {
    /// `holder` names this process among its peers. Without a webhook notices stay in the ledger.
    pub fn new(ledger: Arc<dyn Ledger>, webhook: Option<Webhook>, job: String, holder: String) -> Self {
        Self { ledger, webhook, job, holder }
    }

    /// Posts until `stop`, and not a moment longer.
    pub async fn serve(&self, stop: CancellationToken) {
        let serving = async {
            let mut wait = EVERY;
            loop {
                wait = next_wait(wait, &self.round().await);
                tokio::time::sleep(wait).await;
            }
        };
        // In the middle of a post, too: one whose end is not noted is posted again.
        tokio::select! {
            () = serving => {}
            () = stop.cancelled() => {}
        }
    }

    /// Posts until `over`, and then what there is: from then on for `patience` at most.
    pub async fn serve_to_the_end(&self, over: CancellationToken, patience: Duration) {
        let last_moment = async {
            over.cancelled().await;
            tokio::time::sleep(patience).await;
        };
        let serving = async {
            let mut wait = EVERY;
            loop {
                // What is under way when it is over is not broken off: it would be posted twice.
                let is_last = tokio::select! {
                    () = tokio::time::sleep(wait) => false,
                    () = over.cancelled() => true,
                };
                let round = self.round().await;
                if is_last {
                    return;
                }
                wait = next_wait(wait, &round);
            }
        };
        tokio::select! {
            () = serving => {}
            () = last_moment => {}
        }
    }

    /// Posts what there is before this process ends, `patience` at most.
    pub async fn flush(&self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.round()).await;
    }

    /// False: the webhook failed, and the rest waits.
    async fn round(&self) -> Result<bool, LedgerError> {
        let Some(webhook) = &self.webhook else { return Ok(true) };
        let mut all = true;
        for open in self.ledger.open_notices(WINDOW).await? {
            // For each anew: a round may take longer than the duty lasts.
            if !self.ledger.hold_duty(DUTY, &self.holder, TIMEOUT * 2).await? {
                break;
            }
            let posted = webhook.post(&self.job, &open.notice).await;
            let given_up = matches!(posted, Err(WebhookError::Refused(_))) && open.attempts + 1 >= ATTEMPTS;
            self.ledger.note_notice(open.number, posted.is_ok() || given_up).await?;
            if let Err(error) = posted {
                let kind = &open.notice.kind;
                tracing::warn!(kind, given_up, error = error_chain(&error), "a notice could not be posted");
                all = false;
                // It would not be reached for the next one either.
                if matches!(error, WebhookError::Unreachable(_)) {
                    break;
                }
            }
        }
        Ok(all)
    }
}

fn next_wait(wait: Duration, round: &Result<bool, LedgerError>) -> Duration {
    match round {
        Ok(true) => EVERY,
        Ok(false) | Err(_) => (wait * 2).min(MOST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn google_chat_gets_a_text_and_nothing_that_it_does_not_know() {
        let notice = Notice {
            key: "closed:1".into(),
            kind: "closed".into(),
            text: "The night is done.".into(),
            detail: json!({ "rows": 3 }),
        };
        let body = |url: &str| body(&url.parse().expect("a URL"), "the-job", &notice);
        let chat = "https://chat.googleapis.com/v1/spaces/AAAA/messages?key=k&token=t";
        assert_eq!(body(chat), json!({ "text": "The night is done." }));
        for other in ["https://hooks.slack.com/services/T/B/X", "http://127.0.0.1:9/chat.googleapis.com"] {
            let all = json!({ "text": "The night is done.", "kind": "closed", "job": "the-job", "detail": { "rows": 3 } });
            assert_eq!(body(other), all, "{other}");
        }
    }
}
