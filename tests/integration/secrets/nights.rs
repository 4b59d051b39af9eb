//! Whole nights, and starts that are refused, with every secret in a secrets manager.

use serde_json::{Value, json};
use simulators::{DemoNight, FaultPlan, Latency, NightOptions, Webhook};
use tests::managers::{Bao, Google, Moto, REGION};
use tests::night::until;
use tests::process::{API_KEY, Cluster, DATE, Sign, Site, check_night, mixed};

/// Puts a setting's secret into Vault, and gives the reference to it.
async fn keep(bao: &Bao, variable: &str, secret: &str) -> String {
    bao.keep(&format!("apps/{variable}"), json!({ "value": secret })).await;
    format!("vault://secret/apps/{variable}#value")
}

async fn use_vault(site: &mut Site, bao: &Bao) {
    let token = site.file("vault-token", bao.token("1h").await);
    site.set("VAULT_ADDR", bao.url());
    site.set("VAULT_TOKEN", format!("file:{}", token.display()));
}

fn data_key() -> String {
    use secrecy::ExposeSecret as _;
    shared::data_key::DataKeys::generate().expose_secret().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_with_secrets_in_three_managers_ends_as_any_other() {
    let night = mixed(61, 60);
    let mut site = Site::of(&night).await;
    let (bao, google, moto) = (Bao::start().await, Google::start().await, Moto::start().await);
    let webhook = Webhook::start().await.expect("loopback has ports");
    use_vault(&mut site, &bao).await;
    site.set("GCP_SECRETS_URL", google.url());
    site.set("GCE_METADATA_HOST", google.host());
    let aws_key = site.file("aws-key", "test");
    site.set("AWS_ENDPOINT_URL", moto.url());
    site.set("AWS_ACCESS_KEY_ID", "test");
    site.set("AWS_SECRET_ACCESS_KEY", format!("file:{}", aws_key.display()));

    let version = "projects/a-project/secrets/sheets/versions/latest";
    google.keep(version, &site.simulators.service_account_json());
    site.set("GOOGLE_CREDENTIALS", format!("gcp-sm://{version}"));
    moto.keep("nightly/data-key", &data_key()).await;
    site.set("DATA_KEY", format!("aws-sm://{REGION}/nightly/data-key"));
    for (variable, secret) in [
        ("FHIR_API_KEY", API_KEY.to_owned()),
        ("DATABASE_URL", format!("sqlite:{}", site.work().join("kept-elsewhere.db").display())),
        ("DASHBOARD_TOKEN", "a-dashboard-token".to_owned()),
        ("ALERT_WEBHOOK_URL", webhook.url().to_owned()),
    ] {
        let reference = keep(&bao, variable, &secret).await;
        site.set(variable, reference);
    }
    let finished = site.night().await.expect(3);
    check_night(&finished.object(), night.expected());
    assert_eq!(webhook.taken().len(), 1);
    let files = site.files();
    assert!(files.iter().any(|file| file == "kept-elsewhere.db"), "{files:?}");
    assert!(!files.iter().any(|file| file.ends_with(".key")), "no key was made: {files:?}");
    for secret in [API_KEY, "a-dashboard-token", webhook.url()] {
        assert!(!finished.stderr.contains(secret));
    }
    site.run(&["rows", DATE]).await.expect(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clusters_addresses_and_key_come_out_of_vault() {
    let night = mixed(62, 60);
    let mut cluster = Cluster::of(&night).await;
    let bao = Bao::start().await;
    use_vault(cluster.site_mut(), &bao).await;
    for variable in ["DATABASE_URL", "AMQP_URL", "DATA_KEY"] {
        let given = cluster.setting(variable).expect("a cluster has it");
        let secret = match given.strip_prefix("file:") {
            Some(path) => std::fs::read_to_string(path).expect("the key"),
            None => given,
        };
        let reference = keep(&bao, variable, &secret).await;
        cluster.set(variable, reference);
    }
    let _worker = cluster.worker();
    check_night(&cluster.start_produced_night().end().await.expect(3).object(), night.expected());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_without_its_secrets_is_refused_with_every_reference_named() {
    let night = mixed(63, 60);
    for reference in [
        "vault://secret/apps/absent#value",
        "gcp-sm://projects/a-project/secrets/absent/versions/latest",
        "aws-sm://ap-southeast-3/absent",
    ] {
        let mut site = Site::of(&night).await;
        let token = site.file("token", "a-token-that-opens-nothing");
        let nowhere = "http://127.0.0.1:9";
        for variable in ["VAULT_ADDR", "GCP_SECRETS_URL", "AWS_ENDPOINT_URL"] {
            site.set(variable, nowhere);
        }
        site.set("GCE_METADATA_HOST", "127.0.0.1:9");
        site.set("AWS_ACCESS_KEY_ID", "test");
        for variable in ["VAULT_TOKEN", "AWS_SECRET_ACCESS_KEY"] {
            site.set(variable, format!("file:{}", token.display()));
        }
        let together = [
            "FHIR_API_KEY",
            "GOOGLE_CREDENTIALS",
            "DATABASE_URL",
            "DATA_KEY",
            "DASHBOARD_TOKEN",
            "ALERT_WEBHOOK_URL",
        ];
        for variable in together {
            site.set(variable, reference);
        }
        let refused = site.run(&["--date", DATE]).await.expect(2);
        for variable in together {
            let line = refused.stderr.lines().find(|line| line.contains(variable));
            let line = line.unwrap_or_else(|| panic!("{variable} in {}", refused.stderr));
            assert!(line.contains(reference) && line.contains("cannot be reached"), "{line}");
        }
        assert!(!refused.stderr.contains("opens-nothing"));
        assert_eq!(site.files(), Vec::<String>::new(), "nothing was touched");

        for variable in ["DATABASE_URL", "AMQP_URL", "DATA_KEY"] {
            site.set(variable, reference);
        }
        let refused = site.spawn(site.program("producer", &["runs"])).end().await.expect(2);
        for variable in ["DATABASE_URL", "AMQP_URL", "DATA_KEY"] {
            assert!(refused.stderr.contains(&format!("{variable}: {reference}")), "{}", refused.stderr);
        }
    }
}

/// A night slow enough to turn a key in the middle of it.
async fn slow_night(people: usize) -> (Site, Bao) {
    let night = DemoNight::build(64, DATE, &NightOptions::all_need_write(people)).expect("a night");
    let mut site = Site::of(&night).await;
    let bao = Bao::start().await;
    use_vault(&mut site, &bao).await;
    let reference = keep(&bao, "FHIR_API_KEY", API_KEY).await;
    site.set("FHIR_API_KEY", reference);
    site.set("FHIR_MAX_CONCURRENCY", "8");
    site.set("SECRETS_TTL", "1h");
    let latency = Latency::fixed(60.0);
    site.simulators.set_faults(FaultPlan { latency, ..FaultPlan::default() });
    (site, bao)
}

async fn written(site: &Site, writes: u64) {
    until("writes", async || site.simulators.snapshot().writes, |seen| *seen >= writes).await;
}

fn refusals(site: &Site) -> u64 {
    let requests = site.simulators.snapshot().requests;
    requests.values().filter_map(|statuses| statuses.get("401")).sum()
}

fn all_updated(report: &Value, people: usize) {
    assert_eq!(report["outcomes"]["updated"], people, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_rotated_in_vault_in_the_middle_of_a_night_is_fetched_when_the_old_one_is_refused() {
    let (site, bao) = slow_night(120).await;
    let running = site.start_night();
    written(&site, 10).await;
    keep(&bao, "FHIR_API_KEY", "second-key").await;
    site.simulators.fhir().set_api_keys(["second-key".to_owned()]);
    let finished = running.end().await.expect(0);
    all_updated(&finished.object(), 120);
    assert!(refusals(&site) > 0);
    assert!(!finished.stderr.contains("second-key") && !finished.stderr.contains(API_KEY));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_hangup_a_rotated_key_is_in_use_before_the_old_one_is_refused() {
    let (site, bao) = slow_night(160).await;
    let mut running = site.start_night();
    written(&site, 10).await;
    keep(&bao, "FHIR_API_KEY", "second-key").await;
    site.simulators.fhir().set_api_keys([API_KEY.to_owned(), "second-key".to_owned()]);
    running.signal(Sign::HangUp);
    running.until_logged("had changed, going on with the new").await;
    // What went out before with the old key has its answer.
    let now = site.simulators.snapshot().writes;
    written(&site, now + 20).await;
    site.simulators.fhir().set_api_keys(["second-key".to_owned()]);
    all_updated(&running.end().await.expect(0).object(), 160);
    assert_eq!(refusals(&site), 0);
}
