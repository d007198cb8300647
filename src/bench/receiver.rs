//! The process that requests arrive at. It does as little as it can: it shares the machine with what
//! is measured.

use std::io::{self, BufRead};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{convert::Infallible, future::poll_fn, thread};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::load::{self, PRODUCED_AT};
use super::talk::say;
use super::tally::Tally;
use super::tls::{self, PemFiles};

const BACKLOG: u32 = 1_024;

/// How a receiver behaves.
#[derive(Clone, Debug)]
pub struct Manners {
    /// How long it takes to answer.
    pub delay: Duration,
    /// Requests to this path take so long instead.
    pub slow: Option<(String, Duration)>,
    /// Nobody listens until told so.
    pub deaf: bool,
    /// TLS with this certificate and its key.
    pub tls: Option<PemFiles>,
}

/// What all connections share.
#[derive(Clone)]
struct Shared {
    tally: Arc<Mutex<Tally>>,
    manners: Arc<Manners>,
    tls: Option<TlsAcceptor>,
}

/// Takes `endpoints` ports of 127.0.0.1, says which, and listens on them: at once, or if it is deaf
/// when it is told so. Answers each line of stdin (`count`, `reset`, `listen`, `fail SHARE`) with a
/// [`Count`](super::tally::Count) until it ends.
///
/// # Errors
/// No sockets, or no certificate where one was named.
pub fn run(endpoints: u32, manners: Manners) -> io::Result<()> {
    let deaf = manners.deaf;
    let tally = Arc::new(Mutex::new(Tally::default()));
    let shared = Shared {
        tally: Arc::clone(&tally),
        tls: manners.tls.as_ref().map(tls::acceptor).transpose()?,
        manners: Arc::new(manners),
    };
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
                    Ok(listener) => drop(tokio::spawn(accept(listener, shared.clone()))),
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

async fn accept(listener: TcpListener, shared: Shared) {
    while let Ok((stream, _)) = listener.accept().await {
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let shared = shared.clone();
        tokio::spawn(async move {
            // However it ends: it is the other side's to mind.
            match &shared.tls {
                None => drop(serve(stream, shared).await),
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        drop(serve(stream, shared).await);
                    }
                }
            }
        });
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    shared: Shared,
) -> hyper::Result<()> {
    let service = service_fn(move |request| answer(request, shared.clone()));
    http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn answer(
    request: Request<Incoming>,
    shared: Shared,
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
    let slow = shared.manners.slow.as_ref();
    let slow = slow.filter(|(path, _)| head.uri.path() == path);
    let delay = slow.map_or(shared.manners.delay, |(_, delay)| *delay);
    let is_taken = lock(&shared.tally).arrived(id, produced_at(&start), arrived, slow.is_some());
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let mut response = Response::new(String::new());
    *response.status_mut() = match is_taken {
        true => StatusCode::NO_CONTENT,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    if !is_taken && let Some(id) = id {
        lock(&shared.tally).answered(id, load::now());
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
}
