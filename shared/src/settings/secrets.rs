//! What resolving secrets needs to know.

use std::time::Duration;

use secrecy::SecretString;

use super::HttpSettings;
use super::reader::{Reader, duration};
use crate::secrets::{Secrets, SecretsTerms, VARIABLES};

pub(super) fn read(reader: &mut Reader<'_>, http: &HttpSettings) -> Secrets {
    let ttl = reader.value("SECRETS_TTL", Duration::from_secs(300), "a duration such as 5m or 30s", duration);
    let given = VARIABLES.into_iter();
    let given = given.filter_map(|name| Some((name, SecretString::from(reader.text(name)?)))).collect();
    Secrets::new(SecretsTerms { ttl, http: http.clone(), given })
}
