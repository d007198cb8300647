//! The process that requests arrive at. It does as little as it can: it shares the machine with what
//! is measured.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{convert::Infallible, future::poll_fn, thread};

use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;

use super::load::{self, PRODUCED_AT};
use super::talk::say;

/// What has arrived since the last reset. Times in microseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Count {
    /// All requests.
    pub requests: u64,
    /// Different deliveries among them.
    pub distinct: u64,
    /// When the last different one came, since the Unix epoch.
    pub last_at: u64,
    /// From produced to arrived: the 50th, 95th and 99th percentile and the most; none where requests
    /// do not say when they were produced.
    pub latency: Option<[u64; 4]>,
}

struct Tally {
    requests: u64,
    /// Hashes of delivery ids.
    ids: HashSet<u64>,
    hasher: RandomState,
    last_at: u64,
    latency: Histogram<u64>,
}

type Shared = Arc<Mutex<Tally>>;

/// Listens on `endpoints` ports of 127.0.0.1, says where, and answers each line of stdin (`count`,
/// `reset`) with a [`Count`] until it ends.
///
/// # Errors
/// No sockets.
pub fn run(endpoints: u32, delay: Duration) -> io::Result<()> {
    let tally = Arc::new(Mutex::new(Tally::default()));
    let shared = Arc::clone(&tally);
    // One thread: two would fight with what is measured.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut listeners = Vec::new();
    for _ in 0..endpoints {
        listeners.push(runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?);
    }
    let listening: io::Result<Vec<SocketAddr>> =
        listeners.iter().map(TcpListener::local_addr).collect();
    say(&json!({ "listening": listening? }))?;
    let served = thread::Builder::new().name("receiver".into());
    served.spawn(move || {
        for listener in listeners {
            runtime.spawn(accept(listener, Arc::clone(&shared), delay));
        }
        runtime.block_on(std::future::pending::<()>());
    })?;
    for line in io::stdin().lock().lines() {
        let mut tally = lock(&tally);
        if line? == "reset" {
            *tally = Tally::default();
        }
        let count = tally.count();
        drop(tally);
        say(&count)?;
    }
    Ok(())
}

async fn accept(listener: TcpListener, tally: Shared, delay: Duration) {
    while let Ok((stream, _)) = listener.accept().await {
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let tally = Arc::clone(&tally);
        let service = service_fn(move |request| answer(request, Arc::clone(&tally), delay));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    request: Request<Incoming>,
    tally: Shared,
    delay: Duration,
) -> Result<Response<String>, Infallible> {
    let arrived = load::now();
    let (head, mut body) = request.into_parts();
    let mut start = Bytes::new();
    while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame.into_data()
            && start.is_empty()
        {
            start = data;
        }
    }
    let id = head.headers.get("webhook-id").map(|id| id.as_bytes());
    lock(&tally).arrived(id, produced_at(&start), arrived);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// The event's own word, in microseconds since the Unix epoch. It stands near the beginning.
fn produced_at(body: &[u8]) -> Option<u64> {
    let key = PRODUCED_AT.as_bytes();
    let at = body.windows(key.len()).position(|found| found == key)?;
    let digits = body[at + key.len()..]
        .iter()
        .skip_while(|byte| !byte.is_ascii_digit());
    digits
        .take_while(|byte| byte.is_ascii_digit())
        .try_fold(0_u64, |number, digit| {
            number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            requests: 0,
            ids: HashSet::new(),
            hasher: RandomState::new(),
            last_at: 0,
            latency: histogram(),
        }
    }
}

/// Up to ten minutes, three digits.
fn histogram() -> Histogram<u64> {
    const LONGEST: u64 = 600_000_000;
    match Histogram::new_with_max(LONGEST, 3) {
        Ok(histogram) => histogram,
        // Cannot be: the numbers are constants that fit.
        Err(error) => unreachable!("{error}"),
    }
}

impl Tally {
    fn arrived(&mut self, id: Option<&[u8]>, produced_at: Option<u64>, now: u64) {
        self.requests += 1;
        let is_new = match id {
            Some(id) => self.ids.insert(self.hasher.hash_one(id)),
            None => false,
        };
        if !is_new {
            return;
        }
        self.last_at = now;
        if let Some(produced_at) = produced_at {
            self.latency
                .saturating_record(now.saturating_sub(produced_at));
        }
    }

    fn count(&self) -> Count {
        let at = |quantile| self.latency.value_at_quantile(quantile);
        let latency = [at(0.50), at(0.95), at(0.99), self.latency.max()];
        Count {
            requests: self.requests,
            distinct: self.ids.len() as u64,
            last_at: self.last_at,
            latency: (!self.latency.is_empty()).then_some(latency),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_when_its_event_was_produced() {
        fn check(body: &str, expected: Option<u64>) {
            assert_eq!(produced_at(body.as_bytes()), expected, "{body}");
        }
        check(
            r#"{"type":"a","data":{"produced_at":17,"number":3}}"#,
            Some(17),
        );
        check(r#"{"data":{"produced_at": 99999999999999999999999}}"#, None);
        check("{}", None);
        let event = load::event(5, "bench.0", 400, 1_234);
        check(&event, Some(1_234));
    }

    #[test]
    fn copies_are_told_from_deliveries() {
        let mut tally = Tally::default();
        tally.arrived(Some(b"a"), Some(1_000), 3_000);
        tally.arrived(Some(b"b"), Some(2_000), 3_500);
        tally.arrived(Some(b"a"), Some(1_000), 9_000);
        let count = tally.count();
        assert_eq!(
            (count.requests, count.distinct, count.last_at),
            (3, 2, 3_500)
        );
        assert_eq!(count.latency.map(|it| it[3] / 10), Some(200));
    }
}
