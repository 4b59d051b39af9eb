//! A private RabbitMQ: a server program of this machine, on loopback and free ports, in a folder of its own.
//!
//! A watchdog holds the end of a pipe to this process. When the pipe closes, because the broker is dropped or
//! because the process is gone in whatever way, it kills the broker and removes the folder.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::certificates::Certificates;
use super::management::Management;
use super::rabbitmq::SERVICE;

/// Where packages put the plain start script; the one in PATH may be a wrapper that changes the user.
const SCRIPTS: [&str; 5] = [
    "/usr/lib/rabbitmq/bin",
    "/opt/rabbitmq/sbin",
    "/opt/homebrew/sbin",
    "/usr/local/sbin",
    "/usr/lib/rabbitmq-server/sbin",
];

/// An Erlang node on a busy machine takes its time.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);

/// Between looks at one that starts.
pub(super) const EVERY: Duration = Duration::from_millis(100);

/// A broker, gone when dropped.
pub struct Broker {
    scripts: PathBuf,
    folder: PathBuf,
    ports: Ports,
    certificates: Certificates,
    server: Child,
    epmd: Child,
    /// Held for its standard input.
    watchdog: Child,
}

#[derive(Clone, Copy)]
struct Ports {
    amqp: u16,
    amqps: u16,
    management: u16,
    distribution: u16,
    epmd: u16,
}

impl Ports {
    fn free() -> Self {
        // All are held until the last is found, so that they differ.
        let held: Vec<_> = (0..5)
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port"))
            .collect();
        let port = |at: usize| held[at].local_addr().expect("a bound socket has an address").port();
        Self { amqp: port(0), amqps: port(1), management: port(2), distribution: port(3), epmd: port(4) }
    }
}

impl Broker {
    /// Starts one of this test's own.
    ///
    /// # Panics
    /// The program is not there, or does not start.
    pub async fn start() -> Self {
        let scripts = SERVICE.own().unwrap_or_else(|problem| panic!("{problem}"));
        Self::start_from(scripts).await.unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// Starts one by the scripts in this folder.
    pub(super) async fn start_from(scripts: PathBuf) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("nightly-sync-rabbitmq-").tempdir();
        // The watchdog removes it.
        let folder = folder.expect("a folder can be made").keep();
        let (ports, certificates) = (Ports::free(), Certificates::make());
        certificates.write(&folder);
        write_settings(&folder, ports);
        let watchdog = watchdog(&folder);
        let (server, epmd) = spawn(&scripts, &folder, ports);
        let mut broker = Self { scripts, folder, ports, certificates, server, epmd, watchdog };
        broker.until_up().await?;
        Ok(broker)
    }

    /// `kill -9` to all of it.
    pub fn kill(&mut self) {
        for group in groups(&self.folder) {
            let kill =
                Command::new("kill").args(["-9", "--", &format!("-{group}")]).stderr(Stdio::null()).status();
            kill.expect("kill can be run");
        }
        self.server.wait().expect("a child can be waited for");
        self.epmd.wait().expect("a child can be waited for");
    }

    /// Starts it again after [`kill`](Self::kill), on the same ports, with what it had on disk.
    ///
    /// # Panics
    /// It does not start.
    pub async fn start_again(&mut self) {
        (self.server, self.epmd) = spawn(&self.scripts, &self.folder, self.ports);
        self.until_up().await.unwrap_or_else(|problem| panic!("{problem}"));
    }

    /// Where it keeps everything.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its management API.
    pub fn management(&self) -> Management {
        Management::new("127.0.0.1", self.ports.management, "guest", "guest")
    }

