//! The documents against the code: names, lists and paths. What a sentence claims is not tested here.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _, Parser as _};
use producer::flags::Cli;
use shared::domain::{Outcome, Reason, Warning};
use shared::ledger::RunState;
use shared::settings::Settings;
use shared::signals::Signal;
use shared::status::Status;

/// What only one program knows; their own types are private to them.
#[derive(Debug, Args)]
struct ProgramFlags {
    #[arg(long)]
    demo: bool,
    #[arg(long)]
    backup: bool,
    #[arg(long)]
    serve: bool,
    #[arg(long)]
    detach: bool,
}

const DOCUMENTS: [&str; 17] = [
    "README.md",
    "ARCHITECTURE.md",
    "docs/state-machine.md",
    "docs/data-model.md",
    "docs/decisions.md",
    "docs/privacy.md",
    "docs/backup.md",
    "docs/first-night.md",
    "docs/first-night.id.md",
    "docs/operating.md",
    "docs/deploying.md",
    "docs/upgrading.md",
    "docs/guarantees.md",
    "docs/limits.md",
    "docs/benchmarks/README.md",
    "docs/limiter.md",
    "docs/scaling.md",
];

/// The documents that an operator types from.
const OPERATORS: [&str; 2] = ["README.md", "docs/operating.md"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member of the workspace").to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The lines within code fences, and those outside.
fn fenced(text: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut code, mut prose, mut inside) = (Vec::new(), Vec::new(), false);
    for line in text.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if inside {
            code.push(line);
        } else {
            prose.push(line);
        }
    }
    (code, prose)
}

/// The rows of every table whose first header cell is `header`, cell by cell.
fn tables(text: &str, header: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let (mut rows, mut inside) = (Vec::new(), false);
    for line in text.lines() {
        if !line.starts_with('|') {
            inside = false;
        } else if cells(line)[0] == header {
            inside = true;
        } else if inside && !line.starts_with("| ---") {
            rows.push(cells(line));
        }
    }
    assert!(!rows.is_empty(), "no table of {header}");
    rows
}

/// The code spans of each row's first cell, several with commas between.
fn names(text: &str, header: &str) -> BTreeSet<String> {
    tables(text, header)
        .iter()
        .flat_map(|row| row[0].split(", ").map(first_span).map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

fn first_span(cell: &str) -> &str {
    cell.split('`').nth(1).unwrap_or(cell)
}

fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    words.into_iter().map(str::to_owned).collect()
}

#[test]
fn the_readme_begins_with_two_commands_that_the_makefile_has() {
    let readme = read("README.md");
    let (code, _) = fenced(&readme);
    let commands: Vec<_> = code.iter().take(2).map(|line| line.split('#').next().unwrap().trim()).collect();
    assert_eq!(commands, ["make demo", "make test"]);
    let makefile = read("Makefile");
    for target in ["demo", "demo-cluster", "test", "test-all"] {
        assert!(makefile.lines().any(|line| line.starts_with(&format!("{target}:"))), "no target {target}");
    }
}

#[test]
fn the_readme_names_every_flag_and_no_other() {
    let command = Cli::<ProgramFlags>::command();
    let mut flags = words(command.get_arguments().filter_map(|flag| flag.get_long()));
    flags.extend(words(["help", "version"]));
    let readme = read("README.md");
    let documented = names(&readme, "flag");
    let documented =
        words(documented.iter().map(|flag| flag.trim_start_matches("--").split(' ').next().unwrap()));
    assert_eq!(documented, flags);

    let lists = [tables(&readme, "list"), tables(&readme, "command")].concat();
    let listed = words(lists.iter().map(|row| first_span(&row[0]).split(' ').next().unwrap()));
    assert_eq!(listed, words(command.get_subcommands().map(clap::Command::get_name)));
    for list in command.get_subcommands() {
        let row =
            lists.iter().find(|row| row[0].starts_with(&format!("`{}", list.get_name()))).unwrap().join(" ");
        for flag in list.get_arguments().filter_map(|flag| flag.get_long()).filter(|flag| *flag != "output") {
            assert!(row.contains(&format!("`--{flag}")), "{} --{flag} is not in the README", list.get_name());
        }
    }
}

#[test]
fn every_command_line_of_the_operators_documents_is_understood() {
    for document in OPERATORS {
        let text = read(document);
        let (code, _) = fenced(&text);
        let ours = |line: &&str| line.starts_with("standalone") || line.starts_with("producer");
        let lines: Vec<_> = code.into_iter().filter(ours).collect();
        assert!(!lines.is_empty());
        for line in lines {
            let cli = Cli::<ProgramFlags>::try_parse_from(line.split_whitespace());
            let checked = cli.map_err(|error| error.to_string()).and_then(|cli| cli.run.check());
            assert_eq!(checked, Ok(()), "{document}: {line}");
        }
    }
}

#[test]
fn the_operators_guide_has_a_heading_for_each_alert_and_says_of_each_what_to_do() {
    let guide = read("docs/operating.md");
    let alerts = guide.split("\n## ").find(|part| part.starts_with("Alerts\n")).expect("a part on alerts");
    let sections: Vec<_> = alerts.split("\n### ").skip(1).collect();
    let rules = read("deploy/prometheus/alerts.yml");
    let rules: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(rules.len() >= 12, "{rules:?}");
    assert_eq!(sections.iter().map(|section| section.lines().next().unwrap()).collect::<Vec<_>>(), rules);
    for section in sections {
        assert!(section.contains("**By itself:** ") && section.contains("**Do:** "), "{section}");
    }
}

#[test]
fn every_flag_and_every_setting_that_the_operators_guide_names_is_there() {
    let command = Cli::<ProgramFlags>::command();
    let subcommands = command.get_subcommands().flat_map(clap::Command::get_arguments);
    let flags = words(command.get_arguments().chain(subcommands).filter_map(|flag| flag.get_long()));
    let settings = names(&read("README.md"), "variable");
    let guide = read("docs/operating.md");
    let (_, prose) = fenced(&guide);
    let prose = prose.join("\n");
    let mut seen = 0;
    for word in prose.split('`').skip(1).step_by(2).flat_map(|span| span.split([' ', '='])) {
        if let Some(flag) = word.strip_prefix("--") {
            assert!(flags.contains(flag), "no flag {word}");
            seen += 1;
        } else if word.contains('_') && word.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
            assert!(settings.contains(word), "no setting {word}");
            seen += 1;
        }
    }
    assert!(seen > 15, "{seen}");
}

