//! Personal data at rest: sealed with an AEAD where it must be read again, hashed under a key where it only
//! has to be compared.
//!
//! A plain hash of a 16-digit or a phone number is reversed by counting through all of them, so hashes are
//! HMAC-SHA256 under `DATA_KEY` (RFC 2104), cut to 128 bits (NIST SP 800-107 r1 §5.1), of a SHA-256 digest: from the
//! digest, which is kept sealed, another key's hash can be made when nothing else is left of a person. Sealed values are
//! XChaCha20-Poly1305 with a random 192-bit nonce, bound to the row they belong to. Both name the key they
//! were made with, so that a key can be replaced while older values stay readable.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Key, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::Mac as _;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::domain::{Nik, PhoneNumber};
use crate::error_chain;
use crate::secrets::SecretRef;
use crate::settings::BadSettings;

type HmacSha256 = hmac::Hmac<Sha256>;

const NONCE_BYTES: usize = 24;
const HASH_BYTES: usize = 16;

/// The keyed hash of a NIK or a number: `ID:HEX`, the key's name and 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyedHash(String);

impl KeyedHash {
    /// The stored and printed form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the key it was made with.
    pub fn key(&self) -> &str {
        self.0.split_once(':').map_or("", |(key, _)| key)
    }

    /// The first eight hexadecimal digits, enough to find a row's lines in a log.
    pub fn short(&self) -> &str {
        let hex = self.0.split_once(':').map_or(self.0.as_str(), |(_, hex)| hex);
        hex.get(..8).unwrap_or(hex)
    }
}

impl fmt::Display for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyedHash {
    type Err = DataKeyError;

    fn from_str(text: &str) -> Result<Self, DataKeyError> {
        let well_formed = text.split_once(':').is_some_and(|(id, hex)| {
            is_key_id(id)
                && hex.len() == 2 * HASH_BYTES
                && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        });
        if well_formed { Ok(Self(text.to_owned())) } else { Err(DataKeyError::NotAHash) }
    }
}

/// What is wrong with a key, a hash or a sealed value. Never quotes any of them.
#[derive(Debug, thiserror::Error)]
pub enum DataKeyError {
    /// `DATA_KEY` holds no key.
    #[error("DATA_KEY is empty; give one or more lines ID:BASE64 of 32 bytes, newest first")]
    Empty,
    /// One line is not a key.
    #[error(
        "line {line} of DATA_KEY is not ID:BASE64 of 32 bytes (ID: up to 16 letters, digits, '-' or '_')"
    )]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// Two lines name the same key.
    #[error("line {line} of DATA_KEY names a key that an earlier line names already")]
    Twice {
        /// Counted from 1.
        line: usize,
    },
    /// The value was sealed with a key that is not in `DATA_KEY`.
    #[error("sealed with key '{id}', which DATA_KEY does not hold; add that line back")]
    UnknownKey {
        /// The key's name.
        id: String,
    },
    /// The ledger's hashes are of a key that is not in `DATA_KEY`.
    #[error("the ledger's hashes are made with key '{id}', which DATA_KEY does not hold; add that line back")]
    UnknownHashKey {
        /// The key's name.
        id: String,
    },
    /// The value was changed, cut, or moved to another row.
    #[error("a sealed value does not open: it was changed, cut, or belongs to another row")]
    Broken,
    /// Not the printed form of a keyed hash.
    #[error("not a keyed hash; it looks like 1:0123456789abcdef0123456789abcdef, as logs and pages show it")]
    NotAHash,
}

/// What the hashes of a NIK and a number are made of. As telling as both, to whoever tries them all: kept sealed only.
#[derive(Clone, PartialEq, Eq)]
pub struct Digests {
    nik: Option<Digest>,
    number: Option<Digest>,
}

type Digest = [u8; 32];

/// What sealed digests are bound to. Not to a row: they outlive it.
const DIGESTS: &[u8] = b"digests";

