//! TLS with a CA of its own, and HTTP/2, which is spoken only over it.

use std::future::poll_fn;

use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::*;

/// A CA's PEM and an acceptor with a certificate of its for `localhost`.
pub(super) fn authority(protocol: &str) -> (String, TlsAcceptor) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::pki_types::PrivateKeyDer;

    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .unwrap();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    (ca_pem, TlsAcceptor::from(Arc::new(config)))
}

pub(super) fn trusting(ca_pem: &str, settings: Settings, metrics: &HttpMetrics) -> Client {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(ca_pem.as_bytes()).unwrap();
    let settings = Settings {
        ca_file: Some(file.path().to_owned()),
        ..settings
    };
    Client::new(&settings, metrics.clone()).unwrap()
}

#[tokio::test]
async fn tls_trusts_the_ca_file_and_checks_the_name() {
    let (ca_pem, acceptor) = authority("http/1.1");
    let address = endpoint(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                read_request(&mut stream).await;
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(answer).await.unwrap();
                stream.shutdown().await.ok();
            }
        }
    })
    .await;
    let trusting = trusting(&ca_pem, settings(), &HttpMetrics::unregistered());
    let by_name = format!("https://localhost:{}/", address.port());
    let answer = trusting.send(request(&by_name)).await.result;
    assert_eq!(answer.map(|answer| answer.status), Ok(200));
    let other_name = trusting
        .send(request(&format!("https://{address}/")))
        .await
        .result;
    assert_eq!(class(other_name), ("tls", None));
    let untrusted = client().send(request(&by_name)).await.result;
    assert_eq!(class(untrusted), ("tls", None));
}

#[test]
fn unusable_ca_files_are_refused_by_name() {
    fn check(content: Option<&str>, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let settings = Settings {
            ca_file: Some(path.clone()),
            ..settings()
        };
        let error = Client::new(&settings, HttpMetrics::unregistered())
            .err()
            .unwrap()
            .to_string();
        assert_eq!(error.replace(path.to_str().unwrap(), "FILE"), expected);
    }
    check(None, "cannot read certificates from FILE");
    check(
        Some("-----BEGIN CERTIFICATE-----\n"),
        "cannot read certificates from FILE",
    );
    check(Some("not pem"), "no certificate in FILE");
    check(
        Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        "cannot set up tls",
    );
}

#[tokio::test]
async fn http_2_is_bounded_alike_and_shares_one_connection() {
    let (ca_pem, acceptor) = authority("h2");
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    let address = endpoint(move |stream| {
        count.fetch_add(1, Ordering::SeqCst);
        let acceptor = acceptor.clone();
        async move { serve_http_2(acceptor.accept(stream).await.unwrap()).await }
    })
    .await;
    let client = trusting(&ca_pem, settings(), &HttpMetrics::unregistered());
    let send = async |path: &str, timeout| {
        let mut request = request(&format!("https://localhost:{}/{path}", address.port()));
        request.timeout = timeout;
        client.send(request).await.result
    };
    let answer = send("echo", PATIENCE).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"{\"a\":1.1"[..]));
    let answer = send("endless", PATIENCE).await.unwrap();
    assert_eq!(
        (answer.status, answer.body.len(), answer.truncated),
        (200, 8, true)
    );
    assert_eq!(class(send("reset", PATIENCE).await), ("reset", None));
    assert_eq!(class(send("hang", SHORT).await), ("timeout", None));
    assert_eq!(send("echo", PATIENCE).await.unwrap().status, 200);
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
    // Such a head ends the connection, and the next request gets a new one.
    assert_eq!(
        class(send("head", PATIENCE).await),
        ("response_too_large", None)
    );
    assert_eq!(send("echo", PATIENCE).await.unwrap().status, 200);
    assert_eq!(accepted.load(Ordering::SeqCst), 2);
}

pub(super) async fn serve_http_2(stream: TlsStream<TcpStream>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let mut streams = JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        streams.spawn(answer_http_2(request, respond));
    }
}

async fn answer_http_2(request: http::Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let (parts, mut body) = request.into_parts();
    let mut response = http::Response::new(());
    match parts.uri.path() {
        "/echo" => {
            let received = body.data().await.unwrap().unwrap();
            let mut sender = respond.send_response(response, false).unwrap();
            sender.send_data(received, true).unwrap();
        }
        "/endless" => {
            let mut sender = respond.send_response(response, false).unwrap();
            sender.reserve_capacity(16_384);
            while let Some(Ok(room)) = poll_fn(|context| sender.poll_capacity(context)).await {
                sender.send_data(vec![0; room].into(), false).unwrap();
                sender.reserve_capacity(16_384);
            }
        }
        "/reset" => respond.send_reset(Reason::INTERNAL_ERROR),
        "/head" => {
            let filler = "x".repeat(100_000).parse().unwrap();
            response.headers_mut().insert("x-filler", filler);
            respond.send_response(response, true).unwrap();
        }
        _ => pending().await,
    }
}

#[tokio::test]
async fn a_request_that_http_2_says_was_not_processed_is_sent_once_more() {
    async fn check(refusals: usize, expected: Result<u16, &str>) {
        let (ca_pem, acceptor) = authority("h2");
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        let address = endpoint(move |stream| {
            let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
            async move {
                let stream = acceptor.accept(stream).await.unwrap();
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    if count.fetch_add(1, Ordering::SeqCst) < refusals {
                        respond.send_reset(Reason::REFUSED_STREAM);
                    } else {
                        respond
                            .send_response(http::Response::new(()), true)
                            .unwrap();
                    }
                }
            }
        })
        .await;
        let metrics = HttpMetrics::unregistered();
        let client = trusting(&ca_pem, settings(), &metrics);
        let url = format!("https://localhost:{}/", address.port());
        let result = client.send(request(&url)).await.result;
        let result = result
            .map(|answer| answer.status)
            .map_err(|f| f.class.as_str());
        assert_eq!(result, expected);
        assert_eq!(seen.load(Ordering::SeqCst), 2);
        assert_eq!(metrics.times_sent_again("not_processed"), 1);
    }
    check(1, Ok(200)).await;
    check(9, Err("reset")).await;
}

#[tokio::test]
async fn requests_at_once_over_http_2_need_no_connection_that_stays() {
    let (ca_pem, acceptor) = authority("h2");
    let address = endpoint(move |stream| {
        let acceptor = acceptor.clone();
        async move { serve_http_2(acceptor.accept(stream).await.unwrap()).await }
    })
    .await;
    let none_kept = Settings {
        kept_connections: 0,
        connections_in_use: 8,
        ..settings()
    };
    let metrics = HttpMetrics::unregistered();
    let client = trusting(&ca_pem, none_kept, &metrics);
    for _ in 0..3 {
        let mut requests = JoinSet::new();
        for _ in 0..8 {
            let client = client.clone();
            let request = request(&format!("https://localhost:{}/echo", address.port()));
            requests.spawn(async move { client.send(request).await.result });
        }
        for result in requests.join_all().await {
            assert_eq!(result.map(|answer| answer.status), Ok(200));
        }
    }
}
