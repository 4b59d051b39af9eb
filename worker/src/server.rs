//! The FHIR server as rows meet it: one request at a time under a permit, or one of many in a request, with what
//! its failure means for the row and for everybody.

mod probe;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use shared::error_chain;
use shared::ledger::{Exchange, GateKind, RowKey};
use shared::metrics::Metrics;
use shared::retry::RetryPolicy;
use tokio::time::{Instant, timeout_at};

use crate::breaker::{Blame, Breaker, BreakerTerms, Failed, Kind};
use crate::credentials::Credentials;
use crate::fhir::{Failure, FhirClient, Operation, Transient};
use crate::gather::GatherTerms;
use crate::limiter::{Limiter, Sample, Verdict};
use crate::many::Many;
use crate::pause::{Pause, PauseTerms, Paused};

/// How often a row waits for a server that asks to slow down before such a wait uses an attempt after all: one
/// Patient that always answers 429 must not keep a night open.
const FREE_WAITS: u32 = 50;

/// How often a row may pause everybody because the server names a time when asked for it, before that uses an attempt:
/// the same for a Patient that is always answered so.
const FREE_PAUSES: u32 = 5;
/// So many exchanges of one claim are kept: a row that waits for a busy server has the same one over and over.
const EXCHANGES: usize = 12;

pub(crate) const LEASE_RAN_OUT: &str = "the lease ran out before the request's turn";

/// A server that answers nothing but 429 for so long, beyond what it asked to wait for, is a systemic trouble:
/// the night pauses, and its deadline counts.
const UNSERVED: Duration = Duration::from_secs(330);

/// Why a row goes no further for now.
#[derive(Debug)]
pub enum Stop {
    /// It failed on its own account, in a way that may pass: uses an attempt.
    Retry(String),
    /// It has to wait, through no fault of its own.
    Later(Duration, String),
    /// Everything is paused: back to pending.
    Paused,
    /// The server refuses this row, or its Patient is not as it was.
    Refused(Failure),
    /// It was asked together with others, and the answer says nothing about it; a write is in doubt.
    Unsaid,
}

/// A row's account with the server during one claim.
#[derive(Debug)]
pub struct Account {
    /// Which row.
    pub row: RowKey,
    /// How often it failed on its own account before.
    pub attempts: u32,
    /// No request starts after this: what is left of the lease would not cover its time-out.
    pub deadline: Instant,
    /// Requests made.
    pub requests: u32,
    /// How often one had to be made again.
    pub retries: u32,
    /// What was asked, the first of them.
    pub exchanges: Vec<Exchange>,
    waits: u32,
}

impl Account {
    /// A fresh account.
    pub fn new(row: RowKey, attempts: u32, deadline: Instant) -> Self {
        Self { row, attempts, deadline, requests: 0, retries: 0, exchanges: Vec::new(), waits: 0 }
    }

    /// Notes how a question was answered.
    pub(crate) fn note<T>(&mut self, operation: Operation, result: &Result<T, Failure>, asked_at: Instant) {
        if self.exchanges.len() < EXCHANGES {
            self.exchanges.push(Exchange {
                operation: operation.as_str().to_owned(),
                answer: result.as_ref().err().map_or_else(|| "ok".into(), Failure::answer),
                millis: u64::try_from(asked_at.elapsed().as_millis()).unwrap_or(u64::MAX),
            });
        }
    }
}

/// Intervals and sizes.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerTerms {
    /// When the server is blamed.
    pub breaker: BreakerTerms,
    /// How long pauses last.
    pub pause: PauseTerms,
    /// How requests for many rows are filled.
    pub gather: GatherTerms,
}

/// See the module.
pub struct Server {
    /// The client.
    pub client: Arc<FhirClient>,
    /// What the server can take.
    pub limiter: Limiter,
    /// Whether anything is tried at all.
    pub pause: Arc<Pause>,
    pub(crate) many: Many,
    credentials: Credentials,
    breaker: Breaker,
    back_off: RetryPolicy,
    /// When the server last did anything but ask to slow down.
    served_at: Mutex<Instant>,
    /// How often each row was the one to begin a pause because the server named a time.
    begun: Mutex<HashMap<RowKey, u32>>,
    dice: Mutex<SmallRng>,
    metrics: Metrics,
}

impl Server {
    /// Nothing is asked of it before the first probe.
    pub fn new(
        client: FhirClient,
        limiter: Limiter,
        credentials: Credentials,
        terms: ServerTerms,
        seed: u64,
        metrics: Metrics,
    ) -> Self {
        let client = Arc::new(client);
        let pause = Arc::new(Pause::until_probed(terms.pause));
        Self {
            many: Many::start(terms.gather, &client, &limiter, &pause),
            client,
            limiter,
            pause,
            credentials,
            breaker: Breaker::new(terms.breaker),
            back_off: RetryPolicy {
                first: Duration::from_millis(200),
                max: Duration::from_secs(10),
                max_attempts: u32::MAX,
            },
            served_at: Mutex::new(Instant::now()),
            begun: Mutex::default(),
            dice: Mutex::new(SmallRng::seed_from_u64(seed)),
            metrics,
        }
    }

