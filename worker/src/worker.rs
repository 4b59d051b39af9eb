//! The worker's loop: probe, receive, work, drain; and the consumer of dead letters beside it.

use std::sync::Arc;
use std::time::Duration;

use shared::error_chain;
use shared::ledger::{Burial, Ledger};
use shared::queue::{Channel, Deliveries, Delivery, Queue, Queues, Settle};
use shared::testing::Failpoint;
use shared::traces;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::batches::LedgerFailed;
use crate::gate::Probes;
use crate::row::Rows;

/// Dead letters completed side by side.
const BURIALS: usize = 100;

/// Rows in hand at least, however low the limiter is: their ledger steps overlap with others' requests.
const LEAST_IN_HAND: usize = 16;

/// Rows in hand for each request that the limiter lets out.
const ROWS_A_REQUEST: usize = 4;

/// Rows in hand at most where many share a request: their leases run while they wait for company, and each holds a Patient
/// to be written. So many keep a server busy that answers a row in half a second, at 4,000 rows a second.
const MOST_GATHERED: usize = 2_000;

/// After the queue failed, before it is asked again.
const RESUBSCRIBE: Duration = Duration::from_secs(1);

/// What a worker that was told to drop everything has for that.
const LAST_MOMENT: Duration = Duration::from_millis(500);

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
            let mut probes = Probes::new(self.rows.server.pause.terms());
            loop {
                tokio::select! {
                    biased;
                    () = drain.cancelled() => break,
                    () = self.until_well(&mut probes) => {}
                }
                tokio::join!(self.serve(&self.queues.night, &drain, &abort), async {
                    if let Some(queue) = self.queues.apart() {
                        self.serve(queue, &drain, &abort).await;
                    }
                });
            }
            done.cancel();
        };
        let keep_gate = async {
            tokio::select! {
                biased;
                () = self.keep_gate() => {}
                () = self.sample() => {}
                () = done.cancelled() => {}
            }
        };
        tokio::join!(work, keep_gate, self.bury(&self.queues.night, &done), async {
            if let Some(queue) = self.queues.apart() {
                self.bury(queue, &done).await;
            }
        });
    }

    /// [`run`](Self::run), which gives up what is still in hand so long after `drain`, or when `abort` says so. It ends
    /// then, whatever ledger, queue or server do not answer.
    pub async fn run_at_most(&self, drain: CancellationToken, abort: CancellationToken, patience: Duration) {
        let run_out = async {
            drain.cancelled().await;
            let in_time = tokio::time::timeout(patience, abort.cancelled()).await;
            if in_time.is_err() {
                tracing::warn!("what is in hand could not be finished in time; it is delivered again");
            }
            abort.cancel();
            tokio::time::sleep(LAST_MOMENT).await;
        };
        tokio::select! {
            biased;
            () = self.run(drain.clone(), abort.clone()) => {}
            () = run_out => {}
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
                    biased;
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
                biased;
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
                    biased;
                    subscribed = subscribe(queue, Channel::DeadLetters, BURIALS) => deliveries = subscribed,
                    () = stop.cancelled() => break,
                }
            }
            let room = tasks.len() < BURIALS;
            tokio::select! {
                biased;
                Some(ended) = tasks.join_next() => note_panic(ended),
                () = stop.cancelled() => break,
                delivery = next(&mut deliveries), if room => match delivery {
                    Some(delivery) => {
                        let rows = self.rows.clone();
                        let span = traces::burial(&delivery);
                        tasks.spawn(async move { bury_one(&rows, delivery).await }.instrument(span));
                    }
                    None => deliveries = None,
                },
            }
        }
        drop(deliveries);
        while let Some(ended) = tasks.join_next().await {
            note_panic(ended);
        }
    }

    fn most_in_hand(&self) -> usize {
        let rows = self.max_concurrency * ROWS_A_REQUEST;
        let gathered = (rows * self.rows.server.rows_per_request()).min(MOST_GATHERED);
        rows.max(gathered).max(LEAST_IN_HAND)
    }

    /// Several times what the limiter lets out: while some of the rows are with the server, the others gather for the
    /// ledger. More would only wait with a lease running.
    fn in_hand_now(&self) -> usize {
        let limit = self.rows.server.limiter.snapshot().limit;
        let rows = limit * (ROWS_A_REQUEST * self.rows.server.rows_per_request()) as f64;
        (rows as usize).clamp(LEAST_IN_HAND, self.most_in_hand())
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
    Failpoint::Buried.pass();
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
