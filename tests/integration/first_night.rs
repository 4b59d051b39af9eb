//! The page of the first night, in both languages, command by command against simulated servers: what it says is
//! printed is printed.

use std::path::Path;
use std::process::Stdio;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use shared::clock::Clock;
use simulators::{DemoNight, NightOptions, SheetCell, SheetsFailure};
use tests::process::{API_KEY, Site, binary, in_repository};
use tokio::process::Command;

/// A block of the page: what is typed, and what it prints.
#[derive(Debug, PartialEq)]
struct Step {
    command: String,
    output: String,
}

/// Blocks of `sh`, each with the block of `text` that follows it before the next.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside: Option<(&str, String)> = None;
    for line in page.lines() {
        match (&mut inside, line.strip_prefix("```")) {
            (None, Some(kind)) => inside = Some((kind, String::new())),
            (Some(_), Some(_)) => match inside.take() {
                Some(("sh", command)) => steps.push(Step { command, output: String::new() }),
                Some(("text", output)) => steps.last_mut().expect("a command before it").output = output,
                other => panic!("a block of another kind: {other:?}"),
            },
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    steps
}

fn page(name: &str) -> String {
    std::fs::read_to_string(in_repository("docs").join(name)).expect("a page")
}

/// Whether a printed line is what the page shows: `…` is anything, and how wide a gap is does not matter.
fn shows(pattern: &str, line: &str) -> bool {
    let single_spaced = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (pattern, line) = (&*single_spaced(pattern), &*single_spaced(line));
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let parts: Vec<_> = parts.collect();
    for (at, part) in parts.iter().enumerate() {
        rest = match () {
            () if at + 1 == parts.len() => return rest.ends_with(part),
            () => match rest.find(part) {
                Some(found) => &rest[found + part.len()..],
                None => return false,
            },
        };
    }
    rest.is_empty()
}

/// Programs that are not ours to run: they say what the real ones say, and do as little as the page needs.
const GCLOUD: &str = r#"#!/bin/sh
case "$*" in
services*) echo 'Operation "operations/acf.p2-1" finished successfully.';;
*keys*) cp "$ACCOUNT" "$5"; chmod 600 "$5"
  echo "created key [0123] of type [json] as [$5] for [nightly-sync@PROJECT.iam.gserviceaccount.com]";;
*) echo 'Created service account [nightly-sync].';;
esac
"#;

const SYSTEMCTL: &str = r#"#!/bin/sh
[ "$1" = enable ] && echo "Created symlink $UNITS/timers.target.wants/$3 → $UNITS/$3."
exit 0
"#;

fn program(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).expect("a program");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a file of ours");
}

/// A machine before its first night: the paths and addresses of the page stand for its own.
struct Machine {
    site: Site,
    night: DemoNight,
    names: Vec<(&'static str, String)>,
}

impl Machine {
    async fn of(today: Date) -> Self {
        let night =
            DemoNight::build(11, &today.to_string(), &NightOptions::sized(400, 300)).expect("a night");
        let site = Site::of(&night).await;
        let root = site.work();
        for folder in ["bin", "etc", "var", "units"] {
            std::fs::create_dir(root.join(folder)).expect("a folder");
        }
        program(&root.join("bin/gcloud"), GCLOUD);
        program(&root.join("bin/systemctl"), SYSTEMCTL);
        site.file("account.json", site.simulators.service_account_json());
        let at = |folder: &str| root.join(folder).display().to_string();
        let names = vec![
            ("/etc/nightly-sync", at("etc/nightly-sync")),
            ("/var/lib/nightly-sync", at("var/nightly-sync")),
            ("/etc/systemd/system", at("units")),
            ("https://fhir.example.org/r4", site.simulators.fhir_url().to_owned()),
            ("the-part-between-d-and-edit", site.simulators.sheet_id()),
        ];
        Self { site, night, names }
    }

    fn here(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (page, here)| text.replace(page, here))
    }

