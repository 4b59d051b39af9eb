//! One run: when what happened, what became of its rows, and who did something to it.

use askama::Template;
use axum::extract::{Path, State};
use jiff::Timestamp;
use shared::domain::{Outcome, meaning};
use shared::ledger::{LedgerError, Page as Of, Run, RunId, RunKind, RunState, RunSummary, SamplePoint};

use super::acts::{self, Line as ActLine};
use super::nights::{GateBox, Line, gate_box};
use super::{Shared, Shown, missing, page, unread};
use crate::chart::Chart;
use crate::language::Lang;
use crate::marks::{self, Tone, moment, seconds, span};
use crate::shell::{Shell, Visitor};
use crate::standstill;

/// Acts on a run's page; the rest is on the page of acts.
const ACTS: u32 = 20;

/// A count that links to its rows.
pub(crate) struct Count {
    code: &'static str,
    name: String,
    class: &'static str,
    means: &'static str,
    count: String,
    percent: u64,
}

struct Step {
    what: &'static str,
    at: String,
    after: String,
}

#[derive(Template)]
#[template(path = "run.html")]
struct Page<'a> {
    shell: &'a Shell,
    line: Line,
    gate: Option<GateBox>,
    is_open: bool,
    still_since: Option<String>,
    started_by: String,
    source: String,
    rows_read: String,
    requests: String,
    retries: String,
    changed_while_read: bool,
    steps: Vec<Step>,
    outcomes: Vec<Count>,
    reasons: Vec<Count>,
    warnings: Vec<Count>,
    open_rows: String,
    dead: u64,
    to_correct: u64,
    acts: Vec<ActLine>,
    chart: Option<Chart>,
    deadline: String,
}

/// What happened when, in that order. Before the run is closed, writes are known to the nearest point of its series.
fn timeline(run: &Run, samples: &[SamplePoint], lang: Lang) -> Vec<(&'static str, Timestamp)> {
    let wrote = |point: &&SamplePoint| run.kind == RunKind::Night && point.sample.updated > 0;
    let so_far = samples.last().map_or(0, |point| point.sample.updated);
    let first = samples.iter().find(wrote).map(|point| point.at);
    let last = samples.iter().filter(wrote).find(|point| point.sample.updated == so_far);
    let (first, last) = match run.closed_at {
        Some(_) => (run.first_write_at, run.last_write_at),
        None => (first, last.map(|point| point.at)),
    };
    let closed = match run.state {
        RunState::Abandoned => lang.t("Given up", "Dihentikan"),
        _ => lang.t("Closed, every row has its outcome", "Ditutup, semua baris ada hasilnya"),
    };
    let mut steps = vec![(lang.t("Locked and opened", "Dikunci dan dibuka"), run.started_at)];
    let later = [
        (lang.t("Sheet read, every row noted", "Sheet dibaca, semua baris dicatat"), run.snapshot_at),
        (lang.t("First write", "Penulisan pertama"), first),
        (lang.t("Every row published to the queue", "Semua baris dikirim ke antrean"), run.published_at),
        (
            if run.closed_at.is_some() {
                lang.t("Last write", "Penulisan terakhir")
            } else {
                lang.t("Latest write so far", "Penulisan terakhir sejauh ini")
            },
            last,
        ),
        (closed, run.closed_at),
    ];
    steps.extend(later.into_iter().filter_map(|(what, at)| at.map(|at| (what, at))));
    steps.sort_by_key(|(_, at)| *at);
    steps
}

pub(crate) async fn show(State(dashboard): Shared, visitor: Visitor, Path(run): Path<String>) -> Shown {
    let lang = visitor.0.lang;
    let shell = visitor.shell(&dashboard, lang.t("One run", "Satu proses"));
    let Ok(id) = run.parse::<RunId>() else { return Err(missing(&shell)) };
    let read = async {
        let Some(run) = dashboard.ledger.run(id).await? else { return Ok(None) };
        let tally = dashboard.ledger.counted(id).await?;
        let by = dashboard.ledger.started_by(id).await?;
        let acts = dashboard.ledger.acts(Some(id), Of::First, ACTS).await?;
        let samples = dashboard.ledger.samples(id).await?;
        let (now, gate) = (dashboard.ledger.now().await?, dashboard.ledger.gate().await?);
        Ok::<_, LedgerError>(Some((RunSummary { run, tally }, by, acts, samples, now, gate)))
    };
    let Some((summary, by, acts, samples, now, gate)) = read.await.map_err(|error| unread(&shell, &error))?
    else {
        return Err(missing(&shell));
    };
    let RunSummary { run, tally } = &summary;
    let is_open = matches!(run.state, RunState::Seeding | RunState::Open);
    let gate = gate.filter(|_| is_open);
    let n = |number: u64| lang.number(&number);
    let share = |count: u64| (count * 100).checked_div(tally.selected()).unwrap_or(0);
    let since = |at| format!("+{}", span(seconds(run.started_at, at), lang));
    let steps = timeline(run, &samples, lang).into_iter().map(|(what, at)| Step {
        what,
        at: moment(at, &dashboard.zone),
        after: if at == run.started_at { String::new() } else { since(at) },
    });
    let outcomes = Outcome::ALL.iter().filter(|outcome| tally.count(**outcome) > 0).map(|outcome| {
        let (tone, name, means) = marks::outcome_in(run.kind, *outcome, lang);
        let count = tally.count(*outcome);
        let (code, class, name) = (outcome.as_str(), tone.class(), name.to_owned());
        Count { code, name, class, means, count: n(count), percent: share(count) }
    });
    let mut by_count: Vec<_> = tally.reasons.iter().collect();
    // What failed first: that is what makes a night red, and it may be few among many to correct.
    by_count.sort_by_key(|(reason, count)| (!reason.is_of_dead_letters(), std::cmp::Reverse(**count)));
    let reasons = by_count.into_iter().map(|(reason, count)| Count {
        code: reason.as_str(),
        name: reason.as_str().replace('_', " "),
        class: if reason.is_of_dead_letters() { Tone::Bad } else { Tone::Warn }.class(),
        means: meaning(*reason, lang.0),
        count: n(*count),
        percent: share(*count),
    });
    let warnings = tally.warnings.iter().map(|(warning, count)| Count {
        code: warning.as_str(),
        name: marks::warning(*warning, lang).to_owned(),
        class: "",
        means: "",
        count: n(*count),
        percent: share(*count),
    });
    page(&Page {
        shell: &shell,
        line: Line::of(&summary, gate.as_ref(), now, &dashboard, lang),
        gate: gate.as_ref().map(|gate| gate_box(gate, &dashboard, lang)),
        is_open,
        still_since: standstill::since(run, &samples, now).map(|since| moment(since, &dashboard.zone)),
        started_by: by.unwrap_or_default(),
        source: run.source.clone(),
        rows_read: n(run.rows_read),
        requests: n(tally.requests),
        retries: n(tally.retries),
        changed_while_read: run.changed_while_read,
        steps: steps.collect(),
        outcomes: outcomes.collect(),
        reasons: reasons.collect(),
        warnings: warnings.collect(),
        open_rows: if tally.open > 0 { n(tally.open) } else { String::new() },
        dead: tally.count(Outcome::DeadLettered),
        to_correct: tally.count(Outcome::Rejected),
        acts: acts.iter().map(|act| acts::line(act, &dashboard, lang)).collect(),
        chart: Chart::of(run, &samples, lang),
        deadline: span(dashboard.deadline.as_secs(), lang),
    })
}
