//! The limit: a bare loop on hyper that makes the same two requests for each row, and has no ledger, queue, limiter, retry,
//! log or metric. What it is refused it leaves.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, IF_MATCH};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use simulators::DemoNight;
use tokio::net::TcpStream;

/// How it is started: by the bench, as a process of its own.
#[derive(Args)]
pub(crate) struct Raw {
    /// `HOST:PORT/PATH` of the FHIR server.
    #[arg(long)]
    server: String,
    /// A NIK and a number a line.
    #[arg(long)]
    rows: PathBuf,
    /// Requests at a time.
    #[arg(long)]
    in_flight: usize,
    #[arg(long)]
    api_key: String,
}

type Problem = Box<dyn std::error::Error + Send + Sync>;

/// Writes the rows that the loop reads.
pub(crate) fn write_rows(night: &DemoNight, path: &Path) -> std::io::Result<()> {
    let lines: Vec<String> =
        night.expected_numbers().map(|(nik, number)| format!("{nik} {number}\n")).collect();
    std::fs::write(path, lines.concat())
}

struct Job {
    raw: Raw,
    rows: Vec<(String, String)>,
    next: AtomicUsize,
    refused: AtomicUsize,
}

/// Runs the loop; how many rows were refused.
pub(crate) async fn run(raw: Raw) -> Result<usize, Problem> {
    let text = std::fs::read_to_string(&raw.rows)?;
    let rows = text.lines().filter_map(|line| line.split_once(' '));
    let rows = rows.map(|(nik, number)| (nik.to_owned(), number.to_owned())).collect();
    let job = Arc::new(Job { raw, rows, next: AtomicUsize::new(0), refused: AtomicUsize::new(0) });
    let mut loops = tokio::task::JoinSet::new();
    for _ in 0..job.raw.in_flight {
        loops.spawn(one_at_a_time(job.clone()));
    }
    while let Some(ended) = loops.join_next().await {
        ended??;
    }
    Ok(job.refused.load(Ordering::Relaxed))
}

async fn one_at_a_time(job: Arc<Job>) -> Result<(), Problem> {
    let (host, _) = job.raw.server.split_once('/').ok_or("no path")?;
    let stream = TcpStream::connect(host).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    while let Some((nik, number)) = job.rows.get(job.next.fetch_add(1, Ordering::Relaxed)) {
        if !row(&job.raw, &mut sender, nik, number).await? {
            job.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

async fn row(
    raw: &Raw,
    sender: &mut SendRequest<Full<Bytes>>,
    nik: &str,
    number: &str,
) -> Result<bool, Problem> {
    let (host, path) = raw.server.split_once('/').ok_or("no path")?;
    let request = |method: Method, rest: String| {
        Request::builder()
            .method(method)
            .uri(format!("/{path}/{rest}"))
            .header(HOST, host)
            .header("x-api-key", &raw.api_key)
            .header(ACCEPT, "application/fhir+json")
    };
    let system = simulators::NIK_SYSTEM.replace(':', "%3A").replace('/', "%2F");
    let search = request(Method::GET, format!("Patient?identifier={system}%7C{nik}"));
    let answer =
        sender.send_request(search.header("prefer", "handling=strict").body(Full::default())?).await?;
    let is_found = answer.status().is_success();
    let body = answer.into_body().collect().await?.to_bytes();
    if !is_found {
        return Ok(false);
    }
    let mut bundle: Value = serde_json::from_slice(&body)?;
    let patient = bundle.pointer_mut("/entry/0/resource").ok_or("nobody was found")?;
    let id = patient["id"].as_str().ok_or("a Patient without an id")?.to_owned();
    let version = patient["meta"]["versionId"].as_str().ok_or("a Patient without a version")?.to_owned();
    set_number(patient, number);
    let write = request(Method::PUT, format!("Patient/{id}"))
        .header(IF_MATCH, format!("W/\"{version}\""))
        .header(CONTENT_TYPE, "application/fhir+json")
        .header("prefer", "return=minimal");
    let answer = sender.send_request(write.body(Full::from(serde_json::to_vec(patient)?))?).await?;
    let is_written = answer.status().is_success();
    answer.into_body().collect().await?;
    Ok(is_written)
}

/// Without the rules for several numbers, ranks and periods: the work of an edit, not its care.
fn set_number(patient: &mut Value, number: &str) {
    let is_mobile = |entry: &&mut Value| {
        entry["use"] == "mobile" && entry["system"] == "phone" && entry.get("period").is_none()
    };
    if patient.get("telecom").is_none() {
        patient["telecom"] = json!([]);
    }
    let Some(entries) = patient["telecom"].as_array_mut() else { return };
    match entries.iter_mut().find(is_mobile) {
        Some(entry) => entry["value"] = json!(number),
        None => entries.push(json!({ "system": "phone", "use": "mobile", "value": number })),
    }
}
