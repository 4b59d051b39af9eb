//! Something that is away, as the log tells of it: at once, then ever less often, and when it is back.

use std::error::Error;

use tokio::time::{Duration, Instant};

use crate::error_chain;

/// Between the first two words of it.
const FIRST: Duration = Duration::from_secs(5);

/// What that grows to at most.
const MOST: Duration = Duration::from_secs(60);

/// See the module.
pub struct Outage {
    what: &'static str,
    spell: Option<Spell>,
}

struct Spell {
    since: Instant,
    said: Instant,
    wait: Duration,
}

impl Outage {
    /// Nothing is away yet; `what` would be.
    pub fn of(what: &'static str) -> Self {
        Self { what, spell: None }
    }

    /// It is away, once more. Whether that was said.
    pub fn failed(&mut self, error: &dyn Error) -> bool {
        let now = Instant::now();
        let Some(spell) = &mut self.spell else {
            self.spell = Some(Spell { since: now, said: now, wait: FIRST });
            tracing::warn!(error = error_chain(error), "{} cannot be reached; trying again", self.what);
            return true;
        };
        if now < spell.said + spell.wait {
            return false;
        }
        (spell.said, spell.wait) = (now, (spell.wait * 2).min(MOST));
        let seconds = (now - spell.since).as_secs();
        tracing::warn!(error = error_chain(error), seconds, "{} still cannot be reached", self.what);
        true
    }

    /// It answered. Whether it was said that it is back.
    pub fn over(&mut self) -> bool {
        let Some(spell) = self.spell.take() else { return false };
        tracing::info!(seconds = spell.since.elapsed().as_secs(), "{} is back", self.what);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_said_ever_less_often_and_once_a_minute_at_the_least() {
        let mut outage = Outage::of("the ledger");
        assert!(!outage.over(), "it never was away");
        let (started, error) = (Instant::now(), std::fmt::Error);
        let mut said = Vec::new();
        while started.elapsed() < Duration::from_secs(260) {
            if outage.failed(&error) {
                said.push(started.elapsed().as_secs());
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(said, [0, 5, 15, 35, 75, 135, 195, 255]);
        assert!(outage.over());
        assert!(!outage.over());
        assert!(outage.failed(&error), "another spell");
    }
}
