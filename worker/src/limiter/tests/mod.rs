//! The limiter in virtual time: what a permit promises, and what becomes of a server's capacity.

mod capacity;
mod latency;
mod night;
mod permits;
mod server;
