//! An HTTP/1.1 receiver of webhooks whose answers are scripted and who remembers what came, byte by
//! byte. On raw TCP, so that it can also do what no server should: hang, reset, flood.

mod answer;
mod connection;

pub use answer::Answer;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use hooktide::clock::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A request as it came.
#[derive(Clone)]
pub struct Received {
    /// Numbered from 0 in the order in which connections were accepted.
    pub connection: u64,
    /// `POST`, whatever its case was.
    pub method: String,
    /// Path and query as sent.
    pub path: String,
    /// In their order, names as sent. Empty but for `webhook-id` when only ids are kept.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The raw bytes. Empty when only ids are kept.
    pub body: Bytes,
    /// When its last byte was read.
    pub arrived: Instant,
    /// The same on the wall clock.
    pub arrived_at: Timestamp,
    /// When the whole answer was handed to the socket; none while that has not happened.
    pub answered: Option<Instant>,
}

impl Received {
    /// The text of the first header of this name (any case); none when it is not there.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self
            .headers
            .iter()
            .find(|(present, _)| present.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// `webhook-id`; empty when there is none.
    pub fn id(&self) -> &str {
        self.header("webhook-id").unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

/// Shows the body as text.
impl std::fmt::Debug for Received {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = &self.body[..self.body.len().min(500)];
        formatter
            .debug_struct("Received")
            .field("path", &self.path)
            .field("id", &self.id())
            .field("body", &String::from_utf8_lossy(shown))
            .field("arrived_at", &format_args!("{}", self.arrived_at))
            .field("answered", &self.answered.is_some())
            .finish()
    }
}

/// What a receiver remembers of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Everything.
    Whole,
    /// Path, `webhook-id` and times: for load.
    Ids,
}

/// How a path answers: given the request and how many came to the path before it.
type Script = Arc<dyn Fn(&Received, usize) -> Answer + Send + Sync>;

/// A running receiver; it stops, with all its connections, when dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
}

struct Shared {
    keep: Keep,
    state: Mutex<State>,
    /// Counts changes, to wake whoever waits for one.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    received: Vec<Received>,
    scripts: HashMap<String, Script>,
    seen: HashMap<String, usize>,
}

impl Receiver {
    /// Listens on a free port of 127.0.0.1 and answers 204 where no script says otherwise.
    pub async fn start() -> anyhow::Result<Self> {
        Self::keeping(Keep::Whole).await
    }

    /// As [`Receiver::start`], with a say in what is remembered.
    pub async fn keeping(keep: Keep) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            keep,
            state: Mutex::default(),
            changes: watch::Sender::new(0),
        });
        let mut server = JoinSet::new();
        server.spawn(connection::accept(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            _server: server,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path (`/orders`) here.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers requests to `path` (without query) in turn; the last answer repeats.
    pub fn script(&self, path: &str, answers: impl IntoIterator<Item = Answer>) {
        let answers: Vec<Answer> = answers.into_iter().collect();
        assert!(!answers.is_empty(), "a script has at least one answer");
        self.script_with(path, move |_, before| {
            answers[before.min(answers.len() - 1)].clone()
        });
    }

    /// Answers requests to `path` by a function of the request and the number of those before it.
    pub fn script_with(
        &self,
        path: &str,
        script: impl Fn(&Received, usize) -> Answer + Send + Sync + 'static,
    ) {
        let mut state = self.shared.lock();
        state.scripts.insert(path.to_owned(), Arc::new(script));
        // A new script begins with its first answer.
        state.seen.remove(path);
    }

    /// All requests so far, in their order of arrival.
    pub fn received(&self) -> Vec<Received> {
        self.shared.lock().received.clone()
    }

    /// The requests to `path` so far.
    pub fn received_at(&self, path: &str) -> Vec<Received> {
        let state = self.shared.lock();
        let here = state.received.iter().filter(|request| request.path == path);
        here.cloned().collect()
    }

    /// Waits until `condition` holds for all requests so far; an error that shows the last of them
    /// when that takes longer than `within`. Asked again whenever a request comes or is answered.
    pub async fn wait_for(
        &self,
        within: Duration,
        condition: impl Fn(&[Received]) -> bool,
    ) -> anyhow::Result<Vec<Received>> {
        let mut changes = self.shared.changes.subscribe();
        let met = async {
            loop {
                changes.mark_unchanged();
                {
                    let state = self.shared.lock();
                    if condition(&state.received) {
                        return Ok(state.received.clone());
                    }
                }
                changes.changed().await?;
            }
        };
        tokio::time::timeout(within, met)
            .await
            .with_context(|| {
                let received = self.received();
                let last = &received[received.len().saturating_sub(5)..];
                format!(
                    "not what was waited for within {within:?}; {} requests, the last: {last:#?}",
                    received.len()
                )
            })
            .flatten()
    }

    /// Waits for `count` different `webhook-id`s among the requests for which `is_meant` holds.
    /// Cheap however many come: each request is looked at once.
    pub async fn wait_for_ids(
        &self,
        count: usize,
        within: Duration,
        is_meant: impl Fn(&Received) -> bool,
    ) -> anyhow::Result<Vec<Received>> {
        let seen = RefCell::new((0, HashSet::new()));
        let enough = |requests: &[Received]| {
            let (looked_at, ids) = &mut *seen.borrow_mut();
            let new = requests[*looked_at..].iter().filter(|one| is_meant(one));
            ids.extend(new.map(|one| one.id().to_owned()));
            *looked_at = requests.len();
            ids.len() >= count
        };
        let waited = self.wait_for(within, enough).await;
        waited.with_context(|| format!("{} of {count} ids", seen.borrow().1.len()))
    }

    /// Waits for `count` requests to `path`.
    pub async fn wait_for_count(
        &self,
        path: &str,
        count: usize,
        within: Duration,
    ) -> anyhow::Result<Vec<Received>> {
        let here = |requests: &[Received]| {
            requests
                .iter()
                .filter(|request| request.path == path)
                .count()
                >= count
        };
        self.wait_for(within, here).await?;
        Ok(self.received_at(path))
    }
}

impl Shared {
    /// Remembers a request; gives its number and the answer to it.
    fn receive(&self, mut request: Received) -> (usize, Answer) {
        let (script, before) = {
            let mut state = self.lock();
            let path = request.path.split('?').next().unwrap_or_default();
            let script = state.scripts.get(path).cloned();
            let path = path.to_owned();
            let seen = state.seen.entry(path).or_default();
            *seen += 1;
            (script, *seen - 1)
        };
        // Outside the lock: a script may look at the receiver.
        let answer = script.map_or_else(|| Answer::status(204), |script| script(&request, before));
        if self.keep == Keep::Ids {
            request.body = Bytes::new();
            request
                .headers
                .retain(|(name, _)| name.eq_ignore_ascii_case("webhook-id"));
        }
        let number = {
            let mut state = self.lock();
            state.received.push(request);
            state.received.len() - 1
        };
        self.changes.send_modify(|changes| *changes += 1);
        (number, answer)
    }

    /// Notes that the answer to request `number` was handed to the socket.
    fn answered(&self, number: usize) {
        self.lock().received[number].answered = Some(Instant::now());
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
