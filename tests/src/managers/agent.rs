//! What tells a container or a machine of AWS who it is: the agent's endpoint, and the metadata service's version 2.
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>,
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde_json::json;
use tokio::task::AbortHandle;

use super::SessionKey;

const SESSION: &str = "a-metadata-session";

/// Both on loopback; gone when dropped.
pub struct Agent {
    url: String,
    task: AbortHandle,
}

impl Agent {
    /// Gives this key: to a container that shows `token`, and to a machine that asks in two steps.
    pub async fn start(key: SessionKey, token: &'static str) -> Self {
        let keys = move |expected: &'static str, header: &'static str| {
            move |State(key): State<SessionKey>, headers: HeaderMap| async move {
                give(&key, &headers, header, expected)
            }
        };
        let roles = "/latest/meta-data/iam/security-credentials/";
        let app = Router::new()
            .route("/container", get(keys(token, "authorization")))
            .route("/latest/api/token", put(session))
            .route(roles, get(role))
            .route(&format!("{roles}a-role"), get(keys(SESSION, "x-aws-ec2-metadata-token")))
            .with_state(key);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let serve = async move { axum::serve(listener, app).await.expect("a server") };
        Self { url, task: tokio::spawn(serve).abort_handle() }
    }

    /// The machine's metadata service.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The container's endpoint.
    pub fn container(&self) -> String {
        format!("{}/container", self.url)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn give(key: &SessionKey, headers: &HeaderMap, header: &str, expected: &str) -> Response {
    if headers.get(header).is_none_or(|given| given != expected) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let [id, secret, session] = key;
    let keys = json!({
        "AccessKeyId": id, "SecretAccessKey": secret, "Token": session, "Expiration": "2999-01-01T00:00:00Z",
    });
    Json(keys).into_response()
}

async fn session(headers: HeaderMap) -> Response {
    match headers.get("x-aws-ec2-metadata-token-ttl-seconds") {
        Some(_) => SESSION.into_response(),
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn role(headers: HeaderMap) -> Response {
    match headers.get("x-aws-ec2-metadata-token") {
        Some(given) if given == SESSION => "a-role".into_response(),
        _ => StatusCode::UNAUTHORIZED.into_response(),
    }
}
