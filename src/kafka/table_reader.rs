//! Follows a compacted topic from its beginning and keeps the table that its committed records make.
//!
//! A log can end with transaction markers and aborted records, which are never delivered. So that an
//! end that somebody waits for is reached all the same, the reader proves that it has everything: it
//! reads the rest of the log again.

mod decoding;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

pub use decoding::{Decode, Decoder, Decoding};

use crate::kafka::client_log::{ClientLog, is_outage};
use crate::router::event_form::FormError;
use crate::telemetry::{Component, State};
use crate::wake::Waker;

/// How long the reader waits for records that are on their way before it reads the rest of the log
/// again to see whether there are any.
const GRACE: Duration = Duration::from_millis(100);
const POLL: Duration = Duration::from_millis(50);

/// A table that is a pure function of the records of its topic.
pub trait Followed: Send + Sync + 'static {
    /// Applies the next record of a partition; no value: a tombstone.
    fn apply(&mut self, record: Read<'_>);
    /// Forgets everything.
    fn clear(&mut self);
}

/// One committed record.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a> {
    /// From 0.
    pub partition: i32,
    /// Within the partition.
    pub offset: i64,
    /// Empty if it has none.
    pub key: &'a [u8],
    /// In the form that the table reads, or why it cannot be brought into that; none: a tombstone.
    pub value: Option<Result<&'a [u8], &'a FormError>>,
}

/// What a reader is made of.
pub struct Settings<T> {
    /// Names thread and log lines, such as `subscriptions`.
    pub name: &'static str,
    /// Full name.
    pub topic: Arc<str>,
    /// How many partitions it has.
    pub partitions: i32,
    /// As it is before the first record.
    pub table: T,
    /// Told the table from time to time, for metrics.
    pub report: Box<dyn Fn(&T) + Send + Sync>,
    /// Ready while the table is loaded.
    pub health: Component,
    /// Values are decoded by this; none: they are as the table reads them.
    pub decoder: Option<Decoder>,
}

/// The table and how far it is.
pub struct TableReader<T> {
    shared: Arc<Shared<T>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared<T> {
    name: &'static str,
    topic: Arc<str>,
    consumer: BaseConsumer<ClientLog>,
    /// Asks for the topic's ends. A connection answers in turn: behind the consumer's Fetch, which waits
    /// for records, every question would take `fetch.wait.max.ms`.
    asker: BaseConsumer<ClientLog>,
    table: RwLock<T>,
    reached: Vec<Reached>,
    /// Whether the table has reached the ends that the topic had when reading began.
    is_loaded: AtomicBool,
    /// The topic was made anew: start over.
    reload: AtomicBool,
    stop: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
    report: Box<dyn Fn(&T) + Send + Sync>,
    health: Component,
    decoder: Option<Decoder>,
}

/// How far one partition is.
#[derive(Default)]
struct Reached {
    /// The offset below which everything is in the table.
    position: AtomicI64,
    /// The highest end that somebody waits for.
    wanted: AtomicI64,
}

/// Why a topic cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum TableReaderError {
    /// A configuration that librdkafka refuses.
    #[error("the {0} topic cannot be read: {1}")]
    Client(&'static str, KafkaError),
    /// No thread.
    #[error("the reader of the {0} topic cannot start: {1}")]
    Thread(&'static str, std::io::Error),
}

impl<T: Followed> TableReader<T> {
    /// Starts to read the topic from its beginning. `config` is that of a consumer without a group.
    ///
    /// # Errors
    /// A configuration that librdkafka refuses, or no thread.
    pub fn start(config: &ClientConfig, settings: Settings<T>) -> Result<Self, TableReaderError> {
        let name = settings.name;
        let refused = |error| TableReaderError::Client(name, error);
        let client = || config.create_with_context(ClientLog::new(name));
        let shared = Arc::new(Shared {
            name,
            topic: settings.topic,
            consumer: client().map_err(refused)?,
            asker: client().map_err(refused)?,
            table: RwLock::new(settings.table),
            reached: (0..settings.partitions)
                .map(|_| Reached::default())
                .collect(),
            is_loaded: AtomicBool::new(false),
            reload: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            wakers: Mutex::default(),
            report: settings.report,
            health: settings.health,
            decoder: settings.decoder,
        });
        shared.assign_from_the_start().map_err(refused)?;
        let worker = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name(name.into())
            .spawn(move || Follower::new(&worker).run())
            .map_err(|error| TableReaderError::Thread(name, error))?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// The table as it is now.
    pub fn table(&self) -> RwLockReadGuard<'_, T> {
        self.shared
            .table
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The topic's full name.
    pub fn topic(&self) -> &Arc<str> {
        &self.shared.topic
    }

    /// Everything of the partition below this offset is in the table. -1 while the table is read for
    /// the first time, or anew: a part of a compacted topic is no earlier state of it, and says
    /// nothing yet.
    ///
    /// To be asked while [`Self::table`] is held, if it is to be about that table.
    pub fn position(&self, partition: i32) -> i64 {
        if self.is_loaded() {
            self.shared.position(partition)
        } else {
            -1
        }
    }

    /// Whether the table has reached the ends that the topic had when reading began.
    pub fn is_loaded(&self) -> bool {
        self.shared.is_loaded.load(Ordering::Acquire)
    }

    /// The ends of some partitions now: everything committed before this call is below them. The
    /// reader makes sure to get there: wait until [`Self::position`] reaches them.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn ask_ends(&self, partitions: &[i32], timeout: Duration) -> KafkaResult<Vec<i64>> {
        self.shared.ask_ends(partitions, timeout)
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
            tracing::error!(table = self.shared.name, "the reader had panicked");
        }
    }
}

/// The ends of some partitions of a topic, as far as the client's isolation level lets it see. The
/// consumer is one that reads nothing.
pub(super) fn ends<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partitions: &[i32],
    timeout: Duration,
) -> KafkaResult<Vec<i64>> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition_offset(topic, *partition, Offset::End)?;
    }
    // Serves its events, of which it has none but errors.
    drop(consumer.poll(Duration::ZERO));
    let answer = consumer.offsets_for_times(list, timeout);
    let ends = answer.and_then(|answer| {
        let end = |partition: &i32| {
            let unknown = KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition);
            let element = answer.find_partition(topic, *partition).ok_or(unknown)?;
            element.error()?;
            match element.offset() {
                Offset::Offset(end) => Ok(end),
                _ => Ok(0),
            }
        };
        partitions.iter().map(end).collect()
    });
    ends.inspect_err(|_| {
        // A client that reads nothing keeps who led the partitions for minutes, and asks a broker that
        // is dead as long as nobody has it ask who leads them now.
        if let Err(error) = consumer.fetch_metadata(Some(topic), timeout) {
            tracing::debug!(%error, topic, "who leads the topic is not known");
        }
    })
}

