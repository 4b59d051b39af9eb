//! Clients in a loop against a simulated server, and what became of their requests, second by second.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until};

use super::super::{Limiter, LimiterConfig, Sample, Verdict};
use super::server::{Answer, Server};

/// One second of a night.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Second {
    pub(super) done: u32,
    pub(super) refused: u32,
    pub(super) limit: f64,
    pub(super) pace: Option<f64>,
}

/// What happened, by second since the start.
#[derive(Clone, Default)]
pub(super) struct Night {
    pub(super) seconds: Vec<Second>,
}

/// How to run one.
pub(super) struct Plan {
    pub(super) clients: usize,
    pub(super) seconds: usize,
    /// `Retry-After` of a refusal, which the clients hold everything for.
    pub(super) retry_after: Option<Duration>,
    pub(super) config: LimiterConfig,
}

impl Plan {
    pub(super) fn new(seconds: usize) -> Self {
        Self { clients: 400, seconds, retry_after: None, config: LimiterConfig::default() }
    }

    pub(super) fn with_retry_after(mut self) -> Self {
        self.retry_after = Some(Duration::from_secs(1));
        self
    }

    /// Runs the clients, calling `at_second` as each second begins.
    pub(super) async fn run(self, server: &Server, mut at_second: impl FnMut(usize, &Server)) -> Night {
        let limiter = Limiter::new(self.config);
        let night = Rc::new(RefCell::new(Night { seconds: vec![Second::default(); self.seconds] }));
        let start = Instant::now();
        let local = LocalSet::new();
        local
            .run_until(async {
                let mut clients = JoinSet::new();
                for _ in 0..self.clients {
                    let client =
                        client(limiter.clone(), server.clone(), self.retry_after, start, night.clone());
                    clients.spawn_local(client);
                }
                for second in 0..self.seconds {
                    at_second(second, server);
                    sleep_until(start + Duration::from_secs(second as u64 + 1)).await;
                    let state = limiter.snapshot();
                    let mut night = night.borrow_mut();
                    night.seconds[second].limit = state.limit;
                    night.seconds[second].pace = state.pace_rps;
                }
            })
            .await;
        night.take()
    }
}

async fn client(
    limiter: Limiter,
    server: Server,
    retry_after: Option<Duration>,
    start: Instant,
    night: Rc<RefCell<Night>>,
) {
    loop {
        let permit = limiter.acquire().await;
        let answer = server.call().await;
        let now = Instant::now();
        if let (Answer::Refused, Some(wait)) = (answer, retry_after) {
            limiter.hold_until(now + wait);
        }
        let verdict = match answer {
            Answer::Done => Verdict::Success,
            Answer::Refused => Verdict::Throttled,
            Answer::Failed => Verdict::Overloaded,
        };
        permit.finish(Sample { verdict, class: 0 });
        let mut night = night.borrow_mut();
        if let Some(second) = night.seconds.get_mut(now.duration_since(start).as_secs() as usize) {
            match answer {
                Answer::Done => second.done += 1,
                Answer::Refused | Answer::Failed => second.refused += 1,
            }
        }
    }
}

impl Night {
    /// Requests done a second, on average.
    pub(super) fn throughput(&self, seconds: Range<usize>) -> f64 {
        let done: u32 = self.seconds[seconds.clone()].iter().map(|second| second.done).sum();
        f64::from(done) / seconds.len() as f64
    }

    /// Share of the answers that were refusals.
    pub(super) fn refused(&self, seconds: Range<usize>) -> f64 {
        let (done, refused) = self.seconds[seconds]
            .iter()
            .fold((0, 0), |(done, refused), second| (done + second.done, refused + second.refused));
        f64::from(refused) / f64::from(done + refused).max(1.0)
    }
}

impl fmt::Debug for Night {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "second: done refused limit pace")?;
        for (number, second) in self.seconds.iter().enumerate() {
            let Second { done, refused, limit, pace } = second;
            writeln!(f, "{number:4}: {done:4} {refused:3} {limit:6.1} {:6.1}", pace.unwrap_or(f64::NAN))?;
        }
        Ok(())
    }
}
