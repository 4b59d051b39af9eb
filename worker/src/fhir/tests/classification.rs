//! Every status and body in its class.

use super::*;

/// The class of an answer to each of search, read and update, by name.
async fn classes(make: impl Fn() -> Response<Bytes>) -> [String; 3] {
    let name = |failure: Option<Failure>| match failure {
        None => "ok".to_owned(),
        Some(Failure::Throttled { retry_after, .. }) => {
            format!("throttled {}", retry_after.map_or(-1, |it| it.as_secs() as i64))
        }
        Some(Failure::Transient { kind, .. }) => format!("{kind:?}").to_lowercase(),
        Some(Failure::Unauthorized { .. }) => "unauthorized".to_owned(),
        Some(Failure::Forbidden { .. }) => "forbidden".to_owned(),
        Some(Failure::Conflict { .. }) => "conflict".to_owned(),
        Some(Failure::Gone { .. }) => "gone".to_owned(),
        Some(Failure::TooLarge(_)) => "too large".to_owned(),
        Some(Failure::Rejected { .. }) => "rejected".to_owned(),
    };
    let id = PatientId::new("p1").unwrap();
    [
        name(Script::of([make()]).client().search(&nik()).await.found.err()),
        name(Script::of([make()]).client().read(&id, &nik()).await.err()),
        name(Script::of([make()]).client().update(&a_change()).await.err()),
    ]
}

#[tokio::test]
async fn a_status_decides_before_its_body() {
    for (status, search, read, update) in [
        (301, "rejected", "rejected", "rejected"),
        (400, "rejected", "rejected", "rejected"),
        (401, "unauthorized", "unauthorized", "unauthorized"),
        (403, "forbidden", "forbidden", "forbidden"),
        (404, "rejected", "gone", "gone"),
        (405, "rejected", "rejected", "rejected"),
        (407, "unreachable", "unreachable", "unreachable"),
        (408, "server(408)", "server(408)", "server(408)"),
        (409, "rejected", "rejected", "conflict"),
        (410, "rejected", "gone", "gone"),
        (412, "rejected", "rejected", "conflict"),
        (413, "rejected", "rejected", "rejected"),
        (422, "rejected", "rejected", "rejected"),
        (425, "server(425)", "server(425)", "server(425)"),
        (429, "throttled -1", "throttled -1", "throttled -1"),
        (500, "server(500)", "server(500)", "server(500)"),
        (502, "server(502)", "server(502)", "server(502)"),
        (503, "server(503)", "server(503)", "server(503)"),
        (504, "server(504)", "server(504)", "server(504)"),
        (202, "broken", "broken", "broken"),
    ] {
        for body in ["", "no", "{}", r#"{"resourceType":"OperationOutcome","issue":[]}"#, "<html>"] {
            assert_eq!(classes(|| reply(status, body)).await, [search, read, update], "{status} {body}");
        }
    }
}

#[tokio::test]
async fn retry_after_makes_a_503_a_request_to_slow_down() {
    for status in [429, 503] {
        let asked = |value: &'static str| {
            move || {
                let mut reply = reply(status, "");
                reply.headers_mut().insert("date", "Mon, 23 Nov 2026 17:00:00 GMT".parse().unwrap());
                reply.headers_mut().insert("retry-after", value.parse().unwrap());
                reply
            }
        };
        for (value, seconds) in [("3", 3), ("3600", 300), ("Mon, 23 Nov 2026 17:00:09 GMT", 9), ("later", -1)]
        {
            assert_eq!(
                classes(asked(value)).await,
                [const { "" }; 3].map(|_| format!("throttled {seconds}"))
            );
        }
    }
}

