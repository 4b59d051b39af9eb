//! What only the Postgres ledger promises: any number of processes at once, leases by the database's clock, no
//! deadlock, and going on after lost connections.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use shared::domain::{Outcome, Reason};
use shared::ledger::postgres::{PostgresLedger, PostgresTerms};
use shared::ledger::{
    Burial, Claim, ClaimRequest, Claimed, DueTerms, Intent, Ledger, LedgerError, LedgerView as _,
    LockAttempt, Record, Replay, RowKey, RunId, Settlement,
};
use tests::conformance::ledger::{JOB, LEASE, Postgres, STALE, Stage, date, nik, number, plain};
use tests::services::PostgresServer;
use tests::services::postgres::Place;
use tokio::time::{Instant, timeout};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

const ON: &str = "2026-11-23";
const NEXT: &str = "2026-11-24";
/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

async fn place() -> Place {
    PostgresServer::get().await.place().await
}

async fn stage(place: &Place) -> Stage {
    Stage::new(Postgres::at(place).await)
}

async fn ledger(place: &Place, terms: PostgresTerms) -> PostgresLedger {
    PostgresLedger::connect(&place.address(), terms).await.expect("to connect")
}

fn key(run: RunId, sheet_row: u32) -> RowKey {
    RowKey { run, sheet_row, generation: 1 }
}

fn done() -> Settlement {
    Settlement::Done { outcome: Outcome::Updated, warnings: Vec::new(), previous: None }
}

