//! Tables and properties of reading rows.
