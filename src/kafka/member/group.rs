//! The consumer of a group member.
//!
//! librdkafka reports a rebalance as an event and then waits until `assign` or `unassign` is
//! called. The context only keeps the event; the loop that owns all state handles it after the poll
//! has returned. So nothing is shared with callbacks, and no transaction can run across the change.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer, ConsumerContext, ConsumerGroupMetadata,
};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use sha2::{Digest, Sha256};

use super::fenced;
use super::metadata::{Progress, Stamp};
use crate::kafka::client_log::ClientLog;
use crate::kafka::record::{Incoming, TopicPartition};
use crate::wake::Waker;

/// How many events one [`GroupConsumer::serve`] takes at most.
const MOST_EVENTS: u32 = 10_000;

/// What the group asks of this member.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rebalance {
    /// These partitions are ours once they are accepted.
    Assign(Vec<TopicPartition>),
    /// All partitions are to be given back. `lost`: they may be somebody else's already.
    Revoke { lost: bool },
}

/// Keeps librdkafka's events until the loop takes them.
pub(super) struct Context {
    log: ClientLog,
    /// Whether partitions are assigned (or else revoked), and which.
    rebalance: Mutex<Option<(bool, Vec<TopicPartition>)>>,
    /// Events that ended here and not with whoever polled.
    taken: AtomicU64,
    closing: AtomicBool,
}

impl Context {
    fn rebalance(&self) -> MutexGuard<'_, Option<(bool, Vec<TopicPartition>)>> {
        self.rebalance
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.taken.fetch_add(1, Ordering::Relaxed);
        self.log.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(error, reason);
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        kind: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        if self.closing.load(Ordering::Acquire) {
            // Everything is committed; only librdkafka's own book-keeping is left.
            if let Err(error) = consumer.unassign() {
                tracing::debug!(%error, "unassign failed while closing");
            }
            return;
        }
        let assign = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        *Self::rebalance(self) = Some((assign, listed(partitions)));
    }
}

fn listed(partitions: &TopicPartitionList) -> Vec<TopicPartition> {
    partitions
        .elements()
        .iter()
        .map(|element| TopicPartition {
            topic: element.topic().into(),
            partition: element.partition(),
        })
        .collect()
}

/// A consumer in a group, polled from one plain thread.
pub(super) struct GroupConsumer {
    consumer: Arc<BaseConsumer<Context>>,
    role: &'static str,
    config: ClientConfig,
    topics: Vec<String>,
    lookups: Lookups,
}

/// What a poll of the group brought.
#[derive(Default)]
pub(super) struct Served {
    pub rebalance: Option<Rebalance>,
    pub error: Option<KafkaError>,
}

impl GroupConsumer {
    pub(super) fn new(role: &'static str, config: &ClientConfig) -> KafkaResult<Self> {
        let consumer = consumer(role, config)?;
        Ok(Self {
            lookups: Lookups(Arc::new(Mutex::new(Arc::clone(&consumer)))),
            consumer,
            role,
            config: config.clone(),
            topics: Vec::new(),
        })
    }

    pub(super) fn subscribe(&mut self, topics: &[&str]) -> KafkaResult<()> {
        self.topics = topics.iter().map(|&topic| topic.to_owned()).collect();
        self.consumer.subscribe(topics)
    }

    /// Another consumer in place of this one, which cannot go on; it joins the group for the same
    /// topics. Every [`PartitionReader`] must be gone.
    pub(super) fn make_anew(&mut self) -> KafkaResult<()> {
        let successor = consumer(self.role, &self.config)?;
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        successor.subscribe(&topics)?;
        self.consumer
            .context()
            .closing
            .store(true, Ordering::Release);
        *self.lookups.lock() = Arc::clone(&successor);
        let old = std::mem::replace(&mut self.consumer, successor);
        // Its closing may wait for the broker, which the loop must not.
        let closing = thread::Builder::new().name("leaving".into());
        drop(closing.spawn(move || drop(old)));
        Ok(())
    }

