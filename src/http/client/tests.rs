//! The client against endpoints that misbehave, each a raw socket that says what a test wants.

mod connections;
mod encrypted;
mod proxied;
mod targets;

use std::future::pending;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use url::Url;

use super::*;

/// Long enough for a busy machine, and what a test waits when it fails.
const PATIENCE: Duration = Duration::from_secs(20);
/// For what is meant to time out.
const SHORT: Duration = Duration::from_millis(200);

fn settings() -> Settings {
    Settings {
        address_policy: AddressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()], false),
        keep_response_bytes: 8,
        ..Settings::default()
    }
}

fn client() -> Client {
    Client::new(&settings(), HttpMetrics::unregistered()).unwrap()
}

fn request(url: &str) -> Request {
    Request {
        method: Method::POST,
        url: Url::parse(url).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{\"a\":1.10}"),
        timeout: PATIENCE,
    }
}

/// Listens on a free port and hands every connection to `serve`; ends with the test's runtime.
async fn endpoint<S, F>(serve: S) -> SocketAddr
where
    S: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// Reads one request, head and body, as it is on the wire; empty when the connection is closed.
async fn read_request<S: AsyncReadExt + Unpin>(stream: &mut S) -> String {
    let mut raw = Vec::new();
    loop {
        if let Ok(text) = str::from_utf8(&raw)
            && let Some((head, body)) = text.split_once("\r\n\r\n")
        {
            let length = head.split("content-length: ").nth(1).unwrap_or("0");
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if body.len() >= length {
                return text.to_owned();
            }
        }
        if stream.read_buf(&mut raw).await.unwrap_or(0) == 0 {
            return String::new();
        }
    }
}

/// An endpoint that gives every request the same answer, bytes as they are, and then closes.
async fn answering(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer: Bytes = answer.into().into();
    endpoint(move |mut stream| {
        let answer = answer.clone();
        async move {
            read_request(&mut stream).await;
            stream.write_all(&answer).await.ok(); // it may be cut
            stream.shutdown().await.ok();
        }
    })
    .await
}

/// An endpoint that answers with a start and then the same bytes for ever; counts the bytes.
async fn endless(start: &'static str, rest: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let address = endpoint(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            read_request(&mut stream).await;
            stream.write_all(start.as_bytes()).await.unwrap();
            while stream.write_all(rest).await.is_ok() {
                count.fetch_add(rest.len(), Ordering::SeqCst);
            }
        }
    })
    .await;
    (address, written)
}

async fn send_to(address: SocketAddr) -> Result<Answer, Failure> {
    client()
        .send(request(&format!("http://{address}/")))
        .await
        .result
}

fn class(result: Result<Answer, Failure>) -> (&'static str, Option<u16>) {
    let failure = result.unwrap_err();
    (failure.class.as_str(), failure.status)
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn answers_are_kept_up_to_the_bound() {
    async fn check(answer: impl Into<Vec<u8>>, status: u16, body: &'static str, truncated: bool) {
        let expected = Answer {
            status,
            retry_after: None,
            body: body.into(),
            truncated,
            cut: false,
        };
        assert_eq!(send_to(answering(answer).await).await, Ok(expected));
    }
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        200,
        "ok",
        false,
    )
    .await;
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n123456789",
        200,
        "12345678",
        true,
    )
    .await;
    check("HTTP/1.1 204 No Content\r\n\r\n", 204, "", false).await;
    check("HTTP/1.1 500 Oops\r\n\r\nuntil end", 500, "until en", true).await;
    check("HTTP/1.0 404 Not Found\r\n\r\ngone", 404, "gone", false).await;
    let chunked =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n";
    check(chunked, 200, "abcde", false).await;
    let informed =
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
    check(informed, 202, "", false).await;
    let gzipped = |body: &[u8]| {
        let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n";
        [head.as_bytes(), body].concat()
    };
    check(gzipped(&gzip(b"packed")), 200, "packed", false).await;
    // What cannot be decompressed says nothing about the delivery.
    check(gzipped(b"not packed"), 200, "", true).await;
    check(gzipped(b""), 200, "", false).await;
}

