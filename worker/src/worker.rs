//! The worker's loop: probe, receive, work, drain; and the consumer of dead letters beside it.

use std::sync::Arc;
use std::time::Duration;

use shared::error_chain;
use shared::ledger::{Burial, Gate, GateKind, Ledger, ShutGate};
use shared::queue::{Channel, Deliveries, Delivery, Queue, Queues, Settle};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::batches::LedgerFailed;
use crate::pause::Paused;
use crate::row::Rows;

/// Dead letters completed side by side.
const BURIALS: usize = 100;

/// Rows in hand at least, however low the limiter is: their ledger steps overlap with others' requests.
const LEAST_IN_HAND: usize = 16;

/// Rows in hand at most where many share a request; their leases run while they wait for company.
const MOST_GATHERED: usize = 5_000;

/// How long a guard stands at most: what any gate may.
const GUARD: Duration = Duration::from_secs(300);

/// What a worker that is asked to stop has to drain: a service manager's usual patience is 30 s. What is in hand
/// after that is delivered again.
pub const DRAIN: Duration = Duration::from_secs(25);

/// After the queue failed, before it is asked again.
const RESUBSCRIBE: Duration = Duration::from_secs(1);

/// Who probes while the fleet is paused.
const PROBE: &str = "probe";

/// A worker; any number run in one process, or in many.
pub struct Worker {
    /// The ledger.
    pub ledger: Arc<dyn Ledger>,
    /// The queues.
    pub queues: Queues,
    /// What every row needs.
    pub rows: Arc<Rows>,
    /// `FHIR_MAX_CONCURRENCY`.
    pub max_concurrency: usize,
    /// Names this worker among its peers.
    pub holder: String,
}

impl Worker {
    /// Works until `drain`, then finishes what it has in hand; until `abort`, then drops it, to be delivered
    /// again.
    pub async fn run(&self, drain: CancellationToken, abort: CancellationToken) {
        let done = CancellationToken::new();
        let work = async {
            let mut probes = Probes::new(self.rows.server.pause.terms().first);
            while self.until_well(&mut probes, &drain).await {
                tokio::join!(self.serve(&self.queues.night, &drain, &abort), async {
                    if let Some(queue) = self.queues.apart() {
                        self.serve(queue, &drain, &abort).await;
                    }
                });
            }
            done.cancel();
        };
        tokio::join!(work, self.watch_gate(&done), self.bury(&self.queues.night, &done), async {
            if let Some(queue) = self.queues.apart() {
                self.bury(queue, &done).await;
            }
        });
    }

    /// [`run`](Self::run), which gives up what is still in hand so long after `drain`.
    pub async fn run_at_most(&self, drain: CancellationToken, abort: CancellationToken, patience: Duration) {
        let run_out = async {
            drain.cancelled().await;
            tokio::time::sleep(patience).await;
            abort.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = self.run(drain.clone(), abort.clone()) => {}
            () = run_out => {}
        }
    }

    /// Pauses when another process has shut the gate.
    async fn watch_gate(&self, done: &CancellationToken) {
        let pause = &self.rows.server.pause;
        while !done.is_cancelled() {
            tokio::select! {
                () = tokio::time::sleep(pause.terms().look) => {}
                () = done.cancelled() => break,
            }
            let ended = pause.ended();
            if pause.is_on() {
                continue;
            }
            // The gate may be our own, opened after it was read.
            if let Ok(Some(ShutGate { gate, left, .. })) = self.ledger.gate().await
                && pause.ended() == ended
            {
                let until = (gate.kind == GateKind::Throttled).then(|| Instant::now() + left);
                let Gate { kind, reason } = gate.clone();
                if pause.begin(Paused { gate, until, adopted: true }) {
                    tracing::warn!(reason, kind = %kind, "another process paused the night");
                }
            }
        }
    }

