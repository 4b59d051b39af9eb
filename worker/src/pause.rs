//! The pause of one process: while something is wrong for every row, none is tried.

use std::time::Duration;

use shared::ledger::{Gate, GateKind};
use tokio::sync::watch;

/// Shared by all tasks of a worker.
pub struct Pause {
    state: watch::Sender<Option<Gate>>,
    terms: PauseTerms,
}

/// How long pauses last.
#[derive(Clone, Copy, Debug)]
pub struct PauseTerms {
    /// Before the first probe.
    pub first: Duration,
    /// Between later probes at most.
    pub most: Duration,
}

impl Default for PauseTerms {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), most: Duration::from_secs(60) }
    }
}

impl Pause {
    /// Starts paused: nothing is tried before the first probe went well.
    pub fn until_probed(terms: PauseTerms) -> Self {
        let gate = Gate { kind: GateKind::Systemic, reason: "the FHIR server was not asked yet".into() };
        Self { state: watch::Sender::new(Some(gate)), terms }
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
    pub fn reason(&self) -> Option<Gate> {
        self.state.borrow().clone()
    }

    /// Pauses. True: it was not paused before, and the caller says so where others look. A guard's pause is not
    /// replaced by a lesser one.
    pub fn begin(&self, kind: GateKind, reason: String) -> bool {
        self.state.send_if_modified(|state| {
            let replaces =
                state.as_ref().is_none_or(|standing| kind == GateKind::Guard && standing.kind != kind);
            if replaces {
                *state = Some(Gate { kind, reason });
            }
            replaces
        })
    }

    /// Goes on.
    pub fn end(&self) {
        self.state.send_replace(None);
    }

    /// Waits until it is paused.
    pub async fn began(&self) {
        let mut state = self.state.subscribe();
        // The sender lives as long as `self`.
        let _ = state.wait_for(Option::is_some).await;
    }
}
