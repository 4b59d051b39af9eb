//! The pages themselves, asked for over HTTP, with the same rows behind them.

use std::sync::Arc;

use async_trait::async_trait;
use dashboard::{Dashboard, Deed, Hands, Item, Refused, Serving};
use shared::data_key::DataKeys;
use shared::ledger::{Act, Ledger, RunId};
use shared::settings::Settings;

use super::{JOB, Measured, say};

/// Nothing is pressed here.
struct Idle;

#[async_trait]
impl Hands for Idle {
    async fn note(&self, _: Act) -> Result<(), Refused> {
        Err(Refused::Failed("nothing is noted here".into()))
    }

    async fn begin(&self, _: Deed, _: String) -> Result<(), Refused> {
        Err(Refused::Failed("nothing is begun here".into()))
    }

    fn begun(&self) -> Vec<Item> {
        Vec::new()
    }
}

async fn serve<L: Ledger + 'static>(ledger: &Arc<L>) -> Serving {
    let read = |name: &str| match name {
        "JOB_NAME" => Some(JOB.to_owned()),
        "DASHBOARD_ADDR" => Some("127.0.0.1:0".to_owned()),
        _ => None,
    };
    let settings = Settings::read(&read).expect("usable settings");
    let keys = Arc::new(DataKeys::parse(&DataKeys::generate()).expect("a key just made"));
    let dashboard = Dashboard::new(ledger.clone(), Arc::new(Idle), keys, &settings, None);
    Serving::on(dashboard).await.expect("a port")
}

async fn time(serving: &Serving, pages: &[&str], measured: &mut Measured) {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    for page in pages {
        let url = format!("http://{}{page}", serving.address());
        let shown = page.split('/').map(|part| if part.len() == 36 { "RUN" } else { part });
        let shown = shown.collect::<Vec<_>>().join("/");
        measured
            .time(&shown, || async {
                let answer = client.get(&url).send().await.expect("an answer");
                assert_eq!(answer.status().as_u16(), 200, "{page}");
                answer.text().await.expect("a page");
                Ok(())
            })
            .await;
    }
}

/// The pages that tell how far a replay is.
pub async fn measure_replay<L: Ledger + 'static>(ledger: &Arc<L>, measured: &mut Measured) {
    time(&serve(ledger).await, &["/", "/actions", "/dead-letters"], measured).await;
}

pub async fn measure<L: Ledger + 'static>(ledger: &Arc<L>, run: RunId, rows: u32, measured: &mut Measured) {
    let serving = serve(ledger).await;
    let deep = rows / 10 * 9;
    let pages = [
        "/".to_owned(),
        "/runs".to_owned(),
        format!("/runs/{run}"),
        format!("/runs/{run}/rows"),
        format!("/runs/{run}/rows?after={deep}"),
        format!("/runs/{run}/rows?outcome=updated&before={deep}"),
        format!("/runs/{run}/rows?outcome=dead_lettered"),
        format!("/runs/{run}/rows?reason=poison_message"),
        format!("/runs/{run}/rows?warning=nik_unlikely_province"),
        format!("/runs/{run}/rows?unfinished=1"),
        format!("/runs/{run}/rows?row={deep}"),
        format!("/runs/{run}/rows/{}", rows / 100 * 40 + 3),
        "/dead-letters".to_owned(),
        "/dead-letters/patient_gone".to_owned(),
        "/actions".to_owned(),
        "/acts".to_owned(),
        "/find".to_owned(),
    ];
    say(format_args!("  pages"));
    let pages: Vec<&str> = pages.iter().map(String::as_str).collect();
    time(&serving, &pages, measured).await;
}