    /// Probes until the server is well. False: it is time to stop.
    async fn until_well(&self, probes: &mut Probes, drain: &CancellationToken) -> bool {
        let server = &self.rows.server;
        let most = server.pause.terms().most;
        let mut wait = probes.next(most);
        // Whether others are well while this one is not.
        let mut alone = false;
        loop {
            if drain.is_cancelled() || !self.until_unguarded(drain).await {
                return false;
            }
            let paused = server.pause.reason();
            let asked = paused.as_ref().and_then(|paused| paused.until);
            // However long the server asks for, the gate lapses, and somebody looks again.
            let first =
                asked.map_or(wait, |until| until.saturating_duration_since(Instant::now()).min(GUARD));
            let mut told = false;
            if let Some(paused) = paused
                && !paused.adopted
                && probes.paused_before()
            {
                told = true;
                // Longer than until the next probe ends, so that it does not lapse between two of them.
                let lasts = if asked.is_some() { first } else { first * 2 + self.rows.request_timeout };
                self.shut_gate(&paused.gate, lasts).await;
            }
            if !pass(first, drain).await {
                return false;
            }
            let Some(is_open) = self.until_our_turn(wait, drain).await else { return false };
            let outcome = tokio::select! {
                outcome = server.probe() => outcome,
                () = drain.cancelled() => return false,
            };
            match outcome {
                Ok(()) => {
                    self.open_gate().await;
                    if probes.paused_before() {
                        tracing::info!("the FHIR server is well again; the night goes on");
                    }
                    probes.resumed();
                    server.resume();
                    return true;
                }
                Err((kind, reason)) => {
                    if !probes.paused_before() {
                        tracing::warn!(reason, kind = %kind, "the night pauses");
                    }
                    // We shut it, somebody who is well opened it, and we still fail: that is our own trouble, a stale
                    // secret or a broken way out, and no reason to stop the fleet.
                    alone |= told && is_open;
                    server.pause.end();
                    server.pause.begin(Paused { adopted: alone, ..Paused::found(kind, reason) });
                    // Another's turn.
                    let _ = self.ledger.hold_duty(PROBE, &self.holder, Duration::ZERO).await;
                    wait = probes.next(most);
                }
            }
        }
    }

    /// While the gate is shut one worker of the fleet probes, and the others wait for what it finds; where the
    /// server named a time, all of them wait for that, and for a guard until it is gone. A gate that lapsed holds
    /// nobody. Tells whether it is open; none: it is time to stop.
    async fn until_our_turn(&self, wait: Duration, drain: &CancellationToken) -> Option<bool> {
        let look = self.rows.server.pause.terms().look;
        let lease = (wait * 2 + self.rows.request_timeout).max(look * 2);
        loop {
            let pass_for = match self.ledger.gate().await {
                Ok(Some(shut)) if shut.gate.kind != GateKind::Systemic => shut.left.min(look),
                Ok(Some(_)) if !self.ledger.hold_duty(PROBE, &self.holder, lease).await.unwrap_or(true) => {
                    look
                }
                Ok(gate) => return Some(gate.is_none()),
                Err(_) => return Some(false),
            };
            if !pass(pass_for, drain).await {
                return None;
            }
        }
    }

    /// A guard stands until an operator starts again, who opens it in the ledger, or until it lapses there: one
    /// good probe does not disprove that searches returned other Patients. False: it is time to stop.
    async fn until_unguarded(&self, drain: &CancellationToken) -> bool {
        let pause = &self.rows.server.pause;
        let guard = |paused: &Paused| paused.gate.kind == GateKind::Guard;
        let Some(paused) = pause.reason().filter(guard) else { return true };
        if !paused.adopted {
            self.shut_gate(&paused.gate, GUARD).await;
        }
        loop {
            if !pass(pause.terms().look, drain).await {
                return false;
            }
            if let Ok(shut) = self.ledger.gate().await
                && shut.is_none_or(|shut| shut.gate.kind != GateKind::Guard)
            {
                // No longer a guard: the next probe tells what it is now.
                pause.end();
                pause
                    .begin(Paused { adopted: true, ..Paused::found(GateKind::Systemic, paused.gate.reason) });
                return true;
            }
        }
    }

    /// Opens the gate after a good probe; a guard that somebody shut meanwhile stands.
    async fn open_gate(&self) {
        let opened = async {
            match self.ledger.gate().await? {
                Some(shut) if shut.gate.kind == GateKind::Guard => Ok(()),
                _ => self.ledger.open_gate().await,
            }
        };
        if let Err(error) = opened.await {
            tracing::warn!(
                error = error_chain(&error),
                "the gate could not be opened in the ledger; it lapses by itself"
            );
        }
    }

    async fn shut_gate(&self, gate: &Gate, lasts: Duration) {
        if let Err(error) = self.ledger.shut_gate(gate, lasts.min(GUARD)).await {
            tracing::warn!(error = error_chain(&error), "the pause could not be noted in the ledger");
        }
    }

