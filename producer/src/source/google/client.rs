//! Calls to the Sheets API, each with a time-out and with further attempts where they may help.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use google_sheets4::Sheets;
use google_sheets4::api::{BatchGetValuesResponse, Scope, Spreadsheet};
use google_sheets4::common::Response;
use http::Uri;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rand::SeedableRng;
use rand::rngs::StdRng;
use secrecy::ExposeSecret;
use serde_json::Value;
use shared::retry::RetryPolicy;
use tokio::time;
use yup_oauth2::authenticator::Authenticator;
use yup_oauth2::{CustomHyperClientBuilder, ServiceAccountAuthenticator, ServiceAccountKey};

use super::super::error::{SourceError, TransientFault};
use super::GoogleConfig;
use super::connector::Connector;
use super::fault::{Fault, Identity, Witness};
use super::metered::{ANSWER_BYTES, Overflow};

/// Google's own address, as `google-sheets4` has it.
const GOOGLE: &str = "https://sheets.googleapis.com/";

/// The rows of one range: trailing empty cells and rows are left out, a blank row in the middle is `[]`.
pub(crate) type Values = Vec<Vec<Value>>;

/// A sheet of the spreadsheet, with its grid's size; most of the grid may be empty.
#[derive(Clone, Debug)]
pub(crate) struct Tab {
    pub title: String,
    pub rows: u32,
    pub columns: u32,
}

/// A connection to one spreadsheet.
pub(super) struct SheetsClient {
    hub: Sheets<Connector>,
    authenticator: Authenticator<Connector>,
    identity: Identity,
    overflow: Overflow,
    request_timeout: Duration,
    retry: RetryPolicy,
    quota_patience: Duration,
    jitter: StdRng,
}

/// What one call has used up.
#[derive(Default)]
struct Spent {
    attempts: u32,
    waits: u32,
    waited: Duration,
    token_renewed: bool,
}

impl SheetsClient {
    /// Reads the key and sets up the connections; nothing is sent.
    ///
    /// # Errors
    ///
    /// [`SourceError::Credentials`] for a key that cannot be used, [`SourceError::Setting`] for `SHEET_ID`,
    /// `SHEETS_URL`, `CA_FILE` and `HTTPS_PROXY`.
    pub async fn connect(config: &GoogleConfig) -> Result<Self, SourceError> {
        let base_url = base_url(config.base_url.as_deref())?;
        let spreadsheet_id = spreadsheet_id(&config.spreadsheet_id)?;
        let key = key(config.credentials.expose_secret())?;
        let identity = Identity { client_email: key.client_email.clone(), spreadsheet_id };
        let overflow = Overflow::default();
        let connector = config.egress.connector(overflow.clone())?;

        let tokens = Client::builder(TokioExecutor::new()).build(connector.clone());
        let tokens = CustomHyperClientBuilder::from(tokens);
        let authenticator =
            ServiceAccountAuthenticator::with_client(key, tokens).build().await.map_err(|_| {
                // The library's message may quote the key.
                SourceError::Credentials {
                    explanation: "its private_key is not an RSA key in PEM".to_owned(),
                }
            })?;
        let mut hub =
            Sheets::new(Client::builder(TokioExecutor::new()).build(connector), authenticator.clone());
        hub.base_url(base_url.clone());
        hub.root_url(base_url);
        hub.user_agent(concat!("nightly-whatsapp-sync/", env!("CARGO_PKG_VERSION")).to_owned());
        let jitter = config.jitter_seed.map_or_else(StdRng::from_os_rng, StdRng::seed_from_u64);
        Ok(Self {
            hub,
            authenticator,
            identity,
            overflow,
            request_timeout: config.request_timeout,
            retry: config.retry,
            quota_patience: config.quota_patience,
            jitter,
        })
    }

    /// The service account's address.
    pub fn client_email(&self) -> &str {
        &self.identity.client_email
    }

