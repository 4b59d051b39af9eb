//! The programs as an operator starts them: the built binaries as child processes, with an environment of their
//! own, on loopback, in temporary folders.
//!
//! A [`Site`] is what stays when a process dies: the world outside, the database, the settings. A [`Running`] is
//! one start of `standalone`. What is asked of them is in the tests.

mod binaries;
mod child;
mod cluster;
mod costs;
mod diagnosis;
mod leaks;
mod network;
mod page;
mod reports;
mod sekmet;
mod site;
mod terminal;

pub use binaries::{PYTHON, SEKMET, binary, in_repository};
pub use child::{Finished, Running, Sign};
pub use cluster::Cluster;
pub use costs::RowCosts;
pub use diagnosis::Diagnosis;
pub use leaks::Secrets;
pub use network::Network;
pub use page::{Pages, Scrape};
pub use reports::{ROW_FIELDS, check_night, check_report, check_row, counts};
pub use sekmet::{CLIENT, Sekmet, SekmetOptions};
pub use site::{API_KEY, DATE, Site, mixed, run_id};
pub use terminal::in_terminal;