    /// The consumer itself, for look-ups (offsets, watermarks) from any thread.
    pub(super) fn lookups(&self) -> Lookups {
        self.lookups.clone()
    }

    /// Serves the group's events: waits for at most `timeout` for the first, then takes all that are there,
    /// up to a rebalance. A poll takes one, and what librdkafka has to say of an outage stands before the
    /// rebalance that follows from it.
    pub(super) fn serve(&self, timeout: Duration) -> Served {
        let context = self.consumer.context();
        let mut error = None;
        let mut wait = timeout;
        for _ in 0..MOST_EVENTS {
            let before = context.taken.load(Ordering::Relaxed);
            match self.consumer.poll(std::mem::take(&mut wait)) {
                None if context.taken.load(Ordering::Relaxed) == before => break,
                None | Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(said)) => error = Some(said),
                Some(Ok(message)) => {
                    // Every partition is split before it is assigned, so this cannot be; if it were,
                    // the record is not marked as taken and is read again after the next assignment.
                    tracing::error!(
                        topic = rdkafka::Message::topic(&message),
                        "a record appeared on the main queue"
                    );
                }
            }
            if Context::rebalance(context).is_some() {
                break;
            }
        }
        let rebalance =
            Context::rebalance(self.consumer.context())
                .take()
                .map(|(assign, partitions)| {
                    if assign {
                        Rebalance::Assign(partitions)
                    } else {
                        Rebalance::Revoke {
                            lost: self.consumer.assignment_lost(),
                        }
                    }
                });
        Served { rebalance, error }
    }

    pub(super) fn group_metadata(&self) -> Option<Arc<ConsumerGroupMetadata>> {
        self.consumer.group_metadata().map(Arc::new)
    }

    /// Tells librdkafka that an assignment was heard of, and takes nothing of it yet. Until then it does not
    /// hear of the next rebalance, and all others wait for this member, for as long as a rebalance may take.
    pub(super) fn acknowledge(&self) -> KafkaResult<()> {
        self.consumer.assign(&TopicPartitionList::new())
    }

    /// Accepts an assignment: each partition gets a queue of its own, filled from its offset on.
    pub(super) fn accept(
        &self,
        starts: &[(TopicPartition, i64)],
        waker: &Waker,
    ) -> KafkaResult<Vec<PartitionReader>> {
        let mut list = TopicPartitionList::with_capacity(starts.len());
        let mut readers = Vec::with_capacity(starts.len());
        for (at, offset) in starts {
            list.add_partition_offset(&at.topic, at.partition, Offset::Offset(*offset))?;
            readers.push(self.reader(at.clone(), waker)?);
        }
        self.consumer.assign(&list)?;
        Ok(readers)
    }

    fn reader(&self, at: TopicPartition, waker: &Waker) -> KafkaResult<PartitionReader> {
        let mut queue = self
            .consumer
            .split_partition_queue(&at.topic, at.partition)
            .ok_or(KafkaError::Subscription(format!(
                "no queue for {}/{}",
                at.topic, at.partition
            )))?;
        let filled = Arc::new(AtomicBool::new(true));
        let (flag, waker) = (Arc::clone(&filled), waker.clone());
        queue.set_nonempty_callback(move || {
            flag.store(true, Ordering::Release);
            waker.wake();
        });
        Ok(PartitionReader { at, queue, filled })
    }

    /// Gives all partitions back. Every [`PartitionReader`] must be gone: one that is dropped later
    /// could take the wake-up of its successor with it.
    pub(super) fn release(&self) -> KafkaResult<()> {
        self.consumer.unassign()
    }

    pub(super) fn fatal_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.consumer.client().fatal_error()
    }

    /// Leaves the group (a static member stays in it). False: that is not done by `deadline`, and
    /// goes on in the background as long as the process lives.
    pub(super) fn close(self, deadline: Instant) -> bool {
        let consumers = (Arc::clone(&self.consumer), self.lookups.clone());
        drop(self);
        let (closed, wait) = bounded::<()>(0);
        let closing = thread::Builder::new()
            .name("leaving".into())
            .spawn(move || {
                // Closes it, unless a thread that was left behind still has it.
                drop(consumers);
                drop(closed);
            });
        closing.is_ok() && wait.recv_deadline(deadline) == Err(RecvTimeoutError::Disconnected)
    }
}