impl Digests {
    /// Of what there is.
    pub fn of(nik: Option<&Nik>, number: Option<&PhoneNumber>) -> Self {
        Self {
            nik: nik.map(|nik| digest(b"nik", nik.expose().as_bytes())),
            number: number.map(|number| digest(b"number", number.expose().as_bytes())),
        }
    }

    /// Whether there is any.
    pub fn is_some(&self) -> bool {
        self.nik.is_some() || self.number.is_some()
    }
}

impl fmt::Debug for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digests").finish_non_exhaustive()
    }
}

fn digest(kind: &[u8], value: &[u8]) -> Digest {
    use sha2::Digest as _;
    Sha256::new().chain_update(kind).chain_update([0]).chain_update(value).finalize().into()
}

struct DataKey {
    id: String,
    hasher: HmacSha256,
    cipher: XChaCha20Poly1305,
}

/// The keys of `DATA_KEY`, newest first; seals with the newest, opens with any. Hashes with the newest, until told that
/// the ledger's are of another: what does not compare is of no use.
pub struct DataKeys(RwLock<Arc<Held>>);

#[derive(Clone)]
struct Held {
    keys: Vec<Arc<DataKey>>,
    /// Which of them hashes.
    hashing: usize,
}

impl fmt::Debug for DataKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.held().keys.iter().map(|key| &key.id)).finish()
    }
}