#[tokio::test]
async fn what_is_sent_is_what_was_asked_for() {
    let seen = Arc::new(Mutex::new(String::new()));
    let record = Arc::clone(&seen);
    let address = endpoint(move |mut stream| {
        let record = Arc::clone(&record);
        async move {
            *record.lock().unwrap() = read_request(&mut stream).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    let mut request = request(&format!(
        "http://us%20er:pa%3Ass@{address}/hook?token=t#part"
    ));
    request.headers.append("x-team", "a".parse().unwrap());
    request.headers.append("x-team", "b".parse().unwrap());
    assert!(client().send(request).await.result.is_ok());
    let seen = seen.lock().unwrap().clone();
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = head.lines().collect();
    lines[1..].sort_unstable();
    let expected = [
        "POST /hook?token=t HTTP/1.1",
        "accept-encoding: gzip",
        "accept: */*",
        "authorization: Basic dXMgZXI6cGE6c3M=",
        "content-length: 10",
        &format!("host: {address}"),
        &format!("user-agent: {}", Settings::default().user_agent),
        "x-team: a",
        "x-team: b",
    ];
    assert_eq!(lines, expected);
    assert_eq!(body, "{\"a\":1.10}");
}

#[tokio::test]
async fn redirects_are_answers_and_retry_after_is_passed_on() {
    let target = answering("HTTP/1.1 200 OK\r\n\r\n").await;
    for status in [301, 302, 303, 307, 308] {
        let redirect = format!("HTTP/1.1 {status} Away\r\nlocation: http://{target}/\r\n\r\n");
        let answer = send_to(answering(redirect).await).await.unwrap();
        assert_eq!(answer.status, status);
    }
    let busy = "HTTP/1.1 503 Busy\r\nretry-after: 120\r\n\r\n";
    let answer = send_to(answering(busy).await).await.unwrap();
    assert_eq!(answer.retry_after.as_deref(), Some("120"));
    let long = format!(
        "HTTP/1.1 503 Busy\r\nretry-after: {}\r\n\r\n",
        "1".repeat(100)
    );
    let answer = send_to(answering(long).await).await.unwrap();
    assert_eq!(answer.retry_after, None);
}

#[tokio::test]
async fn broken_answers_have_a_class() {
    async fn check(answer: impl Into<Vec<u8>>, expected: (&str, Option<u16>)) {
        assert_eq!(class(send_to(answering(answer).await).await), expected);
    }
    check("", ("reset", None)).await;
    check("HTTP/1.1 200", ("reset", None)).await;
    check("HTTP/1.1 200 OK\r\ncontent-len", ("reset", None)).await;
    check("SSH-2.0-OpenSSH_9.6\r\n", ("protocol", None)).await;
    check("\0\u{1}\u{2}\u{3}\r\n\r\n", ("protocol", None)).await;
    check("HTTP/1.1 99999 OK\r\n\r\n", ("protocol", None)).await;
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        ("protocol", None),
    )
    .await;
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
        ("reset", Some(200)),
    )
    .await;
    let bad_chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n";
    check(bad_chunk, ("protocol", Some(200))).await;
    let many = "a: b\r\n".repeat(1_000);
    check(
        format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
        ("response_too_large", None),
    )
    .await;
    let packed = gzip(b"packed, but the connection ends in the middle of it");
    let mut cut = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        packed.len()
    );
    cut.push('\u{1f}');
    check(cut, ("reset", Some(200))).await;
}

#[tokio::test]
async fn resets_have_a_class() {
    for before_reset in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"] {
        let address = endpoint(move |mut stream| async move {
            read_request(&mut stream).await;
            stream.write_all(before_reset.as_bytes()).await.unwrap();
            stream.set_zero_linger().unwrap();
        })
        .await;
        // A reset may overtake the status.
        assert_eq!(class(send_to(address).await).0, "reset");
    }
}

