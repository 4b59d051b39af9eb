//! The Sheets API v4, as far as a reader of values needs it: spreadsheets.get, values.batchGet and values.get.
//!
//! Shapes follow recordings of the real API. Field masks are accepted and not applied; `majorDimension=COLUMNS`
//! is refused.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::a1::{GridRange, RangeError};
use crate::body::DribblingBody;
use crate::clock::WallClock;
use crate::google_error;
use crate::listener::ConnectionCut;
use crate::oauth::TokenIssuer;
use crate::sheet::{Render, Sheet, Spreadsheet};
use crate::stats::{Stats, count};

/// How a read of the sheet fails, instead of being answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SheetsFailure {
    /// 500, 502, 503, …: Google's own trouble.
    Status(u16),
    /// 429 in JSON, without `Retry-After`.
    QuotaExceeded,
    /// 429 as a web page.
    AutomatedQueries,
    /// 403: the spreadsheet is not shared with the account.
    NotShared,
    /// 403: the API is not enabled in the project.
    ApiDisabled,
    /// 401: the token is not accepted.
    Unauthenticated,
    /// The right answer, cut off in the middle.
    TruncatedBody,
    /// The connection is reset.
    Reset,
}

/// What the Sheets service is like.
pub(crate) struct SheetsOptions {
    pub(crate) spreadsheet: Spreadsheet,
    pub(crate) reads_per_minute: Option<u32>,
    pub(crate) token_uri: String,
    pub(crate) token_lifetime: Duration,
}

type Edit = Box<dyn FnOnce(&mut Spreadsheet) + Send>;

/// A Sheets service with its token endpoint. Clones are the same service.
#[derive(Clone)]
pub struct SheetsServer {
    shared: Arc<Shared>,
    router: Router,
}

struct Shared {
    spreadsheet: RwLock<Spreadsheet>,
    reads_per_minute: Option<u32>,
    minute: Mutex<(Instant, u32)>,
    issuer: TokenIssuer,
    stats: Arc<Stats>,
    script: Mutex<Script>,
}

#[derive(Default)]
struct Script {
    batch_gets: u64,
    edits: Vec<(u64, Edit)>,
    failures: VecDeque<SheetsFailure>,
}

impl SheetsServer {
    pub(crate) fn new(options: SheetsOptions, stats: Arc<Stats>, clock: WallClock) -> Self {
        let shared = Arc::new(Shared {
            spreadsheet: RwLock::new(options.spreadsheet),
            reads_per_minute: options.reads_per_minute,
            minute: Mutex::new((Instant::now(), 0)),
            issuer: TokenIssuer::new(options.token_uri, options.token_lifetime, clock),
            stats,
            script: Mutex::default(),
        });
        let router = Router::new()
            .route("/token", post(token))
            .route("/v4/spreadsheets/{id}", get(spreadsheet).post(write))
            .route("/v4/spreadsheets/{id}/values:batchGet", get(batch_get))
            .route("/v4/spreadsheets/{id}/values/{*range}", get(values).put(write).post(write))
            .route("/healthz", get(|| async { "ok" }))
            .fallback(|| async { google_error::not_found() })
            .with_state(shared.clone());
        Self { shared, router }
    }

    /// Answers one request.
    ///
    /// # Errors
    /// The connection is to be reset instead of answered.
    pub async fn call(&self, request: Request<Body>) -> Result<Response<Body>, ConnectionCut> {
        let Ok(response) = self.router.clone().oneshot(request).await;
        match response.extensions().get::<ConnectionCut>() {
            Some(cut) => Err(*cut),
            None => Ok(response),
        }
    }

    /// The key file of the service account whose assertions the token endpoint accepts.
    pub fn service_account_json(&self) -> String {
        self.shared.issuer.service_account_json()
    }

    /// The id of the spreadsheet.
    pub fn sheet_id(&self) -> String {
        self.shared.read().id.clone()
    }

