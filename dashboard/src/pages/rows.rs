//! A run's rows: filtered, paged by key, found by a NIK that is typed in, or taken away as CSV.

use std::sync::Arc;

use askama::Template;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::unfold;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use serde::Deserialize;
use shared::domain::{Column, Nik, Outcome, Reason, Warning, explain};
use shared::ledger::{LedgerError, Page as Of, RowFilter, RowView, Run, RunId, RunKind};
use shared::payload::Payload;
use shared::spreadsheet;

use super::{Shared, Shown, missing, page, unread};
use crate::language::Lang;
use crate::marks;
use crate::posted::Asked;
use crate::server::Dashboard;
use crate::shell::{Shell, Visitor};

const PAGE: u32 = 50;

/// Rows of the CSV that are read at a time.
const CHUNK: u32 = 1_000;

/// Runs that are looked through for a person.
const RUNS_LOOKED_THROUGH: u32 = 40;

/// A row as a line of a list.
pub(crate) struct Line {
    pub(crate) run: String,
    pub(crate) date: String,
    pub(crate) sheet_row: u32,
    pub(crate) class: &'static str,
    pub(crate) outcome: String,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) nik: String,
    pub(crate) previous: String,
    pub(crate) phone: String,
    pub(crate) attempts: u32,
}

/// What a column is called in the sheet.
fn column_name(dashboard: &Dashboard, column: Option<Column>) -> &str {
    match column {
        Some(Column::Nik) => &dashboard.columns.nik,
        Some(Column::Phone) => &dashboard.columns.phone,
        Some(Column::Updated) => &dashboard.columns.updated,
        None => "",
    }
}

/// What is wrong with a row, and how to put it right.
pub(crate) fn explained(row: &RowView, dashboard: &Dashboard, lang: Lang) -> String {
    let (found, name) = (row.found.as_deref().unwrap_or_default(), column_name(dashboard, row.column));
    row.reason
        .map(|reason| explain(reason, row.column, row.key.sheet_row, found, name, lang.0))
        .unwrap_or_default()
}

/// What a row is called that has no outcome yet.
fn standing(row: &RowView, kind: RunKind, lang: Lang) -> (&'static str, String) {
    if let Some(outcome) = row.outcome {
        let (tone, name, _) = marks::outcome_in(kind, outcome, lang);
        return (tone.class(), name.to_owned());
    }
    let text = match row.state.as_str() {
        "pending" => lang.t("Waiting", "Menunggu"),
        "claimed" => lang.t("Being worked on", "Sedang dikerjakan"),
        "retrying" => lang.t("Will be tried again", "Akan dicoba lagi"),
        _ => lang.t("Failed", "Gagal"),
    };
    (marks::Tone::Busy.class(), text.to_owned())
}

/// Of a dry run: the number that would be replaced.
fn previous(row: &RowView) -> String {
    row.found.as_deref().filter(|_| row.outcome == Some(Outcome::Updated)).unwrap_or_default().to_owned()
}

pub(crate) fn line(row: &RowView, run: &Run, dashboard: &Dashboard, lang: Lang) -> Line {
    let payload = Payload::open(&dashboard.keys, &row.key, &row.sealed).unwrap_or_default();
    let (class, outcome) = standing(row, run.kind, lang);
    Line {
        run: row.key.run.to_string(),
        date: run.date.to_string(),
        sheet_row: row.key.sheet_row,
        class,
        outcome,
        reason: row.reason.map(|reason| reason.as_str().replace('_', " ")).unwrap_or_default(),
        message: explained(row, dashboard, lang),
        nik: payload.nik.map(|nik| nik.masked()).unwrap_or_default(),
        previous: previous(row),
        phone: payload.number.map(|number| number.masked()).unwrap_or_default(),
        attempts: row.attempts,
    }
}

/// What the list is narrowed by, as it stands in the address. A NIK never does.
#[derive(Deserialize)]
pub(crate) struct Narrowed {
    outcome: Option<String>,
    reason: Option<String>,
    warning: Option<String>,
    row: Option<String>,
    unfinished: Option<String>,
    before: Option<u32>,
    after: Option<u32>,
}

