//! Gathers what many rows ask of the ledger into few calls.
//!
//! While one call is under way the next batch fills by itself, so batches grow with the load and a lone row
//! waits for `linger` at most.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use shared::error_chain;
use shared::ledger::{Burial, Claim, ClaimRequest, Intent, Ledger, LedgerError, Record, Recorded};
use shared::metrics::Metrics;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

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
        Self { most: 100, linger: Duration::from_millis(5) }
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
    pub fn start<F, Fut>(terms: BatchTerms, metrics: Metrics, ask: F) -> Self
    where
        F: Fn(Vec<Q>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Vec<A>, LedgerError>> + Send,
    {
        let (sender, mut questions) = mpsc::channel::<(Q, Answered<A>)>(terms.most * 4);
        tokio::spawn(async move {
            while let Some(first) = questions.recv().await {
                let mut batch = vec![first];
                let until = Instant::now() + terms.linger;
                while batch.len() < terms.most {
                    match tokio::time::timeout_at(until, questions.recv()).await {
                        Ok(Some(next)) => batch.push(next),
                        Ok(None) | Err(_) => break,
                    }
                }
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

/// The four questions of a row's way.
pub struct Batches {
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
        Self {
            claims: Batcher::start(terms, metrics.clone(), move |batch: Vec<ClaimRequest>| {
                let ledger = claims.clone();
                async move { ledger.claim(&batch, lease).await }
            }),
            intents: Batcher::start(terms, metrics.clone(), move |batch: Vec<Intent>| {
                let ledger = intents.clone();
                async move { ledger.record_intents(&batch).await }
            }),
            records: Batcher::start(terms, metrics.clone(), move |batch: Vec<Record>| {
                let ledger = records.clone();
                async move { ledger.record(&batch).await }
            }),
            burials: Batcher::start(terms, metrics.clone(), move |batch: Vec<Burial>| {
                let ledger = burials.clone();
                async move { ledger.bury(&batch).await.map(|()| vec![(); batch.len()]) }
            }),
        }
    }
}
