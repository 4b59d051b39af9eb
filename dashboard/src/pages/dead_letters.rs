//! Dead letters: why, how many, what usually helps, and which to replay.

use askama::Template;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use shared::domain::{Reason, meaning};
use shared::ledger::{DeadLetterFilter, LedgerError, RowKey};
use shared::payload::Payload;

use super::nights::Paging;
use super::replays::{self, Replay};
use super::{Shared, Shown, message, missing, page, unread};
use crate::language::Lang;
use crate::marks::moment;
use crate::posted::{Fields, Ordered};
use crate::server::Dashboard;
use crate::shell::{Shell, Visitor};

const PAGE: u32 = 50;

struct Group {
    code: &'static str,
    name: String,
    means: &'static str,
    hint: &'static str,
    open: String,
    oldest: String,
    newest: String,
}

/// Whether a replay alone is likely to help.
fn hint(reason: Reason, lang: Lang) -> &'static str {
    match reason {
        Reason::RetriesExhausted | Reason::WriteConflict | Reason::PatientGone => {
            lang.t("When the server is well: replay.", "Jika server sudah baik: ulangi.")
        }
        Reason::PoisonMessage => lang.t(
            "For the developers first; replay with their corrected version.",
            "Untuk pengembang dulu; ulangi dengan versi yang sudah diperbaiki.",
        ),
        _ => lang.t(
            "Mend it in the FHIR server first, then replay; a replay alone ends the same.",
            "Perbaiki dulu di server FHIR, lalu ulangi; mengulang saja hasilnya sama.",
        ),
    }
}

#[derive(Template)]
#[template(path = "dead_letters.html")]
struct Groups<'a> {
    shell: &'a Shell,
    groups: Vec<Group>,
    replays: Vec<Replay>,
    is_under_way: bool,
}

pub(crate) async fn groups(State(dashboard): Shared, visitor: Visitor) -> Shown {
    let lang = visitor.0.lang;
    let shell = visitor.shell(&dashboard, lang.t("Dead letters", "Yang gagal"));
    let read = async {
        Ok::<_, LedgerError>((
            dashboard.ledger.dead_letter_groups(None).await?,
            replays::of_shift(&dashboard, lang).await?,
        ))
    };
    let (groups, replays) = read.await.map_err(|error| unread(&shell, &error))?;
    let is_under_way = replays.iter().any(|replay| replay.is_under_way);
    let groups = groups.iter().map(|group| Group {
        code: group.reason.as_str(),
        name: group.reason.as_str().replace('_', " "),
        means: meaning(group.reason, lang.0),
        hint: hint(group.reason, lang),
        open: lang.number(&group.open),
        oldest: moment(group.oldest, &dashboard.zone),
        newest: moment(group.newest, &dashboard.zone),
    });
    page(&Groups { shell: &shell, groups: groups.collect(), replays, is_under_way })
}

struct Letter {
    key: String,
    run: String,
    sheet_row: u32,
    date: String,
    nik: String,
    error: String,
    attempts: u32,
    died: String,
}

#[derive(Template)]
#[template(path = "dead_letter_list.html")]
struct List<'a> {
    shell: &'a Shell,
    code: &'static str,
    name: String,
    means: &'static str,
    hint: &'static str,
    letters: Vec<Letter>,
    newer: Option<i64>,
    older: Option<i64>,
}

pub(crate) async fn list(
    State(dashboard): Shared,
    visitor: Visitor,
    Path(reason): Path<String>,
    Query(paging): Query<Paging>,
) -> Shown {
    let lang = visitor.0.lang;
    let shell = visitor.shell(&dashboard, lang.t("Dead letters", "Yang gagal"));
    let Ok(reason) = reason.parse::<Reason>() else { return Err(missing(&shell)) };
    let filter = DeadLetterFilter { reason: Some(reason), open: true, ..DeadLetterFilter::default() };
    let letters = dashboard.ledger.dead_letter_page(&filter, paging.page(), PAGE).await;
    let letters = letters.map_err(|error| unread(&shell, &error))?;
    let full = letters.len() == PAGE as usize;
    let older = letters.last().map(|letter| letter.number).filter(|_| full || paging.is_before());
    let newer = letters.first().map(|letter| letter.number).filter(|_| !paging.is_first());
    let letters = letters.iter().map(|letter| Letter {
        key: format!("{}:{}:{}", letter.key.run, letter.key.sheet_row, letter.key.generation),
        run: letter.key.run.to_string(),
        sheet_row: letter.key.sheet_row,
        date: letter.date.to_string(),
        nik: masked(&dashboard, &letter.key, &letter.sealed),
        error: letter.error.clone(),
        attempts: letter.attempts,
        died: moment(letter.died_at, &dashboard.zone),
    });
    page(&List {
        shell: &shell,
        code: reason.as_str(),
        name: reason.as_str().replace('_', " "),
        means: meaning(reason, lang.0),
        hint: hint(reason, lang),
        letters: letters.collect(),
        newer,
        older,
    })
}

fn masked(dashboard: &Dashboard, key: &RowKey, sealed: &[u8]) -> String {
    let payload = Payload::open(&dashboard.keys, key, sealed).unwrap_or_default();
    payload.nik.map(|nik| nik.masked()).unwrap_or_default()
}

/// The rows that were ticked.
pub(crate) fn ticked(fields: &Fields) -> Vec<RowKey> {
    let key = |text: &str| {
        let mut parts = text.splitn(3, ':');
        let (run, row, generation) = (parts.next()?, parts.next()?, parts.next()?);
        Some(RowKey {
            run: run.parse().ok()?,
            sheet_row: row.parse().ok()?,
            generation: generation.parse().ok()?,
        })
    };
    fields.all("row").filter_map(key).collect()
}

#[derive(Template)]
#[template(path = "preview.html")]
struct Preview<'a> {
    shell: &'a Shell,
    code: &'static str,
    name: String,
    means: &'static str,
    hint: &'static str,
    count: String,
    rows: Vec<String>,
}

/// What a replay would take, before it is pressed.
pub(crate) async fn preview(State(dashboard): Shared, Ordered(visitor, fields): Ordered) -> Shown {
    let lang = visitor.0.lang;
    let shell = visitor.shell(&dashboard, lang.t("Replay: preview", "Ulangi: pratinjau"));
    let Some(reason) = fields.get("reason").and_then(|text| text.parse::<Reason>().ok()) else {
        return Err(missing(&shell));
    };
    let rows = ticked(&fields);
    if rows.is_empty() && fields.get("all").is_none() {
        let text = shell.t("No row was ticked.", "Tidak ada baris yang dicentang.");
        return Err(message(&shell, StatusCode::BAD_REQUEST, text, &format!("/dead-letters/{reason}")));
    }
    let groups = dashboard.ledger.dead_letter_groups(None).await;
    let groups = groups.map_err(|error: LedgerError| unread(&shell, &error))?;
    let all = groups.iter().find(|group| group.reason == reason).map_or(0, |group| group.open);
    let count = if rows.is_empty() { all } else { rows.len() as u64 };
    page(&Preview {
        shell: &shell,
        code: reason.as_str(),
        name: reason.as_str().replace('_', " "),
        means: meaning(reason, lang.0),
        hint: hint(reason, lang),
        count: lang.number(&count),
        rows: rows.iter().map(|row| format!("{}:{}:{}", row.run, row.sheet_row, row.generation)).collect(),
    })
}