impl Drop for GroupConsumer {
    /// Whoever drops the consumer itself last serves a rebalance that its closing brings.
    fn drop(&mut self) {
        self.consumer
            .context()
            .closing
            .store(true, Ordering::Release);
    }
}

fn consumer(role: &'static str, config: &ClientConfig) -> KafkaResult<Arc<BaseConsumer<Context>>> {
    let context = Context {
        log: ClientLog::new(role),
        rebalance: Mutex::default(),
        taken: AtomicU64::new(0),
        closing: AtomicBool::new(false),
    };
    Ok(Arc::new(config.create_with_context(context)?))
}

/// Questions to the cluster that do not depend on the loop's thread, asked by the consumer of now.
#[derive(Clone)]
pub(super) struct Lookups(Arc<Mutex<Arc<BaseConsumer<Context>>>>);

impl Lookups {
    fn lock(&self) -> MutexGuard<'_, Arc<BaseConsumer<Context>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn consumer(&self) -> Arc<BaseConsumer<Context>> {
        Arc::clone(&self.lock())
    }

    /// Committed offsets and their metadata, once no transaction is pending on them. An error of
    /// one partition is an error of all: a guess would skip or double records.
    pub(super) fn committed(
        &self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> KafkaResult<Vec<Option<(i64, String)>>> {
        let answer = self
            .consumer()
            .committed_offsets(list_of(partitions, Offset::Invalid)?, timeout)?;
        in_order(&answer, partitions, |element| match element.offset() {
            Offset::Offset(offset) => Some((offset, element.metadata().to_owned())),
            _ => None,
        })
    }

    /// For each partition the offset that `wanted` stands for: `Offset::Beginning`, `Offset::End`,
    /// or `Offset::Offset(t)` for the first record at or after the time `t` in Unix milliseconds,
    /// which is none when there is no such record.
    pub(super) fn resolve(
        &self,
        partitions: &[TopicPartition],
        wanted: Offset,
        timeout: Duration,
    ) -> KafkaResult<Vec<Option<i64>>> {
        let consumer = self.consumer();
        let answer = consumer.offsets_for_times(list_of(partitions, wanted)?, timeout);
        let offsets = answer.and_then(|answer| {
            in_order(&answer, partitions, |element| match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            })
        });
        offsets.inspect_err(|_| {
            // As long as nothing is read, who led the partitions is kept for minutes; and where that is a broker
            // which has left the cluster, librdkafka says at once that there is no leader, and asks nobody.
            let topics: BTreeSet<&str> = partitions.iter().map(|at| &*at.topic).collect();
            let mut asked = topics
                .into_iter()
                .map(|topic| consumer.fetch_metadata(Some(topic), timeout));
            if let Some(error) = asked.find_map(Result::err) {
                tracing::debug!(%error, "who leads the topics is not known");
            }
        })
    }

    /// Commits progress as a member of the group, without a transaction, and waits for the answer.
    pub(super) fn commit(&self, progress: &[Progress], stamp: Stamp) -> KafkaResult<()> {
        let mut list = TopicPartitionList::with_capacity(progress.len());
        for one in progress {
            let mut element = list.add_partition(&one.at.topic, one.at.partition);
            element.set_offset(Offset::Offset(one.finished.base()))?;
            element.set_metadata(one.metadata(stamp));
        }
        self.consumer().commit(&list, CommitMode::Sync)
    }

    /// Which cluster this is, as a hash of its id. None: it does not say.
    pub(super) fn cluster(&self, timeout: Duration) -> Option<u64> {
        let id = self.consumer().client().fetch_cluster_id(timeout)?;
        let hash = Sha256::digest(id.as_bytes());
        hash.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
    }

    /// Whether the group has a static member of this name, as its coordinator tells.
    pub(super) fn has_instance(
        &self,
        group: &str,
        instance: &str,
        timeout: Duration,
    ) -> KafkaResult<bool> {
        let told = self.consumer().fetch_group_list(Some(group), timeout)?;
        let unknown = KafkaError::GroupListFetch(RDKafkaErrorCode::CoordinatorNotAvailable);
        let group = told.groups().iter().find(|found| found.name() == group);
        let mut members = group.ok_or(unknown)?.members().iter();
        Ok(members.any(|member| fenced::is_of_instance(member.id(), instance)))
    }

    /// The names of all topics.
    pub(super) fn topic_names(&self, timeout: Duration) -> KafkaResult<Vec<String>> {
        let metadata = self.consumer().fetch_metadata(None, timeout)?;
        Ok(metadata
            .topics()
            .iter()
            .map(|topic| topic.name().to_owned())
            .collect())
    }

    /// The number of partitions of a topic.
    pub(super) fn partition_count(&self, topic: &str, timeout: Duration) -> KafkaResult<usize> {
        let metadata = self.consumer().fetch_metadata(Some(topic), timeout)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        Ok(found.map_or(0, |topic| topic.partitions().len()))
    }
}