impl<T> Shared<T> {
    fn assign_from_the_start(&self) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        for (partition, _) in (0..).zip(&self.reached) {
            list.add_partition_offset(&self.topic, partition, Offset::Beginning)?;
        }
        self.consumer.assign(&list)
    }

    fn of(&self, partition: i32) -> Option<&Reached> {
        self.reached.get(usize::try_from(partition).ok()?)
    }

    fn position(&self, partition: i32) -> i64 {
        self.of(partition)
            .map_or(-1, |reached| reached.position.load(Ordering::Acquire))
    }

    fn ask_ends(&self, partitions: &[i32], timeout: Duration) -> KafkaResult<Vec<i64>> {
        let ends = ends(&self.asker, &self.topic, partitions, timeout)?;
        for (partition, end) in partitions.iter().zip(&ends) {
            if *end < self.position(*partition) {
                // Whoever asked must not take the old table for one that has reached this end.
                self.is_loaded.store(false, Ordering::Release);
                self.reload.store(true, Ordering::Release);
            }
            if let Some(reached) = self.of(*partition) {
                reached.wanted.fetch_max(*end, Ordering::AcqRel);
            }
        }
        Ok(ends)
    }

    fn moved_to(&self, partition: i32, position: i64) {
        if let Some(reached) = self.of(partition) {
            reached.position.store(position, Ordering::Release);
        }
        // Until then no position is told, and a million wake-ups cost more than the records themselves.
        if self.is_loaded.load(Ordering::Acquire) {
            self.wake();
        }
    }

    fn wake(&self) {
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
struct Follower<'a, T> {
    shared: &'a Shared<T>,
    partitions: Vec<i32>,
    /// The topic's ends at the start, until the table has reached them.
    first_ends: Option<Vec<i64>>,
    /// None: it is due.
    last_report: Option<Instant>,
    /// For each partition since when its end has been seen and nothing more has come.
    idle_since: Vec<Option<Instant>>,
    /// For each the end that a second reading of the rest of the log is to prove.
    proving: Vec<Option<i64>>,
}

impl<'a, T: Followed> Follower<'a, T> {
    fn new(shared: &'a Shared<T>) -> Self {
        let partitions: Vec<i32> = (0..).zip(&shared.reached).map(|(at, _)| at).collect();
        Self {
            shared,
            first_ends: None,
            last_report: None,
            idle_since: vec![None; partitions.len()],
            proving: vec![None; partitions.len()],
            partitions,
        }
    }

