//! As much of a Kubernetes cluster as Vault asks about a pod's token: the TokenReview API.
//!
//! <https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/>

use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::task::AbortHandle;

/// The pod's namespace and service account.
pub const POD: (&str, &str) = ("nightly", "nightly-sync");

const UID: &str = "7a1f5c8e-0000-4000-8000-000000000001";

/// A cluster that vouches for [`POD`]; gone when dropped.
pub struct Kubernetes {
    url: String,
    task: AbortHandle,
}

impl Kubernetes {
    /// Starts one.
    pub async fn start() -> Self {
        let app = Router::new().route("/apis/authentication.k8s.io/v1/tokenreviews", post(review));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let serve = async move { axum::serve(listener, app).await.expect("a server") };
        Self { url, task: tokio::spawn(serve).abort_handle() }
    }

    /// The API server's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A token as a pod finds it; only the cluster can tell whether the signature is right.
    pub fn token(signature: &str) -> String {
        let (namespace, account) = POD;
        let claims = json!({
            "iss": "https://kubernetes.default.svc.cluster.local", "aud": ["https://kubernetes.default.svc"],
            "iat": 1_700_000_000, "exp": 4_000_000_000_u64, "nbf": 1_700_000_000,
            "sub": format!("system:serviceaccount:{namespace}:{account}"),
            "kubernetes.io": {
                "namespace": namespace, "serviceaccount": { "name": account, "uid": UID },
            },
        });
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signature = URL_SAFE_NO_PAD.encode(signature);
        format!("{}.{}.{signature}", part(json!({ "alg": "RS256", "typ": "JWT" })), part(claims))
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn review(Json(asked): Json<Value>) -> Json<Value> {
    let (namespace, account) = POD;
    let is_right = asked["spec"]["token"].as_str() == Some(&Kubernetes::token("right"));
    let status = if is_right {
        let username = format!("system:serviceaccount:{namespace}:{account}");
        let groups = [
            "system:serviceaccounts",
            &format!("system:serviceaccounts:{namespace}"),
            "system:authenticated",
        ];
        json!({ "authenticated": true, "audiences": asked["spec"]["audiences"], "user": { "username": username, "uid": UID, "groups": groups } })
    } else {
        json!({ "authenticated": false, "error": "the signature is wrong" })
    };
    Json(json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": asked["spec"], "status": status,
    }))
}
