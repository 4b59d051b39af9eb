//! Gathers what many rows ask of the FHIR server into few requests, under one permit each.
//!
//! While a permit is waited for the next batch fills by itself, so batches grow with the load and a lone row
//! waits for `linger` at most. What a batch's answer says of a row is told to that row as if it had asked alone;
//! retries, blame and doubt stay the row's.

mod size;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{Instrument as _, Span};

use crate::fhir::Failure;
use crate::limiter::{Limiter, Sample};
use crate::pause::Pause;

pub(crate) use size::{BatchSize, Fit};

/// Bytes that the questions of one request carry at most, unless one alone carries more: Patients with photos
/// must not make a request that no server takes.
const MOST_BYTES: usize = 1 << 20;

/// How requests are filled.
#[derive(Clone, Copy, Debug)]
pub struct GatherTerms {
    /// Rows in one request at most.
    pub most: usize,
    /// How long the first of a request waits for others.
    pub linger: Duration,
}

impl Default for GatherTerms {
    fn default() -> Self {
        Self { most: 50, linger: Duration::from_millis(5) }
    }
}

/// What a row is told.
#[derive(Debug)]
pub(crate) enum Told<T> {
    /// As if it had asked alone; with the HTTP requests that count as this row's.
    Answered(Result<T, Failure>, u32),
    /// The answer says nothing about this row: it has to ask alone.
    Unsaid(u32),
    /// Nothing of it was carried out, for a reason that was not the row's: it may ask again, however that is done now.
    Again(u32),
    /// Not sent: the row's time was up.
    TooLate,
    /// Not sent: everything is paused.
    Paused,
}

/// What came of one request.
pub(crate) struct Outcome<T> {
    /// In the order asked.
    pub(crate) told: Vec<Told<T>>,
    /// For the limiter.
    pub(crate) sample: Sample,
    /// For the size of the next.
    pub(crate) fit: Fit,
}

/// Something that can be asked together with others of its kind.
pub(crate) trait Question: Send + 'static {
    /// Two questions with one key never go into one request.
    fn key(&self) -> &str;

    /// Bytes it adds to a request.
    fn weight(&self) -> usize;
}

struct Asked<Q, T> {
    question: Q,
    deadline: Instant,
    answer: oneshot::Sender<Told<T>>,
    /// Of the row, where it is traced.
    span: Span,
}

impl<Q, T> Asked<Q, T> {
    fn tell(self, told: Told<T>) {
        // Nobody listens where the row's task was stopped.
        let _ = self.answer.send(told);
    }
}

/// One kind of question, asked in batches; whatever is under way ends with it.
pub(crate) struct Gatherer<Q, T> {
    sender: mpsc::Sender<Asked<Q, T>>,
    task: AbortHandle,
}

impl<Q, T> Drop for Gatherer<Q, T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<Q: Question, T: Send + 'static> Gatherer<Q, T> {
    /// Starts the task that sends each batch with `send`.
    pub(crate) fn start<F, Fut>(
        terms: GatherTerms,
        size: Arc<BatchSize>,
        limiter: Limiter,
        pause: Arc<Pause>,
        send: F,
    ) -> Self
    where
        F: Fn(Vec<Q>) -> Fut + Send + 'static,
        Fut: Future<Output = Outcome<T>> + Send + 'static,
    {
        let (sender, asked) = mpsc::channel(terms.most * 4);
        let filling = Filling { terms, size, asked, waiting: VecDeque::new() };
        let task = tokio::spawn(run(filling, limiter, pause, send)).abort_handle();
        Self { sender, task }
    }

    /// Asks, not later than `deadline`.
    pub(crate) async fn ask(&self, question: Q, deadline: Instant) -> Told<T> {
        let (answer, told) = oneshot::channel();
        if self.sender.send(Asked { question, deadline, answer, span: Span::current() }).await.is_err() {
            return Told::Paused;
        }
        told.await.unwrap_or(Told::Unsaid(0))
    }
}

