//! Tonight and every night.

use askama::Template;
use axum::extract::{Query, State};
use serde::Deserialize;
use shared::domain::{Outcome, RunDate};
use shared::ledger::{GateKind, LedgerError, Page as Of, RunKind, RunState, RunSummary, ShutGate};

use super::replays::{self, Replay};
use super::verdict::{self, Standing, Verdict};
use super::{Shared, Shown, page, unread};
use crate::calendar::{self, Day, Night};
use crate::language::Lang;
use crate::marks::{self, Tone, clock, moment, seconds, span};
use crate::server::Dashboard;
use crate::shell::{Shell, Visitor};
use crate::standstill;

/// Days the calendar shows: five weeks.
const DAYS: usize = 35;

/// Runs on a page.
const PAGE: u32 = 20;

/// A run as a line of a list.
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) date: String,
    pub(crate) kind: &'static str,
    pub(crate) is_dry_run: bool,
    pub(crate) class: &'static str,
    pub(crate) state: String,
    pub(crate) started: String,
    pub(crate) selected: String,
    pub(crate) done: String,
    pub(crate) percent: u64,
    pub(crate) rate: String,
    pub(crate) updated: String,
    pub(crate) rejected: String,
    pub(crate) dead: String,
    pub(crate) took: String,
    pub(crate) is_late: bool,
    pub(crate) limit: Option<u32>,
}

impl Line {
    pub(crate) fn of(
        run: &RunSummary,
        gate: Option<&ShutGate>,
        now: jiff::Timestamp,
        dashboard: &Dashboard,
        lang: Lang,
    ) -> Self {
        let RunSummary { run: of, tally } = run;
        let is_open = matches!(of.state, RunState::Seeding | RunState::Open);
        let took = seconds(of.started_at, of.closed_at.unwrap_or(now));
        let is_late = took > dashboard.deadline.as_secs() && of.state != RunState::Abandoned;
        let (tone, state) = marks::state(run, gate.filter(|_| is_open), is_late && is_open, lang);
        let selected = tally.selected();
        let done = selected - tally.open;
        let worked = seconds(of.snapshot_at.unwrap_or(of.started_at), of.closed_at.unwrap_or(now)).max(1);
        let n = |number: u64| lang.number(&number);
        Self {
            id: of.id.to_string(),
            date: of.date.to_string(),
            kind: marks::kind(of.kind, lang),
            is_dry_run: of.kind == RunKind::DryRun,
            class: tone.class(),
            state,
            started: moment(of.started_at, &dashboard.zone),
            selected: n(selected),
            done: n(done),
            percent: (done * 100).checked_div(selected).unwrap_or(if is_open { 0 } else { 100 }),
            rate: n(done / worked),
            updated: n(tally.count(Outcome::Updated)),
            rejected: n(tally.count(Outcome::Rejected)),
            dead: n(tally.count(Outcome::DeadLettered)),
            took: span(took, lang),
            is_late,
            limit: of.selection.limit,
        }
    }
}

/// What changes while a night runs.
pub(crate) struct Tonight {
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) gate: Option<GateBox>,
    pub(crate) now: Option<Line>,
    pub(crate) replays: Vec<Replay>,
    pub(crate) deadline: String,
    pub(crate) at: String,
}

/// A pause.
pub(crate) struct GateBox {
    pub(crate) reason: String,
    pub(crate) since: String,
    pub(crate) heals: &'static str,
    pub(crate) class: &'static str,
}

pub(crate) fn gate_box(gate: &ShutGate, dashboard: &Dashboard, lang: Lang) -> GateBox {
    let heals = match gate.gate.kind {
        GateKind::Throttled => lang.t(
            "It heals by itself: the FHIR server asked for a pause, and the night goes on after it. Nothing to press.",
            "Pulih sendiri: server FHIR minta jeda, lalu proses berlanjut. Tidak perlu menekan apa pun.",
        ),
        GateKind::Systemic => lang.t(
            "It heals by itself: the server is asked again at least once a minute, and the night goes on as soon as it \
             answers well. Nothing to press here. Only if the reason names a key or token, put a valid one in its place.",
            "Pulih sendiri: server dicoba lagi otomatis, paling lama tiap menit, dan proses berlanjut begitu jawabannya \
             baik. Tidak perlu menekan apa pun di sini. Hanya jika alasannya kunci atau token, ganti dengan yang berlaku.",
        ),
        GateKind::Guard => lang.t(
            "It does not heal by itself. Going on could write to the wrong person. Ask the FHIR server's owner about the \
             reason; when it is mended, press Resume.",
            "Tidak pulih sendiri. Jika diteruskan, bisa menulis ke orang yang salah. Tanyakan alasan ini ke pemilik \
             server FHIR; setelah beres, tekan Lanjutkan.",
        ),
    };
    let class = if gate.gate.kind == GateKind::Guard { Tone::Bad } else { Tone::Warn }.class();
    GateBox { reason: gate.gate.reason.clone(), since: moment(gate.since, &dashboard.zone), heals, class }
}

