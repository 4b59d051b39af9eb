//! Clients in a loop behind limiters that do not know of each other, and what became of their requests.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until};
use worker::limiter::{Limiter, LimiterConfig, Sample, Verdict};

use super::server::{Answer, Server};

const TICK: Duration = Duration::from_millis(100);
const TICKS_A_SECOND: usize = 10;

/// A tenth of a second of a night.
#[derive(Debug, Clone, Default)]
pub struct Tick {
    /// Requests done, by worker.
    pub done: Vec<u32>,
    /// Requests refused.
    pub refused: u32,
    /// Requests that failed though there was room for them.
    pub failed: u32,
    /// At its end, of all workers: how many may be in flight.
    pub limit: f64,
    /// At its end, of all workers: how many are.
    pub in_flight: usize,
    /// At its end, of all workers that pace.
    pub pace: Option<f64>,
}

impl Tick {
    fn done(&self) -> u32 {
        self.done.iter().sum()
    }
}

/// What happened since the start.
#[derive(Clone, Default)]
pub struct Night {
    /// Tick by tick.
    pub ticks: Vec<Tick>,
    /// When the last of a night's requests was done, where there is a number of them.
    pub took: Option<Duration>,
}

/// How to run one.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The second in which each worker starts.
    pub starts: Vec<u64>,
    /// Of each worker.
    pub clients: usize,
    /// How long it lasts.
    pub seconds: usize,
    /// It ends earlier, once so many requests are done; those that failed or were refused are made again.
    pub requests: Option<u64>,
    /// Of each worker's limiter.
    pub config: LimiterConfig,
}

struct Shared {
    server: Server,
    start: Instant,
    night: RefCell<Night>,
    left: RefCell<Option<u64>>,
}

impl Plan {
    /// One worker.
    pub fn new(seconds: usize) -> Self {
        Self { starts: vec![0], clients: 400, seconds, requests: None, config: LimiterConfig::default() }
    }

    /// The requests of so many rows: a search and a write each.
    pub fn of_rows(rows: u64) -> Self {
        Self { requests: Some(rows * 2), ..Self::new(600) }
    }

    /// Runs the clients, calling `at_second` as each second begins.
    pub async fn run(self, server: &Server, mut at_second: impl FnMut(usize, &Server)) -> Night {
        let workers = self.starts.len();
        let tick = Tick { done: vec![0; workers], ..Tick::default() };
        let ticks = vec![tick; self.seconds * TICKS_A_SECOND];
        let shared = Rc::new(Shared {
            server: server.clone(),
            start: Instant::now(),
            night: RefCell::new(Night { ticks, took: None }),
            left: RefCell::new(self.requests),
        });
        let local = LocalSet::new();
        local.run_until(self.watch(&shared, &mut at_second)).await;
        shared.night.take()
    }

    async fn watch(&self, shared: &Rc<Shared>, at_second: &mut impl FnMut(usize, &Server)) {
        let mut clients = JoinSet::new();
        let mut limiters = Vec::new();
        for number in 0..self.seconds * TICKS_A_SECOND {
            if number % TICKS_A_SECOND == 0 {
                let second = number / TICKS_A_SECOND;
                at_second(second, &shared.server);
                for (worker, _) in
                    self.starts.iter().enumerate().filter(|(_, start)| **start == second as u64)
                {
                    let limiter = Limiter::new(self.config.clone());
                    for _ in 0..self.clients {
                        clients.spawn_local(client(shared.clone(), limiter.clone(), worker));
                    }
                    limiters.push(limiter);
                }
            }
            sleep_until(shared.start + TICK * (number as u32 + 1)).await;
            let mut night = shared.night.borrow_mut();
            let tick = &mut night.ticks[number];
            for state in limiters.iter().map(Limiter::snapshot) {
                tick.limit += state.limit;
                tick.in_flight += state.in_flight;
                if let Some(pace) = state.pace_rps {
                    *tick.pace.get_or_insert(0.0) += pace;
                }
            }
            if night.took.is_some() {
                night.ticks.truncate(number + 1);
                break;
            }
        }
    }
}

async fn client(shared: Rc<Shared>, limiter: Limiter, worker: usize) {
    loop {
        let permit = limiter.acquire().await;
        if let Some(left) = shared.left.borrow_mut().as_mut() {
            if *left == 0 {
                return;
            }
            *left -= 1;
        }
        let answer = shared.server.call().await;
        let now = Instant::now();
        let verdict = match answer {
            Answer::Done => Verdict::Success,
            Answer::Refused(wait) => {
                if let Some(wait) = wait {
                    limiter.hold_until(now + wait);
                }
                Verdict::Throttled
            }
            Answer::Failed => Verdict::Overloaded,
        };
        permit.finish(Sample { verdict, class: 0 });
        if answer != Answer::Done
            && let Some(left) = shared.left.borrow_mut().as_mut()
        {
            *left += 1;
        }
        let mut night = shared.night.borrow_mut();
        let since = now.duration_since(shared.start);
        let number = (since.as_millis() / TICK.as_millis()) as usize;
        if let Some(tick) = night.ticks.get_mut(number) {
            match answer {
                Answer::Done => tick.done[worker] += 1,
                Answer::Refused(_) => tick.refused += 1,
                Answer::Failed => tick.failed += 1,
            }
        }
        if answer == Answer::Done && *shared.left.borrow() == Some(0) && limiter.snapshot().in_flight == 0 {
            night.took = Some(since);
        }
    }
}

