//! Whole nights in one process: simulators on loopback sockets, a ledger file, and producer and workers put
//! together as `standalone` puts them together, with shorter intervals.
//!
//! A [`Scene`] is what outlives a process: the world outside, the database, the settings. A [`Process`] is one
//! start of the program; dropping its futures is its death. [`Scene::check`] is the oracle: what must hold after
//! any night, whatever went wrong in it. The faults themselves, and what is particular to each, are in the tests.

mod held_ledger;
mod log;
mod oracle;
mod orders;
mod process;
mod rows;
mod scene;
mod wait;
mod watched_ledger;

pub use held_ledger::{Hold, Point};
pub use log::Log;
pub use orders::{dry, first, of_niks, reapplied, whole};
pub use process::Process;
pub use rows::{Ending, endings};
pub use scene::{Brought, DATE, EARLIER, LATER, Scene};
pub use wait::{until, until_within};
pub use watched_ledger::{Watch, WatchedLedger};
