//! RabbitMQ's management API, as little of it as tests need. Blocking and without a client of its own, so that a
//! `Drop` can use it.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

/// A broker's management API.
#[derive(Clone, Debug)]
pub struct Management {
    host: String,
    port: u16,
    authorization: String,
}

impl Management {
    /// The API at this address.
    pub fn new(host: &str, port: u16, user: &str, password: &str) -> Self {
        Self { host: host.into(), port, authorization: STANDARD.encode(format!("{user}:{password}")) }
    }

    /// Whether it answers.
    pub fn is_up(&self) -> bool {
        self.ask("GET", "overview", None).is_ok()
    }

    /// Whether the broker listens on this port of its own.
    pub fn listens(&self, port: u16) -> bool {
        self.ask("GET", &format!("health/checks/port-listener/{port}"), None).is_ok()
    }

    /// Makes a vhost.
    ///
    /// # Panics
    /// It is refused.
    pub fn make_vhost(&self, vhost: &str) {
        self.ask("PUT", &format!("vhosts/{vhost}"), None).expect("a vhost can be made");
    }

    /// Removes a vhost, with all that is in it and all its connections.
    pub fn remove_vhost(&self, vhost: &str) -> std::io::Result<()> {
        self.ask("DELETE", &format!("vhosts/{vhost}"), None).map(drop)
    }

    /// Deletes a queue, as an operator would.
    ///
    /// # Panics
    /// It is refused.
    pub fn delete_queue(&self, vhost: &str, queue: &str) {
        self.ask("DELETE", &format!("queues/{vhost}/{queue}"), None).expect("a queue can be deleted");
    }

    /// Makes a user who has this password, and in this vhost these rights only: patterns for configure, write, read.
    ///
    /// # Panics
    /// It is refused.
    pub fn make_user(&self, vhost: &str, user: &str, password: &str, [configure, write, read]: [&str; 3]) {
        let made = json!({ "password": password, "tags": "" });
        self.ask("PUT", &format!("users/{user}"), Some(made)).expect("a user can be made");
        let rights = json!({ "configure": configure, "write": write, "read": read });
        self.ask("PUT", &format!("permissions/{vhost}/{user}"), Some(rights)).expect("rights can be given");
    }

    /// Removes a user.
    ///
    /// # Panics
    /// It is refused.
    pub fn remove_user(&self, user: &str) {
        self.ask("DELETE", &format!("users/{user}"), None).expect("a user can be removed");
    }

    /// Makes a plain queue, as an operator would who knows no better.
    ///
    /// # Panics
    /// It is refused.
    pub fn make_queue(&self, vhost: &str, queue: &str) {
        let plain = json!({ "durable": true });
        self.ask("PUT", &format!("queues/{vhost}/{queue}"), Some(plain)).expect("a queue can be made");
    }

    /// Empties a queue, as an operator would.
    ///
    /// # Panics
    /// It is refused.
    pub fn purge_queue(&self, vhost: &str, queue: &str) {
        self.ask("DELETE", &format!("queues/{vhost}/{queue}/contents"), None).expect("a queue can be purged");
    }

    /// Lets queues hold this many messages at most.
    ///
    /// # Panics
    /// It is refused.
    pub fn limit_queue(&self, vhost: &str, queue: &str, most: u32) {
        let policy = json!({
            "pattern": format!("^{}$", queue.replace('.', "\\.")),
            "definition": { "max-length": most }, "apply-to": "queues",
        });
        self.ask("PUT", &format!("policies/{vhost}/full"), Some(policy)).expect("a policy can be set");
    }

    /// The names of the queues in a vhost.
    ///
    /// # Panics
    /// It is refused.
    pub fn queues(&self, vhost: &str) -> Vec<String> {
        let queues = self.ask("GET", &format!("queues/{vhost}"), None).expect("queues can be listed");
        let names = queues.as_array().expect("a list").iter();
        names.map(|queue| queue["name"].as_str().expect("a name").to_owned()).collect()
    }

