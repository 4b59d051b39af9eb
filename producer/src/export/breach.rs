//! Whose data was in hand between two instants, and who saw it in clear then.

use std::collections::BTreeMap;
use std::io::Write;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use shared::data_key::KeyedHash;
use shared::ledger::{LedgerPages, LedgerView, NotedAct, Page, RowFilter, RowKey, Run, RunId, Window};
use shared::payload::Payload;

use super::{ExportError, PAGE, Sources, line};
use crate::flags::Output;
use crate::listing::List;

/// Lists the rows whose data was in hand in the window, in the order of runs and of the sheet.
pub(super) async fn write<L: LedgerView + LedgerPages>(
    sources: &Sources<'_, L>,
    window: Window,
    in_clear: bool,
    output: Output,
    to: &mut dyn Write,
) -> Result<(), ExportError> {
    let mut list = List::new(output, to);
    let mut seen = revealed(&sources.acts("reveal").await?, window);
    for run in sources.runs().await?.iter().filter(|run| run.started_at <= window.to) {
        let person = |key: &RowKey, nik: Option<&KeyedHash>, sealed: &[u8], span: Span, by: Vec<String>| {
            let payload = Payload::open(sources.keys, key, sealed).unwrap_or_default();
            told(run, key, nik, &payload, in_clear, span, by)
        };
        let mut seen = seen.remove(&run.id).unwrap_or_default();
        let mut after = 0;
        loop {
            let page = sources.ledger.handled(run.id, window, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.key.sheet_row;
            for row in page {
                let by = seen.remove(&row.key.sheet_row).unwrap_or_default();
                let span = (Some(row.from), row.until);
                list.add(person(&row.key, row.nik.as_ref(), &row.sealed, span, by))?;
            }
        }
        // Looked at in the window, and else only kept.
        for (sheet_row, by) in seen {
            let filter = RowFilter { sheet_row: Some(sheet_row), ..RowFilter::default() };
            for row in sources.ledger.row_page(run.id, &filter, Page::First, 1).await? {
                list.add(person(&row.key, row.nik.as_ref(), &row.sealed, (None, None), by.clone()))?;
            }
        }
    }
    Ok(list.finish()?)
}

type Span = (Option<Timestamp>, Option<Timestamp>);

fn told(
    run: &Run,
    key: &RowKey,
    nik: Option<&KeyedHash>,
    payload: &Payload,
    in_clear: bool,
    (from, until): Span,
    by: Vec<String>,
) -> Map<String, Value> {
    let mut object = line([
        ("run_date", json!(run.date)),
        ("run_id", json!(run.id)),
        ("kind", json!(run.kind.as_str())),
        ("sheet_row", json!(key.sheet_row)),
        ("nik_masked", json!(payload.nik.as_ref().map(|nik| nik.masked()))),
        ("nik_hash", super::hash(nik)),
        ("phone_masked", json!(payload.number.as_ref().map(ToString::to_string))),
        ("in_hand_from", json!(from)),
        ("in_hand_until", json!(until)),
        ("revealed_to", json!(by)),
    ]);
    if in_clear {
        object.insert("nik".into(), json!(payload.nik.as_ref().map(|nik| nik.expose())));
        object.insert("phone".into(), json!(payload.number.as_ref().map(|number| number.expose())));
    }
    object
}

/// Who looked at which rows in the window.
fn revealed(acts: &[NotedAct], window: Window) -> BTreeMap<RunId, BTreeMap<u32, Vec<String>>> {
    let mut seen: BTreeMap<RunId, BTreeMap<u32, Vec<String>>> = BTreeMap::new();
    for noted in acts.iter().filter(|noted| (window.from..=window.to).contains(&noted.at)) {
        let detail = &noted.act.detail;
        let run = detail["run_id"].as_str().and_then(|run| run.parse().ok());
        let row = detail["sheet_row"].as_u64().and_then(|row| u32::try_from(row).ok());
        if let (Some(run), Some(row)) = (run, row) {
            let by = seen.entry(run).or_default().entry(row).or_default();
            if !by.contains(&noted.act.who) {
                by.push(noted.act.who.clone());
            }
        }
    }
    seen
}
