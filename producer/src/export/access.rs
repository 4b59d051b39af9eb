//! Everything that happened with one person's data, oldest first.

use std::io::Write;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use shared::data_key::KeyedHash;
use shared::domain::{Outcome, Reason};
use shared::ledger::{Exchange, LedgerPages, LedgerView, NotedAct, Page, RowFilter, RowHistory, Run};

use super::{ExportError, PAGE, Sources, exported, line};
use crate::flags::Output;
use crate::listing::List;

/// Something that happened.
struct Event {
    /// Nothing where only its run date is known.
    at: Option<Timestamp>,
    what: &'static str,
    who: Option<String>,
    generation: Option<u32>,
    detail: String,
}

/// Lists what happened with the rows of these persons.
pub(super) async fn write<L: LedgerView + LedgerPages>(
    sources: &Sources<'_, L>,
    niks: &[KeyedHash],
    output: Output,
    to: &mut dyn Write,
) -> Result<(), ExportError> {
    let mut list = List::new(output, to);
    let (reveals, exports) = (sources.acts("reveal").await?, sources.acts("export").await?);
    let replays = sources.acts("replay").await?;
    for run in sources.runs().await? {
        let filter = RowFilter { niks: niks.to_vec(), ..RowFilter::default() };
        let mut page = Page::First;
        let mut by = None;
        loop {
            let rows = sources.ledger.row_page(run.id, &filter, page, PAGE).await?;
            let Some(last) = rows.last() else { break };
            page = Page::After(last.key.sheet_row);
            if by.is_none() {
                by = sources.ledger.started_by(run.id).await?;
            }
            for row in rows {
                let Some(history) = sources.ledger.history(run.id, row.key.sheet_row).await? else {
                    continue;
                };
                let mut events = of_row(&run, by.as_deref(), &history);
                events.extend(reveals.iter().filter(|noted| is_about(noted, &run, &history)).map(revealed));
                events.extend(exports.iter().filter(|noted| covers(noted, &run, &history)).map(revealed));
                events.sort_by_key(|event| event.at);
                name_who_replayed(&mut events, &run, &replays);
                for event in events {
                    list.add(told(&run, &history, event))?;
                }
            }
        }
    }
    for nik in niks {
        if let Some((order, ..)) = sources.ledger.newest_success(nik).await? {
            let fields = [
                ("at", Value::Null),
                ("run_date", json!(order.date)),
                ("run_id", Value::Null),
                ("sheet_row", Value::Null),
                ("generation", Value::Null),
                ("event", json!("kept")),
                ("who", Value::Null),
                (
                    "detail",
                    json!("the run date and keyed hashes of the newest success, beyond RETENTION_DAYS"),
                ),
                ("nik_hash", json!(nik.as_str())),
            ];
            list.add(line(fields))?;
        }
    }
    Ok(list.finish()?)
}

fn told(run: &Run, history: &RowHistory, event: Event) -> Map<String, Value> {
    line([
        ("at", json!(event.at)),
        ("run_date", json!(run.date)),
        ("run_id", json!(run.id)),
        ("sheet_row", json!(history.row.key.sheet_row)),
        ("generation", json!(event.generation)),
        ("event", json!(event.what)),
        ("who", json!(event.who)),
        ("detail", json!(event.detail)),
        ("nik_hash", super::hash(history.row.nik.as_ref())),
    ])
}

