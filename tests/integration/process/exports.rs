//! What an auditor asks: `export-access` and `export-breach`.

use jiff::{Timestamp, ToSpan as _};
use serde_json::Value;
use tests::night::until;
use tests::process::{DATE, Secrets, Sign, Site, mixed};

fn window(from: Timestamp, to: Timestamp) -> [String; 5] {
    ["export-breach".into(), "--from".into(), from.to_string(), "--to".into(), to.to_string()]
}

/// Lines of an export in JSON.
async fn breach(site: &Site, (from, to): (Timestamp, Timestamp), more: &[&str]) -> Vec<Value> {
    let window = window(from, to);
    let flags: Vec<&str> = window.iter().map(String::as_str).chain(["--output", "json"]).collect();
    site.run(&[&flags[..], more].concat()).await.expect(0).objects()
}

fn at(value: &Value) -> Timestamp {
    value.as_str().expect("a time").parse().expect("RFC 3339")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_data_was_in_hand_and_who_saw_it() {
    let night = mixed(95, 200);
    let secrets = Secrets::of_night(&night);
    let site = Site::of(&night).await;
    let report = site.night().await.expect(3).object();
    let (started, finished) = (at(&report["started_at"]), at(&report["finished_at"]));
    let ended = (started, finished);

    let all = breach(&site, ended, &[]).await;
    assert_eq!(report["rows_selected"], all.len());
    for person in &all {
        assert_eq!(person["revealed_to"], Value::Array(Vec::new()));
        assert!(
            at(&person["in_hand_from"]) >= started && at(&person["in_hand_until"]) <= finished,
            "{person}"
        );
    }
    let before = (started - 2.hours(), started - 1.hour());
    assert!(breach(&site, before, &[]).await.is_empty());
    let named = breach(&site, ended, &["--in-clear"]).await;
    let updated: Vec<_> = night.expected_numbers().collect();
    let (nik, number) = updated.first().expect("somebody whose number is written");
    let person = named.iter().find(|person| person["nik"] == **nik).expect("the person's row");
    assert_eq!(person["phone"], **number);

    // Everything that happened with that person's data: typed in, and by the hash that the lists show.
    let typed =
        site.run_with_input(&["export-access", "--nik", "-", "--output", "json"], &format!("{nik}\n")).await;
    let events = typed.expect(0).objects();
    let hash = person["nik_hash"].as_str().expect("a hash");
    let again = site.run(&["export-access", "--nik", hash, "--output", "json"]).await.expect(0).objects();
    assert_eq!(events, again);
    let what: Vec<_> = events.iter().map(|event| event["event"].as_str().expect("a word")).collect();
    for expected in ["read", "write_announced", "ended", "revealed", "kept"] {
        assert!(what.contains(&expected), "{expected} is not in {what:?}");
    }
    let of = |what: &str| events.iter().find(|event| event["event"] == what).expect("an event");
    assert!(of("revealed")["who"].as_str().is_some_and(|who| who.contains('@')), "{events:?}");
    assert!(of("ended")["detail"].as_str().is_some_and(|detail| detail.contains("update ok")), "{events:?}");
    assert_eq!((&of("read")["run_date"], &of("read")["who"]), (&DATE.into(), &of("revealed")["who"]));
    // Nobody is named but where that is asked for and noted.
    for masked in [serde_json::to_vec(&all), serde_json::to_vec(&events)] {
        let leaks = secrets.found_in(&masked.expect("plain data"));
        assert!(leaks.is_empty(), "{leaks:?}");
    }
    for form in ["csv", "text"] {
        let text = site.run(&["export-access", "--nik", hash, "--output", form]).await.expect(0).stdout;
        assert!(text.contains("write_announced"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_cannot_be_meant_or_noted_is_refused() {
    let night = mixed(96, 200);
    let site = Site::of(&night).await;
    site.simulators.set_faults(simulators::FaultPlan {
        latency: simulators::Latency::fixed(200.0),
        ..simulators::FaultPlan::default()
    });
    let running = site.start_night();
    let writes = async || site.simulators.snapshot().writes;
    until("a write", writes, |writes| *writes > 0).await;
    let flags =
        ["export-breach", "--from", "2026-11-23T22:00", "--to", "2126-11-24T02:00", "--output", "csv"];
    running.signal(Sign::Stop);
    // Masked it disturbs nobody; in clear it has to be noted first, and the night has the ledger.
    site.run(&flags).await.expect(0);
    site.run(&[&flags[..], &["--in-clear"]].concat()).await.expect(4);
    assert!(running.kill().await);

    let backwards = ["export-breach", "--from", "2026-11-24T02:00", "--to", "2026-11-23T22:00"];
    let refused = site.run(&backwards).await.expect(2);
    assert!(refused.stderr.contains("--to is before --from"), "{}", refused.stderr);
    let no_time = ["export-breach", "--from", "2026-11-23", "--to", "2026-11-24"];
    let refused = site.run(&no_time).await.expect(2);
    assert!(refused.stderr.contains("2026-11-24T23:00"), "{}", refused.stderr);
    let person = site.run(&["export-access", "--nik", night.population().nik(0).as_ref()]).await.expect(2);
    assert!(person.stderr.contains("process lists"), "{}", person.stderr);
}