#[test]
fn the_readme_names_every_setting_and_no_other() {
    let looked_up = RefCell::new(BTreeSet::new());
    let settings = Settings::read(&|name| {
        looked_up.borrow_mut().insert(name.to_owned());
        None
    });
    assert!(settings.is_ok());
    assert_eq!(names(&read("README.md"), "variable"), looked_up.into_inner());
}

#[test]
fn the_readme_names_every_word_of_a_report_and_no_other() {
    let readme = read("README.md");
    assert_eq!(names(&readme, "outcome"), words(Outcome::ALL.iter().map(|outcome| outcome.as_str())));
    assert_eq!(names(&readme, "reason"), words(Reason::ALL.iter().map(|reason| reason.as_str())));
    assert_eq!(names(&readme, "warning"), words(Warning::ALL.iter().map(|warning| warning.as_str())));
}

#[test]
fn the_metrics_are_those_of_the_contract_and_the_readme_names_them() {
    // Renaming one breaks somebody's alert.
    let contract = [
        "rows_total",
        "rows_read_total",
        "fhir_requests_total",
        "fhir_request_duration_seconds",
        "fhir_retries_total",
        "fhir_concurrency_limit",
        "fhir_in_flight",
        "fhir_pace_requests_per_second",
        "queue_depth",
        "queue_consumers",
        "dead_letters_open",
        "lock_refused_total",
        "credentials_refused_total",
        "run_state",
        "run_progress_ratio",
        "run_projected_finish_timestamp_seconds",
        "run_last_start_timestamp_seconds",
        "run_last_success_timestamp_seconds",
        "prune_last_success_timestamp_seconds",
        "ledger_write_duration_seconds",
        "recent_rows",
        "run_last_row_timestamp_seconds",
        "run_deadline_timestamp_seconds",
    ];
    let prefixed: Vec<String> = contract.iter().map(|name| format!("nightly_sync_{name}")).collect();
    assert_eq!(shared::metrics::ALL.iter().map(|metric| metric.name).collect::<Vec<_>>(), prefixed);
    let readme = read("README.md");
    assert_eq!(names(&readme, "metric"), words(prefixed.iter().map(String::as_str)));
    for row in tables(&readme, "metric") {
        let metric = shared::metrics::ALL.iter().find(|metric| metric.name == first_span(&row[0])).unwrap();
        let labels: Vec<_> = row[1].split('`').skip(1).step_by(2).collect();
        assert_eq!(labels, metric.labels, "{}", metric.name);
    }
}

#[test]
fn the_readme_names_every_exit_status_and_no_other() {
    let statuses = [
        Status::Done,
        Status::Failed,
        Status::BadSettings,
        Status::DeadLetters,
        Status::Locked,
        Status::Stopped,
        Status::Interrupted(Signal::Interrupt),
        Status::Interrupted(Signal::Terminate),
    ];
    let codes: BTreeSet<_> = statuses.iter().map(|status| status.code().to_string()).collect();
    assert_eq!(names(&read("README.md"), "status"), codes);
}

