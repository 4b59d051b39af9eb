//! A vhost for a test, on the broker that all tests of this process share.

use std::net::{SocketAddr, ToSocketAddrs as _};

use reqwest::Url;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::broker::{Broker, EVERY, PATIENCE, scripts};
use super::choice::{Service, Source};
use super::docker::{Container, Image};
use super::management::Management;
use super::say;

pub(super) const SERVICE: Service =
    Service { name: "RabbitMQ", variable: "TEST_AMQP_URL", programs: scripts, package: "rabbitmq-server" };

const AMQP: u16 = 5_672;
const API: u16 = 15_672;

const IMAGE: Image = Image {
    name: "rabbitmq",
    tag: "4-management",
    ports: &[AMQP, API],
    // Its usual guest is let in from within only.
    environment: &[("RABBITMQ_DEFAULT_USER", "tests"), ("RABBITMQ_DEFAULT_PASS", "tests")],
    command: &[],
};

/// The broker of this test process, found or started by whoever asks first.
static SHARED: OnceCell<Result<Shared, String>> = OnceCell::const_new();

struct Shared {
    /// Without a vhost.
    url: Url,
    management: Management,
    origin: Origin,
}

/// What keeps it going.
enum Origin {
    /// Whoever started it; its API listens on `TEST_AMQP_API_PORT`, or where it usually does.
    Env,
    Local(Box<Broker>),
    Docker {
        _container: Container,
    },
}

impl Shared {
    async fn get() -> &'static Self {
        match SHARED.get_or_init(Self::find).await {
            Ok(shared) => shared,
            Err(problem) => panic!("no RabbitMQ for the tests: {problem}"),
        }
    }

    async fn find() -> Result<Self, String> {
        match SERVICE.choose()? {
            Source::Env(url) => Self::given(&url),
            Source::Local(scripts) => {
                let broker = Broker::start_from(scripts).await?;
                say(&format!("RabbitMQ for the tests: this machine's, privately on port {}", broker.port()));
                Ok(Self {
                    url: parse(&broker.url(""))?,
                    management: broker.management(),
                    origin: Origin::Local(Box::new(broker)),
                })
            }
            Source::Docker => Self::contained().await,
        }
    }

    fn given(url: &str) -> Result<Self, String> {
        let url = parse(url).map_err(|error| format!("TEST_AMQP_URL: {error}"))?;
        let host = url.host_str().ok_or("TEST_AMQP_URL names no host")?.to_owned();
        let port = match std::env::var("TEST_AMQP_API_PORT") {
            Ok(port) => port.parse().map_err(|_| format!("TEST_AMQP_API_PORT: found '{port}', no port"))?,
            Err(_) => API,
        };
        let (user, password) = match url.username() {
            "" => ("guest", "guest"),
            user => (user, url.password().unwrap_or_default()),
        };
        let management = Management::new(&host, port, user, password);
        if !management.is_up() {
            return Err(format!(
                "its management API does not answer on port {port} of {host}, and is needed for a vhost for \
                 each test; enable the plugin rabbitmq_management, or set TEST_AMQP_API_PORT"
            ));
        }
        say(&format!("RabbitMQ for the tests: TEST_AMQP_URL, on {host}"));
        Ok(Self { url, management, origin: Origin::Env })
    }

    async fn contained() -> Result<Self, String> {
        let container = IMAGE.run().await?;
        let (host, amqp, api) = (&container.host, container.ports[0], container.ports[1]);
        let management = Management::new(host, api, "tests", "tests");
        let gives_up = Instant::now() + PATIENCE;
        while !management.listens(AMQP) {
            if Instant::now() > gives_up {
                return Err(format!("{}:{} does not come up", IMAGE.name, IMAGE.tag));
            }
            sleep(EVERY).await;
        }
        say(&format!(
            "RabbitMQ for the tests: {}:{} in Docker, on port {amqp} of {host}",
            IMAGE.name, IMAGE.tag
        ));
        let url = parse(&format!("amqp://tests:tests@{host}:{amqp}"))?;
        Ok(Self { url, management, origin: Origin::Docker { _container: container } })
    }
}

fn parse(url: &str) -> Result<Url, String> {
    url.parse().map_err(|error| format!("no address: {error}"))
}

/// A vhost of its own for one test; removed when dropped.
pub struct Vhost {
    shared: &'static Shared,
    name: String,
    url: Url,
}

impl Vhost {
    /// A new one.
    ///
    /// # Panics
    /// There is no broker.
    pub async fn new() -> Self {
        let shared = Shared::get().await;
        let name = format!("test-{}", Uuid::new_v4().simple());
        shared.management.make_vhost(&name);
        let mut url = shared.url.clone();
        url.set_path(&name);
        Self { shared, name, url }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Its address with the broker at another place: behind a relay on this port of loopback.
    ///
    /// # Panics
    /// Never in practice: an address that names a host can name another.
    pub fn url_through(&self, port: u16) -> String {
        let mut url = self.url.clone();
        url.set_host(Some("127.0.0.1")).expect("it has a host");
        url.set_port(Some(port)).expect("it has a host");
        url.into()
    }

    /// Where the broker listens.
    ///
    /// # Panics
    /// Its host is not known.
    pub fn address(&self) -> SocketAddr {
        let host = self.url.host_str().expect("it has a host");
        let mut found = (host, self.url.port().unwrap_or(AMQP)).to_socket_addrs().expect("its host is known");
        found.next().expect("a host that is known has an address")
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The broker's management API.
    pub fn management(&self) -> &Management {
        &self.shared.management
    }

    /// The broker, where it is a private one.
    pub fn broker(&self) -> Option<&'static Broker> {
        if let Origin::Local(broker) = &self.shared.origin { Some(broker) } else { None }
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        // A broker that is gone has no vhosts left.
        let _ = self.shared.management.remove_vhost(&self.name);
    }
}
