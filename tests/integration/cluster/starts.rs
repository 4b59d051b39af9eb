//! Producers that start at once.

use std::sync::Arc;
use std::time::Duration;

use jiff::ToSpan as _;
use jiff::civil::Date;
use shared::ledger::postgres::{PostgresLedger, PostgresTerms};
use shared::ledger::{Ledger, LockAttempt};
use simulators::{Population, Sheet, SheetCell, SimulatorsConfig, Spreadsheet};
use tests::night::until;
use tests::process::{Cluster, Running, Sign};
use tests::services::PostgresServer;

const FIRST: Date = jiff::civil::date(2026, 1, 1);

/// The rule alone; that the other waits out a lease and ends with status 4 is below, and in `stopped`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_starters_in_the_same_moment_one_gets_the_lock_every_time() {
    let place = PostgresServer::get().await.place().await;
    let mut starters: Vec<Arc<dyn Ledger>> = Vec::new();
    for _ in 0..2 {
        let ledger = PostgresLedger::connect(&place.address(), PostgresTerms::default()).await;
        starters.push(Arc::new(ledger.expect("a ledger")));
    }
    let lease = Duration::from_secs(60);
    for day in FIRST.series(1.day()).take(200) {
        let date = day.to_string().parse().expect("a date");
        let start = async |at: usize| {
            let holder = format!("starter {at}");
            starters[at].lock("job", date, &holder, lease).await.expect("an answer")
        };
        let both = tokio::join!(start(0), start(1));
        let taken =
            [&both.0, &both.1].iter().filter(|attempt| matches!(attempt, LockAttempt::Taken(_))).count();
        assert_eq!(taken, 1, "{both:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: two hundred times a lease, twenty of them side by side"]
async fn of_two_producers_started_in_the_same_second_two_hundred_times_one_runs_and_one_ends_with_4() {
    let dates: Vec<String> = FIRST.series(1.day()).take(20).map(|date| date.to_string()).collect();
    let people = Population::generate(7, dates.len());
    let row = |(index, date): (usize, &String)| {
        [people.nik(index), people.name(index), people.new_mobile(index, 1), date.clone()]
            .map(SheetCell::text)
            .to_vec()
    };
    let header = simulators::HEADER.map(SheetCell::text).to_vec();
    let rows = std::iter::once(header).chain(dates.iter().enumerate().map(row)).collect();
    let spreadsheet = Spreadsheet::of(Sheet::new("Sheet1", rows));
    let world =
        SimulatorsConfig { population: Some(people.clone()), spreadsheet, ..SimulatorsConfig::default() };
    // Nobody works on the rows: who gets the lock keeps it until it is told to stop.
    let cluster = Cluster::with(world).await;
    for round in 1..=10 {
        let start = |date: &String| cluster.producer(&["--date", date]);
        let mut pairs: Vec<[Running; 2]> = dates.iter().map(|date| [start(date), start(date)]).collect();
        let refused = || {
            let ended: Vec<_> =
                pairs.iter_mut().map(|pair| pair.iter_mut().filter_map(Running::ended).collect()).collect();
            async move { ended }
        };
        let all: Vec<Vec<i32>> = until("one of each pair to end", refused, |ended: &Vec<Vec<i32>>| {
            ended.iter().all(|ended| !ended.is_empty())
        })
        .await;
        assert!(all.iter().all(|ended| *ended == [4]), "round {round}: {all:?}");
        for mut producer in pairs.into_iter().flatten() {
            if producer.ended().is_none() {
                producer.signal(Sign::Terminate);
                producer.end().await.expect(143);
            }
        }
    }
}
