//! The real transport against a server that misbehaves below HTTP.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Serves one connection with `serve`, then stops listening.
async fn server<F>(serve: impl FnOnce(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
    address
}

/// Reads one request: its head and, as far as the head announces one, its body.
async fn request(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "closed in the middle of a request");
    }
}

fn client(address: SocketAddr, timeout: Duration) -> FhirClient {
    let config = FhirConfig { timeout, ..config(&format!("http://{address}/fhir")) };
    FhirClient::new(&config, reqwest_transport(&config).unwrap(), Clock::system()).unwrap()
}

async fn search_failure(address: SocketAddr, timeout: Duration) -> Transient {
    let failure = client(address, timeout).search(&nik()).await.found.unwrap_err();
    let said = everything_said(&failure);
    assert!(!said.contains(nik().expose()), "{said}");
    match failure {
        Failure::Transient { kind, .. } => kind,
        other => panic!("{other:?}"),
    }
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(search_failure(address, LONG).await, Transient::Unreachable);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_unreachable() {
    let config = config("http://nowhere.invalid/fhir");
    let client = FhirClient::new(&config, reqwest_transport(&config).unwrap(), Clock::system()).unwrap();
    let failure = client.search(&nik()).await.found.unwrap_err();
    assert!(matches!(failure, Failure::Transient { kind: Transient::Unreachable, .. }), "{failure:?}");
    assert!(!everything_said(&failure).contains(nik().expose()));
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_unreachable() {
    let address = server(async |mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let config = FhirConfig { timeout: LONG, ..config(&format!("https://{address}/fhir")) };
    // A machine without any root certificates cannot build this client at all.
    let Ok(transport) = reqwest_transport(&config) else { return };
    let client = FhirClient::new(&config, transport, Clock::system()).unwrap();
    let failure = client.search(&nik()).await.found.unwrap_err();
    assert!(matches!(failure, Failure::Transient { kind: Transient::Unreachable, .. }), "{failure:?}");
}

#[tokio::test]
async fn a_reset_or_a_cut_answer_is_broken() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-len",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"resourceType\":\"Bundle\"",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"res\r\n",
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n{  }",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
    ] {
        let address = server(move |mut stream| async move {
            request(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        assert_eq!(search_failure(address, LONG).await, Transient::Broken, "{answer}");
    }
}

#[tokio::test]
async fn silence_is_a_timeout_before_and_within_an_answer() {
    for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"] {
        let address = server(move |mut stream| async move {
            request(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            // Until the client hangs up.
            let _ = stream.read(&mut [0]).await;
        })
        .await;
        assert_eq!(search_failure(address, Duration::from_millis(100)).await, Transient::Timeout, "{answer}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let address = server(async |mut stream| {
        request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b' '; 65_536]).await.is_ok() {}
    })
    .await;
    let failure = client(address, LONG).search(&nik()).await.found.unwrap_err();
    assert!(everything_said(&failure).contains("larger than 16777216 bytes"), "{failure:?}");
}

#[tokio::test]
async fn one_connection_carries_request_after_request() {
    let found = bundle(&[patient_json("p1")]).to_string();
    let (heads, mut served) = tokio::sync::mpsc::unbounded_channel();
    let address = server(move |mut stream| async move {
        for answer in [
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{found}", found.len()),
            "HTTP/1.1 200 OK\r\netag: W/\"8\"\r\ncontent-length: 0\r\n\r\n".to_owned(),
        ] {
            heads.send(request(&mut stream).await).unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let client = client(address, LONG);
    let Ok(Found::One(patient)) = client.search(&nik()).await.found else { panic!("one was there") };
    let policy = TelecomPolicy { previous: PreviousNumber::Replace, zone: jiff::tz::TimeZone::UTC };
    let change = patient.edit(&number(), now(), &policy).change.unwrap();
    assert_eq!(client.update(&change).await.unwrap().version, VersionId::new("8"));

    let search = served.recv().await.unwrap();
    assert!(search.starts_with("GET /fhir/Patient?identifier=https%3A%2F%2F"), "{search}");
    assert!(
        search.contains("user-agent: nightly-sync/") && search.contains("accept-encoding: gzip"),
        "{search}"
    );
    assert!(!search.contains("content-length"), "{search}");
    let update = served.recv().await.unwrap();
    assert!(update.starts_with("PUT /fhir/Patient/p1 HTTP/1.1\r\n"), "{update}");
    assert!(update.ends_with(std::str::from_utf8(&change.body).unwrap()), "{update}");
}

/// What the client makes of this body, sent in pieces until the client has had enough; and how many bytes it took.
async fn of_endless(head: &'static str, piece: Vec<u8>, pieces: usize) -> (Failure, usize) {
    let (sent, was_sent) = tokio::sync::oneshot::channel();
    let address = server(move |mut stream| async move {
        request(&mut stream).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut taken = 0;
        while taken < pieces && stream.write_all(&piece).await.is_ok() {
            taken += 1;
        }
        let _ = sent.send(taken * piece.len());
    })
    .await;
    let failure = client(address, LONG).search(&nik()).await.found.unwrap_err();
    (failure, was_sent.await.unwrap())
}

#[tokio::test]
async fn an_endless_answer_is_cut_off_while_it_comes() {
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n"] {
        let (failure, taken) = of_endless(head, vec![b' '; 64 * 1024], 16 * 1024).await;
        assert!(matches!(failure, Failure::TooLarge(TooLarge::Bytes)), "{failure:?}");
        // What the sockets hold comes on top.
        assert!(taken < 4 * MAX_BODY, "{taken} bytes of a gigabyte were taken");
    }
}

#[tokio::test]
async fn a_small_answer_that_decompresses_to_a_large_one_is_cut_off_too() {
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let piece = vec![b' '; 1024 * 1024];
    for _ in 0..64 {
        std::io::Write::write_all(&mut bomb, &piece).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 100_000, "{} bytes", bomb.len());
    let (failure, _) = of_endless("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n", bomb, 1).await;
    assert!(matches!(failure, Failure::TooLarge(TooLarge::Bytes)), "{failure:?}");
}
