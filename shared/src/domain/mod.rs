//! The words of the domain: NIK, phone number, run date, a sheet's row, its outcome and the reason for it.
//!
//! Everything here is pure: no clock, no network, no ledger. Types that hold personal data mask themselves
//! in `Debug` and `Display`; the clear value is reached only through a method named `expose`.

mod cell;
mod date;
mod explain;
mod nik;
mod outcome;
mod phone;
mod phone_cell;
mod reading;
mod warning;

pub use cell::{Cell, SourceRow};
pub use date::{DateOrder, NotARunDate, RunDate};
pub use explain::{Language, explain};
pub use nik::{IMPOSSIBLE_NIK, Nik, NotANik};
pub use outcome::{Column, Outcome, Reason, UnknownWord};
pub(crate) use outcome::spelled;
pub use phone::{NotE164, PhoneNumber};
pub use reading::{Reading, Rejection, RowRules, ValidRow};
pub use warning::Warning;