async fn run<Q: Question, T: Send + 'static, F, Fut>(
    mut filling: Filling<Q, T>,
    limiter: Limiter,
    pause: Arc<Pause>,
    send: F,
) where
    F: Fn(Vec<Q>) -> Fut + Send + 'static,
    Fut: Future<Output = Outcome<T>> + Send + 'static,
{
    // Dropped, and so stopped, together with this task.
    let mut under_way = JoinSet::new();
    while filling.begin().await {
        while under_way.try_join_next().is_some() {}
        let permit = {
            let permit = limiter.acquire();
            let mut permit = std::pin::pin!(permit);
            loop {
                tokio::select! {
                    biased;
                    permit = &mut permit => break Some(permit),
                    () = pause.began() => break None,
                    still_waiting = filling.go_on() => if !still_waiting { break None },
                }
            }
        };
        if pause.is_on() {
            filling.waiting.drain(..).for_each(|asked| asked.tell(Told::Paused));
        }
        let Some(permit) = permit else { continue };
        filling.expire();
        let batch = filling.take();
        if batch.is_empty() {
            continue;
        }
        let span = common(&batch);
        let (questions, answers): (Vec<Q>, Vec<_>) =
            batch.into_iter().map(|asked| (asked.question, asked.answer)).unzip();
        let (rows, size) = (questions.len(), filling.size.clone());
        let outcome = span.in_scope(|| send(questions)).instrument(span.clone());
        under_way.spawn(async move {
            let Outcome { told, sample, fit } = outcome.await;
            permit.finish(sample);
            size.note(rows, fit);
            for (answer, told) in answers.into_iter().zip(told) {
                let _ = answer.send(told);
            }
        });
    }
}

/// The span that the batch's request belongs to: of the first row that is traced. The others' refer to it.
fn common<Q, T>(batch: &[Asked<Q, T>]) -> Span {
    let mut traced = batch.iter().map(|asked| &asked.span).filter(|span| !span.is_disabled());
    let Some(first) = traced.next() else { return Span::none() };
    traced.for_each(|other| _ = other.follows_from(first));
    first.clone()
}

/// The batch that fills.
struct Filling<Q, T> {
    terms: GatherTerms,
    size: Arc<BatchSize>,
    asked: mpsc::Receiver<Asked<Q, T>>,
    waiting: VecDeque<Asked<Q, T>>,
}

impl<Q: Question, T> Filling<Q, T> {
    /// Waits for a first question, and a moment for more. False: nobody is left to ask.
    async fn begin(&mut self) -> bool {
        if self.waiting.is_empty() {
            match self.asked.recv().await {
                Some(first) => self.waiting.push_back(first),
                None => return false,
            }
        }
        let until = Instant::now() + self.terms.linger;
        while self.waiting.len() < self.size.now() {
            match timeout_at(until, self.asked.recv()).await {
                Ok(Some(next)) => self.waiting.push_back(next),
                Ok(None) | Err(_) => break,
            }
        }
        true
    }

    /// Takes one more in, or tells whose time is up. False: nobody waits any more.
    async fn go_on(&mut self) -> bool {
        let Some(first_end) = self.waiting.iter().map(|asked| asked.deadline).min() else { return false };
        let room = self.waiting.len() < self.size.now();
        tokio::select! {
            biased;
            Some(next) = self.asked.recv(), if room => self.waiting.push_back(next),
            () = sleep_until(first_end) => self.expire(),
        }
        !self.waiting.is_empty()
    }

    /// Nothing goes out for a row whose time is up, or that is not there any more.
    fn expire(&mut self) {
        let now = Instant::now();
        for asked in std::mem::take(&mut self.waiting) {
            if asked.answer.is_closed() {
                continue;
            }
            if asked.deadline <= now {
                asked.tell(Told::TooLate);
            } else {
                self.waiting.push_back(asked);
            }
        }
    }

    /// Takes the next batch, each key once; the rest waits for the one after.
    fn take(&mut self) -> Vec<Asked<Q, T>> {
        let (mut keys, mut bytes, most) = (HashSet::new(), 0, self.size.now());
        let (mut batch, mut rest) = (Vec::new(), VecDeque::new());
        for asked in std::mem::take(&mut self.waiting) {
            let weight = asked.question.weight();
            let fits = batch.is_empty() || (batch.len() < most && bytes + weight <= MOST_BYTES);
            if fits && keys.insert(asked.question.key().to_owned()) {
                bytes += weight;
                batch.push(asked);
            } else {
                rest.push_back(asked);
            }
        }
        self.waiting = rest;
        batch
    }
}

#[cfg(test)]
mod tests;