    /// A delay of `policy` after so many failed attempts.
    pub fn delay(&self, policy: &RetryPolicy, attempts: u32) -> Duration {
        policy.delay(attempts, &mut *self.dice())
    }

    /// A moment somewhere between nothing and `most`, so that rows that waited together do not go on together.
    pub fn moment(&self, most: Duration) -> Duration {
        most.mul_f64(self.dice().random())
    }

    fn dice(&self) -> MutexGuard<'_, SmallRng> {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a request for a row, again while that costs the row nothing, and tells what its failure means.
    pub async fn ask<T, F>(
        &self,
        account: &mut Account,
        operation: Operation,
        request: impl Fn() -> F,
    ) -> Result<T, Stop>
    where
        F: Future<Output = (Result<T, Failure>, u32)>,
    {
        let mut renewed = false;
        loop {
            // Without a request permit, which a token has no need of.
            self.let_in().await?;
            let permit = tokio::select! {
                biased;
                permit = timeout_at(account.deadline, self.limiter.acquire()) => permit,
                // The line may be long, and nobody in it starts any more.
                () = self.pause.began() => return Err(Stop::Paused),
            };
            let Ok(permit) = permit else {
                return Err(Stop::Later(Duration::ZERO, LEASE_RAN_OUT.into()));
            };
            if self.pause.is_on() {
                return Err(Stop::Paused);
            }
            // A limiter with a free slot gives it past the deadline too.
            if Instant::now() >= account.deadline {
                return Err(Stop::Later(Duration::ZERO, LEASE_RAN_OUT.into()));
            }
            let asked_at = Instant::now();
            let (result, requests) = request().await;
            account.requests += requests;
            account.note(operation, &result, asked_at);
            permit.finish(Sample { verdict: verdict(&result), class: operation as usize });
            if let Some(value) = self.weigh(account, operation, result, &mut renewed).await? {
                return Ok(value);
            }
        }
    }

    /// What an answer means. None: it is worth asking again, at no cost to the row.
    pub(crate) async fn weigh<T>(
        &self,
        account: &mut Account,
        operation: Operation,
        result: Result<T, Failure>,
        renewed: &mut bool,
    ) -> Result<Option<T>, Stop> {
        let failure = match result {
            Ok(value) => {
                self.served();
                self.breaker.succeeded(operation);
                return Ok(Some(value));
            }
            Err(failure) => failure,
        };
        if let Some(reason) = failure.retry_reason() {
            self.metrics.fhir_retry(reason);
        }
        if !matches!(failure, Failure::Throttled { .. }) {
            self.served();
        }
        match failure {
            Failure::Throttled { retry_after, .. } => {
                self.wait_out(account, retry_after, &failure).await?;
                // It let us in; what it refuses after a wait may have expired meanwhile.
                *renewed = false;
            }
            Failure::Unauthorized { generation, ref text } => {
                if *renewed || !self.renew(generation).await? {
                    return Err(self.systemic(GateKind::Systemic, self.refused_credentials(text)));
                }
                *renewed = true;
            }
            other => {
                let failed = Failed { row: account.row, attempts: account.attempts };
                return Err(self.judge(failed, operation, other).await);
            }
        }
        account.retries += 1;
        Ok(None)
    }

    /// Waits for a token, where one is needed. None to be had is everybody's trouble.
    pub(crate) async fn let_in(&self) -> Result<(), Stop> {
        if self.pause.is_on() {
            return Err(Stop::Paused);
        }
        let ready = self.credentials.ready(&self.client).await;
        ready.map_err(|no_token| self.without_token(&no_token))
    }

    async fn renew(&self, generation: u64) -> Result<bool, Stop> {
        let renewed = self.credentials.renew(&self.client, generation).await;
        renewed.map_err(|no_token| self.without_token(&no_token))
    }

