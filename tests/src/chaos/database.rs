//! What happens to Postgres, and to the way there.

use std::time::Duration;

use rand::Rng as _;
use simulators::FaultPlan;

use super::stage::Stage;
use crate::oracle::Writes;
use crate::services::Flow;

/// `kill -9` while commits are carried out and their answers do not arrive: nobody can tell whether they were.
pub(super) async fn killed(stage: &mut Stage) {
    stage.through_relays().await;
    stage.slow_fhir(60.0, FaultPlan::default());
    stage.start(2);
    for round in 0..3 {
        stage.until_eighths(round * 2).await;
        stage.hold_up_to(100).await;
        stage.network().postgres.flow(Flow::Unanswered);
        stage.hold_up_to(200).await;
        stage.servers.postgres.as_ref().expect("a Postgres of its own").kill().await;
        stage.network().postgres.flow(Flow::Passes);
    }
}

/// Bytes go nowhere, handshakes included, for longer than any lease.
pub(super) async fn black_hole(stage: &mut Stage) {
    stage.through_relays().await;
    stage.start(2);
    let eighths = stage.dice.random_range(0..5);
    stage.until_eighths(eighths).await;
    stage.network().postgres.flow(Flow::Swallowed);
    stage.hold(Duration::from_secs(8)).await;
    stage.network().postgres.flow(Flow::Passes);
}

/// The database is put back to an earlier moment of the night: what was written since is in FHIR and not in the
/// ledger. Those rows are compared with FHIR again, found there, and end as `unchanged`.
pub(super) async fn restored(stage: &mut Stage) {
    stage.writes = Writes::LostTail;
    stage.slow_fhir(60.0, FaultPlan::default());
    stage.start(2);
    let eighths = stage.dice.random_range(1..4);
    stage.until_eighths(eighths).await;
    let name = stage.places.name.clone();
    let of_all = stage.servers.maintenance().await;
    let run = async |sql: String| {
        of_all.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    };
    let shut = async |name: &str| {
        run(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await;
        run(format!("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"))
            .await;
    };
    shut(&name).await;
    run(format!("CREATE DATABASE {name}_backup TEMPLATE {name}")).await;
    run(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).await;
    let later = stage.dice.random_range(5..8);
    stage.until_eighths(later).await;
    shut(&name).await;
    run(format!("DROP DATABASE {name} WITH (FORCE)")).await;
    run(format!("ALTER DATABASE {name}_backup RENAME TO {name}")).await;
    run(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).await;
}