    /// Changes the spreadsheet; a request sees it before or after, never in between.
    pub fn edit(&self, edit: impl FnOnce(&mut Spreadsheet)) {
        edit(&mut self.shared.spreadsheet.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Changes the spreadsheet as soon as this many `batchGet` requests, from the start, were answered.
    pub fn edit_after_batch_get(&self, answered: u64, edit: impl FnOnce(&mut Spreadsheet) + Send + 'static) {
        self.shared.script().edits.push((answered, Box::new(edit)));
    }

    /// Fails the next reads of the sheet in these ways, one each.
    pub fn fail_next(&self, failures: impl IntoIterator<Item = SheetsFailure>) {
        self.shared.script().failures.extend(failures);
    }

    /// Takes back every access token given out so far: their next use is answered 401.
    pub fn revoke_tokens(&self) {
        self.shared.issuer.revoke_all();
    }
}

impl Shared {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Spreadsheet> {
        self.spreadsheet.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_token(&self, headers: &HeaderMap) -> Result<(), Box<Response<Body>>> {
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = bearer.and_then(|value| value.strip_prefix("Bearer "));
        if token.is_some_and(|token| self.issuer.knows(token)) {
            return Ok(());
        }
        count(&self.stats.sheet_reads_refused);
        Err(Box::new(google_error::unauthenticated(token.is_some())))
    }

    /// What every read passes: the token, the quota, the scripted failures, the id.
    fn admit(&self, headers: &HeaderMap, id: &str) -> Result<Option<SheetsFailure>, Box<Response<Body>>> {
        self.known_token(headers)?;
        if let Some(limit) = self.reads_per_minute {
            let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
            if minute.0.elapsed() >= Duration::from_secs(60) {
                *minute = (Instant::now(), 0);
            }
            if minute.1 >= limit {
                count(&self.stats.sheet_reads_refused);
                return Err(Box::new(google_error::quota_exceeded(limit)));
            }
            minute.1 += 1;
        }
        let failure = self.script().failures.pop_front();
        match failure {
            None if self.read().id != id => Err(Box::new(google_error::not_found())),
            None | Some(SheetsFailure::TruncatedBody) => Ok(failure),
            Some(failure) => Err(Box::new(failed(failure))),
        }
    }
}

fn failed(failure: SheetsFailure) -> Response<Body> {
    match failure {
        SheetsFailure::Status(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            google_error::backend(status)
        }
        SheetsFailure::QuotaExceeded => google_error::quota_exceeded(60),
        SheetsFailure::AutomatedQueries => google_error::automated_queries(),
        SheetsFailure::NotShared => google_error::not_shared(),
        SheetsFailure::ApiDisabled => google_error::api_disabled(),
        SheetsFailure::Unauthenticated => google_error::unauthenticated(true),
        SheetsFailure::TruncatedBody | SheetsFailure::Reset => {
            let mut response = Response::new(Body::empty());
            response.extensions_mut().insert(ConnectionCut);
            response
        }
    }
}

/// The answer, or its first half where that is asked for.
fn delivered(body: &Value, failure: Option<SheetsFailure>) -> Response<Body> {
    if failure != Some(SheetsFailure::TruncatedBody) {
        return google_error::json_answer(StatusCode::OK, body);
    }
    let whole = Bytes::from(body.to_string());
    let length = HeaderValue::from(whole.len());
    let mut response = google_error::json_answer(StatusCode::OK, body);
    *response.body_mut() = Body::new(DribblingBody::truncated(whole));
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}

async fn token(State(shared): State<Arc<Shared>>, form: Bytes) -> Response<Body> {
    let (issued, response) = shared.issuer.answer(&form);
    count(if issued { &shared.stats.tokens_issued } else { &shared.stats.token_refusals });
    response
}

async fn spreadsheet(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    let failure = match shared.admit(&headers, &id) {
        Ok(failure) => failure,
        Err(response) => return *response,
    };
    let spreadsheet = shared.read();
    let sheets = spreadsheet.sheets.iter().enumerate().map(|(index, sheet)| {
        json!({ "properties": {
            "sheetId": sheet.id,
            "title": sheet.title,
            "index": index,
            "sheetType": "GRID",
            "gridProperties": { "rowCount": sheet.grid_rows, "columnCount": sheet.grid_columns },
        }})
    });
    let body = json!({
        "spreadsheetId": spreadsheet.id,
        "properties": { "title": spreadsheet.title, "locale": "id_ID", "timeZone": spreadsheet.time_zone },
        "sheets": sheets.collect::<Vec<_>>(),
    });
    delivered(&body, failure)
}

async fn batch_get(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let failure = match shared.admit(&headers, &id) {
        Ok(failure) => failure,
        Err(response) => return *response,
    };
    let asked = match Asked::parse(query.as_deref().unwrap_or("")) {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    let ranges = {
        let spreadsheet = shared.read();
        let ranges = asked.ranges.iter().map(|range| value_range(&spreadsheet, range, asked.render));
        match ranges.collect::<Result<Vec<_>, _>>() {
            Ok(ranges) => ranges,
            Err(response) => return *response,
        }
    };
    count(&shared.stats.batch_gets);
    let due = {
        let mut script = shared.script();
        script.batch_gets += 1;
        let answered = script.batch_gets;
        let (due, later) = std::mem::take(&mut script.edits).into_iter().partition(|(at, _)| *at <= answered);
        script.edits = later;
        let due: Vec<(u64, Edit)> = due;
        due
    };
    if !due.is_empty() {
        let mut spreadsheet = shared.spreadsheet.write().unwrap_or_else(PoisonError::into_inner);
        due.into_iter().for_each(|(_, edit)| edit(&mut spreadsheet));
    }
    delivered(&json!({ "spreadsheetId": id, "valueRanges": ranges }), failure)
}

async fn values(
    State(shared): State<Arc<Shared>>,
    Path((id, range)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let failure = match shared.admit(&headers, &id) {
        Ok(failure) => failure,
        Err(response) => return *response,
    };
    let answer = Asked::parse(query.as_deref().unwrap_or(""))
        .and_then(|asked| value_range(&shared.read(), &range, asked.render));
    match answer {
        Ok(body) => delivered(&body, failure),
        Err(response) => *response,
    }
}

/// Every token is for reading only.
async fn write(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response<Body> {
    match shared.known_token(&headers) {
        Ok(()) => google_error::read_only(),
        Err(response) => *response,
    }
}

/// The parameters of a read of values.
struct Asked {
    ranges: Vec<String>,
    render: Render,
}

impl Asked {
    fn parse(query: &str) -> Result<Self, Box<Response<Body>>> {
        let (mut ranges, mut typed, mut date_text) = (Vec::new(), false, false);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match (name.as_ref(), value.as_ref()) {
                ("ranges", _) => ranges.push(value.into_owned()),
                ("majorDimension", "ROWS" | "DIMENSION_UNSPECIFIED") => {}
                ("valueRenderOption", "FORMATTED_VALUE") => typed = false,
                ("valueRenderOption", "UNFORMATTED_VALUE") => typed = true,
                ("dateTimeRenderOption", "SERIAL_NUMBER") => date_text = false,
                ("dateTimeRenderOption", "FORMATTED_STRING") => date_text = true,
                ("majorDimension" | "valueRenderOption" | "dateTimeRenderOption", _) => {
                    let message = format!("Invalid value at '{name}', \"{}\"", value.escape_debug());
                    return Err(Box::new(google_error::invalid_argument(&message)));
                }
                _ => {}
            }
        }
        let render = match (typed, date_text) {
            (false, _) => Render::Formatted,
            (true, false) => Render::Serial,
            (true, true) => Render::DateText,
        };
        Ok(Self { ranges, render })
    }
}

fn value_range(spreadsheet: &Spreadsheet, range: &str, render: Render) -> Result<Value, Box<Response<Body>>> {
    let parsed = GridRange::parse(range, &spreadsheet.sheets).map_err(|error| {
        let message = match error {
            RangeError::Unparsable => format!("Unable to parse range: {range}"),
            RangeError::BeyondGrid { range, rows, columns } => {
                format!("Range ({range}) exceeds grid limits. Max rows: {rows}, max columns: {columns}")
            }
        };
        Box::new(google_error::invalid_argument(&message))
    })?;
    let values = rendered(&spreadsheet.sheets[parsed.sheet], &parsed, render);
    let mut answer = json!({ "range": parsed.to_string(), "majorDimension": "ROWS" });
    if !values.is_empty() {
        answer["values"] = Value::Array(values);
    }
    Ok(answer)
}

/// The rows of a range, without the blank cells at the end of each and the blank rows at the end of all.
fn rendered(sheet: &Sheet, range: &GridRange, render: Render) -> Vec<Value> {
    let first = range.rows.start as usize;
    let last = sheet.rows.len().min(range.rows.end as usize);
    let mut values = Vec::with_capacity(last.saturating_sub(first));
    let mut filled = 0;
    for row in sheet.rows.get(first..last).unwrap_or_default() {
        let cells = row.get(range.columns.start as usize..).unwrap_or_default();
        let cells = &cells[..cells.len().min(range.columns.len())];
        let kept = cells.iter().rposition(|cell| !cell.is_blank()).map_or(0, |at| at + 1);
        values.push(Value::Array(cells[..kept].iter().map(|cell| cell.render(render)).collect()));
        if kept > 0 {
            filled = values.len();
        }
    }
    values.truncate(filled);
    values
}
