//! `doctor` of `producer`: Postgres and RabbitMQ as they can be set up wrongly, each found by name, and nothing made in
//! either.

use simulators::{DemoNight, NightOptions};
use tests::night::until;
use tests::process::{Cluster, DATE, Diagnosis, Site};
use tests::services::{Place, PostgresServer, Vhost};

const PASSWORD: &str = "hunter2-hunter2-hunter2";

/// A cluster whose vhost and place the test can reach behind its back.
struct Ward {
    cluster: Cluster,
    vhost: Vhost,
    place: Place,
}

impl Ward {
    async fn new() -> Self {
        let night = DemoNight::build(7, DATE, &NightOptions::sized(60, 30)).expect("the parts fit together");
        let (place, vhost) = (PostgresServer::get().await.place().await, Vhost::new().await);
        let cluster = Cluster::on(Site::world_of(&night), place.uri.clone(), vhost.url().to_owned()).await;
        Self { cluster, vhost, place }
    }

    async fn diagnose(&self) -> Diagnosis {
        let finished = self.cluster.produce(&["doctor", "--output", "json"]).await;
        assert!(!(finished.stdout.clone() + &finished.stderr).contains(PASSWORD), "{}", finished.stdout);
        Diagnosis::of(&finished)
    }

    async fn expect_wrong(&mut self, variable: &str, value: &str, check: &str, says: &[&str]) {
        let usual = self.cluster.setting(variable);
        self.cluster.site_mut().assign(variable, Some(value.to_owned()).filter(|value| !value.is_empty()));
        self.diagnose().await.expect_wrong(&format!("another {variable}"), check, says);
        self.cluster.site_mut().assign(variable, usual);
    }

    async fn tables(&self) -> i64 {
        let client = self.place.client().await;
        let asked = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()";
        client.query_one(asked, &[]).await.expect("a count").get(0)
    }
}

