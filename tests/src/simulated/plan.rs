//! What a simulated night is: all of it as data, so that it can be printed, made smaller, and kept.

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

/// A night, or two on neighbouring dates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Of what is drawn while it runs: latencies, jitter, and whom a fault strikes.
    pub seed: u64,
    /// How many people have a Patient.
    pub people: usize,
    /// Workers. 0: one process does everything, with its queue in it.
    pub workers: usize,
    /// Rows in the sheet, in order.
    pub rows: Vec<Typed>,
    /// What happens, in any order.
    pub events: Vec<Event>,
}

/// A row of the sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Typed {
    /// Whose.
    pub person: usize,
    /// Which of their new numbers; 0 is the one they have.
    pub number: u64,
    /// Which run date: 0, 1 or 2.
    pub day: usize,
}

/// Something that happens at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Milliseconds after the beginning.
    pub at: u64,
    /// What.
    pub what: What,
}

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum What {
    /// A scheduler starts a producer on a date.
    Start {
        /// The date.
        day: usize,
        /// Whether it leaves once everything is published.
        detach: bool,
    },
    /// An operator says `--resume`.
    Resume,
    /// An operator says `--replay-dlq`.
    Replay,
    /// An operator says `--reapply` of a date.
    Reapply {
        /// The date.
        day: usize,
    },
    /// The FHIR server fails so, for so long, for so many of a hundred requests.
    Server {
        /// How.
        fault: ServerFault,
        /// Milliseconds.
        lasts: u64,
        /// Of a hundred.
        share: u8,
    },
    /// Requests about one person are refused as unprocessable, for so long.
    Refused {
        /// Whose.
        person: usize,
        /// Milliseconds.
        lasts: u64,
    },
    /// The ledger fails so, for so long, for so many of a hundred calls.
    Ledger {
        /// Whether the call was carried out, and only its answer is lost.
        carried_out: bool,
        /// Milliseconds.
        lasts: u64,
        /// Of a hundred.
        share: u8,
    },
    /// The queue fails so, for so long, for so many of a hundred messages.
    Queue {
        /// How.
        fault: QueueFault,
        /// Milliseconds.
        lasts: u64,
        /// Of a hundred.
        share: u8,
    },
    /// The queue loses everything it holds.
    QueueEmptied,
    /// A worker is killed when it has come so many steps further, and comes back.
    WorkerKilled {
        /// Which.
        worker: usize,
        /// Steps: calls to ledger, queue and server, before and after.
        steps: u32,
        /// Milliseconds until it is back.
        away: u64,
    },
    /// A worker is told to stop, and comes back.
    WorkerStopped {
        /// Which.
        worker: usize,
        /// Milliseconds until it is back.
        away: u64,
    },
    /// A worker stands still (SIGSTOP), then goes on.
    WorkerFrozen {
        /// Which.
        worker: usize,
        /// Milliseconds.
        lasts: u64,
    },
    /// The newest producer is killed when it has come so many steps further.
    ProducerKilled {
        /// Steps.
        steps: u32,
    },
    /// The newest producer is told to stop.
    ProducerStopped,
    /// The clock that leases go by jumps.
    ClockJumps {
        /// By so many milliseconds, back if negative.
        by: i64,
    },
    /// Somebody types another number into a row.
    Retyped {
        /// Which row of the plan.
        row: usize,
        /// Which of the person's numbers.
        number: u64,
    },
    /// Somebody else writes a Patient, and leaves its numbers as they are.
    Touched {
        /// Whose.
        person: usize,
    },
}

/// How a FHIR server fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerFault {
    /// No connection is made.
    Unreachable,
    /// The connection is cut before anything is done.
    Cut,
    /// What is asked is done, and the answer is lost.
    AnswerLost,
    /// What is asked is done when nobody waits for it any more.
    Slow,
    /// 500.
    Broken,
    /// 503 with `Retry-After`.
    Unavailable,
    /// 429 with `Retry-After`.
    Throttled,
    /// 429 without.
    ThrottledUntold,
    /// 401.
    Unauthorized,
    /// Somebody else writes the Patient first.
    WrittenFirst,
}

/// How a queue fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueueFault {
    /// It refuses to publish.
    Refuses,
    /// It confirms what it then loses.
    Loses,
    /// It keeps a message twice.
    Doubles,
    /// It keeps a message and does not confirm it.
    Unconfirmed,
}

/// What a night is deprived of, to see that it is missed: a check of the oracle and of the plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// Writes lose the version they name.
    IfMatch,
    /// Intents are forgotten as soon as they are recorded.
    Intents,
    /// A refused key passes for a refused row.
    TheRefusedKey,
}

