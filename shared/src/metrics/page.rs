//! What a process says about itself when it is asked.

use std::fmt::Write as _;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::survey::Survey;
use crate::backing::Backing;
use crate::error_chain;

/// How old a survey may be: scrapes that come together share one.
const FRESH: Duration = Duration::from_secs(1);

/// What the ledger, and the queue, have for an answer: together less than a scraper's usual patience.
const PATIENCE: Duration = Duration::from_secs(4);

/// A side of the process that is neither the ledger nor the queue.
pub trait Part: Send + Sync {
    /// What it is, for people.
    fn name(&self) -> &'static str;

    /// Whether work can be done there now; if not, why. No personal data.
    fn ready(&self) -> Result<(), String>;

    /// What is asked of it now.
    fn load(&self) -> Load;
}

/// Requests to a [`Part`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// How many may be in flight.
    pub limit: f64,
    /// How many are.
    pub in_flight: f64,
    /// How many may start a second; none where nothing paces them.
    pub pace: Option<f64>,
}

/// What a page tells about.
pub struct Watched {
    /// Ledger and queues, and what was measured.
    pub backing: Backing,
    /// `JOB_NAME`.
    pub job: String,
    /// `RUN_DEADLINE`.
    pub deadline: Duration,
    /// What a worker needs beside the ledger: then the queue is needed too. None: a producer.
    pub part: Option<Arc<dyn Part>>,
}

/// The page of one process: there before the process has connected to anything.
#[derive(Default)]
pub struct Page {
    watched: OnceLock<Watched>,
    survey: Mutex<Option<(Instant, String)>>,
}

impl Page {
    /// What there is to tell from now on; said once.
    pub fn watch(&self, watched: Watched) {
        // A second call would be a second process.
        let _ = self.watched.set(watched);
    }

    /// In the Prometheus text format.
    pub(super) async fn scrape(&self) -> String {
        let Some(watched) = self.watched.get() else { return String::new() };
        let mut text = watched.backing.metrics.render();
        let mut latest = self.survey.lock().await;
        let survey = match latest.take() {
            Some((at, survey)) if at.elapsed() < FRESH => (at, survey),
            _ => {
                let survey = watched.survey().await;
                (Instant::now(), survey)
            }
        };
        text.push_str(&survey.1);
        *latest = Some(survey);
        text
    }

    /// A line for each of the other sides, and whether all of them are well.
    pub(super) async fn readiness(&self) -> (bool, String) {
        let Some(watched) = self.watched.get() else {
            return (false, "ledger: not connected yet\n".into());
        };
        let backing = &watched.backing;
        let ledger = async { answer(backing.ledger.now()).await };
        let queue = async {
            match &watched.part {
                Some(_) => Some(answer(backing.queues.night.depth()).await),
                None => None,
            }
        };
        let (ledger, queue) = tokio::join!(ledger, queue);
        let part = watched.part.as_ref().map(|part| (part.name(), part.ready()));
        let sides = [("ledger", ledger)].into_iter().chain(queue.map(|queue| ("queue", queue))).chain(part);
        let (mut ready, mut text) = (true, String::new());
        for (side, answer) in sides {
            ready &= answer.is_ok();
            let _ = writeln!(text, "{side}: {}", answer.err().as_deref().unwrap_or("ok"));
        }
        (ready, text)
    }

    pub(super) fn upkeep(&self) {
        if let Some(watched) = self.watched.get() {
            watched.backing.metrics.upkeep();
        }
    }
}

impl Watched {
    async fn survey(&self) -> String {
        let survey = Survey::new();
        let Backing { ledger, queues, .. } = &self.backing;
        let (of_ledger, of_queues) = tokio::join!(
            answer(survey.of_ledger(ledger.as_ref(), &self.job, self.deadline)),
            answer(survey.of_queues(queues))
        );
        for (side, answer) in [("ledger", of_ledger), ("queue", of_queues)] {
            if let Err(error) = answer {
                tracing::debug!(side, error, "a scrape goes without it");
            }
        }
        if let Some(part) = &self.part {
            let load = part.load();
            survey.gauge(super::names::FHIR_LIMIT, load.limit);
            survey.gauge(super::names::FHIR_IN_FLIGHT, load.in_flight);
            if let Some(pace) = load.pace {
                survey.gauge(super::names::FHIR_PACE, pace);
            }
        }
        survey.render()
    }
}

async fn answer<T, E: std::error::Error + 'static>(
    asked: impl Future<Output = Result<T, E>>,
) -> Result<(), String> {
    match timeout(PATIENCE, asked).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error_chain(&error)),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