impl Narrowed {
    fn filter(&self) -> RowFilter {
        // A blank field of the form means all.
        RowFilter {
            outcome: self.outcome.as_deref().and_then(|text| text.parse().ok()),
            reason: self.reason.as_deref().and_then(|text| text.parse().ok()),
            warning: self.warning.as_deref().and_then(|text| text.parse().ok()),
            sheet_row: self.row.as_deref().and_then(|text| text.trim().parse().ok()),
            unfinished: self.unfinished.is_some(),
            niks: Vec::new(),
        }
    }

    fn page(&self) -> Of<u32> {
        match (self.after, self.before) {
            (Some(key), _) => Of::After(key),
            (None, Some(key)) => Of::Before(key),
            (None, None) => Of::First,
        }
    }
}

fn query(filter: &RowFilter) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(outcome) = filter.outcome {
        query.append_pair("outcome", outcome.as_str());
    }
    if let Some(reason) = filter.reason {
        query.append_pair("reason", reason.as_str());
    }
    if let Some(warning) = filter.warning {
        query.append_pair("warning", warning.as_str());
    }
    if filter.unfinished {
        query.append_pair("unfinished", "1");
    }
    query.finish()
}

/// A choice of a form.
pub(crate) struct Choice {
    code: &'static str,
    name: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "rows.html")]
struct Page<'a> {
    shell: &'a Shell,
    run: String,
    date: String,
    is_dry_run: bool,
    rows: Vec<Line>,
    outcomes: Vec<Choice>,
    reasons: Vec<Choice>,
    warning: Option<&'static str>,
    /// Whether what is listed are dead letters, and of which reason.
    are_dead: bool,
    dead_reason: Option<&'static str>,
    sheet_row: Option<u32>,
    query: String,
    previous: Option<u32>,
    next: Option<u32>,
}

pub(crate) async fn list(
    State(dashboard): Shared,
    visitor: Visitor,
    Path(run): Path<String>,
    Query(narrowed): Query<Narrowed>,
) -> Shown {
    let lang = visitor.0.lang;
    let shell = visitor.shell(&dashboard, lang.t("Rows", "Baris"));
    let Ok(id) = run.parse::<RunId>() else { return Err(missing(&shell)) };
    let filter = narrowed.filter();
    let read = async {
        let Some(run) = dashboard.ledger.run(id).await? else { return Ok(None) };
        let rows = dashboard.ledger.row_page(id, &filter, narrowed.page(), PAGE).await?;
        Ok::<_, LedgerError>(Some((run, rows)))
    };
    let Some((run, rows)) = read.await.map_err(|error| unread(&shell, &error))? else {
        return Err(missing(&shell));
    };
    let full = rows.len() == PAGE as usize;
    let is_before = matches!(narrowed.page(), Of::Before(_));
    let next = rows.last().map(|row| row.key.sheet_row).filter(|_| full || is_before);
    let previous = rows.first().map(|row| row.key.sheet_row).filter(|_| narrowed.page() != Of::First);
    let outcomes = Outcome::ALL.iter().map(|outcome| Choice {
        code: outcome.as_str(),
        name: marks::outcome(*outcome, lang).1.to_owned(),
        chosen: filter.outcome == Some(*outcome),
    });
    let dead_reason = filter.reason.filter(|reason| reason.is_of_dead_letters());
    let reasons = Reason::ALL.iter().map(|reason| Choice {
        code: reason.as_str(),
        name: reason.as_str().replace('_', " "),
        chosen: filter.reason == Some(*reason),
    });
    page(&Page {
        shell: &shell,
        run: id.to_string(),
        date: run.date.to_string(),
        is_dry_run: run.kind == RunKind::DryRun,
        rows: rows.iter().map(|row| line(row, &run, &dashboard, lang)).collect(),
        outcomes: outcomes.collect(),
        reasons: reasons.collect(),
        warning: filter.warning.map(Warning::as_str),
        are_dead: run.kind == RunKind::Night
            && (filter.outcome == Some(Outcome::DeadLettered) || dead_reason.is_some()),
        dead_reason: dead_reason.map(Reason::as_str),
        sheet_row: filter.sheet_row,
        query: query(&filter),
        previous,
        next,
    })
}

#[derive(Template)]
#[template(path = "find.html")]
struct Found<'a> {
    shell: &'a Shell,
    wrong: &'a str,
    asked: bool,
    rows: Vec<Line>,
}

