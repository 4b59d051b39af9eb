//! What rows ask together: searches for many NIKs, and Bundles of many writes. How a row asks either way, with
//! others or alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shared::domain::Nik;
use tokio::time::Instant;

use crate::fhir::{Change, Entry, Failure, FhirClient, Found, Operation, Transient, Written};
use crate::gather::{BatchSize, Fit, GatherTerms, Gatherer, Outcome, Question, Told};
use crate::limiter::{Limiter, Sample, Verdict};
use crate::pause::Pause;
use crate::server::{Account, LEASE_RAN_OUT, Server, Stop, verdict};

/// Both kinds.
pub(crate) struct Many {
    pub(crate) searches: Gatherer<Nik, Found>,
    pub(crate) writes: Gatherer<Change, Written>,
    /// Rows in one request at most.
    pub(crate) most: usize,
}

/// Requests of one kind, which go out one at a time until the server has shown what its answers are worth.
struct Trial {
    size: Arc<BatchSize>,
    turn: tokio::sync::Mutex<()>,
}

impl Trial {
    fn new(most: usize) -> Self {
        Self { size: Arc::new(BatchSize::on_trial(most)), turn: tokio::sync::Mutex::new(()) }
    }

    /// Begins one; or waits until the one that is under way is over, after which nothing goes out at once: the rows'
    /// leases went on, and have to be looked at.
    async fn begin(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        if let Ok(turn) = self.turn.try_lock() {
            return Some(turn);
        }
        drop(self.turn.lock().await);
        None
    }
}

impl Question for Nik {
    fn key(&self) -> &str {
        self.expose()
    }

    fn weight(&self) -> usize {
        // Its part of a query, which some servers cut at 8 KiB: fifty fit.
        100
    }
}

impl Question for Change {
    fn key(&self) -> &str {
        self.id.as_str()
    }

    fn weight(&self) -> usize {
        self.body.len()
    }
}

impl Many {
    pub(crate) fn start(
        terms: GatherTerms,
        client: &Arc<FhirClient>,
        limiter: &Limiter,
        pause: &Arc<Pause>,
    ) -> Self {
        let (searcher, writer) = (client.clone(), client.clone());
        let [searched, written] = [(); 2].map(|()| Arc::new(Trial::new(terms.most)));
        let (of_searches, of_writes) = (searched.size.clone(), written.size.clone());
        let searches =
            Gatherer::start(terms, of_searches, limiter.clone(), pause.clone(), move |niks: Vec<Nik>| {
                search(searcher.clone(), searched.clone(), niks)
            });
        let writes =
            Gatherer::start(terms, of_writes, limiter.clone(), pause.clone(), move |changes: Vec<Change>| {
                write(writer.clone(), written.clone(), changes)
            });
        Self { searches, writes, most: terms.most }
    }
}

