//! The pages in a real Chromium. What is looked at is in `tests/browser`, whose scenarios are played here against the
//! programs and the simulators.

mod access;
mod deeds;
mod harness;
mod live;
mod pages;
mod tasks;
mod unfinished;
