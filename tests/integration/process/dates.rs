//! Which night a start takes: `--date`, `--due`, `--from` and `--to`, today; and how much of it: `--limit`,
//! `--nik`, `--dry-run`, `--reapply`.

use std::collections::BTreeMap;

use jiff::civil::{Date, date};
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use serde_json::{Value, json};
use shared::clock::Clock;
use simulators::{DemoNight, NIK_SYSTEM, NightOptions, Sheet, SheetCell, SimulatorsConfig, Spreadsheet};
use tests::process::{DATE, Site, check_night, counts, run_id};

fn nik(person: u32) -> String {
    format!("317401230456{person:04}")
}

/// A site whose sheet has one row for each person and date, all of which must be written.
async fn of_dates(rows: &[(u32, Date)]) -> Site {
    let header = ["nik", "whatsapp_number", "last_updated_date"].map(SheetCell::text).to_vec();
    let row = |(at, (person, date)): (usize, &(u32, Date))| {
        vec![
            SheetCell::text(nik(*person)),
            SheetCell::text(format!("08123456{at:04}")),
            SheetCell::text(date.to_string()),
        ]
    };
    let rows_below = rows.iter().enumerate().map(row);
    let sheet = Sheet::new("Sheet1", std::iter::once(header).chain(rows_below).collect());
    let site =
        Site::with(SimulatorsConfig { spreadsheet: Spreadsheet::of(sheet), ..SimulatorsConfig::default() })
            .await;
    let people: std::collections::BTreeSet<u32> = rows.iter().map(|(person, _)| *person).collect();
    for person in people {
        let patient = json!({ "resourceType": "Patient", "id": format!("p{person}"), "active": true,
            "identifier": [{ "system": NIK_SYSTEM, "value": nik(person) }] });
        site.simulators.store().insert(patient).expect("a Patient");
    }
    site
}

