//! The gate of the fleet as one worker keeps it: tells the others of its pause, pauses with them, and probes when it
//! is its turn.

use std::time::Duration;

use shared::error_chain;
use shared::ledger::{GateKind, LedgerError, ShutGate};
use tokio::time::{Instant, sleep};

use crate::pause::{Fleet, PauseTerms, Paused};
use crate::worker::Worker;

/// How long a gate is shut at most, a guard's always.
const LONGEST: Duration = Duration::from_secs(300);

/// Who probes while the fleet is paused.
const PROBE: &str = "probe";

/// What a worker found when its turn to probe came.
struct Turn {
    /// The gate, if it is shut.
    seen: Option<ShutGate>,
    /// Whether somebody opened it before it lapsed: somebody is well.
    opened: bool,
}

impl Worker {
    /// Tells the fleet of this worker's pauses as soon as they begin, and this worker of the fleet's.
    pub(crate) async fn keep_gate(&self) {
        let pause = &self.rows.server.pause;
        let look = pause.terms().look;
        let mut changes = pause.changes();
        let mut failed_before = false;
        loop {
            changes.mark_unchanged();
            match pause.reason() {
                Some(paused) if paused.fleet == Fleet::Untold => {
                    if let Err(error) = self.tell(&paused).await {
                        if !failed_before {
                            tracing::warn!(
                                error = error_chain(&error),
                                "the pause could not be noted in the ledger; trying again"
                            );
                        }
                        failed_before = true;
                        // Not on each change: the ledger is in trouble.
                        sleep(look).await;
                        continue;
                    }
                    failed_before = false;
                }
                Some(_) => {
                    let _ = changes.changed().await;
                }
                None => {
                    let _ = tokio::time::timeout(look, changes.changed()).await;
                    self.adopt().await;
                }
            }
        }
    }

    /// Shuts the gate for as long as the pause lasts, as far as that is known.
    async fn tell(&self, paused: &Paused) -> Result<(), LedgerError> {
        let server = &self.rows.server;
        let lasts = match (paused.gate.kind, paused.until) {
            (GateKind::Guard, _) => LONGEST,
            (_, Some(until)) => until.saturating_duration_since(Instant::now()),
            // Past the end of the next probe, however late that is, so that it does not lapse between two of them.
            (_, None) => (server.pause.terms().most + self.rows.request_timeout) * 2,
        };
        let lasts = lasts.min(LONGEST);
        // From before it was asked: it must not seem opened where it lapsed.
        let lapses = Instant::now() + lasts;
        if !lasts.is_zero() {
            self.ledger.shut_gate(&paused.gate, lasts).await?;
        }
        server.pause.note_told(&paused.gate, lapses);
        Ok(())
    }

    /// Pauses if another process has shut the gate.
    async fn adopt(&self) {
        let pause = &self.rows.server.pause;
        let ended = pause.ended();
        if pause.is_on() {
            return;
        }
        // The gate may be our own, opened after it was read.
        if let Ok(Some(shut)) = self.ledger.gate().await
            && pause.ended() == ended
        {
            let gate = shut.gate.clone();
            if pause.begin(Paused::adopted(shut)) {
                pause.log.began(&gate, "another process paused the night");
            }
        }
    }

    /// Probes until the server is well.
    pub(crate) async fn until_well(&self, probes: &mut Probes) {
        let server = &self.rows.server;
        let (pause, look) = (&server.pause, server.pause.terms().look);
        // Whether others are well while this one is not.
        let mut alone = false;
        let mut failed = false;
        // Whether this is a pause to speak of, and not just the start.
        let paused_before = probes.started;
        loop {
            self.until_unguarded().await;
            let asked = pause.reason().and_then(|paused| paused.until);
            // However long the server asks for, the gate lapses, and somebody looks again.
            let wait = match asked {
                Some(until) => until.saturating_duration_since(Instant::now()).min(LONGEST),
                None => probes.next(),
            };
            if failed {
                // Nobody probes before it is time. Then others come first, who look once more than this one, and one
                // that is sick does not keep the turn.
                let spacing = if alone { Duration::ZERO } else { wait.saturating_sub(look) };
                let _ = self.ledger.hold_duty(PROBE, &self.holder, spacing).await;
            }
            sleep(wait).await;
            let turn = self.until_our_turn().await;
            match server.probe().await {
                Ok(()) => {
                    if !self.open_gate(turn.seen.as_ref()).await {
                        continue;
                    }
                    if paused_before || failed {
                        pause.log.ended();
                    }
                    probes.resumed();
                    server.resume();
                    return;
                }
                Err(found) => {
                    if !paused_before && !failed {
                        pause.log.began(&found.gate, "the night pauses");
                    }
                    // The gate was opened by somebody who is well, and we still fail: that is our own trouble, a stale
                    // secret or a broken way out, and no reason to stop the fleet.
                    alone |= turn.opened && found.gate.kind == GateKind::Systemic;
                    let unconcerned = alone && found.gate.kind == GateKind::Systemic;
                    let fleet = if unconcerned { Fleet::Unconcerned } else { found.fleet };
                    pause.replace(Paused { fleet, ..found });
                    failed = true;
                }
            }
        }
    }

