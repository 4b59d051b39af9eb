//! The worker's loop: probe, receive, work, drain; and the consumer of dead letters beside it.

use std::sync::Arc;
use std::time::Duration;

use shared::error_chain;
use shared::ledger::{Burial, Gate, GateKind, Ledger};
use shared::queue::{Channel, Deliveries, Delivery, Queue, Settle};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::batches::LedgerFailed;
use crate::row::Rows;

/// Dead letters completed side by side.
const BURIALS: usize = 100;

/// Rows in hand at least, however low the limiter is: their ledger steps overlap with others' requests.
const LEAST_IN_HAND: usize = 16;

/// Rows in hand at most where many share a request; their leases run while they wait for company.
const MOST_GATHERED: usize = 5_000;

/// How long a guard stands at most: what any gate may.
const GUARD: Duration = Duration::from_secs(300);

/// How often the ledger is asked whether the guard still stands.
const LOOK_AT_GUARD: Duration = Duration::from_secs(1);

/// After the queue failed, before it is asked again.
const RESUBSCRIBE: Duration = Duration::from_secs(1);

/// A worker; any number run in one process, or in many.
pub struct Worker {
    ledger: Arc<dyn Ledger>,
    queue: Arc<dyn Queue>,
    rows: Arc<Rows>,
    /// `FHIR_MAX_CONCURRENCY`.
    max_concurrency: usize,
}

impl Worker {
    /// A worker that has not started.
    pub fn new(ledger: Arc<dyn Ledger>, queue: Arc<dyn Queue>, rows: Rows, max_concurrency: usize) -> Self {
        Self { ledger, queue, rows: Arc::new(rows), max_concurrency }
    }

    /// Works until `drain`, then finishes what it has in hand; until `abort`, then drops it, to be delivered
    /// again.
    pub async fn run(&self, drain: CancellationToken, abort: CancellationToken) {
        let buried = CancellationToken::new();
        let burials = self.bury(buried.clone());
        let work = async {
            let mut probes = Probes::new(self.rows.server.pause.terms().first);
            while !drain.is_cancelled() {
                if !self.until_well(&mut probes, &drain).await {
                    break;
                }
                self.serve(&drain, &abort).await;
            }
            buried.cancel();
        };
        tokio::join!(work, burials);
    }

    /// Probes until the server is well. False: it is time to stop.
    async fn until_well(&self, probes: &mut Probes, drain: &CancellationToken) -> bool {
        let server = &self.rows.server;
        let pause = server.pause.terms();
        let mut wait = probes.next(pause.most);
        loop {
            if !self.until_unguarded(drain).await {
                return false;
            }
            if let Some(gate) = server.pause.reason()
                && probes.paused_before()
            {
                self.shut_gate(&gate, wait).await;
            }
            let probe = async {
                tokio::time::sleep(wait).await;
                server.probe().await
            };
            let outcome = tokio::select! {
                outcome = probe => outcome,
                () = drain.cancelled() => return false,
            };
            match outcome {
                Ok(()) => {
                    if let Err(error) = self.ledger.open_gate().await {
                        tracing::warn!(
                            error = error_chain(&error),
                            "the gate could not be opened in the ledger; it lapses by itself"
                        );
                    }
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
                    server.pause.end();
                    server.pause.begin(kind, reason);
                    wait = probes.next(pause.most);
                }
            }
        }
    }

    /// A guard stands until an operator starts again, who opens it in the ledger, or until it lapses there: one
    /// good probe does not disprove that searches returned other Patients. False: it is time to stop.
    async fn until_unguarded(&self, drain: &CancellationToken) -> bool {
        let Some(gate) = self.rows.server.pause.reason().filter(|gate| gate.kind == GateKind::Guard) else {
            return true;
        };
        self.shut_gate(&gate, GUARD).await;
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_AT_GUARD) => {}
                () = drain.cancelled() => return false,
            }
            if let Ok(gate) = self.ledger.gate().await
                && gate.is_none_or(|gate| gate.kind != GateKind::Guard)
            {
                return true;
            }
        }
    }

    async fn shut_gate(&self, gate: &Gate, until_probe: Duration) {
        // Longer than until the next probe ends, so that it does not lapse between two of them.
        let lasts = (until_probe * 2 + self.rows.request_timeout).min(Duration::from_secs(300));
        if let Err(error) = self.ledger.shut_gate(gate, lasts).await {
            tracing::warn!(error = error_chain(&error), "the pause could not be noted in the ledger");
        }
    }

    /// Receives and works until drained or paused, and until what is in hand is settled.
    async fn serve(&self, drain: &CancellationToken, abort: &CancellationToken) {
        let mut tasks: JoinSet<()> = JoinSet::new();
        let mut deliveries: Option<Box<dyn Deliveries>> = None;
        let paused = self.rows.server.pause.began();
        let mut paused = std::pin::pin!(paused);
        loop {
            if deliveries.is_none() {
                deliveries = self.subscribe(Channel::Work, self.most_in_hand()).await;
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
    async fn bury(&self, stop: CancellationToken) {
        let mut tasks: JoinSet<()> = JoinSet::new();
        let mut deliveries = None;
        loop {
            if deliveries.is_none() {
                deliveries = self.subscribe(Channel::DeadLetters, BURIALS).await;
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
        while let Some(ended) = tasks.join_next().await {
            note_panic(ended);
        }
    }

    /// None: it failed, and a moment has passed.
    async fn subscribe(&self, channel: Channel, prefetch: usize) -> Option<Box<dyn Deliveries>> {
        match self.queue.subscribe(channel, prefetch).await {
            Ok(deliveries) => Some(deliveries),
            Err(error) => {
                tracing::warn!(error = error_chain(&error), "cannot subscribe to the queue; trying again");
                tokio::time::sleep(RESUBSCRIBE).await;
                None
            }
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
