//! What `rows`, `runs` and `dead-letters` print.

use serde_json::Value;
use tests::process::{DATE, ROW_FIELDS, Site, check_night, check_row, counts, mixed};

const DEAD_LETTER_FIELDS: [&str; 14] = [
    "run_date",
    "sheet_row",
    "generation",
    "reason",
    "message",
    "error",
    "attempts",
    "died_at",
    "replayed_at",
    "run_id",
    "nik_masked",
    "nik_hash",
    "phone_masked",
    "column",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_have_the_contracts_fields_in_sheet_order_and_both_languages() {
    let night = mixed(51, 300);
    let site = Site::of(&night).await;
    let report = site.night().await.expect(3).object();
    let id = report["run_id"].as_str().expect("an id");

    let rows = site.run(&["rows", DATE, "--output", "json"]).await.expect(0).objects();
    rows.iter().for_each(check_row);
    let places: Vec<u64> = rows.iter().map(|row| row["sheet_row"].as_u64().expect("a number")).collect();
    assert!(places.is_sorted_by(|a, b| a < b), "in sheet order, each row once");
    assert!(places[0] >= 2, "row 1 is the header");
    for (outcome, expected) in counts(&report["outcomes"]) {
        let listed = rows.iter().filter(|row| row["outcome"] == outcome).count() as u64;
        assert_eq!(listed, expected, "{outcome}");
    }
    let by_id = site.run(&["rows", id, "--output", "json"]).await.expect(0).objects();
    assert_eq!(by_id, rows);

    let rejected = ["rows", DATE, "--outcome", "rejected", "--output", "json"];
    let english = site.run(&rejected).await.expect(0).objects();
    let indonesian = site.run(&[&rejected[..], &["--lang", "id"]].concat()).await.expect(0).objects();
    assert_eq!(english.len() as u64, night.expected().outcome("rejected"));
    for (en, id) in english.iter().zip(&indonesian) {
        let (en_text, id_text) =
            (en["message"].as_str().expect("words"), id["message"].as_str().expect("words"));
        assert!(en_text.starts_with("Row ") && id_text.starts_with("Baris "), "{en_text} / {id_text}");
        assert_eq!((&en["sheet_row"], &en["reason"]), (&id["sheet_row"], &id["reason"]));
        let column = en["column"].as_str().expect("a rejection is about a column");
        assert!(["nik", "whatsapp_number", "last_updated_date"].contains(&column), "{en}");
    }
    let conflicting = ["rows", DATE, "--reason", "conflicting_rows", "--output", "json"];
    let conflicting = site.run(&conflicting).await.expect(0).objects();
    assert_eq!(conflicting.len() as u64, night.expected().reasons["conflicting_rows"]);

    let csv = site.run(&["rows", DATE, "--output", "csv"]).await.expect(0).stdout;
    let mut csv = csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(csv.headers().expect("a header").iter().collect::<Vec<_>>(), ROW_FIELDS);
    let records: Vec<csv::StringRecord> = csv.records().collect::<Result<_, _>>().expect("rows of one width");
    assert_eq!(records.len(), rows.len());
    for (record, row) in records.iter().zip(&rows) {
        assert_eq!(record[0], row["sheet_row"].to_string());
        assert_eq!(&record[2], row["outcome"].as_str().expect("an outcome"));
        assert_eq!(&record[5], row["message"].as_str().unwrap_or_default());
    }
    assert!(site.run(&["rows", DATE]).await.expect(0).stdout.contains("sheet_row"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_lists_which_number_would_become_which() {
    let night = mixed(53, 200);
    let site = Site::of(&night).await;
    let table = site.run(&["--date", DATE, "--dry-run"]).await.expect(0).stdout;
    assert!(table.contains("would be updated") && table.contains("Dry run (nothing was written)"), "{table}");
    let id = table
        .split("rows ")
        .last()
        .and_then(|rest| rest.split(' ').next())
        .expect("the command to list them");
    let rows = site.run(&["rows", id, "--output", "json"]).await.expect(0).objects();
    let (would_be, others): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row["outcome"] == "updated");
    assert!(would_be.iter().any(|row| row["previous_phone_masked"].is_string()), "{would_be:?}");
    for row in &would_be {
        let (from, to) = (&row["previous_phone_masked"], &row["phone_masked"]);
        assert!(to.as_str().is_some_and(|to| to.contains('*')), "{row}");
        assert!(from.is_null() || from.as_str().is_some_and(|from| from.contains('*')), "{row}");
    }
    assert!(others.iter().all(|row| row["previous_phone_masked"].is_null()));
    let preview = site.run(&["--date", DATE, "--dry-run", "--output", "json"]).await.expect(0).object();
    assert_eq!(preview["rows"].as_array(), Some(&rows));
    assert_eq!(preview["rows_selected"], rows.len());
    assert_eq!(site.simulators.snapshot().writes, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_and_dead_letters_are_an_object_a_line() {
    let night = mixed(52, 200);
    let site = Site::of(&night).await;
    let report = site.night().await.expect(3).object();
    let second = site.night().await.expect(3).object();

    let runs = site.run(&["runs", "--output", "json"]).await.expect(0).objects();
    assert_eq!(runs, [second.clone(), report.clone()], "newest first, each as it was reported");
    check_night(&runs[1], night.expected());
    assert_eq!(site.run(&["runs", "--limit", "1", "--output", "json"]).await.expect(0).objects(), [second]);
    let other_date = site.run(&["runs", "--date", "2026-11-22", "--output", "json"]).await.expect(0);
    assert_eq!(other_date.stdout, "");

    let letters = site.run(&["dead-letters", "--output", "json"]).await.expect(0).objects();
    let dead = night.expected().outcome("dead_lettered");
    assert_eq!(letters.len() as u64, 2 * dead, "one for each run");
    for letter in &letters {
        let fields: Vec<&str> = letter.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(fields, DEAD_LETTER_FIELDS[..fields.len()], "{letter}");
        assert!(letter["replayed_at"].is_null() && letter["generation"] == 1, "{letter}");
    }
    let reason = ["dead-letters", "--reason", "patient_inactive", "--output", "json"];
    let inactive: Vec<Value> = site.run(&reason).await.expect(0).objects();
    assert_eq!(inactive.len() as u64, 2 * night.expected().reasons["patient_inactive"]);
    assert!(inactive.iter().all(|letter| letter["reason"] == "patient_inactive"));
    let csv = site.run(&["dead-letters", "--output", "csv"]).await.expect(0).stdout;
    assert_eq!(
        csv::Reader::from_reader(csv.as_bytes()).records().filter(Result::is_ok).count() as u64,
        2 * dead
    );

    // Nothing is unfinished: --resume repeats the last report and its status, and reads no sheet.
    let reads = site.simulators.snapshot().batch_gets;
    let resumed = site.run(&["--resume", "--output", "json"]).await.expect(3).object();
    assert_eq!(resumed, runs[0]);
    assert_eq!(site.simulators.snapshot().batch_gets, reads);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let night = mixed(53, 2_000);
    let site = Site::of(&night).await;
    site.run(&["--date", DATE, "--dry-run"]).await.expect(0);
    let list = site.command(&["rows", DATE, "--output", "json"]);
    let list = list.as_std();
    let program = list.get_program().to_str().expect("a path in UTF-8");
    // The status of a pipe is that of its last part; the first one's goes to standard error.
    let line = format!("{{ {program} rows {DATE} --output json; echo \"status $?\" >&2; }} | head -n 1");
    let mut shell = tokio::process::Command::new("sh");
    shell.args(["-c", &line]).env_clear().env("PATH", "/usr/bin:/bin").current_dir(site.work());
    let ended = site.spawn(shell).end().await.expect(0);
    assert_eq!(ended.objects().len(), 1);
    assert_eq!(ended.stderr.trim(), "status 0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn completions_and_man_pages_come_from_the_flags_and_need_no_setting() {
    let mut site = Site::of(&mixed(54, 200)).await;
    site.set("FHIR_URL", "nonsense");
    let script = site.run(&["completions", "bash"]).await.expect(0).stdout;
    let check = std::process::Command::new("bash").args(["-n", "-c", &script]).output().expect("bash");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    for word in ["complete -F", "standalone", "--replay-dlq", "dead-letters", "prune"] {
        assert!(script.contains(word), "{word}");
    }
    site.run(&["man", "pages/man1"]).await.expect(0);
    let page =
        |name: &str| std::fs::read_to_string(site.work().join("pages/man1").join(name)).expect("a page");
    assert!(page("standalone.1").contains("Exit statuses"));
    assert!(page("standalone-rows.1").contains("outcome"));
}
