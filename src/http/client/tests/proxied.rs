//! Requests on their way through a proxy: a small one that speaks CONNECT, one that speaks SOCKS 5,
//! and some that are no good.

use tokio::io::copy_bidirectional;

use super::encrypted::{authority, serve_http_2, trusting};
use super::*;
use crate::http::{Bypass, Proxy};

/// What a proxy was asked for, one text for each connection.
type Asked = Arc<Mutex<Vec<String>>>;

/// Allows the target of most tests, which is not where the proxies are: those need no permission.
fn through(proxy: &str) -> Settings {
    Settings {
        address_policy: AddressPolicy::new(vec!["127.0.0.2/32".parse().unwrap()], false),
        proxy: Some(Proxy::parse(proxy).unwrap()),
        ..settings()
    }
}

fn client_through(proxy: &str) -> Client {
    Client::new(&through(proxy), HttpMetrics::unregistered()).unwrap()
}

/// Reads a head to its empty line, byte by byte: what follows is the tunnel's.
async fn read_head<S: AsyncReadExt + Unpin>(stream: &mut S) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

async fn tunnel_to<S: AsyncReadExt + AsyncWriteExt + Unpin>(mut stream: S, backend: SocketAddr) {
    let mut behind = TcpStream::connect(backend).await.unwrap();
    copy_bidirectional(&mut stream, &mut behind).await.ok();
}

/// Answers every CONNECT by a tunnel to `backend`, whatever it asks for.
async fn connect_proxy(backend: SocketAddr) -> (SocketAddr, Asked) {
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    let address = endpoint(move |mut stream| {
        let asked = Arc::clone(&noted);
        async move {
            let head = read_head(&mut stream).await;
            asked.lock().unwrap().push(head);
            stream
                .write_all(b"HTTP/1.1 200 Established\r\n\r\n")
                .await
                .unwrap();
            tunnel_to(stream, backend).await;
        }
    })
    .await;
    (address, asked)
}

/// Speaks SOCKS 5 with user and password, and answers every request with this reply; with 0 it makes
/// a tunnel to `backend`.
async fn socks_proxy(backend: SocketAddr, reply: u8) -> (SocketAddr, Asked) {
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    let address = endpoint(move |mut stream| {
        let asked = Arc::clone(&noted);
        async move {
            let mut text = String::new();
            let methods = read_counted(&mut stream, 1).await;
            let method = if methods.contains(&2) { 2 } else { 0 };
            stream.write_all(&[5, method]).await.unwrap();
            if method == 2 {
                let user = read_counted(&mut stream, 1).await;
                let password = read_counted(&mut stream, 0).await;
                stream.write_all(&[1, 0]).await.unwrap();
                let said = [user, b":".to_vec(), password, b"@".to_vec()].concat();
                text = String::from_utf8(said).unwrap();
            }
            let mut head = [0; 4];
            stream.read_exact(&mut head).await.unwrap();
            let host = match head[3] {
                1 => Ipv4Addr::from(stream.read_u32().await.unwrap()).to_string(),
                3 => String::from_utf8(read_counted(&mut stream, 0).await).unwrap(),
                other => format!("address type {other}"),
            };
            let port = stream.read_u16().await.unwrap();
            asked.lock().unwrap().push(format!("{text}{host}:{port}"));
            let answer = [5, reply, 0, 1, 0, 0, 0, 0, 0, 0];
            stream.write_all(&answer).await.unwrap();
            if reply == 0 {
                tunnel_to(stream, backend).await;
            }
        }
    })
    .await;
    (address, asked)
}

