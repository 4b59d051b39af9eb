//! Looks at a broker without changing anything in it: what it is, which queues are there and whether they are ours,
//! and what we may do.
//!
//! Whether a queue has our arguments is asked by declaring it as we would: where one of that name is, that changes
//! nothing. What we may do is asked about a queue that nobody has: who may not is refused before it is looked for.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::tcp::AsyncTcpStream;
use lapin::types::FieldTable;
use lapin::uri::AMQPScheme;
use lapin::{BasicProperties, Connection, ErrorKind};
use tokio::net::lookup_host;
use tokio::time::timeout;
use uuid::Uuid;

use super::config::{QueueTerms, RabbitMqConfig};
use super::fault::{RabbitMqError, within};
use super::link::connect;
use super::socket::{CutOnDrop, Socket};
use super::topology::Topology;

/// What a queue turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    /// Nobody made it yet.
    Absent,
    /// As we make it.
    Ours,
    /// Made with other arguments.
    Other,
}

/// What may be denied to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// Making queues.
    Configure,
    /// Publishing.
    Write,
    /// Receiving.
    Read,
}

/// A connection that looks; cut when dropped.
pub(crate) struct Look {
    connection: Connection,
    _socket: CutOnDrop,
    answer: Duration,
}

/// The version that the broker introduces itself with, before anybody logs in. lapin keeps it to itself.
pub(crate) async fn version(config: &RabbitMqConfig, wait: Duration) -> std::io::Result<Option<String>> {
    timeout(wait, greeting(config)).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

async fn greeting(config: &RabbitMqConfig) -> std::io::Result<Option<String>> {
    let runtime = lapin::runtime::default_runtime().map_err(std::io::Error::other)?;
    let host = config.uri.authority.host.as_str();
    let addresses: Vec<_> = lookup_host((host, config.uri.authority.port)).await?.collect();
    let mut stream = AsyncTcpStream::connect(&runtime, addresses).await?;
    if config.uri.scheme == AMQPScheme::AMQPS {
        stream = stream.into_tls(host, config.tls.to_lapin().as_ref()).await?;
    }
    let header = b"AMQP\x00\x00\x09\x01";
    let mut sent = 0;
    while sent < header.len() {
        let written = poll_fn(|context| Pin::new(&mut stream).poll_write(context, &header[sent..])).await?;
        if written == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        sent += written;
    }
    poll_fn(|context| Pin::new(&mut stream).poll_flush(context)).await?;
    let mut greeting = Vec::new();
    loop {
        let mut some = [0; 4096];
        let read = poll_fn(|context| Pin::new(&mut stream).poll_read(context, &mut some)).await?;
        greeting.extend_from_slice(&some[..read]);
        // A frame: its type, a channel (2), the length of what follows (4), and one byte behind that.
        let length =
            greeting.get(3..7).map(|length| u32::from_be_bytes(length.try_into().expect("four bytes")));
        let whole = length.is_some_and(|length| greeting.len() >= 8 + length as usize);
        if read == 0 || whole || greeting.len() > 64 * 1024 {
            return Ok(version_in(&greeting));
        }
    }
}

/// The field `version`, a long string, of the server's properties (AMQP 0-9-1, connection.start).
fn version_in(greeting: &[u8]) -> Option<String> {
    const FIELD: &[u8] = b"\x07versionS";
    let at = greeting.windows(FIELD.len()).position(|window| window == FIELD)? + FIELD.len();
    let length = u32::from_be_bytes(greeting.get(at..at + 4)?.try_into().ok()?) as usize;
    let text = greeting.get(at + 4..at + 4 + length)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

impl Look {
    /// Logs in.
    pub(crate) async fn log_in(config: &RabbitMqConfig, answer: Duration) -> Result<Self, RabbitMqError> {
        let mut config = config.clone();
        config.waits.connect = answer;
        let socket = Socket::default();
        let guard = CutOnDrop::new(socket.clone());
        let connection = connect(&config, "doctor", socket).await?;
        Ok(Self { connection, _socket: guard, answer })
    }

    /// Says goodbye.
    pub(crate) async fn close(self) {
        let _ = timeout(self.answer, self.connection.close(200, "done".into())).await;
    }

    /// What each queue of these names is.
    pub(crate) async fn queues(&self, prefix: &str) -> Result<Vec<(String, Queue)>, RabbitMqError> {
        let topology = Topology::new(&QueueTerms { prefix: prefix.to_owned(), ..QueueTerms::default() });
        let mut found = Vec::new();
        for (name, arguments) in topology.queues() {
            found.push((name.clone(), self.queue(&name, arguments).await?));
        }
        Ok(found)
    }

    async fn queue(&self, name: &str, arguments: FieldTable) -> Result<Queue, RabbitMqError> {
        // A refusal ends a channel: each question has one of its own.
        let channel = within(self.answer, "open a channel", self.connection.create_channel()).await?;
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let looked = channel.queue_declare(name.into(), options, FieldTable::default());
        match within(self.answer, "tell of a queue", looked).await {
            Err(fault) if fault.is(AMQPSoftError::NOTFOUND) => return Ok(Queue::Absent),
            looked => looked?,
        };
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        let declared = channel.queue_declare(name.into(), options, arguments);
        match within(self.answer, "compare a queue", declared).await {
            Ok(_) => Ok(Queue::Ours),
            Err(fault) if fault.is(AMQPSoftError::PRECONDITIONFAILED) => Ok(Queue::Other),
            Err(fault) => Err(fault),
        }
    }

    /// What we may not do with queues whose names begin with `prefix`.
    pub(crate) async fn denied(&self, prefix: &str) -> Result<Vec<Right>, RabbitMqError> {
        let nobodys = format!("{prefix}.doctor-{}", Uuid::new_v4());
        let mut denied = Vec::new();
        for right in [Right::Configure, Right::Write, Right::Read] {
            let channel = within(self.answer, "open a channel", self.connection.create_channel()).await?;
            let asked = async {
                let name = nobodys.as_str().into();
                match right {
                    Right::Configure => {
                        channel.queue_delete(name, QueueDeleteOptions::default()).await.map(drop)
                    }
                    Right::Read => channel.basic_get(name, BasicGetOptions::default()).await.map(drop),
                    // To the default exchange, as we publish; to nobody, so that the broker drops it.
                    Right::Write => {
                        channel.confirm_select(ConfirmSelectOptions::default()).await?;
                        let (options, properties) =
                            (BasicPublishOptions::default(), BasicProperties::default());
                        channel
                            .basic_publish("".into(), name, options, &[], properties)
                            .await?
                            .await
                            .map(drop)
                    }
                }
            };
            match within(self.answer, "say what we may do", asked).await {
                Ok(()) => {}
                Err(fault) if fault.is(AMQPSoftError::NOTFOUND) => {}
                Err(fault) if fault.is(AMQPSoftError::ACCESSREFUSED) => denied.push(right),
                Err(fault) => return Err(fault),
            }
        }
        Ok(denied)
    }

    /// Whether the broker takes no messages, for want of memory or of room on its disk.
    pub(crate) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }
}

impl RabbitMqError {
    /// Whether the broker refused in this way.
    fn is(&self, refusal: AMQPSoftError) -> bool {
        let Self::Broken(error) = self else { return false };
        matches!(error.kind(), ErrorKind::ProtocolError(error) if *error.kind() == AMQPErrorKind::Soft(refusal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_out_of_a_greeting() {
        let greeting = b"\x01\0\0..\x07productS\0\0\0\x08RabbitMQ\x07versionS\0\0\0\x063.10.8\x08platform";
        assert_eq!(version_in(greeting).as_deref(), Some("3.10.8"));
        assert_eq!(version_in(b"\x07versionS\0\0\0\xff3"), None, "cut short");
        assert_eq!(version_in(b"HTTP/1.1 400 Bad Request"), None);
    }
}
