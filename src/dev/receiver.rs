//! The demo's endpoints: a small HTTP server whose paths behave as [`Endpoint`] says. It knows
//! nothing of Hooktide but the requests that come.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc::{Receiver as Inbox, Sender, channel};

use super::demo::Endpoint;
use crate::clock::Timestamp;

/// The path for whatever the person at the second terminal subscribes.
pub const YOURS: &str = "yours";
/// How long the slow endpoint takes.
const SLOW: Duration = Duration::from_secs(2);
/// Sightings that may wait to be read; a request waits when there is no more room.
const ROOM: usize = 1_024;
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");

/// What the receiver saw of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It came.
    Arrived {
        /// Its place among all requests.
        number: u64,
        /// Its `webhook-id`.
        id: String,
        /// When.
        at: Timestamp,
    },
    /// It was answered.
    Answered {
        /// Its place among all requests.
        number: u64,
        /// Its `webhook-id`.
        id: String,
        /// When.
        at: Timestamp,
        /// With which status.
        status: u16,
    },
}

/// The running receiver.
pub struct Receiver {
    address: SocketAddr,
    dead: SocketAddr,
    seen: Inbox<Seen>,
    /// Bound and never listened on: its port refuses, and nobody else gets it.
    _refusing: TcpSocket,
}

struct Shared {
    seen: Option<Sender<Seen>>,
    state: Mutex<Behaviour>,
}

struct Behaviour {
    requests: u64,
    chance: Chance,
    window: Instant,
    in_window: u32,
    limit: u32,
}

impl Receiver {
    /// Listens on a free port of 127.0.0.1. `seed` decides when the flaky endpoint fails, `limit` is
    /// what the limited one takes in a second, and `tells` whether [`Self::seen`] hears of requests.
    /// Must be called on a tokio runtime.
    pub async fn start(seed: u64, limit: u32, tells: bool) -> io::Result<Self> {
        let refusing = TcpSocket::new_v4()?;
        refusing.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let dead = refusing.local_addr()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (tell, seen) = channel(ROOM);
        let shared = Arc::new(Shared {
            seen: tells.then_some(tell),
            state: Mutex::new(Behaviour {
                requests: 0,
                chance: Chance::new(seed),
                window: Instant::now(),
                in_window: 0,
                limit,
            }),
        });
        let routes = Router::new()
            .route("/{endpoint}", post(answer))
            .with_state(shared);
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "the demo's endpoints ended");
            }
        });
        Ok(Self {
            address,
            dead,
            seen,
            _refusing: refusing,
        })
    }

    /// Where the endpoints are.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where nobody listens.
    pub fn dead(&self) -> SocketAddr {
        self.dead
    }

    /// What was seen since the last call; none when there is nothing more.
    pub fn seen(&mut self) -> Option<Seen> {
        self.seen.try_recv().ok()
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<String>,
    headers: HeaderMap,
    _body: Bytes,
) -> Response {
    let number = shared.next_number();
    let id = headers.get(&WEBHOOK_ID).and_then(|id| id.to_str().ok());
    let id = id.unwrap_or_default().to_owned();
    let arrived = Seen::Arrived {
        number,
        id: id.clone(),
        at: Timestamp::now(),
    };
    shared.tell(arrived).await;
    let answer = shared.behave(&path).await;
    let answered = Seen::Answered {
        number,
        id,
        at: Timestamp::now(),
        status: answer.status().as_u16(),
    };
    shared.tell(answered).await;
    answer
}

impl Shared {
    async fn tell(&self, seen: Seen) {
        if let Some(tell) = &self.seen {
            // Nobody reads any more: the demo is over.
            drop(tell.send(seen).await);
        }
    }

    fn next_number(&self) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.requests += 1;
        state.requests
    }

    async fn behave(&self, path: &str) -> Response {
        const DELIVERED: StatusCode = StatusCode::NO_CONTENT;
        if path == Endpoint::Good.name() || path == YOURS {
            DELIVERED.into_response()
        } else if path == Endpoint::Flaky.name() {
            match self.is_unlucky() {
                true => StatusCode::SERVICE_UNAVAILABLE.into_response(),
                false => DELIVERED.into_response(),
            }
        } else if path == Endpoint::Slow.name() {
            tokio::time::sleep(SLOW).await;
            DELIVERED.into_response()
        } else if path == Endpoint::Limited.name() {
            if self.is_within_limit(Instant::now()) {
                return DELIVERED.into_response();
            }
            let later = [(header::RETRY_AFTER, HeaderValue::from_static("2"))];
            (StatusCode::TOO_MANY_REQUESTS, later).into_response()
        } else {
            StatusCode::NOT_FOUND.into_response()
        }
    }

    fn is_unlucky(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.chance.is_unlucky()
    }

    fn is_within_limit(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(state.window) >= Duration::from_secs(1) {
            state.window = now;
            state.in_window = 0;
        }
        state.in_window += 1;
        state.in_window <= state.limit
    }
}

/// Even chances, but for long runs: the first is bad luck, and never more than two in a row are alike.
struct Chance {
    random: SmallRng,
    last: bool,
    in_a_row: u32,
}

impl Chance {
    const LONGEST_RUN: u32 = 2;

    fn new(seed: u64) -> Self {
        Self {
            random: SmallRng::seed_from_u64(seed),
            last: false,
            in_a_row: Self::LONGEST_RUN,
        }
    }

    fn is_unlucky(&mut self) -> bool {
        let is_unlucky = match self.in_a_row {
            Self::LONGEST_RUN.. => !self.last,
            _ => self.random.random_bool(0.5),
        };
        self.in_a_row = match is_unlucky == self.last {
            true => self.in_a_row + 1,
            false => 1,
        };
        self.last = is_unlucky;
        is_unlucky
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn luck_comes_about_every_second_time_and_soon() {
        for seed in 0..50 {
            let mut chance = Chance::new(seed);
            let luck: Vec<bool> = (0..1_000).map(|_| chance.is_unlucky()).collect();
            assert!(luck[0], "{seed}");
            assert!(
                luck.windows(3)
                    .all(|three| three[0] != three[1] || three[1] != three[2])
            );
            let unlucky = luck.iter().filter(|one| **one).count();
            assert!((400..600).contains(&unlucky), "{seed}: {unlucky}");
        }
    }
}
