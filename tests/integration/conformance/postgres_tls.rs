//! `sslmode` as libpq means it, towards servers with TLS, without, and with rules of their own.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use secrecy::SecretString;
use shared::ledger::LedgerView as _;
use shared::ledger::postgres::{BadAddress, PostgresAddress, PostgresLedger, PostgresTerms};
use tempfile::TempDir;
use tests::services::PostgresServer;
use tokio::time::Instant;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// Certificates of one authority.
struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority for tests");
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("ca.crt"), issuer.pem()).expect("to write");
        Self { folder, issuer }
    }

    /// Writes `FILE.crt` and `FILE.key`.
    fn certify(&self, file: &str, common_name: &str, names: &[&str]) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        std::fs::write(self.folder.path().join(format!("{file}.crt")), certificate.pem()).expect("to write");
        std::fs::write(self.folder.path().join(format!("{file}.key")), key.serialize_pem())
            .expect("to write");
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn roots(&self) -> String {
        self.path("ca.crt").display().to_string().replace('/', "%2F")
    }
}

/// How a connection came to be: with TLS, without, or not at all.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Encrypted,
    Plain,
    Refused,
}

async fn comes(server: &PostgresServer, host: &str, parameters: &str) -> Came {
    let name = format!("tls_{}", Uuid::now_v7().simple());
    let port = server.port().expect("a private server");
    let uri = format!("postgres://tests@{host}:{port}/postgres?application_name={name}&{parameters}");
    let Ok(address) = PostgresAddress::parse(&SecretString::from(uri)) else { return Came::Refused };
    if PostgresLedger::connect(&address, PostgresTerms::default()).await.is_err() {
        return Came::Refused;
    }
    let ledger = PostgresLedger::look(&address, PostgresTerms::default()).expect("nothing is connected yet");
    ledger.gate().await.expect("an answer");
    let sql =
        "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = $1";
    let beside = server.client().await;
    let encrypted: bool =
        beside.query_typed_one(sql, &[(&name, Type::TEXT)]).await.expect("an answer").get(0);
    if encrypted { Came::Encrypted } else { Came::Plain }
}

#[tokio::test]
async fn a_server_with_tls_is_reached_by_each_mode_as_it_asks() {
    let (ours, other) = (Authority::new(), Authority::new());
    ours.certify("server", "localhost", &["localhost"]);
    ours.certify("client", "tests", &[]);
    let server = PostgresServer::with_tls(ours.folder.path()).await;
    let (roots, foreign) =
        (format!("sslrootcert={}", ours.roots()), format!("sslrootcert={}", other.roots()));
    for (host, parameters, expected) in [
        ("localhost", String::new(), Came::Encrypted),
        ("localhost", "sslmode=disable".to_owned(), Came::Plain),
        ("localhost", "sslmode=prefer".to_owned(), Came::Encrypted),
        ("localhost", "sslmode=require".to_owned(), Came::Encrypted),
        ("127.0.0.1", "sslmode=require".to_owned(), Came::Encrypted),
        ("localhost", format!("sslmode=require&{roots}"), Came::Encrypted),
        ("localhost", format!("sslmode=require&{foreign}"), Came::Refused),
        ("localhost", format!("sslmode=verify-ca&{roots}"), Came::Encrypted),
        ("127.0.0.1", format!("sslmode=verify-ca&{roots}"), Came::Encrypted),
        ("localhost", format!("sslmode=verify-ca&{foreign}"), Came::Refused),
        ("localhost", "sslmode=verify-ca".to_owned(), Came::Refused),
        ("localhost", format!("sslmode=verify-full&{roots}"), Came::Encrypted),
        ("127.0.0.1", format!("sslmode=verify-full&{roots}"), Came::Refused),
        ("localhost", format!("sslmode=verify-full&{foreign}"), Came::Refused),
        ("localhost", "sslmode=verify-full".to_owned(), Came::Refused),
        ("localhost", "sslrootcert=system".to_owned(), Came::Refused),
    ] {
        assert_eq!(comes(&server, host, &parameters).await, expected, "{host} {parameters}");
    }

    // A server that wants a certificate of its clients.
    rules(&server, "hostssl all all 127.0.0.1/32 cert\nhostssl all all ::1/128 cert").await;
    let identity =
        format!("sslcert={}&sslkey={}", ours.path("client.crt").display(), ours.path("client.key").display());
    let full = format!("sslmode=verify-full&{roots}");
    assert_eq!(comes(&server, "localhost", &format!("{full}&{identity}")).await, Came::Encrypted);
    assert_eq!(comes(&server, "localhost", &full).await, Came::Refused);

    // One that wants no TLS although it could: `prefer` comes without, as libpq's does.
    rules(&server, "hostnossl all all 127.0.0.1/32 trust\nhostnossl all all ::1/128 trust").await;
    assert_eq!(comes(&server, "localhost", "sslmode=prefer").await, Came::Plain);
    assert_eq!(comes(&server, "localhost", "sslmode=require").await, Came::Refused);
}

