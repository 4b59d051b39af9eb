//! Newest wins, whichever arrives first, also when the older one comes back from the dead letters.

use serde_json::json;
use simulators::{
    FaultPlan, Operation, Population, Sheet, SheetCell, SimulatorsConfig, Spreadsheet, StatusFault,
};
use tests::process::Cluster;

const OLDER: &str = "2026-11-22";
const NEWER: &str = "2026-11-23";
const PEOPLE: usize = 6;

/// A sheet in which everybody changed their number on two days.
fn world(people: &Population) -> SimulatorsConfig {
    let row = |person: usize, which: u64, date: &str| {
        [people.nik(person), people.name(person), people.new_mobile(person, which), date.to_owned()]
            .map(SheetCell::text)
            .to_vec()
    };
    let header = simulators::HEADER.map(SheetCell::text).to_vec();
    let days = [(1, OLDER), (2, NEWER)];
    let rows = days.iter().flat_map(|(which, date)| (0..PEOPLE).map(move |person| row(person, *which, date)));
    let spreadsheet = Spreadsheet::of(Sheet::new("Sheet1", std::iter::once(header).chain(rows).collect()));
    SimulatorsConfig { population: Some(people.clone()), spreadsheet, ..SimulatorsConfig::default() }
}

fn assert_newer(cluster: &Cluster, people: &Population) {
    for person in 0..PEOPLE {
        let now = cluster.simulators.store().current_mobile(&people.nik(person));
        assert_eq!(now, Some(people.new_mobile(person, 2)), "person {person}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_night_that_comes_late_changes_nothing() {
    let people = Population::generate(7, PEOPLE);
    let cluster = Cluster::with(world(&people)).await;
    let _workers = cluster.workers(2);
    let night = async |date| cluster.produce(&["--date", date, "--output", "json"]).await.expect(0).object();
    assert_eq!(night(NEWER).await["outcomes"]["updated"], PEOPLE);
    assert_eq!(night(OLDER).await["outcomes"]["superseded"], PEOPLE);
    assert_newer(&cluster, &people);
    assert_eq!(cluster.simulators.snapshot().writes, PEOPLE as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_an_older_night_ends_superseded() {
    let people = Population::generate(7, PEOPLE);
    let cluster = Cluster::with(world(&people)).await;
    let _workers = cluster.workers(2);
    let refused = StatusFault {
        status: 422,
        rate: 1.0,
        operations: Some(vec![Operation::Write]),
        retry_after: None,
        body: None,
    };
    cluster.simulators.set_faults(FaultPlan { statuses: vec![refused], ..FaultPlan::default() });
    let older = cluster.produce(&["--date", OLDER, "--output", "json"]).await.expect(3).object();
    assert_eq!(older["outcomes"]["dead_lettered"], PEOPLE);
    cluster.simulators.set_faults(FaultPlan::default());
    cluster.produce(&["--date", NEWER]).await.expect(0);
    let replayed = cluster.produce(&["--replay-dlq", "--output", "json"]).await.expect(0).object();
    assert_eq!(replayed, json!({ "replayed": PEOPLE, "died_again": 0 }));
    let rows = ["rows", OLDER, "--outcome", "superseded", "--output", "json"];
    assert_eq!(cluster.produce(&rows).await.expect(0).objects().len(), PEOPLE);
    assert_newer(&cluster, &people);
    assert_eq!(cluster.simulators.snapshot().writes, PEOPLE as u64);
}