#[tokio::test]
async fn a_success_is_only_one_with_the_right_body() {
    let outcome = |severity: &str, code: &str| {
        json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": severity, "code": code }] })
            .to_string()
    };
    let found = bundle(&[patient_json("p1")]).to_string();
    let patient = patient_json("p1").to_string();
    let with_outcome = |severity: &str| {
        let outcome: Value = serde_json::from_str(&outcome(severity, "invalid")).unwrap();
        json!({ "resourceType": "Bundle", "entry": [{ "resource": outcome, "search": { "mode": "outcome" } }] })
            .to_string()
    };
    for (body, search, read, update) in [
        ("".to_owned(), "broken", "broken", "ok"),
        (" \r\n".to_owned(), "broken", "broken", "ok"),
        (format!("\u{feff}{patient}"), "rejected", "ok", "ok"),
        (patient.clone(), "rejected", "ok", "ok"),
        (patient[..40].to_owned(), "broken", "broken", "broken"),
        (found.clone(), "ok", "rejected", "broken"),
        (found[..found.len() - 1].to_owned(), "broken", "broken", "broken"),
        ("<html>please log in</html>".to_owned(), "broken", "broken", "broken"),
        ("{}".to_owned(), "rejected", "rejected", "broken"),
        ("[]".to_owned(), "rejected", "rejected", "broken"),
        ("null".to_owned(), "rejected", "rejected", "broken"),
        (r#"[{"ruleNumber":"10","message":"no"}]"#.to_owned(), "rejected", "rejected", "rejected"),
        (r#"{"error":"no"}"#.to_owned(), "rejected", "rejected", "rejected"),
        (outcome("error", "processing"), "rejected", "rejected", "rejected"),
        (outcome("fatal", "exception"), "rejected", "rejected", "rejected"),
        (outcome("error", "throttled"), "throttled -1", "throttled -1", "throttled -1"),
        (outcome("error", "lock-error"), "server(200)", "server(200)", "server(200)"),
        (outcome("information", "informational"), "rejected", "rejected", "ok"),
        (with_outcome("error"), "rejected", "rejected", "broken"),
        (with_outcome("warning"), "ok", "rejected", "broken"),
    ] {
        assert_eq!(classes(|| reply(200, body.clone())).await, [search, read, update], "{body}");
    }
    assert_eq!(classes(|| reply(204, "")).await, ["broken", "broken", "ok"]);
    assert_eq!(classes(|| reply(201, patient.clone())).await, ["rejected", "ok", "ok"]);
}

#[tokio::test]
async fn a_failed_connection_is_told_from_a_lost_answer() {
    let lost = || std::io::Error::other("reset");
    for (error, kind, in_doubt) in [
        (TransportError::Unreachable(lost().into()), Transient::Unreachable, false),
        (TransportError::Timeout, Transient::Timeout, true),
        (TransportError::Broken(lost().into()), Transient::Broken, true),
        (TransportError::TooLarge, Transient::Broken, true),
    ] {
        let failure = Script::failing(error).client().update(&a_change()).await.unwrap_err();
        assert!(matches!(failure, Failure::Transient { kind: found, .. } if found == kind), "{failure:?}");
        assert_eq!(failure.leaves_write_in_doubt(), in_doubt);
    }
    for (status, in_doubt) in
        [(500, true), (504, true), (429, false), (412, false), (422, false), (401, false)]
    {
        let failure = Script::of([reply(status, "")]).client().update(&a_change()).await.unwrap_err();
        assert_eq!(failure.leaves_write_in_doubt(), in_doubt, "{status}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_final_for_a_question_and_leaves_a_write_in_doubt() {
    // A second of an ordinary Bundle's size would be made of these.
    let deep = format!("{{\"resourceType\":\"Bundle\",\"entry\":[{}[]]}}", "[],".repeat(MAX_VALUES));
    assert!(deep.len() < MAX_BODY);
    for (answer, limit) in
        [(Err(TransportError::TooLarge), TooLarge::Bytes), (Ok(reply(200, deep.clone())), TooLarge::Values)]
    {
        let script = Script { answers: Arc::new(Mutex::new([answer].into())), ..Script::default() };
        let failure = script.client().search(&nik()).await.found.unwrap_err();
        assert!(matches!(failure, Failure::TooLarge(found) if found == limit), "{failure:?}");
        assert!(!failure.leaves_write_in_doubt());
    }
    let failure = Script::of([reply(200, deep)]).client().update(&a_change()).await.unwrap_err();
    assert!(failure.leaves_write_in_doubt(), "{failure:?}");
    assert!(everything_said(&failure).contains("more than 500000 values"), "{failure:?}");
}

#[tokio::test]
async fn an_answer_nested_too_deeply_cannot_be_read() {
    let deep =
        format!("{{\"resourceType\":\"Bundle\",\"entry\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let failure = Script::of([reply(200, deep.clone())]).client().search(&nik()).await.found.unwrap_err();
    assert!(matches!(failure, Failure::Transient { kind: Transient::Broken, .. }), "{failure:?}");
    let failure = Script::of([reply(422, deep)]).client().search(&nik()).await.found.unwrap_err();
    assert!(matches!(failure, Failure::Rejected { status: 422, .. }), "{failure:?}");
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_never_answers_is_bounded() {
    let silent = Transport::new(tower::service_fn(|_| std::future::pending()));
    let client = FhirClient::new(&config("http://fhir.test"), silent, Clock::system()).unwrap();
    let started = tokio::time::Instant::now();
    let failure = client.search(&nik()).await.found.unwrap_err();
    assert!(matches!(failure, Failure::Transient { kind: Transient::Timeout, .. }));
    assert_eq!(started.elapsed(), Duration::from_secs(5));
}

#[tokio::test]
async fn an_errors_text_is_the_servers_without_its_secrets() {
    let body = json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": "error", "code": "value",
        "diagnostics": format!("{NUMBER} for {} with key-one is\u{1b}[31m wrong", nik().expose()) }] });
    let failure = Script::of([json_reply(422, &body)]).client().update(&a_change()).await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "the FHIR server refuses the request (status 422): value: +*** for *** with *** is [31m wrong"
    );
    let failure = Script::of([reply(403, "")]).client().update(&a_change()).await.unwrap_err();
    assert_eq!(failure.to_string(), "the FHIR server does not allow this (status 403)");
}
