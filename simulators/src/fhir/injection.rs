//! A fault plan at work: its dice, its counters, and what it decides for one request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::capacity::TokenBucket;
use crate::dice::Dice;
use crate::faults::{FaultPlan, Latency, PatientFault};
use crate::operation::Operation;

use super::nik_number;

const PURPOSE: u64 = 0x00fa;
const PURPOSE_ENTRY: u64 = 0x00fb;
const PURPOSE_EDIT: u64 = 0x00fc;

/// A plan with its run-time state. A changed plan is a new one, with full buckets and counters.
pub(crate) struct ActiveFaults {
    pub(crate) plan: FaultPlan,
    seed: u64,
    draws: AtomicU64,
    bucket: Option<TokenBucket>,
    in_flight: AtomicUsize,
    patients: HashMap<u64, Afflicted>,
    quiet: bool,
}

struct Afflicted {
    fault: PatientFault,
    remaining: AtomicU32,
}

/// A status that replaces the real answer.
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: Option<Value>,
}

/// What happens to one request.
#[derive(Default)]
pub(crate) struct Injection {
    pub(crate) delay: Duration,
    pub(crate) reset: bool,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) outcome_in_200: bool,
    pub(crate) concurrent_edit: bool,
    pub(crate) reply_lost: bool,
    pub(crate) slow_body: Option<Duration>,
    pub(crate) truncated_body: bool,
}

/// Counts a request as in flight for as long as it lives.
pub(crate) struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ActiveFaults {
    pub(crate) fn new(plan: FaultPlan, seed: u64) -> Self {
        let patients = plan
            .patients
            .iter()
            .filter_map(|(nik, fault)| {
                let remaining = AtomicU32::new(fault.times.unwrap_or(u32::MAX));
                Some((nik_number(nik)?, Afflicted { fault: fault.clone(), remaining }))
            })
            .collect::<HashMap<_, _>>();
        let quiet = plan == FaultPlan { ignore_search: plan.ignore_search, ..FaultPlan::default() };
        let bucket = plan.capacity.as_ref().map(TokenBucket::new);
        Self { plan, seed, draws: AtomicU64::new(0), bucket, in_flight: AtomicUsize::new(0), patients, quiet }
    }

    /// Whether requests have to be told whose they are.
    pub(crate) fn names_patients(&self) -> bool {
        !self.patients.is_empty()
    }

    /// Lets a request in, or says which `Retry-After` its 429 carries.
    pub(crate) fn admit(&self) -> Result<InFlight<'_>, Option<u64>> {
        let already = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let held = InFlight(&self.in_flight);
        let retry_after = self.plan.capacity.as_ref().and_then(|capacity| capacity.retry_after);
        if self.plan.max_concurrency.is_some_and(|most| already >= most) {
            return Err(retry_after);
        }
        match &self.bucket {
            Some(bucket) if !bucket.try_take() => Err(retry_after),
            _ => Ok(held),
        }
    }

    /// Decides what happens to a request about these NIKs.
    pub(crate) fn draw(&self, operation: Operation, niks: &[u64]) -> Injection {
        let mut injection = Injection::default();
        if self.quiet {
            return injection;
        }
        let plan = &self.plan;
        let mut dice = Dice::keyed(self.seed, PURPOSE, self.draws.fetch_add(1, Ordering::Relaxed));
        let mut hits = |rate: f64, operations: &Option<Vec<Operation>>| {
            // Always rolled, so that a rate for one operation does not shift the draws of another fault.
            let rolled = dice.chance(rate);
            rolled && operations.as_ref().is_none_or(|only| only.contains(&operation))
        };
        injection.reset = hits(plan.reset.rate, &plan.reset.operations);
        if hits(plan.error_500.rate, &plan.error_500.operations) {
            injection.refusal = Some(Refusal { status: 500, retry_after: None, body: None });
        }
        if hits(plan.error_503.rate, &plan.error_503.operations) {
            let retry_after = plan.error_503.retry_after;
            injection.refusal.get_or_insert(Refusal { status: 503, retry_after, body: None });
        }
        for fault in &plan.statuses {
            if hits(fault.rate, &fault.operations) {
                let (status, retry_after) = (fault.status, fault.retry_after);
                injection.refusal.get_or_insert(Refusal { status, retry_after, body: fault.body.clone() });
            }
        }
        injection.outcome_in_200 = hits(plan.outcome_in_200.rate, &plan.outcome_in_200.operations);
        injection.concurrent_edit = hits(plan.concurrent_edit.rate, &plan.concurrent_edit.operations);
        let changes = matches!(operation, Operation::Write | Operation::Batch);
        injection.reply_lost = hits(plan.applied_reply_lost.rate, &plan.applied_reply_lost.operations)
            && (changes || plan.applied_reply_lost.operations.is_some());
        if hits(plan.slow_body.rate, &plan.slow_body.operations) {
            injection.slow_body = Some(Duration::from_millis(plan.slow_body.over_ms));
        }
        injection.truncated_body = hits(plan.truncated_body.rate, &plan.truncated_body.operations);
        let latency = plan.latency_by_operation.get(&operation).unwrap_or(&plan.latency);
        injection.delay = sample(latency, &mut dice);
        if let Some(fault) = self.afflicting(operation, niks) {
            injection.delay += Duration::from_millis(fault.latency_ms);
            injection.reset |= fault.reset;
            if fault.status.is_some() {
                injection.refusal = refusal(fault);
            }
            injection.reply_lost |= fault.applied_reply_lost;
        }
        injection
    }

    /// The refusal of one entry of a Bundle.
    pub(crate) fn draw_entry(&self, operation: Operation, niks: &[u64]) -> Option<Refusal> {
        self.afflicting(operation, niks).and_then(refusal)
    }

    /// Whether somebody else writes the Patient of a Bundle's entry first.
    pub(crate) fn edits_before_entry(&self) -> bool {
        let rate = self.plan.concurrent_edit.rate;
        rate > 0.0
            && Dice::keyed(self.seed, PURPOSE_EDIT, self.draws.fetch_add(1, Ordering::Relaxed)).chance(rate)
    }

    /// Whether the answer to an entry of a Bundle is left out.
    pub(crate) fn drops_entry(&self) -> bool {
        let rate = self.plan.batch_entry_missing;
        rate > 0.0
            && Dice::keyed(self.seed, PURPOSE_ENTRY, self.draws.fetch_add(1, Ordering::Relaxed)).chance(rate)
    }

    fn afflicting(&self, operation: Operation, niks: &[u64]) -> Option<&PatientFault> {
        if self.patients.is_empty() {
            return None;
        }
        niks.iter().find_map(|nik| {
            let Afflicted { fault, remaining } = self.patients.get(nik)?;
            let meant = fault.operation.is_none_or(|only| only == operation);
            let limited = fault.times.is_some();
            let left = || remaining.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
            (meant && (!limited || left().is_ok())).then_some(fault)
        })
    }
}

