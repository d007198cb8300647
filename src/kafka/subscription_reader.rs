//! Follows the subscriptions topic and keeps the table that both roles look things up in.
//!
//! The topic has one partition, so its offset is one clock: a role asks for the topic's end and
//! waits until the table has passed it; from then on everything acknowledged before the question is
//! in the table.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use prometheus::IntGaugeVec;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{ClientContext, Message, Offset, TopicPartitionList};

use crate::kafka::client_log::ClientLog;
use crate::kafka::record::TopicPartition;
use crate::subscription_table::SubscriptionTable;
use crate::telemetry::{Component, State};
use crate::wake::Waker;

/// How long the reader waits for records that are on their way before it reads the rest of the log
/// again to see whether there are any.
const GRACE: Duration = Duration::from_millis(100);
const POLL: Duration = Duration::from_millis(50);

/// The table and how far it is, shared by both roles.
pub struct SubscriptionReader {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    at: TopicPartition,
    consumer: BaseConsumer<Context>,
    /// Asks for the topic's end. A connection answers in turn: behind the consumer's Fetch, which waits
    /// for records, every question would take `fetch.wait.max.ms`.
    asker: BaseConsumer<Context>,
    table: RwLock<SubscriptionTable>,
    /// The offset below which everything is in the table.
    position: AtomicI64,
    /// Whether the table has reached the end that the topic had when reading began.
    is_loaded: AtomicBool,
    /// The highest end that somebody waits for.
    wanted: AtomicI64,
    /// The topic was made anew: start over.
    reload: AtomicBool,
    stop: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
    counts: IntGaugeVec,
    health: Component,
}

/// Why the topic cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum SubscriptionReaderError {
    /// A configuration that librdkafka refuses.
    #[error("the subscriptions topic cannot be read: {0}")]
    Client(#[from] KafkaError),
    /// No thread.
    #[error("the subscriptions reader cannot start: {0}")]
    Thread(#[from] std::io::Error),
}

struct Context {
    log: ClientLog,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(error, reason);
    }
}

impl ConsumerContext for Context {}

impl SubscriptionReader {
    /// Starts to read the topic from its beginning. `config` is that of a consumer without a group.
    ///
    /// # Errors
    /// A configuration that librdkafka refuses, or no thread.
    pub fn start(
        config: &ClientConfig,
        topic: Arc<str>,
        table: SubscriptionTable,
        counts: IntGaugeVec,
        health: Component,
    ) -> Result<Self, SubscriptionReaderError> {
        let client = || {
            config.create_with_context(Context {
                log: ClientLog::new("subscriptions"),
            })
        };
        let shared = Arc::new(Shared {
            at: TopicPartition {
                topic,
                partition: 0,
            },
            consumer: client()?,
            asker: client()?,
            counts,
            health,
            table: RwLock::new(table),
            position: AtomicI64::new(0),
            is_loaded: AtomicBool::new(false),
            wanted: AtomicI64::new(0),
            reload: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            wakers: Mutex::default(),
        });
        shared.assign(Offset::Beginning)?;
        let worker = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("subscriptions".into())
            .spawn(move || Follower::new(&worker).run())?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// The table as it is now.
    pub fn table(&self) -> RwLockReadGuard<'_, SubscriptionTable> {
        self.shared
            .table
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The partition that is read.
    pub fn at(&self) -> &TopicPartition {
        &self.shared.at
    }

    /// Everything below this offset is in the table. -1 while the table is read for the first time,
    /// or anew: a part of a compacted topic is no earlier state of it, and says nothing yet.
    ///
    /// To be asked while [`Self::table`] is held, if it is to be about that table.
    pub fn position(&self) -> i64 {
        if self.shared.is_loaded.load(Ordering::Acquire) {
            self.shared.position.load(Ordering::Acquire)
        } else {
            -1
        }
    }

    /// The topic's end now. Everything acknowledged before this call is below it. The reader makes
    /// sure to get there: wait until [`Self::position`] reaches it.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn ask_end(&self, timeout: Duration) -> KafkaResult<i64> {
        self.shared.ask_end(timeout)
    }

    /// Wakes this loop whenever the table has moved.
    pub fn wake_on_change(&self, waker: Waker) {
        self.shared
            .wakers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(waker);
    }

    /// Ends the reader's thread.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the subscriptions reader had panicked");
        }
    }
}

impl Shared {
    fn assign(&self, from: Offset) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.at.topic, self.at.partition, from)?;
        self.consumer.assign(&list)
    }

    fn ask_end(&self, timeout: Duration) -> KafkaResult<i64> {
        // Serves its events, of which it has none but errors.
        drop(self.asker.poll(Duration::ZERO));
        let (_, end) = self
            .asker
            .fetch_watermarks(&self.at.topic, self.at.partition, timeout)?;
        if end < self.position.load(Ordering::Acquire) {
            // Whoever asked must not take the old table for one that has reached this end.
            self.is_loaded.store(false, Ordering::Release);
            self.reload.store(true, Ordering::Release);
        }
        self.wanted.fetch_max(end, Ordering::AcqRel);
        Ok(end)
    }

    fn moved_to(&self, position: i64) {
        self.position.store(position, Ordering::Release);
        for waker in self
            .wakers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            waker.wake();
        }
    }
}

