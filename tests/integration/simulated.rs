//! Simulated nights: that a seed is a night, that what they rest on is missed, and the nights that are kept by name. Many
//! more are played by the program `simulated-nights`, in `make test`.

use std::collections::BTreeMap;
use std::path::Path;

use tests::process::in_repository;
use tests::simulated::{Plan, Without, play, play_without};

/// Plans that broke a promise once, or come close to it; their files' names say how.
fn kept() -> BTreeMap<String, Plan> {
    let folder = in_repository("tests/fixtures/nights");
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path).expect("a file");
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let plan = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, plan)
    };
    let files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    files.map(|path| read(&path)).collect()
}

#[test]
fn nights_that_are_kept_keep_every_promise() {
    let broken = |(name, plan): (String, Plan)| {
        let told = play(&plan, false);
        (!told.verdict.holds()).then(|| format!("{name}: {}", told.verdict))
    };
    let kept = kept();
    assert!(!kept.is_empty(), "the folder of plans is not there");
    let broken: Vec<String> = kept.into_iter().filter_map(broken).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_same_seed_is_the_same_night() {
    for seed in 0..40 {
        let plan = Plan::of(seed);
        let (once, again) = (play(&plan, true), play(&plan, true));
        let differs = once.lines.iter().zip(&again.lines).find(|(once, again)| once != again);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!((once.digest, once.verdict), (again.digest, again.verdict), "seed {seed}");
        assert!(once.steps > 50, "seed {seed} is an empty night: {} steps", once.steps);
    }
}

/// Nights that are played until one of them misses what it was deprived of.
const PLAYED: u64 = 400;

#[test]
fn what_a_night_rests_on_is_missed_when_it_is_not_there() {
    for what in [Without::IfMatch, Without::Intents, Without::TheRefusedKey] {
        let misses = |seed: &u64| !play_without(&Plan::of(*seed), what).verdict.holds();
        assert!((0..PLAYED).any(|seed| misses(&seed)), "{PLAYED} nights do not miss {what:?}");
    }
}
