//! What is pressed on this program's page: a command like any other, which takes the ledger's lock for as long as it
//! lasts.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dashboard::{Bench, Deed, Hands, Item, Refused, carry_out};
use producer::{ConfiguredSources, Tidings};
use shared::clock::Clock;
use shared::data_key::DataKeys;
use shared::error_chain;
use shared::ledger::sqlite::SqliteLedger;
use shared::ledger::{Act, Ledger, LedgerError};
use shared::settings::Settings;
use shared::signals::DRAIN;
use shared::webhook::Webhook;
use tokio_util::sync::CancellationToken;
use worker::Fhir;

use crate::composition::{Common, Tuning};

/// How long a press waits for another command to let the ledger go: somebody looks at the page meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);

/// See the module.
pub struct StandaloneHands {
    path: PathBuf,
    settings: Settings,
    keys: Arc<DataKeys>,
    clock: Clock,
    bench: Bench,
    stop: CancellationToken,
    abort: CancellationToken,
    /// The ledger of the command that this process carries out now: acts are noted through it.
    acting: Acting,
}

/// The ledger a command of this process acts on, while it does.
#[derive(Clone, Default)]
pub struct Acting(Arc<Mutex<Option<Arc<dyn Ledger>>>>);

impl Acting {
    /// Notes whose it is now.
    pub fn set(&self, ledger: Option<Arc<dyn Ledger>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = ledger;
    }

    fn get(&self) -> Option<Arc<dyn Ledger>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl StandaloneHands {
    /// On this database, until `stop`; what is in hand is dropped at `abort`.
    pub fn new(
        path: PathBuf,
        settings: Settings,
        keys: Arc<DataKeys>,
        acting: Acting,
        stop: CancellationToken,
        abort: CancellationToken,
    ) -> Self {
        Self { path, settings, keys, clock: Clock::system(), bench: Bench::default(), stop, abort, acting }
    }

    async fn ledger(&self) -> Result<SqliteLedger, Refused> {
        if self.acting.get().is_some() {
            return Err(Refused::Locked("a command of this very program, see Tonight".into()));
        }
        SqliteLedger::act(&self.path, self.clock.clone(), PATIENCE).await.map_err(|error| match error {
            LedgerError::InUse { .. } => Refused::Locked(error.to_string()),
            error => Refused::Failed(error_chain(&error)),
        })
    }
}

#[async_trait]
impl Hands for StandaloneHands {
    async fn note(&self, act: Act) -> Result<(), Refused> {
        let failed = |error: LedgerError| Refused::Failed(error_chain(&error));
        match self.acting.get() {
            Some(ledger) => ledger.note_act(act).await.map_err(failed),
            None => self.ledger().await?.note_act(act).await.map_err(failed),
        }
    }

    async fn begin(&self, deed: Deed, who: String) -> Result<(), Refused> {
        let failed = |error: shared::settings::BadSettings| Refused::Failed(error.to_string());
        let needed = matches!(deed, Deed::Rerun { .. });
        let sources = ConfiguredSources::prepare(&self.settings, None, needed).await.map_err(failed)?;
        let fhir = Fhir::prepare(&self.settings, &self.clock).await.map_err(failed)?;
        let webhook = Webhook::prepare(&self.settings).await.map_err(failed)?;
        let place = self.bench.take(deed.clone(), who.clone(), self.clock.now())?;
        let ledger = match self.ledger().await {
            Ok(ledger) => ledger,
            Err(refused) => {
                place.end(Err(refused.clone().into()));
                return Err(refused);
            }
        };
        let common = Common::new(ledger, self.keys.clone(), self.clock.clone(), Tuning::default());
        let mut producer = common.producer(&self.settings, Arc::new(sources));
        producer.who = who;
        let worker = common.worker(&self.settings, fhir);
        self.acting.set(Some(common.backing.ledger.clone()));
        let (acting, stop, abort) = (self.acting.clone(), self.stop.clone(), self.abort.child_token());
        tokio::spawn(async move {
            // The worker drains as soon as this process is told to stop, or the deed is done.
            let drain = stop.child_token();
            let command = async {
                let tidings = Tidings::of(&producer, webhook);
                let told = carry_out(&producer, deed, &stop).await;
                drain.cancel();
                tidings.end().await;
                told
            };
            let work = worker.run_at_most(drain.clone(), abort, DRAIN);
            let (told, ()) = tokio::join!(command, work);
            // The lock goes with the last that holds the ledger; only then is the next press welcome.
            acting.set(None);
            drop((producer, worker, common));
            place.end(told);
        });
        Ok(())
    }

    fn begun(&self) -> Vec<Item> {
        self.bench.items()
    }
}
