//! The addresses that are listened on: whether they can be.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::{ANSWER, Findings, Subject};
use crate::body;
use crate::settings::HttpSettings;
use crate::webhook::client;

/// The largest page that is looked at, whoever serves it.
const MOST: usize = 4 * 1024 * 1024;

/// `METRICS_ADDR`.
pub async fn metrics(subject: Arc<Subject>, findings: Findings) {
    const CHECK: &str = "METRICS_ADDR";
    if !subject.errors.iter().any(|error| error.variable == CHECK) {
        listen(CHECK, subject.settings.metrics_addr, "/metrics", "nightly_sync_", &findings).await;
    }
}

/// `DASHBOARD_ADDR`, for a program that serves the page; and whether it may be reached by others.
pub async fn dashboard(subject: Arc<Subject>, findings: Findings) {
    const CHECK: &str = "DASHBOARD_ADDR";
    if subject.errors.iter().any(|error| error.variable == CHECK) {
        return;
    }
    let settings = &subject.settings;
    let address = settings.dashboard.address;
    if address.port() != 0 && address == settings.metrics_addr {
        findings.wrong(CHECK, format!("{address} is METRICS_ADDR too; give each an address of its own"));
        return;
    }
    if !address.ip().is_loopback() && settings.dashboard.token.is_none() {
        findings.wrong(
            "DASHBOARD_TOKEN",
            format!(
                "not set, and DASHBOARD_ADDR ({address}) can be reached from other machines; set a reference such as \
                 file:/run/secrets/dashboard-token, or listen on 127.0.0.1"
            ),
        );
    }
    listen(CHECK, address, "/login", &settings.job, &findings).await;
}

/// Listens for a moment. An address that is taken is well where it is taken by one of ours, which answers `path`
/// with something that holds `ours`.
async fn listen(check: &str, address: SocketAddr, path: &str, ours: &str, findings: &Findings) {
    let error = match TcpListener::bind(address).await {
        Ok(_) => return findings.ok(check, format!("{address} can be listened on")),
        Err(error) => error,
    };
    let problem = match error.kind() {
        ErrorKind::AddrInUse => {
            if answers(address, path).await.is_some_and(|answer| answer.contains(ours)) {
                return findings.ok(check, format!("{address} is served by a nightly-sync that runs now"));
            }
            "another program listens there; choose another port"
        }
        ErrorKind::AddrNotAvailable => {
            "this machine has no such address; choose one of its own, or 127.0.0.1"
        }
        ErrorKind::PermissionDenied => "this user may not listen on that port; choose one above 1023",
        _ => "it cannot be listened on; choose another",
    };
    findings.wrong(check, format!("{address}: {problem} ({error})"));
}

async fn answers(address: SocketAddr, path: &str) -> Option<String> {
    let url = format!("http://{address}{path}").parse().ok()?;
    let client = client(&HttpSettings::default(), &url, ANSWER, "").ok()?;
    let answer = body::at_most(client.get(url).send().await.ok()?, MOST).await.ok()?;
    String::from_utf8(answer.to_vec()).ok()
}
