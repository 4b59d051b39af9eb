//! `--nik`: which persons a command is about, without a NIK in a process list or a shell history.

use std::io::{BufRead, IsTerminal};

use shared::data_key::{DataKeys, KeyedHash};
use shared::domain::Nik;

/// A `--nik` that cannot be used. Never quotes what was given.
#[derive(Debug, thiserror::Error)]
pub enum NikFlagError {
    /// A NIK, or anything else that is no hash.
    #[error(
        "--nik takes the keyed hash that logs and pages show (like 1:0123456789abcdef0123456789abcdef), or - to type or \
         pipe NIKs. A NIK as an argument is refused: process lists and shell histories keep it"
    )]
    NotAHash,
    /// A line of standard input is no NIK.
    #[error("line {line} of standard input is not a NIK of 16 digits")]
    NotANik {
        /// Counted from 1.
        line: usize,
    },
    /// Standard input cannot be read, or has nothing on it.
    #[error("--nik - found no NIK on standard input")]
    Nothing,
}

/// Somebody a command is about.
#[derive(Debug)]
pub enum Person {
    /// Named by the keyed hash.
    Hash(KeyedHash),
    /// Typed or piped.
    Nik(Nik),
}

/// Every hash the ledger may know these persons by.
pub fn hashes(people: &[Person], keys: &DataKeys) -> Vec<KeyedHash> {
    let hashes = people.iter().map(|person| match person {
        Person::Hash(hash) => vec![hash.clone()],
        Person::Nik(nik) => keys.nik_hashes(nik),
    });
    hashes.flatten().collect()
}

/// Whom the flags name; `-` reads NIKs from `input`, one a line.
pub fn read(flags: &[String], input: impl BufRead) -> Result<Vec<Person>, NikFlagError> {
    let mut people = Vec::new();
    for flag in flags.iter().filter(|flag| *flag != "-") {
        people.push(Person::Hash(flag.parse().map_err(|_| NikFlagError::NotAHash)?));
    }
    if flags.iter().any(|flag| flag == "-") {
        let before = people.len();
        for (index, line) in input.lines().enumerate() {
            let line = line.map_err(|_| NikFlagError::NotANik { line: index + 1 })?;
            if line.trim().is_empty() {
                continue;
            }
            let nik: Nik = line.trim().parse().map_err(|_| NikFlagError::NotANik { line: index + 1 })?;
            people.push(Person::Nik(nik));
        }
        if people.len() == before {
            return Err(NikFlagError::Nothing);
        }
    }
    Ok(people)
}

/// [`read`] from this process's standard input, with a word to whoever sits at the terminal.
pub fn from_stdin(flags: &[String]) -> Result<Vec<Person>, NikFlagError> {
    let stdin = std::io::stdin();
    if flags.iter().any(|flag| flag == "-") && stdin.is_terminal() {
        eprintln!("Type NIKs, one a line; end with Ctrl-D.");
    }
    read(flags, stdin.lock())
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    fn keys() -> DataKeys {
        DataKeys::parse(&SecretString::from("1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")).unwrap()
    }

    #[test]
    fn a_nik_as_an_argument_is_refused_and_not_repeated() {
        let error = read(&["3171234567890001".into()], &b""[..]).unwrap_err().to_string();
        assert!(error.contains("process lists") && !error.contains("3171234567890001"), "{error}");
    }

    #[test]
    fn hashes_and_typed_niks_come_together() {
        let keys = keys();
        let nik: Nik = "3171234567890001".parse().unwrap();
        let hash = keys.nik_hash(&nik);
        let both = read(&[hash.to_string(), "-".into()], &b"\n3171234567890002\n"[..]).unwrap();
        let both = hashes(&both, &keys);
        assert_eq!(both[0], hash);
        assert_eq!(both.len(), 2);
    }

    #[test]
    fn a_bad_line_is_named_by_number_only() {
        let error = read(&["-".into()], &b"3171234567890001\n31712345678900\n"[..]).unwrap_err().to_string();
        assert_eq!(error, "line 2 of standard input is not a NIK of 16 digits");
        assert!(matches!(read(&["-".into()], &b""[..]), Err(NikFlagError::Nothing)));
    }
}
