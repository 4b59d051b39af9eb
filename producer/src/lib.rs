//! The producer: reads the sheet, snapshots its rows and publishes them, and watches the run.

pub mod source;
