//! A site whose pages are open, as an operator meets them: those of `standalone`, or of a cluster's `dashboard`.

use std::net::SocketAddr;

use super::{Seen, play};
use crate::process::{Running, Site};
use serde_json::{Value, json};

/// What `DASHBOARD_TOKEN` leads to.
pub const TOKEN: &str = "a-token-for-the-pages";

/// A site with the settings of the pages.
pub fn furnish(site: &mut Site) {
    let token = site.file("dashboard-token", TOKEN);
    site.set("DASHBOARD_TOKEN", format!("file:{}", token.display()));
    site.set("DASHBOARD_ADDR", "127.0.0.1:0");
}

/// A program that serves the pages.
pub struct Office {
    /// The program.
    pub running: Running,
    base: String,
}

impl Office {
    /// Starts `standalone` with these arguments, and waits until it serves.
    pub async fn open(site: &Site, arguments: &[&str]) -> Self {
        Self::of(site.start(&[&["--serve"], arguments].concat())).await
    }

    /// Waits until this program serves.
    pub async fn of(mut running: Running) -> Self {
        running.until_logged("serving the page").await;
        let log = running.stderr();
        let line = log.lines().find(|line| line.contains("serving the page")).expect("it was logged");
        let line: Value = serde_json::from_str(line).expect("a log off a terminal is JSON");
        let address: SocketAddr = line["address"].as_str().expect("an address").parse().expect("an address");
        // Whoever listens everywhere is reached here too.
        Self { running, base: format!("http://127.0.0.1:{}", address.port()) }
    }

    /// Where.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Plays a scenario on these pages.
    pub async fn play(&self, scenario: &str, more: Value) -> Seen {
        let mut input = json!({ "base": self.base, "token": TOKEN });
        let fields = input.as_object_mut().expect("an object");
        fields.extend(more.as_object().cloned().unwrap_or_default());
        play(scenario, input).await
    }
}
