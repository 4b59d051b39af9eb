//! What a permit promises, and what a rate is estimated from. What becomes of a server's capacity is tried in the
//! integration tests, on a server in virtual time.

mod permits;
mod taken;
