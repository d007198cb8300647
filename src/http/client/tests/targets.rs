//! Which targets are dialled, and what it is called when they are not reached.

use super::*;

#[tokio::test]
async fn targets_that_cannot_be_reached_have_a_class() {
    async fn check(url: &str, expected: &str) {
        let failure = client().send(request(url)).await.result.unwrap_err();
        assert_eq!(failure.class.as_str(), expected, "{url}: {failure:?}");
    }
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    check(&format!("http://{free}/"), "connect").await;
    check(&format!("https://{free}/"), "connect").await;
    check("https://no-such-name.invalid/", "dns").await;
    let plain = endpoint(|mut stream| async move {
        let greeting = b"HTTP/1.1 400 Bad\r\n\r\n";
        stream.write_all(greeting).await.unwrap();
        pending::<()>().await;
    })
    .await;
    check(&format!("https://{plain}/"), "tls").await;
    let closing = endpoint(|stream| async move { drop(stream) }).await;
    let failure = client()
        .send(request(&format!("https://{closing}/")))
        .await
        .result;
    assert!(matches!(class(failure).0, "tls" | "reset")); // by how fast the close is
    let long = format!("http://{plain}/{}", "x".repeat(70_000));
    check(&long, "invalid_request").await;
}

#[tokio::test]
async fn a_handshake_that_hangs_is_a_connect_timeout() {
    let hanging = endpoint(|stream| async move {
        pending::<()>().await;
        drop(stream);
    })
    .await;
    let client = Client::new(
        &Settings {
            connect_timeout: SHORT,
            ..settings()
        },
        HttpMetrics::unregistered(),
    );
    let exchange = client
        .unwrap()
        .send(request(&format!("https://{hanging}/")))
        .await;
    assert_eq!(class(exchange.result), ("timeout_connect", None));
}

#[tokio::test]
async fn forbidden_addresses_are_not_dialled() {
    let dialled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dialled);
    let address = endpoint(move |stream| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { drop(stream) }
    })
    .await;
    let port = address.port();
    let strict = Client::new(
        &Settings {
            address_policy: AddressPolicy::new(Vec::new(), true),
            ..settings()
        },
        HttpMetrics::unregistered(),
    )
    .unwrap();
    for host in [
        "127.0.0.1",
        "2130706433",
        "0177.0.0.1",
        "0x7f.1",
        "127.1",
        "0",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[::]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "a@127.0.0.1",
        "public.example:80@localhost",
        "①②⑦.⓪.⓪.①",
        "ｌｏｃａｌｈｏｓｔ",
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/?token=hidden");
            let failure = strict.send(request(&url)).await.result.unwrap_err();
            assert_eq!(
                failure.class,
                ErrorClass::RefusedAddress,
                "{url}: {failure:?}"
            );
            assert!(!failure.message.contains("hidden"), "{failure:?}");
        }
    }
    // Some systems look this one up outside, where it does not exist.
    let rooted = strict.send(request(&format!("http://localhost.:{port}/")));
    assert!(matches!(
        class(rooted.await.result).0,
        "refused_address" | "dns"
    ));
    assert_eq!(dialled.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_allowed_network_opens_names_and_plain_http() {
    let address = answering("HTTP/1.1 200 OK\r\n\r\n").await;
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{}/", address.port());
        let answer = client().send(request(&url)).await.result;
        assert_eq!(answer.map(|answer| answer.status), Ok(200), "{url}");
    }
}