impl Night {
    fn seconds(&self, seconds: Range<usize>) -> &[Tick] {
        &self.ticks[seconds.start * TICKS_A_SECOND..seconds.end * TICKS_A_SECOND]
    }

    /// Requests done a second, on average.
    pub fn throughput(&self, seconds: Range<usize>) -> f64 {
        let done: u32 = self.seconds(seconds.clone()).iter().map(Tick::done).sum();
        f64::from(done) / seconds.len() as f64
    }

    /// Share of the answers that were refusals.
    pub fn refused(&self, seconds: Range<usize>) -> f64 {
        let (mut answers, mut refused) = (0, 0);
        for tick in self.seconds(seconds) {
            answers += tick.done() + tick.refused + tick.failed;
            refused += tick.refused;
        }
        f64::from(refused) / f64::from(answers.max(1))
    }

    /// Share of all answers that were refusals.
    pub fn refused_in_all(&self) -> f64 {
        self.refused(0..self.ticks.len() / TICKS_A_SECOND)
    }

    /// Jain's index of what the workers got done: 1 where all got the same, 1/n where one of n got everything (Jain,
    /// Chiu, Hawe 1984).
    pub fn fairness(&self, seconds: Range<usize>) -> f64 {
        let ticks = self.seconds(seconds);
        let workers = ticks[0].done.len();
        let shares: Vec<f64> =
            (0..workers).map(|worker| ticks.iter().map(|tick| f64::from(tick.done[worker])).sum()).collect();
        let sum: f64 = shares.iter().sum();
        sum * sum / (workers as f64 * shares.iter().map(|share| share * share).sum::<f64>())
    }

    /// The lowest and the highest of what `of` gives at the ticks' ends, over their mean.
    pub fn swing(&self, seconds: Range<usize>, of: impl Fn(&Tick) -> f64) -> (f64, f64) {
        let values: Vec<f64> = self.seconds(seconds).iter().map(of).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = values.iter().copied().fold(0.0, f64::max);
        (lowest / mean, highest / mean)
    }

    /// Seconds after `from` until the throughput over two seconds is within these shares of `capacity` for the first
    /// time.
    pub fn reaches(&self, from: usize, capacity: f64, within: (f64, f64)) -> Option<f64> {
        let window = 2 * TICKS_A_SECOND;
        let start = from * TICKS_A_SECOND;
        (start..self.ticks.len().saturating_sub(window)).find_map(|at| {
            let done: u32 = self.ticks[at..at + window].iter().map(Tick::done).sum();
            let share = f64::from(done) / 2.0 / capacity;
            (within.0..=within.1).contains(&share).then(|| (at - start) as f64 / TICKS_A_SECOND as f64)
        })
    }

    /// One line a tick: seconds, done, refused, failed, limit, in flight, pace.
    pub fn csv(&self) -> String {
        use fmt::Write as _;
        let mut csv = String::from("seconds,done,refused,failed,limit,in_flight,pace\n");
        for (number, tick) in self.ticks.iter().enumerate() {
            let seconds = (number + 1) as f64 / TICKS_A_SECOND as f64;
            let pace = tick.pace.map_or(String::new(), |pace| format!("{pace:.1}"));
            let (done, Tick { refused, failed, limit, in_flight, .. }) = (tick.done(), tick);
            // Writing to a string cannot fail.
            let _ = writeln!(csv, "{seconds:.1},{done},{refused},{failed},{limit:.1},{in_flight},{pace}");
        }
        csv
    }
}

impl fmt::Debug for Night {
    /// A line a second, for a test that failed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "second: done refused failed limit in-flight pace")?;
        for (number, ticks) in self.ticks.chunks(TICKS_A_SECOND).enumerate() {
            let done: u32 = ticks.iter().map(Tick::done).sum();
            let refused: u32 = ticks.iter().map(|tick| tick.refused).sum();
            let failed: u32 = ticks.iter().map(|tick| tick.failed).sum();
            let Some(Tick { limit, in_flight, pace, .. }) = ticks.last() else { continue };
            let pace = pace.unwrap_or(f64::NAN);
            writeln!(f, "{number:4}: {done:5} {refused:4} {failed:4} {limit:6.1} {in_flight:5} {pace:6.1}")?;
        }
        Ok(())
    }
}
