//! A Postgres for the tests. Each test has a place of its own in it, so that tests run side by side: a schema, or
//! where a pooler stands between and refuses `options`, a database.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use shared::clock::Clock;
use shared::ledger::postgres::PostgresAddress;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::choice::{Service, Source};
use super::docker::{Container, Image};
use super::folder::{Private, folder_of, free_port};
use super::say;

const SERVICE: Service =
    Service { name: "Postgres", variable: "TEST_DATABASE_URL", programs, package: "postgresql" };

const IMAGE: Image = Image {
    name: "postgres",
    tag: "17",
    ports: &[5_432],
    environment: &[("POSTGRES_PASSWORD", "tests")],
    command: &["postgres", "-c", "max_connections=500"],
};

/// Places of tests that ended are kept for so long in a server that is not ours, for a look.
const KEPT: SignedDuration = SignedDuration::from_hours(1);

/// How long a private server may take to come up.
const PATIENCE: Duration = Duration::from_secs(60);

/// fsync stays on: a commit that is answered is on disk, as it will be. A folder of certificates may be given; with
/// a fourth argument a server that dies is started again, as a service manager does.
const START: &str = r#"
bin=$1 port=$2 certificates=${3-} tls=off again=${4-}
if [ -n "$certificates" ]; then
  tls=on
  install -m 0600 ${user:+-o "$user"} "$certificates"/* "$folder"
fi
(as "$bin/initdb" -D "$folder/data" -U tests -A trust -E UTF8 --no-locale --no-sync) >"$folder/initdb.log" 2>&1
serve() {
  as "$bin/postgres" -D "$folder/data" -k "$folder" -h 127.0.0.1 -p "$port" -c max_connections=500 \
    -c ssl="$tls" -c ssl_cert_file="$folder/server.crt" -c ssl_key_file="$folder/server.key" -c ssl_ca_file="$folder/ca.crt" \
    >>"$folder/server.log" 2>&1 </dev/null
}
supervise() {
  # It takes the server with it.
  trap 'kill -QUIT "$(head -1 "$folder/data/postmaster.pid")"; exit' QUIT
  while :; do serve & wait $! || true; done
}
if [ -n "$again" ]; then supervise & else serve & fi
server=$!
"#;

/// A server that tests share.
pub struct PostgresServer {
    /// Of its maintenance database, without parameters.
    uri: String,
    schemas: bool,
    origin: Origin,
}

/// What keeps it going; a private one with its port.
enum Origin {
    Env,
    Local(Private, String),
    Docker { _container: Container },
}

/// A test's own place in a server.
pub struct Place {
    /// `postgres://…`, as `DATABASE_URL`.
    pub uri: String,
    /// The name of its schema or database, and of the application in each connection made by `uri`.
    pub name: String,
}

static SERVER: OnceCell<Result<PostgresServer, String>> = OnceCell::const_new();

impl PostgresServer {
    /// The server of this test process, found or started by whoever asks first.
    pub async fn get() -> &'static Self {
        match SERVER.get_or_init(Self::find).await {
            Ok(server) => server,
            Err(problem) => panic!("no Postgres for the tests: {problem}"),
        }
    }

    async fn find() -> Result<Self, String> {
        match SERVICE.choose()? {
            Source::Env(uri) => Self::given(uri).await,
            Source::Local(programs) => {
                let server = Self::private(&programs, None, false).await?;
                say(&format!("Postgres for the tests: {}, privately", programs.display()));
                Ok(server)
            }
            Source::Docker => Self::contained().await,
        }
    }

    async fn given(uri: String) -> Result<Self, String> {
        let client = connect(&uri).await.map_err(|error| format!("TEST_DATABASE_URL: {error}"))?;
        let schemas = connect(&with_search_path(&uri, "public")).await.is_ok();
        let what = if schemas { "a schema" } else { "a database" };
        say(&format!("Postgres for the tests: TEST_DATABASE_URL, {what} for each test"));
        remove_old(&client, schemas).await.map_err(|error| format!("TEST_DATABASE_URL: {error}"))?;
        Ok(Self { uri, schemas, origin: Origin::Env })
    }

    async fn contained() -> Result<Self, String> {
        let container = IMAGE.run().await?;
        let (host, port) = (&container.host, container.ports[0]);
        let uri = format!("postgres://postgres:tests@{host}:{port}/postgres");
        answering(&uri, || None).await?;
        say(&format!(
            "Postgres for the tests: {}:{} in Docker, on port {port} of {host}",
            IMAGE.name, IMAGE.tag
        ));
        Ok(Self { uri, schemas: true, origin: Origin::Docker { _container: container } })
    }

    /// A server of the caller's own.
    pub async fn own() -> Self {
        Self::started(None, false).await
    }

    /// A server of the caller's own that is started again when it is killed; see [`kill`](Self::kill).
    pub async fn restarting() -> Self {
        Self::started(None, true).await
    }

    /// `kill -9` to a [`restarting`](Self::restarting) one. It is back when it answers.
    pub async fn kill(&self) {
        let folder = self.folder().expect("a private server has a folder");
        let of_it = std::fs::read_to_string(folder.join("data/postmaster.pid")).expect("it runs");
        let pid = of_it.lines().next().expect("its first line is its process id");
        let killed = std::process::Command::new("kill").args(["-9", pid]).status();
        assert!(killed.is_ok_and(|status| status.success()), "kill works");
        answering(&self.uri, || None).await.unwrap_or_else(|problem| panic!("{problem}"));
    }

    /// A server of the caller's own with TLS: `certificates` holds `server.crt`, `server.key` and `ca.crt`.
    pub async fn with_tls(certificates: &Path) -> Self {
        Self::started(Some(certificates), false).await
    }

    async fn started(certificates: Option<&Path>, again: bool) -> Self {
        let programs = SERVICE.own().unwrap_or_else(|problem| panic!("{problem}"));
        let started = Self::private(&programs, certificates, again).await;
        started.unwrap_or_else(|problem| panic!("no Postgres of its own for a test: {problem}"))
    }

    async fn private(programs: &Path, certificates: Option<&Path>, again: bool) -> Result<Self, String> {
        // Another process may take the port before the server does: then the server ends, and the next try has
        // another port.
        let mut problem = String::new();
        for _ in 0..3 {
            let port = free_port()?;
            let certificates = certificates.map(Path::as_os_str).unwrap_or_default();
            let again = OsStr::new(if again { "again" } else { "" });
            let arguments = [programs.as_os_str(), OsStr::new(&port), certificates, again];
            let mut server = Private::start("postgres", START, &arguments)?;
            let socket = server.folder.display().to_string().replace('/', "%2F");
            let uri = format!("postgres://tests@{socket}:{port}/postgres");
            match answering(&uri, || server.has_ended().then(|| logged(&server.folder))).await {
                Ok(()) => return Ok(Self { uri, schemas: true, origin: Origin::Local(server, port) }),
                Err(said) => problem = said,
            }
        }
        Err(problem)
    }

    /// A new, empty place.
    pub async fn place(&self) -> Place {
        let name = format!("nightly_test_{}", Uuid::now_v7().simple());
        let client = connect(&self.uri).await.expect("the server answered before");
        let what = if self.schemas { "SCHEMA" } else { "DATABASE" };
        client.batch_execute(&format!("CREATE {what} {name}")).await.expect("to make a place for a test");
        let own =
            if self.schemas { with_search_path(&self.uri, &name) } else { with_database(&self.uri, &name) };
        let uri = with_parameter(&own, &format!("application_name={name}"));
        Place { uri, name }
    }

    /// The address of one of its databases.
    pub fn database(&self, name: &str) -> String {
        with_database(&self.uri, name)
    }

    /// The folder of a private server: its log is `server.log`, its data are in `data`.
    pub fn folder(&self) -> Option<&Path> {
        if let Origin::Local(server, _) = &self.origin { Some(&server.folder) } else { None }
    }

    /// The port of a private server on 127.0.0.1.
    pub fn port(&self) -> Option<&str> {
        if let Origin::Local(_, port) = &self.origin { Some(port) } else { None }
    }

    /// A connection to its maintenance database.
    pub async fn client(&self) -> Client {
        connect(&self.uri).await.expect("the server answered before")
    }
}

impl Place {
    /// The address that a ledger is opened with.
    pub fn address(&self) -> PostgresAddress {
        PostgresAddress::parse(&SecretString::from(self.uri.clone())).expect("an address made here")
    }

    /// A connection beside the ledger's.
    pub async fn client(&self) -> Client {
        connect(&self.uri).await.expect("the server answered before")
    }
}

/// Connects without TLS, and keeps the connection going on the caller's runtime.
pub async fn connect(uri: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(uri, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Waits until it answers; `ended` tells what it said, once there is nothing to wait for any more.
async fn answering(uri: &str, mut ended: impl FnMut() -> Option<String>) -> Result<(), String> {
    let gives_up = tokio::time::Instant::now() + PATIENCE;
    loop {
        let Err(error) = connect(uri).await else { return Ok(()) };
        let said = ended();
        if said.is_some() || tokio::time::Instant::now() > gives_up {
            return Err(format!("the server does not come up: {error}; {}", said.unwrap_or_default()));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn logged(folder: &Path) -> String {
    let log = |name| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    format!("{}{}", log("initdb.log"), log("server.log"))
}

fn programs() -> Option<PathBuf> {
    folder_of(&["initdb", "postgres"], &debian_folders())
}

/// Where Debian keeps them, the newest version first.
fn debian_folders() -> Vec<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = versions.map(|entry| entry.path()).collect();
    let number =
        |path: &PathBuf| path.file_name().and_then(OsStr::to_str).and_then(|name| name.parse::<u32>().ok());
    versions.sort_by_key(number);
    versions.into_iter().rev().map(|version| version.join("bin")).collect()
}

/// Version 7 names tell when a place was made.
async fn remove_old(client: &Client, schemas: bool) -> Result<(), tokio_postgres::Error> {
    let (list, what) = if schemas {
        ("SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'nightly_test_%'", "SCHEMA")
    } else {
        ("SELECT datname::text FROM pg_database WHERE datname LIKE 'nightly_test_%'", "DATABASE")
    };
    let before = (Clock::system().now() - KEPT).as_millisecond();
    for row in client.query_typed(list, &[]).await? {
        let name: String = row.get(0);
        if made_at(&name).is_some_and(|at| at.as_millisecond() < before) {
            let cascade = if schemas { "CASCADE" } else { "" };
            client.batch_execute(&format!("DROP {what} IF EXISTS {name} {cascade}")).await?;
        }
    }
    Ok(())
}

fn made_at(name: &str) -> Option<Timestamp> {
    let id = Uuid::parse_str(name.strip_prefix("nightly_test_")?).ok()?;
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    Timestamp::new(seconds.try_into().ok()?, nanos.try_into().ok()?).ok()
}

fn with_search_path(uri: &str, schema: &str) -> String {
    with_parameter(uri, &format!("options=-csearch_path%3D{schema}"))
}

fn with_parameter(uri: &str, parameter: &str) -> String {
    let separator = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{separator}{parameter}")
}

fn with_database(uri: &str, database: &str) -> String {
    let (base, query) =
        uri.split_once('?').map_or((uri, String::new()), |(base, query)| (base, format!("?{query}")));
    let (scheme, rest) = base.split_once("://").unwrap_or(("postgres", base));
    let authority = rest.split('/').next().unwrap_or(rest);
    format!("{scheme}://{authority}/{database}{query}")
}
