//! Counters of what the simulators were asked and what they did: the evidence tests compare a run with.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use serde::Serialize;
use tokio::time::Instant;

use crate::operation::Operation;

/// Statuses are three digits; 0 stands for a connection cut without an answer.
const STATUSES: usize = 600;

/// The per-second series stops growing after a day.
const LONGEST_SERIES: usize = 86_400;

/// Live counters, shared by both services.
pub struct Stats {
    requests: Box<[AtomicU64]>,
    entries: Box<[AtomicU64]>,
    epoch: AtomicU32,
    pub(crate) searches: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) distinct_patients_changed: AtomicU64,
    pub(crate) writes_beyond_first: AtomicU64,
    pub(crate) patches: AtomicU64,
    pub(crate) writes_without_if_match: AtomicU64,
    pub(crate) conflicts_412: AtomicU64,
    pub(crate) rejected_429: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) tokens_issued: AtomicU64,
    pub(crate) token_refusals: AtomicU64,
    pub(crate) batch_gets: AtomicU64,
    pub(crate) sheet_reads_refused: AtomicU64,
    watching: AtomicBool,
    watched: RwLock<HashMap<u64, Watched>>,
    series: Mutex<Series>,
}

/// A watched NIK with its requests.
type Watched = (String, Mutex<Vec<WatchedRequest>>);

struct Series {
    since: Instant,
    seconds: Vec<Second>,
}

/// One second of the FHIR service's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Second {
    /// Requests let in.
    pub accepted: u64,
    /// Requests answered 429 by the capacity or the concurrency limit.
    pub rejected: u64,
}

/// One request about a watched NIK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WatchedRequest {
    /// Milliseconds since the statistics were last reset, when the request came in.
    pub at_ms: u64,
    /// What was asked.
    pub operation: Operation,
    /// The status answered; 0 when the connection was cut instead.
    pub status: u16,
}

/// The counters at one moment, as `GET /_stats` shows them.
#[derive(Clone, Default, Serialize)]
pub struct StatsSnapshot {
    /// Answers by operation and status; `cut` where the connection was dropped instead.
    pub requests: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// The same for the entries inside Bundles.
    pub batch_entries: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// All FHIR requests answered or cut; Bundles count once.
    pub requests_total: u64,
    /// Requests refused by the capacity or the concurrency limit.
    pub rejected_429: u64,
    /// Searches carried out, those inside Bundles included.
    pub searches: u64,
    /// Versions made by PUT, PATCH and DELETE.
    pub writes: u64,
    /// Patients with at least one of these versions.
    pub distinct_patients_changed: u64,
    /// `writes` less `distinct_patients_changed`.
    pub writes_beyond_first: u64,
    /// Of `writes`, those by PATCH.
    pub patches: u64,
    /// Writes that named no version.
    pub writes_without_if_match: u64,
    /// Writes refused because their `If-Match` was stale.
    pub conflicts_412: u64,
    /// Connections of FHIR clients that were accepted.
    pub connections: u64,
    /// Access tokens handed out.
    pub tokens_issued: u64,
    /// Assertions refused.
    pub token_refusals: u64,
    /// `values:batchGet` requests answered 200.
    pub batch_gets: u64,
    /// Sheet reads answered 401 or 429.
    pub sheet_reads_refused: u64,
    /// Requests about each watched NIK, oldest first.
    pub watched: BTreeMap<String, Vec<WatchedRequest>>,
    /// Requests let in and refused in each second since the reset.
    pub per_second: Vec<Second>,
}

