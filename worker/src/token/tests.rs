//! A scripted token endpoint.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::*;

const SECRET: &str = "s3cr3t:/+ &";

type Answer = Result<Response<Bytes>, TransportError>;

/// The `Authorization` header and the body.
type Asked = (Option<String>, String);

/// Prepared answers, and what was asked.
#[derive(Clone, Default)]
struct Endpoint {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Endpoint {
    fn of(answers: impl IntoIterator<Item = (u16, Value)>) -> Self {
        let answer = |(status, body): (u16, Value)| {
            Ok(Response::builder().status(status).body(Bytes::from(body.to_string())).unwrap())
        };
        let answers = answers.into_iter().map(answer).collect();
        Self { answers: Arc::new(Mutex::new(answers)), ..Self::default() }
    }

    fn transport(&self) -> Transport {
        let endpoint = self.clone();
        Transport::new(tower::service_fn(move |request: Request<Bytes>| {
            let endpoint = endpoint.clone();
            async move {
                let header = request.headers().get(header::AUTHORIZATION);
                let header = header.map(|value| value.to_str().unwrap().to_owned());
                let body = String::from_utf8(request.body().to_vec()).unwrap();
                endpoint.asked.lock().unwrap().push((header, body));
                let next = endpoint.answers.lock().unwrap().pop_front();
                match next {
                    Some(answer) => answer,
                    None => std::future::pending().await,
                }
            }
        }))
    }

    /// A source whose secret is in this file.
    async fn source(&self, secret: &std::path::Path) -> TokenSource {
        let terms = TokenTerms {
            url: "https://auth.test/token".into(),
            client_id: "nightly sync".into(),
            client_secret: format!("file:{}", secret.display()).parse().unwrap(),
            scope: Some("system/Patient.read system/Patient.write".into()),
            timeout: Duration::from_secs(5),
        };
        TokenSource::prepare(terms, self.transport()).await.unwrap()
    }
}

fn secret_file() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), SECRET).unwrap();
    file
}

fn token(expires_in: Value) -> Value {
    json!({ "access_token": "t0ken", "token_type": "Bearer", "expires_in": expires_in })
}

fn invalid_client() -> Value {
    json!({ "error": "invalid_client", "error_description": format!("no {SECRET}") })
}

#[tokio::test(start_paused = true)]
async fn a_token_is_fresh_until_a_margin_before_its_end() {
    let file = secret_file();
    for (expires_in, fresh_for) in [
        (json!(3600), Some(3540)),
        (json!("3599"), Some(3539)),
        (json!(5), Some(4)),
        (json!(0), Some(0)),
        (Value::Null, None),
        (json!("soon"), None),
    ] {
        let mut token =
            Endpoint::of([(200, token(expires_in))]).source(file.path()).await.fetch().await.unwrap();
        assert_eq!(token.access.expose_secret(), "t0ken");
        assert!(!format!("{token:?}").contains("t0ken"));
        let Some(fresh_for) = fresh_for else {
            tokio::time::advance(Duration::from_secs(1_000_000)).await;
            assert!(token.is_fresh(), "only a refusal ends it");
            continue;
        };
        if fresh_for > 0 {
            tokio::time::advance(Duration::from_millis(fresh_for * 1000 - 1)).await;
            assert!(token.is_fresh());
            tokio::time::advance(Duration::from_millis(2)).await;
        }
        assert!(!token.is_fresh());
        assert_eq!(token.put_off(), fresh_for > 0, "it still lasts for the margin");
    }
}

#[tokio::test]
async fn the_header_is_tried_first_then_the_form_and_what_worked_is_kept() {
    let file = secret_file();
    let endpoint = Endpoint::of([(401, invalid_client()), (200, token(json!(60))), (200, token(json!(60)))]);
    let mut source = endpoint.source(file.path()).await;
    source.fetch().await.unwrap();
    source.fetch().await.unwrap();
    let grant = "grant_type=client_credentials&scope=system%2FPatient.read+system%2FPatient.write";
    let basic = STANDARD.encode("nightly+sync:s3cr3t%3A%2F%2B+%26");
    let form = format!("{grant}&client_id=nightly+sync&client_secret=s3cr3t%3A%2F%2B+%26");
    let expected = [(Some(format!("Basic {basic}")), grant.to_owned()), (None, form.clone()), (None, form)];
    assert_eq!(*endpoint.asked.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_refused_secret_is_resolved_again_once() {
    let file = secret_file();
    let endpoint = Endpoint::of([(200, token(json!(60))), (401, invalid_client()), (200, token(json!(60)))]);
    let mut source = endpoint.source(file.path()).await;
    source.fetch().await.unwrap();
    std::fs::write(file.path(), "rotated").unwrap();
    source.fetch().await.unwrap();
    let sent = endpoint.asked.lock().unwrap().last().unwrap().0.clone();
    assert_eq!(sent, Some(format!("Basic {}", STANDARD.encode("nightly+sync:rotated"))));

    let endpoint = Endpoint::of([(401, invalid_client()), (401, invalid_client())]);
    assert_eq!(endpoint.source(file.path()).await.fetch().await.unwrap_err(), NoToken::InvalidClient);
    assert_eq!(endpoint.asked.lock().unwrap().len(), 2, "each way once, no more: the secret is the same");
}

#[tokio::test(start_paused = true)]
async fn every_failure_says_what_to_check_and_repeats_nothing_it_was_told() {
    let file = secret_file();
    let error = |code: &str| json!({ "error": code, "error_description": format!("no {SECRET}") });
    for (status, body, said) in [
        (400, error("invalid_scope"), "FHIR_SCOPE"),
        (400, error("unauthorized_client"), "unauthorized_client"),
        (400, error(SECRET), "status 400; check FHIR_TOKEN_URL"),
        (404, json!("gone"), "status 404; check FHIR_TOKEN_URL"),
        (302, json!(null), "status 302"),
        (500, error("server_error"), "answers 500"),
        (503, json!(null), "answers 503"),
        (429, error("slow_down"), "answers 429"),
        (200, json!([]), "holds no access_token"),
        (200, json!({ "access_token": "" }), "holds no access_token"),
        (200, json!({ "access_token": "x", "token_type": "mac" }), "holds no bearer token"),
    ] {
        let failure = Endpoint::of([(status, body)]).source(file.path()).await.fetch().await.unwrap_err();
        let text = format!("{failure} {failure:?}");
        assert!(text.contains(said) && !text.contains(SECRET), "{text}");
    }
    let endpoint = Endpoint::of([]);
    endpoint.answers.lock().unwrap().push_back(Ok(Response::new(Bytes::from_static(b"<html>"))));
    assert!(endpoint.source(file.path()).await.fetch().await.unwrap_err().to_string().contains("not JSON"));
    let silent = Endpoint::of([]).source(file.path()).await.fetch().await.unwrap_err();
    assert_eq!(silent, NoToken::Unavailable("did not answer in time".into()));
    for error in [TransportError::Unreachable("refused".into()), TransportError::Broken("reset".into())] {
        let endpoint = Endpoint::of([]);
        endpoint.answers.lock().unwrap().push_back(Err(error));
        let failure = endpoint.source(file.path()).await.fetch().await.unwrap_err();
        assert!(matches!(failure, NoToken::Unavailable(_)), "{failure}");
    }
}