/// Waits until as many connections wait for a lock in this place.
async fn until_waiting(beside: &Client, place: &Place, count: i64) {
    let gives_up = Instant::now() + PATIENCE;
    loop {
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = $1";
        let waiting: i64 =
            beside.query_typed_one(sql, &[(&place.name, Type::TEXT)]).await.expect("an answer").get(0);
        if waiting >= count {
            return;
        }
        assert!(Instant::now() < gives_up, "{waiting} wait for a lock, not {count}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_dead_process_holds_what_it_has_until_its_leases_run_out() {
    let place = place().await;
    let before = stage(&place).await;
    let run = before.night(ON, &[(2, 1, 1)]).await;
    let fence = before.lock(ON, "first").await;
    before.take(key(run, 2), 0).await;
    assert!(before.ledger().hold_duty("steward", "first", LEASE).await.unwrap());
    drop(before);

    let after = stage(&place).await;
    let attempt = after.ledger().lock(JOB, date(ON), "second", LEASE).await.unwrap();
    assert!(matches!(attempt, LockAttempt::Held { .. }), "{attempt:?}");
    assert!(matches!(after.ask(key(run, 2), 0).await, Claim::Leased { .. }));
    assert!(!after.ledger().hold_duty("steward", "second", LEASE).await.unwrap());
    after.advance(LEASE).await;
    assert!(after.lock(ON, "second").await.epoch > fence.epoch);
    assert!(after.ledger().hold_duty("steward", "second", LEASE).await.unwrap());
    after.crash(key(run, 2), 0, 2).await;
    let fourth = after.ask(key(run, 2), 0).await;
    assert!(matches!(fourth, Claim::Suspect), "the death counted: {fourth:?}");
}

#[tokio::test]
async fn leases_run_out_by_the_databases_own_clock() {
    let stage = stage(&place().await).await;
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let lease = Duration::from_millis(400);
    let requests = [ClaimRequest { key: key(run, 2), turn: 0, alone: false }];
    let began = Instant::now();
    assert!(matches!(stage.ledger().claim(&requests, lease).await.unwrap()[0], Claim::Ours(_)));
    let mut refusals = 0;
    while let Claim::Leased { left } = &stage.ledger().claim(&requests, lease).await.unwrap()[0] {
        assert!(*left <= lease && began.elapsed() < PATIENCE);
        refusals += 1;
        tokio::time::sleep(*left / 4).await;
    }
    assert!(refusals > 1 && began.elapsed() >= lease, "{refusals} refusals in {:?}", began.elapsed());
}

/// Everything that workers, sweepers and consumers do, from three processes at once, on the same rows and NIKs, in
/// batches of any order. A deadlock would be an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_processes_on_the_same_rows_neither_deadlock_nor_share_a_nik() {
    const PEOPLE: u32 = 40;
    let place = place().await;
    let stage = stage(&place).await;
    let mut runs = Vec::new();
    for on in [ON, NEXT, NEXT] {
        // The same people in another order.
        let rows: Vec<_> = (0..PEOPLE)
            .map(|row| (row + 2, (row * 7 + runs.len() as u32 * 13) % PEOPLE, runs.len() as u32))
            .collect();
        runs.push(stage.night(on, &rows).await);
    }
    let writing: Arc<Mutex<HashSet<String>>> = Arc::default();
    let mut processes = tokio::task::JoinSet::new();
    for process in 0..3 {
        let ledger = Arc::new(ledger(&place, PostgresTerms::default()).await);
        for task in 0..3 {
            let (ledger, writing, runs) = (ledger.clone(), writing.clone(), runs.clone());
            let random = StdRng::seed_from_u64(process * 10 + task);
            processes.spawn(Box::pin(async move { disturb(&ledger, &writing, &runs, PEOPLE, random).await }));
        }
    }
    timeout(PATIENCE * 3, processes.join_all()).await.expect("nobody waits for ever");
    for run in runs {
        assert!(stage.ledger().is_settled(run).await.unwrap());
        let tally = stage.ledger().tally(run).await.unwrap();
        assert_eq!((tally.selected(), tally.open), (u64::from(PEOPLE), 0));
    }
}

async fn disturb(
    ledger: &PostgresLedger,
    writing: &Mutex<HashSet<String>>,
    runs: &[RunId],
    people: u32,
    mut random: StdRng,
) {
    let mut turns = std::collections::HashMap::new();
    loop {
        let mut keys: Vec<_> =
            runs.iter().flat_map(|run| (2..people + 2).map(|sheet_row| key(*run, sheet_row))).collect();
        keys.shuffle(&mut random);
        keys.truncate(random.random_range(10..60));
        let request = |key: &RowKey| ClaimRequest {
            key: *key,
            turn: *turns.get(key).unwrap_or(&u32::MAX),
            alone: false,
        };
        let claims =
            ledger.claim(&keys.iter().map(request).collect::<Vec<_>>(), LEASE).await.expect("to claim");
        let ours: Vec<Box<Claimed>> = claims
            .into_iter()
            .filter_map(|claim| if let Claim::Ours(row) = claim { Some(row) } else { None })
            .collect();
        for row in &ours {
            assert!(
                writing.lock().expect("nobody panicked").insert(row.nik.to_string()),
                "two write one NIK"
            );
        }
        let intent = |row: &Claimed| Intent {
            key: row.key,
            epoch: row.epoch,
            patient: "sealed".into(),
            version: "1".into(),
            sealed_before: vec![1],
        };
        let intents: Vec<_> = ours.iter().map(|row| intent(row)).collect();
        let intended = ledger.record_intents(&intents).await.expect("to intend");
        assert!(intended.iter().all(|intended| *intended));
        for row in &ours {
            writing.lock().expect("nobody panicked").remove(row.nik.as_str());
        }
        let mut records: Vec<_> = ours
            .iter()
            .map(|row| {
                let settlement = match random.random_range(0..4) {
                    0 => done(),
                    1 => Settlement::Failed { reason: Reason::PatientGone, error: "HTTP 410".into() },
                    2 => Settlement::Returned,
                    _ => Settlement::Retry { after: Duration::ZERO, counted: true, error: "HTTP 503".into() },
                };
                Record { requests: 1, ..plain(row, settlement) }
            })
            .collect();
        records.shuffle(&mut random);
        let recorded = ledger.record(&records).await.expect("to record");
        assert!(recorded.iter().all(|recorded| *recorded != shared::ledger::Recorded::Refused));
        for (record, recorded) in records.iter().zip(recorded) {
            if let shared::ledger::Recorded::Yes { turn } = recorded {
                turns.insert(record.key, turn);
            }
        }
        keys.shuffle(&mut random);
        let burials: Vec<_> = keys.iter().map(|key| Burial { key: *key, deaths: None }).collect();
        ledger.bury(&burials).await.expect("to bury");
        let terms = DueTerms {
            run: None,
            job: None,
            kind: None,
            limit: 40,
            queue_idle: true,
            retake_after: Duration::ZERO,
        };
        for due in ledger.take_due(terms).await.expect("to sweep") {
            turns.insert(due.key, due.turn);
        }
        keys.shuffle(&mut random);
        ledger.note_published(&keys, STALE).await.expect("to note what was published");
        let mut settled = 0;
        for run in runs {
            settled += usize::from(ledger.is_settled(*run).await.expect("an answer"));
        }
        if settled == runs.len() {
            return;
        }
    }
}

#[tokio::test]
async fn a_lost_connection_costs_one_answer_at_most() {
    let place = place().await;
    let stage = stage(&place).await;
    let beside = place.client().await;
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    for _ in 0..3 {
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE application_name = $1 AND pid <> pg_backend_pid()";
        beside.query_typed_one(sql, &[(&place.name, Type::TEXT)]).await.expect("to kill connections");
        let mut failures = 0;
        // Whoever asks again is answered.
        while let Err(error) = stage.ledger().progress(run).await {
            assert!(matches!(error, LedgerError::Database { .. }), "{error}");
            failures += 1;
            assert!(failures <= 9, "no connection of the pool is replaced: {error}");
        }
    }
    stage.finish(run, 2, Outcome::Updated).await;
}

#[tokio::test]
async fn a_statement_that_takes_too_long_fails_and_leaves_nothing() {
    let place = place().await;
    let stage = stage(&place).await;
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let terms = PostgresTerms { statement_timeout: Duration::from_millis(300), ..PostgresTerms::default() };
    let hasty = ledger(&place, terms).await;
    let blocker = place.client().await;
    blocker.batch_execute("BEGIN; SELECT FROM row FOR UPDATE").await.unwrap();
    let began = Instant::now();
    let requests = [ClaimRequest { key: key(run, 2), turn: 0, alone: false }];
    let refused = hasty.claim(&requests, LEASE).await;
    assert!(matches!(refused, Err(LedgerError::Database { doing: "claim rows", .. })), "{refused:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    blocker.batch_execute("COMMIT").await.unwrap();
    assert!(matches!(hasty.claim(&requests, LEASE).await.unwrap()[0], Claim::Ours(_)));
}

#[tokio::test]
async fn a_verb_that_is_given_up_leaves_nothing() {
    let place = place().await;
    let stage = stage(&place).await;
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    let held = stage.take(key(run, 3), 0).await;
    let blocker = place.client().await;
    // The row can be locked, the lease of its neighbour's NIK not: a transaction stands open when it is given up.
    blocker.batch_execute("BEGIN; SELECT FROM nik_lease FOR UPDATE").await.unwrap();
    let records = [plain(&held, done()), Record { key: key(run, 2), epoch: 0, ..plain(&held, done()) }];
    let given_up = timeout(Duration::from_millis(300), stage.ledger().record(&records)).await;
    assert!(given_up.is_err(), "it waits for the lease");
    blocker.batch_execute("COMMIT").await.unwrap();
    // Nobody is left who holds row 2.
    timeout(PATIENCE, stage.take(key(run, 2), 0)).await.expect("the row is free");
}

#[tokio::test]
async fn renewals_wait_for_no_other_verb() {
    let place = place().await;
    let stage = stage(&place).await;
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let narrow = Arc::new(ledger(&place, PostgresTerms { connections: 1, ..PostgresTerms::default() }).await);
    let LockAttempt::Taken(fence) = narrow.lock(JOB, date(ON), "first", LEASE).await.unwrap() else {
        panic!("somebody else has it")
    };
    let blocker = place.client().await;
    blocker.batch_execute("BEGIN; SELECT FROM row FOR UPDATE").await.unwrap();
    let waiting = tokio::spawn({
        let narrow = narrow.clone();
        async move { narrow.claim(&[ClaimRequest { key: key(run, 2), turn: 0, alone: false }], LEASE).await }
    });
    until_waiting(&place.client().await, &place, 1).await;
    assert!(
        timeout(Duration::from_secs(5), narrow.renew_lock(&fence, LEASE)).await.expect("at once").unwrap()
    );
    blocker.batch_execute("COMMIT").await.unwrap();
    assert!(matches!(waiting.await.unwrap().unwrap()[0], Claim::Ours(_)));
}

#[tokio::test]
async fn a_take_over_waits_for_what_its_predecessor_is_writing() {
    let place = place().await;
    let stage = Arc::new(stage(&place).await);
    let first = stage.lock(ON, "first").await;
    // A long write of the first holder's, as far as its fence.
    let writing = place.client().await;
    writing.batch_execute("BEGIN; SELECT FROM run_lock FOR KEY SHARE").await.unwrap();
    assert!(
        stage.ledger().renew_lock(&first, LEASE).await.unwrap(),
        "it does not keep its own renewals waiting"
    );
    let attempt = stage.ledger().lock(JOB, date(ON), "second", LEASE).await.unwrap();
    assert!(matches!(attempt, LockAttempt::Held { .. }), "nor a starter who only has to hear of it");
    stage.advance(LEASE).await;
    let takes_over = tokio::spawn({
        let ledger = stage.ledger().clone();
        async move { ledger.lock(JOB, date(ON), "second", LEASE).await }
    });
    until_waiting(&place.client().await, &place, 1).await;
    assert!(!takes_over.is_finished());
    writing.batch_execute("COMMIT").await.unwrap();
    assert!(
        matches!(takes_over.await.unwrap().unwrap(), LockAttempt::Taken(second) if second.epoch > first.epoch)
    );
}

#[tokio::test]
async fn processes_that_start_together_make_the_tables_once() {
    let place = place().await;
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let address = place.address();
        starting.spawn(async move {
            PostgresLedger::connect(&address, PostgresTerms::default()).await.map(|_| ())
        });
    }
    for started in starting.join_all().await {
        started.expect("one makes the tables, the others find them");
    }
}

#[tokio::test]
async fn a_role_that_may_create_nothing_can_act_once_the_tables_are_there() {
    let place = place().await;
    let stage = stage(&place).await;
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let beside = place.client().await;
    let role = format!("worker_{}", place.name);
    let schema: String = beside.query_typed_one("SELECT current_schema()::text", &[]).await.unwrap().get(0);
    beside
        .batch_execute(&format!(
            "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role};
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}"
        ))
        .await
        .unwrap();
    let uri = place.uri.replacen("//tests@", &format!("//{role}@"), 1);
    let restricted = Place { uri, name: place.name.clone() };
    let worker = ledger(&restricted, PostgresTerms::default()).await;
    let claims =
        worker.claim(&[ClaimRequest { key: key(run, 2), turn: 0, alone: false }], LEASE).await.unwrap();
    let Claim::Ours(row) = &claims[0] else { panic!("{claims:?}") };
    worker.record(&[plain(row, done())]).await.unwrap();
    assert_eq!(stage.outcome(run, 2).await, Some(Outcome::Updated));
    beside.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
}