fn updated(report: &Value) -> (String, u64) {
    (report["run_date"].as_str().expect("a date").to_owned(), counts(&report["outcomes"])["updated"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_and_to_take_each_date_oldest_first() {
    let days = [date(2026, 11, 20), date(2026, 11, 21), date(2026, 11, 22), date(2026, 11, 23)];
    let site = of_dates(&[(1, days[0]), (2, days[2]), (3, days[2]), (1, days[1]), (4, days[3])]).await;
    let range = ["--from", "2026-11-20", "--to", "2026-11-22", "--output", "json"];
    let reports = site.run(&range).await.expect(0).objects();
    let seen: Vec<_> = reports.iter().map(updated).collect();
    assert_eq!(
        seen,
        [("2026-11-20".to_owned(), 1), ("2026-11-21".to_owned(), 1), ("2026-11-22".to_owned(), 2)]
    );
    // The newest date's number is the one that stays, and an older date cannot come back over it.
    let newest = || site.simulators.store().current_mobile(&nik(1));
    assert_eq!(newest().as_deref(), Some("+6281234560003"));
    let one = site.run(&["--date", "2026-11-20", "--reapply", "--output", "json"]).await.expect(0).object();
    assert_eq!(counts(&one["outcomes"])["superseded"], 1, "{one}");
    assert_eq!(newest().as_deref(), Some("+6281234560003"));
    let last = site.night().await.expect(0).object();
    assert_eq!(updated(&last), (DATE.to_owned(), 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn due_and_today_are_dates_of_the_run_timezone() {
    // A zone in which it is about noon now, so that the test does not run across a midnight.
    let now = Clock::system().now();
    let hour = i32::from(TimeZone::UTC.to_datetime(now).hour());
    let ahead = 12 - hour;
    let zone = match ahead {
        0 => "Etc/GMT".to_owned(),
        // Written the other way round: Etc/GMT-7 is seven hours ahead (tz database, file etcetera).
        1.. => format!("Etc/GMT-{ahead}"),
        _ => format!("Etc/GMT+{}", -ahead),
    };
    let today = today_in(&zone, now);
    let yesterday = today.checked_sub(1.day()).expect("a day before");
    let mut site = of_dates(&[(1, today), (2, yesterday), (3, yesterday)]).await;
    site.set("RUN_TIMEZONE", &zone);
    for (flags, expected) in [
        (&["--due", "18:00"][..], (yesterday.to_string(), 2)),
        (&["--due", "06:00"][..], (today.to_string(), 1)),
    ] {
        let flags = [flags, &["--output", "json"]].concat();
        assert_eq!(updated(&site.run(&flags).await.expect(0).object()), expected, "{flags:?} in {zone}");
    }
    let report = site.run(&["--output", "json"]).await.expect(0).object();
    assert_eq!(report["run_date"], today.to_string());
    assert_eq!(counts(&report["outcomes"])["skipped_already_applied"], 1);
}

fn today_in(zone: &str, now: Timestamp) -> Date {
    TimeZone::get(zone).expect("a zone of the tz database").to_datetime(now).date()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_a_night_is_not_the_night_and_a_dry_run_writes_nothing() {
    // Without rows of the whole that decide about those of the part.
    let options = NightOptions { conflicting_pairs: 0, duplicated: 0.0, ..NightOptions::sized(400, 200) };
    let night = DemoNight::build(41, DATE, &options).expect("the parts fit together");
    let site = Site::of(&night).await;
    let flags = |more: &[&'static str]| [&["--date", DATE, "--output", "json"], more].concat();

    let dry = site.run(&flags(&["--dry-run"])).await.expect(0).object();
    check_night(&dry, night.expected());
    assert_eq!((&dry["kind"], site.simulators.snapshot().writes), (&"dry_run".into(), 0));

    let first = site.run(&flags(&["--limit", "20"])).await;
    let first = first.objects().remove(0);
    assert_eq!(first["rows_selected"], 20);
    let written = site.simulators.snapshot().writes;
    assert_eq!(counts(&first["outcomes"])["updated"], written);

    // Somebody of the rest, piped in; and the same again by the hash that the list shows.
    let (person, number) = night
        .expected_numbers()
        .find(|(nik, number)| has_another(&site, nik, number))
        .expect("somebody who was not among the first 20");
    let one = site.run_with_input(&flags(&["--nik", "-"]), &format!("{person}\n")).await.expect(0).object();
    assert_eq!((&one["rows_selected"], site.simulators.snapshot().writes), (&1.into(), written + 1));
    assert_eq!(site.simulators.store().current_mobile(&person), Some(number));
    let rows = site
        .run(&["rows", one["run_id"].as_str().expect("an id"), "--output", "json"])
        .await
        .expect(0)
        .object();
    let hash = rows["nik_hash"].as_str().expect("a hash").to_owned();
    let again = site.run(&[&flags(&["--nik"])[..], &[&hash]].concat()).await.expect(0).object();
    assert_eq!(counts(&again["outcomes"])["skipped_already_applied"], 1);

    let whole = site.night().await.expect(3).object();
    assert_ne!(run_id(&whole), run_id(&one));
    assert_eq!(whole["rows_selected"], night.expected().rows_selected);
    let stats = site.simulators.snapshot();
    assert_eq!((stats.writes, stats.writes_beyond_first), (night.expected().patients_changed, 0));

    // The server was restored from an old backup: what the ledger calls applied is compared again.
    let fresh = Site::of(&night).await;
    let mut restored = site;
    restored.set("FHIR_URL", fresh.simulators.fhir_url());
    let plain = restored.night().await.expect(3).object();
    assert_eq!(counts(&plain["outcomes"])["updated"], 0);
    let reapplied = restored.run(&flags(&["--reapply"])).await.expect(3).object();
    check_night(&reapplied, night.expected());
    let wanted: BTreeMap<_, _> = night.expected_numbers().collect();
    for (nik, number) in wanted {
        assert!(!has_another(&fresh, &nik, &number), "not everybody has the number the sheet asks for");
    }
}

/// Whether somebody's number is not this one; as text where it was unchanged in another spelling.
fn has_another(site: &Site, nik: &str, number: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let national = &number[3..];
    !site.simulators.store().current_mobile(nik).is_some_and(|now| digits(&now).ends_with(national))
}
