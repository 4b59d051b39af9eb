//! The operators' page: what happened, to how many, whether it heals by itself, and what to press.
//!
//! Server-rendered, everything embedded. What is shown comes from the ledger's read side; what is done goes through
//! [`Hands`], which the program gives: the same commands as the command line's. It knows no adapter, no sheet and no
//! Patient.

mod access;
mod calendar;
mod chart;
#[cfg(feature = "cluster")]
pub mod cluster;
mod hands;
mod headers;
mod language;
mod live;
mod marks;
mod pages;
mod posted;
mod server;
mod shell;
mod standstill;
mod work;

pub use hands::{Deed, Hands, Refused};
pub use server::{Dashboard, Serving, router};
pub use work::{Bench, Done, Item, Undone, carry_out};
