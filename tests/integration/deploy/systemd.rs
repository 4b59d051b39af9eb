//! `make install`, and what it installed started as systemd would start it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use shared::signals::Signal;
use shared::status::Status;
use tests::process::{API_KEY, Site, binary, in_repository};
use tokio::process::Command;

/// What `make install` put below a folder.
struct Installed {
    folder: tempfile::TempDir,
}

impl Installed {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let installed = Self { folder };
        installed.install().await;
        installed
    }

    async fn install(&self) {
        let make = Command::new("make")
            .args(["--silent", "install", "PREFIX=/usr"])
            .arg(format!("DESTDIR={}", self.folder.path().display()))
            .arg(format!("STANDALONE={}", binary("standalone").display()))
            .current_dir(in_repository(""))
            .output()
            .await
            .expect("make runs");
        assert!(make.status.success(), "{}", String::from_utf8_lossy(&make.stderr));
    }

    fn path(&self, absolute: &str) -> PathBuf {
        self.folder.path().join(absolute.trim_start_matches('/'))
    }

    fn unit(&self, name: &str) -> Unit {
        let text = std::fs::read_to_string(self.path("/usr/lib/systemd/system").join(name)).expect("a unit");
        Unit(text)
    }

    fn mode(&self, absolute: &str) -> u32 {
        let metadata = std::fs::metadata(self.path(absolute));
        metadata.unwrap_or_else(|error| panic!("{absolute}: {error}")).permissions().mode() & 0o777
    }
}

/// A unit file.
struct Unit(String);

impl Unit {
    /// Every value of a setting, in order.
    fn all(&self, setting: &str) -> Vec<&str> {
        let value = |line| -> Option<&str> { str::strip_prefix(line, setting)?.strip_prefix('=') };
        self.0.lines().filter_map(value).collect()
    }

    fn one(&self, setting: &str) -> &str {
        let all = self.all(setting);
        assert_eq!(all.len(), 1, "{setting}: {all:?}");
        all[0]
    }

    /// The exit statuses of a setting.
    fn statuses(&self, setting: &str) -> Vec<u8> {
        let number = |word: &str| word.parse().expect("an exit status");
        self.one(setting).split(' ').map(number).collect()
    }

    /// The variables it sets, with these two folders for `%S` and `%d`.
    fn environment(&self, state: &Path, credentials: &Path) -> BTreeMap<String, String> {
        let lines = self.all("Environment").join(" ");
        let specified = lines
            .replace("%S", &state.display().to_string())
            .replace("%d", &credentials.display().to_string());
        let pair = |word: &str| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        specified.split(' ').map(|word| pair(word).expect("NAME=VALUE")).collect()
    }
}

#[tokio::test]
async fn a_package_has_the_program_its_units_and_a_folder_for_secrets_that_only_root_reads() {
    let installed = Installed::new().await;
    assert_eq!(installed.mode("/usr/bin/standalone"), 0o755);
    assert_eq!(installed.mode("/etc/nightly-sync/credentials"), 0o700);
    for file in ["nightly-sync.service", "nightly-sync-resume.service", "nightly-sync.timer"] {
        assert_eq!(installed.mode(&format!("/usr/lib/systemd/system/{file}")), 0o644, "{file}");
    }
    assert_eq!(installed.mode("/usr/lib/sysusers.d/nightly-sync.conf"), 0o644);

    // An upgrade leaves an operator's settings alone.
    let settings = installed.path("/etc/nightly-sync/environment");
    std::fs::write(&settings, "SHEET_ID=theirs\n").expect("a file");
    installed.install().await;
    assert_eq!(std::fs::read_to_string(settings).expect("a file"), "SHEET_ID=theirs\n");
}