    fn run(mut self) {
        while !self.shared.stop.load(Ordering::Acquire) {
            if self.shared.reload.swap(false, Ordering::AcqRel) {
                self.start_over();
            }
            match self.shared.consumer.poll(POLL) {
                Some(Ok(message)) => self.take(&message),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    *of(&mut self.idle_since, partition) = Some(Instant::now());
                    if let Some(end) = of(&mut self.proving, partition).take()
                        && end > self.shared.position(partition)
                    {
                        self.shared.moved_to(partition, end);
                    }
                }
                Some(Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
                ))) => self.start_over(),
                Some(Err(error)) if is_outage(&error) => {}
                Some(Err(error)) => {
                    tracing::warn!(%error, topic = &*self.shared.topic, "table cannot be read")
                }
                None => {}
            }
            for at in 0..self.partitions.len() {
                self.prove_the_end(self.partitions[at]);
            }
            self.look_whether_loaded();
            self.report();
        }
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) {
        let partition = message.partition();
        *of(&mut self.idle_since, partition) = None;
        let Some(decoding) = self.shared.decoded(message) else {
            return; // The table ends, or begins anew.
        };
        self.shared
            .table
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .apply(Read {
                partition,
                offset: message.offset(),
                key: message.key().unwrap_or_default(),
                value: message.payload().map(|value| decoding.of(value)),
            });
        self.shared.moved_to(partition, message.offset() + 1);
    }

    /// The last offsets of a log can be transaction markers or aborted records, which are never
    /// delivered: the position then stays below the end though everything has been read. Reading
    /// the rest again settles it: a log's end that is reported after this seek was seen by a fetch
    /// that started after it, and so after the end was asked for.
    fn prove_the_end(&mut self, partition: i32) {
        let shared = self.shared;
        let Some(reached) = shared.of(partition) else {
            return;
        };
        let wanted = reached.wanted.load(Ordering::Acquire);
        let idle_since = of(&mut self.idle_since, partition);
        let waited = idle_since.is_some_and(|since| since.elapsed() >= GRACE);
        let proving = of(&mut self.proving, partition);
        if proving.is_some() || wanted <= shared.position(partition) || !waited {
            return;
        }
        let from = Offset::Offset(shared.position(partition));
        let patience = Duration::from_secs(5);
        match shared
            .consumer
            .seek(&shared.topic, partition, from, patience)
        {
            Ok(()) => *proving = Some(wanted),
            Err(error) => {
                tracing::warn!(%error, topic = &*shared.topic, "table cannot be read again")
            }
        }
        *of(&mut self.idle_since, partition) = Some(Instant::now());
    }

    /// It counts as loaded once it has reached the ends that the topic had when reading began. Not while the
    /// topic is known to be another: what is read is of the old one.
    fn look_whether_loaded(&mut self) {
        let shared = self.shared;
        if shared.is_loaded.load(Ordering::Acquire) || shared.reload.load(Ordering::Acquire) {
            return;
        }
        if self.first_ends.is_none() {
            let asked = shared.ask_ends(&self.partitions, Duration::from_secs(1));
            self.first_ends = asked.ok();
        }
        let reached = |ends: &Vec<i64>| {
            let mut all = self.partitions.iter().zip(ends);
            all.all(|(partition, end)| shared.position(*partition) >= *end)
        };
        if self.first_ends.as_ref().is_some_and(reached) {
            shared.is_loaded.store(true, Ordering::Release);
            shared.health.set(State::Ready);
            shared.wake();
            tracing::info!(topic = &*shared.topic, "table is read");
            self.last_report = None;
        }
    }

    /// Says how far the table is, from time to time.
    fn report(&mut self) {
        let is_soon = |last: Instant| last.elapsed() < POLL;
        if self.last_report.is_some_and(is_soon) {
            return;
        }
        let (shared, now) = (self.shared, Instant::now());
        shared.health.beat(now);
        self.last_report = Some(now);
        let table = shared.table.read().unwrap_or_else(PoisonError::into_inner);
        (shared.report)(&table);
    }

    fn start_over(&mut self) {
        let shared = self.shared;
        tracing::error!(
            topic = &*shared.topic,
            "the topic is shorter than what was read of it: it was made anew; reading it from its beginning"
        );
        // Before the table changes: who holds it and sees it loaded sees all of it.
        shared.is_loaded.store(false, Ordering::Release);
        shared.health.set(State::Starting);
        self.first_ends = None;
        shared
            .table
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        for reached in &shared.reached {
            reached.wanted.store(0, Ordering::Release);
            reached.position.store(0, Ordering::Release);
        }
        shared.wake();
        self.idle_since.fill(None);
        self.proving.fill(None);
        if let Err(error) = shared.assign_from_the_start() {
            tracing::warn!(%error, topic = &*shared.topic, "table cannot be read");
            shared.reload.store(true, Ordering::Release);
        }
    }
}

/// A partition's own. Those that come from a poll are always assigned ones.
fn of<V>(each: &mut [V], partition: i32) -> &mut V {
    &mut each[usize::try_from(partition).unwrap_or_default()]
}
