//! The schema registry: schemas by the id that records name, asked for once and kept.
//!
//! The router asks from its own thread and never waits here: what is not known yet is fetched in the
//! background, and the router, woken when it is there, holds the partition until then. While the
//! registry is away nothing is decided: an id counts as unknown only when a registry says so, twice
//! ([`CONFIRM`] apart, since one that follows another may be behind). Everything else (no
//! connection, no answer in time, a wrong password, a status of 500) is asked again, for as long as
//! it takes, by one request at a time.
//!
//! The requests are those of `schema_registry_converter`; its decoders are not used, since their
//! cache has no bound and keeps errors. It has no bound for the length of an answer, only for its
//! time: the registry is the operator's own, and so the policy for addresses of webhooks does not
//! apply to it either.

mod cache;
mod client;
mod errand;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::config::SchemaRegistrySettings;
use crate::http::TlsError;
use crate::metrics::SchemaRegistryMetrics;
use crate::record::SchemaId;
use crate::router::event_form::WriterSchema;
use crate::wake::Waker;
use cache::Cache;
use client::{Client, Fetched};
pub use errand::{RegistryErrand, RegistryErrandError};

/// Requests at once while the registry answers; one while it does not.
const AT_ONCE: usize = 8;
/// After this an id that the registry does not know is asked for once more before that is believed.
const CONFIRM: Duration = Duration::from_millis(500);
/// The first wait after a failure; doubled with each one, up to the setting.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Why there is no client for the registry.
#[derive(Debug, thiserror::Error)]
pub enum SchemaRegistryError {
    /// A certificate cannot be used.
    #[error("tls for the schema registry: {0}")]
    Tls(#[from] TlsError),
    /// The HTTP client refuses its settings.
    #[error("the client of the schema registry cannot be made: {0}")]
    Client(String),
}

/// What is known of a schema.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// This.
    Known(WriterSchema),
    /// Nothing yet: ask again when woken, and within a second all the same.
    Pending,
}

/// A handle; clones are handles to the same.
#[derive(Clone)]
pub struct SchemaRegistry(Arc<Shared>);

struct Shared {
    /// None: no registry is configured.
    client: Option<Client>,
    runtime: Handle,
    longest_wait: Duration,
    state: Mutex<State>,
    metrics: SchemaRegistryMetrics,
}

struct State {
    known: Cache,
    fetching: HashSet<SchemaId>,
    /// None while the registry answers.
    outage: Option<Outage>,
    waker: Option<Waker>,
}

struct Outage {
    since: Instant,
    /// Rounds of requests that failed, one after the other.
    failures: u32,
    /// No request before this.
    next: Instant,
    /// Said once, and again when it is another.
    error: String,
}

impl SchemaRegistry {
    /// Makes the client; asks nothing yet. Requests run on `runtime`.
    ///
    /// # Errors
    /// [`SchemaRegistryError`].
    pub fn new(
        settings: &SchemaRegistrySettings,
        runtime: Handle,
        metrics: SchemaRegistryMetrics,
    ) -> Result<Self, SchemaRegistryError> {
        let client = match settings.urls.is_empty() {
            true => None,
            false => Some(Client::new(settings)?),
        };
        Ok(Self(Arc::new(Shared {
            client,
            runtime,
            longest_wait: settings.longest_wait,
            state: Mutex::new(State {
                known: Cache::new(settings.cache),
                fetching: HashSet::new(),
                outage: None,
                waker: None,
            }),
            metrics,
        })))
    }

    /// Wakes this thread when an answer has come.
    pub fn wake_on_change(&self, waker: Waker) {
        self.0.state().waker = Some(waker);
    }

    /// Whether the last request failed.
    pub fn is_away(&self) -> bool {
        self.0.state().outage.is_some()
    }

    /// How many partitions wait for a schema.
    pub fn holds(&self, partitions: usize) {
        self.0.metrics.held(partitions);
    }

    /// What is known of a schema; what is not is asked for.
    pub fn look_up(&self, id: SchemaId) -> Lookup {
        let shared = &self.0;
        if shared.client.is_none() {
            return Lookup::Known(WriterSchema::NoRegistry);
        }
        let now = Instant::now();
        let mut state = shared.state();
        if let Some(known) = state.known.get(id, now) {
            return Lookup::Known(known);
        }
        let may_ask = match &state.outage {
            None => state.fetching.len() < AT_ONCE,
            Some(outage) => state.fetching.is_empty() && now >= outage.next,
        };
        if may_ask && state.fetching.insert(id) {
            shared.runtime.spawn(Arc::clone(shared).fetch(id));
        }
        Lookup::Pending
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(self: Arc<Self>, id: SchemaId) {
        let Some(client) = &self.client else {
            return;
        };
        let mut fetched = client.fetch(id).await;
        if matches!(fetched, Ok(Fetched::Unknown)) {
            tokio::time::sleep(CONFIRM).await;
            fetched = client.fetch(id).await;
        }
        self.metrics.request(match &fetched {
            Ok(Fetched::Schema(_)) => "found",
            Ok(Fetched::Unknown) => "unknown",
            Err(_) => "failed",
        });
        let now = Instant::now();
        let mut state = self.state();
        state.fetching.remove(&id);
        match fetched {
            Ok(fetched) => {
                let known = match fetched {
                    Fetched::Schema(schema) => WriterSchema::Known(Arc::new(schema)),
                    Fetched::Unknown => {
                        tracing::warn!(schema = %id, "the schema registry does not know a schema: records that name it are rejected");
                        WriterSchema::Unknown
                    }
                };
                state.known.insert(id, known, now);
                if let Some(outage) = state.outage.take() {
                    let seconds = now.duration_since(outage.since).as_secs();
                    tracing::info!(seconds, "the schema registry answers again");
                }
                if let Some(waker) = &state.waker {
                    waker.wake();
                }
            }
            Err(error) => self.failed(&mut state, error, now),
        }
    }

    /// Waits longer with each round, and says so once.
    fn failed(&self, state: &mut State, error: String, now: Instant) {
        let before = state.outage.take();
        if before.as_ref().is_none_or(|before| before.error != error) {
            tracing::warn!(%error, "the schema registry does not answer: partitions whose records need it wait");
        }
        state.outage = Some(match before {
            // One of several requests that were under way at once.
            Some(before) if now < before.next => Outage { error, ..before },
            before => {
                let failures = before.as_ref().map_or(0, |before| before.failures) + 1;
                Outage {
                    since: before.map_or(now, |before| before.since),
                    failures,
                    next: now + wait(failures, self.longest_wait, rand::random()),
                    error,
                }
            }
        });
    }
}

/// The wait after so many failed rounds; `jitter` from 0 to 1 takes up to half of it away.
fn wait(failures: u32, longest: Duration, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let whole = (FIRST_WAIT * 2_u32.pow(doublings)).min(longest);
    whole.mul_f64(1.0 - jitter / 2.0)
}

#[cfg(test)]
mod tests;