impl Default for Stats {
    fn default() -> Self {
        let table = || (0..Operation::ALL.len() * STATUSES).map(|_| AtomicU64::new(0)).collect();
        Self {
            requests: table(),
            entries: table(),
            epoch: AtomicU32::new(1),
            searches: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            distinct_patients_changed: AtomicU64::new(0),
            writes_beyond_first: AtomicU64::new(0),
            patches: AtomicU64::new(0),
            writes_without_if_match: AtomicU64::new(0),
            conflicts_412: AtomicU64::new(0),
            rejected_429: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            tokens_issued: AtomicU64::new(0),
            token_refusals: AtomicU64::new(0),
            batch_gets: AtomicU64::new(0),
            sheet_reads_refused: AtomicU64::new(0),
            watching: AtomicBool::new(false),
            watched: RwLock::default(),
            series: Mutex::new(Series { since: Instant::now(), seconds: Vec::new() }),
        }
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Stats {
    /// Keeps a log of the requests about these NIKs, and of no others; earlier logs are dropped.
    pub fn watch<N: AsRef<str>>(&self, niks: impl IntoIterator<Item = N>) {
        let watched = niks
            .into_iter()
            .filter_map(|nik| {
                let nik = nik.as_ref();
                Some((crate::fhir::nik_number(nik)?, (nik.to_owned(), Mutex::default())))
            })
            .collect::<HashMap<_, _>>();
        self.watching.store(!watched.is_empty(), Ordering::Relaxed);
        *self.watched.write().unwrap_or_else(PoisonError::into_inner) = watched;
    }

    /// Sets every counter and log to zero; the watch list stays.
    pub fn reset(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
        let single = [
            &self.searches,
            &self.writes,
            &self.distinct_patients_changed,
            &self.writes_beyond_first,
            &self.patches,
            &self.writes_without_if_match,
            &self.conflicts_412,
            &self.rejected_429,
            &self.tokens_issued,
            &self.token_refusals,
            &self.batch_gets,
            &self.sheet_reads_refused,
            &self.connections,
        ];
        for counter in single.into_iter().chain(self.requests.iter()).chain(self.entries.iter()) {
            counter.store(0, Ordering::Relaxed);
        }
        for (_, log) in self.watched.read().unwrap_or_else(PoisonError::into_inner).values() {
            log.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        *self.series() = Series { since: Instant::now(), seconds: Vec::new() };
    }

    /// The counters now. Counters that move while they are read may be one request apart.
    pub fn snapshot(&self) -> StatsSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let watched = self.watched.read().unwrap_or_else(PoisonError::into_inner);
        StatsSnapshot {
            requests: by_status(&self.requests),
            batch_entries: by_status(&self.entries),
            requests_total: self.requests.iter().map(read).sum(),
            rejected_429: read(&self.rejected_429),
            searches: read(&self.searches),
            writes: read(&self.writes),
            distinct_patients_changed: read(&self.distinct_patients_changed),
            writes_beyond_first: read(&self.writes_beyond_first),
            patches: read(&self.patches),
            writes_without_if_match: read(&self.writes_without_if_match),
            conflicts_412: read(&self.conflicts_412),
            connections: read(&self.connections),
            tokens_issued: read(&self.tokens_issued),
            token_refusals: read(&self.token_refusals),
            batch_gets: read(&self.batch_gets),
            sheet_reads_refused: read(&self.sheet_reads_refused),
            watched: watched
                .values()
                .map(|(nik, log)| (nik.clone(), log.lock().unwrap_or_else(PoisonError::into_inner).clone()))
                .collect(),
            per_second: self.series().seconds.clone(),
        }
    }

    /// Which reset the counters are in: a Patient's first write is its first in this epoch.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Relaxed)
    }

    pub(crate) fn is_watching(&self) -> bool {
        self.watching.load(Ordering::Relaxed)
    }

    /// Counts a request at the door and gives its arrival in milliseconds since the reset.
    pub(crate) fn arrived(&self, accepted: bool) -> u64 {
        let mut series = self.series();
        let since = series.since.elapsed();
        let second = (since.as_secs() as usize).min(LONGEST_SERIES);
        if series.seconds.len() <= second {
            series.seconds.resize(second + 1, Second::default());
        }
        let slot = &mut series.seconds[second];
        if accepted {
            slot.accepted += 1;
        } else {
            slot.rejected += 1;
            count(&self.rejected_429);
        }
        since.as_millis() as u64
    }

    /// Milliseconds since the reset.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.series().since.elapsed().as_millis() as u64
    }

    pub(crate) fn answered(&self, operation: Operation, status: u16) {
        count(&self.requests[slot(operation, status)]);
    }

    pub(crate) fn entry_answered(&self, operation: Operation, status: u16) {
        count(&self.entries[slot(operation, status)]);
    }

    pub(crate) fn log_watched(&self, niks: &[u64], at_ms: u64, operation: Operation, status: u16) {
        if !self.is_watching() {
            return;
        }
        let watched = self.watched.read().unwrap_or_else(PoisonError::into_inner);
        for (_, log) in niks.iter().filter_map(|nik| watched.get(nik)) {
            let request = WatchedRequest { at_ms, operation, status };
            log.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        }
    }

    pub(crate) fn written(&self, first: bool, named_version: bool) {
        count(&self.writes);
        count(if first { &self.distinct_patients_changed } else { &self.writes_beyond_first });
        if !named_version {
            count(&self.writes_without_if_match);
        }
    }

    fn series(&self) -> MutexGuard<'_, Series> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn slot(operation: Operation, status: u16) -> usize {
    operation as usize * STATUSES + usize::from(status).min(STATUSES - 1)
}

fn by_status(table: &[AtomicU64]) -> BTreeMap<&'static str, BTreeMap<String, u64>> {
    let mut operations = BTreeMap::new();
    for (operation, row) in Operation::ALL.into_iter().zip(table.chunks(STATUSES)) {
        let answers = row
            .iter()
            .enumerate()
            .filter_map(|(status, counter)| {
                let name = if status == 0 { "cut".to_owned() } else { status.to_string() };
                Some((name, counter.load(Ordering::Relaxed))).filter(|(_, times)| *times > 0)
            })
            .collect::<BTreeMap<_, _>>();
        if !answers.is_empty() {
            operations.insert(operation.name(), answers);
        }
    }
    operations
}
