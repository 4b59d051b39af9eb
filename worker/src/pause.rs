//! The pause of one process: while something is wrong for every row, none is tried.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shared::ledger::{Gate, GateKind, ShutGate};
use shared::testing::{hurried, hurried_to};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::pause_log::PauseLog;

/// Shared by all tasks of a worker.
pub struct Pause {
    state: watch::Sender<Option<Paused>>,
    ended: AtomicU64,
    terms: PauseTerms,
    /// What was said of it.
    pub log: PauseLog,
}

/// Why nothing is tried, and what is known of the end.
#[derive(Clone, Debug)]
pub struct Paused {
    /// Kind and reason.
    pub gate: Gate,
    /// Until when the server asked not to be asked.
    pub until: Option<Instant>,
    /// Whether others know.
    pub fleet: Fleet,
}

/// What the rest of the fleet knows of a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fleet {
    /// Nothing yet: it has to be told.
    Untold,
    /// The gate says so, until then unless somebody opens it; this process shut it, or another did.
    Told(Instant),
    /// It is no business of theirs.
    Unconcerned,
}

/// How long pauses last.
#[derive(Clone, Copy, Debug)]
pub struct PauseTerms {
    /// Before the first probe.
    pub first: Duration,
    /// Between later probes at most.
    pub most: Duration,
    /// How often the ledger is asked whether another process has shut or opened the gate. A wait that the server asks
    /// for (`Retry-After`) pauses the fleet if it is no shorter; another would be over before it was heard of.
    pub look: Duration,
}

impl Default for PauseTerms {
    fn default() -> Self {
        Self {
            first: hurried(Duration::from_secs(1)),
            most: hurried(Duration::from_secs(60)),
            look: hurried_to(Duration::from_millis(300), Duration::from_secs(1)),
        }
    }
}

impl Paused {
    /// What this process found by itself.
    pub fn found(kind: GateKind, reason: String) -> Self {
        Self { gate: Gate { kind, reason }, until: None, fleet: Fleet::Untold }
    }

    /// What the gate tells of others' pause.
    pub fn adopted(shut: ShutGate) -> Self {
        let lapses = Instant::now() + shut.left;
        let until = (shut.gate.kind == GateKind::Throttled).then_some(lapses);
        Self { gate: shut.gate, until, fleet: Fleet::Told(lapses) }
    }
}

impl Pause {
    /// Starts paused: nothing is tried before the first probe went well.
    pub fn until_probed(terms: PauseTerms) -> Self {
        let reason = "the FHIR server was not asked yet".into();
        let gate = Gate { kind: GateKind::Systemic, reason };
        let unasked = Paused { gate, until: None, fleet: Fleet::Unconcerned };
        Self {
            state: watch::Sender::new(Some(unasked)),
            ended: AtomicU64::new(0),
            terms,
            log: PauseLog::default(),
        }
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

    /// Puts what was found since in the place of whatever it paused for.
    pub fn replace(&self, paused: Paused) {
        self.ended.fetch_add(1, Ordering::AcqRel);
        self.state.send_replace(Some(paused));
    }

    /// Others know of this pause, if it still stands.
    pub fn note_told(&self, gate: &Gate, lapses: Instant) {
        self.state.send_if_modified(|state| match state {
            Some(standing) if standing.gate == *gate => {
                standing.fleet = Fleet::Told(lapses);
                true
            }
            _ => false,
        });
    }

    /// Goes on.
    pub fn end(&self) {
        self.ended.fetch_add(1, Ordering::AcqRel);
        self.state.send_replace(None);
    }

    /// Waits until it is paused.
    pub async fn began(&self) {
        // The sender lives as long as `self`.
        let _ = self.state.subscribe().wait_for(Option::is_some).await;
    }

    /// Wakes whenever it begins, ends or changes.
    pub fn changes(&self) -> watch::Receiver<Option<Paused>> {
        self.state.subscribe()
    }
}
