//! What can be pressed, and how what was pressed goes.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect};
use http::StatusCode;
use serde::Deserialize;
use shared::domain::{Reason, RunDate};
use shared::ledger::{LedgerError, RunKind};

use super::dead_letters::ticked;
use super::nights::{GateBox, Line, gate_box};
use super::replays::{self, Replay};
use super::{Shared, Shown, message, page, refused, unread};
use crate::hands::Deed;
use crate::language::Lang;
use crate::marks::{Tone, moment};
use crate::posted::Ordered;
use crate::server::Dashboard;
use crate::shell::{Shell, Visitor};
use crate::work::{Done, Item, Undone};

/// Something that was begun from the page.
pub(crate) struct BegunItem {
    what: String,
    who: String,
    since: String,
    class: &'static str,
    state: String,
}

/// What was begun, here and by others, and how it goes.
pub(crate) struct Begun {
    items: Vec<BegunItem>,
    gate: Option<GateBox>,
    replays: Vec<Replay>,
    /// Whether there is anything to watch.
    is_under_way: bool,
}

/// What changes of this page while it is watched.
#[derive(Template)]
#[template(path = "begun.html")]
pub(crate) struct Part<'a> {
    pub(crate) shell: &'a Shell,
    pub(crate) begun: Begun,
}

#[derive(Template)]
#[template(path = "actions.html")]
struct Page<'a> {
    shell: &'a Shell,
    unfinished: Vec<Line>,
    begun: Begun,
    date: String,
}

#[derive(Deserialize)]
pub(crate) struct Wanted {
    date: Option<String>,
}

fn of_done(done: &Done, lang: Lang) -> String {
    let rows = |count: u64| format!("{} {}", lang.number(&count), lang.t("rows", "baris"));
    match done {
        Done::NothingUnfinished => {
            lang.t("nothing was unfinished", "tidak ada yang belum selesai").to_owned()
        }
        Done::Finished { rows: count } => rows(*count),
        Done::Replayed { rows: count, died_again } => format!(
            "{} {}, {} {}",
            rows(*count),
            lang.t("replayed", "diulang"),
            lang.number(died_again),
            lang.t("failed again", "gagal lagi")
        ),
    }
}

fn of_undone(undone: &Undone, lang: Lang) -> String {
    let again = lang.t("Resume carries it on.", "Lanjutkan meneruskannya.");
    match undone {
        Undone::Locked => lang
            .t(
                "another process is at work on it; see Tonight",
                "proses lain sedang mengerjakannya; lihat Malam ini",
            )
            .to_owned(),
        Undone::Stopped(reason) => format!("{} {reason}", lang.t("stopped:", "dihentikan:")),
        Undone::Interrupted => format!("{} {again}", lang.t("interrupted.", "terputus.")),
        Undone::Failed(reason) => format!("{} {reason}. {again}", lang.t("failed:", "galat:")),
    }
}

fn item(item: &Item, dashboard: &Dashboard, lang: Lang) -> BegunItem {
    let what = match &item.deed {
        Deed::Resume(None) => lang.t("Resume", "Lanjutkan").to_owned(),
        Deed::Resume(Some(date)) => format!("{} {date}", lang.t("Resume", "Lanjutkan")),
        Deed::Rerun { date, dry_run: false } => format!("{} {date}", lang.t("Run", "Jalankan")),
        Deed::Rerun { date, dry_run: true } => format!("{} {date}", lang.t("Dry run", "Uji coba")),
        Deed::Replay(replay) => {
            let what = lang.t("Replay", "Ulangi");
            let why = replay.reason.map_or("", Reason::as_str).replace('_', " ");
            format!("{what}: {why}")
        }
    };
    let (tone, state) = match &item.ended {
        None => (Tone::Busy, lang.t("Under way", "Sedang berjalan").to_owned()),
        Some(Ok(done)) => (Tone::Good, format!("{} {}", lang.t("Done:", "Selesai:"), of_done(done, lang))),
        Some(Err(undone)) => {
            (Tone::Bad, format!("{} {}", lang.t("Not done:", "Tidak selesai:"), of_undone(undone, lang)))
        }
    };
    BegunItem {
        what,
        who: item.who.clone(),
        since: moment(item.since, &dashboard.zone),
        class: tone.class(),
        state,
    }
}

