//! 

pub mod conformance;