/// The same URI with something else for what is between two marks.
fn with(uri: &str, from: &str, to: &str) -> String {
    assert!(uri.contains(from), "{from} in an address for tests");
    uri.replacen(from, to, 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_set_up_well_is_called_well_before_its_first_start_and_after_a_night() {
    let mut ward = Ward::new().await;
    let before = ward.diagnose().await;
    before.expect_well();
    for check in ["database.tables", "queue.arguments", "fhir.update", "sheet.header", "DATA_KEY"] {
        assert!(before.those("ok").contains(&check), "{check}: {before:?}");
    }
    assert_eq!(ward.tables().await, 0, "no table is made");
    assert!(ward.vhost.management().queues(ward.vhost.name()).is_empty(), "no queue is made");

    let worker = ward.cluster.worker();
    ward.cluster.produce(&["--date", DATE, "--output", "json"]).await;
    let depths = ward.cluster.depths().await;
    let after = ward.diagnose().await;
    after.expect_well();
    assert!(
        after.lines.iter().any(|line| line.0 == "queue.arguments" && line.2.contains("as we make them")),
        "{after:?}"
    );
    assert_eq!(
        format!("{:?}", ward.cluster.depths().await),
        format!("{depths:?}"),
        "nothing is published or taken"
    );
    worker.kill().await;

    ward.cluster.site_mut().unset("FHIR_URL");
    let without = ward.diagnose().await;
    without.expect_well();
    assert!(without.those("skipped").contains(&"fhir"), "the producer alone needs no FHIR server");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_postgres_is_found_by_name() {
    let mut ward = Ward::new().await;
    let uri = ward.place.uri.clone();
    let role = format!("{}_other", ward.place.name);
    ward.expect_wrong("DATA_KEY", "", "DATA_KEY", &["not set", "every process"]).await;
    ward.expect_wrong("DATABASE_URL", "", "DATABASE_URL", &["postgres://"]).await;
    ward.expect_wrong("DATABASE_URL", "sqlite:x.db", "DATABASE_URL", &["Postgres"]).await;
    let abroad = format!("postgres://night:{PASSWORD}@db.example.org/night");
    ward.expect_wrong("DATABASE_URL", &abroad, "DATABASE_URL", &["password", "file:"]).await;
    let nobody = "postgres://tests@127.0.0.1:9/postgres";
    ward.expect_wrong("DATABASE_URL", nobody, "database.reach", &["host, port and sslmode"]).await;
    let unknown = with(&uri, "://", &format!("://{role}:x@").replace(":x@", "@"));
    let unknown = unknown.replacen("@tests@", "@", 1);
    ward.expect_wrong("DATABASE_URL", &unknown, "database.login", &["DATABASE_URL"]).await;
    let absent = with(&uri, "/postgres?", "/not_there?");
    ward.expect_wrong("DATABASE_URL", &absent, "database.name", &["createdb"]).await;
    let schema = with(&uri, &format!("search_path%3D{}", ward.place.name), "search_path%3Dnot_there");
    ward.expect_wrong("DATABASE_URL", &schema, "database.schema", &["search_path"]).await;

    // A role that may look, and no more.
    let client = ward.place.client().await;
    let name = ward.place.name.clone();
    let make = format!("CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {name} TO {role}");
    client.batch_execute(&make).await.expect("a role");
    ward.expect_wrong("DATABASE_URL", &unknown, "database.rights", &["GRANT CREATE"]).await;
    let worker = ward.cluster.worker();
    until("the tables are there", async || ward.tables().await, |tables| *tables > 10).await;
    worker.kill().await;
    let grant = format!("GRANT SELECT ON ALL TABLES IN SCHEMA {name} TO {role}");
    client.batch_execute(&grant).await.expect("a grant");
    ward.expect_wrong("DATABASE_URL", &unknown, "database.rights", &["intent", "GRANT SELECT, INSERT"]).await;
    let grant = format!("GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO {role}");
    client.batch_execute(&grant).await.expect("a grant");
    for (setting, says) in
        [("default_transaction_read_only = on", "primary"), ("synchronous_commit = off", "crash")]
    {
        client.batch_execute(&format!("ALTER ROLE {role} SET {setting}")).await.expect("a setting");
        ward.expect_wrong("DATABASE_URL", &unknown, "database.writable", &[says]).await;
        client.batch_execute(&format!("ALTER ROLE {role} RESET ALL")).await.expect("a setting");
    }
    ward.cluster.set("DATABASE_URL", unknown);
    ward.diagnose().await.expect_well();
    let newer = "INSERT INTO refinery_schema_history SELECT 999, 'contract_after_998', applied_on, '1' FROM \
                 refinery_schema_history LIMIT 1";
    client.batch_execute(newer).await.expect("a note of another version");
    ward.diagnose().await.expect_wrong("tables of a newer program", "database.tables", &["newer program"]);
    client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.expect("a role dropped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_rabbitmq_is_found_by_name() {
    let mut ward = Ward::new().await;
    let url = ward.vhost.url().to_owned();
    let (management, vhost) = (ward.vhost.management().clone(), ward.vhost.name().to_owned());
    let host = ward.vhost.address();
    ward.expect_wrong("AMQP_URL", "", "AMQP_URL", &["amqps://"]).await;
    ward.expect_wrong("AMQP_URL", "http://localhost", "AMQP_URL", &["amqp://"]).await;
    ward.expect_wrong("AMQP_URL", "amqp://127.0.0.1:9/x", "queue.reach", &["AMQP_URL"]).await;
    // A program that speaks, and no AMQP.
    let other = ward.cluster.simulators.fhir_url().split('/').nth(2).expect("an address").to_owned();
    ward.expect_wrong("AMQP_URL", &format!("amqp://{other}/x"), "queue.reach", &["no RabbitMQ", "5672"])
        .await;
    let wrong = format!("amqp://night:{PASSWORD}@{host}/{vhost}");
    ward.expect_wrong("AMQP_URL", &wrong, "queue.login", &["password is refused"]).await;
    ward.expect_wrong("AMQP_URL", &with(&url, &vhost, "not-there"), "queue.vhost", &["vhost"]).await;
    ward.expect_wrong("AMQP_CERT_FILE", "/x.pem", "AMQP_KEY_FILE", &["go together"]).await;

    let user = format!("{vhost}-user");
    let as_user = format!("amqp://{user}:{PASSWORD}@{host}/{vhost}");
    for (rights, says) in [
        ([".*", ".*", "^$"], "may not read"),
        ([".*", "^$", ".*"], "may not write"),
        (["^other.*", ".*", ".*"], "may not configure"),
    ] {
        management.make_user(&vhost, &user, PASSWORD, rights);
        let usual = ward.cluster.setting("AMQP_URL");
        ward.cluster.set("AMQP_URL", as_user.clone());
        let diagnosis = ward.diagnose().await;
        assert_eq!(diagnosis.those("wrong"), ["queue.permissions"; 2], "nights and dry runs: {diagnosis:?}");
        assert!(diagnosis.lines.iter().any(|line| line.2.contains(says)), "{says}: {diagnosis:?}");
        ward.cluster.site_mut().assign("AMQP_URL", usual);
    }
    management.remove_user(&user);
    management.make_queue(&vhost, "nightly-whatsapp-sync.work.v1");
    ward.diagnose().await.expect_wrong(
        "a queue that somebody made by hand",
        "queue.arguments",
        &["nightly-whatsapp-sync.work.v1", "delete"],
    );
    assert_eq!(management.queues(&vhost), ["nightly-whatsapp-sync.work.v1"], "none is made");
}
