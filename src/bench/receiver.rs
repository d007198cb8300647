//! The process that requests arrive at. It does as little as it can: it shares the machine with what
//! is measured.

use std::collections::HashMap;
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
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

use super::load::{self, PRODUCED_AT};
use super::talk::say;

/// What the subscriptions of a run wait before a request is made again.
pub(super) const RETRY_WAIT: Duration = Duration::from_secs(5);
const BACKLOG: u32 = 1_024;

/// What has arrived since the last reset. Times in microseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Count {
    /// All requests.
    pub requests: u64,
    /// Different deliveries among them that were taken.
    pub distinct: u64,
    /// Requests that were answered 503, on purpose.
    pub failed: u64,
    /// When the first was taken, and when the last different one, since the Unix epoch.
    pub taken_at: Option<(u64, u64)>,
    /// From produced to arrived, of those whose first request was taken; none where requests do not say
    /// when they were produced.
    pub latency: Option<Percentiles>,
    /// Of those whose first request failed: how long after they were due the second came.
    pub lateness: Option<Percentiles>,
    /// How many of those came before they were due.
    pub early: u64,
    /// Of those too, or of all if none failed: how much younger the youngest was that had come before.
    pub overtaken: Option<Percentiles>,
}

/// The 50th, 95th and 99th percentile, and the most.
pub type Percentiles = [u64; 4];

struct Tally {
    requests: u64,
    failed: u64,
    distinct: u64,
    early: u64,
    /// By the hashes of delivery ids.
    deliveries: HashMap<u64, Delivery>,
    hasher: RandomState,
    taken_at: Option<(u64, u64)>,
    /// When the youngest was produced that has come.
    youngest: u64,
    latency: Histogram<u64>,
    lateness: Histogram<u64>,
    overtaken: Histogram<u64>,
    /// The share of deliveries whose first request fails.
    failing: f64,
}

#[derive(Clone, Copy)]
enum Delivery {
    /// Its second request is due then.
    Due(u64),
    Taken,
}

type Shared = Arc<Mutex<Tally>>;