#[tokio::test]
async fn a_package_has_man_pages_and_what_shells_complete() {
    let installed = Installed::new().await;
    for (file, content) in [
        ("man/man1/standalone.1", ".TH standalone 1"),
        ("man/man1/standalone-doctor.1", ".TH standalone-doctor 1"),
        ("zsh/site-functions/_standalone", "#compdef standalone"),
        ("fish/vendor_completions.d/standalone.fish", "complete -c standalone"),
        ("bash-completion/completions/standalone", "complete -F"),
    ] {
        let path = format!("/usr/share/{file}");
        assert_eq!(installed.mode(&path), 0o644, "{file}");
        let text = std::fs::read_to_string(installed.path(&path)).expect("a file");
        assert!(text.contains(content), "{file}: {}", text.lines().next().unwrap_or_default());
    }
    // As a shell does that is asked to complete the program's name for the first time.
    let bash = installed.path("/usr/share/bash-completion/completions/standalone");
    let known =
        Command::new("bash").args(["-c", ". \"$0\" && complete -p standalone"]).arg(bash).output().await;
    let known = known.expect("bash");
    assert!(known.status.success(), "{}", String::from_utf8_lossy(&known.stderr));
}

#[tokio::test]
async fn systemd_starts_again_what_a_start_carries_on_and_nothing_else() {
    let unit = Installed::new().await.unit("nightly-sync.service");
    assert_eq!(unit.one("Restart"), "on-failure");
    let (fine, left) = (unit.statuses("SuccessExitStatus"), unit.statuses("RestartPreventExitStatus"));
    let restarted = |status: Status| {
        let code = status.code();
        code != 0 && !fine.contains(&code) && !left.contains(&code)
    };
    for status in [Status::Failed, Status::Stopped] {
        assert!(restarted(status), "{status:?}");
    }
    let interrupted = [Signal::Interrupt, Signal::Terminate].map(Status::Interrupted);
    for status in [Status::Done, Status::BadSettings, Status::DeadLetters, Status::Locked]
        .into_iter()
        .chain(interrupted)
    {
        assert!(!restarted(status), "{status:?}");
    }
    assert!(
        left.contains(&Status::BadSettings.code()) && left.contains(&Status::Locked.code()),
        "those are failures"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_services_run_with_what_their_units_say() {
    let installed = Installed::new().await;
    let site = Site::with(simulators::SimulatorsConfig::default()).await;
    let (state, credentials) =
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    std::fs::create_dir(state.path().join("nightly-sync")).expect("a folder");
    let secrets = [
        ("google-credentials", site.simulators.service_account_json()),
        ("fhir-api-key", API_KEY.to_owned()),
    ];
    for (unit, outcome) in
        [("nightly-sync.service", "\"run_id\""), ("nightly-sync-resume.service", "\"run_id\"")]
    {
        let unit = installed.unit(unit);
        let wanted: Vec<_> =
            unit.all("LoadCredential").into_iter().map(|line| line.split(':').next()).collect();
        assert_eq!(wanted, secrets.each_ref().map(|(name, _)| Some(*name)));
        for (name, content) in &secrets {
            std::fs::write(credentials.path().join(name), content).expect("a file");
        }
        let mut words = unit.one("ExecStart").split(' ');
        let program = installed.path(words.next().expect("a program"));
        let mut command = Command::new(program);
        // What the operator's file of settings has, and ports that other tests leave alone.
        let settings = ["SHEET_ID", "SHEETS_URL", "FHIR_URL", "METRICS_ADDR", "DASHBOARD_ADDR"];
        command
            .args(words)
            .env_clear()
            .envs(settings.map(|name| (name, site.setting(name).expect("every site has it"))))
            .envs(unit.environment(state.path(), credentials.path()))
            .current_dir(state.path().join("nightly-sync"))
            .stdin(Stdio::null());
        let finished = site.spawn(command).end().await.expect(0);
        assert!(finished.stdout.contains(outcome), "{}", finished.stdout);
    }
    assert!(state.path().join("nightly-sync/nightly-sync.db").is_file());
}