/// Reads what the page's live part shows.
pub(crate) async fn tonight(dashboard: &Dashboard, lang: Lang) -> Result<Tonight, LedgerError> {
    let now = dashboard.ledger.now().await?;
    let gate = dashboard.ledger.gate().await?;
    let runs = dashboard.ledger.run_page(&dashboard.job, Of::First, 10).await?;
    let newest = runs.iter().find(|run| run.run.kind == RunKind::Night);
    let calendar = month(dashboard, now).await?;
    // Of every run: those of an earlier one are still to be looked at.
    let dead = dashboard.ledger.dead_letter_groups(None).await?.iter().map(|group| group.open).sum();
    let replays = replays::under_way(dashboard, lang).await?;
    let replaying = replays.iter().map(|replay| replay.open).sum();
    let missed = calendar.iter().rev().find(|day| day.night != Night::Ahead).filter(|day| day.is_missed());
    let series = match newest {
        Some(run) if run.run.state == RunState::Open => dashboard.ledger.samples(run.run.id).await?,
        _ => Vec::new(),
    };
    let still_since = newest.and_then(|run| standstill::since(&run.run, &series, now));
    let standing = Standing { newest, gate: gate.as_ref(), missed, dead, replaying, still_since, now };
    Ok(Tonight {
        verdicts: verdict::all(&standing, dashboard, lang),
        gate: gate.as_ref().map(|gate| gate_box(gate, dashboard, lang)),
        now: newest.map(|run| Line::of(run, gate.as_ref(), now, dashboard, lang)),
        replays,
        deadline: span(dashboard.deadline.as_secs(), lang),
        at: clock(now, &dashboard.zone),
    })
}

async fn month(dashboard: &Dashboard, now: jiff::Timestamp) -> Result<Vec<Day>, LedgerError> {
    let today = RunDate::today(now, &dashboard.zone);
    let from =
        std::iter::successors(Some(today), |date| Some(date.yesterday())).nth(DAYS - 1).unwrap_or(today);
    let runs = dashboard.ledger.runs_between(&dashboard.job, from, today).await?;
    // Whether anything ran before the days shown.
    let oldest = runs.iter().map(|run| run.run.order).min();
    let earlier = match oldest {
        Some(order) => dashboard.ledger.run_page(&dashboard.job, Of::After(order), 1).await?,
        None => dashboard.ledger.run_page(&dashboard.job, Of::First, 1).await?,
    };
    let begins = if earlier.is_empty() { runs.first().map(|run| run.run.date) } else { Some(from) };
    let days = calendar::days(&runs, from, begins, now, &dashboard.zone);
    // Weeks before the first run say nothing.
    let silent = days.iter().take_while(|day| day.night == Night::Before).count().min(DAYS - 7) / 7 * 7;
    Ok(days.into_iter().skip(silent).collect())
}

#[derive(Template)]
#[template(path = "nights.html")]
struct Page<'a> {
    shell: &'a Shell,
    tonight: Tonight,
    days: Vec<Day>,
    lines: Vec<Line>,
}

#[derive(Template)]
#[template(path = "tonight.html")]
pub(crate) struct Part<'a> {
    pub(crate) shell: &'a Shell,
    pub(crate) tonight: Tonight,
}

pub(crate) async fn show(State(dashboard): Shared, visitor: Visitor) -> Shown {
    let lang = visitor.0.lang;
    let shell = visitor.shell(&dashboard, lang.t("Nights", "Malam"));
    let read = async {
        let now = dashboard.ledger.now().await?;
        let gate = dashboard.ledger.gate().await?;
        let runs = dashboard.ledger.run_page(&dashboard.job, Of::First, 10).await?;
        let lines = runs.iter().map(|run| Line::of(run, gate.as_ref(), now, &dashboard, lang)).collect();
        Ok::<_, LedgerError>((tonight(&dashboard, lang).await?, month(&dashboard, now).await?, lines))
    };
    let (tonight, days, lines) = read.await.map_err(|error| unread(&shell, &error))?;
    page(&Page { shell: &shell, tonight, days, lines })
}

#[derive(Deserialize)]
pub(crate) struct Paging {
    before: Option<i64>,
    after: Option<i64>,
}

impl Paging {
    pub(crate) fn page(&self) -> Of<i64> {
        match (self.after, self.before) {
            (Some(key), _) => Of::After(key),
            (None, Some(key)) => Of::Before(key),
            (None, None) => Of::First,
        }
    }

    pub(crate) fn is_first(&self) -> bool {
        self.page() == Of::First
    }

    pub(crate) fn is_before(&self) -> bool {
        matches!(self.page(), Of::Before(_))
    }
}

#[derive(Template)]
#[template(path = "runs.html")]
struct All<'a> {
    shell: &'a Shell,
    lines: Vec<Line>,
    newer: Option<i64>,
    older: Option<i64>,
}

pub(crate) async fn all(State(dashboard): Shared, visitor: Visitor, Query(paging): Query<Paging>) -> Shown {
    let lang = visitor.0.lang;
    let shell = visitor.shell(&dashboard, lang.t("Every night", "Semua malam"));
    let read = async {
        let now = dashboard.ledger.now().await?;
        let gate = dashboard.ledger.gate().await?;
        let runs = dashboard.ledger.run_page(&dashboard.job, paging.page(), PAGE).await?;
        Ok::<_, LedgerError>((now, gate, runs))
    };
    let (now, gate, runs) = read.await.map_err(|error| unread(&shell, &error))?;
    let full = runs.len() == PAGE as usize;
    let older = runs.last().map(|run| run.run.order).filter(|_| full || paging.is_before());
    let newer = runs.first().map(|run| run.run.order).filter(|_| !paging.is_first());
    let lines = runs.iter().map(|run| Line::of(run, gate.as_ref(), now, &dashboard, lang)).collect();
    page(&All { shell: &shell, lines, newer, older })
}
