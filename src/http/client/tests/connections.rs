//! Which connections stay open, and what becomes of a request that meets one that has just closed.

use tokio::sync::Barrier;

use super::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// What an endpoint was seen to do.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
    closed: AtomicUsize,
    changed: Notify,
}

impl Seen {
    fn counts(&self) -> (usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        (count(&self.connections), count(&self.requests))
    }

    async fn wait_for_closed(&self, connections: usize) {
        let closed = async {
            while self.closed.load(Ordering::SeqCst) < connections {
                self.changed.notified().await;
            }
        };
        tokio::time::timeout(PATIENCE, closed).await.unwrap();
    }
}

/// An endpoint that gives its requests these answers one after the other, over all connections, and
/// 200 to all after them. None: it closes the connection without a byte.
async fn scripted(answers: &'static [Option<&'static str>]) -> (String, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let noted = Arc::clone(&seen);
    let address = endpoint(move |mut stream| {
        let seen = Arc::clone(&noted);
        seen.connections.fetch_add(1, Ordering::SeqCst);
        async move {
            while !read_request(&mut stream).await.is_empty() {
                let number = seen.requests.fetch_add(1, Ordering::SeqCst);
                match answers.get(number) {
                    None => stream.write_all(OK).await.unwrap(),
                    Some(None) => break,
                    Some(Some(answer)) => {
                        stream.write_all(answer.as_bytes()).await.unwrap();
                        if *answer != WHOLE {
                            break;
                        }
                    }
                }
            }
            stream.shutdown().await.ok();
            seen.closed.fetch_add(1, Ordering::SeqCst);
            seen.changed.notify_one();
        }
    })
    .await;
    (format!("http://{address}/"), seen)
}

const WHOLE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn a_request_that_meets_a_close_is_sent_once_more_if_no_byte_came_back() {
    async fn check(
        answers: &'static [Option<&'static str>],
        expected: &str,
        connections_and_requests: (usize, usize),
        sent_again: u64,
    ) {
        let (url, seen) = scripted(answers).await;
        let metrics = HttpMetrics::unregistered();
        let client = Client::new(&settings(), metrics.clone()).unwrap();
        let mut last = client.send(request(&url)).await.result;
        if last.is_ok() {
            last = client.send(request(&url)).await.result;
        }
        let last = last.map_or_else(|failure| failure.class.as_str(), |_| "answered");
        assert_eq!(last, expected, "{answers:?}");
        assert_eq!(seen.counts(), connections_and_requests, "{answers:?}");
        assert_eq!(metrics.times_sent_again("dead_connection"), sent_again);
    }
    check(&[], "answered", (1, 2), 0).await;
    // The keep-alive race: the second request goes out as the connection closes.
    check(&[Some(WHOLE), None], "answered", (2, 3), 1).await;
    // Only once, even if that ends the same way.
    check(&[Some(WHOLE), None, None], "reset", (2, 3), 1).await;
    // A byte came: the endpoint is at it, or was.
    check(&[Some(WHOLE), Some("H")], "reset", (1, 2), 0).await;
    check(
        &[Some(WHOLE), Some("HTTP/1.1 200 OK\r\n")],
        "reset",
        (1, 2),
        0,
    )
    .await;
    // A new connection crosses no close.
    check(&[None], "reset", (1, 1), 0).await;
}

#[tokio::test]
async fn what_may_no_longer_leave_is_not_sent_once_more() {
    let (url, seen) = scripted(&[Some(WHOLE), None]).await;
    let client = client();
    assert!(client.send(request(&url)).await.result.is_ok());
    let asked = AtomicUsize::new(0);
    let only_once = move || asked.fetch_add(1, Ordering::SeqCst) == 0;
    // The first copy left, so the attempt was made, and this is how it ended.
    let exchange = client.send_if(request(&url), only_once).await.unwrap();
    assert_eq!(class(exchange.result), ("reset", None));
    assert_eq!(seen.requests.load(Ordering::SeqCst), 2);
    // What never left is none.
    let exchange = client.send_if(request(&url), || false).await;
    assert_eq!(exchange, None);
}

