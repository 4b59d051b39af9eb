//! `aws-sm://REGION/NAME#FIELD`: AWS Secrets Manager, one signed request.
//!
//! <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>. Who we are is found in
//! [`identity`].

pub(crate) mod identity;

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::exchange::{Answer, exchange};
use super::{ManagerError, SecretsTerms};
use crate::clock::Clock;
use identity::Identity;

const WHAT: &str = "AWS Secrets Manager";

/// What is kept between two questions.
#[derive(Default)]
pub(super) struct Aws {
    identity: Option<Identity>,
}

impl Aws {
    /// A secret's current version.
    pub(super) async fn read(
        &mut self,
        terms: &SecretsTerms,
        name: &str,
    ) -> Result<SecretString, ManagerError> {
        let (region, name) = name.split_once('/').unwrap_or((name, ""));
        let home = format!("https://secretsmanager.{region}.{}", domain(region));
        let url = terms.url("AWS_ENDPOINT_URL", Some(&home), false)?;
        let client = terms.client(&url, "AWS_ENDPOINT_URL")?;
        let known = self.identity.take().filter(Identity::lasts);
        let was_known = known.is_some();
        let mut identity = match known {
            Some(identity) => identity,
            None => identity::find(terms, region).await?,
        };
        let mut answer = ask(&client, &url, region, name, &identity).await?;
        if !answer.is_success() && was_known {
            // Lapsed or rotated, perhaps.
            identity = identity::find(terms, region).await?;
            answer = ask(&client, &url, region, name, &identity).await?;
        }
        let secret = secret(&answer)?;
        self.identity = Some(identity);
        Ok(secret)
    }
}

/// A secret, kept as text or as bytes that are text.
pub(crate) fn secret(answer: &Answer) -> Result<SecretString, ManagerError> {
    if !answer.is_success() {
        return Err(refusal(WHAT, answer));
    }
    let unusable = |problem| ManagerError::Unusable { what: WHAT, problem };
    if let Some(text) = answer.body["SecretString"].as_str() {
        return Ok(SecretString::from(text));
    }
    let binary =
        answer.body["SecretBinary"].as_str().ok_or_else(|| unusable("the answer holds no secret"))?;
    let text = STANDARD.decode(binary).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.map(SecretString::from).ok_or_else(|| unusable("the secret is not text"))
}

/// Where a region's services are.
fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

fn refusal(what: &'static str, answer: &Answer) -> ManagerError {
    let code = answer.body["__type"].as_str().map(|code| code.rsplit('#').next().unwrap_or(code));
    answer.refusal(what, code)
}

async fn ask(
    client: &Client,
    url: &Url,
    region: &str,
    name: &str,
    identity: &Identity,
) -> Result<Answer, ManagerError> {
    let body = json!({ "SecretId": name }).to_string();
    let headers =
        [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "secretsmanager.GetSecretValue")];
    exchange(WHAT, || {
        // Signed anew with each attempt: a signature is good for its time only.
        let signature = signature(url, region, &headers, body.as_bytes(), identity);
        let problem = "the request cannot be signed; are the access keys what AWS gave?";
        let signature = signature.ok_or(ManagerError::Unusable { what: WHAT, problem })?;
        let mut request = client.post(url.clone()).body(body.clone());
        for (name, value) in
            headers.into_iter().chain(signature.iter().map(|(name, value)| (*name, value.as_str())))
        {
            request = request.header(name, value);
        }
        Ok(request)
    })
    .await
}

/// The headers that sign a request (Signature Version 4).
fn signature(
    url: &Url,
    region: &str,
    headers: &[(&'static str, &'static str)],
    body: &[u8],
    identity: &Identity,
) -> Option<Vec<(&'static str, String)>> {
    let session = identity.session.as_ref().map(|session| session.expose_secret().to_owned());
    let credentials =
        Credentials::new(&identity.id, identity.secret.expose_secret(), session, None, "nightly-sync").into();
    let now = Duration::from_micros(Clock::system().micros().unsigned_abs());
    let params = v4::SigningParams::builder()
        .identity(&credentials)
        .region(region)
        .name("secretsmanager")
        .time(SystemTime::UNIX_EPOCH + now)
        .settings(SigningSettings::default())
        .build()
        .ok()?
        .into();
    let request =
        SignableRequest::new("POST", url.as_str(), headers.iter().copied(), SignableBody::Bytes(body))
            .ok()?;
    let (instructions, _) = sign(request, &params).ok()?.into_parts();
    let (headers, _) = instructions.into_parts();
    Some(headers.into_iter().map(|header| (header.name(), header.value().to_owned())).collect())
}
