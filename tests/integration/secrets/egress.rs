//! `CA_FILE`, `HTTPS_PROXY` and `NO_PROXY`, for everything that is asked by https: the sheet and its tokens, the FHIR server,
//! webhooks, secrets managers.

use std::collections::BTreeMap;

use serde_json::json;
use simulators::{DemoNight, SimulatorsConfig, Webhook};
use tests::managers::{Bao, Egress, Google, Moto, REGION};
use tests::process::{API_KEY, DATE, Site, check_night, mixed};

/// The servers outside, each on a port of loopback.
struct World {
    site: Site,
    sheets: String,
    bao: Bao,
    google: Google,
    moto: Moto,
    webhook: Webhook,
}

impl World {
    /// Around this night; `sheets` is what the sheet's server calls itself, if it is not by its port.
    async fn of(night: &DemoNight, sheets: Option<&str>) -> Self {
        let port = {
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
            listener.local_addr().expect("it is bound")
        };
        let config = SimulatorsConfig {
            sheets_addr: port,
            public_sheets_url: sheets.map(str::to_owned),
            ..Site::world_of(night)
        };
        Self {
            site: Site::with(config).await,
            sheets: format!("http://{port}"),
            bao: Bao::start().await,
            google: Google::start().await,
            moto: Moto::start().await,
            webhook: Webhook::start().await.expect("loopback has ports"),
        }
    }

    /// By name, where each is reached in clear.
    fn servers(&self) -> BTreeMap<&'static str, String> {
        let simulators = &self.site.simulators;
        BTreeMap::from([
            ("sheets.test", self.sheets.clone()),
            ("fhir.test", simulators.fhir_url().to_owned()),
            ("hooks.test", self.webhook.url().to_owned()),
            ("vault.test", self.bao.url().to_owned()),
            ("gcp.test", self.google.url().to_owned()),
            ("aws.test", self.moto.url().to_owned()),
        ])
    }

    /// Sends the programs to these addresses instead.
    async fn lead(&mut self, to: &BTreeMap<&str, String>) {
        let version = "projects/a-project/secrets/sheets/versions/latest";
        self.google.keep(version, &self.site.simulators.service_account_json());
        self.moto.keep("nightly/fhir", API_KEY).await;
        self.bao.keep("apps/hooks", json!({ "url": to["hooks.test"] })).await;
        let site = &mut self.site;
        let token = site.file("vault-token", self.bao.token("1h").await);
        let aws = site.file("aws-key", "test");
        for (variable, value) in [
            ("SHEETS_URL", to["sheets.test"].clone()),
            ("GOOGLE_CREDENTIALS", format!("gcp-sm://{version}")),
            ("GCP_SECRETS_URL", to["gcp.test"].clone()),
            ("GCE_METADATA_HOST", self.google.host().to_owned()),
            ("FHIR_URL", to["fhir.test"].clone()),
            ("FHIR_API_KEY", format!("aws-sm://{REGION}/nightly/fhir")),
            ("AWS_ENDPOINT_URL", to["aws.test"].clone()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", format!("file:{}", aws.display())),
            ("ALERT_WEBHOOK_URL", "vault://secret/apps/hooks#url".to_owned()),
            ("VAULT_ADDR", to["vault.test"].clone()),
            ("VAULT_TOKEN", format!("file:{}", token.display())),
        ] {
            site.set(variable, value);
        }
    }

    fn trust(&mut self, egress: &Egress) {
        let root = self.site.file("ca.pem", egress.root());
        self.site.set("CA_FILE", root.display().to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_goes_out_by_the_proxy_alone_and_trusts_a_private_ca() {
    let night = mixed(71, 60);
    let mut world = World::of(&night, Some("https://sheets.test")).await;
    let mut egress = Egress::start().await;
    let mut to = BTreeMap::new();
    for (name, url) in world.servers() {
        to.insert(name, egress.host(name, &url).await);
    }
    world.lead(&to).await;
    world.site.set("HTTPS_PROXY", egress.proxy());
    // Of hosts that are named elsewhere nothing changes.
    world.site.set("NO_PROXY", "localhost,.example.org");

    let refused = world.site.run(&["--date", DATE]).await.expect(2);
    for reference in ["vault://secret/apps/hooks#url", "gcp-sm://", "aws-sm://"] {
        assert!(refused.stderr.contains(reference), "without the CA: {}", refused.stderr);
    }
    assert!(!refused.stderr.contains("a-proxy-password"));
    world.trust(&egress);
    let finished = world.site.night().await.expect(3);
    check_night(&finished.object(), night.expected());
    assert_eq!(world.webhook.taken().len(), 1);
    let asked = egress.asked();
    assert_eq!(asked.len(), 6);
    // Names that end in .test are nowhere (RFC 6761): no way leads around the proxy.
    assert!(asked.values().all(|connections| *connections > 0), "{asked:?}");
    assert!(!finished.stderr.contains("a-proxy-password"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_proxy_names_is_reached_without_it_and_the_rest_by_it() {
    let night = mixed(72, 60);
    let mut world = World::of(&night, Some("https://sheets.test")).await;
    let mut egress = Egress::start().await;
    let mut to = BTreeMap::new();
    for (name, url) in world.servers() {
        // Half of them; the others' names are asked for too, by whoever does not heed NO_PROXY.
        let around = matches!(name, "fhir.test" | "vault.test" | "gcp.test");
        let https = if around { egress.local(&url).await } else { egress.host(name, &url).await };
        to.insert(name, https);
    }
    world.lead(&to).await;
    world.trust(&egress);
    world.site.set("HTTPS_PROXY", egress.proxy());
    world.site.set("NO_PROXY", "localhost");
    check_night(&world.site.night().await.expect(3).object(), night.expected());
    let asked = egress.asked();
    assert_eq!(
        asked.keys().map(String::as_str).collect::<Vec<_>>(),
        ["aws.test", "hooks.test", "sheets.test"]
    );
    assert!(asked.values().all(|connections| *connections > 0), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_away_is_not_gone_around() {
    let night = mixed(73, 60);
    let mut world = World::of(&night, None).await;
    let mut egress = Egress::start().await;
    let mut to = BTreeMap::new();
    for (name, url) in world.servers() {
        to.insert(name, egress.local(&url).await);
    }
    world.lead(&to).await;
    world.trust(&egress);
    world.site.set("HTTPS_PROXY", "http://127.0.0.1:9");
    let refused = world.site.run(&["--date", DATE]).await.expect(2);
    for reference in ["vault://secret/apps/hooks#url", "gcp-sm://", "aws-sm://"] {
        assert!(refused.stderr.contains(reference), "{}", refused.stderr);
    }
    world.site.set("NO_PROXY", "localhost");
    check_night(&world.site.night().await.expect(3).object(), night.expected());
}
