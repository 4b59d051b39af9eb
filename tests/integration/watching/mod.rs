//! What watches a night from outside: alert rules, Alertmanager's routes, the board; by the real programs.

mod board;
mod night;
mod rules;
mod used;

use std::path::{Path, PathBuf};

/// A file of `deploy`.
fn deployed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a member of the workspace")
        .join("deploy")
        .join(path)
}
