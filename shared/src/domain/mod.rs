//! The words of the domain: NIK, phone number, run date, a sheet's row, its outcome and the reason for it.
//!
//! Everything here is pure: no clock, no network, no ledger. Types that hold personal data mask themselves
//! in `Debug` and `Display`; the clear value is reached only through a method named `expose`.

mod cell;
mod clean;
mod date;
mod date_cell;
mod date_words;
mod explain;
mod explain_en;
mod explain_id;
mod found;
mod links;
mod nik;
mod nik_cell;
mod numbering;
mod outcome;
mod phone;
mod phone_cell;
mod pieces;
mod reading;
mod vocabulary;
mod warning;

#[cfg(test)]
mod tests;

pub use cell::{CELL_CHARS, Cell, SourceRow};
pub use date::{DateOrder, NotARunDate, RunDate};
pub use explain::{Language, explain, meaning};
pub use nik::{IMPOSSIBLE_NIK, Nik, NotANik};
pub(crate) use outcome::spelled;
pub use outcome::{Column, Outcome, Reason, UnknownWord};
pub use phone::{NotE164, PhoneNumber};
pub use reading::{Reading, Rejection, RowRules, ValidRow};
pub use warning::Warning;