    fn on_the_page(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (page, here)| text.replace(here, page))
    }

    /// What a step prints; its settings are those of the step that says how each terminal gets them.
    async fn run(&self, step: &Step, typed: &str) -> String {
        let settings = self.here("/etc/nightly-sync/settings");
        let prelude = format!("set -a; [ -f {settings} ] && . {settings}; set +a\n");
        let root = self.site.work();
        let ours = binary("standalone");
        let path = format!(
            "{}:{}:/usr/local/bin:/usr/bin:/bin",
            root.join("bin").display(),
            ours.parent().expect("a folder").display()
        );
        let typed = self.site.file("typed", typed);
        let done = Command::new("/bin/sh")
            .args(["-c", &(prelude + &self.here(&step.command))])
            .env_clear()
            .env("PATH", path)
            .env("ACCOUNT", root.parent().expect("a folder").join("account.json"))
            .env("UNITS", root.join("units"))
            .env("SHEETS_URL", self.site.simulators.sheets_url())
            .env("METRICS_ADDR", "127.0.0.1:0")
            .env("DASHBOARD_ADDR", "127.0.0.1:0")
            .current_dir(&root)
            .stdin(Stdio::from(std::fs::File::open(typed).expect("a file just written")))
            .output()
            .await
            .expect("a shell");
        self.on_the_page(&String::from_utf8_lossy(&done.stdout))
    }
}

fn today() -> Date {
    TimeZone::get("Asia/Jakarta").expect("a zone").to_datetime(Clock::system().now()).date()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_the_first_night_prints_what_the_page_says() {
    let steps = steps(&page("first-night.md"));
    assert!(steps.iter().filter(|step| !step.output.is_empty()).count() >= 10);
    let day = today();
    let mut differs = walk(day, &steps).await;
    if today() != day {
        // Midnight in the middle of it: the page is about one day.
        differs = walk(today(), &steps).await;
    }
    assert!(differs.is_empty(), "these print something else than the page says:\n\n{}", differs.join("\n"));
}

/// Does all steps on one machine; what prints something else than the page says.
async fn walk(day: Date, steps: &[Step]) -> Vec<String> {
    let machine = Machine::of(day).await;
    let sheet = machine.night.spreadsheet();
    let SheetCell::Text(nik) = &sheet.sheets[0].rows[1][0] else { panic!("a NIK is typed as text") };
    let mut shared = false;
    let mut differs = Vec::new();
    for step in steps {
        if step.command.contains("standalone doctor") && !std::mem::replace(&mut shared, true) {
            machine.site.simulators.sheets().fail_next([SheetsFailure::NotShared]);
        }
        let typed = if step.command.contains("read -r NIK") { nik } else { API_KEY };
        let printed = machine.run(step, &format!("{typed}\n")).await;
        let (expected, lines): (Vec<_>, Vec<_>) = (step.output.lines().collect(), printed.lines().collect());
        let as_shown = expected.len() == lines.len()
            && expected.iter().zip(&lines).all(|(pattern, line)| shows(pattern, line));
        if !as_shown {
            differs.push(format!("$ {}{printed}", step.command));
        }
    }
    assert!(machine.site.simulators.snapshot().writes > 20, "the night was done");
    differs
}

#[test]
fn both_languages_have_the_same_commands_and_the_same_headings_beneath_each_other() {
    let (english, indonesian) = (page("first-night.md"), page("first-night.id.md"));
    assert_eq!(steps(&english), steps(&indonesian));
    let headings = |page: &str| {
        let lines = page.lines().filter(|line| line.starts_with("## "));
        lines.map(|line| line.split('.').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(headings(&english), headings(&indonesian));
    assert!(headings(&english).len() >= 10);
}

#[test]
fn an_ellipsis_stands_for_anything_and_nothing_else_does() {
    assert!(shows("total …", "total 12") && shows("a … b … c", "a 1 b 2 c") && shows("…", ""));
    assert!(!shows("total …", "in total 12") && !shows("a … b", "a 1 b 2") && !shows("a", "ab"));
}