    /// Receives and works until drained or paused, and until what is in hand is settled.
    async fn serve(&self, queue: &Arc<dyn Queue>, drain: &CancellationToken, abort: &CancellationToken) {
        let mut tasks: JoinSet<()> = JoinSet::new();
        let mut deliveries: Option<Box<dyn Deliveries>> = None;
        let paused = self.rows.server.pause.began();
        let mut paused = std::pin::pin!(paused);
        loop {
            if deliveries.is_none() {
                tokio::select! {
                    subscribed = subscribe(queue, Channel::Work, self.most_in_hand()) => deliveries = subscribed,
                    () = drain.cancelled() => break,
                }
            }
            let room = tasks.len() < self.in_hand_now();
            tokio::select! {
                biased;
                () = drain.cancelled() => break,
                () = &mut paused => break,
                Some(ended) = tasks.join_next() => note_panic(ended),
                delivery = next(&mut deliveries), if room => match delivery {
                    Some(delivery) => {
                        let rows = self.rows.clone();
                        tasks.spawn(async move { rows.work(delivery).await });
                    }
                    None => deliveries = None,
                },
            }
        }
        drop(deliveries);
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    Some(ended) => note_panic(ended),
                    None => break,
                },
                () = abort.cancelled() => {
                    tasks.shutdown().await;
                    break;
                }
            }
        }
    }

    /// Completes dead letters until told to stop.
    async fn bury(&self, queue: &Arc<dyn Queue>, stop: &CancellationToken) {
        let mut tasks: JoinSet<()> = JoinSet::new();
        let mut deliveries = None;
        loop {
            if deliveries.is_none() {
                tokio::select! {
                    subscribed = subscribe(queue, Channel::DeadLetters, BURIALS) => deliveries = subscribed,
                    () = stop.cancelled() => break,
                }
            }
            let room = tasks.len() < BURIALS;
            tokio::select! {
                Some(ended) = tasks.join_next() => note_panic(ended),
                delivery = next(&mut deliveries), if room => match delivery {
                    Some(delivery) => {
                        let rows = self.rows.clone();
                        tasks.spawn(async move { bury_one(&rows, delivery).await });
                    }
                    None => deliveries = None,
                },
                () = stop.cancelled() => break,
            }
        }
        drop(deliveries);
        while let Some(ended) = tasks.join_next().await {
            note_panic(ended);
        }
    }

    fn most_in_hand(&self) -> usize {
        let rows = self.max_concurrency * 2;
        let gathered = (rows * self.rows.server.rows_per_request()).min(MOST_GATHERED);
        rows.max(gathered).max(LEAST_IN_HAND)
    }

    /// Twice what the limiter lets out: while half of the rows are with the server, the other half are with the
    /// ledger. More would only wait with a lease running.
    fn in_hand_now(&self) -> usize {
        let limit = self.rows.server.limiter.snapshot().limit;
        let rows = limit * 2.0 * self.rows.server.rows_per_request() as f64;
        (rows as usize).clamp(LEAST_IN_HAND, self.most_in_hand())
    }
}

/// When to probe: soon after a first pause, ever later while pauses follow each other closely.
struct Probes {
    first: Duration,
    wait: Duration,
    resumed_at: Option<Instant>,
    started: bool,
}

impl Probes {
    fn new(first: Duration) -> Self {
        Self { first, wait: Duration::ZERO, resumed_at: None, started: false }
    }

    /// The wait before the next probe; none before the very first.
    fn next(&mut self, most: Duration) -> Duration {
        if !self.started {
            self.started = true;
            return Duration::ZERO;
        }
        let calm = self.resumed_at.take().is_some_and(|at| at.elapsed() > self.wait * 4);
        self.wait = if calm || self.wait.is_zero() { self.first } else { (self.wait * 2).min(most) };
        self.wait
    }

    /// Whether this is a pause to speak of, and not just the start.
    fn paused_before(&self) -> bool {
        !self.wait.is_zero()
    }

    fn resumed(&mut self) {
        self.resumed_at = Some(Instant::now());
    }
}

/// False: it is time to stop.
async fn pass(time: Duration, drain: &CancellationToken) -> bool {
    tokio::select! {
        () = tokio::time::sleep(time) => true,
        () = drain.cancelled() => false,
    }
}

/// None: it failed, and a moment has passed.
async fn subscribe(queue: &Arc<dyn Queue>, channel: Channel, prefetch: usize) -> Option<Box<dyn Deliveries>> {
    match queue.subscribe(channel, prefetch).await {
        Ok(deliveries) => Some(deliveries),
        Err(error) => {
            tracing::warn!(error = error_chain(&error), "cannot subscribe to the queue; trying again");
            tokio::time::sleep(RESUBSCRIBE).await;
            None
        }
    }
}

async fn next(deliveries: &mut Option<Box<dyn Deliveries>>) -> Option<Delivery> {
    match deliveries {
        Some(deliveries) => deliveries.next().await,
        None => None,
    }
}

async fn bury_one(rows: &Rows, delivery: Delivery) {
    let key = delivery.message.key;
    let buried = rows.batches.burials.ask(Burial { key, deaths: delivery.deaths.clone() }).await;
    let how = match buried {
        Ok(()) => Settle::Done,
        // Dropped instead of settled it would come back at once, and meet the same ledger.
        Err(LedgerFailed) => {
            tokio::time::sleep(RESUBSCRIBE).await;
            return;
        }
    };
    if let Err(error) = delivery.settle(how).await {
        tracing::debug!(error = error_chain(&error), "a dead letter could not be settled; it comes again");
    }
}

fn note_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        // Its delivery went back to the queue, and its claim counts as crashed.
        tracing::error!(error = %error, "a row's task panicked");
    }
}
