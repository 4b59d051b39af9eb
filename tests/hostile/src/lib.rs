//! What must hold of everything that reads what others wrote, whatever they wrote.
//!
//! A target takes any bytes, makes an input of them, and panics where its property fails: that is more than that nothing
//! panics or hangs. The fuzz targets (`fuzz/`) give them bytes by the million, and an ordinary test
//! (`tests/integration/hostile.rs`) those that once broke something, and some by chance.

pub mod addresses;
pub mod amqp;
pub mod cells;
pub mod fhir;
pub mod files;
pub mod google;
mod input;
pub mod managers;
pub mod page;
pub mod settings;

/// A target: its name, which is that of its file in `fuzz/fuzz_targets` and of its folder in `corpus`, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("addresses", addresses::read),
    ("amqp_message", amqp::message),
    ("cell_date", cells::date),
    ("cell_nik", cells::nik),
    ("cell_phone", cells::phone),
    ("cell_row", cells::row),
    ("fhir_bundle", fhir::bundle),
    ("fhir_capabilities", fhir::capabilities),
    ("fhir_many", fhir::many),
    ("fhir_outcome", fhir::outcome),
    ("fhir_patient", fhir::patient),
    ("fhir_token", fhir::token),
    ("file_csv", files::csv),
    ("file_xlsx", files::xlsx),
    ("managers", managers::answer),
    ("page", page::request),
    ("retry_after", fhir::retry_after),
    ("settings", settings::read),
    ("settings_secret", settings::secret),
    ("sheets_refusal", google::refusal),
    ("sheets_values", google::values),
    ("sheet_range", google::range),
];
