//! Simulators of the two systems the nightly sync talks to: Google Sheets behind its OAuth2 endpoint, and a FHIR
//! R4 server with injectable faults. For demos, tests and load.
//!
//! Nothing of this project's other crates is used here: a wire type that both sides share and both get wrong
//! would cancel itself out. There is no process-global state, so several simulators run in one process.

mod a1;
mod body;
mod capacity;
mod clock;
mod dice;
mod faults;
mod fhir;
mod google_error;
mod listener;
mod night;
mod oauth;
mod operation;
mod population;
mod sheet;
mod sheets;
mod simulators;
mod stats;
mod webhook;

pub use capacity::Capacity;
pub use clock::WallClock;
pub use faults::{
    BatchLie, FaultPlan, Latency, PatientFault, Rate, ResourceView, RetryLater, SlowBody, StatusFault,
};
pub use fhir::{
    BASE_PATH, ClientAuth, FhirOptions, FhirServer, FhirStore, InsertError, NIK_SYSTEM, OAuthClient,
    TOKEN_PATH,
};
pub use listener::ConnectionCut;
pub use night::{DemoNight, Expected, HEADER, NightError, NightOptions};
pub use oauth::{CLIENT_EMAIL, SCOPE};
pub use operation::Operation;
pub use population::Population;
pub use sheet::{Sheet, SheetCell, Spreadsheet, date_serial};
pub use sheets::{SheetsFailure, SheetsServer};
pub use simulators::{Simulators, SimulatorsConfig};
pub use stats::{Second, Stats, StatsSnapshot, WatchedRequest};
pub use webhook::Webhook;
