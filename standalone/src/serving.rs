//! The page of this program: beside a command, and alone with `--serve`.

use std::path::PathBuf;
use std::sync::Arc;

use dashboard::{Dashboard, Serving};
use shared::clock::Clock;
use shared::data_key::DataKeys;
use shared::ledger::LedgerView as _;
use shared::ledger::sqlite::SqliteLedger;
use shared::metrics::{Page, Served, Watched};
use shared::secrets::LiveSecret;
use shared::settings::{BadSettings, Settings};
use shared::signals::{Signal, Signals};
use shared::status::{Status, fail, refuse};
use standalone::composition::{Common, Tuning, data_keys, database_path};
use standalone::hands::{Acting, StandaloneHands};

/// Opens the page on a database that is there. It looks; what is pressed takes the lock as a command would.
pub async fn open(
    settings: &Settings,
    path: PathBuf,
    keys: Arc<DataKeys>,
    token: Option<LiveSecret>,
    acting: Acting,
    signals: &Signals,
) -> Result<Serving, BadSettings> {
    let ledger = SqliteLedger::look(&path, Clock::system())
        .map_err(|error| BadSettings::of("DATABASE_URL", shared::error_chain(&error)))?;
    let (stop, abort) = (signals.stop.clone(), signals.abort.clone());
    let hands = StandaloneHands::new(path, settings.clone(), keys.clone(), acting, stop, abort);
    Serving::on(Dashboard::new(Arc::new(ledger), Arc::new(hands), keys, settings, token)).await
}

/// Serves the page until it is stopped, and runs nothing by itself.
pub async fn alone(settings: &Settings) -> Status {
    let (path, token) = match (database_path(settings).await, Dashboard::token(settings).await) {
        (Ok(path), Ok(token)) => (path, token),
        (path, token) => return refuse(path.err().into_iter().chain(token.err())),
    };
    let clock = Clock::system();
    // A first start has no tables to look at yet; after an update they may be of the version before. Where another process
    // acts on the ledger, it has seen to that.
    let is_new = match SqliteLedger::act(&path, clock.clone(), std::time::Duration::ZERO).await {
        Ok(ledger) => match ledger.runs(&settings.job, None, 1).await {
            Ok(runs) => runs.is_empty(),
            Err(error) => return fail(&error),
        },
        Err(shared::ledger::LedgerError::InUse { .. }) => false,
        Err(error) => return fail(&error),
    };
    let keys = match data_keys(settings, &path, is_new).await {
        Ok(keys) => Arc::new(keys),
        Err(problem) => return refuse([problem]),
    };
    let signals = Signals::listen();
    let serving = match open(settings, path.clone(), keys.clone(), token, Acting::default(), &signals).await {
        Ok(serving) => serving,
        Err(problem) => return refuse([problem]),
    };
    let page = Arc::new(Page::default());
    if let Ok(ledger) = SqliteLedger::look(&path, clock.clone()) {
        let backing = Common::new(ledger, keys, clock, Tuning::default()).backing;
        page.watch(Watched {
            backing,
            job: settings.job.clone(),
            deadline: settings.run_deadline,
            part: None,
        });
    }
    let _served = Served::on(settings.metrics_addr, page).await;
    signals.stop.cancelled().await;
    drop(serving);
    Status::Interrupted(signals.first().unwrap_or(Signal::Terminate))
}