    /// The spreadsheet's sheets that have cells, in their order.
    pub async fn tabs(&mut self) -> Result<Vec<Tab>, SourceError> {
        let mut spent = Spent::default();
        loop {
            let mut witness = Witness::default();
            let call = self
                .hub
                .spreadsheets()
                .get(&self.identity.spreadsheet_id)
                .param("fields", "sheets.properties")
                .add_scope(Scope::SpreadsheetReadonly)
                .delegate(&mut witness)
                .doit();
            let answer = time::timeout(self.request_timeout, unharmed(call)).await;
            let tabs = self
                .outcome(answer, &witness)
                .and_then(|spreadsheet| tabs(spreadsheet).ok_or(NOT_THE_SERVICE));
            match tabs {
                Ok(tabs) => return Ok(tabs),
                Err(fault) => self.recover("spreadsheets.get", fault, &mut spent).await?,
            }
        }
    }

    /// The values of these ranges, in their order; none for a range that begins beyond the grid, as happens
    /// when rows are removed meanwhile.
    pub async fn values(&mut self, ranges: &[String]) -> Result<Vec<Values>, SourceError> {
        let mut spent = Spent::default();
        loop {
            let mut witness = Witness::default();
            // values_get is not an alternative: it leaves the sheet's name unencoded in the path.
            let mut call = self
                .hub
                .spreadsheets()
                .values_batch_get(&self.identity.spreadsheet_id)
                .major_dimension("ROWS")
                .value_render_option("UNFORMATTED_VALUE")
                .date_time_render_option("SERIAL_NUMBER")
                .param("fields", "valueRanges(range,values)")
                .add_scope(Scope::SpreadsheetReadonly)
                .delegate(&mut witness);
            for range in ranges {
                call = call.add_ranges(range);
            }
            let answer = time::timeout(self.request_timeout, unharmed(Box::pin(call.doit()))).await;
            let values = self.outcome(answer, &witness);
            match values.and_then(|values| values_of(values, ranges.len()).ok_or(NOT_THE_SERVICE)) {
                Ok(values) => return Ok(values),
                Err(Fault::BeyondGrid) => return Ok(vec![Values::new(); ranges.len()]),
                Err(fault) => self.recover("spreadsheets.values.batchGet", fault, &mut spent).await?,
            }
        }
    }

    fn outcome<T>(
        &self,
        answer: Result<Option<google_sheets4::Result<(Response, T)>>, time::error::Elapsed>,
        witness: &Witness,
    ) -> Result<T, Fault> {
        if self.overflow.take() {
            return Err(Fault::Final(SourceError::AnswerTooLarge { limit: ANSWER_BYTES }));
        }
        match answer {
            Ok(Some(Ok((_, answer)))) => Ok(answer),
            Ok(Some(Err(error))) => Err(Fault::of(error, witness, &self.identity)),
            Ok(None) => Err(NOT_THE_SERVICE),
            Err(_) => Err(Fault::Transient {
                cause: TransientFault::TimedOut(self.request_timeout),
                retry_after: None,
            }),
        }
    }

    /// Waits until another attempt may help, or says why none will be made.
    async fn recover(
        &mut self,
        operation: &'static str,
        fault: Fault,
        spent: &mut Spent,
    ) -> Result<(), SourceError> {
        spent.attempts += 1;
        let (retry_after, give_up) = match fault {
            Fault::Final(error) => return Err(error),
            Fault::BeyondGrid => {
                return Err(SourceError::Refused {
                    status: 400,
                    message: "the range exceeds the grid".to_owned(),
                });
            }
            Fault::Unauthorized(error) if spent.token_renewed => return Err(error),
            Fault::Unauthorized(_) => {
                // Its own failure, if any, comes back with the next attempt.
                spent.token_renewed = true;
                let scopes = [Scope::SpreadsheetReadonly.as_ref()];
                let renewed = self.authenticator.force_refreshed_token(&scopes);
                let _ = time::timeout(self.request_timeout, unharmed(renewed)).await;
                return Ok(());
            }
            Fault::Quota { retry_after } => {
                spent.attempts -= 1;
                (retry_after, SourceError::Quota { waited: spent.waited })
            }
            Fault::Transient { cause, retry_after } => {
                let attempts = spent.attempts;
                tracing::info!(operation, attempts, cause = %cause, "a request to Google failed");
                let error = SourceError::Unreachable { service: "Google Sheets", attempts, source: cause };
                if self.retry.is_exhausted(attempts) {
                    return Err(error);
                }
                (retry_after, error)
            }
        };
        spent.waits += 1;
        let delay = self.retry.delay(spent.waits, &mut self.jitter).max(retry_after.unwrap_or_default());
        if spent.waited + delay > self.quota_patience {
            return Err(give_up);
        }
        tracing::info!(operation, delay_ms = delay.as_millis(), "waiting before the next attempt");
        spent.waited += delay;
        time::sleep(delay).await;
        Ok(())
    }
}

