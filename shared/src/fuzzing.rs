//! What reads hostile input and is private, opened to its tests (`tests/hostile`): nothing else may use it.

#[cfg(feature = "rabbitmq")]
pub use lapin;

/// A row's message and its headers.
#[cfg(feature = "rabbitmq")]
pub mod amqp {
    use lapin::BasicProperties;

    use crate::ledger::RowMessage;
    use crate::queue::rabbitmq::{DecodeError, message};

    /// The properties of a message of ours.
    pub fn ours() -> BasicProperties {
        message::properties(&[]).0
    }

    /// The body on the wire.
    pub fn encode(message: &RowMessage) -> Vec<u8> {
        message::encode(message)
    }

    /// A delivery's message.
    pub fn decode(properties: &BasicProperties, body: &[u8]) -> Result<RowMessage, DecodeError> {
        message::decode(properties, body)
    }

    /// The trace that a delivery carries.
    pub fn trace(properties: &BasicProperties) -> Vec<(String, String)> {
        message::trace(properties)
    }

    /// The deaths that its headers tell of.
    pub fn deaths(properties: &BasicProperties) -> String {
        message::deaths(properties)
    }
}

/// Answers of the secrets managers.
#[cfg(all(feature = "vault", feature = "gcp-sm", feature = "aws-sm"))]
pub mod managers {
    use std::time::Duration;

    use secrecy::SecretString;

    use crate::secrets::exchange::Answer;
    use crate::secrets::{ManagerError, aws, gcp, vault};

    /// What each of them makes of one answer: a secret, and how long it lasts where it is what opens the manager.
    pub fn read(status: u16, body: &[u8]) -> [Result<(SecretString, Option<Duration>), ManagerError>; 7] {
        let answer = Answer::of(status, body);
        let whole = |secret: SecretString| (secret, None);
        [
            vault::fields(&answer).map(whole),
            vault::logged_in(&answer),
            gcp::secret(&answer).map(whole),
            gcp::access_token("Google", &answer).map(|(token, lasts)| (token, Some(lasts))),
            aws::secret(&answer).map(whole),
            aws::identity::by_role(&answer).map(|identity| whole(identity.secret)),
            aws::identity::keys("AWS", &answer).map(|identity| whole(identity.secret)),
        ]
    }
}
