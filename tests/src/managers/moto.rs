//! moto's server (`moto[server]` on PyPI): AWS as its own client library knows it. It checks every signature.

use serde_json::{Value, json};
use tokio::process::Child;

use super::started::{client, start};

/// The region of the secrets.
pub const REGION: &str = "ap-southeast-3";

/// An access key for a while: its id, its secret, its session's token.
pub type SessionKey = [String; 3];

/// A running server; stopped when dropped.
pub struct Moto {
    url: String,
    client: reqwest::Client,
    _child: Child,
}

impl Moto {
    /// Starts one.
    ///
    /// # Panics
    /// It is not installed, or does not start.
    pub async fn start() -> Self {
        let (child, url) = start("moto_server", "/moto-api/data.json", |port, command| {
            command.args(["-H", "127.0.0.1", "-p"]).arg(port.to_string());
        })
        .await;
        Self { url, client: client(), _child: child }
    }

    /// What `AWS_ENDPOINT_URL` is to be.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A key of a user who may do everything with secrets: its id and its secret.
    pub async fn access_key(&self) -> (String, String) {
        let user = ("UserName", "nightly-sync");
        self.query("iam", &[("Action", "CreateUser"), user]).await;
        let policy = policy();
        let put = [("Action", "PutUserPolicy"), user, ("PolicyName", "secrets"), ("PolicyDocument", &policy)];
        self.query("iam", &put).await;
        let key = self.query("iam", &[("Action", "CreateAccessKey"), user]).await;
        (element(&key, "AccessKeyId"), element(&key, "SecretAccessKey"))
    }

    /// What somebody is given who assumed a role that may do the same.
    pub async fn assumed(&self) -> SessionKey {
        let role = ("RoleName", "nightly-sync");
        let trust = ("AssumeRolePolicyDocument", r#"{"Version":"2012-10-17","Statement":[]}"#);
        let made = self.query("iam", &[("Action", "CreateRole"), role, trust]).await;
        let policy = policy();
        let put = [("Action", "PutRolePolicy"), role, ("PolicyName", "secrets"), ("PolicyDocument", &policy)];
        self.query("iam", &put).await;
        let arn = element(&made, "Arn");
        let session = ("RoleSessionName", "nightly-sync");
        let key = self.query("sts", &[("Action", "AssumeRole"), ("RoleArn", &arn), session]).await;
        [element(&key, "AccessKeyId"), element(&key, "SecretAccessKey"), element(&key, "SessionToken")]
    }

    /// From here on every request has to be signed.
    pub async fn check_signatures(&self) {
        self.post("/moto-api/reset-auth", "0").await;
    }

    /// Makes a secret, or gives it another value.
    pub async fn keep(&self, name: &str, value: &str) {
        let made = self.ask("CreateSecret", json!({ "Name": name, "SecretString": value })).await;
        if made.is_err() {
            // It was there.
            let put = json!({ "SecretId": name, "SecretString": value });
            self.ask("PutSecretValue", put).await.expect("a secret can be changed");
        }
    }

    async fn ask(&self, operation: &str, body: Value) -> Result<Value, String> {
        let request = self
            .client
            .post(&self.url)
            .header("x-amz-target", format!("secretsmanager.{operation}"))
            .header("content-type", "application/x-amz-json-1.1")
            .header("authorization", credential("secretsmanager"));
        let answer = request.body(body.to_string()).send().await.expect("an answer");
        let (status, text) = (answer.status(), answer.text().await.expect("a body"));
        if status.is_success() { Ok(serde_json::from_str(&text).expect("JSON")) } else { Err(text) }
    }

    async fn query(&self, service: &str, form: &[(&str, &str)]) -> String {
        let request = self.client.post(&self.url).header("authorization", credential(service));
        let answer = request.form(form).send().await.expect("an answer");
        let (status, text) = (answer.status(), answer.text().await.expect("a body"));
        assert!(status.is_success(), "{status} {text}");
        text
    }

    async fn post(&self, path: &str, body: &'static str) {
        let answer = self.client.post(format!("{}{path}", self.url)).body(body).send().await;
        assert!(answer.expect("an answer").status().is_success(), "{path}");
    }
}

fn policy() -> String {
    let all = json!([{ "Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*" }]);
    json!({ "Version": "2012-10-17", "Statement": all }).to_string()
}

/// By which moto tells services apart; it is no signature.
fn credential(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=test/20261123/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=none"
    )
}

fn element(text: &str, name: &str) -> String {
    let (_, rest) = text.split_once(&format!("<{name}>")).expect("the element");
    rest.split_once("</").expect("its end").0.to_owned()
}