fn of_row(run: &Run, by: Option<&str>, history: &RowHistory) -> Vec<Event> {
    let event = |at, what, generation, detail| Event { at: Some(at), what, who: None, generation, detail };
    let kind = run.kind.as_str().replace('_', " ");
    let detail = format!("{}, for a {kind}", run.source);
    let mut events =
        vec![Event { who: by.map(str::to_owned), ..event(run.started_at, "read", None, detail) }];
    for attempt in &history.attempts {
        let detail = asked(&attempt.error, &attempt.exchanges);
        events.push(event(attempt.at, "attempt_failed", Some(attempt.generation), detail));
    }
    for intent in &history.intents {
        let detail = "the Patient's telecom before the write is kept, sealed".to_owned();
        events.push(event(intent.at, "write_announced", Some(intent.generation), detail));
    }
    for letter in &history.dead_letters {
        let generation = Some(letter.key.generation);
        events.push(event(letter.died_at, "dead_lettered", generation, letter.reason.as_str().to_owned()));
        if let Some(at) = letter.replayed_at {
            events.push(event(at, "replayed", generation.map(|ended| ended + 1), String::new()));
        }
    }
    let outcome = history.row.outcome.filter(|outcome| *outcome != Outcome::DeadLettered);
    if let Some(outcome) = outcome {
        let why =
            history.row.reason.map(|reason| format!(": {}", Reason::as_str(reason))).unwrap_or_default();
        let (at, exchanges) =
            history.ending.as_ref().map_or((None, &[][..]), |e| (Some(e.at), &e.exchanges[..]));
        let detail = asked(&format!("{}{why}", outcome.as_str()), exchanges);
        let at = at.or(run.snapshot_at).unwrap_or(run.started_at);
        events.push(event(at, "ended", Some(history.row.key.generation), detail));
    }
    events
}

/// What came of it, and what the FHIR server was asked for it.
fn asked(found: &str, exchanges: &[Exchange]) -> String {
    let asked: Vec<_> = exchanges.iter().map(|e| format!("{} {}", e.operation, e.answer)).collect();
    if asked.is_empty() { found.to_owned() } else { format!("{found}; asked of FHIR: {}", asked.join(", ")) }
}

fn is_about(noted: &NotedAct, run: &Run, history: &RowHistory) -> bool {
    let detail = &noted.act.detail;
    detail["run_id"] == json!(run.id) && detail["sheet_row"] == json!(history.row.key.sheet_row)
}

/// Whether an export in clear held this row: the row was in hand in its window, as [`LedgerPages::handled`] has it.
fn covers(noted: &NotedAct, run: &Run, history: &RowHistory) -> bool {
    let Some(window) = exported(noted) else { return false };
    spans(run, history).into_iter().any(|(begun, ended)| {
        begun <= window.to && begun <= noted.at && ended.is_none_or(|ended| ended >= window.from)
    })
}

/// From when until when each generation was in hand.
fn spans(run: &Run, history: &RowHistory) -> Vec<(Timestamp, Option<Timestamp>)> {
    let mut spans = Vec::new();
    let mut begun = run.started_at;
    for letter in history.dead_letters.iter().filter(|letter| letter.replayed_at.is_some()) {
        spans.push((begun, Some(letter.died_at)));
        begun = letter.replayed_at.unwrap_or(letter.died_at);
    }
    let ended = history.ending.as_ref().map(|ending| ending.at);
    let settled = history.row.outcome.map(|_| ended.or(run.snapshot_at).unwrap_or(run.started_at));
    spans.push((begun, settled));
    spans
}

fn revealed(noted: &NotedAct) -> Event {
    let detail = match exported(noted) {
        Some(window) => format!("NIK and number in clear, in an export of {} to {}", window.from, window.to),
        None => "NIK and number in clear, on the page".to_owned(),
    };
    Event { at: Some(noted.at), what: "revealed", who: Some(noted.act.who.clone()), generation: None, detail }
}

/// A replay is noted after its rows were reopened: the first that is noted then, and names the run.
fn name_who_replayed(events: &mut [Event], run: &Run, replays: &[NotedAct]) {
    let id = json!(run.id);
    for event in events.iter_mut().filter(|event| event.what == "replayed") {
        let names_run = |noted: &&NotedAct| {
            event.at.is_some_and(|at| noted.at >= at)
                && noted.act.detail["runs"].as_array().is_some_and(|runs| runs.contains(&id))
        };
        event.who = replays.iter().find(names_run).map(|noted| noted.act.who.clone());
    }
}
