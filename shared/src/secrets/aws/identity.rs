//! Who we are for AWS, from the first of these that is set: access keys; a web identity (EKS); what a container's agent
//! gives (ECS, EKS Pod Identity); the machine's role (EC2, IMDSv2).
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::super::exchange::{Answer, exchange};
use super::super::{ManagerError, SecretsTerms};
use super::{domain, refusal};
use crate::clock::Clock;

const STS: &str = "AWS STS";
const AGENT: &str = "the container's credentials endpoint";
const IMDS: &str = "the EC2 metadata service";

/// Keys are not used for the last moments of their life.
const MARGIN: Duration = Duration::from_secs(60);

/// Access keys, for a while.
pub(crate) struct Identity {
    pub(super) id: String,
    pub(crate) secret: SecretString,
    pub(super) session: Option<SecretString>,
    until: Option<Timestamp>,
}

impl Identity {
    /// Whether it may still be used.
    pub(super) fn lasts(&self) -> bool {
        self.until.is_some_and(|until| Clock::system().now() + MARGIN < until)
    }
}

/// Asks whoever knows.
pub(super) async fn find(terms: &SecretsTerms, region: &str) -> Result<Identity, ManagerError> {
    if let Some(id) = terms.text("AWS_ACCESS_KEY_ID") {
        let secret = terms.secret("AWS_SECRET_ACCESS_KEY", None, "AWS_ACCESS_KEY_ID needs it").await?;
        let session = match terms.text("AWS_SESSION_TOKEN") {
            Some(_) => Some(terms.secret("AWS_SESSION_TOKEN", None, "").await?),
            None => None,
        };
        // Read each time: whoever keeps them there rotates them.
        return Ok(Identity { id: id.to_owned(), secret, session, until: None });
    }
    if terms.text("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() {
        return by_web_identity(terms, region).await;
    }
    let full = terms.text("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if full.is_some() || terms.text("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").is_some() {
        return by_container(terms).await;
    }
    by_machine(terms).await
}

/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>: needs no signature.
async fn by_web_identity(terms: &SecretsTerms, region: &str) -> Result<Identity, ManagerError> {
    let role = terms.needed("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE needs it")?;
    let token = terms.file("AWS_WEB_IDENTITY_TOKEN_FILE").await?;
    let session = terms.text("AWS_ROLE_SESSION_NAME").unwrap_or("nightly-sync");
    let url = terms.url(
        "AWS_STS_ENDPOINT_URL",
        Some(&format!("https://sts.{region}.{}", domain(region))),
        false,
    )?;
    let client = terms.client(&url, "AWS_STS_ENDPOINT_URL")?;
    let form = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role),
        ("RoleSessionName", session),
        ("WebIdentityToken", token.expose_secret()),
    ];
    let answer = exchange(STS, || Ok(client.post(url.clone()).form(&form))).await?;
    by_role(&answer)
}

/// The Query protocol answers in XML, with nothing in these elements that XML would escape.
pub(crate) fn by_role(answer: &Answer) -> Result<Identity, ManagerError> {
    let text = answer.body.as_str().unwrap_or_default();
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(value, _)| value.trim())
    };
    if !answer.is_success() {
        return Err(answer.refusal(STS, element("Code")));
    }
    let names = ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"];
    identity(STS, names.map(element))
}

/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>
async fn by_container(terms: &SecretsTerms) -> Result<Identity, ManagerError> {
    const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    let relative = terms.text("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").unwrap_or_default();
    // Its address is the agent's, in clear by design.
    let url = terms.url(FULL, Some(&format!("http://169.254.170.2{relative}")), true)?;
    let client = terms.client(&url, FULL)?;
    let token = match terms.text("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(_) => Some(terms.file("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").await?),
        None => None,
    };
    let answer = exchange(AGENT, || {
        let request = client.get(url.clone());
        Ok(match &token {
            Some(token) => request.header("Authorization", token.expose_secret()),
            None => request,
        })
    })
    .await?;
    keys(AGENT, &answer)
}

/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>, version 2.
async fn by_machine(terms: &SecretsTerms) -> Result<Identity, ManagerError> {
    const VARIABLE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
    let base = terms.url(VARIABLE, Some("http://169.254.169.254"), true)?;
    let client = terms.client(&base, VARIABLE)?;
    let at = |path: &str| format!("{}{path}", base.as_str().trim_end_matches('/'));
    let url = at("/latest/api/token");
    let lasts = ("X-aws-ec2-metadata-token-ttl-seconds", "60");
    let token = exchange(IMDS, || Ok(client.put(&url).header(lasts.0, lasts.1))).await?;
    let token = words(&token)?;
    let get = |url: String| {
        let (client, token) = (&client, &token);
        async move { exchange(IMDS, || Ok(client.get(&url).header("X-aws-ec2-metadata-token", token))).await }
    };
    let roles = at("/latest/meta-data/iam/security-credentials/");
    let role = words(&get(roles.clone()).await?)?;
    keys(IMDS, &get(format!("{roles}{}", role.lines().next().unwrap_or_default())).await?)
}

/// A text that is not JSON.
fn words(answer: &Answer) -> Result<String, ManagerError> {
    if !answer.is_success() {
        return Err(refusal(IMDS, answer));
    }
    let problem = "the answer is no text";
    answer.body.as_str().map(str::to_owned).ok_or(ManagerError::Unusable { what: IMDS, problem })
}

pub(crate) fn keys(what: &'static str, answer: &Answer) -> Result<Identity, ManagerError> {
    if !answer.is_success() {
        return Err(refusal(what, answer));
    }
    let names = ["AccessKeyId", "SecretAccessKey", "Token", "Expiration"];
    identity(what, names.map(|name| answer.body.get(name).and_then(Value::as_str)))
}

fn identity(what: &'static str, parts: [Option<&str>; 4]) -> Result<Identity, ManagerError> {
    let [Some(id), Some(secret), Some(session), until] = parts else {
        return Err(ManagerError::Unusable { what, problem: "the answer holds no access keys" });
    };
    Ok(Identity {
        id: id.to_owned(),
        secret: SecretString::from(secret),
        session: Some(SecretString::from(session)),
        until: until.and_then(|until| until.parse().ok()),
    })
}
