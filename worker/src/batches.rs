//! Gathers what many rows ask of the ledger into few calls.
//!
//! While one call is under way the next batch fills by itself, and then it waits for a share of the rows in hand: each
//! call costs a commit, and a row that waits costs nothing while others keep the FHIR server busy. So batches grow with
//! the load, a lone row does not wait, and nobody waits for longer than `linger`.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shared::error_chain;
use shared::ledger::{Burial, Claim, ClaimRequest, Intent, Ledger, LedgerError, Record, Recorded};
use shared::metrics::Metrics;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

/// One in so many of the rows in hand is waited for. A row waits three times on its way, for half of that share on
/// average, and of four rows in hand one is enough to keep the server busy. As a share the waits follow how fast rows
/// go: with a slow server they are long, with a fast one short.
const SHARE: usize = 4;

/// How batches are cut.
#[derive(Clone, Copy, Debug)]
pub struct BatchTerms {
    /// Rows in one call at most.
    pub most: usize,
    /// How long the first of a batch waits for others.
    pub linger: Duration,
}

impl Default for BatchTerms {
    fn default() -> Self {
        Self { most: 100, linger: Duration::from_millis(100) }
    }
}

/// A call to the ledger failed, for every row of its batch; logged once, where it happened.
#[derive(Clone, Debug)]
pub struct LedgerFailed;

impl fmt::Display for LedgerFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the ledger failed")
    }
}

impl std::error::Error for LedgerFailed {}

type Answered<A> = oneshot::Sender<Result<A, LedgerFailed>>;

/// One kind of question, asked in batches. Its task ends with the last clone.
pub struct Batcher<Q, A>(mpsc::Sender<(Q, Answered<A>)>);