fn refusal(fault: &PatientFault) -> Option<Refusal> {
    let status = fault.status?;
    Some(Refusal { status, retry_after: fault.retry_after, body: fault.body.clone() })
}

fn sample(latency: &Latency, dice: &mut Dice) -> Duration {
    let mut ms = latency.fixed_ms;
    if latency.median_ms > 0.0 {
        ms += latency.median_ms * (latency.sigma * dice.normal()).exp();
    }
    Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Rate;

    #[test]
    fn the_same_seed_draws_the_same_faults() {
        let plan = FaultPlan {
            reset: Rate::of(0.2),
            error_500: Rate::of_operations(0.3, [Operation::Write]),
            latency: Latency::log_normal(50.0, 0.5),
            ..FaultPlan::default()
        };
        let series = |seed| {
            let faults = ActiveFaults::new(plan.clone(), seed);
            let draw = |_| {
                let drawn = faults.draw(Operation::Write, &[]);
                (drawn.reset, drawn.refusal.map(|refusal| refusal.status), drawn.delay)
            };
            (0..500).map(draw).collect::<Vec<_>>()
        };
        assert_eq!(series(7), series(7));
        assert_ne!(series(7), series(8));
        let resets = series(7).iter().filter(|drawn| drawn.0).count();
        assert!((60..=140).contains(&resets), "{resets}");
        let mut delays = series(7).iter().map(|drawn| drawn.2.as_millis()).collect::<Vec<_>>();
        delays.sort_unstable();
        assert!((44..=57).contains(&delays[250]), "median {}", delays[250]);
    }

    #[test]
    fn a_patient_fault_ends_after_its_times() {
        let fault = PatientFault {
            operation: Some(Operation::Write),
            times: Some(2),
            status: Some(503),
            ..Default::default()
        };
        let nik = "3171014503900001";
        let plan = FaultPlan { patients: [(nik.to_owned(), fault)].into(), ..FaultPlan::default() };
        let faults = ActiveFaults::new(plan, 1);
        let niks = [nik_number(nik).expect("16 digits")];
        let refused = |operation| faults.draw(operation, &niks).refusal.is_some();
        assert!(!refused(Operation::Search));
        assert_eq!((0..4).map(|_| refused(Operation::Write)).collect::<Vec<_>>(), [true, true, false, false]);
    }
}
