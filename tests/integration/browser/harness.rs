//! The watch over pages: that it finds what it is there to find.

use serde_json::json;
use tests::browser::play;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const POLICY: &str = "default-src 'self'; img-src *";

const GOOD: &str = "<!doctype html><html lang=en><head><meta charset=utf-8><title>Good</title>
<meta name=viewport content='width=device-width'></head>
<body><main><h1>Good</h1><p><a href=/good>again</a> <button>press</button></p></main></body></html>";

/// A script that the policy forbids, an image from elsewhere without a text, too wide, and a control that the Tab key
/// cannot reach the sight of.
const BAD: &str = "<!doctype html><html lang=en><head><meta charset=utf-8><title>Bad</title>
<meta name=viewport content='width=device-width'><link rel=stylesheet href=/plain.css></head>
<body><main><h1>Bad</h1><script>document.title = 'ran'</script><img src='http://192.0.2.1/x.png'>
<div id=wide>wide</div><button>press</button></main></body></html>";

const PLAIN: &str = "#wide { width: 900px } button:focus { outline: none }";

async fn serve(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut request = vec![0; 8192];
            let read = stream.read(&mut request).await.unwrap_or(0);
            let line = String::from_utf8_lossy(&request[..read]).into_owned();
            let (kind, body) = match line.split(' ').nth(1) {
                Some("/good") => ("text/html", GOOD),
                Some("/bad") => ("text/html", BAD),
                Some("/plain.css") => ("text/css", PLAIN),
                _ => ("text/plain", ""),
            };
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\ncontent-security-policy: {POLICY}\r\n\
                 connection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_without_a_fault_passes_and_each_fault_is_found() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(serve(listener));
    let seen = play("harness", json!({ "base": base })).await;
    let failed: Vec<(&str, &str)> =
        seen.failed().map(|check| (check.name.as_str(), check.detail.as_str())).collect();
    let found = |name: &str, part: &str| {
        let here = failed.iter().any(|(check, detail)| check.contains(name) && detail.contains(part));
        assert!(here, "'{name}' with '{part}' is not among {failed:#?}");
    };
    found("/bad: axe", "image-alt");
    found("/bad: no scrolling", "wide");
    found("/bad: what has the focus", "button");
    found("/bad: nothing leaves", "asked 192.0.2.1");
    found("/bad: nothing leaves", "script-src");
    assert!(failed.iter().all(|(check, _)| check.starts_with("/bad")), "{failed:#?}");
    assert!(seen.checks.iter().any(|check| check.ok && check.name.starts_with("/good: axe")));
}
