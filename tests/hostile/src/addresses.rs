//! `DATABASE_URL` and `AMQP_URL`.

use secrecy::SecretString;
use shared::ledger::postgres::PostgresAddress;
use shared::queue::rabbitmq::RabbitMqConfig;

use crate::input::Input;

const PASSWORD: &str = "Xs3cr3tX";

/// An address as it is, and behind a user and a password, which no complaint may hold.
pub fn read(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let scheme = input.one_of(&["postgres", "postgresql", "amqp", "amqps"]);
    let text = input.text();
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:/?&=_-".contains(&byte));
    let with_password = plain.then(|| format!("{scheme}://user:{PASSWORD}@{text}"));
    for address in [Some(text), with_password].into_iter().flatten() {
        // These would be read from disk.
        if ["sslrootcert", "sslcert", "sslkey", "%"].iter().any(|part| address.contains(part)) {
            continue;
        }
        let told = match PostgresAddress::parse(&SecretString::from(address.as_str())) {
            Ok(read) => format!("{read:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!told.contains(PASSWORD), "the password is told of a database");
        let told = match RabbitMqConfig::new(&address) {
            Ok(read) => format!("{read:?} {}", read.sends_written_password_abroad(&address)),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!told.contains(PASSWORD), "the password is told of a broker");
    }
}
