//! How the pieces are put together in one process. A library beside the program, so that tests put them together
//! in the very same way.

pub mod composition;
pub mod hands;
