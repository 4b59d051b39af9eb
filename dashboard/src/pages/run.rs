//! One run: when what happened, what became of its rows, and who did something to it.

use askama::Template;
use axum::extract::{Path, State};
use shared::domain::{Outcome, meaning};
use shared::ledger::{LedgerError, Page as Of, RunId, RunState, RunSummary};

use super::acts::{self, Line as ActLine};
use super::nights::{GateBox, Line, gate_box};
use super::{Shared, Shown, missing, page, unread};
use crate::chart::Chart;
use crate::marks::{self, moment, seconds, span};
use crate::shell::{Shell, Visitor};

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
    acts: Vec<ActLine>,
    chart: Option<Chart>,
    deadline: String,
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
        let (now, gate) = (dashboard.ledger.now().await?, dashboard.ledger.gate().await?);
        Ok::<_, LedgerError>(Some((RunSummary { run, tally }, by, acts, now, gate)))
    };
    let Some((summary, by, acts, now, gate)) = read.await.map_err(|error| unread(&shell, &error))? else {
        return Err(missing(&shell));
    };
    let RunSummary { run, tally } = &summary;
    let is_open = matches!(run.state, RunState::Seeding | RunState::Open);
    let gate = gate.filter(|_| is_open);
    let n = |number: u64| lang.number(&number);
    let share = |count: u64| (count * 100).checked_div(tally.selected()).unwrap_or(0);
    let since = |at| format!("+{}", span(seconds(run.started_at, at), lang));
    let mut steps = vec![Step {
        what: lang.t("Locked and opened", "Dikunci dan dibuka"),
        at: moment(run.started_at, &dashboard.zone),
        after: String::new(),
    }];
    for (what, at) in [
        (lang.t("Sheet read, every row noted", "Sheet dibaca, semua baris dicatat"), run.snapshot_at),
        (lang.t("Closed, every row has its outcome", "Ditutup, semua baris ada hasilnya"), run.closed_at),
    ] {
        if let Some(at) = at {
            steps.push(Step { what, at: moment(at, &dashboard.zone), after: since(at) });
        }
    }
    let outcomes = Outcome::ALL.iter().filter(|outcome| tally.count(**outcome) > 0).map(|outcome| {
        let (tone, name, means) = marks::outcome(*outcome, lang);
        let count = tally.count(*outcome);
        let (code, class, name) = (outcome.as_str(), tone.class(), name.to_owned());
        Count { code, name, class, means, count: n(count), percent: share(count) }
    });
    let mut by_count: Vec<_> = tally.reasons.iter().collect();
    by_count.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let reasons = by_count.into_iter().map(|(reason, count)| Count {
        code: reason.as_str(),
        name: reason.as_str().replace('_', " "),
        class: "",
        means: meaning(*reason, lang.0),
        count: n(*count),
        percent: share(*count),
    });
    let warnings = tally.warnings.iter().map(|(warning, count)| Count {
        code: warning.as_str(),
        name: marks::warning(*warning),
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
        started_by: by.unwrap_or_default(),
        source: run.source.clone(),
        rows_read: n(run.rows_read),
        requests: n(tally.requests),
        retries: n(tally.retries),
        changed_while_read: run.changed_while_read,
        steps,
        outcomes: outcomes.collect(),
        reasons: reasons.collect(),
        warnings: warnings.collect(),
        open_rows: if tally.open > 0 { n(tally.open) } else { String::new() },
        acts: acts.iter().map(|act| acts::line(act, &dashboard)).collect(),
        chart: Chart::of(&dashboard.samples.of(id), lang),
        deadline: span(dashboard.deadline.as_secs(), lang),
    })
}
