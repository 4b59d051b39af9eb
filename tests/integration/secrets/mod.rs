//! Secrets by reference: a real OpenBao, moto's AWS, and Google's API on loopback.

mod aws;
mod egress;
mod gcp;
mod nights;
mod vault;