#[tokio::test]
async fn the_timeout_is_that_of_the_whole_exchange() {
    async fn check(start: &'static str, drip: bool, expected: (&str, Option<u16>)) {
        let address = endpoint(move |mut stream| async move {
            read_request(&mut stream).await;
            stream.write_all(start.as_bytes()).await.unwrap();
            while drip && stream.write_all(b"1\r\nx\r\n").await.is_ok() {
                tokio::time::sleep(SHORT / 10).await; // what this endpoint does, not a wait for it
            }
            pending::<()>().await;
        })
        .await;
        let mut request = request(&format!("http://{address}/"));
        request.timeout = SHORT;
        let exchange = client().send(request).await;
        assert_eq!(class(exchange.result), expected);
        assert!(exchange.duration >= SHORT && exchange.duration < PATIENCE);
    }
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    check("", false, ("timeout", None)).await;
    check("HTTP/1.1 200 OK\r\nx: ", false, ("timeout", None)).await;
    check(CHUNKED, false, ("timeout", Some(200))).await;
    check(CHUNKED, true, ("timeout", Some(200))).await;
}

#[tokio::test]
async fn endless_answers_are_cut() {
    /// Socket buffers take some megabytes on their own; far from what an unbounded read takes.
    const BUFFERED: usize = 32 * 1024 * 1024;
    static ZEROS: [u8; 65_536] = [0; 65_536];
    let (address, written) = endless(
        "HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n",
        &ZEROS,
    )
    .await;
    let answer = send_to(address).await.unwrap();
    assert_eq!(
        (answer.status, answer.body.len(), answer.truncated),
        (200, 8, true)
    );
    assert!(written.load(Ordering::SeqCst) < BUFFERED);

    let (address, written) = endless(
        "HTTP/1.1 200 OK\r\n",
        b"x-filler: xxxxxxxxxxxxxxxxxxxxxxx\r\n",
    )
    .await;
    assert_eq!(class(send_to(address).await), ("response_too_large", None));
    assert!(written.load(Ordering::SeqCst) < BUFFERED);

    let (address, written) = endless("HTTP/1.1 200 OK\r\nx-one-line: ", &[b'x'; 1024]).await;
    assert_eq!(class(send_to(address).await), ("response_too_large", None));
    assert!(written.load(Ordering::SeqCst) < BUFFERED);
}

#[tokio::test]
async fn a_gzip_bomb_is_cut_by_what_it_unpacks_to() {
    let bomb = gzip(&vec![0; 256 * 1024]); // some 300 bytes on the wire
    let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n";
    // Each member alone unpacks to more than the bound.
    let endless = [head.as_bytes(), &bomb.repeat(10_000)].concat();
    let answer = send_to(answering(endless).await).await.unwrap();
    assert_eq!(
        (answer.status, &answer.body[..], answer.truncated),
        (200, &[0; 8][..], true)
    );
}

#[tokio::test]
async fn connections_are_used_again_and_dead_ones_replaced() {
    let accepted = Arc::new(AtomicUsize::new(0));
    let closed = Arc::new(Notify::new());
    let (count, close) = (Arc::clone(&accepted), Arc::clone(&closed));
    let address = endpoint(move |mut stream| {
        count.fetch_add(1, Ordering::SeqCst);
        let close = Arc::clone(&close);
        async move {
            // Two requests on each connection, then it is closed without a word.
            for _ in 0..2 {
                read_request(&mut stream).await;
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n123456789";
                stream.write_all(answer).await.unwrap();
            }
            drop(stream);
            close.notify_one();
        }
    })
    .await;
    let client = client();
    for sent in 1..=6 {
        let answer = client.send(request(&format!("http://{address}/"))).await;
        assert!(answer.result.is_ok(), "{sent}: {answer:?}");
        if sent % 2 == 0 {
            closed.notified().await;
            // The close is at our socket; let the runtime look at its sockets.
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
        }
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 3);
}
