//! The conditions that a lookout tells of: when each begins, when it is over, in what words.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::LookoutTerms;
use crate::domain::Outcome;
use crate::ledger::{GateKind, KeptNotice, RunState, RunSummary, ShutGate, Standing};
use crate::report::{in_words, thousands};

/// Dead letters that are many enough to be told of: fewer are soon a twentieth of the first rows there ever were.
const FEW: u64 = 10;

/// A text for people, and the same for programs.
type Words = (String, Value);

/// What a look sees.
pub(super) struct Seen {
    /// By the ledger's clock.
    pub(super) now: Timestamp,
    /// The gate, if it is shut.
    pub(super) gate: Option<ShutGate>,
    /// Where the job stands.
    pub(super) standing: Standing,
}

/// What there is to say of a condition.
pub(super) enum Finding {
    /// It holds.
    Trouble(Words),
    /// It was told, and holds no more.
    Over(Words),
    /// Neither, or not for long enough.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// The gate is shut for everybody, and not because the FHIR server named a time.
    Paused,
    /// A run is open, and no row ends.
    Stalled,
    /// Many of the rows that ended last became dead letters.
    Failing,
}

impl Seen {
    /// Whether nobody may ask the FHIR server, for a reason that is told.
    pub(super) fn is_paused(&self) -> bool {
        self.pause().is_some()
    }

    fn pause(&self) -> Option<&ShutGate> {
        self.gate.as_ref().filter(|shut| shut.gate.kind != GateKind::Throttled)
    }

    fn open_run(&self) -> Option<&RunSummary> {
        self.standing.newest.as_ref().filter(|newest| newest.run.state == RunState::Open)
    }

    /// How long ago that was.
    pub(super) fn since(&self, at: Timestamp) -> Duration {
        self.now.duration_since(at).try_into().unwrap_or_default()
    }
}

impl Condition {
    pub(super) const ALL: [Self; 3] = [Self::Paused, Self::Stalled, Self::Failing];

    /// The kind of its notice.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Stalled => "stalled",
            Self::Failing => "failing",
        }
    }

    /// The kind of the notice that it is over.
    pub(super) fn over(self) -> &'static str {
        match self {
            Self::Paused => "resumed",
            Self::Stalled => "moving",
            Self::Failing => "recovered",
        }
    }

    /// `told` is its notice, where the last thing told is that it holds; rows could end for `unpaused_for`.
    pub(super) fn find(
        self,
        seen: &Seen,
        told: Option<&KeptNotice>,
        terms: &LookoutTerms,
        unpaused_for: Duration,
    ) -> Finding {
        match self {
            Self::Paused => paused(seen, told, terms),
            Self::Stalled => stalled(seen, told, terms, unpaused_for),
            Self::Failing => failing(seen, told),
        }
    }
}

fn paused(seen: &Seen, told: Option<&KeptNotice>, terms: &LookoutTerms) -> Finding {
    let Some(shut) = seen.pause() else {
        let Some(told) = told else { return Finding::Nothing };
        let began = began(told);
        // A gate lapses by itself if nobody is left who could ask: while a run is open, rows have to tell.
        if seen.open_run().is_some() && seen.standing.last_ended.is_none_or(|ended| ended < told.noted_at) {
            return Finding::Nothing;
        }
        let lasted = in_words(seen.since(began).as_secs_f64());
        let text = format!("the pause is over, {lasted} after it began.");
        return Finding::Over((text, json!({ "since": began, "seconds": seen.since(began).as_secs() })));
    };
    let is_guard = shut.gate.kind == GateKind::Guard;
    if !is_guard && seen.since(shut.since) < terms.paused_for {
        return Finding::Nothing;
    }
    let reason = &shut.gate.reason;
    let text = if is_guard {
        format!(
            "everything stopped, because going on could write to the wrong Patient: {reason}. See why before the night \
             is started again, which opens the way."
        )
    } else {
        format!(
            "the night pauses: {reason}. No row is lost. The FHIR server is asked again at least once a minute, and the \
             night goes on by itself when all is well."
        )
    };
    Finding::Trouble((
        text,
        json!({ "since": shut.since, "pause": shut.gate.kind.as_str(), "reason": reason }),
    ))
}

fn stalled(seen: &Seen, told: Option<&KeptNotice>, terms: &LookoutTerms, unpaused_for: Duration) -> Finding {
    let over = |told: &KeptNotice, text: &str| {
        Finding::Over((
            text.to_owned(),
            json!({ "since": began(told), "seconds": seen.since(began(told)).as_secs() }),
        ))
    };
    let Some(RunSummary { run, tally }) = seen.open_run() else {
        return told.map_or(Finding::Nothing, |told| over(told, "the run that stood still is closed."));
    };
    let Some(last) = seen.standing.last_ended.or(run.snapshot_at) else { return Finding::Nothing };
    if seen.since(last) < terms.still_for {
        return told.map_or(Finding::Nothing, |told| over(told, "rows end again."));
    }
    // A pause is told by itself.
    if seen.is_paused() || unpaused_for < terms.still_for {
        return Finding::Nothing;
    }
    let why = seen.gate.as_ref().map_or(String::new(), |shut| format!(" ({})", shut.gate.reason));
    let text = format!(
        "in the night of {} no row ended for {}{why}, and {} are open. See on the page whether workers run, and what they \
         wait for.",
        run.date,
        in_words(seen.since(last).as_secs_f64()),
        thousands(tally.open)
    );
    Finding::Trouble((
        text,
        json!({ "since": last, "run_id": run.id, "run_date": run.date, "rows_open": tally.open }),
    ))
}

fn failing(seen: &Seen, told: Option<&KeptNotice>) -> Finding {
    let recent = &seen.standing.recent;
    let all: u64 = recent.values().sum();
    let dead = recent.get(&Outcome::DeadLettered).copied().unwrap_or(0);
    let detail = json!({ "dead_lettered": dead, "of": all });
    let counted = format!("{} of the last {} rows", thousands(dead), thousands(all));
    if dead * 20 > all && dead >= FEW {
        // Of a night that is over the closing tells.
        if seen.open_run().is_none() || seen.standing.last_ended.is_none() {
            return Finding::Nothing;
        }
        let text = format!(
            "{counted} became dead letters. See the reasons on the page under Dead letters, mend the cause, then replay."
        );
        return Finding::Trouble((text, detail));
    }
    // Between the two bounds what was told stands.
    if told.is_some() && (dead * 25 <= all || dead < FEW) {
        return Finding::Over((format!("rows are well again: {counted} are dead letters."), detail));
    }
    Finding::Nothing
}

/// When what a notice tells of began, as it says itself.
fn began(told: &KeptNotice) -> Timestamp {
    let since = told.notice.detail["since"].as_str().and_then(|since| since.parse().ok());
    since.unwrap_or(told.noted_at)
}
