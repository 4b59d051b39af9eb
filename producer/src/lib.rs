//! The producer: reads the sheet, snapshots its rows, publishes them, watches the run and reports it; and the
//! operator's command line over it.
//!
//! A library, so that `standalone` runs the same code in one process. It never knows the worker.

pub mod command;
mod composition;
pub mod doctor;
pub mod export;
pub mod flags;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod hash_key;
mod listing;
mod lock;
pub mod manual;
mod niks;
mod producer;
pub mod program;
mod progress;
pub mod report;
mod report_html;
mod snapshot;
pub mod source;
mod stopped;
mod tidings;
mod watch;

pub use composition::{ConfiguredSources, Tuning, columns, producer};
pub use lock::{LockTerms, overlap};
pub use niks::{NikFlagError, Person, hashes};
pub use producer::{Ended, Halt, Order, Producer, ProducerError, ProducerTerms, Replayed, Sources, Until};
pub use tidings::{FAREWELL, Tidings};