pub(crate) async fn begun(dashboard: &Dashboard, lang: Lang) -> Result<Begun, LedgerError> {
    let begun = dashboard.hands.begun();
    let replays = replays::of_shift(dashboard, lang).await?;
    let is_under_way =
        begun.iter().any(|item| item.ended.is_none()) || replays.iter().any(|replay| replay.is_under_way);
    let gate = dashboard.ledger.gate().await?.filter(|_| is_under_way);
    Ok(Begun {
        items: begun.iter().map(|begun| item(begun, dashboard, lang)).collect(),
        gate: gate.as_ref().map(|gate| gate_box(gate, dashboard, lang)),
        replays,
        is_under_way,
    })
}

pub(crate) async fn show(State(dashboard): Shared, visitor: Visitor, Query(wanted): Query<Wanted>) -> Shown {
    let lang = visitor.0.lang;
    let shell = visitor.shell(&dashboard, lang.t("Actions", "Tindakan"));
    let read = async {
        let now = dashboard.ledger.now().await?;
        let gate = dashboard.ledger.gate().await?;
        let runs = dashboard.ledger.unfinished_runs(&dashboard.job, None).await?;
        let mut lines = Vec::new();
        for run in runs.into_iter().filter(|run| run.kind == RunKind::Night).rev().take(10) {
            let tally = dashboard.ledger.counted(run.id).await?;
            let summary = shared::ledger::RunSummary { run, tally };
            lines.push(Line::of(&summary, gate.as_ref(), now, &dashboard, lang));
        }
        Ok::<_, LedgerError>((now, lines, begun(&dashboard, lang).await?))
    };
    let (now, unfinished, begun) = read.await.map_err(|error| unread(&shell, &error))?;
    let date = wanted.date.and_then(|text| text.parse::<RunDate>().ok());
    let date = date.unwrap_or_else(|| RunDate::today(now, &dashboard.zone)).to_string();
    page(&Page { shell: &shell, unfinished, begun, date })
}

async fn begin(dashboard: &Dashboard, visitor: &Visitor, deed: Deed) -> Shown {
    let shell = visitor.shell(dashboard, visitor.0.lang.t("Actions", "Tindakan"));
    dashboard.hands.begin(deed, visitor.who()).await.map_err(|error| refused(&shell, &error))?;
    // See other: reloading the page presses nothing again.
    Ok(Redirect::to("/actions").into_response())
}

pub(crate) async fn resume(State(dashboard): Shared, Ordered(visitor, fields): Ordered) -> Shown {
    let date = fields.get("date").and_then(|text| text.parse().ok());
    begin(&dashboard, &visitor, Deed::Resume(date)).await
}

pub(crate) async fn rerun(State(dashboard): Shared, Ordered(visitor, fields): Ordered) -> Shown {
    let shell = visitor.shell(&dashboard, visitor.0.lang.t("Actions", "Tindakan"));
    let Some(date) = fields.get("date").and_then(|text| text.parse::<RunDate>().ok()) else {
        let text = shell.t("Write the date as 2026-11-23.", "Tulis tanggal seperti 2026-11-23.");
        return Err(message(&shell, StatusCode::BAD_REQUEST, text, "/actions"));
    };
    begin(&dashboard, &visitor, Deed::Rerun { date, dry_run: fields.get("dry_run").is_some() }).await
}

pub(crate) async fn replay(State(dashboard): Shared, Ordered(visitor, fields): Ordered) -> Shown {
    let shell = visitor.shell(&dashboard, visitor.0.lang.t("Actions", "Tindakan"));
    let Some(reason) = fields.get("reason").and_then(|text| text.parse::<Reason>().ok()) else {
        return Err(super::missing(&shell));
    };
    let rows = ticked(&fields);
    // No rows means all of them to the ledger: that has to be said.
    if rows.is_empty() && fields.get("all").is_none() {
        let text = shell.t("No row was ticked.", "Tidak ada baris yang dicentang.");
        return Err(message(&shell, StatusCode::BAD_REQUEST, text, "/dead-letters"));
    }
    let replay = shared::ledger::Replay { reason: Some(reason), rows, ..Default::default() };
    begin(&dashboard, &visitor, Deed::Replay(replay)).await
}
