//! Simulated nights: the real producer, worker, ledger and queue in one thread under paused time, against the
//! simulators' FHIR server and a sheet in memory, with deaths, delays and failures by plan.
//!
//! A [`Plan`] says everything that happens; a seed stands for one. Nothing else decides anything: no real time, no
//! other thread, no random number without the plan's seed. So [`play`] gives the same night again, and a night that
//! breaks a promise can be made smaller ([`shrink`]) and kept. [`hunt`] plays many on many threads.

mod broker;
mod hunt;
mod life;
mod night;
mod plan;
mod server;
mod sheet;
mod shrink;
mod trace;
mod watched;
mod weather;
mod world;

pub use hunt::{Found, hunt};
pub use night::{Told, play, play_without};
pub use plan::{Event, Plan, QueueFault, ServerFault, Typed, What, Without};
pub use shrink::shrink;
