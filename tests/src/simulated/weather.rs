//! What goes wrong when: asked by everything that may fail.

use std::sync::Mutex;
use std::sync::PoisonError;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use shared::ledger::LedgerError;

use super::plan::{Event, Plan, QueueFault, ServerFault, What};
use super::trace::Trace;

/// See the module.
pub(super) struct Weather {
    events: Vec<Event>,
    trace: Trace,
    dice: Mutex<SmallRng>,
}

impl Weather {
    pub(super) fn new(plan: &Plan, trace: Trace) -> Self {
        let lasting = |event: &&Event| {
            matches!(
                event.what,
                What::Server { .. } | What::Refused { .. } | What::Ledger { .. } | What::Queue { .. }
            )
        };
        let events = plan.events.iter().filter(lasting).copied().collect();
        Self { events, trace, dice: SmallRng::seed_from_u64(plan.seed ^ 0x57EA).into() }
    }

    /// A number of milliseconds, for waits.
    pub(super) fn draw(&self, range: std::ops::Range<u64>) -> u64 {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).random_range(range)
    }

    fn strikes(&self, event: &Event, lasts: u64, share: u8) -> bool {
        let now = self.trace.now();
        (event.at..event.at + lasts).contains(&now) && self.draw(0..100) < u64::from(share)
    }

    pub(super) fn server_fault(&self) -> Option<ServerFault> {
        self.events.iter().find_map(|event| match event.what {
            What::Server { fault, lasts, share } => self.strikes(event, lasts, share).then_some(fault),
            _ => None,
        })
    }

    /// Whether requests about this person are refused now.
    pub(super) fn refuses(&self, person: usize) -> bool {
        self.events.iter().any(|event| match event.what {
            What::Refused { person: whose, lasts } => whose == person && self.strikes(event, lasts, 100),
            _ => false,
        })
    }

    pub(super) fn queue_fault(&self) -> Option<QueueFault> {
        self.events.iter().find_map(|event| match event.what {
            What::Queue { fault, lasts, share } => self.strikes(event, lasts, share).then_some(fault),
            _ => None,
        })
    }

    pub(super) fn ledger_fails(&self, after: bool) -> Option<LedgerError> {
        let fails = self.events.iter().any(|event| match event.what {
            What::Ledger { carried_out, lasts, share } if carried_out == after => {
                self.strikes(event, lasts, share)
            }
            _ => false,
        });
        fails.then(|| LedgerError::Database { doing: "answer", source: "it is away".into() })
    }
}
