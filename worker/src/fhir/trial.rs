//! The first requests for many are tried: what they say is compared with what one by one shows, so that a server that
//! answers them wrongly is found out by a handful of rows, each of which ends right all the same.

use shared::domain::Nik;

use super::client::{FhirClient, Operation};
use super::failure::Failure;
use super::many::Entry;
use super::search::Found;
use super::telecom::Change;

/// What came of a Bundle that was tried.
#[derive(Debug)]
pub struct TriedUpdate {
    /// As of any Bundle; nothing is said where it was not so.
    pub entries: Result<Vec<Entry>, Failure>,
    /// HTTP requests it took.
    pub requests: u32,
}

impl FhirClient {
    /// Whether searches for many are still to be tried.
    pub fn searches_on_trial(&self) -> bool {
        self.choice.searches_on_trial()
    }

    /// Whether Bundles are still to be tried.
    pub fn bundles_on_trial(&self) -> bool {
        self.choice.bundles_on_trial()
    }

    /// Searches many NIKs at once and then one by one; gives what the latter found, in the order asked, with the
    /// requests of each.
    ///
    /// # Errors
    /// The search for many failed; with the requests it took.
    pub async fn try_search_many(
        &self,
        niks: &[Nik],
    ) -> Result<Vec<(Result<Found, Failure>, u32)>, (Failure, u32)> {
        let many = self.search_many(niks).await;
        let found = match many.found {
            Ok(found) => found,
            Err(failure) => {
                if !failure.is_too_large() {
                    self.choice.note_trial_of_searches(None);
                }
                return Err((failure, many.requests));
            }
        };
        let (mut requests, mut right, mut compared) = (many.requests, true, false);
        let mut one_by_one = Vec::with_capacity(niks.len());
        for (nik, found) in niks.iter().zip(found) {
            let alone = self.search(nik).await;
            // Whom it did not find it leaves to a search of their own: that does no harm.
            if let (Some(patient), Ok(alone)) = (&found, &alone.found) {
                compared = true;
                right &= match alone {
                    Found::One(same) => same.id() == patient.id(),
                    Found::Partial(id) => id == patient.id(),
                    _ => false,
                };
            }
            one_by_one.push((alone.found, requests + alone.requests));
            requests = 0;
        }
        // Where it told nothing, that is counted already.
        if compared {
            self.choice.note_trial_of_searches(Some(right));
        }
        Ok(one_by_one)
    }

    /// Writes many changes with one Bundle, and then reads each Patient.
    pub async fn try_update_many(&self, changes: &[Change]) -> TriedUpdate {
        let canary = format!("Patient?{}{}", self.identifier_query, Nik::impossible().expose());
        let mut requests = 1;
        let entries = match self.update_with(changes, Some(&canary)).await {
            Ok(entries) => entries,
            Err(failure) => {
                if !failure.is_too_large() {
                    self.choice.note_trial_of_bundles(None);
                }
                return TriedUpdate { entries: Err(failure), requests };
            }
        };
        let (mut right, mut compared) = (true, false);
        let mut tried = Vec::with_capacity(changes.len());
        for (entry, change) in entries.into_iter().zip(changes) {
            requests += 1;
            let same = match (&entry, self.is_written(change).await) {
                (Some(Ok(_)), Ok(written)) => {
                    compared |= written;
                    written
                }
                (Some(Err(failure)), Ok(written)) => !written || failure.leaves_write_in_doubt(),
                (None, _) => true,
                // Not to be seen now; the row will look by itself.
                (_, Err(_)) => {
                    tried.push(None);
                    continue;
                }
            };
            right &= same;
            tried.push(entry.filter(|_| same));
        }
        self.choice.note_trial_of_bundles((compared || !right).then_some(right));
        TriedUpdate { entries: Ok(tried), requests }
    }

    async fn is_written(&self, change: &Change) -> Result<bool, Failure> {
        match self.ask(Operation::Read, super::client::get(Operation::Read, self.patient(&change.id)?)).await
        {
            Ok((resource, _)) => Ok(change.is_in(&resource)),
            Err(Failure::Gone { .. }) => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}