/// The thread's own state.
struct Follower<'a> {
    shared: &'a Shared,
    /// The topic's end at the start, until the table has reached it.
    first_end: Option<i64>,
    last_report: Instant,
    /// Since when the log's end has been seen and nothing more has come.
    idle_since: Option<Instant>,
    /// The end that a second reading of the rest of the log is to prove.
    proving: Option<i64>,
}

impl<'a> Follower<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            first_end: None,
            last_report: Instant::now(),
            idle_since: None,
            proving: None,
        }
    }

    fn run(mut self) {
        while !self.shared.stop.load(Ordering::Acquire) {
            if self.shared.reload.swap(false, Ordering::AcqRel) {
                self.start_over();
            }
            match self.shared.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    self.idle_since = None;
                    self.shared
                        .table
                        .write()
                        .unwrap_or_else(PoisonError::into_inner)
                        .apply(message.key(), message.payload(), message.offset());
                    self.shared.moved_to(message.offset() + 1);
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.idle_since = Some(Instant::now());
                    if let Some(end) = self.proving.take()
                        && end > self.position()
                    {
                        self.shared.moved_to(end);
                    }
                }
                Some(Err(KafkaError::MessageConsumption(code)))
                    if code == rdkafka::error::RDKafkaErrorCode::AutoOffsetReset
                        || code == rdkafka::error::RDKafkaErrorCode::OffsetOutOfRange =>
                {
                    self.start_over();
                }
                Some(Err(error)) => tracing::warn!(%error, "subscriptions topic cannot be read"),
                None => {}
            }
            self.prove_the_end();
            self.report();
        }
    }

    fn position(&self) -> i64 {
        self.shared.position.load(Ordering::Acquire)
    }

    /// The last offsets of a log can be transaction markers or aborted records, which are never
    /// delivered: the position then stays below the end though everything has been read. Reading
    /// the rest again settles it: a log's end that is reported after this seek was seen by a fetch
    /// that started after it, and so after the end was asked for.
    fn prove_the_end(&mut self) {
        let wanted = self.shared.wanted.load(Ordering::Acquire);
        let waited = self
            .idle_since
            .is_some_and(|since| since.elapsed() >= GRACE);
        if self.proving.is_some() || wanted <= self.position() || !waited {
            return;
        }
        let at = &self.shared.at;
        let from = Offset::Offset(self.position());
        match self
            .shared
            .consumer
            .seek(&at.topic, at.partition, from, Duration::from_secs(5))
        {
            Ok(()) => self.proving = Some(wanted),
            Err(error) => tracing::warn!(%error, "subscriptions topic cannot be read again"),
        }
        self.idle_since = Some(Instant::now());
    }

    /// Says how far the table is. It counts as loaded once it has reached the end that the topic had
    /// when reading began.
    fn report(&mut self) {
        let shared = self.shared;
        let is_loaded = shared.is_loaded.load(Ordering::Acquire);
        if is_loaded && self.last_report.elapsed() < POLL {
            return;
        }
        shared.health.beat(Instant::now());
        // Not while the topic is known to be another: what is read is of the old one.
        if !is_loaded && !shared.reload.load(Ordering::Acquire) {
            if self.first_end.is_none() {
                self.first_end = shared.ask_end(Duration::from_secs(1)).ok();
            }
            if self.first_end.is_some_and(|end| self.position() >= end) {
                shared.is_loaded.store(true, Ordering::Release);
                shared.health.set(State::Ready);
                shared.moved_to(self.position());
                tracing::info!(position = self.position(), "subscriptions are read");
            }
        }
        self.last_report = Instant::now();
        let counts = shared
            .table
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .counts();
        for (state, count) in [
            ("active", counts.active),
            ("paused", counts.paused),
            ("disabled", counts.disabled),
            ("invalid", counts.invalid),
        ] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            shared.counts.with_label_values(&[state]).set(count);
        }
    }

    fn start_over(&mut self) {
        tracing::error!(
            topic = &*self.shared.at.topic,
            position = self.position(),
            "the subscriptions topic is shorter than what was read of it: it was made anew; reading it from its beginning"
        );
        // Before the table changes: who holds it and sees it loaded sees all of it.
        self.shared.is_loaded.store(false, Ordering::Release);
        self.shared.health.set(State::Starting);
        self.first_end = None;
        self.shared
            .table
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.shared.wanted.store(0, Ordering::Release);
        self.shared.moved_to(0);
        self.idle_since = None;
        self.proving = None;
        if let Err(error) = self.shared.assign(Offset::Beginning) {
            tracing::warn!(%error, "subscriptions topic cannot be read");
            self.shared.reload.store(true, Ordering::Release);
        }
    }
}