/// Dates of the days.
pub const DAYS: [&str; 3] = ["2026-11-22", "2026-11-23", "2026-11-24"];

impl Plan {
    /// The plan that a seed stands for.
    pub fn of(seed: u64) -> Self {
        let mut dice = SmallRng::seed_from_u64(seed);
        let people = dice.random_range(2..=8);
        let days = if dice.random_bool(0.4) { 2 } else { 1 };
        let workers = if dice.random_bool(0.2) { 0 } else { dice.random_range(1..=3) };
        let rows = (0..dice.random_range(3..=18)).map(|_| Typed {
            person: dice.random_range(0..people),
            number: dice.random_range(0..=3),
            day: dice.random_range(0..days),
        });
        let rows = one_number_mostly(rows.collect());
        let mut plan = Self { seed, people, workers, rows, events: Vec::new() };
        for day in 0..days {
            // A first producer, often with another date's beside it.
            let at = if day == 0 { 0 } else { dice.random_range(0..20_000) };
            plan.events.push(Event { at, what: What::Start { day, detach: dice.random_bool(0.2) } });
        }
        for _ in 0..dice.random_range(1..=7) {
            let at = dice.random_range(0..25_000);
            plan.events.push(Event { at, what: plan.draw(&mut dice, days) });
        }
        plan
    }

    fn draw(&self, dice: &mut SmallRng, days: usize) -> What {
        use ServerFault as S;
        let day = dice.random_range(0..days);
        let person = dice.random_range(0..self.people);
        let worker = dice.random_range(0..self.workers.max(1));
        let lasts = dice.random_range(200..15_000);
        let share = *[10, 30, 60, 100].get(dice.random_range(0..4)).expect("four");
        let away = dice.random_range(0..20_000);
        // Close to the beginning most steps decide something.
        let steps = if dice.random_bool(0.5) { dice.random_range(1..40) } else { dice.random_range(1..400) };
        match dice.random_range(0..100) {
            0..28 => {
                let faults = [
                    S::Unreachable,
                    S::Cut,
                    S::AnswerLost,
                    S::AnswerLost,
                    S::Slow,
                    S::Slow,
                    S::Broken,
                    S::Unavailable,
                    S::Throttled,
                    S::ThrottledUntold,
                    S::Unauthorized,
                    S::WrittenFirst,
                ];
                What::Server { fault: faults[dice.random_range(0..faults.len())], lasts, share }
            }
            28..32 => What::Refused { person, lasts: lasts * 4 },
            32..38 => What::Ledger { carried_out: dice.random_bool(0.5), lasts: lasts.min(5_000), share },
            38..44 => {
                let faults =
                    [QueueFault::Refuses, QueueFault::Loses, QueueFault::Doubles, QueueFault::Unconfirmed];
                What::Queue { fault: faults[dice.random_range(0..4)], lasts, share }
            }
            44..46 => What::QueueEmptied,
            46..60 => What::WorkerKilled { worker, steps, away },
            60..63 => What::WorkerStopped { worker, away },
            63..69 => What::WorkerFrozen { worker, lasts: dice.random_range(1_000..60_000) },
            69..76 => What::ProducerKilled { steps },
            76..78 => What::ProducerStopped,
            78..82 => What::ClockJumps { by: dice.random_range(-30_000..120_000) },
            82..86 => What::Start { day, detach: dice.random_bool(0.2) },
            86..89 => What::Resume,
            89..93 => What::Replay,
            93..95 => What::Reapply { day },
            95..97 if !self.rows.is_empty() => {
                What::Retyped { row: dice.random_range(0..self.rows.len()), number: dice.random_range(0..=3) }
            }
            _ => What::Touched { person },
        }
    }

    /// When the last of the events is over.
    pub fn ends(&self) -> u64 {
        let ends = |event: &Event| {
            event.at
                + match event.what {
                    What::Server { lasts, .. }
                    | What::Refused { lasts, .. }
                    | What::Ledger { lasts, .. }
                    | What::Queue { lasts, .. }
                    | What::WorkerFrozen { lasts, .. } => lasts,
                    What::WorkerStopped { away, .. } => away,
                    _ => 0,
                }
        };
        self.events.iter().map(ends).max().unwrap_or_default()
    }
}

/// People mostly have one number for a date: where rows differ, they are rejected and say nothing more.
fn one_number_mostly(mut rows: Vec<Typed>) -> Vec<Typed> {
    for at in 1..rows.len() {
        let (before, rest) = rows.split_at_mut(at);
        let row = &mut rest[0];
        if row.number != 3
            && let Some(same) = before.iter().find(|other| (other.person, other.day) == (row.person, row.day))
        {
            row.number = same.number;
        }
    }
    rows
}