fn is_key_id(id: &str) -> bool {
    (1..=16).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl DataKeys {
    /// Reads lines `ID:BASE64`, newest first; a bare BASE64 is key `1`. Empty lines do not count.
    pub fn parse(text: &SecretString) -> Result<Self, DataKeyError> {
        Ok(Self(RwLock::new(Arc::new(Held { keys: read(text)?, hashing: 0 }))))
    }

    /// Resolves `DATA_KEY` and reads it.
    pub async fn resolve(reference: &SecretRef) -> Result<Self, BadSettings> {
        let bad = |error: &dyn std::error::Error| BadSettings::of("DATA_KEY", error_chain(error));
        let text = reference.resolve().await.map_err(|error| bad(&error))?;
        Self::parse(&text).map_err(|error| bad(&error))
    }

    /// Reads other lines in the place of these: what is sealed from now on is under the newest of them.
    ///
    /// # Errors
    /// They are no keys, or the one that hashes is not among them. Then these stay.
    pub fn replace(&self, text: &SecretString) -> Result<(), DataKeyError> {
        let keys = read(text)?;
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let id = &held.keys[held.hashing].id;
        let hashing = keys.iter().position(|known| known.id == *id);
        let hashing = hashing.ok_or_else(|| DataKeyError::UnknownHashKey { id: id.clone() })?;
        *held = Arc::new(Held { keys, hashing });
        Ok(())
    }

    /// Reads `DATA_KEY` again at each SIGHUP, for as long as somebody has these.
    pub fn follow(self: &Arc<Self>, reference: &SecretRef) {
        let (keys, reference) = (Arc::downgrade(self), reference.clone());
        tokio::spawn(async move {
            let mut forgotten = reference.forgotten();
            while forgotten.changed().await.is_ok() {
                let resolved = reference.resolve().await;
                let Some(keys) = keys.upgrade() else { return };
                let replaced = match &resolved {
                    Ok(text) => keys.replace(text).map_err(|error| error_chain(&error)),
                    Err(error) => Err(error_chain(error)),
                };
                if let Err(error) = replaced {
                    tracing::warn!(error, "DATA_KEY cannot be read again; going on with the last");
                }
            }
        });
    }

    fn held(&self) -> Arc<Held> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A fresh random key in the form [`parse`](Self::parse) reads.
    pub fn generate() -> SecretString {
        let key: [u8; 32] = rand::random();
        SecretString::from(format!("1:{}\n", STANDARD.encode(key)))
    }

    /// The newest key's name.
    pub fn newest(&self) -> String {
        self.held().keys[0].id.clone()
    }

    /// The name of the key that hashes.
    pub fn hashes_under(&self) -> String {
        self.hashing().id.clone()
    }

    /// Hashes with this key from now on.
    ///
    /// # Errors
    /// It is not one of these.
    pub fn hash_under(&self, key: &str) -> Result<(), DataKeyError> {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let found = held.keys.iter().position(|known| known.id == key);
        let hashing = found.ok_or_else(|| DataKeyError::UnknownHashKey { id: key.to_owned() })?;
        *held = Arc::new(Held { hashing, ..held.as_ref().clone() });
        Ok(())
    }

    fn hashing(&self) -> Arc<DataKey> {
        let held = self.held();
        held.keys[held.hashing].clone()
    }

    /// The hash of a NIK.
    pub fn nik_hash(&self, nik: &Nik) -> KeyedHash {
        self.hashing().hash(b"nik", nik.expose().as_bytes())
    }

    /// A NIK's hash under every key, newest first: rows seeded before a rotation carry an older one.
    pub fn nik_hashes(&self, nik: &Nik) -> Vec<KeyedHash> {
        self.held().keys.iter().map(|key| key.hash(b"nik", nik.expose().as_bytes())).collect()
    }

    /// The hash of a number.
    pub fn number_hash(&self, number: &PhoneNumber) -> KeyedHash {
        self.hashing().hash(b"number", number.expose().as_bytes())
    }

    /// The hash of a text from outside that may be anything, a NIK among it.
    pub fn text_hash(&self, text: &str) -> KeyedHash {
        self.hashing().hash(b"text", text.as_bytes())
    }

    /// The hashes of a NIK and a number of which these are left.
    pub fn hashes_of(&self, digests: &Digests) -> (Option<KeyedHash>, Option<KeyedHash>) {
        let key = self.hashing();
        let hash = |digest: &Option<Digest>| digest.as_ref().map(|digest| key.hash_of(digest));
        (hash(&digests.nik), hash(&digests.number))
    }

    /// Seals what hashes are made of.
    pub fn seal_digests(&self, digests: &Digests) -> Vec<u8> {
        let absent = [0; 32];
        let part = |digest: &Option<Digest>| digest.unwrap_or(absent);
        self.seal(DIGESTS, &[part(&digests.nik), part(&digests.number)].concat())
    }

    /// Opens what [`seal_digests`](Self::seal_digests) made.
    pub fn open_digests(&self, sealed: &[u8]) -> Result<Digests, DataKeyError> {
        let clear = self.open(DIGESTS, sealed)?;
        let part = |bytes: &[u8]| -> Result<Option<Digest>, DataKeyError> {
            let digest: Digest = bytes.try_into().map_err(|_| DataKeyError::Broken)?;
            Ok((digest != [0; 32]).then_some(digest))
        };
        let (nik, number) = clear.split_at_checked(32).ok_or(DataKeyError::Broken)?;
        Ok(Digests { nik: part(nik)?, number: part(number)? })
    }

    /// Whether a sealed value is of the newest key.
    pub fn is_sealed_by_newest(&self, sealed: &[u8]) -> bool {
        let newest = self.newest();
        let id = newest.as_bytes();
        sealed
            .split_first()
            .is_some_and(|(&bytes, rest)| usize::from(bytes) == id.len() && rest.starts_with(id))
    }

    /// Whether a hash is of the newest key.
    pub fn is_of_newest(&self, hash: &KeyedHash) -> bool {
        hash.key() == self.newest()
    }

    /// Seals `clear` for `place` (a row, a column): opened only with the same place.
    /// Layout: length of the key's name, the name, the nonce, the ciphertext with its tag.
    pub fn seal(&self, place: &[u8], clear: &[u8]) -> Vec<u8> {
        let key = &self.held().keys[0];
        let nonce = XNonce::from(rand::random::<[u8; NONCE_BYTES]>());
        let sealed = key
            .cipher
            .encrypt(&nonce, Payload { msg: clear, aad: place })
            .expect("XChaCha20-Poly1305 only refuses messages over 256 GiB");
        let mut out = Vec::with_capacity(1 + key.id.len() + NONCE_BYTES + sealed.len());
        out.push(u8::try_from(key.id.len()).expect("a key's name has at most 16 bytes"));
        out.extend_from_slice(key.id.as_bytes());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        out
    }

    /// [`seal`](Self::seal) for a text column: in Base64.
    pub fn seal_text(&self, place: &[u8], clear: &str) -> String {
        STANDARD.encode(self.seal(place, clear.as_bytes()))
    }

    /// Opens what [`seal_text`](Self::seal_text) made for the same place.
    pub fn open_text(&self, place: &[u8], sealed: &str) -> Result<String, DataKeyError> {
        let sealed = STANDARD.decode(sealed).map_err(|_| DataKeyError::Broken)?;
        String::from_utf8(self.open(place, &sealed)?).map_err(|_| DataKeyError::Broken)
    }

    /// Opens what [`seal`](Self::seal) made for the same place.
    pub fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, DataKeyError> {
        let (&id_bytes, rest) = sealed.split_first().ok_or(DataKeyError::Broken)?;
        let (id, rest) = rest.split_at_checked(id_bytes.into()).ok_or(DataKeyError::Broken)?;
        let (nonce, body) = rest.split_at_checked(NONCE_BYTES).ok_or(DataKeyError::Broken)?;
        let id = str::from_utf8(id).map_err(|_| DataKeyError::Broken)?;
        let held = self.held();
        let key = held.keys.iter().find(|key| key.id == id).ok_or_else(|| DataKeyError::UnknownKey {
            id: id.chars().filter(|c| c.is_ascii_graphic()).collect(),
        })?;
        let nonce = XNonce::try_from(nonce).map_err(|_| DataKeyError::Broken)?;
        key.cipher.decrypt(&nonce, Payload { msg: body, aad: place }).map_err(|_| DataKeyError::Broken)
    }
}

/// The keys of these lines, newest first.
fn read(text: &SecretString) -> Result<Vec<Arc<DataKey>>, DataKeyError> {
    let mut keys: Vec<Arc<DataKey>> = Vec::new();
    for (index, line) in text.expose_secret().lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let number = index + 1;
        let (id, encoded) = line.split_once(':').unwrap_or(("1", line));
        let bytes = STANDARD.decode(encoded.trim()).map_err(|_| DataKeyError::Line { line: number })?;
        let secret: [u8; 32] = bytes.try_into().map_err(|_| DataKeyError::Line { line: number })?;
        if !is_key_id(id) {
            return Err(DataKeyError::Line { line: number });
        }
        if keys.iter().any(|known| known.id == id) {
            return Err(DataKeyError::Twice { line: number });
        }
        keys.push(Arc::new(DataKey::new(id, &secret)));
    }
    if keys.is_empty() {
        return Err(DataKeyError::Empty);
    }
    Ok(keys)
}

