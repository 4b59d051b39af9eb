//! Where the programs under test are.

use std::path::{Path, PathBuf};

/// SEKMET, once `scripts/install-sekmet` has run.
pub const SEKMET: &str = ".venv/bin/sekmet";

/// The Python that has gspread, once `scripts/install-gspread` has run.
pub const PYTHON: &str = ".venv/bin/python";

/// A program of this workspace, of the same profile as the running test.
///
/// # Panics
/// It is not built.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    // A test is target/PROFILE/deps/integration-HASH, an example target/PROFILE/examples/NAME, a program of this crate target/PROFILE/NAME.
    let mut profile = test.parent().expect("a program is in a folder");
    if profile.ends_with("deps") || profile.ends_with("examples") {
        profile = profile.parent().expect("cargo puts tests and examples two folders deep");
    }
    let path = profile.join(name);
    assert!(path.is_file(), "{} is missing; run first: cargo build --workspace --bins", path.display());
    path
}

/// A path below the root of the repository.
pub fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace has a root").join(path)
}