#[tokio::test]
async fn no_server_is_an_error_in_time() {
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nowhere.local_addr().unwrap().port();
    let uri = format!("postgres://tests:secret@127.0.0.1:{port}/nowhere");
    let place = Place { uri, name: String::new() };
    let terms = PostgresTerms { connect_timeout: Duration::from_millis(500), ..PostgresTerms::default() };
    // Somebody listens, and says nothing.
    let began = Instant::now();
    let Err(error) = PostgresLedger::connect(&place.address(), terms).await else {
        panic!("there is no server")
    };
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let said = shared::error_chain(&error);
    assert!(matches!(error, LedgerError::Database { .. }) && !said.contains("secret"), "{said}");
    drop(nowhere);
    assert!(PostgresLedger::connect(&place.address(), terms).await.is_err(), "nobody listens");
}

/// Every file below a folder, as text as far as it is any.
fn texts_below(folder: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                // A file may go away while we look: the server is at work.
                texts.push(String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned());
            }
        }
    }
    texts
}

#[tokio::test]
async fn the_servers_files_hold_no_personal_data_in_clear() {
    let server = PostgresServer::get().await;
    let Some(folder) = server.folder() else { return };
    let place = server.place().await;
    let stage = stage(&place).await;
    let rows = [(2, 711, 811), (3, 712, 812), (4, 713, 813), (5, 714, 814), (6, 714, 815)];
    let run = stage.night(ON, &rows).await;
    let claimed = stage.take(key(run, 2), 0).await;
    stage.intend(&claimed, "patient-1", "1").await;
    stage.finish(run, 3, Outcome::Updated).await;
    stage.kill(key(run, 4), Reason::RejectedByServer).await;
    stage.ledger().replay(Replay { niks: vec![stage.nik_hash(713)], ..Replay::default() }).await.unwrap();
    // A statement that fails is logged by the server.
    stage.ledger().record(&[plain(&claimed, done())]).await.unwrap();
    place.client().await.batch_execute("CHECKPOINT").await.unwrap();
    let mut texts = texts_below(&folder.join("data"));
    texts.push(std::fs::read_to_string(folder.join("server.log")).unwrap());
    let hold = |part: &str| texts.iter().any(|text| text.contains(part));
    assert!(hold(stage.nik_hash(711).as_str()), "the hash is there, so these are the right files");
    for who in 711..=714 {
        assert!(!hold(nik(who).expose()), "a NIK in clear");
    }
    for which in 811..=815 {
        assert!(!hold(&number(which).expose()[3..]), "a number in clear");
    }
}
