//! `vault://MOUNT/PATH#FIELD`: HashiCorp Vault and OpenBao, the KV engine's version 2.
//!
//! <https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2>, and `auth/approle`, `auth/kubernetes` beside it. A
//! token that was logged in for is kept until shortly before it lapses, or until it is refused.

use std::time::Duration;

use reqwest::{Client, Method, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::exchange::{Answer, exchange, lifetime};
use super::{ManagerError, SecretsTerms};

const WHAT: &str = "Vault";

/// A token is not used for the last moments of its life.
const MARGIN: Duration = Duration::from_secs(10);

/// Where Kubernetes puts a pod's token.
const POD_TOKEN: &str = "file:/var/run/secrets/kubernetes.io/serviceaccount/token";

/// What is kept between two questions.
#[derive(Default)]
pub(super) struct Vault {
    login: Option<Login>,
}

struct Login {
    token: SecretString,
    lapses_at: Option<Instant>,
}

/// How we show who we are: `VAULT_AUTH`.
enum Auth {
    Token,
    AppRole,
    Kubernetes,
}

struct Server<'a> {
    client: Client,
    url: Url,
    namespace: Option<&'a str>,
}

impl Vault {
    /// The fields of a secret, as JSON.
    pub(super) async fn read(
        &mut self,
        terms: &SecretsTerms,
        name: &str,
    ) -> Result<SecretString, ManagerError> {
        let url = terms.url("VAULT_ADDR", None, false)?;
        let client = terms.client(&url, "VAULT_ADDR")?;
        let server = Server { client, url, namespace: terms.text("VAULT_NAMESPACE") };
        let auth = auth(terms)?;
        let (mount, path) = name.split_once('/').unwrap_or((name, ""));
        let path = format!("{mount}/data/{path}");
        let known = self.login.take().filter(|login| login.lapses_at.is_none_or(|end| Instant::now() < end));
        let was_known = known.is_some();
        let mut login = match known {
            Some(login) => login,
            None => log_in(&server, terms, &auth).await?,
        };
        let mut answer = server.ask(Method::GET, &path, Some(&login.token), None).await?;
        if answer.status == 403 && was_known {
            // Revoked, perhaps: the secret itself is refused with the same status.
            login = log_in(&server, terms, &auth).await?;
            answer = server.ask(Method::GET, &path, Some(&login.token), None).await?;
        }
        let fields = fields(&answer)?;
        // A file with a token is read each time: whoever keeps it there renews it.
        self.login = (!matches!(auth, Auth::Token)).then_some(login);
        Ok(fields)
    }
}

fn auth(terms: &SecretsTerms) -> Result<Auth, ManagerError> {
    match terms.text("VAULT_AUTH").unwrap_or("token") {
        "token" => Ok(Auth::Token),
        "approle" => Ok(Auth::AppRole),
        "kubernetes" => Ok(Auth::Kubernetes),
        _ => Err(ManagerError::setting("VAULT_AUTH", "accepted: token, approle, kubernetes")),
    }
}

async fn log_in(server: &Server<'_>, terms: &SecretsTerms, auth: &Auth) -> Result<Login, ManagerError> {
    let (mount, body) = match auth {
        Auth::Token => {
            let token = terms
                .secret("VAULT_TOKEN", None, "VAULT_AUTH=token needs it, such as file:/vault/token")
                .await?;
            return Ok(Login { token, lapses_at: None });
        }
        Auth::AppRole => {
            let role = terms.needed("VAULT_ROLE_ID", "VAULT_AUTH=approle needs it")?;
            let secret = terms.secret("VAULT_SECRET_ID", None, "VAULT_AUTH=approle needs it").await?;
            ("approle", json!({ "role_id": role, "secret_id": secret.expose_secret() }))
        }
        Auth::Kubernetes => {
            let role = terms.needed("VAULT_ROLE", "VAULT_AUTH=kubernetes needs it")?;
            let pod = terms.secret("VAULT_JWT", Some(POD_TOKEN), "").await?;
            ("kubernetes", json!({ "role": role, "jwt": pod.expose_secret() }))
        }
    };
    let mount = terms.text("VAULT_AUTH_MOUNT").unwrap_or(mount);
    let answer = server.ask(Method::POST, &format!("auth/{mount}/login"), None, Some(&body)).await?;
    let (token, lasts) = logged_in(&answer)?;
    let lapses_at = lasts.map(|lasts| Instant::now() + lasts.saturating_sub(MARGIN));
    Ok(Login { token, lapses_at })
}

/// The fields of a secret, as JSON.
pub(crate) fn fields(answer: &Answer) -> Result<SecretString, ManagerError> {
    if !answer.is_success() {
        return Err(refusal(answer));
    }
    let fields = answer.body.pointer("/data/data").filter(|fields| fields.is_object());
    let problem = "the answer is not a secret of the KV engine's version 2";
    let fields = fields.ok_or(ManagerError::Unusable { what: WHAT, problem })?;
    Ok(SecretString::from(fields.to_string()))
}

/// A log-in's token, and how long it lasts, where it does not for ever.
pub(crate) fn logged_in(answer: &Answer) -> Result<(SecretString, Option<Duration>), ManagerError> {
    if !answer.is_success() {
        return Err(match refusal(answer) {
            ManagerError::Refused { status, code, .. } => {
                ManagerError::Refused { what: "Vault's log-in", status, code }
            }
            other => other,
        });
    }
    let problem = "the answer to the log-in holds no token";
    let token = answer.body.pointer("/auth/client_token").and_then(Value::as_str);
    let token = token.ok_or(ManagerError::Unusable { what: WHAT, problem })?;
    let lasts = lifetime(answer.body.pointer("/auth/lease_duration")).filter(|lasts| !lasts.is_zero());
    Ok((SecretString::from(token), lasts))
}

impl Server<'_> {
    async fn ask(
        &self,
        method: Method,
        path: &str,
        token: Option<&SecretString>,
        body: Option<&Value>,
    ) -> Result<Answer, ManagerError> {
        let base = self.url.as_str().trim_end_matches('/');
        let url = format!("{base}/v1/{path}");
        exchange(WHAT, || {
            let mut request = self.client.request(method.clone(), &url).header("X-Vault-Request", "true");
            if let Some(namespace) = self.namespace {
                request = request.header("X-Vault-Namespace", namespace);
            }
            if let Some(token) = token {
                request = request.header("X-Vault-Token", token.expose_secret());
            }
            Ok(match body {
                Some(body) => request.json(body),
                None => request,
            })
        })
        .await
    }
}

/// Vault's own words, where they are nothing but words.
fn refusal(answer: &Answer) -> ManagerError {
    // As in "1 error occurred:\n\t* permission denied\n\n".
    let said = answer.body.pointer("/errors/0").and_then(Value::as_str);
    let said = said.map(|said| said.rsplit("* ").next().unwrap_or(said).trim());
    let hint = match answer.status {
        404 => Some("no such secret"),
        // Sealed, or not set up.
        503 => said.or(Some("sealed")),
        _ => said.or(Some("refused")),
    };
    answer.refusal(WHAT, hint)
}