#[tokio::test]
async fn no_answer_in_time_is_not_a_reason_to_send_once_more() {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let address = endpoint(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            while !read_request(&mut stream).await.is_empty() {
                if count.fetch_add(1, Ordering::SeqCst) == 0 {
                    stream.write_all(OK).await.unwrap();
                }
            }
        }
    })
    .await;
    let client = client();
    let mut request = request(&format!("http://{address}/"));
    assert!(client.send(request.clone()).await.result.is_ok());
    request.timeout = SHORT;
    assert_eq!(class(client.send(request).await.result), ("timeout", None));
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn unused_connections_are_closed_in_time() {
    let (url, seen) = scripted(&[]).await;
    let metrics = HttpMetrics::unregistered();
    let short = Settings {
        idle_timeout: SHORT,
        ..settings()
    };
    let client = Client::new(&short, metrics.clone()).unwrap();
    assert!(client.send(request(&url)).await.result.is_ok());
    seen.wait_for_closed(1).await;
    assert!(client.send(request(&url)).await.result.is_ok());
    assert_eq!(seen.counts(), (2, 2));
    assert_eq!(metrics.times_sent_again("dead_connection"), 0);
    assert!(Settings::default().idle_timeout < Duration::from_secs(60));
}

#[tokio::test]
async fn only_so_many_unused_connections_stay_open_for_one_host() {
    let seen = Arc::new(Seen::default());
    let noted = Arc::clone(&seen);
    let all_there = Arc::new(Barrier::new(3));
    let address = endpoint(move |mut stream| {
        let (seen, all_there) = (Arc::clone(&noted), Arc::clone(&all_there));
        async move {
            read_request(&mut stream).await;
            all_there.wait().await;
            stream.write_all(OK).await.unwrap();
            assert_eq!(read_request(&mut stream).await, "");
            seen.closed.fetch_add(1, Ordering::SeqCst);
            seen.changed.notify_one();
        }
    })
    .await;
    let metrics = HttpMetrics::unregistered();
    let one = Settings {
        idle_per_host: 1,
        ..settings()
    };
    let client = Client::new(&one, metrics.clone()).unwrap();
    let send = || client.send(request(&format!("http://{address}/")));
    let (first, second, third) = tokio::join!(send(), send(), send());
    for exchange in [first, second, third] {
        assert!(exchange.result.is_ok(), "{exchange:?}");
    }
    seen.wait_for_closed(2).await;
    until(|| metrics.open() == 1).await;
}

#[tokio::test]
async fn beyond_what_is_kept_connections_serve_one_request() {
    let (kept, seen_kept) = scripted(&[]).await;
    let (beyond, seen_beyond) = scripted(&[]).await;
    let metrics = HttpMetrics::unregistered();
    let one = Settings {
        kept_connections: 1,
        connections_in_use: 1,
        ..settings()
    };
    let client = Client::new(&one, metrics.clone()).unwrap();
    for round in 1..=3 {
        for url in [&kept, &beyond] {
            let answer = client.send(request(url)).await.result;
            assert!(answer.is_ok(), "{answer:?}");
        }
        seen_beyond.wait_for_closed(round).await;
    }
    assert_eq!(seen_kept.counts(), (1, 3));
    assert_eq!(seen_beyond.counts(), (3, 3));
    until(|| metrics.open() == 1).await;
}

#[tokio::test]
async fn without_a_place_for_a_connection_it_is_our_own_fault() {
    let hanging = endpoint(|stream| async move {
        pending::<()>().await;
        drop(stream);
    })
    .await;
    let tight = Settings {
        kept_connections: 0,
        connections_in_use: 1,
        connect_timeout: SHORT,
        ..settings()
    };
    let metrics = HttpMetrics::unregistered();
    let client = Client::new(&tight, metrics.clone()).unwrap();
    let url = format!("http://{hanging}/");
    let (holder, request_of_holder) = (client.clone(), request(&url));
    let held = tokio::spawn(async move { holder.send(request_of_holder).await });
    until(|| metrics.open() == 1).await;
    assert_eq!(
        class(client.send(request(&url)).await.result),
        ("resources", None)
    );
    held.abort();
}

/// Lets the runtime work until something holds.
async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}
