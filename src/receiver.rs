//! An endpoint to try things out with: a small HTTP server that answers POSTs by their path, well or
//! badly. `hooktide dev` plays with it, `hooktide receiver` is it alone. It knows nothing of the rest
//! of Hooktide but the requests that come.

mod manner;
mod signature;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{Receiver as Inbox, Sender, channel};

pub use manner::Manner;
pub use signature::Signature;

use crate::clock::Timestamp;
use crate::secret::Secret;
use manner::Behaviour;

/// The path for whatever a person subscribes; it takes everything.
pub const YOURS: &str = "yours";
/// Sightings that may wait to be read; a request waits when there is no more room.
const ROOM: usize = 1_024;
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
/// To `GET /health`, as a Hooktide process without components would answer.
const HEALTHY: &str = r#"{"components":{}}"#;

/// How a receiver is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Decides when the flaky path fails.
    pub seed: u64,
    /// Requests that the limited path takes in a second.
    pub limit: u32,
    /// What requests may be signed with; none: signatures are not looked at.
    pub secrets: Vec<Secret>,
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its place among all requests, from 1.
    pub number: u64,
    /// Its `webhook-id`.
    pub id: String,
    /// When it was there, with its body.
    pub at: Timestamp,
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// The length of its body.
    pub bytes: usize,
    /// Whether its signature holds.
    pub signature: Signature,
}

/// What the receiver saw of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It came.
    Arrived(Arc<Arrival>),
    /// It was answered.
    Answered {
        /// What.
        arrival: Arc<Arrival>,
        /// When.
        at: Timestamp,
        /// With which status.
        status: u16,
    },
}

/// The running receiver.
pub struct Receiver {
    address: SocketAddr,
    seen: Inbox<Seen>,
}

struct Shared {
    seen: Option<Sender<Seen>>,
    requests: AtomicU64,
    secrets: Vec<Secret>,
    behaviour: Behaviour,
}

impl Receiver {
    /// Listens. `tells`: whether [`Self::seen`] hears of requests; then it must be asked. Must be called
    /// on a tokio runtime, and ends with it.
    pub async fn start(settings: Settings, tells: bool) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        let address = listener.local_addr()?;
        let (tell, seen) = channel(ROOM);
        let shared = Arc::new(Shared {
            seen: tells.then_some(tell),
            requests: AtomicU64::new(0),
            secrets: settings.secrets,
            behaviour: Behaviour::new(settings.seed, settings.limit),
        });
        let healthy = ([(header::CONTENT_TYPE, "application/json")], HEALTHY);
        let routes = Router::new()
            .route("/health", get(|| async move { healthy }).fallback(answer))
            .fallback(answer)
            .with_state(shared);
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "the receiver ended");
            }
        });
        Ok(Self { address, seen })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was seen since the last call; none when there is nothing more.
    pub fn seen(&mut self) -> Option<Seen> {
        self.seen.try_recv().ok()
    }

    /// What is seen next; none when it has ended.
    pub async fn next(&mut self) -> Option<Seen> {
        self.seen.recv().await
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let id = headers.get(&WEBHOOK_ID).and_then(|id| id.to_str().ok());
    let arrival = Arc::new(Arrival {
        number: shared.requests.fetch_add(1, Ordering::Relaxed) + 1,
        id: id.unwrap_or_default().to_owned(),
        at: Timestamp::now(),
        method: method.to_string(),
        path: uri.path().to_owned(),
        bytes: body.len(),
        signature: Signature::check(&shared.secrets, &headers, &body),
    });
    shared.tell(Seen::Arrived(Arc::clone(&arrival))).await;
    let answer = match method {
        Method::POST => {
            shared
                .behaviour
                .answer(arrival.path.trim_matches('/'))
                .await
        }
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    };
    let answered = Seen::Answered {
        arrival,
        at: Timestamp::now(),
        status: answer.status().as_u16(),
    };
    shared.tell(answered).await;
    answer
}

impl Shared {
    async fn tell(&self, seen: Seen) {
        if let Some(tell) = &self.seen {
            // Nobody reads any more: the show is over.
            drop(tell.send(seen).await);
        }
    }
}
