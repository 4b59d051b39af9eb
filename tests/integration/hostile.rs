//! The fuzz targets' functions on what once broke something, on other inputs kept for it, and on some by chance: what needs
//! neither cargo-fuzz nor time. What each asserts is in `tests/hostile/src`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hostile::{TARGETS, Target};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect()
}

/// A target's inputs in the repository, by their paths.
fn corpus((name, _): &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = root().join("tests/hostile/corpus").join(name);
    let read = |file: String| {
        let path = folder.join(file);
        let bytes = std::fs::read(&path).expect("a file");
        (path, bytes)
    };
    names(&folder).into_iter().map(read).collect()
}

#[test]
fn every_target_has_its_files_and_every_file_its_target() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&root().join("tests/hostile/corpus")), targets);
    let sources = targets.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&root().join("fuzz/fuzz_targets")), sources);
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).expect("the manifest");
    let bins: BTreeSet<String> = manifest
        .lines()
        .filter_map(|line| Some(line.strip_prefix("name = \"")?.strip_suffix('"')?.to_owned()))
        .collect();
    assert_eq!(bins, targets.into_iter().chain(["fuzz".to_owned()]).collect());
    for (name, _) in TARGETS {
        let source =
            std::fs::read_to_string(root().join(format!("fuzz/fuzz_targets/{name}.rs"))).expect("a source");
        let list = std::fs::read_to_string(root().join("tests/hostile/src/lib.rs")).expect("the list");
        let (_, call) = source.rsplit_once("hostile::").expect("a call of its function");
        let (function, _) = call.split_once('(').expect("a call");
        assert!(list.contains(&format!("(\"{name}\", {function})")), "{name} calls {function}");
    }
}

#[test]
fn what_is_kept_holds() {
    for target in TARGETS {
        let inputs = corpus(target);
        assert!(!inputs.is_empty(), "{} has no input", target.0);
        for (path, bytes) in inputs {
            eprintln!("{}", path.display());
            (target.1)(&bytes);
        }
    }
}

/// Something that is kept with a few pieces of it changed, or anything at all.
fn input(kept: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let piece = || prop::collection::vec(any::<u8>(), 0..8);
    let change = (any::<prop::sample::Index>(), 0..8_usize, piece());
    let changed = (prop::sample::select(kept), prop::collection::vec(change, 1..4));
    let changed = changed.prop_map(|(mut bytes, changes)| {
        for (at, length, piece) in changes {
            let at = at.index(bytes.len() + 1);
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, piece);
        }
        bytes
    });
    prop_oneof![4 => changed, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

#[test]
fn what_comes_by_chance_holds() {
    let mut broken = Vec::new();
    for target in TARGETS {
        let kept = corpus(target).into_iter().map(|(_, bytes)| bytes).collect();
        // Proptest's number of cases, which PROPTEST_CASES sets.
        let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
        // The same each time: a build that fails by chance is told by nobody from a change that broke something.
        let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let outcome = runner.run(&input(kept), |bytes| {
            (target.1)(&bytes);
            Ok(())
        });
        if let Err(error) = outcome {
            broken.push(format!("{}: {error}", target.0));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
