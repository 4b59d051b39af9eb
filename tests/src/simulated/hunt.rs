//! Many seeds, on as many threads as there are cores.

use std::fmt::{self, Display};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use super::night::{Told, play};
use super::plan::Plan;
use super::shrink::shrink;
use crate::oracle::Verdict;

/// A seed whose night broke a promise.
#[derive(Clone, Debug)]
pub struct Found {
    /// The seed.
    pub seed: u64,
    /// The smallest plan that still breaks one.
    pub plan: Plan,
    /// What the night of that plan came to.
    pub verdict: Verdict,
}

impl Display for Found {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = serde_json::to_string(&self.plan).expect("a plan is plain data");
        write!(
            to,
            "seed {} breaks a promise. {}\nThe smallest plan that does:\n{plan}",
            self.seed, self.verdict
        )
    }
}

/// Plays the nights of these seeds, and gives the first few that break a promise, made small.
pub fn hunt(seeds: Range<u64>, most: usize) -> Vec<Found> {
    let next = AtomicU64::new(seeds.start);
    let found: Mutex<Vec<Found>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let enough = found.lock().unwrap_or_else(PoisonError::into_inner).len() >= most;
                    if seed >= seeds.end || enough {
                        return;
                    }
                    let plan = Plan::of(seed);
                    if judged(&plan).verdict.holds() {
                        continue;
                    }
                    let plan = shrink(&plan, |plan| !judged(plan).verdict.holds());
                    let verdict = judged(&plan).verdict;
                    found.lock().unwrap_or_else(PoisonError::into_inner).push(Found { seed, plan, verdict });
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// A night that panics breaks a promise, too.
fn judged(plan: &Plan) -> Told {
    catch_unwind(AssertUnwindSafe(|| play(plan, false))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
        let verdict = Verdict { violations: vec![format!("a panic: {text}")], ..Verdict::default() };
        Told { verdict, digest: 0, steps: 0, lines: Vec::new() }
    })
}
