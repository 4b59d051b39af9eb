//! A vhost for a test, on the broker that all tests of this process share.

use reqwest::Url;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::broker::Broker;
use super::management::Management;

/// The one broker. A test process is the one place where it can be shared, and it must not be started twice.
static SHARED: OnceCell<Source> = OnceCell::const_new();

enum Source {
    /// `TEST_AMQP_URL`, and the API beside it (`TEST_AMQP_API_PORT`, 15672 by default).
    Given(Url, Management),
    Private(Broker),
}

impl Source {
    async fn find() -> Self {
        let forced = std::env::var("TEST_SERVICES").unwrap_or_default();
        let given = std::env::var("TEST_AMQP_URL").ok().filter(|_| matches!(forced.as_str(), "" | "env"));
        if let Some(url) = given {
            let url: Url = url.parse().expect("TEST_AMQP_URL is an address");
            let host = url.host_str().expect("TEST_AMQP_URL names a host").to_owned();
            let port =
                std::env::var("TEST_AMQP_API_PORT").map_or(15_672, |port| port.parse().expect("a port"));
            let (user, password) = match url.username() {
                "" => ("guest", "guest"),
                user => (user, url.password().unwrap_or_default()),
            };
            let management = Management::new(&host, port, user, password);
            assert!(
                management.is_up(),
                "tests need the management API of the broker at TEST_AMQP_URL: a vhost each"
            );
            eprintln!("RabbitMQ: the one at {host} that TEST_AMQP_URL names");
            return Self::Given(url, management);
        }
        assert!(
            matches!(forced.as_str(), "" | "local") && Broker::is_installed(),
            "no RabbitMQ for the tests: set TEST_AMQP_URL, or install one here (Debian: apt-get install rabbitmq-server)"
        );
        let broker = Broker::start().await;
        eprintln!("RabbitMQ: this machine's rabbitmq-server, started privately on port {}", broker.port());
        Self::Private(broker)
    }
}

/// A vhost of its own for one test; removed when dropped.
pub struct Vhost {
    management: Management,
    name: String,
    url: String,
    broker: Option<&'static Broker>,
}

impl Vhost {
    /// A new one.
    ///
    /// # Panics
    /// There is no broker.
    pub async fn new() -> Self {
        let name = format!("test-{}", Uuid::new_v4().simple());
        match SHARED.get_or_init(Source::find).await {
            Source::Given(url, management) => {
                management.make_vhost(&name);
                let mut url = url.clone();
                url.set_path(&name);
                Self { management: management.clone(), name, url: url.into(), broker: None }
            }
            Source::Private(broker) => {
                let management = broker.management();
                management.make_vhost(&name);
                let url = broker.url(&name);
                Self { management, name, url, broker: Some(broker) }
            }
        }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The broker's management API.
    pub fn management(&self) -> &Management {
        &self.management
    }

    /// The broker, where it is a private one.
    pub fn broker(&self) -> Option<&'static Broker> {
        self.broker
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        // A broker that is gone has no vhosts left.
        let _ = self.management.remove_vhost(&self.name);
    }
}