/// Takes `endpoints` ports of 127.0.0.1, says which, and listens on them: at once, or if it is `deaf`
/// when it is told so. Answers each line of stdin (`count`, `reset`, `listen`, `fail SHARE`) with a
/// [`Count`] until it ends.
///
/// # Errors
/// No sockets.
pub fn run(endpoints: u32, delay: Duration, deaf: bool) -> io::Result<()> {
    let tally = Arc::new(Mutex::new(Tally::default()));
    let shared = Arc::clone(&tally);
    // One thread: two would fight with what is measured.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut sockets = Vec::new();
    for _ in 0..endpoints {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        sockets.push(socket);
    }
    let ports: io::Result<Vec<SocketAddr>> = sockets.iter().map(TcpSocket::local_addr).collect();
    let (listen, mut told) = watch::channel(!deaf);
    let served = thread::Builder::new().name("receiver".into());
    let (ready, is_ready) = std::sync::mpsc::channel();
    served.spawn(move || {
        runtime.block_on(async {
            // It fails when nobody is left to tell.
            drop(told.wait_for(|listens| *listens).await);
            for socket in sockets {
                match socket.listen(BACKLOG) {
                    Ok(listener) => {
                        drop(tokio::spawn(accept(listener, Arc::clone(&shared), delay)))
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            }
            drop(ready.send(Ok(())));
            std::future::pending::<()>().await;
        });
    })?;
    let listening = || is_ready.recv().map_err(io::Error::other)?;
    if !deaf {
        listening()?;
    }
    say(&json!({ "listening": ports? }))?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line == "listen" {
            listen.send_replace(true);
            listening()?;
        }
        let mut tally = lock(&tally);
        if line == "reset" {
            *tally = Tally::default();
        }
        if let Some(share) = line.strip_prefix("fail ") {
            tally.failing = share.parse().map_err(io::Error::other)?;
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
    let is_taken = lock(&tally).arrived(id, produced_at(&start), arrived);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let mut response = Response::new(String::new());
    *response.status_mut() = match is_taken {
        true => StatusCode::NO_CONTENT,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    if !is_taken && let Some(id) = id {
        lock(&tally).answered(id, load::now());
    }
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
            failed: 0,
            distinct: 0,
            early: 0,
            deliveries: HashMap::new(),
            hasher: RandomState::new(),
            taken_at: None,
            youngest: 0,
            latency: histogram(),
            lateness: histogram(),
            overtaken: histogram(),
            failing: 0.0,
        }
    }
}

/// Up to an hour, three digits.
fn histogram() -> Histogram<u64> {
    const LONGEST: u64 = 3_600_000_000;
    match Histogram::new_with_max(LONGEST, 3) {
        Ok(histogram) => histogram,
        // Cannot be: the numbers are constants that fit.
        Err(error) => unreachable!("{error}"),
    }
}

impl Tally {
    /// A request has come. False: it is to fail.
    fn arrived(&mut self, id: Option<&[u8]>, produced_at: Option<u64>, now: u64) -> bool {
        self.requests += 1;
        let Some(id) = id.map(|id| self.hasher.hash_one(id)) else {
            return true;
        };
        let before = self.deliveries.get(&id).copied();
        let due = match before {
            Some(Delivery::Taken) => return true,
            Some(Delivery::Due(due)) => Some(due),
            None if is_in(self.failing, id) => {
                self.failed += 1;
                self.deliveries.insert(id, due_after(now));
                return false;
            }
            None => None,
        };
        self.deliveries.insert(id, Delivery::Taken);
        self.distinct += 1;
        let first = self.taken_at.map_or(now, |(first, _)| first);
        self.taken_at = Some((first, now));
        if let Some(due) = due {
            self.early += u64::from(now < due);
            self.lateness.saturating_record(now.saturating_sub(due));
        }
        if let Some(produced_at) = produced_at {
            if due.is_none() {
                self.latency
                    .saturating_record(now.saturating_sub(produced_at));
            }
            if due.is_some() || self.failed == 0 {
                self.overtaken
                    .saturating_record(self.youngest.saturating_sub(produced_at));
                self.youngest = self.youngest.max(produced_at);
            }
        }
        true
    }

    /// A request that fails is answered now.
    fn answered(&mut self, id: &[u8], now: u64) {
        let id = self.hasher.hash_one(id);
        if let Some(delivery @ Delivery::Due(_)) = self.deliveries.get_mut(&id) {
            *delivery = due_after(now);
        }
    }

    fn count(&self) -> Count {
        Count {
            requests: self.requests,
            distinct: self.distinct,
            failed: self.failed,
            taken_at: self.taken_at,
            latency: percentiles(&self.latency),
            lateness: percentiles(&self.lateness),
            early: self.early,
            overtaken: percentiles(&self.overtaken),
        }
    }
}

/// Whether a hash is among this share of all.
fn is_in(share: f64, hash: u64) -> bool {
    share >= 1.0 || (hash as f64) < share * 2.0_f64.powi(64)
}

fn due_after(answered: u64) -> Delivery {
    let wait = u64::try_from(RETRY_WAIT.as_micros()).unwrap_or(u64::MAX);
    Delivery::Due(answered.saturating_add(wait))
}

fn percentiles(of: &Histogram<u64>) -> Option<Percentiles> {
    let at = |quantile| of.value_at_quantile(quantile);
    (!of.is_empty()).then(|| [at(0.50), at(0.95), at(0.99), of.max()])
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
        assert!(tally.arrived(Some(b"a"), Some(1_000), 3_000));
        assert!(tally.arrived(Some(b"b"), Some(2_000), 3_500));
        assert!(tally.arrived(Some(b"a"), Some(1_000), 9_000));
        let count = tally.count();
        assert_eq!((count.requests, count.distinct, count.failed), (3, 2, 0));
        assert_eq!(count.taken_at, Some((3_000, 3_500)));
        assert_eq!(count.latency.map(|it| it[3] / 10), Some(200));
        assert!(count.lateness.is_none());
    }

    #[test]
    fn who_failed_is_late_or_early_and_may_be_overtaken() {
        let mut tally = Tally {
            failing: 1.0,
            ..Tally::default()
        };
        for (id, produced_at) in [(b"a", 1_000), (b"b", 9_000)] {
            assert!(!tally.arrived(Some(id), Some(produced_at), 10_000));
            tally.answered(id, 20_000);
        }
        tally.failing = 0.0;
        assert!(tally.arrived(Some(b"b"), Some(9_000), 5_019_999));
        assert!(tally.arrived(Some(b"new"), Some(10_000), 5_020_500));
        assert!(tally.arrived(Some(b"a"), Some(1_000), 5_021_000));
        let count = tally.count();
        assert_eq!((count.requests, count.distinct, count.failed), (5, 3, 2));
        assert_eq!(count.early, 1);
        let rounded = |of: Option<Percentiles>| of.map(|it| it[3] / 1_000);
        assert_eq!(rounded(count.lateness), Some(1));
        assert_eq!(
            rounded(count.overtaken),
            Some(8),
            "by the other one that failed"
        );
        assert_eq!(
            rounded(count.latency).map(|it| it / 100),
            Some(50),
            "of the new one alone"
        );
    }

    #[test]
    fn a_share_of_all_fails() {
        let hasher = RandomState::new();
        let failed = (0..10_000_u32).filter(|id| is_in(0.1, hasher.hash_one(id)));
        assert!((800..1_200).contains(&failed.count()));
        assert!(!is_in(0.0, 0) && is_in(1.0, u64::MAX));
    }
}
