//! A server that is installed in `.venv`, started on a free port of loopback.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::night::until;
use crate::process::in_repository;

/// Starts on another port, should somebody take the one that was just free.
const STARTS: u32 = 5;

/// A client for the tests' own requests.
pub(super) fn client() -> reqwest::Client {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().expect("a client")
}

/// Starts a program and waits until it answers at `path`; killed when the child is dropped.
pub(super) async fn start(
    program: &str,
    path: &str,
    arguments: impl Fn(u16, &mut Command),
) -> (Child, String) {
    let found = in_repository(&format!(".venv/bin/{program}"));
    assert!(found.is_file(), "{} is missing; run first: scripts/install-secret-managers", found.display());
    let client = client();
    for _ in 0..STARTS {
        let port = {
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
            listener.local_addr().expect("it is bound").port()
        };
        let mut command = Command::new(&found);
        arguments(port, &mut command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().expect("the program starts");
        let base = format!("http://127.0.0.1:{port}");
        let url = format!("{base}{path}");
        let look = || {
            let ended = child.try_wait().expect("a child can be asked");
            let answer = client.get(&url).send();
            async move { (ended, answer.await.is_ok_and(|answer| answer.status().is_success())) }
        };
        let what = format!("an answer of {program}");
        let (ended, _) = until(&what, look, |(ended, answered)| ended.is_some() || *answered).await;
        if ended.is_none() {
            return (child, base);
        }
    }
    panic!("{program} ended at once, {STARTS} times");
}
