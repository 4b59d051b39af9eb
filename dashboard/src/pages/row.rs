//! One row's whole history; and its numbers in clear, which is an act of its own.

use askama::Template;
use axum::extract::{Path, State};
use shared::domain::{Outcome, Reason};
use shared::ledger::{Act, Exchange, LedgerError, RowHistory, Run, RunId, RunKind};
use shared::payload::Payload;

use super::rows::{Line, explained, line};
use super::{Shared, Shown, missing, page, refused, unread};
use crate::language::Lang;
use crate::marks::{self, moment};
use crate::posted::Ordered;
use crate::server::Dashboard;
use crate::shell::{Shell, Visitor};

/// Something that happened to the row.
struct Event {
    at: String,
    generation: u32,
    what: String,
    detail: String,
    asked: String,
}

/// NIK and number in clear.
struct Clear {
    nik: String,
    phone: String,
}

#[derive(Template)]
#[template(path = "row.html")]
struct Page<'a> {
    shell: &'a Shell,
    row: Line,
    is_dry_run: bool,
    generation: u32,
    requests: u32,
    retries: u32,
    hash: String,
    message: String,
    warnings: String,
    /// Where it waits to be replayed.
    dead_reason: Option<&'static str>,
    events: Vec<Event>,
    clear: Option<Clear>,
}

fn asked(exchanges: &[Exchange]) -> String {
    let one = |exchange: &Exchange| {
        format!("{} → {} ({} ms)", exchange.operation, exchange.answer, exchange.millis)
    };
    exchanges.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn events(history: &RowHistory, kind: RunKind, dashboard: &Dashboard, lang: Lang) -> Vec<Event> {
    let mut events: Vec<(jiff::Timestamp, Event)> = Vec::new();
    let mut add = |at: jiff::Timestamp, generation, what: &str, detail: String, exchanges: &[Exchange]| {
        let at_text = moment(at, &dashboard.zone);
        let event = Event { at: at_text, generation, what: what.to_owned(), detail, asked: asked(exchanges) };
        events.push((at, event));
    };
    for attempt in &history.attempts {
        let what = match (attempt.last, attempt.counted) {
            (true, _) => lang.t("Attempt failed, the last one", "Percobaan gagal, yang terakhir"),
            (false, true) => lang.t("Attempt failed, tried again", "Percobaan gagal, dicoba lagi"),
            (false, false) => lang.t("Held back, cost no attempt", "Tertunda, tidak dihitung"),
        };
        add(attempt.at, attempt.generation, what, attempt.error.clone(), &attempt.exchanges);
    }
    for intent in &history.intents {
        let built = format!("{} {}", lang.t("on version", "atas versi"), intent.version);
        add(intent.at, intent.generation, lang.t("Write announced", "Penulisan diumumkan"), built, &[]);
    }
    for generation in &history.generations {
        let ended = marks::outcome(generation.outcome, lang).1;
        let detail = format!("{ended}. {}", generation.found.as_deref().unwrap_or_default());
        add(
            generation.replayed_at,
            generation.generation,
            lang.t("Replayed; before:", "Diulang; sebelumnya:"),
            detail,
            &[],
        );
    }
    if let (Some(ending), Some(outcome)) = (&history.ending, history.row.outcome) {
        let (_, name, means) = marks::outcome_in(kind, outcome, lang);
        add(ending.at, history.row.key.generation, name, means.to_owned(), &ending.exchanges);
    }
    events.sort_by_key(|(at, event)| (*at, event.generation));
    events.into_iter().map(|(_, event)| event).collect()
}

async fn read(
    dashboard: &Dashboard,
    shell: &Shell,
    run: &str,
    row: &str,
) -> Result<(Run, RowHistory), axum::response::Response> {
    let (Ok(id), Ok(row)) = (run.parse::<RunId>(), row.parse::<u32>()) else { return Err(missing(shell)) };
    let found = async {
        let run = dashboard.ledger.run(id).await?;
        Ok::<_, LedgerError>((run, dashboard.ledger.history(id, row).await?))
    };
    match found.await.map_err(|error| unread(shell, &error))? {
        (Some(run), Some(history)) => Ok((run, history)),
        _ => Err(missing(shell)),
    }
}

fn shown(
    dashboard: &Dashboard,
    shell: &Shell,
    run: &Run,
    history: &RowHistory,
    clear: Option<Clear>,
) -> Shown {
    let (row, lang) = (&history.row, shell.lang);
    page(&Page {
        shell,
        row: line(row, run, dashboard, lang),
        is_dry_run: run.kind == RunKind::DryRun,
        generation: row.key.generation,
        requests: history.requests,
        retries: history.retries,
        hash: row.nik.as_ref().map(|nik| nik.as_str().to_owned()).unwrap_or_default(),
        message: explained(row, dashboard, lang),
        warnings: row
            .warnings
            .iter()
            .map(|warning| marks::warning(*warning, lang))
            .collect::<Vec<_>>()
            .join("; "),
        dead_reason: row
            .reason
            .filter(|_| row.outcome == Some(Outcome::DeadLettered) && run.kind == RunKind::Night)
            .map(Reason::as_str),
        events: events(history, run.kind, dashboard, lang),
        clear,
    })
}

pub(crate) async fn show(
    State(dashboard): Shared,
    visitor: Visitor,
    Path((run, row)): Path<(String, String)>,
) -> Shown {
    let shell = visitor.shell(&dashboard, visitor.0.lang.t("One row", "Satu baris"));
    let (run, history) = read(&dashboard, &shell, &run, &row).await?;
    shown(&dashboard, &shell, &run, &history, None)
}

/// Notes who looks at whom, then shows it; what cannot be noted is not shown.
pub(crate) async fn reveal(
    State(dashboard): Shared,
    Path((run, row)): Path<(String, String)>,
    Ordered(visitor, _): Ordered,
) -> Shown {
    let shell = visitor.shell(&dashboard, visitor.0.lang.t("One row", "Satu baris"));
    let (run, history) = read(&dashboard, &shell, &run, &row).await?;
    let key = history.row.key;
    let detail = serde_json::json!({ "run_id": key.run, "sheet_row": key.sheet_row,
        "nik_hash": history.row.nik.as_ref().map(|nik| nik.as_str()) });
    let act = Act { who: visitor.who(), act: "reveal".into(), detail };
    dashboard.hands.note(act).await.map_err(|error| refused(&shell, &error))?;
    let payload = Payload::open(&dashboard.keys, &key, &history.row.sealed).unwrap_or_default();
    let clear = Clear {
        nik: payload.nik.map(|nik| nik.expose().to_owned()).unwrap_or_default(),
        phone: payload.number.map(|number| number.expose().to_owned()).unwrap_or_default(),
    };
    shown(&dashboard, &shell, &run, &history, Some(clear))
}
