//! What the log says of pauses. A server that asks for a second's pause every few seconds must not fill it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::ledger::{Gate, GateKind};
use tokio::time::Instant;

/// Between two words of pauses that the server asked for.
const QUIET: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub struct PauseLog(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    /// When a pause that the server asked for was last told of.
    throttled_at: Option<Instant>,
    /// How many began since, and were not told of.
    unsaid: u64,
    /// Whether the pause that stands was told of.
    is_said: bool,
}

impl PauseLog {
    /// A pause began; `what` says on whose account.
    pub fn began(&self, gate: &Gate, what: &'static str) {
        let mut said = self.said();
        if gate.kind == GateKind::Throttled {
            if said.throttled_at.is_some_and(|at| at.elapsed() < QUIET) {
                (said.unsaid, said.is_said) = (said.unsaid + 1, false);
                return;
            }
            said.throttled_at = Some(Instant::now());
        }
        said.is_said = true;
        let unsaid = std::mem::take(&mut said.unsaid);
        // How many there were since the last one that was told of, where there were any.
        let besides = (unsaid > 0).then_some(unsaid);
        tracing::warn!(reason = gate.reason, kind = %gate.kind, besides, "{what}");
    }

    /// It is over.
    pub fn ended(&self) {
        if self.said().is_said {
            tracing::info!("the FHIR server is well again; the night goes on");
        }
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttled() -> Gate {
        Gate { kind: GateKind::Throttled, reason: "asked to".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_that_the_server_asks_for_are_told_of_once_a_minute_and_all_others_always() {
        let log = PauseLog::default();
        let mut told = Vec::new();
        for second in 0..150 {
            log.began(&throttled(), "a pause");
            if log.said().is_said {
                told.push(second);
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(told, [0, 60, 120]);
        assert_eq!(log.said().unsaid, 29);
        for _ in 0..2 {
            log.began(&Gate { kind: GateKind::Systemic, reason: "down".into() }, "a pause");
            assert!(log.said().is_said);
        }
        assert_eq!(log.said().unsaid, 0, "they were counted in with it");
    }
}
