//! What rows ask together: searches for many NIKs, and Bundles of many writes.

use std::sync::Arc;

use shared::domain::Nik;

use crate::fhir::{Change, Failure, FhirClient, Found, Operation, Written};
use crate::gather::{GatherTerms, Gatherer, Outcome, Question, Told};
use crate::limiter::{Limiter, Sample, Verdict};
use crate::pause::Pause;
use crate::server::verdict;

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