    /// While the gate is shut one worker of the fleet probes at a time, and the others wait for what it finds; where
    /// the server named a time, all of them wait for that. When it lapses one of them goes first, who has shut it again
    /// by the next look if it has to be. A gate that was opened holds nobody: each makes sure for itself.
    async fn until_our_turn(&self) -> Turn {
        let look = self.rows.server.pause.terms().look;
        // For a token and a search.
        let lease = self.rows.request_timeout * 2 + look;
        let mut another_came_first = false;
        loop {
            let fleet = self.rows.server.pause.reason().map(|paused| paused.fleet);
            let lapsed = matches!(fleet, Some(Fleet::Told(lapses)) if lapses <= Instant::now());
            let wait = match self.ledger.gate().await {
                Ok(Some(shut)) if shut.gate.kind != GateKind::Systemic => shut.left.min(look),
                Ok(None) if !lapsed || another_came_first => {
                    return Turn { seen: None, opened: !lapsed && matches!(fleet, Some(Fleet::Told(_))) };
                }
                Ok(seen) => match self.ledger.hold_duty(PROBE, &self.holder, lease).await {
                    Ok(false) => {
                        another_came_first = seen.is_none();
                        look
                    }
                    Ok(true) | Err(_) => return Turn { seen, opened: false },
                },
                Err(_) => return Turn { seen: None, opened: false },
            };
            sleep(wait).await;
        }
    }

    /// A guard stands until an operator starts again, who opens it in the ledger, or until it lapses there: one
    /// good probe does not disprove that searches returned other Patients.
    async fn until_unguarded(&self) {
        let pause = &self.rows.server.pause;
        while let Some(paused) = pause.reason().filter(|paused| paused.gate.kind == GateKind::Guard) {
            sleep(pause.terms().look).await;
            // Before the fleet is told, that the ledger knows no guard means nothing.
            if let Fleet::Told(_) = paused.fleet
                && let Ok(shut) = self.ledger.gate().await
                && shut.is_none_or(|shut| shut.gate.kind != GateKind::Guard)
            {
                // No longer a guard: the next probe tells what it is now.
                let unguarded = Paused::found(GateKind::Systemic, paused.gate.reason);
                pause.replace(Paused { fleet: Fleet::Unconcerned, ..unguarded });
            }
        }
    }

    /// Opens the gate after a good probe, and lets others have their turn. False: it was shut again meanwhile.
    async fn open_gate(&self, seen: Option<&ShutGate>) -> bool {
        let opened = async {
            let opened = match seen {
                Some(seen) => self.ledger.open_gate(seen).await? || self.ledger.gate().await?.is_none(),
                None => true,
            };
            self.ledger.hold_duty(PROBE, &self.holder, Duration::ZERO).await?;
            Ok::<_, LedgerError>(opened)
        };
        opened.await.unwrap_or_else(|error| {
            tracing::warn!(
                error = error_chain(&error),
                "the gate could not be opened in the ledger; it lapses by itself"
            );
            true
        })
    }
}

/// When to probe: soon after a first pause, ever later while pauses follow each other closely. It goes by how long
/// the trouble lasts, which all workers know alike, and not by who probed how often.
pub(crate) struct Probes {
    terms: PauseTerms,
    wait: Duration,
    troubled_at: Option<Instant>,
    resumed_at: Option<Instant>,
    started: bool,
}

impl Probes {
    pub(crate) fn new(terms: PauseTerms) -> Self {
        Self { terms, wait: Duration::ZERO, troubled_at: None, resumed_at: None, started: false }
    }

    /// The wait before the next probe; none before the very first.
    fn next(&mut self) -> Duration {
        if !self.started {
            self.started = true;
            return Duration::ZERO;
        }
        if self.resumed_at.take().is_some_and(|at| at.elapsed() > self.wait * 4) {
            self.troubled_at = None;
        }
        let troubled_for = self.troubled_at.get_or_insert_with(Instant::now).elapsed();
        self.wait = (troubled_for + self.terms.first).min(self.terms.most);
        self.wait
    }

    fn resumed(&mut self) {
        self.resumed_at = Some(Instant::now());
    }
}
