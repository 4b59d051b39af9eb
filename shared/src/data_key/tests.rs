//! Sealing, opening, hashing, and keys that are refused.

use super::*;

fn keys(text: &str) -> DataKeys {
    DataKeys::parse(&SecretString::from(text)).unwrap()
}

const OLD: &str = "old:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const NEW: &str = "new:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

#[test]
fn a_value_opens_only_at_its_place_and_with_its_key() {
    let old = keys(OLD);
    let sealed = old.seal(b"row 1", b"3171234567890001");
    assert_eq!(old.open(b"row 1", &sealed).unwrap(), b"3171234567890001");
    assert!(matches!(old.open(b"row 2", &sealed), Err(DataKeyError::Broken)));
    let rotated = keys(&format!("{NEW}\n{OLD}"));
    assert_eq!(rotated.open(b"row 1", &sealed).unwrap(), b"3171234567890001");
    assert!(matches!(keys(NEW).open(b"row 1", &sealed), Err(DataKeyError::UnknownKey { id }) if id == "old"));
}

#[test]
fn a_changed_or_cut_value_does_not_open() {
    let keys = keys(OLD);
    let sealed = keys.seal(b"row", b"clear");
    for cut in 0..sealed.len() {
        assert!(keys.open(b"row", &sealed[..cut]).is_err(), "cut to {cut} bytes");
    }
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(keys.open(b"row", &changed).is_err(), "byte {at} changed");
    }
}

#[test]
fn hashes_name_their_key_and_differ_by_kind_and_key() {
    let nik: Nik = "3171234567890001".parse().unwrap();
    let rotated = keys(&format!("{NEW}\n{OLD}"));
    let all = rotated.nik_hashes(&nik);
    assert_eq!(all.len(), 2);
    assert!(all[0].as_str().starts_with("new:") && all[1].as_str().starts_with("old:"));
    assert_eq!(all[0], rotated.nik_hash(&nik));
    assert_ne!(all[0].short(), all[1].short());
    assert_eq!(all[0].as_str().parse::<KeyedHash>().unwrap(), all[0]);
    assert!("3171234567890001".parse::<KeyedHash>().is_err());
}

#[test]
fn other_lines_are_taken_over_unless_the_hashing_key_is_missing() {
    let nik: Nik = "3171234567890001".parse().unwrap();
    let held = keys(OLD);
    let before = held.nik_hash(&nik);
    held.replace(&SecretString::from(format!("{NEW}\n{OLD}"))).unwrap();
    assert_eq!((held.newest().as_str(), held.nik_hash(&nik)), ("new", before.clone()));
    assert!(held.is_sealed_by_newest(&held.seal(b"row", b"clear")));
    assert!(matches!(held.replace(&SecretString::from(NEW)), Err(DataKeyError::UnknownHashKey { .. })));
    held.hash_under("new").unwrap();
    assert_ne!(held.nik_hash(&nik), before);
    held.replace(&SecretString::from(NEW)).unwrap();
    assert_eq!(held.nik_hash(&nik).key(), "new");
}

#[test]
fn a_hash_can_be_made_of_sealed_digests_alone() {
    let (nik, number): (Nik, PhoneNumber) =
        ("3171234567890001".parse().unwrap(), "+6281234567890".parse().unwrap());
    let old = keys(OLD);
    let sealed = old.seal_digests(&Digests::of(Some(&nik), Some(&number)));
    let new = keys(&format!("{NEW}\n{OLD}"));
    let digests = new.open_digests(&sealed).unwrap();
    assert_eq!(new.hashes_of(&digests), (Some(new.nik_hash(&nik)), Some(new.number_hash(&number))));
    let of_nik = old.open_digests(&old.seal_digests(&Digests::of(Some(&nik), None))).unwrap();
    assert_eq!(old.hashes_of(&of_nik), (Some(old.nik_hash(&nik)), None));
}

#[test]
fn bad_keys_are_named_by_line_and_never_quoted() {
    for (text, says) in [
        ("", "empty"),
        ("1:c2hvcnQ=", "line 1"),
        (&format!("{OLD}\nold:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="), "line 2"),
        ("a b:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "line 1"),
    ] {
        let error = DataKeys::parse(&SecretString::from(text)).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert!(!error.contains("AAAA") && !error.contains("c2hv"), "{error}");
    }
}