impl<Q, A> Batcher<Q, A>
where
    Q: Send + 'static,
    A: Send + 'static,
{
    /// Starts the task that calls `ask` with each batch; `ask` answers in the order asked.
    fn start<F, Fut>(terms: BatchTerms, in_hand: InHand, metrics: Metrics, ask: F) -> Self
    where
        F: Fn(Vec<Q>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Vec<A>, LedgerError>> + Send,
    {
        let (sender, mut questions) = mpsc::channel::<(Q, Answered<A>)>(terms.most * 4);
        tokio::spawn(async move {
            while let Some(first) = questions.recv().await {
                let batch = fill(first, &mut questions, terms, &in_hand).await;
                let (asked, answers): (Vec<Q>, Vec<Answered<A>>) = batch.into_iter().unzip();
                let began = Instant::now();
                let answered = ask(asked).await;
                metrics.ledger_write(began.elapsed());
                match answered {
                    Ok(told) => {
                        for (answer, told) in answers.into_iter().zip(told) {
                            let _ = answer.send(Ok(told));
                        }
                    }
                    Err(error) => {
                        tracing::warn!(
                            error = error_chain(&error),
                            rows = answers.len(),
                            "the ledger failed; these rows are tried again"
                        );
                        for answer in answers {
                            let _ = answer.send(Err(LedgerFailed));
                        }
                    }
                }
            }
        });
        Self(sender)
    }

    /// Asks one question.
    pub async fn ask(&self, question: Q) -> Result<A, LedgerFailed> {
        let (answer, told) = oneshot::channel();
        self.0.send((question, answer)).await.map_err(|_| LedgerFailed)?;
        told.await.unwrap_or(Err(LedgerFailed))
    }
}

/// Takes what is there already, and waits for more while that is not enough.
async fn fill<T>(first: T, more: &mut mpsc::Receiver<T>, terms: BatchTerms, in_hand: &InHand) -> Vec<T> {
    let mut batch = vec![first];
    let mut lingered = pin!(sleep(terms.linger));
    while batch.len() < terms.most {
        if let Ok(next) = more.try_recv() {
            batch.push(next);
            continue;
        }
        if batch.len() >= in_hand.count() / SHARE {
            break;
        }
        tokio::select! {
            next = more.recv() => match next {
                Some(next) => batch.push(next),
                None => break,
            },
            () = &mut lingered => break,
        }
    }
    batch
}

/// How many rows are worked on.
#[derive(Clone, Debug, Default)]
struct InHand(Arc<AtomicUsize>);

impl InHand {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A row that is worked on, until it is dropped.
pub(crate) struct Counted(InHand);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The four questions of a row's way.
pub struct Batches {
    in_hand: InHand,
    /// May I work on this row?
    pub claims: Batcher<ClaimRequest, Claim>,
    /// This is what I am about to write.
    pub intents: Batcher<Intent, bool>,
    /// This is how it ended.
    pub records: Batcher<Record, Recorded>,
    /// This one was given up.
    pub burials: Batcher<Burial, ()>,
}

impl Batches {
    /// Starts their tasks.
    pub fn start(ledger: &Arc<dyn Ledger>, terms: BatchTerms, lease: Duration, metrics: &Metrics) -> Self {
        let (claims, intents, records, burials) =
            (ledger.clone(), ledger.clone(), ledger.clone(), ledger.clone());
        let in_hand = InHand::default();
        let watched = || metrics.clone();
        let counted = || in_hand.clone();
        Self {
            claims: Batcher::start(terms, counted(), watched(), move |batch: Vec<ClaimRequest>| {
                let ledger = claims.clone();
                async move { ledger.claim(&batch, lease).await }
            }),
            intents: Batcher::start(terms, counted(), watched(), move |batch: Vec<Intent>| {
                let ledger = intents.clone();
                async move { ledger.record_intents(&batch).await }
            }),
            records: Batcher::start(terms, counted(), watched(), move |batch: Vec<Record>| {
                let ledger = records.clone();
                async move { ledger.record(&batch).await }
            }),
            burials: Batcher::start(terms, counted(), watched(), move |batch: Vec<Burial>| {
                let ledger = burials.clone();
                async move { ledger.bury(&batch).await.map(|()| vec![(); batch.len()]) }
            }),
            in_hand,
        }
    }

    /// Counts a row as worked on.
    pub(crate) fn count(&self) -> Counted {
        self.in_hand.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.in_hand.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    const MILLI: Duration = Duration::from_millis(1);

    /// A batcher for so many rows in hand that answers at once, and the sizes of its batches.
    fn batcher(rows: usize) -> (Batcher<u32, u32>, Arc<Mutex<Vec<usize>>>) {
        let (in_hand, sizes) = (InHand(Arc::new(rows.into())), Arc::new(Mutex::new(Vec::new())));
        let seen = sizes.clone();
        let ask = move |batch: Vec<u32>| {
            seen.lock().unwrap().push(batch.len());
            async move { Ok(batch) }
        };
        (Batcher::start(BatchTerms::default(), in_hand, Metrics::default(), ask), sizes)
    }

    async fn ask(batcher: &Batcher<u32, u32>, row: u32, after: Duration) -> Duration {
        tokio::time::sleep(after).await;
        let began = Instant::now();
        assert_eq!(batcher.ask(row).await.unwrap(), row);
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_lone_row_does_not_wait() {
        let (batcher, sizes) = batcher(1);
        assert_eq!(ask(&batcher, 1, Duration::ZERO).await, Duration::ZERO);
        assert_eq!(*sizes.lock().unwrap(), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_of_the_rows_in_hand_is_waited_for() {
        let (batcher, sizes) = batcher(3 * SHARE);
        let asked = tokio::join!(
            ask(&batcher, 1, Duration::ZERO),
            ask(&batcher, 2, 7 * MILLI),
            ask(&batcher, 3, 9 * MILLI)
        );
        assert_eq!(asked, (9 * MILLI, 2 * MILLI, Duration::ZERO));
        assert_eq!(*sizes.lock().unwrap(), [3]);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_longer_than_that_or_more_than_go_into_a_batch() {
        let (batcher, sizes) = batcher(10_000);
        assert!(ask(&batcher, 1, Duration::ZERO).await <= BatchTerms::default().linger + MILLI);
        let batcher = Arc::new(batcher);
        let mut asked = tokio::task::JoinSet::new();
        for row in 0..150 {
            let batcher = batcher.clone();
            asked.spawn(async move { ask(&batcher, row, Duration::ZERO).await });
        }
        asked.join_all().await;
        assert_eq!(*sizes.lock().unwrap(), [1, 100, 50]);
    }
}