    /// The server took a request, whatever became of it.
    fn served(&self) {
        *self.served_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn unserved_for(&self) -> Duration {
        self.served_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Waits as the server asks, or hands the row back where its lease does not last that long.
    async fn wait_out(
        &self,
        account: &mut Account,
        retry_after: Option<Duration>,
        failure: &Failure,
    ) -> Result<(), Stop> {
        if let Some(paused) = self.throttled(retry_after, failure) {
            if !self.pause.is_on() && self.pauses_begun(account.row) > FREE_PAUSES {
                return Err(Stop::Retry(failure.to_string()));
            }
            return Err(self.pause_for(paused));
        }
        account.waits += 1;
        if account.waits > FREE_WAITS {
            return Err(Stop::Retry(failure.to_string()));
        }
        let wait = self.delay(&self.back_off, account.waits).max(retry_after.unwrap_or_default());
        if Instant::now() + wait >= account.deadline {
            return Err(Stop::Later(wait + self.moment(Duration::from_secs(1)), failure.to_string()));
        }
        tokio::select! {
            biased;
            () = tokio::time::sleep(wait) => Ok(()),
            () = self.pause.began() => Err(Stop::Paused),
        }
    }

    /// Counts one more.
    fn pauses_begun(&self, row: RowKey) -> u32 {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let pauses = begun.entry(row).or_default();
        *pauses += 1;
        *pauses
    }

    /// What a server that asks to slow down means for everybody: nothing is asked before the time it names, or, where
    /// it does nothing else for long, it counts as down. None: it named no time that others could hear of before it is
    /// over.
    fn throttled(&self, retry_after: Option<Duration>, failure: &Failure) -> Option<Paused> {
        if self.unserved_for() > UNSERVED {
            let reason = format!("{failure}, and to nothing else for a while");
            return Some(Paused::found(GateKind::Systemic, reason));
        }
        let asked = retry_after.filter(|asked| *asked >= self.pause.terms().look)?;
        let until = Instant::now() + asked;
        // Afterwards requests start evenly.
        self.limiter.hold_until(until);
        Some(Paused { until: Some(until), ..Paused::found(GateKind::Throttled, failure.to_string()) })
    }

    async fn judge(&self, failed: Failed, operation: Operation, failure: Failure) -> Stop {
        match &failure {
            Failure::Transient { kind: Transient::Unreachable, .. } => {
                match self.blame(operation, Kind::Unreachable, failed).await {
                    Blame::Row => Stop::Later(self.delay(&self.back_off, 1), error_chain(&failure)),
                    Blame::Server | Blame::Unknown => {
                        self.systemic(GateKind::Systemic, error_chain(&failure))
                    }
                }
            }
            Failure::Transient { .. } => match self.blame(operation, Kind::Failing, failed).await {
                Blame::Server => self.systemic(GateKind::Systemic, error_chain(&failure)),
                Blame::Row | Blame::Unknown => Stop::Retry(error_chain(&failure)),
            },
            // Once it is the Patient's; for everybody the server must have changed.
            Failure::TooLarge(_) => match self.blame(operation, Kind::Failing, failed).await {
                Blame::Server => self.systemic(GateKind::Systemic, error_chain(&failure)),
                Blame::Row | Blame::Unknown => Stop::Refused(failure),
            },
            Failure::Forbidden { .. } => match self.blame(operation, Kind::Forbidden, failed).await {
                Blame::Server => self.systemic(GateKind::Systemic, error_chain(&failure)),
                Blame::Row | Blame::Unknown => Stop::Refused(failure),
            },
            _ => {
                // It answers, and to the point.
                self.breaker.succeeded(operation);
                Stop::Refused(failure)
            }
        }
    }

    /// Whose failure it is. Where that cannot be told and everything is paused by now, it is not the row's.
    async fn blame(&self, operation: Operation, kind: Kind, failed: Failed) -> Blame {
        match self.breaker.blame(operation, kind, failed).await {
            Blame::Unknown if self.pause.is_on() => Blame::Server,
            blame => blame,
        }
    }

    /// A match that is not whom we searched: this row's trouble, or a server that ignores the search.
    pub async fn mismatched(&self, row: RowKey) -> Option<Stop> {
        // Searches that find the right Patient keep succeeding on a sane server, so they break the streak; a
        // search counts as success as soon as it is answered, hence an operation of its own.
        let failed = Failed { row, attempts: 0 };
        match self.blame(Operation::Canary, Kind::Mismatching, failed).await {
            Blame::Server => Some(self.systemic(
                GateKind::Guard,
                "the FHIR server's searches return other Patients than asked for; nothing more is written".into(),
            )),
            Blame::Row | Blame::Unknown => None,
        }
    }

    /// A search found the Patient it asked for.
    pub fn matched(&self) {
        self.breaker.succeeded(Operation::Canary);
    }

    /// Pauses everything.
    pub fn systemic(&self, kind: GateKind, reason: String) -> Stop {
        self.pause_for(Paused::found(kind, reason))
    }

    /// Pauses everything for what was found.
    pub(crate) fn pause_for(&self, paused: Paused) -> Stop {
        let gate = paused.gate.clone();
        if self.pause.begin(paused) {
            self.pause.log.began(&gate, "the night pauses");
        }
        Stop::Paused
    }

    /// Goes on after a probe that went well.
    pub fn resume(&self) {
        self.served();
        self.breaker.start_over();
        self.pause.end();
    }
}

pub(crate) fn verdict<T>(result: &Result<T, Failure>) -> Verdict {
    match result {
        Ok(_) => Verdict::Success,
        Err(Failure::Throttled { .. }) => Verdict::Throttled,
        Err(Failure::Transient { kind: Transient::Timeout | Transient::Server(503), .. }) => {
            Verdict::Overloaded
        }
        Err(_) => Verdict::Ignored,
    }
}