    /// How many messages are in the queues whose names match: ready ones, and those that were delivered and not
    /// acknowledged. Asked as KEDA's scaler asks with `useRegex` (`pkg/scalers/rabbitmq_scaler.go` in kedacore/keda), and
    /// up to five seconds old.
    ///
    /// # Panics
    /// It is refused, or more queues match than come in one page.
    pub fn count_messages(&self, vhost: &str, pattern: &str) -> u64 {
        let parameters = [
            ("page", "1"),
            ("use_regex", "true"),
            ("pagination", "false"),
            ("name", pattern),
            ("page_size", "100"),
        ];
        let mut query = reqwest::Url::parse("http://broker").expect("a URL");
        query.query_pairs_mut().extend_pairs(parameters);
        let path = format!("queues/{vhost}?{}", query.query().expect("there are parameters"));
        let answer = self.ask("GET", &path, None).expect("queues can be listed");
        assert!(answer["page_count"].as_u64() <= Some(1), "more than a page: {answer}");
        let queues = answer["items"].as_array().expect("a list").iter();
        // What the API has no count of yet has none in it.
        queues.filter_map(|queue| queue["messages"].as_u64()).sum()
    }

    /// Puts a message into a queue.
    ///
    /// # Panics
    /// It is refused.
    pub fn publish(&self, vhost: &str, queue: &str, (id, content_type): (&str, &str), body: &str) {
        let message = json!({
            "properties": { "content_type": content_type, "message_id": id, "delivery_mode": 2 },
            "routing_key": queue, "payload": body, "payload_encoding": "string",
        });
        let path = format!("exchanges/{vhost}/amq.default/publish");
        let answer = self.ask("POST", &path, Some(message)).expect("a message can be published");
        assert_eq!(answer["routed"], true, "to {queue}");
    }

    /// Puts so many messages that are ready in a queue into it again, beside themselves. How many there were.
    ///
    /// # Panics
    /// It is refused.
    pub fn copy_messages(&self, vhost: &str, queue: &str, most: u32) -> usize {
        let wanted = json!({ "count": most, "ackmode": "ack_requeue_true", "encoding": "base64" });
        let found = self.ask("POST", &format!("queues/{vhost}/{queue}/get"), Some(wanted));
        let found = found.expect("messages can be looked at");
        let messages = found.as_array().expect("a list");
        for message in messages {
            let copy = json!({
                "properties": message["properties"], "routing_key": queue, "payload": message["payload"],
                "payload_encoding": message["payload_encoding"],
            });
            let path = format!("exchanges/{vhost}/amq.default/publish");
            self.ask("POST", &path, Some(copy)).expect("a message can be published");
        }
        messages.len()
    }

    fn ask(&self, method: &str, path: &str, body: Option<Value>) -> std::io::Result<Value> {
        let address = (self.host.as_str(), self.port).to_socket_addrs()?.next();
        let address = address.ok_or(std::io::ErrorKind::AddrNotAvailable)?;
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let body = body.map_or(String::new(), |body| body.to_string());
        write!(
            stream,
            "{method} /api/{path} HTTP/1.1\r\nhost: {}\r\nauthorization: Basic {}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.host,
            self.authorization,
            body.len()
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        if head.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) {
            // A list may come in chunks; what is between the outermost brackets is one of at most a few.
            Ok(serde_json::from_str(body)
                .or_else(|_| serde_json::from_str(&unchunked(body)))
                .unwrap_or_default())
        } else {
            Err(std::io::Error::other(format!(
                "{method} {path}: {}",
                head.lines().next().unwrap_or_default()
            )))
        }
    }
}

/// The body without the sizes of its chunks.
fn unchunked(body: &str) -> String {
    let mut whole = String::new();
    let mut rest = body;
    while let Some((size, chunk)) = rest.split_once("\r\n") {
        let Some((text, next)) =
            usize::from_str_radix(size, 16).ok().and_then(|size| chunk.split_at_checked(size))
        else {
            break;
        };
        whole.push_str(text);
        rest = next.trim_start_matches("\r\n");
    }
    whole
}
