//! Replays: how many of their rows are done, of how many, and what became of these.

use askama::Template;
use jiff::{SignedDuration, Timestamp};
use shared::domain::Outcome;
use shared::ledger::{LedgerError, ReplayView};

use crate::language::Lang;
use crate::marks::{self, Tone, moment};
use crate::server::Dashboard;
use crate::shell::Shell;

/// The newest so many are looked at.
const NEWEST: u32 = 5;

/// One that ended is shown for so long.
const SHIFT: SignedDuration = SignedDuration::from_hours(8);

/// A replay and how far it is.
pub(crate) struct Replay {
    pub(crate) begun: Timestamp,
    /// Tells it from others on the page.
    pub(crate) id: i64,
    pub(crate) at: String,
    pub(crate) is_under_way: bool,
    pub(crate) open: u64,
    pub(crate) class: &'static str,
    pub(crate) state: &'static str,
    pub(crate) done: String,
    pub(crate) of: String,
    pub(crate) percent: u64,
    pub(crate) outcomes: Vec<(&'static str, String)>,
    pub(crate) died_again: bool,
    /// Id and date of each.
    pub(crate) runs: Vec<(String, String)>,
}

fn shown(replay: &ReplayView, is_paused: bool, dashboard: &Dashboard, lang: Lang) -> Replay {
    let (of, done) = (replay.rows(), replay.rows() - replay.open);
    let died_again = replay.outcomes.contains_key(&Outcome::DeadLettered);
    let (tone, state) = match (replay.open > 0, died_again) {
        (true, _) if is_paused => (Tone::Warn, lang.t("Paused", "Jeda")),
        (true, _) => (Tone::Busy, lang.t("Under way", "Sedang berjalan")),
        (false, true) => (Tone::Warn, lang.t("Finished, some failed again", "Selesai, ada yang gagal lagi")),
        (false, false) => (Tone::Good, lang.t("Finished", "Selesai")),
    };
    let outcomes = replay.outcomes.iter().map(|(outcome, rows)| {
        let name = match outcome {
            Outcome::DeadLettered => lang.t("Failed again", "Gagal lagi"),
            outcome => marks::outcome(*outcome, lang).1,
        };
        (name, lang.number(rows))
    });
    Replay {
        begun: replay.at,
        id: replay.at.as_microsecond(),
        at: moment(replay.at, &dashboard.zone),
        is_under_way: replay.open > 0,
        open: replay.open,
        class: tone.class(),
        state,
        done: lang.number(&done),
        of: lang.number(&of),
        percent: (done * 100).checked_div(of).unwrap_or(100),
        outcomes: outcomes.collect(),
        died_again,
        runs: replay.runs.iter().map(|(run, date)| (run.to_string(), date.to_string())).collect(),
    }
}

/// Those under way.
pub(crate) async fn under_way(dashboard: &Dashboard, lang: Lang) -> Result<Vec<Replay>, LedgerError> {
    let mut replays = Vec::new();
    // Counting them takes a while: not at each look on a quiet day.
    if is_any_under_way(dashboard).await? {
        replays = since(Timestamp::UNIX_EPOCH, dashboard, lang).await?;
        replays.retain(|replay| replay.is_under_way);
    }
    Ok(replays)
}

/// Those of this shift, and those under way.
pub(crate) async fn of_shift(dashboard: &Dashboard, lang: Lang) -> Result<Vec<Replay>, LedgerError> {
    let begins = dashboard.ledger.now().await? - SHIFT;
    let first = if is_any_under_way(dashboard).await? { Timestamp::UNIX_EPOCH } else { begins };
    let mut replays = since(first, dashboard, lang).await?;
    replays.retain(|replay| replay.is_under_way || replay.begun >= begins);
    Ok(replays)
}

/// A row under replay leaves its run unfinished.
async fn is_any_under_way(dashboard: &Dashboard) -> Result<bool, LedgerError> {
    Ok(!dashboard.ledger.unfinished_runs(&dashboard.job, None).await?.is_empty())
}

async fn since(first: Timestamp, dashboard: &Dashboard, lang: Lang) -> Result<Vec<Replay>, LedgerError> {
    let gate = dashboard.ledger.gate().await?;
    let replays = dashboard.ledger.replays(first, NEWEST).await?;
    Ok(replays.iter().map(|replay| shown(replay, gate.is_some(), dashboard, lang)).collect())
}

/// What changes of them while a page is watched.
#[derive(Template)]
#[template(path = "replays.html")]
pub(crate) struct Part<'a> {
    pub(crate) shell: &'a Shell,
    pub(crate) replays: Vec<Replay>,
}