pub(crate) async fn ask(State(dashboard): Shared, visitor: Visitor) -> Shown {
    let shell = visitor.shell(&dashboard, visitor.0.lang.t("Find a person", "Cari orang"));
    page(&Found { shell: &shell, wrong: "", asked: false, rows: Vec::new() })
}

/// By the keyed hash of what was typed, in the newest runs.
pub(crate) async fn find(State(dashboard): Shared, Asked(visitor, fields): Asked) -> Shown {
    let lang = visitor.0.lang;
    let shell = visitor.shell(&dashboard, lang.t("Find a person", "Cari orang"));
    let typed: String =
        fields.get("nik").unwrap_or_default().chars().filter(|c| !" .-".contains(*c)).collect();
    let Ok(nik) = typed.parse::<Nik>() else {
        let wrong = shell.t("A NIK has exactly 16 digits.", "NIK terdiri dari tepat 16 angka.");
        return page(&Found { shell: &shell, wrong, asked: false, rows: Vec::new() });
    };
    let filter = RowFilter { niks: dashboard.keys.nik_hashes(&nik), ..RowFilter::default() };
    let read = async {
        let mut found = Vec::new();
        for run in dashboard.ledger.run_page(&dashboard.job, Of::First, RUNS_LOOKED_THROUGH).await? {
            let rows = dashboard.ledger.row_page(run.run.id, &filter, Of::First, PAGE).await?;
            found.extend(rows.iter().map(|row| line(row, &run.run, &dashboard, lang)));
        }
        Ok::<_, LedgerError>(found)
    };
    let rows = read.await.map_err(|error| unread(&shell, &error))?;
    page(&Found { shell: &shell, wrong: "", asked: true, rows })
}

/// The rows to correct, for the field office; streamed, so that a million of them need no memory.
pub(crate) async fn csv(
    State(dashboard): Shared,
    visitor: Visitor,
    Path(run): Path<String>,
    Query(narrowed): Query<Narrowed>,
) -> Shown {
    let lang = visitor.0.lang;
    let shell = visitor.shell(&dashboard, "CSV");
    let Ok(id) = run.parse::<RunId>() else { return Err(missing(&shell)) };
    let run = dashboard.ledger.run(id).await.map_err(|error| unread(&shell, &error))?;
    let Some(run) = run else { return Err(missing(&shell)) };
    let date = run.date.to_string();
    let head = record(&[
        "sheet_row",
        "run_date",
        "outcome",
        "reason",
        "column",
        "message",
        "nik_masked",
        "phone_masked",
        "previous_phone_masked",
    ]);
    let state = (dashboard, narrowed.filter(), Some(Of::First), run, Some(head));
    let chunks = unfold(state, move |(dashboard, filter, at, run, head)| async move {
        if let Some(head) = head {
            return Some((Ok(Bytes::from(head)), (dashboard, filter, at, run, None)));
        }
        let rows = match dashboard.ledger.row_page(id, &filter, at?, CHUNK).await {
            Ok(rows) => rows,
            Err(error) => return Some((Err(error), (dashboard, filter, None, run, None))),
        };
        let next = Of::After(rows.last()?.key.sheet_row);
        let text: Vec<u8> = rows.iter().flat_map(|row| csv_row(row, &run, &dashboard, lang)).collect();
        Some((Ok(Bytes::from(text)), (dashboard, filter, Some(next), run, None)))
    });
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"rows-{date}.csv\"")),
    ];
    let response: Response = (headers, Body::from_stream(chunks)).into_response();
    Ok(response)
}

fn csv_row(row: &RowView, run: &Run, dashboard: &Arc<Dashboard>, lang: Lang) -> Vec<u8> {
    let shown = line(row, run, dashboard, lang);
    record(&[
        &shown.sheet_row.to_string(),
        &shown.date,
        row.outcome.map_or("", Outcome::as_str),
        row.reason.map_or("", Reason::as_str),
        column_name(dashboard, row.column),
        &shown.message,
        &shown.nik,
        &shown.phone,
        &shown.previous,
    ])
}

fn record(cells: &[&str]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Nothing can fail: it is written to memory, and nothing was written before that could be of another length.
    let _ = writer.write_record(cells.iter().map(|cell| spreadsheet::cell(cell).into_owned()));
    writer.into_inner().unwrap_or_default()
}