/// Some bytes, a length, and as many bytes.
async fn read_counted(stream: &mut TcpStream, before: usize) -> Vec<u8> {
    let mut skipped = vec![0; before];
    stream.read_exact(&mut skipped).await.unwrap();
    let length = stream.read_u8().await.unwrap();
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

/// An endpoint that repeats the head of what it got.
async fn mirror() -> SocketAddr {
    endpoint(|mut stream| async move {
        let request = read_request(&mut stream).await;
        let length = request.len();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{request}");
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await
}

#[tokio::test]
async fn a_connect_proxy_is_asked_for_the_address_and_told_who_asks() {
    let (proxy, asked) = connect_proxy(mirror().await).await;
    let settings = Settings {
        keep_response_bytes: 4_096,
        ..through(&format!("http://user:pa%20ss@{proxy}"))
    };
    let client = Client::new(&settings, HttpMetrics::unregistered()).unwrap();
    let answer = client
        .send(request("http://127.0.0.2:81/hook"))
        .await
        .result
        .unwrap();
    let said = "CONNECT 127.0.0.2:81 HTTP/1.1\r\nhost: 127.0.0.2:81\r\n\
                proxy-authorization: Basic dXNlcjpwYSBzcw==\r\n\r\n";
    assert_eq!(*asked.lock().unwrap(), [said]);
    let arrived = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(arrived.starts_with("POST /hook HTTP/1.1\r\n"), "{arrived}");
    assert!(!arrived.contains("proxy"), "{arrived}");
}

#[tokio::test]
async fn names_are_resolved_and_judged_here_and_stay_names_within_tls() {
    let (ca_pem, acceptor) = authority("h2");
    let backend = endpoint(move |stream| {
        let acceptor = acceptor.clone();
        async move { serve_http_2(acceptor.accept(stream).await.unwrap()).await }
    })
    .await;
    let (proxy, asked) = connect_proxy(backend).await;
    let settings = Settings {
        proxy: Some(Proxy::parse(&format!("http://{proxy}")).unwrap()),
        ..settings()
    };
    let client = trusting(&ca_pem, settings, &HttpMetrics::unregistered());
    for _ in 0..2 {
        let answer = client.send(request("https://localhost/echo")).await.result;
        assert_eq!(answer.map(|answer| answer.status), Ok(200));
    }
    // HTTP/2 through it, and one tunnel for both.
    let asked = asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        ["CONNECT 127.0.0.1:443 HTTP/1.1\r\nhost: 127.0.0.1:443\r\n\r\n"]
    );
}

#[tokio::test]
async fn a_proxy_may_be_spoken_to_by_tls() {
    let (ca_pem, acceptor) = authority("http/1.1");
    let backend = answering("HTTP/1.1 200 OK\r\n\r\n").await;
    let proxy = endpoint(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            tunnel_to(stream, backend).await;
        }
    })
    .await;
    let url = format!("https://localhost:{}", proxy.port());
    let client = trusting(&ca_pem, through(&url), &HttpMetrics::unregistered());
    let answer = client.send(request("http://127.0.0.2/")).await.result;
    assert_eq!(answer.map(|answer| answer.status), Ok(200));
    // One that is not trusted is no proxy.
    let failed = client_through(&url)
        .send(request("http://127.0.0.2/"))
        .await;
    assert_eq!(class(failed.result), ("proxy", None));
}

#[tokio::test]
async fn a_socks_proxy_is_asked_for_the_address() {
    async fn check(credentials: &str, expected: &str) {
        let backend = answering("HTTP/1.1 200 OK\r\n\r\n").await;
        let (proxy, asked) = socks_proxy(backend, 0).await;
        let client = client_through(&format!("socks5://{credentials}{proxy}"));
        let answer = client.send(request("http://127.0.0.2:81/")).await.result;
        assert_eq!(answer.map(|answer| answer.status), Ok(200));
        assert_eq!(*asked.lock().unwrap(), [expected]);
    }
    check("", "127.0.0.2:81").await;
    check("user:pa%3Ass@", "user:pa:ss@127.0.0.2:81").await;
}

#[tokio::test]
async fn forbidden_targets_are_not_asked_for() {
    let (proxy, asked) = connect_proxy(mirror().await).await;
    for proxy_resolves in [false, true] {
        let settings = Settings {
            proxy_resolves,
            ..through(&format!("http://{proxy}"))
        };
        let client = Client::new(&settings, HttpMetrics::unregistered()).unwrap();
        for host in [
            "127.0.0.1",
            "0x7f.1",
            "[::1]",
            "[::ffff:7f00:1]",
            "localhost",
            "a.localhost",
        ] {
            for scheme in ["http", "https"] {
                let failure = client.send(request(&format!("{scheme}://{host}/"))).await;
                assert_eq!(class(failure.result), ("refused_address", None), "{host}");
            }
        }
        let failure = client.send(request("http://no-such-name.invalid/")).await;
        assert_eq!(class(failure.result), ("dns", None));
    }
    assert_eq!(*asked.lock().unwrap(), [""; 0]);
}

