//! What rows ask together: searches for many NIKs, and Bundles of many writes. How a row asks either way, with
//! others or alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shared::domain::Nik;
use tokio::time::Instant;

use crate::fhir::{Change, Failure, FhirClient, Found, Operation, Written};
use crate::gather::{GatherTerms, Gatherer, Outcome, Question, Told};
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
        let searches = Gatherer::start(terms, limiter.clone(), pause.clone(), move |niks: Vec<Nik>| {
            search(searcher.clone(), niks)
        });
        let writes = Gatherer::start(terms, limiter.clone(), pause.clone(), move |changes: Vec<Change>| {
            write(writer.clone(), changes)
        });
        Self { searches, writes, most: terms.most }
    }
}

impl Server {
    /// Searches a row's NIK, together with others' where that is possible.
    pub async fn search(&self, account: &mut Account, nik: &Nik) -> Result<Found, Stop> {
        if self.client.searches_many() {
            match self.ask_with_others(&self.many.searches, account, Operation::Search, nik, |_| {}).await {
                // Whoever was not found for sure is searched alone.
                Err(Stop::Unsaid) => {}
                searched => return searched,
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
        if !alone && self.client.writes_in_bundles() {
            let written =
                self.ask_with_others(&self.many.writes, account, Operation::Update, change, note).await;
            wrote.fetch_or(matches!(written, Err(Stop::Unsaid)), Ordering::Relaxed);
            return written;
        }
        let request = || async {
            let written = self.client.update(change).await;
            note(&written);
            (written, 1)
        };
        self.ask(account, Operation::Update, request).await
    }

    /// As [`ask`](Self::ask), of a question that goes out together with others'.
    async fn ask_with_others<Q: Question + Clone, T: Send + 'static>(
        &self,
        gatherer: &Gatherer<Q, T>,
        account: &mut Account,
        operation: Operation,
        question: &Q,
        note: impl Fn(&Result<T, Failure>),
    ) -> Result<T, Stop> {
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
                Told::TooLate => return Err(Stop::Later(Duration::ZERO, LEASE_RAN_OUT.into())),
                Told::Paused => return Err(Stop::Paused),
            };
            account.requests += requests;
            account.note(operation, &result, asked_at);
            note(&result);
            if let Some(value) = self.weigh(account, operation, result, &mut renewed).await? {
                return Ok(value);
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

async fn search(client: Arc<FhirClient>, niks: Vec<Nik>) -> Outcome<Found> {
    if let [nik] = niks.as_slice() {
        let search = client.search(nik).await;
        let sample = Sample { verdict: verdict(&search.found), class: Operation::Search as usize };
        return Outcome { told: vec![Told::Answered(search.found, search.requests)], sample };
    }
    let answer = client.search_many(&niks).await;
    let sample = Sample { verdict: verdict(&answer.found), class: Operation::SearchMany as usize };
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
    Outcome { told, sample }
}

async fn write(client: Arc<FhirClient>, changes: Vec<Change>) -> Outcome<Written> {
    if let [change] = changes.as_slice() {
        let written = client.update(change).await;
        let sample = Sample { verdict: verdict(&written), class: Operation::Update as usize };
        return Outcome { told: vec![Told::Answered(written, 1)], sample };
    }
    let answer = client.update_many(&changes).await;
    let mut sample = Sample { verdict: verdict(&answer), class: Operation::Bundle as usize };
    let mut shares = shares(1);
    let told = match answer {
        Ok(entries) => {
            // What it refuses by rate inside a Bundle, it refuses.
            let is_throttled = |entry: &_| matches!(entry, Some(Err(Failure::Throttled { .. })));
            if entries.iter().any(is_throttled) {
                sample.verdict = Verdict::Throttled;
            }
            let told = |(entry, share)| match entry {
                Some(written) => Told::Answered(written, share),
                None => Told::Unsaid(share),
            };
            entries.into_iter().zip(&mut shares).map(told).collect()
        }
        Err(failure) => each_told(&failure, changes.len(), &mut shares),
    };
    Outcome { told, sample }
}

/// A request for many that failed, for each of them.
fn each_told<T>(failure: &Failure, rows: usize, shares: &mut impl Iterator<Item = u32>) -> Vec<Told<T>> {
    let told = |share| match failure.of_each() {
        Some(failure) => Told::Answered(Err(failure), share),
        None => Told::Unsaid(share),
    };
    shares.take(rows).map(told).collect()
}

/// The requests count as the first row's, so that a report's sum is right.
fn shares(requests: u32) -> impl Iterator<Item = u32> {
    std::iter::once(requests).chain(std::iter::repeat(0))
}
