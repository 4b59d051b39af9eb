//! A spreadsheet behind the two calls the source makes, and its token endpoint, with scripted failures.
//!
//! Only what these tests need of Google's behaviour; the `simulators` crate is the faithful one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::super::super::SheetRange;

const KEY: &str = include_str!("../../../../../simulators/src/simulated_service_account_key.pem");

/// Edits the cells and the grid's size before the call of this number.
pub type Edit = Box<dyn FnMut(usize, &mut Vec<Vec<Value>>, &mut (u32, u32)) + Send>;

/// The whole of what is shared with the server.
#[derive(Default)]
pub struct Sheet {
    pub title: String,
    /// From row 1; missing cells are empty.
    pub cells: Vec<Vec<Value>>,
    /// The grid's size: rows, columns.
    pub grid: (u32, u32),
    /// Answers given instead of the true one, in turn; `None` lets a call through.
    pub answers: VecDeque<Option<Response<String>>>,
    pub token_answers: VecDeque<Option<Response<String>>>,
    /// Called before each call for values is answered, with the number of such calls so far.
    pub edit: Option<Edit>,
    pub calls: Vec<String>,
    pub tokens: usize,
    value_calls: usize,
}

pub struct Stub {
    pub url: String,
    sheet: Arc<Mutex<Sheet>>,
    server: tokio::task::JoinHandle<()>,
}

impl Stub {
    pub async fn start(cells: Vec<Vec<Value>>) -> Self {
        let grid = (u32::try_from(cells.len()).unwrap().max(1), 8);
        let sheet = Sheet { title: "Sheet1".to_owned(), cells, grid, ..Sheet::default() };
        let sheet = Arc::new(Mutex::new(sheet));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new()
            .route("/token", post(token))
            .route("/v4/spreadsheets/{id}", get(spreadsheet))
            .route("/v4/spreadsheets/{id}/values:batchGet", get(values))
            .with_state(Arc::clone(&sheet));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, sheet, server }
    }

    pub fn sheet(&self) -> MutexGuard<'_, Sheet> {
        self.sheet.lock().unwrap()
    }

    pub fn key(&self) -> String {
        let token_uri = format!("{}/token", self.url);
        let key = json!({
            "type": "service_account", "project_id": "p", "private_key_id": "k", "private_key": KEY,
            "client_email": "reader@p.iam.gserviceaccount.com", "client_id": "1", "token_uri": token_uri,
        });
        key.to_string()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub fn answer(status: u16, body: impl Into<String>) -> Option<Response<String>> {
    Some(Response::builder().status(status).body(body.into()).unwrap())
}

type Shared = State<Arc<Mutex<Sheet>>>;

fn reply(value: &Value) -> Response<Body> {
    Response::builder()
        .header("content-type", "application/json")
        .body(Body::from(value.to_string()))
        .unwrap()
}

async fn token(State(sheet): Shared) -> Response<Body> {
    let mut sheet = sheet.lock().unwrap();
    sheet.tokens += 1;
    if let Some(Some(scripted)) = sheet.token_answers.pop_front() {
        return scripted.map(Body::from);
    }
    reply(
        &json!({ "access_token": format!("token-{}", sheet.tokens), "expires_in": 3600, "token_type": "Bearer" }),
    )
}

async fn spreadsheet(State(sheet): Shared, request: Request) -> Response<Body> {
    let mut sheet = sheet.lock().unwrap();
    sheet.calls.push(request.uri().to_string());
    if let Some(Some(scripted)) = sheet.answers.pop_front() {
        return scripted.map(Body::from);
    }
    let (rows, columns) = sheet.grid;
    reply(&json!({ "sheets": [
        { "properties": { "title": sheet.title, "sheetType": "GRID",
            "gridProperties": { "rowCount": rows, "columnCount": columns } } },
        { "properties": { "title": "Grafik", "sheetType": "OBJECT" } },
    ] }))
}

async fn values(
    State(sheet): Shared,
    Query(query): Query<Vec<(String, String)>>,
    request: Request,
) -> Response<Body> {
    let mut guard = sheet.lock().unwrap();
    let sheet = &mut *guard;
    sheet.calls.push(request.uri().to_string());
    if let Some(Some(scripted)) = sheet.answers.pop_front() {
        return scripted.map(Body::from);
    }
    if let Some(edit) = &mut sheet.edit {
        edit(sheet.value_calls, &mut sheet.cells, &mut sheet.grid);
    }
    sheet.value_calls += 1;
    let has = |name: &str, value: &str| query.iter().any(|(n, v)| n == name && v == value);
    assert!(has("majorDimension", "ROWS") && has("valueRenderOption", "UNFORMATTED_VALUE"));
    assert!(has("dateTimeRenderOption", "SERIAL_NUMBER") && has("fields", "valueRanges(range,values)"));
    let mut parts = Vec::new();
    for (_, range) in query.iter().filter(|(name, _)| name == "ranges") {
        let parsed: SheetRange = range.parse().unwrap();
        assert_eq!(parsed.tab.as_deref(), Some(sheet.title.as_str()));
        let area = parsed.area;
        if area.first_row > sheet.grid.0 {
            let message = format!("Range ({range}) exceeds grid limits. Max rows: {}", sheet.grid.0);
            let error = json!({ "error": { "code": 400, "message": message, "status": "INVALID_ARGUMENT" } });
            return answer(400, error.to_string()).unwrap().map(Body::from);
        }
        let mut rows = Vec::new();
        for row in area.first_row..=area.last_row.unwrap() {
            let cells = sheet.cells.get(row as usize - 1).map(Vec::as_slice).unwrap_or_default();
            let cells = (area.first_column..=area.last_column.unwrap())
                .map(|column| cells.get(column as usize).cloned().unwrap_or(json!("")));
            rows.push(without_trailing(cells.collect(), |cell| *cell == json!("")));
        }
        let rows = without_trailing(rows, Vec::is_empty);
        let mut part = json!({ "range": range });
        if !rows.is_empty() {
            part["values"] = json!(rows);
        }
        parts.push(part);
    }
    reply(&json!({ "valueRanges": parts }))
}

fn without_trailing<T>(mut items: Vec<T>, is_empty: impl Fn(&T) -> bool) -> Vec<T> {
    while items.last().is_some_and(&is_empty) {
        items.pop();
    }
    items
}
