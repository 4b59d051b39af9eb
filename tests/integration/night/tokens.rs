//! Access tokens of OAuth2 client credentials.

use std::time::Duration;

use producer::Halt;
use shared::domain::Outcome;
use shared::status::Status;
use simulators::{
    ClientAuth, FaultPlan, FhirOptions, Latency, OAuthClient, Operation, PatientFault, Rate, StatusFault,
};
use tests::night::{DATE, Log, Scene, until, whole};

const SECRET: &str = "first-client-secret";

fn client(secret: &str) -> [OAuthClient; 1] {
    [OAuthClient { id: "nightly-sync".into(), secret: secret.into() }]
}

/// So many people behind a token endpoint, each with a row.
async fn scene(people: usize, options: FhirOptions) -> Scene {
    let mut scene = Scene::people_of(people, options).await;
    scene.type_everybody(0..people, 0);
    scene.simulators.fhir().set_clients(client(SECRET));
    let secret = scene.write_secret("client-secret", SECRET);
    scene.set("FHIR_AUTH", "api-key,oauth2");
    scene.set("FHIR_TOKEN_URL", scene.simulators.fhir_token_url());
    scene.set("FHIR_CLIENT_ID", "nightly-sync");
    scene.set("FHIR_CLIENT_SECRET", format!("file:{}", secret.display()));
    scene.set("FHIR_SCOPE", "system/Patient.read system/Patient.write");
    scene
}

fn lasting(lifetime: Duration) -> FhirOptions {
    FhirOptions { token_lifetime: lifetime, ..FhirOptions::default() }
}

fn answers(scene: &Scene, operation: &str, status: &str) -> u64 {
    let requests = scene.simulators.snapshot().requests;
    requests.get(operation).and_then(|statuses| statuses.get(status)).copied().unwrap_or(0)
}

async fn everybody_was_updated_at_once(scene: &Scene) {
    let endings = scene.endings().await;
    assert!(endings.iter().all(|ending| (ending.outcome, ending.attempts) == (Outcome::Updated, 1)));
    scene.check().await;
}

#[tokio::test]
async fn many_rows_share_one_token() {
    for client_auth in [ClientAuth::Basic, ClientAuth::Post] {
        let log = Log::keep();
        let mut scene = scene(200, FhirOptions { client_auth, ..FhirOptions::default() }).await;
        scene.workers = 1;
        scene.set("FHIR_MAX_CONCURRENCY", "64");
        let slow = [(Operation::Token, Latency::fixed(50.0))];
        let faults = FaultPlan { latency_by_operation: slow.into(), ..FaultPlan::default() };
        scene.simulators.set_faults(faults);
        scene.night().await;
        assert_eq!((answers(&scene, "token", "200"), answers(&scene, "search", "401")), (1, 0));
        everybody_was_updated_at_once(&scene).await;
        let said = log.text();
        assert!(!said.contains(SECRET) && !said.contains("simulated-access-token"), "{said}");
    }
}

#[tokio::test]
async fn a_token_that_expires_in_the_middle_of_the_night_is_replaced_before_it_does() {
    let scene = scene(150, lasting(Duration::from_secs(1))).await;
    scene.simulators.set_faults(FaultPlan { latency: Latency::fixed(3.0), ..FaultPlan::default() });
    let mut process = scene.open().await;
    // Held over the end of the first token, so that however fast this machine is, the night needs another.
    let hold = process.hold(tests::night::Point::Intended);
    let order = whole();
    let expiry = async {
        hold.reached().await;
        let first = std::time::Instant::now();
        until("the first token's end", async || first.elapsed(), |age| *age > Duration::from_millis(1100))
            .await;
        hold.release();
    };
    let (ended, ()) = Box::pin(async { tokio::join!(process.night(DATE, &order), expiry) }).await;
    assert_eq!(ended.expect("a night").status(), Status::Done);
    drop(process);
    assert!(answers(&scene, "token", "200") >= 2);
    let refused = ["search", "read", "write"].map(|operation| answers(&scene, operation, "401"));
    assert_eq!(refused, [0; 3], "no request met the token's end");
    everybody_was_updated_at_once(&scene).await;
}

#[tokio::test]
async fn a_token_taken_back_costs_one_more() {
    let scene = scene(150, FhirOptions::default()).await;
    scene.simulators.set_faults(FaultPlan { latency: Latency::fixed(5.0), ..FaultPlan::default() });
    let process = scene.open().await;
    let order = whole();
    let revocation = async {
        process.until_done(30).await;
        scene.simulators.fhir().revoke_tokens();
    };
    let (ended, ()) = Box::pin(async { tokio::join!(process.night(DATE, &order), revocation) }).await;
    assert_eq!(ended.expect("a night").status(), Status::Done);
    drop(process);
    assert_eq!(answers(&scene, "token", "200"), 2, "one for all that were refused");
    everybody_was_updated_at_once(&scene).await;
}

