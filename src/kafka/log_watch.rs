//! Looks at the logs that this process reads for transactions that do not end: what stands behind the
//! first record of an open one is not given to any reader that wants committed records only, so a
//! producer that never ends its transaction holds everybody back, and nobody sees why.
//!
//! Asked from outside, as the readers themselves only find that nothing comes: the end that they see
//! (the last stable offset) against the log's own end.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::BaseConsumer;

use super::client_log::ClientLog;
use super::record::TopicPartition;
use super::standstill::{News, Seen, Standstills};
use super::table_reader::{TableReaderError, ends};
use crate::metrics::WatchMetrics;
use crate::role::Role;

/// How long one question to the cluster may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How often it is asked: ten times within what is too long, within these bounds.
const OFTENEST: Duration = Duration::from_millis(500);
const SELDOMEST: Duration = Duration::from_secs(30);
/// How many events of a client are taken at a time.
const MOST_EVENTS: usize = 1_000;

/// See the module.
pub struct LogWatch {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    /// What each role reads; none: the tables, which all do.
    read: Mutex<HashMap<Option<Role>, Vec<TopicPartition>>>,
    stop: AtomicBool,
}

impl LogWatch {
    /// Watches `tables`, and what the roles say later. `config` is that of a consumer without a group;
    /// `bound`: how long a transaction may keep records back.
    ///
    /// # Errors
    /// A configuration that librdkafka refuses, or no thread.
    pub fn start(
        config: &ClientConfig,
        bound: Duration,
        tables: Vec<TopicPartition>,
        metrics: WatchMetrics,
    ) -> Result<Self, TableReaderError> {
        let name = "log watch";
        let client = |isolation: &str| {
            config
                .clone()
                .set("isolation.level", isolation)
                .create_with_context(ClientLog::new(name))
                .map_err(|error| TableReaderError::Client(name, error))
        };
        let worker = Worker {
            committed: client("read_committed")?,
            uncommitted: client("read_uncommitted")?,
            interval: (bound / 10).clamp(OFTENEST, SELDOMEST),
            standstills: Standstills::new(bound),
            metrics,
        };
        let shared = Arc::new(Shared {
            read: Mutex::new(HashMap::from([(None, tables)])),
            stop: AtomicBool::new(false),
        });
        let watched = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("log-watch".into())
            .spawn(move || worker.run(&watched))
            .map_err(|error| TableReaderError::Thread(name, error))?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// A role reads these from now on.
    pub fn reads(&self, role: Role, partitions: Vec<TopicPartition>) {
        self.shared
            .read
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(Some(role), partitions);
    }

    /// Ends the thread.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the log watch had panicked");
            }
        }
    }
}

struct Worker {
    committed: BaseConsumer<ClientLog>,
    uncommitted: BaseConsumer<ClientLog>,
    interval: Duration,
    standstills: Standstills,
    metrics: WatchMetrics,
}

impl Worker {
    fn run(mut self, shared: &Shared) {
        let mut next = Instant::now() + self.interval;
        while !shared.stop.load(Ordering::Acquire) {
            let left = next.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                thread::park_timeout(left);
                continue;
            }
            self.look(shared);
            next = Instant::now() + self.interval;
        }
    }

    /// Takes what the clients have to say of themselves, which is for the log: while brokers are away that is
    /// more than one thing for each question.
    fn drain(&self) {
        for client in [&self.committed, &self.uncommitted] {
            let mut left = MOST_EVENTS;
            while left > 0 && client.poll(Duration::ZERO).is_some() {
                left -= 1;
            }
        }
    }

    fn look(&mut self, shared: &Shared) {
        self.drain();
        let mut by_topic: BTreeMap<Arc<str>, Vec<i32>> = BTreeMap::new();
        for partition in shared
            .read
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .flatten()
        {
            let of_topic = by_topic.entry(Arc::clone(&partition.topic)).or_default();
            of_topic.push(partition.partition);
        }
        let mut seen = Vec::new();
        let mut behind = HashMap::new();
        for (topic, partitions) in by_topic {
            if shared.stop.load(Ordering::Acquire) {
                return;
            }
            let asked = ends(&self.committed, &topic, &partitions, ANSWER).and_then(|stable| {
                let all = ends(&self.uncommitted, &topic, &partitions, ANSWER)?;
                Ok((stable, all))
            });
            let (stable, all) = match asked {
                Ok(answers) => answers,
                Err(error) => {
                    tracing::debug!(%error, topic = &*topic, "a log's ends are not known");
                    continue;
                }
            };
            for ((partition, stable), end) in partitions.iter().zip(stable).zip(all) {
                let at = TopicPartition {
                    topic: Arc::clone(&topic),
                    partition: *partition,
                };
                behind.insert(at.clone(), end.saturating_sub(stable));
                seen.push(Seen {
                    at,
                    offset: stable,
                    has_work: end > stable,
                });
            }
        }
        for news in self.standstills.look(&seen, Instant::now(), |_, _| false) {
            match news {
                News::Stands { at, offset, since } => tracing::error!(
                    topic = &*at.topic,
                    partition = at.partition,
                    offset,
                    seconds = since.as_secs(),
                    behind = behind.get(&at).copied().unwrap_or(0),
                    "a transaction that does not end holds the readers of a partition back"
                ),
                News::Moves { at, offset } => tracing::info!(
                    topic = &*at.topic,
                    partition = at.partition,
                    offset,
                    "the transaction that held a partition's readers back has ended"
                ),
            }
        }
        for (topic, of) in self.standstills.topics() {
            self.metrics.held_back(topic, of.stuck, of.longest);
        }
    }
}
