//! Looks for personal data where none may be.

use std::collections::HashSet;
use std::path::Path;

use simulators::{DemoNight, Population};

/// As many digits of a NIK or a number as tell whose it is; what is masked shows fewer in a row.
const TELLING: usize = 11;

/// Between the digits of one number, as people write it.
const SEPARATORS: &[u8] = b" -./()'+";

/// Every stretch of 11 digits of every NIK and number. Of a number the national part counts, so that every
/// spelling of it is found.
pub struct Secrets(HashSet<Vec<u8>>);

impl Secrets {
    /// NIKs of 16 digits, and Indonesian numbers in E.164.
    ///
    /// # Panics
    /// One is neither.
    pub fn of(niks: impl IntoIterator<Item = String>, numbers: impl IntoIterator<Item = String>) -> Self {
        let mut stretches = HashSet::new();
        let national =
            |number: String| number.strip_prefix("+62").expect("an Indonesian number in E.164").to_owned();
        for digits in niks.into_iter().chain(numbers.into_iter().map(national)) {
            assert!(digits.len() >= TELLING && digits.bytes().all(|byte| byte.is_ascii_digit()), "{digits}");
            stretches.extend(digits.as_bytes().windows(TELLING).map(<[u8]>::to_vec));
        }
        Self(stretches)
    }

    /// Everybody's NIK and numbers, and those that the sheet's rows bring in.
    ///
    /// # Panics
    /// The night is not of this machine's size.
    pub fn of_night(night: &DemoNight) -> Self {
        let people = night.population();
        // Beyond the last one: the NIKs nobody has, and the second ones of cells that hold two.
        let unknown = usize::try_from(night.expected().outcome("skipped_not_found")).expect("few");
        let known = 0..people.len() + unknown;
        let second = known.clone().map(|index| Population::LARGEST - 1 - index);
        let niks = known.clone().chain(second).map(|index| people.nik(index));
        let numbers = known.flat_map(|index| {
            let new = (0..3).map(move |which| people.new_mobile(index, which));
            people.current_mobile(index).into_iter().chain(new)
        });
        Self::of(niks, numbers)
    }

    /// Searches every file below a folder; there must be so many bytes at least.
    ///
    /// # Panics
    /// One of them is found, or there was too little to search.
    pub fn search(&self, folder: &Path, least: u64) {
        let searched = self.search_all(folder);
        assert!(searched > least, "only {searched} bytes were searched in {}", folder.display());
    }

    fn search_all(&self, folder: &Path) -> u64 {
        let mut searched = 0;
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
            if kind.is_dir() {
                searched += self.search_all(&path);
            }
            if !kind.is_file() {
                continue;
            }
            // A server that runs may remove it meanwhile.
            let Ok(bytes) = std::fs::read(&path) else { continue };
            let found = self.found_in(&bytes);
            assert!(found.is_empty(), "{} leaks in {}: {:?}", found.len(), path.display(), found.first());
            searched += bytes.len() as u64;
        }
        searched
    }

    /// What of them is in these bytes, each with the text around it.
    pub fn found_in(&self, bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        // The digits since the last byte that cannot stand inside a number, and where each of them is.
        let mut run: Vec<(u8, usize)> = Vec::new();
        for (at, byte) in bytes.iter().enumerate() {
            if byte.is_ascii_digit() {
                run.push((*byte, at));
                if let Some(start) = run.len().checked_sub(TELLING) {
                    let stretch: Vec<u8> = run[start..].iter().map(|(digit, _)| *digit).collect();
                    if self.0.contains(&stretch) {
                        let around = &bytes[run[start].1.saturating_sub(40)..(at + 40).min(bytes.len())];
                        found.push(String::from_utf8_lossy(around).into_owned());
                    }
                }
            } else if !SEPARATORS.contains(byte) {
                run.clear();
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_found_and_masks_are_not() {
        let secrets = Secrets::of(["3174012304560001".to_owned()], ["+6281234567001".to_owned()]);
        for leak in [
            "nik=3174012304560001,",
            "3174 0123 0456 0001",
            "317401230456000",
            "0812-3456-7001",
            "(+62) 812.3456.7001",
            "+6281234567001",
            "\u{0}81234567001\u{1}",
            "31740123045",
        ] {
            assert!(!secrets.found_in(leak.as_bytes()).is_empty(), "{leak}");
        }
        for masked in ["3174**********01", "+62812******01", "2026-11-23 17:00:01", "3174012304"] {
            assert!(secrets.found_in(masked.as_bytes()).is_empty(), "{masked}");
        }
    }
}
