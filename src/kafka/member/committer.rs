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
//!
//! An abortable error of the commit itself raises the same question, once the abort is over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;

use super::group::Lookups;
use super::producer::{TransactionalProducer, Trouble};
use super::transaction::Transaction;
use crate::kafka::broker_clock::BrokerClock;
use crate::kafka::record::{Outgoing, TopicPartition};
use crate::metrics::RoleKafkaMetrics;
use crate::offset_tracker::invariants;
use crate::wake::Waker;

/// How long to wait after the first failure; doubled with each further one up to the last.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// How often a thread without work looks whether it should ask for the time.
const GLANCE: Duration = Duration::from_secs(10);

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Committed,
    /// Its epoch ended first; nothing of it is on Kafka, or all of it (read the offsets).
    Abandoned,
}

/// Turns a record that can never be written, and why, into one that can, so that what it stood for is kept.
pub type Substitute = Box<dyn Fn(&Outgoing, &str) -> Outgoing + Send>;

/// The handle that the loop holds.
pub(super) struct Committer {
    jobs: Option<Sender<Transaction>>,
    verdicts: Receiver<Verdict>,
    /// The epoch whose transactions may go on; 0: none.
    epoch: Arc<AtomicU64>,
    /// Since when a transaction is under way.
    busy_since: Option<Instant>,
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
        clock_at: Option<TopicPartition>,
        waker: Waker,
    ) -> std::io::Result<Self> {
        let (jobs, inbox) = bounded::<Transaction>(1);
        let (outbox, verdicts) = bounded(1);
        let epoch = Arc::new(AtomicU64::new(0));
        let (role, config, clock) = producer.identity();
        let mut worker = Worker {
            role,
            config,
            clock,
            clock_at,
            producer: Some(producer),
            lookups,
            substitute,
            metrics,
            epoch: Arc::clone(&epoch),
        };
        let thread = thread::Builder::new()
            .name("committer".into())
            .spawn(move || {
                while let Some(transaction) = worker.next(&inbox) {
                    let verdict = worker.carry_through(transaction);
                    if outbox.send(verdict).is_err() {
                        return;
                    }
                    waker.wake();
                    // Its successor ends what it left pending, for which the next epoch waits.
                    if worker.producer.is_none() {
                        worker.producer = worker.rebuilt();
                    }
                }
                drop(worker);
                drop(outbox);
            })?;
        Ok(Self {
            jobs: Some(jobs),
            verdicts,
            epoch,
            busy_since: None,
            thread: Some(thread),
        })
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy_since.is_some()
    }

    /// For how long the transaction under way has been; zero if there is none.
    pub(super) fn busy_for(&self) -> Duration {
        let since = self.busy_since;
        since.map_or(Duration::ZERO, |since| since.elapsed())
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
        debug_assert!(!self.is_busy(), "one transaction at a time");
        debug_assert!(invariants::is_of_its_epoch(
            transaction.epoch,
            self.epoch.load(Ordering::Acquire)
        ));
        if let Some(jobs) = &self.jobs {
            let is_taken = jobs.try_send(transaction).is_ok();
            self.busy_since = is_taken.then(Instant::now);
        }
    }

    /// The verdict on the transaction under way, if it is there.
    pub(super) fn verdict(&mut self) -> Option<Verdict> {
        match self.verdicts.try_recv() {
            Ok(verdict) => {
                self.busy_since = None;
                Some(verdict)
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => self.died(),
        }
    }

    /// Waits for the verdict on the transaction under way until `deadline`.
    pub(super) fn wait(&mut self, deadline: Instant) -> Option<Verdict> {
        if !self.is_busy() {
            return None;
        }
        match self.verdicts.recv_deadline(deadline) {
            Ok(verdict) => {
                self.busy_since = None;
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
        self.busy_since.take().map(|_| Verdict::Abandoned)
    }

    /// Ends the thread and with it the producer. False: it has not ended by `deadline` and is left
    /// behind, as a call that only the broker can end may be under way.
    pub(super) fn close(mut self, deadline: Instant) -> bool {
        self.cancel();
        self.jobs = None;
        // The thread drops its end last of all.
        while match self.verdicts.recv_deadline(deadline) {
            Ok(_) => true,
            Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => return false,
        } {}
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the committer's thread had panicked");
        }
        true
    }
}

struct Worker {
    role: &'static str,
    config: ClientConfig,
    clock: BrokerClock,
    /// Where a broker is asked for the time; none: nowhere.
    clock_at: Option<TopicPartition>,
    producer: Option<TransactionalProducer>,
    lookups: Lookups,
    substitute: Substitute,
    metrics: RoleKafkaMetrics,
    epoch: Arc<AtomicU64>,
}

impl Worker {
    /// The next transaction; none: there will be no more. Asks for the time meanwhile, when that has not
    /// come along with anything for long.
    fn next(&mut self, inbox: &Receiver<Transaction>) -> Option<Transaction> {
        loop {
            match inbox.recv_timeout(GLANCE) {
                Ok(transaction) => return Some(transaction),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => self.ask_for_the_time(),
            }
        }
    }

    fn ask_for_the_time(&mut self) {
        if let Some(at) = self.clock_at.as_ref().filter(|_| self.clock.is_vague())
            && let Some(producer) = self.producer.take().or_else(|| self.rebuilt())
        {
            self.producer = producer.ask_for_the_time(at);
        }
    }

    fn carry_through(&mut self, mut transaction: Transaction) -> Verdict {
        let started = Instant::now();
        let mut backoff = FIRST_BACKOFF;
        let mut is_ambiguous = false;
        let mut substituted = BTreeSet::new();
        let epoch = Arc::clone(&self.epoch);
        let number = transaction.epoch;
        let is_cancelled = || epoch.load(Ordering::Acquire) != number;
        while !is_cancelled() {
            let Some(producer) = self.producer.take().or_else(|| self.rebuilt()) else {
                pause(&mut backoff);
                continue;
            };
            if is_ambiguous {
                let known = self.got_through(&transaction);
                is_ambiguous = known.is_none();
                if known != Some(false) {
                    self.producer = Some(producer);
                    if known == Some(true) {
                        return self.committed(&transaction, started);
                    }
                    pause(&mut backoff);
                    continue;
                }
            }
            match producer.attempt(&transaction, &is_cancelled) {
                Ok(()) => {
                    self.producer = Some(producer);
                    return self.committed(&transaction, started);
                }
                Err(Trouble::Cancelled) => {
                    self.abort(producer);
                    break;
                }
                Err(Trouble::Abort { error, ambiguous }) => {
                    tracing::warn!(role = self.role, %error, ambiguous, "transaction aborted, it will be tried again");
                    // Even if the abort succeeds: with a new epoch it says nothing of the commit.
                    is_ambiguous |= ambiguous;
                    self.abort(producer);
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownPartition) {
                        // A topic was made anew with fewer partitions: the keys find their way.
                        for record in &mut transaction.records {
                            record.partition = None;
                        }
                    }
                    pause(&mut backoff);
                }
                Err(Trouble::Unwritable { record, error }) => {
                    self.abort(producer);
                    if !substituted.insert(record) {
                        pause(&mut backoff); // Its reject is refused too: somebody must change that.
                    }
                    if let Some(record) = transaction.records.get_mut(record) {
                        tracing::error!(
                            role = self.role, %error, topic = &*record.topic, cause = %record.cause,
                            "a record cannot be written, its remains go to the rejects"
                        );
                        *record = (self.substitute)(record, &error.to_string());
                    }
                }
                Err(Trouble::Rebuild { error, ambiguous }) => {
                    tracing::warn!(role = self.role, %error, ambiguous, "transactional producer broken, it will be made anew");
                    self.metrics.transaction("fatal");
                    is_ambiguous |= ambiguous;
                    drop(producer);
                    pause(&mut backoff);
                }
            }
        }
        self.metrics.transaction("abandoned");
        Verdict::Abandoned
    }

    fn committed(&self, transaction: &Transaction, started: Instant) -> Verdict {
        self.metrics
            .committed(started.elapsed(), transaction.records.len());
        Verdict::Committed
    }

    fn abort(&mut self, producer: TransactionalProducer) {
        self.metrics.transaction("aborted");
        self.producer = producer.abort();
    }

    fn rebuilt(&self) -> Option<TransactionalProducer> {
        let timeout = Duration::from_secs(10);
        TransactionalProducer::initialise(self.role, self.config.clone(), self.clock.clone(), timeout)
            .inspect(|_| tracing::info!(role = self.role, "transactional producer made anew"))
            .inspect_err(|error| {
                tracing::warn!(role = self.role, %error, "transactional producer could not be initialised");
            })
            .ok()
    }

    /// Whether the committed offsets carry this transaction's stamp. `None`: not known.
    fn got_through(&self, transaction: &Transaction) -> Option<bool> {
        let first = transaction.progress.first()?;
        let partitions = std::slice::from_ref(&first.at);
        let committed = self
            .lookups
            .committed(partitions, Duration::from_secs(10))
            .inspect_err(|error| {
                tracing::warn!(role = self.role, %error, "committed offsets could not be read");
            })
            .ok()?;
        Some(
            committed
                .iter()
                .flatten()
                .any(|(offset, metadata)| transaction.stamp.is_on(*offset, metadata)),
        )
    }
}

/// Waits, each time longer. A cancellation ends it early; so may any other wake-up, which only
/// means that the next try comes sooner.
fn pause(backoff: &mut Duration) {
    thread::park_timeout(*backoff);
    *backoff = (*backoff * 2).min(LONGEST_BACKOFF);
}