#[tokio::test]
async fn a_rotated_client_secret_is_resolved_again() {
    let scene = scene(150, FhirOptions::default()).await;
    scene.simulators.set_faults(FaultPlan { latency: Latency::fixed(5.0), ..FaultPlan::default() });
    let process = scene.open().await;
    let order = whole();
    let rotation = async {
        process.until_done(30).await;
        scene.write_secret("client-secret", "second-client-secret\n");
        scene.simulators.fhir().set_clients(client("second-client-secret"));
        scene.simulators.fhir().revoke_tokens();
    };
    let (ended, ()) = Box::pin(async { tokio::join!(process.night(DATE, &order), rotation) }).await;
    assert_eq!(ended.expect("a night").status(), Status::Done);
    drop(process);
    assert_eq!((answers(&scene, "token", "401"), answers(&scene, "token", "200")), (1, 2));
    everybody_was_updated_at_once(&scene).await;
}

#[tokio::test]
async fn a_refused_client_stops_the_night_without_dead_letters_and_a_good_one_carries_it_on() {
    let mut scene = scene(40, FhirOptions::default()).await;
    scene.set("RUN_DEADLINE", "600ms");
    scene.simulators.fhir().set_clients(client("another"));
    let stopped = scene.night().await;
    let Some(Halt::Stopped(reason)) = &stopped.halt else { panic!("stopped, not {:?}", stopped.halt) };
    assert!(reason.contains("FHIR_CLIENT_ID") && reason.contains("invalid_client"), "{reason}");
    assert!(!reason.contains(SECRET), "{reason}");
    assert_eq!(stopped.reports[0].outcomes["dead_lettered"], 0);
    assert_eq!(answers(&scene, "search", "401"), 0, "nothing is asked without a token");
    scene.write_secret("client-secret", "another");
    scene.set("RUN_DEADLINE", "30m");
    scene.night().await;
    everybody_was_updated_at_once(&scene).await;
}

#[tokio::test]
async fn a_token_endpoint_that_fails_pauses_the_night_until_it_is_well() {
    let scene = scene(60, FhirOptions::default()).await;
    let failing = StatusFault {
        status: 503,
        rate: 1.0,
        operations: Some(vec![Operation::Token]),
        retry_after: None,
        body: None,
    };
    scene.simulators.set_faults(FaultPlan { statuses: vec![failing], ..FaultPlan::default() });
    let process = scene.open().await;
    let order = whole();
    let recovery = async {
        until("three refusals", async || answers(&scene, "token", "503"), |times| *times >= 3).await;
        let gate = process.ledger().gate().await.expect("an answer").expect("a shut gate");
        assert!(
            gate.gate.reason.contains("FHIR_TOKEN_URL") && gate.gate.reason.contains("503"),
            "{}",
            gate.gate.reason
        );
        let cut = Rate::of_operations(0.5, [Operation::Token]);
        scene.simulators.set_faults(FaultPlan { reset: cut, ..FaultPlan::default() });
    };
    let (ended, ()) = Box::pin(async { tokio::join!(process.night(DATE, &order), recovery) }).await;
    assert_eq!(ended.expect("a night").status(), Status::Done);
    drop(process);
    everybody_was_updated_at_once(&scene).await;
}

#[tokio::test]
async fn tokens_that_the_server_keeps_refusing_pause_the_night_and_are_not_asked_for_without_end() {
    let mut scene = scene(40, FhirOptions::default()).await;
    scene.set("RUN_DEADLINE", "1s");
    let nik = scene.population.nik(0);
    let refused = PatientFault { status: Some(401), ..PatientFault::default() };
    scene.simulators.set_faults(FaultPlan { patients: [(nik, refused)].into(), ..FaultPlan::default() });
    let stopped = scene.night().await;
    let Some(Halt::Stopped(reason)) = &stopped.halt else { panic!("stopped, not {:?}", stopped.halt) };
    assert!(reason.contains("FHIR_API_KEY, FHIR_CLIENT_ID"), "{reason}");
    // The canary is let in each time, so the night goes on and is refused again; each time one token.
    let (tokens, refusals) = (answers(&scene, "token", "200"), answers(&scene, "search", "401"));
    assert!(tokens <= refusals + 1, "{tokens} tokens for {refusals} refusals");
    scene.set("RUN_DEADLINE", "30m");
    scene.simulators.set_faults(FaultPlan::default());
    scene.night().await;
    scene.check().await;
}