impl DataKey {
    /// Two keys are derived from the one secret, so that hashing and sealing never share one.
    fn new(id: &str, secret: &[u8; 32]) -> Self {
        let derive = |purpose: &[u8]| -> [u8; 32] {
            let mut mac = new_hmac(secret);
            mac.update(purpose);
            mac.finalize().into_bytes().into()
        };
        Self {
            id: id.to_owned(),
            hasher: new_hmac(&derive(b"nightly-sync hash v1")),
            cipher: XChaCha20Poly1305::new(&Key::<XChaCha20Poly1305>::from(derive(b"nightly-sync seal v1"))),
        }
    }

    fn hash(&self, kind: &[u8], value: &[u8]) -> KeyedHash {
        self.hash_of(&digest(kind, value))
    }

    fn hash_of(&self, digest: &Digest) -> KeyedHash {
        use std::fmt::Write as _;
        let mut mac = self.hasher.clone();
        mac.update(digest);
        let bytes = mac.finalize().into_bytes();
        let mut text = String::with_capacity(self.id.len() + 1 + 2 * HASH_BYTES);
        text.push_str(&self.id);
        text.push(':');
        for byte in &bytes[..HASH_BYTES] {
            write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        }
        KeyedHash(text)
    }
}

fn new_hmac(secret: &[u8; 32]) -> HmacSha256 {
    <HmacSha256 as hmac::KeyInit>::new_from_slice(secret).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests;
