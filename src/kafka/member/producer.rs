//! The transactional producer itself: one attempt at one transaction, and what its errors mean.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders, Timestamp};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig};
use rdkafka::util::Timeout;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::next_version;
use super::offset_sender::OffsetSender;
use super::transaction::Transaction;
use crate::clock;
use crate::kafka::broker_clock::BrokerClock;
use crate::kafka::client_log::ClientLog;
use crate::kafka::record::{Outgoing, TopicPartition};
use crate::kill_point::{self, KillPoint};

/// How long to wait for delivery reports between two looks. Not by a timed `poll`: rust-rdkafka counts
/// in whole milliseconds, and turns at full speed through the last one of every call.
const GLANCE: Duration = Duration::from_micros(250);
/// How long a broker may take to stamp a record that is sent for its time.
const TIME: Duration = Duration::from_secs(5);
/// How long one call may take before it is made again, which resumes it. Without an end librdkafka waits
/// for a coordinator that is dead, however long nobody else has taken its place.
const CALL: Duration = Duration::from_secs(2);
/// What a call may take beyond that before it counts as stuck, where librdkafka does not heed it. A coordinator
/// takes up to 5 s (`offsets.commit.timeout.ms`) until it knows whether it could write offsets.
const PATIENCE: Duration = Duration::from_secs(8);
/// Retriable errors in a row after which the producer counts as broken.
const MOST_RETRIES: u32 = 10;
/// librdkafka's own transaction timeout.
const LONGEST: Duration = Duration::from_secs(60);

/// An initialised producer.
pub(super) struct TransactionalProducer {
    role: &'static str,
    config: ClientConfig,
    client: Arc<BaseProducer<Context>>,
    offset_sender: OffsetSender,
    clock: BrokerClock,
}

/// Why an attempt at a transaction ended without a commit.
pub(super) enum Trouble {
    /// Abort and try again. `ambiguous`: the commit may have got through all the same.
    Abort { error: KafkaError, ambiguous: bool },
    /// This record can never be written; all others can.
    Unwritable { record: usize, error: KafkaError },
    /// The producer is of no more use. `ambiguous`: the commit may have got through.
    Rebuild { error: KafkaError, ambiguous: bool },
    /// The epoch is over.
    Cancelled,
}

impl TransactionalProducer {
    /// Creates the producer and takes its transactional id over: that fences a predecessor and ends
    /// its pending transaction.
    pub(super) fn initialise(
        role: &'static str,
        config: ClientConfig,
        clock: BrokerClock,
        timeout: Duration,
    ) -> KafkaResult<Self> {
        let client: BaseProducer<Context> = config.create_with_context(Context {
            log: ClientLog::new(role),
            failures: Mutex::default(),
            clock: clock.clone(),
            began: Mutex::new(Instant::now()),
        })?;
        client.init_transactions(timeout)?;
        let client = Arc::new(client);
        Ok(Self {
            role,
            config,
            offset_sender: OffsetSender::start(Arc::clone(&client), PATIENCE)?,
            client,
            clock,
        })
    }

    /// What a successor is initialised with.
    pub(super) fn identity(&self) -> (&'static str, ClientConfig, BrokerClock) {
        (self.role, self.config.clone(), self.clock.clone())
    }

    /// Makes one transaction durable, or says why not. After an error other than
    /// [`Trouble::Rebuild`] it must be aborted.
    pub(super) fn attempt(
        &self,
        transaction: &Transaction,
        is_cancelled: &impl Fn() -> bool,
    ) -> Result<(), Trouble> {
        self.client.context().begin();
        self.client
            .begin_transaction()
            .map_err(|error| Trouble::Rebuild {
                error,
                ambiguous: false,
            })?;
        kill_point::pass(self.role, KillPoint::Begun);
        for (index, record) in transaction.records.iter().enumerate() {
            self.send(index, record, is_cancelled)?;
        }
        kill_point::pass(self.role, KillPoint::Produced);
        self.acknowledged(is_cancelled)?;
        kill_point::pass(self.role, KillPoint::Acknowledged);
        let offsets = offsets(transaction).map_err(|error| Trouble::Abort {
            error,
            ambiguous: false,
        })?;
        kill_point::pass(self.role, KillPoint::OffsetsUnderWay);
        let send = || {
            let sent = self.offset_sender.send(&offsets, &transaction.group, CALL);
            // Not of the kind after which a producer can go on.
            let is_stuck = KafkaError::ConsumerCommit(RDKafkaErrorCode::OperationTimedOut);
            sent.unwrap_or(Err(is_stuck))
        };
        retried(send, is_cancelled).map_err(|error| trouble(error, false))?;
        kill_point::pass(self.role, KillPoint::OffsetsSent);
        if is_cancelled() {
            return Err(Trouble::Cancelled);
        }
        kill_point::pass(self.role, KillPoint::CommitUnderWay);
        // Nothing is in flight, so the flush inside returns at once instead of after 100 ms.
        let commit = || self.client.commit_transaction(Timeout::After(CALL));
        retried(commit, is_cancelled).map_err(|error| trouble(error, true))?;
        kill_point::pass(self.role, KillPoint::Committed);
        Ok(())
    }