    /// The AMQP port.
    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// The address of a vhost.
    pub fn url(&self, vhost: &str) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/{vhost}", self.ports.amqp)
    }

    /// The address of a vhost, over TLS. It asks for a certificate of the client's.
    pub fn tls_url(&self, vhost: &str) -> String {
        format!("amqps://guest:guest@localhost:{}/{vhost}", self.ports.amqps)
    }

    /// What it and its clients identify themselves with.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Client connections, by `rabbitmqctl`.
    ///
    /// # Panics
    /// It fails.
    pub async fn connections(&self) -> usize {
        let mut command = tokio::process::Command::new(self.scripts.join("rabbitmqctl"));
        command.env_clear().envs(environment(&self.folder, self.ports));
        let output =
            command.args(["-q", "list_connections", "pid"]).output().await.expect("rabbitmqctl runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.starts_with('<')).count()
    }

    /// Runs `rabbitmqctl` with these arguments.
    ///
    /// # Panics
    /// It fails.
    pub async fn control(&self, arguments: &[&str]) {
        let mut command = tokio::process::Command::new(self.scripts.join("rabbitmqctl"));
        command.env_clear().envs(environment(&self.folder, self.ports));
        let output = command.arg("-q").args(arguments).output().await.expect("rabbitmqctl runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    async fn until_up(&mut self) -> Result<(), String> {
        let gives_up = Instant::now() + PATIENCE;
        let management = self.management();
        while !management.listens(self.ports.amqp) {
            let ended = self.server.try_wait().expect("a child can be asked");
            if ended.is_some() || Instant::now() > gives_up {
                let said = std::fs::read_to_string(self.folder.join("output")).unwrap_or_default();
                return Err(format!("RabbitMQ does not start ({ended:?}):\n{said}"));
            }
            sleep(EVERY).await;
        }
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        // Removes the folder before it ends.
        let _ = self.watchdog.wait();
        let _ = self.server.wait();
        let _ = self.epmd.wait();
    }
}

/// The folder of the plain start script.
pub(super) fn scripts() -> Option<PathBuf> {
    SCRIPTS.iter().map(PathBuf::from).find(|folder| folder.join("rabbitmq-server").is_file())
}

fn groups(folder: &Path) -> Vec<String> {
    let groups = std::fs::read_to_string(folder.join("groups")).unwrap_or_default();
    groups.split_whitespace().map(str::to_owned).collect()
}

fn watchdog(folder: &Path) -> Child {
    let script =
        r#"cat >/dev/null; for group in $(cat "$0/groups"); do kill -9 "-$group"; done; rm -rf "$0""#;
    let mut watchdog = Command::new("sh");
    watchdog.args(["-c", script]).arg(folder);
    // A group of its own: Ctrl-C is for the tests, and this one cleans up after them.
    watchdog.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    watchdog.spawn().expect("sh is there")
}

fn environment(folder: &Path, ports: Ports) -> Vec<(&'static str, String)> {
    let within = |name: &str| folder.join(name).display().to_string();
    vec![
        ("PATH", std::env::var("PATH").unwrap_or_default()),
        // The Erlang cookie is there.
        ("HOME", folder.display().to_string()),
        ("LANG", "C.UTF-8".into()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
        ("ERL_EPMD_PORT", ports.epmd.to_string()),
        ("RABBITMQ_NODENAME", format!("test-{}@localhost", ports.amqp)),
        ("RABBITMQ_DIST_PORT", ports.distribution.to_string()),
        ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}".into()),
        ("RABBITMQ_MNESIA_BASE", within("data")),
        ("RABBITMQ_LOG_BASE", within("log")),
        ("RABBITMQ_PID_FILE", within("pid")),
        // Else it is written where the tests run.
        ("ERL_CRASH_DUMP", within("erl_crash.dump")),
        ("RABBITMQ_CONFIG_FILE", within("rabbitmq.conf")),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", within("advanced.config")),
        ("RABBITMQ_CONF_ENV_FILE", within("none")),
        ("RABBITMQ_GENERATED_CONFIG_DIR", within("generated")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", within("plugins")),
    ]
}

fn write_settings(folder: &Path, ports: Ports) {
    let file = |name: &str| folder.join(name).display().to_string();
    let settings = format!(
        "listeners.tcp.1 = 127.0.0.1:{}\nlisteners.ssl.1 = 127.0.0.1:{}\n\
         ssl_options.cacertfile = {}\nssl_options.certfile = {}\nssl_options.keyfile = {}\n\
         ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n\
         management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {}\n\
         log.console = false\nlog.file.level = warning\n",
        ports.amqp,
        ports.amqps,
        file("ca.pem"),
        file("server.pem"),
        file("server-key.pem"),
        ports.management,
    );
    std::fs::write(folder.join("rabbitmq.conf"), settings).expect("settings can be written");
    std::fs::write(folder.join("plugins"), "[rabbitmq_management].\n").expect("settings can be written");
}

fn spawn(scripts: &Path, folder: &Path, ports: Ports) -> (Child, Child) {
    let output = std::fs::File::create(folder.join("output")).expect("a file can be made");
    // In the foreground and in our hands; one that the server starts would outlive it.
    let epmd = Command::new("epmd")
        .args(["-port", &ports.epmd.to_string(), "-address", "127.0.0.1"])
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("epmd comes with Erlang");
    let server = Command::new(scripts.join("rabbitmq-server"))
        .env_clear()
        .envs(environment(folder, ports))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("a file can be shared"))
        .stderr(output)
        .spawn()
        .expect("rabbitmq-server can be started");
    std::fs::write(folder.join("groups"), format!("{} {}\n", server.id(), epmd.id()))
        .expect("a file can be written");
    (server, epmd)
}