const NOT_THE_SERVICE: Fault = Fault::Transient { cause: TransientFault::NotTheService, retry_after: None };

/// None: the library panicked, as `yup-oauth2` does where a token is said to last for billions of years.
async fn unharmed<T>(call: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(call).catch_unwind().await.ok()
}

pub(crate) fn tabs(spreadsheet: Spreadsheet) -> Option<Vec<Tab>> {
    let properties = spreadsheet.sheets?.into_iter().filter_map(|sheet| sheet.properties);
    let grids = properties.filter_map(|properties| {
        let grid = properties.grid_properties?;
        Some(Tab {
            title: properties.title?,
            rows: u32::try_from(grid.row_count?).ok()?,
            columns: u32::try_from(grid.column_count?).ok()?,
        })
    });
    Some(grids.collect())
}

/// An answer that does not hold one part for each range would otherwise read as an empty sheet.
pub(crate) fn values_of(answer: BatchGetValuesResponse, ranges: usize) -> Option<Vec<Values>> {
    let parts = answer.value_ranges.unwrap_or_default();
    (parts.len() == ranges).then(|| parts.into_iter().map(|part| part.values.unwrap_or_default()).collect())
}

/// The base URL with a slash at its end.
///
/// Checked here because `google-sheets4` panics on what is not a URL.
fn base_url(url: Option<&str>) -> Result<String, SourceError> {
    let url = url.unwrap_or(GOOGLE).trim();
    if !is_url(url) || url.contains(['?', '#']) {
        let problem = format!("{url:?} is not an address like {GOOGLE}");
        return Err(SourceError::Setting { variable: "SHEETS_URL", problem });
    }
    Ok(format!("{}/", url.trim_end_matches('/')))
}

fn is_url(url: &str) -> bool {
    url.parse::<Uri>().is_ok_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty())
    })
}

/// `google-sheets4` puts the id into the path as it is.
fn spreadsheet_id(id: &str) -> Result<String, SourceError> {
    let id = id.trim();
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        let problem =
            "it has to be the part of the sheet's address between /d/ and /edit: letters, digits, - and _";
        return Err(SourceError::Setting { variable: "SHEET_ID", problem: problem.to_owned() });
    }
    Ok(id.to_owned())
}

fn key(json: &str) -> Result<ServiceAccountKey, SourceError> {
    let problem = |explanation: &str| SourceError::Credentials { explanation: explanation.to_owned() };
    let value: Value = serde_json::from_str(json)
        .map_err(|_| problem("it is not JSON; it has to be the key file of a service account"))?;
    if value.get("type").and_then(Value::as_str) != Some("service_account") {
        return Err(problem(
            "its \"type\" is not \"service_account\"; create a JSON key for a service account",
        ));
    }
    // serde's message may quote the value.
    let key: ServiceAccountKey = serde_json::from_value(value)
        .map_err(|_| problem("private_key, client_email or token_uri is missing in it"))?;
    if !is_url(&key.token_uri) {
        return Err(problem("its token_uri is not an address"));
    }
    Ok(key)
}