#[tokio::test]
async fn names_are_left_to_the_proxy_where_the_operator_says_so() {
    let backend = answering("HTTP/1.1 200 OK\r\n\r\n").await;
    let (by_connect, asked_by_connect) = connect_proxy(backend).await;
    let (by_socks, asked_by_socks) = socks_proxy(backend, 0).await;
    for proxy in [
        format!("http://{by_connect}"),
        format!("socks5://{by_socks}"),
    ] {
        let settings = Settings {
            proxy_resolves: true,
            ..through(&proxy)
        };
        let client = Client::new(&settings, HttpMetrics::unregistered()).unwrap();
        let answer = client.send(request("http://shop.example/")).await.result;
        assert_eq!(answer.map(|answer| answer.status), Ok(200));
    }
    let said = "CONNECT shop.example:80 HTTP/1.1\r\nhost: shop.example:80\r\n\r\n";
    assert_eq!(*asked_by_connect.lock().unwrap(), [said]);
    assert_eq!(*asked_by_socks.lock().unwrap(), ["shop.example:80"]);
}

#[tokio::test]
async fn some_targets_go_past_the_proxy() {
    let (proxy, asked) = connect_proxy(mirror().await).await;
    let target = answering("HTTP/1.1 204 Direct\r\n\r\n").await;
    let settings = Settings {
        address_policy: settings().address_policy,
        bypass: vec![Bypass::parse("127.0.0.1").unwrap()],
        ..through(&format!("http://{proxy}"))
    };
    let client = Client::new(&settings, HttpMetrics::unregistered()).unwrap();
    let answer = client
        .send(request(&format!("http://{target}/")))
        .await
        .result;
    assert_eq!(answer.map(|answer| answer.status), Ok(204));
    assert_eq!(asked.lock().unwrap().len(), 0);
    let answer = client.send(request("http://127.0.0.2/")).await.result;
    assert_eq!(answer.map(|answer| answer.status), Ok(200));
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_proxy_that_refuses_is_told_from_a_target_that_it_cannot_reach() {
    async fn check_within(connect_timeout: Duration, proxy: String, expected: &str) {
        let settings = Settings {
            connect_timeout,
            ..through(&proxy)
        };
        let client = Client::new(&settings, HttpMetrics::unregistered()).unwrap();
        let failure = client
            .send(request("http://127.0.0.2/?hidden"))
            .await
            .result
            .unwrap_err();
        assert_eq!(failure.class.as_str(), expected, "{proxy}: {failure:?}");
        assert!(!failure.message.contains("hidden"), "{failure:?}");
    }
    async fn check(proxy: String, expected: &str) {
        check_within(PATIENCE, proxy, expected).await;
    }
    async fn check_answer(answer: &'static str, expected: &str) {
        let proxy = answering(answer).await;
        check(format!("http://user:hidden@{proxy}"), expected).await;
    }
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    check(format!("http://{free}"), "proxy").await;
    check(format!("socks5://user:hidden@{free}"), "proxy").await;
    check("http://no-such-proxy.invalid".to_owned(), "proxy").await;
    for answer in [
        "HTTP/1.1 407 Who are you?\r\n\r\n",
        "HTTP/1.1 403 No\r\n\r\n",
        "HTTP/1.1 500 Oops\r\n\r\n",
        "HTTP/1.1 302 Away\r\nlocation: http://127.0.0.1/\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "HTTP/1.1 200 OK\r\n\r\nmore",
        "HTTP/1.1 200",
        "",
    ] {
        check_answer(answer, "proxy").await;
    }
    check_answer("HTTP/1.1 502 Bad Gateway\r\n\r\n", "connect").await;
    check_answer("HTTP/1.1 503 Away\r\n\r\n", "connect").await;
    check_answer("HTTP/1.1 504 Gateway Timeout\r\n\r\n", "connect").await;
    let (endless, _) = endless("HTTP/1.1 200 OK\r\n", b"x-filler: xxxxxxxxxxxxxxxxxxxx\r\n").await;
    check(format!("http://{endless}"), "proxy").await;
    // It took the request and says nothing: it waits for the target.
    let hanging = endpoint(|stream| async move {
        pending::<()>().await;
        drop(stream);
    })
    .await;
    check_within(SHORT, format!("http://{hanging}"), "timeout_connect").await;
    // Without TLS there is no connection to the proxy yet.
    check_within(SHORT, format!("https://{hanging}"), "proxy").await;
    for (reply, expected) in [
        (1, "proxy"),
        (2, "proxy"),
        (3, "proxy"),
        (4, "connect"),
        (5, "connect"),
        (6, "connect"),
        (7, "proxy"),
        (8, "proxy"),
        (99, "proxy"),
    ] {
        let (proxy, _) = socks_proxy(free, reply).await;
        check(format!("socks5://{proxy}"), expected).await;
    }
}