impl Server {
    /// Searches a row's NIK, together with others' where that is possible.
    pub async fn search(&self, account: &mut Account, nik: &Nik) -> Result<Found, Stop> {
        while self.client.searches_many() {
            match self.ask_with_others(&self.many.searches, account, Operation::Search, nik, |_| {}).await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                // Whoever was not found for sure is searched alone.
                Err(Stop::Unsaid) => break,
                Err(stop) => return Err(stop),
            }
        }
        let search = || async {
            let search = self.client.search(nik).await;
            (search.found, search.requests)
        };
        self.ask(account, Operation::Search, search).await
    }

    /// Writes a row's change, together with others' unless it has to be `alone`. `wrote` becomes true where it went
    /// through, or may have.
    pub async fn update(
        &self,
        account: &mut Account,
        change: &Change,
        alone: bool,
        wrote: &AtomicBool,
    ) -> Result<Written, Stop> {
        let note = |written: &Result<Written, Failure>| {
            let may_be = written.as_ref().map_or_else(Failure::leaves_write_in_doubt, |_| true);
            wrote.fetch_or(may_be, Ordering::Relaxed);
        };
        while !alone && self.client.writes_in_bundles() {
            let written =
                self.ask_with_others(&self.many.writes, account, Operation::Update, change, note).await;
            wrote.fetch_or(matches!(written, Err(Stop::Unsaid)), Ordering::Relaxed);
            if let Some(written) = written? {
                return Ok(written);
            }
        }
        let request = || async {
            let written = self.client.update(change).await;
            note(&written);
            (written, 1)
        };
        self.ask(account, Operation::Update, request).await
    }

    /// As [`ask`](Self::ask), of a question that goes out together with others'. None: nothing of it was carried out,
    /// and it may be asked in another way by now.
    async fn ask_with_others<Q: Question + Clone, T: Send + 'static>(
        &self,
        gatherer: &Gatherer<Q, T>,
        account: &mut Account,
        operation: Operation,
        question: &Q,
        note: impl Fn(&Result<T, Failure>),
    ) -> Result<Option<T>, Stop> {
        let mut renewed = false;
        loop {
            self.let_in().await?;
            let asked_at = Instant::now();
            let (result, requests) = match gatherer.ask(question.clone(), account.deadline).await {
                Told::Answered(result, requests) => (result, requests),
                Told::Unsaid(requests) => {
                    account.requests += requests;
                    return Err(Stop::Unsaid);
                }
                Told::Again(requests) => {
                    account.requests += requests;
                    return Ok(None);
                }
                Told::TooLate => return Err(Stop::Later(Duration::ZERO, LEASE_RAN_OUT.into())),
                Told::Paused => return Err(Stop::Paused),
            };
            account.requests += requests;
            account.note(operation, &result, asked_at);
            note(&result);
            if let Some(value) = self.weigh(account, operation, result, &mut renewed).await? {
                return Ok(Some(value));
            }
        }
    }

    /// Rows that one request may serve. One where only half of a row's way is gathered: on the other half more
    /// rows in hand would only wait in line, each with its lease running.
    pub fn rows_per_request(&self) -> usize {
        let gathers = self.client.searches_many() && self.client.writes_in_bundles();
        if gathers { self.many.most } else { 1 }
    }
}

async fn search(client: Arc<FhirClient>, trial: Arc<Trial>, niks: Vec<Nik>) -> Outcome<Found> {
    if let [nik] = niks.as_slice() {
        let search = client.search(nik).await;
        let sample = Sample { verdict: verdict(&search.found), class: Operation::Search as usize };
        let told = vec![Told::Answered(search.found, search.requests)];
        return Outcome { told, sample, fit: Fit::Well };
    }
    if client.searches_on_trial() {
        let Some(_turn) = trial.begin().await else {
            return asking_again(niks.len(), Operation::SearchMany);
        };
        if client.searches_many() && client.searches_on_trial() {
            return try_search(&client, &trial, &niks).await;
        }
        return asking_again(niks.len(), Operation::SearchMany);
    }
    let answer = client.search_many(&niks).await;
    let sample = Sample { verdict: verdict(&answer.found), class: Operation::SearchMany as usize };
    let fit = fit(&answer.found);
    let mut shares = shares(answer.requests);
    let told = match answer.found {
        Ok(found) => found
            .into_iter()
            .zip(&mut shares)
            .map(|(found, share)| match found {
                Some(patient) => Told::Answered(Ok(Found::One(patient)), share),
                None => Told::Unsaid(share),
            })
            .collect(),
        Err(failure) => each_told(&failure, niks.len(), &mut shares),
    };
    Outcome { told, sample, fit }
}

async fn try_search(client: &FhirClient, trial: &Trial, niks: &[Nik]) -> Outcome<Found> {
    let class = Operation::SearchMany as usize;
    match client.try_search_many(niks).await {
        Ok(found) => {
            if !client.searches_on_trial() {
                trial.size.proven();
            }
            let told = found.into_iter().map(|(found, requests)| Told::Answered(found, requests)).collect();
            // Of several requests: the time they took says nothing.
            Outcome { told, sample: Sample { verdict: Verdict::Ignored, class }, fit: Fit::Unclear }
        }
        Err((failure, requests)) => {
            let told = each_told(&failure, niks.len(), &mut shares(requests));
            let failed = Err::<(), _>(failure);
            Outcome { told, sample: Sample { verdict: verdict(&failed), class }, fit: fit(&failed) }
        }
    }
}