fn list_of(partitions: &[TopicPartition], offset: Offset) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for at in partitions {
        list.add_partition_offset(&at.topic, at.partition, offset)?;
    }
    Ok(list)
}

fn in_order<T>(
    answer: &TopicPartitionList,
    partitions: &[TopicPartition],
    read: impl Fn(&rdkafka::topic_partition_list::TopicPartitionListElem<'_>) -> T,
) -> KafkaResult<Vec<T>> {
    partitions
        .iter()
        .map(|at| {
            let element = answer
                .find_partition(&at.topic, at.partition)
                .ok_or(KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition))?;
            element.error()?;
            Ok(read(&element))
        })
        .collect()
}

/// The queue of one assigned partition.
pub struct PartitionReader {
    /// Which partition.
    pub at: TopicPartition,
    queue: PartitionQueue<Context>,
    filled: Arc<AtomicBool>,
}

/// Why a partition's queue gave no record.
#[derive(Debug)]
pub enum ReadError {
    /// The position is not on the log: retention passed over it, or the topic was made anew. Said
    /// once; librdkafka reads no further and takes no other position, except by a new assignment.
    OutOfRange,
    /// Anything else; librdkafka goes on by itself.
    Other(KafkaError),
}

impl PartitionReader {
    /// Whether the queue may hold something: it does, or it did since the last empty poll.
    pub fn may_have_records(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    /// Makes the next [`Self::next`] look again, in case a wake-up was lost.
    pub fn look_again(&self) {
        self.filled.store(true, Ordering::Release);
    }

    /// The next record, without waiting.
    pub fn next(&self) -> Option<Result<Incoming, ReadError>> {
        // The flag falls before the poll: a record that comes in between raises it again.
        self.filled.store(false, Ordering::Release);
        loop {
            let result = match self.queue.poll(Duration::ZERO)? {
                Ok(message) => Ok(Incoming::copied_from(&message, &self.at.topic)),
                Err(KafkaError::PartitionEOF(_)) => continue,
                Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
                )) => Err(ReadError::OutOfRange),
                Err(error) => Err(ReadError::Other(error)),
            };
            self.filled.store(true, Ordering::Release);
            return Some(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;

    #[test]
    fn all_that_librdkafka_says_is_taken_at_once() {
        let broker = MockCluster::new(1).unwrap();
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", broker.bootstrap_servers())
            .set("group.id", "g")
            .set("debug", "all");
        let group = GroupConsumer::new("test", &config).unwrap();
        // Makes it talk.
        let topics = group.lookups().topic_names(Duration::from_secs(10));
        assert_eq!(topics.unwrap(), [""; 0]);
        group.serve(Duration::ZERO);
        let taken = group.consumer.context().taken.load(Ordering::Relaxed);
        assert!(taken > 1, "a poll takes one");
    }
}