    /// Has a broker stamp a record that nobody ever reads, for the time by its clock: its transaction is
    /// aborted. None: that failed, and the producer is given up.
    pub(super) fn ask_for_the_time(self, at: &TopicPartition) -> Option<Self> {
        self.client.context().begin();
        let asked = self.client.begin_transaction().and_then(|()| {
            let record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&at.topic, 0)
                .partition(at.partition)
                .payload(b"");
            self.client.send(record).map_err(|(error, _)| error)
        });
        let deadline = Instant::now() + TIME;
        while asked.is_ok() && self.client.in_flight_count() > 0 && Instant::now() < deadline {
            self.look();
        }
        if let Err(error) = asked {
            tracing::warn!(role = self.role, %error, "the time by the broker's clock is not known");
        }
        self.abort()
    }

    fn send(
        &self,
        index: usize,
        record: &Outgoing,
        is_cancelled: &impl Fn() -> bool,
    ) -> Result<(), Trouble> {
        let mut native = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&record.topic, index)
            .headers(headers(record));
        native.partition = record.partition;
        native.key = record.key.as_deref();
        native.payload = record.value.as_deref();
        while let Err((error, returned)) = self.client.send(native) {
            match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => self.look(),
                Some(code) if is_permanent(code) => {
                    return Err(Trouble::Unwritable {
                        record: index,
                        error,
                    });
                }
                _ => return Err(self.failed(error)),
            }
            if is_cancelled() {
                return Err(Trouble::Cancelled);
            }
            native = returned;
        }
        Ok(())
    }

    /// Waits until every record is acknowledged. librdkafka fails a transaction's records after the
    /// transaction timeout; where it does not, the producer is given up.
    fn acknowledged(&self, is_cancelled: &impl Fn() -> bool) -> Result<(), Trouble> {
        let deadline = Instant::now() + self.transaction_timeout() * 2;
        while self.client.in_flight_count() > 0 {
            self.look();
            if Instant::now() > deadline {
                return Err(Trouble::Rebuild {
                    error: KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut),
                    ambiguous: false,
                });
            }
            if is_cancelled() {
                return Err(Trouble::Cancelled);
            }
        }
        let mut failures = std::mem::take(&mut *self.client.context().failures());
        let permanent = failures
            .iter()
            .position(|(_, error)| error.rdkafka_error_code().is_some_and(is_permanent));
        match permanent {
            Some(position) => {
                let (record, error) = failures.swap_remove(position);
                Err(Trouble::Unwritable { record, error })
            }
            None => match failures.pop() {
                Some((_, error)) => Err(self.failed(error)),
                None => Ok(()),
            },
        }
    }

    fn transaction_timeout(&self) -> Duration {
        let said = self.config.get("transaction.timeout.ms");
        let millis = said.and_then(|millis| millis.parse().ok());
        millis.map_or(LONGEST, Duration::from_millis)
    }

    /// Takes in the delivery reports that are there; pauses if others are still to come.
    fn look(&self) {
        self.client.poll(Duration::ZERO);
        if self.client.in_flight_count() > 0 {
            thread::park_timeout(GLANCE);
        }
    }

    /// Takes in all reports that are there.
    fn serve(&self) {
        // Bounded: while it works, others may come.
        for _ in 0..1_000 {
            if self.client.in_flight_count() == 0 {
                break;
            }
            self.client.poll(Duration::ZERO);
        }
    }

    fn failed(&self, error: KafkaError) -> Trouble {
        if self.client.client().fatal_error().is_some() {
            Trouble::Rebuild {
                error,
                ambiguous: false,
            }
        } else {
            Trouble::Abort {
                error,
                ambiguous: false,
            }
        }
    }

    /// Aborts what is open and gives the producer back. None: that failed, and the producer is given
    /// up; its successor's `init_transactions` aborts in its stead.
    pub(super) fn abort(self) -> Option<Self> {
        let client = &self.client;
        // The abort waits for every delivery report, so they must be served first.
        client.purge(PurgeConfig::default().queue().inflight());
        let deadline = Instant::now() + Duration::from_secs(5);
        while client.in_flight_count() > 0 && Instant::now() < deadline {
            self.look();
        }
        // Each call waits until nothing is left in the queue of reports, where errors of connections
        // stand too: one that comes after the loop above would hold it up for ever, if nobody took it.
        let abort = || {
            self.serve();
            client.abort_transaction(Timeout::After(CALL))
        };
        match retried(abort, &|| false) {
            Ok(()) => Some(self),
            Err(error) => {
                tracing::warn!(role = self.role, %error, "abort failed");
                None
            }
        }
    }
}

/// Keeps which records of the transaction could not be written.
struct Context {
    log: ClientLog,
    failures: Mutex<Vec<(usize, KafkaError)>>,
    clock: BrokerClock,
    /// When the attempt under way began, before which nothing of it was sent.
    began: Mutex<Instant>,
}

impl Context {
    fn begin(&self) {
        self.failures().clear();
        *self.began() = Instant::now();
    }

    fn began(&self) -> MutexGuard<'_, Instant> {
        self.began.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failures(&self) -> MutexGuard<'_, Vec<(usize, KafkaError)>> {
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
        match result {
            Ok(message) => {
                if let Timestamp::LogAppendTime(millis) = message.timestamp() {
                    let began = *self.began();
                    self.clock
                        .learn(clock::Timestamp::from_millis(millis), began);
                }
            }
            Err((error, _)) => self.failures().push((record, error.clone())),
        }
    }
}

fn headers(record: &Outgoing) -> OwnedHeaders {
    let headers = record.native_headers();
    match next_version::header() {
        Some((key, value)) => headers.insert(Header {
            key,
            value: Some(value),
        }),
        None => headers,
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

/// Calls again what librdkafka says may be called again, unless it is of no more use.
fn retried(
    mut call: impl FnMut() -> KafkaResult<()>,
    is_cancelled: &impl Fn() -> bool,
) -> KafkaResult<()> {
    let mut retries = 0;
    loop {
        match call() {
            Err(KafkaError::Transaction(error))
                if error.is_retriable() && retries < MOST_RETRIES && !is_cancelled() =>
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
        KafkaError::Transaction(native) if native.txn_requires_abort() => {
            Trouble::Abort { error, ambiguous }
        }
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
