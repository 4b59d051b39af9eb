//! `--replay-dlq`: what it would do, what it does, and to whom.

use serde_json::{Value, json};
use tests::process::{DATE, Site, counts, mixed};

/// Makes the Patients of these NIKs active, as somebody does who mends the register.
async fn mend(site: &Site, niks: &[String]) {
    for nik in niks {
        for mut patient in site.simulators.store().patient_by_nik(nik) {
            patient["active"] = json!(true);
            site.put(&patient).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_listed_then_tried_again_and_only_those_asked_for() {
    let night = mixed(71, 200);
    let site = Site::of(&night).await;
    let report = site.night().await.expect(3).object();
    let reasons = counts(&report["reasons"]);
    let (ambiguous, inactive) = (reasons["ambiguous_patient"], reasons["patient_inactive"]);
    let people: Vec<String> =
        night.population().inactive().map(|index| night.population().nik(index)).collect();
    assert_eq!(people.len() as u64, inactive);
    let letters = ["dead-letters", "--output", "json"];
    let before = site.run(&letters).await.expect(0).objects();

    // What it would do.
    let dry = site.run(&["--replay-dlq", "--dry-run", "--output", "json"]).await.expect(0).objects();
    assert_eq!(dry, before);
    let one_reason = ["--replay-dlq", "--dry-run", "--reason", "patient_inactive", "--output", "json"];
    assert_eq!(site.run(&one_reason).await.expect(0).objects().len() as u64, inactive);
    assert_eq!(site.run(&letters).await.expect(0).objects(), before, "nothing was replayed");

    // One person, piped in, still broken: dead again.
    let one = ["--replay-dlq", "--nik", "-", "--output", "json"];
    let replayed = site.run_with_input(&one, &format!("{}\n", people[0])).await.expect(3).object();
    assert_eq!(replayed, json!({ "replayed": 1, "died_again": 1 }));

    // Mended: the inactive ones succeed, the doubled ones die again.
    mend(&site, &people).await;
    let reads = site.simulators.snapshot().batch_gets;
    let replayed = site.run(&["--replay-dlq", "--output", "json"]).await.expect(3).object();
    assert_eq!(replayed, json!({ "replayed": ambiguous + inactive, "died_again": ambiguous }));
    assert_eq!(site.simulators.snapshot().batch_gets, reads, "the sheet was not read");
    let after =
        site.run(&["rows", DATE, "--outcome", "dead_lettered", "--output", "json"]).await.expect(0).objects();
    assert_eq!(after.len() as u64, ambiguous);
    let open = site.run(&letters).await.expect(0).objects();
    assert_eq!(open.len() as u64, ambiguous);
    assert!(open.iter().all(|letter| letter["generation"] == 2), "{open:?}");
    let all = site.run(&[&letters[..], &["--all"]].concat()).await.expect(0).objects();
    assert_eq!(all.len() as u64, 2 * (ambiguous + inactive) + 1 - inactive, "the history stays");

    // The report counts each row's latest generation.
    let last = site.run(&["--resume", "--output", "json"]).await.expect(3).object();
    assert_eq!(last["run_id"], report["run_id"]);
    let outcomes = counts(&last["outcomes"]);
    assert_eq!(outcomes["dead_lettered"], ambiguous);
    assert_eq!(outcomes["updated"] + outcomes["unchanged"], applied(&report) + inactive);
    assert_eq!(last["rows_selected"], report["rows_selected"]);

    // Nothing of that reason is left; a range that holds nothing, neither.
    for narrowed in
        [&["--reason", "patient_inactive"][..], &["--from", "2026-11-24"], &["--to", "2026-11-22"]]
    {
        let flags = [&["--replay-dlq", "--output", "json"], narrowed].concat();
        let none = site.run(&flags).await.expect(0).object();
        assert_eq!(none, json!({ "replayed": 0, "died_again": 0 }), "{narrowed:?}");
    }
}

fn applied(report: &Value) -> u64 {
    let outcomes = counts(&report["outcomes"]);
    outcomes["updated"] + outcomes["unchanged"]
}
