//! The pause of one process: while something is wrong for every row, none is tried.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shared::ledger::{Gate, GateKind};
use tokio::sync::watch;
use tokio::time::Instant;

/// Shared by all tasks of a worker.
pub struct Pause {
    state: watch::Sender<Option<Paused>>,
    ended: AtomicU64,
    terms: PauseTerms,
}

/// Why nothing is tried, and what is known of the end.
#[derive(Clone, Debug)]
pub struct Paused {
    /// Kind and reason.
    pub gate: Gate,
    /// Until when the server asked not to be asked.
    pub until: Option<Instant>,
    /// Whether another process found it, and told by the ledger.
    pub adopted: bool,
}

/// How long pauses last.
#[derive(Clone, Copy, Debug)]
pub struct PauseTerms {
    /// Before the first probe.
    pub first: Duration,
    /// Between later probes at most.
    pub most: Duration,
    /// How often the ledger is asked whether another process has shut or opened the gate.
    pub look: Duration,
    /// A wait that the server asks for (`Retry-After`) is told to the fleet from so long on; a shorter one would be
    /// over before everybody had heard of it.
    pub told: Duration,
}

impl Default for PauseTerms {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            most: Duration::from_secs(60),
            look: Duration::from_secs(1),
            told: Duration::from_secs(3),
        }
    }
}

impl Paused {
    /// What this process found by itself.
    pub fn found(kind: GateKind, reason: String) -> Self {
        Self { gate: Gate { kind, reason }, until: None, adopted: false }
    }
}

impl Pause {
    /// Starts paused: nothing is tried before the first probe went well.
    pub fn until_probed(terms: PauseTerms) -> Self {
        let unasked = Paused::found(GateKind::Systemic, "the FHIR server was not asked yet".into());
        Self { state: watch::Sender::new(Some(unasked)), ended: AtomicU64::new(0), terms }
    }

    /// Intervals of the probes.
    pub fn terms(&self) -> PauseTerms {
        self.terms
    }

    /// Whether rows may be tried.
    pub fn is_on(&self) -> bool {
        self.state.borrow().is_some()
    }

    /// Why nothing is tried.
    pub fn reason(&self) -> Option<Paused> {
        self.state.borrow().clone()
    }

    /// How many pauses have ended: what was learned before the latest end is out of date.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    /// Pauses. True: it was not paused before, and the caller says so where others look. A guard's pause is not
    /// replaced by a lesser one.
    pub fn begin(&self, paused: Paused) -> bool {
        self.state.send_if_modified(|state| {
            let kind = paused.gate.kind;
            let replaces = state
                .as_ref()
                .is_none_or(|standing| kind == GateKind::Guard && standing.gate.kind != GateKind::Guard);
            if replaces {
                *state = Some(paused);
            }
            replaces
        })
    }

    /// Goes on.
    pub fn end(&self) {
        self.ended.fetch_add(1, Ordering::AcqRel);
        self.state.send_replace(None);
    }

    /// Waits until it is paused.
    pub async fn began(&self) {
        let mut state = self.state.subscribe();
        // The sender lives as long as `self`.
        let _ = state.wait_for(Option::is_some).await;
    }
}
