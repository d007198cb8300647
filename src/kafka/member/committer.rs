//! The transactional producer of a group member, on a thread of its own.
//!
//! One transaction is under way at a time. It is tried until it is committed or until its epoch is
//! over, whatever happens in between:
//!
//! ```text
//!            ┌────────────── abortable error: abort, back off ◀─────────────┐
//!            ▼                                                              │
//!  idle ─▶ begin ─▶ produce ─▶ all acknowledged ─▶ send offsets ─▶ commit ──┤
//!            ▲                                                       │      │
//!            │                                                       ▼      │ fatal error
//!            │                                                   committed  ▼
//!            └── not found ◀─ does the committed metadata carry ◀─ new producer,
//!                             this sequence number?                init_transactions
//!                             found: committed
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig};
use rdkafka::util::Timeout;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::group::Lookups;
use super::metadata::{Progress, Stamp};
use crate::kafka::client_log::ClientLog;
use crate::kafka::record::Outgoing;
use crate::metrics::RoleKafkaMetrics;
use crate::wake::Waker;

/// How long to wait after the first failure; doubled with each further one up to the last.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// Retriable errors in a row after which the producer counts as broken.
const MOST_RETRIES: u32 = 10;

/// All that one transaction makes durable.
pub(super) struct Transaction {
    pub epoch: u64,
    pub group: Arc<ConsumerGroupMetadata>,
    pub records: Vec<Outgoing>,
    pub progress: Vec<Progress>,
    pub stamp: Stamp,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Committed,
    /// Its epoch ended first; nothing of it is on Kafka, or all of it (read the offsets).
    Abandoned,
}

/// Turns a record that can never be written into one that can, so that what it stood for is kept.
pub type Substitute = Box<dyn Fn(&Outgoing, &KafkaError) -> Outgoing + Send>;

/// The handle that the loop holds.
pub(super) struct Committer {
    jobs: Option<Sender<Transaction>>,
    verdicts: Receiver<Verdict>,
    /// The epoch whose transactions may go on; 0: none.
    epoch: Arc<AtomicU64>,
    busy: bool,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread. `producer` must be initialised: that fences a predecessor and ends its
    /// pending transaction, without which committed offsets cannot be read.
    pub(super) fn start(
        producer: TransactionalProducer,
        lookups: Lookups,
        substitute: Substitute,
        metrics: RoleKafkaMetrics,
        waker: Waker,
    ) -> std::io::Result<Self> {
        let (jobs, inbox) = bounded::<Transaction>(1);
        let (outbox, verdicts) = bounded(1);
        let epoch = Arc::new(AtomicU64::new(0));
        let mut worker = Worker {
            role: producer.role,
            producer: Some(producer.client),
            config: producer.config,
            lookups,
            substitute,
            metrics,
            epoch: Arc::clone(&epoch),
        };
        let thread = thread::Builder::new()
            .name("committer".into())
            .spawn(move || {
                while let Ok(transaction) = inbox.recv() {
                    let verdict = worker.carry_through(transaction);
                    if outbox.send(verdict).is_err() {
                        return;
                    }
                    waker.wake();
                }
            })?;
        Ok(Self {
            jobs: Some(jobs),
            verdicts,
            epoch,
            busy: false,
            thread: Some(thread),
        })
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// From now on transactions of this epoch are carried through.
    pub(super) fn open(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::Release);
    }

