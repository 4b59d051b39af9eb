//! A FHIR server behind TLS that offers HTTP/2 and compresses its answers.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Response, StatusCode, header};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use shared::clock::Clock;
use shared::settings::{FhirBatch, FhirSearch, FhirWrite};
use tests::services::Certificates;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use worker::fhir::{FhirClient, FhirConfig, Found, reqwest_transport};

const NIK: &str = "3174051212900001";

/// What the server saw.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

/// Answers every search with the one Patient, compressed.
async fn serve(listener: TcpListener, acceptor: TlsAcceptor, seen: Arc<Seen>) {
    let patient = json!({
        "resourceType": "Patient", "id": "p1", "meta": { "versionId": "7" },
        "identifier": [{ "system": "https://fhir.kemkes.go.id/id/nik", "value": NIK }],
    });
    let bundle = json!({ "resourceType": "Bundle", "type": "searchset", "total": 1, "entry": [{ "resource": patient }] });
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bundle.to_string().as_bytes()).expect("memory takes it");
    let body = Bytes::from(encoder.finish().expect("memory takes it"));
    loop {
        let (stream, _) = listener.accept().await.expect("a client");
        let (acceptor, seen, body) = (acceptor.clone(), seen.clone(), body.clone());
        seen.connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            let stream = acceptor.accept(stream).await.expect("TLS");
            // Fails where the client speaks anything but HTTP/2.
            let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let accepts = request.headers().get(header::ACCEPT_ENCODING).expect("it says what it takes");
                assert!(accepts.to_str().expect("text").contains("gzip"));
                seen.requests.fetch_add(1, Ordering::Relaxed);
                let response = Response::builder()
                    .status(StatusCode::OK)
                    .header(header::CONTENT_TYPE, "application/fhir+json")
                    .header(header::CONTENT_ENCODING, "gzip")
                    .body(())
                    .expect("a response");
                let mut stream = respond.send_response(response, false).expect("a client that listens");
                stream.send_data(body.clone(), true).expect("a client that listens");
            }
        });
    }
}

#[tokio::test]
async fn http2_is_spoken_where_it_is_offered_on_one_connection_and_answers_may_be_compressed() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificates = Certificates::make();
    let (certificate, key) = &certificates.server;
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
    let mut tls =
        ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("they fit");
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let seen = Arc::<Seen>::default();
    let server = tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(tls)), seen.clone()));

    let folder = tempfile::tempdir().expect("a folder");
    certificates.write(folder.path());
    let config = FhirConfig {
        base_url: format!("https://localhost:{port}/fhir"),
        identifier_system: "https://fhir.kemkes.go.id/id/nik".into(),
        timeout: Duration::from_secs(30),
        credentials: Vec::new(),
        search: FhirSearch::Get,
        write: FhirWrite::Put,
        batch: FhirBatch::Off,
        max_concurrency: 64,
        ca_file: Some(folder.path().join("ca.pem")),
        https_proxy: None,
        no_proxy: None,
    };
    let transport = reqwest_transport(&config).expect("a client");
    let client = Arc::new(FhirClient::new(&config, transport, Clock::system()).expect("a client"));
    let search = |client: Arc<FhirClient>| async move {
        let found = client.search(&NIK.parse().expect("a NIK")).await.found;
        assert!(matches!(found, Ok(Found::One(ref patient)) if patient.id().as_str() == "p1"), "{found:?}");
    };
    // The first one opens the connection.
    search(client.clone()).await;
    let mut searches = tokio::task::JoinSet::new();
    for _ in 0..200 {
        searches.spawn(search(client.clone()));
    }
    searches.join_all().await;
    assert_eq!(seen.requests.load(Ordering::Relaxed), 201);
    assert_eq!(seen.connections.load(Ordering::Relaxed), 1);
    server.abort();
}
