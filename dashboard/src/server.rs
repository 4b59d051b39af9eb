//! The page's address, its routes, and what they share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use jiff::tz::TimeZone;
use producer::source::ColumnNames;
use shared::data_key::DataKeys;
use shared::error_chain;
use shared::ledger::{LedgerPages, LedgerSamples, LedgerView};
use shared::secrets::LiveSecret;
use shared::settings::{BadSettings, DashboardSettings, Settings};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::access::Access;
use crate::hands::Hands;
use crate::{headers, live, pages};

/// A ledger as the page sees it.
pub trait Seen: LedgerView + LedgerPages + LedgerSamples {}
impl<T: LedgerView + LedgerPages + LedgerSamples + ?Sized> Seen for T {}

/// What the pages are made from.
pub struct Dashboard {
    pub(crate) ledger: Arc<dyn Seen>,
    pub(crate) hands: Arc<dyn Hands>,
    pub(crate) keys: Arc<DataKeys>,
    pub(crate) job: String,
    pub(crate) zone: TimeZone,
    pub(crate) deadline: Duration,
    pub(crate) columns: ColumnNames,
    pub(crate) settings: DashboardSettings,
    pub(crate) access: Access,
}

impl Dashboard {
    /// Resolves the token. Listening beyond loopback without one is refused: whoever can reach the page would see
    /// it.
    pub async fn token(settings: &Settings) -> Result<Option<LiveSecret>, BadSettings> {
        let DashboardSettings { address, token, .. } = &settings.dashboard;
        let Some(reference) = token else {
            if address.ip().is_loopback() {
                return Ok(None);
            }
            return Err(BadSettings::of(
                "DASHBOARD_TOKEN",
                format!(
                    "not set, and DASHBOARD_ADDR ({address}) can be reached from other machines; set a reference such \
                     as file:/run/secrets/dashboard-token, or listen on 127.0.0.1"
                ),
            ));
        };
        let token = LiveSecret::resolve(reference, "DASHBOARD_TOKEN").await;
        token.map(Some).map_err(|error| BadSettings::of("DASHBOARD_TOKEN", error_chain(&error)))
    }

    /// Of what the program chose.
    pub fn new(
        ledger: Arc<dyn Seen>,
        hands: Arc<dyn Hands>,
        keys: Arc<DataKeys>,
        settings: &Settings,
        token: Option<LiveSecret>,
    ) -> Self {
        Self {
            ledger,
            hands,
            keys,
            job: settings.job.clone(),
            zone: settings.zone.clone(),
            deadline: settings.run_deadline,
            columns: producer::columns(settings),
            settings: settings.dashboard.clone(),
            access: Access::new(token),
        }
    }

    /// Whether whoever reaches the page may read it.
    pub(crate) fn is_open(&self) -> bool {
        self.settings.address.ip().is_loopback()
    }
}

/// Every page.
pub fn router(dashboard: Arc<Dashboard>) -> Router {
    Router::new()
        .route("/", get(pages::nights::show))
        .route("/live/{part}", get(live::part))
        .route("/runs", get(pages::nights::all))
        .route("/runs/{run}", get(pages::run::show))
        .route("/runs/{run}/rows", get(pages::rows::list))
        .route("/runs/{run}/rows.csv", get(pages::rows::csv))
        .route("/runs/{run}/rows/{row}", get(pages::row::show).post(pages::row::reveal))
        .route("/find", get(pages::rows::ask).post(pages::rows::find))
        .route("/dead-letters", get(pages::dead_letters::groups))
        .route("/dead-letters/{reason}", get(pages::dead_letters::list))
        .route("/dead-letters/preview", post(pages::dead_letters::preview))
        .route("/acts", get(pages::acts::list))
        .route("/actions", get(pages::actions::show))
        .route("/actions/resume", post(pages::actions::resume))
        .route("/actions/rerun", post(pages::actions::rerun))
        .route("/actions/replay", post(pages::actions::replay))
        .route("/login", get(pages::login::show).post(pages::login::enter))
        .route("/logout", post(pages::login::leave))
        .route("/language/{language}", get(pages::login::language))
        .route("/assets/style.css", get(pages::assets::style))
        .route("/assets/icon.svg", get(pages::assets::icon))
        .route("/assets/live.js", get(pages::assets::script))
        .fallback(pages::lost)
        .layer(from_fn(headers::add))
        .with_state(dashboard)
}

/// The page while it is served; until this is dropped.
pub struct Serving {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Serving {
    /// Listens on `DASHBOARD_ADDR`.
    pub async fn on(dashboard: Dashboard) -> Result<Self, BadSettings> {
        let wanted = dashboard.settings.address;
        let listener = TcpListener::bind(wanted).await;
        let listener = listener.map_err(|error| {
            BadSettings::of("DASHBOARD_ADDR", format!("{wanted} cannot be listened on: {error}"))
        })?;
        let address = listener.local_addr().unwrap_or(wanted);
        tracing::info!(%address, "serving the page: http://{address}/");
        let service = router(Arc::new(dashboard)).into_make_service_with_connect_info::<SocketAddr>();
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, service).await {
                tracing::error!(%error, "the page is not served any more");
            }
        });
        Ok(Self { address, task })
    }

    /// Where.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}
