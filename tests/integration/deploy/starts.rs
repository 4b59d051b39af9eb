//! Which night a scheduled start takes, on a program whose clock says that it is then.

use std::process::Stdio;

use simulators::SimulatorsConfig;
use tests::process::{Site, binary, counts};
use tokio::process::Command;

const EXPORT: &str = "nik,whatsapp_number,last_updated_date\n\
    3174012304560001,081234560001,2026-11-22\n\
    3174012304560002,081234560002,2026-11-23\n\
    3174012304560003,081234560003,2026-11-24\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_is_early_in_time_or_past_midnight_takes_its_own_night() {
    let site = Site::with(SimulatorsConfig::default()).await;
    let export = site.file("export.csv", EXPORT);
    for (start, night) in [
        ("2026-11-23 22:54:00", "2026-11-22"),
        ("2026-11-23 22:56:00", "2026-11-23"),
        ("2026-11-23 23:59:00", "2026-11-23"),
        ("2026-11-24 00:01:00", "2026-11-23"),
        ("2026-11-24 02:00:00", "2026-11-23"),
    ] {
        let mut command = Command::new("faketime");
        command
            .args(["-f", &format!("@{start}")])
            .arg(binary("standalone"))
            .args(["--due", "23:00", "--output", "json", "--file", Site::argument(&export)])
            .env_clear()
            .envs(site.settings())
            .envs([("TZ", "Asia/Jakarta"), ("PATH", "/usr/bin:/usr/local/bin:/opt/homebrew/bin")])
            // Waiting goes on as ever.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .current_dir(site.work())
            .stdin(Stdio::null());
        let report = site.spawn(command).end().await.expect(0).object();
        assert_eq!(report["run_date"], night, "at {start}");
        assert_eq!(counts(&report["outcomes"])["skipped_not_found"], 1, "at {start}: {report}");
    }
}