/// Puts these rules in the place of the server's for TCP.
async fn rules(server: &PostgresServer, rules: &str) {
    let folder = server.folder().expect("a private server");
    std::fs::write(folder.join("data/pg_hba.conf"), format!("local all all trust\n{rules}\n"))
        .expect("to write");
    let loaded = async || -> SystemTime {
        let sql = "SELECT pg_conf_load_time()";
        server.client().await.query_typed_one(sql, &[]).await.expect("an answer").get(0)
    };
    let before = loaded().await;
    server.client().await.batch_execute("SELECT pg_reload_conf()").await.expect("to reload");
    // The reload is a signal: a new connection shows whether it arrived.
    let gives_up = Instant::now() + Duration::from_secs(30);
    while loaded().await == before {
        assert!(Instant::now() < gives_up, "the rules are not read");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_server_without_tls_is_reached_only_where_that_may_be() {
    let server = &PostgresServer::own().await;
    assert_eq!(comes(server, "127.0.0.1", "sslmode=prefer").await, Came::Plain);
    assert_eq!(comes(server, "127.0.0.1", "sslmode=disable").await, Came::Plain);
    assert_eq!(comes(server, "127.0.0.1", "sslmode=require").await, Came::Refused);
    assert_eq!(comes(server, "127.0.0.1", "sslmode=verify-full").await, Came::Refused);
}

fn parse(uri: &str) -> Result<PostgresAddress, BadAddress> {
    PostgresAddress::parse(&SecretString::from(uri.to_owned()))
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_connected() {
    let base = "postgres://ops:hunter2@db.example/night";
    let missing = Path::new("/nowhere/ca.crt").display();
    for (uri, expected) in [
        ("sqlite:night.db".to_owned(), "postgres://"),
        (format!("{base}?sslmode=allow"), "verify-full"),
        (format!("{base}?sslmode=verify"), "verify-full"),
        (format!("{base}?sslmode=require&sslrootcert=system"), "sslmode=verify-full"),
        (format!("{base}?sslcert=/tmp/x"), "sslkey"),
        (format!("{base}?sslmode=verify-ca&sslrootcert={missing}"), "/nowhere/ca.crt"),
        (format!("{base}?sslmood=require"), "cannot be read"),
    ] {
        let error = parse(&uri).expect_err(&uri);
        let said = shared::error_chain(&error);
        assert!(said.contains(expected), "{said}");
        assert!(!said.contains("hunter2") && !format!("{error:?}").contains("hunter2"), "{said}");
    }
    let address = parse(&format!("{base}?sslmode=require")).expect("nothing is wrong with it");
    assert!(!format!("{address:?}").contains("hunter2"));
}

#[test]
fn a_password_written_down_may_stay_on_this_machine_only() {
    let abroad = |uri: &str| parse(uri).expect("a URI").sends_written_password_abroad();
    for local in ["localhost", "127.0.0.1", "[::1]:5433", "%2Frun%2Fpostgresql"] {
        assert!(!abroad(&format!("postgres://ops:secret@{local}/night")), "{local}");
    }
    for other in ["db.example", "10.0.0.7", "localhost,db.example"] {
        assert!(abroad(&format!("postgres://ops:secret@{other}/night")), "{other}");
        assert!(!abroad(&format!("postgres://ops@{other}/night")), "{other}");
    }
    assert!(abroad("postgres://ops@db.example/night?password=secret"));
}