    /// Gives the transaction under way up as soon as it can be aborted.
    pub(super) fn cancel(&self) {
        self.epoch.store(0, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Starts a transaction. Only when none is under way.
    pub(super) fn submit(&mut self, transaction: Transaction) {
        debug_assert!(!self.busy, "one transaction at a time");
        if let Some(jobs) = &self.jobs {
            self.busy = jobs.try_send(transaction).is_ok();
        }
    }

    /// The verdict on the transaction under way, if it is there.
    pub(super) fn verdict(&mut self) -> Option<Verdict> {
        match self.verdicts.try_recv() {
            Ok(verdict) => {
                self.busy = false;
                Some(verdict)
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => self.died(),
        }
    }

    /// Waits for the verdict on the transaction under way until `deadline`.
    pub(super) fn wait(&mut self, deadline: Instant) -> Option<Verdict> {
        if !self.busy {
            return None;
        }
        match self.verdicts.recv_deadline(deadline) {
            Ok(verdict) => {
                self.busy = false;
                Some(verdict)
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => self.died(),
        }
    }

    /// Whether the thread ended by a panic: nothing can be committed any more.
    pub(super) fn is_dead(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn died(&mut self) -> Option<Verdict> {
        std::mem::take(&mut self.busy).then_some(Verdict::Abandoned)
    }

    /// Ends the thread and with it the producer.
    pub(super) fn close(mut self) {
        self.cancel();
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the committer's thread had panicked");
        }
    }
}

/// An initialised producer, ready for [`Committer::start`].
pub(super) struct TransactionalProducer {
    role: &'static str,
    client: BaseProducer<Context>,
    config: ClientConfig,
}

impl TransactionalProducer {
    /// Creates the producer and takes its transactional id over.
    pub(super) fn initialise(
        role: &'static str,
        config: ClientConfig,
        timeout: Duration,
    ) -> KafkaResult<Self> {
        let client = initialised(role, &config, timeout)?;
        Ok(Self {
            role,
            client,
            config,
        })
    }
}

fn initialised(
    role: &'static str,
    config: &ClientConfig,
    timeout: Duration,
) -> KafkaResult<BaseProducer<Context>> {
    let client: BaseProducer<Context> = config.create_with_context(Context {
        log: ClientLog::new(role),
        failures: Mutex::default(),
    })?;
    client.init_transactions(timeout)?;
    Ok(client)
}

/// Keeps which records of the transaction could not be written.
struct Context {
    log: ClientLog,
    failures: Mutex<Vec<(usize, KafkaError)>>,
}

impl Context {
    fn failures(&self) -> std::sync::MutexGuard<'_, Vec<(usize, KafkaError)>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(error, reason);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, record: usize) {
        if let Err((error, _)) = result {
            self.failures().push((record, error.clone()));
        }
    }
}

/// Why an attempt at a transaction ended without a commit.
enum Trouble {
    /// Abort and try again.
    Abort(KafkaError),
    /// This record can never be written; all others can.
    Unwritable { record: usize, error: KafkaError },
    /// The producer is of no more use. `ambiguous`: the commit may have got through.
    Rebuild { error: KafkaError, ambiguous: bool },
    /// The epoch is over.
    Cancelled,
}

struct Worker {
    role: &'static str,
    producer: Option<BaseProducer<Context>>,
    config: ClientConfig,
    lookups: Lookups,
    substitute: Substitute,
    metrics: RoleKafkaMetrics,
    epoch: Arc<AtomicU64>,
}

impl Worker {
    fn is_cancelled(&self, transaction: &Transaction) -> bool {
        self.epoch.load(Ordering::Acquire) != transaction.epoch
    }

    fn carry_through(&mut self, mut transaction: Transaction) -> Verdict {
        let mut backoff = FIRST_BACKOFF;
        let mut ambiguous = false;
        while !self.is_cancelled(&transaction) {
            let Some(producer) = self.producer.take() else {
                self.rebuild();
                if self.producer.is_some() && ambiguous {
                    match self.got_through(&transaction) {
                        Some(true) => return self.committed(),
                        Some(false) => ambiguous = false,
                        None => {} // Not known yet: ask again after a pause.
                    }
                    if ambiguous {
                        self.producer = None;
                    }
                }
                if self.producer.is_none() {
                    self.pause(&mut backoff);
                }
                continue;
            };
            match self.attempt(&producer, &transaction) {
                Ok(()) => {
                    self.producer = Some(producer);
                    return self.committed();
                }
                Err(Trouble::Cancelled) => {
                    self.abort(producer);
                    break;
                }
                Err(Trouble::Abort(error)) => {
                    tracing::warn!(%error, "transaction aborted, it will be tried again");
                    self.abort(producer);
                    self.pause(&mut backoff);
                }
                Err(Trouble::Unwritable { record, error }) => {
                    self.abort(producer);
                    if let Some(record) = transaction.records.get_mut(record) {
                        tracing::error!(
                            %error, topic = &*record.topic, cause = %record.cause,
                            "a record cannot be written, its remains go to the rejects"
                        );
                        *record = (self.substitute)(record, &error);
                    }
                }
                Err(Trouble::Rebuild {
                    error,
                    ambiguous: unsure,
                }) => {
                    tracing::warn!(%error, ambiguous = unsure, "transactional producer broken, it will be rebuilt");
                    self.metrics.transaction("fatal");
                    ambiguous |= unsure;
                    drop(producer);
                    self.pause(&mut backoff);
                }
            }
        }
        self.metrics.transaction("abandoned");
        Verdict::Abandoned
    }

    fn committed(&self) -> Verdict {
        self.metrics.transaction("committed");
        Verdict::Committed
    }

    fn attempt(
        &self,
        producer: &BaseProducer<Context>,
        transaction: &Transaction,
    ) -> Result<(), Trouble> {
        producer.context().failures().clear();
        producer
            .begin_transaction()
            .map_err(|error| Trouble::Rebuild {
                error,
                ambiguous: false,
            })?;
        for (index, record) in transaction.records.iter().enumerate() {
            self.send(producer, transaction, index, record)?;
        }
        self.acknowledged(producer, transaction)?;
        let offsets = offsets(transaction).map_err(Trouble::Abort)?;
        retried(|| {
            producer.send_offsets_to_transaction(&offsets, &transaction.group, Timeout::Never)
        })
        .map_err(|error| trouble(error, false))?;
        if self.is_cancelled(transaction) {
            return Err(Trouble::Cancelled);
        }
        // Nothing is in flight, so the flush inside returns at once instead of after 100 ms.
        retried(|| producer.commit_transaction(Timeout::Never))
            .map_err(|error| trouble(error, true))
    }

    fn send(
        &self,
        producer: &BaseProducer<Context>,
        transaction: &Transaction,
        index: usize,
        record: &Outgoing,
    ) -> Result<(), Trouble> {
        let mut native = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&record.topic, index)
            .headers(record.native_headers());
        native.partition = record.partition;
        native.key = record.key.as_deref();
        native.payload = record.value.as_deref();
        while let Err((error, returned)) = producer.send(native) {
            match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => producer.poll(Duration::from_millis(1)),
                Some(code) if is_permanent(code) => {
                    return Err(Trouble::Unwritable {
                        record: index,
                        error,
                    });
                }
                _ => return Err(self.failed(producer, error)),
            }
            if self.is_cancelled(transaction) {
                return Err(Trouble::Cancelled);
            }
            native = returned;
        }
        Ok(())
    }

    /// Waits until every record is acknowledged. Bounded: librdkafka fails a transaction's records
    /// after the transaction timeout.
    fn acknowledged(
        &self,
        producer: &BaseProducer<Context>,
        transaction: &Transaction,
    ) -> Result<(), Trouble> {
        while producer.in_flight_count() > 0 {
            producer.poll(Duration::from_millis(1));
            if self.is_cancelled(transaction) {
                return Err(Trouble::Cancelled);
            }
        }
        let mut failures = std::mem::take(&mut *producer.context().failures());
        let permanent = failures
            .iter()
            .position(|(_, error)| error.rdkafka_error_code().is_some_and(is_permanent));
        match permanent {
            Some(position) => {
                let (record, error) = failures.swap_remove(position);
                Err(Trouble::Unwritable { record, error })
            }
            None => match failures.pop() {
                Some((_, error)) => Err(self.failed(producer, error)),
                None => Ok(()),
            },
        }
    }

    fn failed(&self, producer: &BaseProducer<Context>, error: KafkaError) -> Trouble {
        if producer.client().fatal_error().is_some() {
            Trouble::Rebuild {
                error,
                ambiguous: false,
            }
        } else {
            Trouble::Abort(error)
        }
    }

    /// Aborts what is open. If that fails, the producer is given up: its successor's
    /// `init_transactions` aborts in its stead.
    fn abort(&mut self, producer: BaseProducer<Context>) {
        self.metrics.transaction("aborted");
        producer.purge(PurgeConfig::default().queue().inflight());
        let purged = Instant::now() + Duration::from_secs(5);
        while producer.in_flight_count() > 0 && Instant::now() < purged {
            producer.poll(Duration::from_millis(1));
        }
        match retried(|| producer.abort_transaction(Timeout::After(Duration::from_secs(10)))) {
            Ok(()) => self.producer = Some(producer),
            Err(error) => {
                tracing::warn!(%error, "abort failed, the producer will be rebuilt");
                self.metrics.transaction("fatal");
            }
        }
    }

    fn rebuild(&mut self) {
        match initialised(self.role, &self.config, Duration::from_secs(10)) {
            Ok(producer) => {
                tracing::info!("transactional producer rebuilt");
                self.producer = Some(producer);
            }
            Err(error) => tracing::warn!(%error, "transactional producer could not be initialised"),
        }
    }

    /// Whether the committed offsets carry this transaction's stamp. `None`: not known.
    fn got_through(&self, transaction: &Transaction) -> Option<bool> {
        let first = transaction.progress.first()?;
        let partitions = std::slice::from_ref(&first.at);
        match self.lookups.committed(partitions, Duration::from_secs(10)) {
            Ok(committed) => Some(committed.first().is_some_and(|entry| {
                entry
                    .as_ref()
                    .is_some_and(|(offset, metadata)| transaction.stamp.is_on(*offset, metadata))
            })),
            Err(error) => {
                tracing::warn!(%error, "committed offsets could not be read");
                None
            }
        }
    }

    fn pause(&self, backoff: &mut Duration) {
        let until = Instant::now() + *backoff;
        *backoff = (*backoff * 2).min(LONGEST_BACKOFF);
        // A cancellation unparks; any other wake-up only shortens the pause.
        thread::park_timeout(until.saturating_duration_since(Instant::now()));
    }
}

fn offsets(transaction: &Transaction) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(transaction.progress.len());
    for progress in &transaction.progress {
        let mut element = list.add_partition(&progress.at.topic, progress.at.partition);
        element.set_offset(Offset::Offset(progress.finished.base()))?;
        element.set_metadata(progress.metadata(transaction.stamp));
    }
    Ok(list)
}

/// Calls again what librdkafka says may be called again.
fn retried(mut call: impl FnMut() -> KafkaResult<()>) -> KafkaResult<()> {
    let mut retries = 0;
    loop {
        match call() {
            Err(KafkaError::Transaction(error))
                if error.is_retriable() && retries < MOST_RETRIES =>
            {
                retries += 1;
                tracing::debug!(%error, retries, "transaction call is tried again");
            }
            result => return result,
        }
    }
}

fn trouble(error: KafkaError, ambiguous: bool) -> Trouble {
    match &error {
        KafkaError::Transaction(native) if native.txn_requires_abort() => Trouble::Abort(error),
        _ => Trouble::Rebuild { error, ambiguous },
    }
}

/// Errors that are about the record itself: sending it again cannot help.
fn is_permanent(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::InvalidTimestamp
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::PolicyViolation
    )
}