async fn write(client: Arc<FhirClient>, trial: Arc<Trial>, changes: Vec<Change>) -> Outcome<Written> {
    if let [change] = changes.as_slice() {
        let written = client.update(change).await;
        let sample = Sample { verdict: verdict(&written), class: Operation::Update as usize };
        return Outcome { told: vec![Told::Answered(written, 1)], sample, fit: Fit::Well };
    }
    if client.bundles_on_trial() {
        let Some(_turn) = trial.begin().await else { return asking_again(changes.len(), Operation::Bundle) };
        if !client.writes_in_bundles() || !client.bundles_on_trial() {
            return asking_again(changes.len(), Operation::Bundle);
        }
        let tried = client.try_update_many(&changes).await;
        if !client.bundles_on_trial() {
            trial.size.proven();
        }
        let mut outcome = written(tried.entries, changes.len(), tried.requests);
        if outcome.sample.verdict == Verdict::Success {
            // Of several requests: the time they took says nothing.
            outcome.sample.verdict = Verdict::Ignored;
        }
        return outcome;
    }
    written(client.update_many(&changes).await, changes.len(), 1)
}

fn written(answer: Result<Vec<Entry>, Failure>, rows: usize, requests: u32) -> Outcome<Written> {
    let mut sample = Sample { verdict: verdict(&answer), class: Operation::Bundle as usize };
    let mut fit = fit(&answer);
    let mut shares = shares(requests);
    let told = match answer {
        Ok(entries) => {
            let failed = |kind: fn(&Failure) -> bool| {
                entries.iter().any(|entry| matches!(entry, Some(Err(failure)) if kind(failure)))
            };
            // What it refuses by rate inside a Bundle, it refuses.
            if failed(|failure| matches!(failure, Failure::Throttled { .. })) {
                sample.verdict = Verdict::Throttled;
            }
            if failed(wants_room) {
                fit = Fit::TooMany;
            }
            let told = |(entry, share)| match entry {
                Some(written) => Told::Answered(written, share),
                None => Told::Unsaid(share),
            };
            entries.into_iter().zip(&mut shares).map(told).collect()
        }
        Err(failure) => each_told(&failure, rows, &mut shares),
    };
    Outcome { told, sample, fit }
}

/// What others found out while these waited for their turn holds for them too.
fn asking_again<T>(rows: usize, operation: Operation) -> Outcome<T> {
    let told = (0..rows).map(|_| Told::Again(0)).collect();
    let sample = Sample { verdict: Verdict::Ignored, class: operation as usize };
    Outcome { told, sample, fit: Fit::Unclear }
}

/// Whether a failure may be for want of room, of time, or of both.
fn wants_room(failure: &Failure) -> bool {
    let of_server = [500, 502, 503, 504];
    match failure {
        Failure::Throttled { .. } | Failure::Transient { kind: Transient::Timeout, .. } => true,
        Failure::Transient { kind: Transient::Server(status), .. } => of_server.contains(status),
        failure => failure.is_too_large(),
    }
}

/// What a request for many says of its size. That it was refused by rate says nothing: that is the limiter's.
fn fit<T>(answer: &Result<T, Failure>) -> Fit {
    match answer {
        Ok(_) => Fit::Well,
        Err(Failure::Throttled { .. }) => Fit::Unclear,
        Err(failure) if wants_room(failure) => Fit::TooMany,
        Err(_) => Fit::Unclear,
    }
}

/// A request for many that failed, for each of them.
fn each_told<T>(failure: &Failure, rows: usize, shares: &mut impl Iterator<Item = u32>) -> Vec<Told<T>> {
    let told = |share| match failure.of_each() {
        Some(failure) => Told::Answered(Err(failure), share),
        None if failure.is_too_large() => Told::Again(share),
        None => Told::Unsaid(share),
    };
    shares.take(rows).map(told).collect()
}

/// The requests count as the first row's, so that a report's sum is right.
fn shares(requests: u32) -> impl Iterator<Item = u32> {
    std::iter::once(requests).chain(std::iter::repeat(0))
}