#[test]
fn every_path_that_a_document_names_is_there() {
    for document in DOCUMENTS {
        let text = read(document);
        let (_, prose) = fenced(&text);
        let prose = prose.join("\n");
        for span in prose.split('`').skip(1).step_by(2).filter(|span| is_path(span)) {
            assert!(root().join(span).exists(), "{document} names {span}, which is not there");
        }
        for link in prose.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if link.starts_with("http") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = root().join(document).parent().unwrap().join(path);
            assert!(target.is_file(), "{document} links to {link}, which is not there");
            // A picture has no headings.
            if anchor.is_empty() {
                continue;
            }
            let headings = std::fs::read_to_string(&target).unwrap();
            let found =
                headings.lines().filter(|line| line.starts_with('#')).any(|line| slug(line) == anchor);
            assert!(found, "{document} links to {link}, a heading that is not there");
        }
    }
}

/// Whether a code span is meant as a path of this repository.
fn is_path(span: &str) -> bool {
    let plain = span.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let at_root =
        !span.contains('/') && (span.ends_with(".toml") || span.ends_with(".md") || span == "Makefile");
    let first = span.split('/').next().unwrap_or_default();
    let ours = [
        ".ci",
        "benches",
        "deploy",
        "docs",
        "migrations",
        "producer",
        "scripts",
        "shared",
        "simulators",
        "standalone",
        "tests",
        "worker",
    ];
    plain && (at_root || (span.contains('/') && ours.contains(&first)))
}

/// A heading's anchor, as code forges make it.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == ' ');
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn the_data_model_names_every_table_column_and_index_and_no_other() {
    let db = rusqlite::Connection::open_in_memory().unwrap();
    let mut migrations: Vec<_> = std::fs::read_dir(root().join("migrations/sqlite"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    // V2 before V10.
    migrations.sort_by_key(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name[1..].split("__").next().unwrap().parse::<u32>().expect("a version")
    });
    for migration in migrations {
        db.execute_batch(&std::fs::read_to_string(migration).unwrap()).unwrap();
    }
    let ask = |sql: &str| -> BTreeSet<String> {
        let mut found = db.prepare(sql).unwrap();
        found.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let text = read("docs/data-model.md");
    let sections: Vec<_> = text.split("\n### `").skip(1).collect();
    let documented = words(sections.iter().map(|section| section.split('`').next().unwrap()));
    assert_eq!(documented, ask("SELECT name FROM sqlite_master WHERE type = 'table'"));
    for section in sections {
        let table = section.split('`').next().unwrap();
        let columns = ask(&format!("SELECT name FROM pragma_table_info('{table}')"));
        assert_eq!(names(section, "column"), columns, "{table}");
    }
    let indexes = ask("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL");
    assert_eq!(names(&text, "index"), indexes);
}

#[test]
fn the_state_machine_names_every_state_and_no_other() {
    let text = read("docs/state-machine.md");
    assert_eq!(names(&text, "run state"), words(RunState::ALL.iter().map(|state| state.as_str())));
    let migration = read("migrations/sqlite/V1__ledger.sql");
    let table = migration.split("CREATE TABLE row (").nth(1).unwrap();
    let states = table.split("CHECK (state IN (").nth(1).unwrap().split(')').next().unwrap();
    let states = words(states.split(',').map(|state| state.trim().trim_matches('\'')));
    assert_eq!(names(&text, "state"), states);
    let (drawn, _) = fenced(&text);
    let drawn = drawn.join("\n");
    for state in states.iter().map(String::as_str).chain(RunState::ALL.iter().map(|state| state.as_str())) {
        assert!(drawn.contains(&format!("{state}:")), "no arrow leads to {state}");
    }
}

/// Every file below a folder, with its text.
fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("text");
            found.push((path, text));
        }
    }
}

#[test]
fn every_test_that_the_guarantees_name_is_there() {
    let mut found = Vec::new();
    for folder in ["tests/integration", "tests/src"] {
        sources(&root().join(folder), &mut found);
    }
    let text = read("docs/guarantees.md");
    let (_, prose) = fenced(&text);
    let prose = prose.join("\n");
    let named: Vec<_> = prose.split('`').skip(1).step_by(2).filter(|span| span.contains("::")).collect();
    assert!(named.len() > 50, "{} tests are named", named.len());
    for name in named.into_iter().filter(|name| !name.contains('…')) {
        let (module, test) = name.rsplit_once("::").unwrap();
        let file = format!("/{}.rs", module.replace("::", "/"));
        let folder = format!("/{}/", module.replace("::", "/"));
        let is_there = found.iter().any(|(path, text)| {
            let path = path.display().to_string();
            // As a function, or as a line of a table of tests.
            let is_in = text.contains(&format!("fn {test}(")) || text.contains(&format!("\n    {test}: \""));
            (path.ends_with(&file) || path.contains(&folder)) && is_in
        });
        assert!(is_there, "docs/guarantees.md names {name}, which is not there");
    }
}
