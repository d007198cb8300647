//! The commit protocol: one member of a consumer group and its transactional producer.
//!
//! Both roles stand on this. A role's loop owns a [`Member`], calls [`Member::serve`] often, and
//! acts on what it reports; it never touches offsets or transactions otherwise.
//!
//! ```text
//!             Assign: group metadata captured, committed offsets + metadata read once no
//!             transaction is pending on them, explicit offsets, partitions split
//!   no epoch ──────────────────────────────────────────────────────────▶ epoch N
//!      ▲                                                                  │  │
//!      │   Revoke: role stops intake and settles; last transaction        │  │ commit: records, offsets
//!      ├──────────────────────────────────────────────────────────────────┘  │ and finished sets in one
//!      │   Lost: transaction under way is given up, nothing is committed     │ transaction; retried until
//!      └─────────────────────────────────────────────────────────────────────┘ committed or N is over
//! ```
//!
//! No transaction spans epochs: both ways out wait until the one under way is committed or aborted.
//! Every transaction of an epoch carries the group metadata captured at its start, so the broker
//! refuses what a zombie still wants to commit.

mod beginning;
mod committer;
mod confirmation;
mod error;
mod event;
mod fenced;
mod group;
mod lease;
mod lost_offsets;
mod metadata;
mod next_version;
mod offset_sender;
mod producer;
mod settings;
mod start;
mod transaction;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

pub use committer::Substitute;
pub use error::MemberError;
pub use event::Event;
pub use group::{PartitionReader, ReadError};
pub use lease::Lease;
pub use lost_offsets::LostOffsets;
pub use metadata::{FirstStart, Progress};
pub use settings::Settings;
pub use start::{FirstStartRule, OutOfRange, Start};

use crate::kafka::client_log::is_outage;
use crate::kafka::log_watch::LogWatch;
use crate::kafka::record::{Outgoing, TopicPartition};
use crate::kill_point::{self, KillPoint};
use crate::metrics::RoleKafkaMetrics;
use crate::wake::Waker;
use committer::{Committer, Verdict};
use confirmation::Confirmation;
use fenced::{Finding, Inquiry};
use group::{GroupConsumer, Rebalance};
use metadata::Stamp;
use producer::TransactionalProducer;
use transaction::Transaction;

/// How long a transaction that is given up is waited for while partitions go. Without a broker
/// librdkafka does not end it; the next epoch waits for that, serving the group meanwhile.
const GIVE_UP: Duration = Duration::from_secs(2);
/// How long a group may take to tell who its members are.
const MEMBERS: Duration = Duration::from_secs(3);
/// How long leaving may take. Without a broker it would take for ever.
const LEAVE: Duration = Duration::from_millis(1_500);

/// One member of a group.
pub struct Member {
    role: &'static str,
    metrics: RoleKafkaMetrics,
    watch: Arc<LogWatch>,
    group: GroupConsumer,
    committer: Committer,
    first_start: FirstStartRule,
    /// For a look at what the group has left.
    reader: ClientConfig,
    traces: Vec<TopicPartition>,
    lost_offsets: LostOffsets,
    /// Whether the group is known to have noted something, and is therefore not new.
    has_notes: bool,
    has_said_lost: bool,
    /// The topics that were there when this process began; none: not said.
    began_with: Option<HashSet<String>>,
    waker: Waker,
    session_timeout: Duration,
    lease: Lease,
    confirmation: Confirmation,
    writer: u64,
    sequence: u64,
    /// Which cluster this is, as a hash of its id; none while it is not known.
    log: Option<u64>,
    epochs: u64,
    epoch: Option<Epoch>,
    /// By whom the consumer was fenced, which can do no more: to be found out before another joins.
    fenced: Option<Inquiry>,
    /// Partitions whose position is not on their log.
    astray: HashSet<TopicPartition>,
    /// The assignment that is to be begun anew once its epoch has been released.
    again: Option<Vec<TopicPartition>>,
    may_go_on: Box<dyn FnMut() -> bool>,
}

struct Epoch {
    number: u64,
    partitions: Vec<TopicPartition>,
    group_metadata: Arc<ConsumerGroupMetadata>,
    confirmed: bool,
}

impl Member {
    /// Takes the transactional id over; [`Self::subscribe`] then joins the group. A broker that is
    /// away is waited for; `keep_trying` is asked between attempts. Must be called on the thread that
    /// will call [`Self::serve`].
    ///
    /// # Errors
    /// A configuration that librdkafka refuses, or [`MemberError::Stopped`].
    pub fn join(
        settings: Settings,
        mut may_go_on: impl FnMut() -> bool + 'static,
    ) -> Result<Self, MemberError> {
        let waker = Waker::of_this_thread();
        let metrics = settings.metrics.clone();
        let group =
            GroupConsumer::new(settings.role, &settings.consumer).map_err(MemberError::Client)?;
        // Before the group is joined: this fences a predecessor with the same instance id and ends
        // its pending transaction, which would hold up the committed offsets.
        let producer = loop {
            match TransactionalProducer::initialise(
                settings.role,
                settings.producer.clone(),
                settings.clock.clone(),
                Duration::from_secs(5),
            ) {
                Ok(producer) => {
                    // Before anything is due: by whose clock that is must be known by then.
                    let asked = match &settings.clock_at {
                        Some(at) => producer.ask_for_the_time(at),
                        None => Some(producer),
                    };
                    if let Some(producer) = asked {
                        break producer;
                    }
                }
                Err(error @ (KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_))) => {
                    return Err(MemberError::Client(error));
                }
                Err(error) => {
                    tracing::warn!(role = settings.role, %error, "transactional producer could not be initialised yet");
                }
            }
            if !may_go_on() {
                return Err(MemberError::Stopped);
            }
        };
        let committer = Committer::start(
            producer,
            group.lookups(),
            settings.substitute,
            settings.metrics,
            settings.clock_at,
            waker.clone(),
        )
        .map_err(|_| MemberError::CommitterGone)?;
        let writer = rand::random();
        let confirmation = Confirmation::start(
            group.lookups(),
            settings.confirmation,
            writer,
            settings.session_timeout / 5,
            waker.clone(),
        )
        .map_err(|_| MemberError::CommitterGone)?;
        Ok(Self {
            role: settings.role,
            metrics,
            watch: settings.watch,
            group,
            committer,
            first_start: settings.first_start,
            reader: settings.consumer,
            traces: settings.traces,
            lost_offsets: settings.lost_offsets,
            has_notes: false,
            has_said_lost: false,
            began_with: None,
            waker,
            session_timeout: settings.session_timeout,
            lease: Lease::new(settings.session_timeout),
            confirmation,
            writer,
            sequence: 0,
            log: None,
            epochs: 0,
            epoch: None,
            fenced: None,
            astray: HashSet::new(),
            again: None,
            may_go_on: Box::new(may_go_on),
        })
    }

    /// The membership's validity, for whatever starts requests.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Wakes the loop of this member.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Tells which topics there are as this process begins: a group needs one to begin with, and the
    /// one that it gets may be younger than its first process.
    pub fn began_with(&mut self, topics: HashSet<String>) {
        self.began_with = Some(topics);
    }

    /// Joins the group for these topics, or changes what is subscribed to.
    ///
    /// # Errors
    /// A name that librdkafka refuses.
    pub fn subscribe(&mut self, topics: &[&str]) -> Result<(), MemberError> {
        self.group.subscribe(topics).map_err(MemberError::Client)
    }

    /// Serves group and committer without waiting. `position` (-1: none yet) is committed for the
    /// confirmation partition when the coordinator is asked.
    ///
    /// # Errors
    /// Only what ends the member for good.
    pub fn serve(&mut self, position: i64) -> Result<Option<Event>, MemberError> {
        let position = position.max(0);
        match self.committer.verdict() {
            Some(Verdict::Committed) => {
                kill_point::pass(self.role, KillPoint::Told);
                return Ok(Some(Event::Committed));
            }
            // Of an epoch that ended before its last transaction did.
            Some(Verdict::Abandoned) | None => {}
        }
        if self.committer.is_dead() {
            return Err(MemberError::CommitterGone);
        }
        if self.fenced.is_some() && self.epoch.is_none() && !self.may_come_back()? {
            return Ok(None);
        }
        let served = self.group.serve(Duration::ZERO);
        let is_lost = served.rebalance == Some(Rebalance::Revoke { lost: true });
        if let Some(error) = served.error
            && self.note(&error, is_lost)?
        {
            if self.epoch.is_none() {
                return Ok(None);
            }
            self.lease.end();
            self.give_up();
            return Ok(Some(Event::Lost));
        }
        if served.rebalance.is_some() {
            self.again = None;
        }
        match served.rebalance {
            Some(Rebalance::Assign(partitions)) => return self.begin_epoch(partitions, position),
            Some(Rebalance::Revoke { lost: false }) => {
                tracing::info!(role = self.role, "partitions asked back");
                return Ok(Some(Event::Revoked));
            }
            Some(Rebalance::Revoke { lost: true }) => {
                self.lease.end();
                self.give_up();
                return Ok(Some(Event::Lost));
            }
            None => {}
        }
        if self.epoch.is_none()
            && let Some(partitions) = self.again.take()
        {
            return self.begin_epoch(partitions, position);
        }
        if let (Some(epoch), false) = (&self.epoch, self.astray.is_empty()) {
            self.again = Some(epoch.partitions.clone());
            return Ok(Some(Event::Revoked));
        }
        self.confirm(position);
        Ok(None)
    }

    /// Whether [`Self::commit`] may be called: there is a confirmed epoch, and no transaction is
    /// under way.
    pub fn can_commit(&self) -> bool {
        !self.committer.is_busy() && self.epoch.as_ref().is_some_and(|epoch| epoch.confirmed)
    }

    /// For how long the transaction under way has been; zero if there is none.
    pub fn committing_for(&self) -> Duration {
        self.committer.busy_for()
    }

    /// Starts a transaction: all records and all progress, or nothing. It is carried through until
    /// it is committed or the epoch ends; [`Event::Committed`] tells. Only when
    /// [`Self::can_commit`]; `progress` must not be empty.
    pub fn commit(&mut self, records: Vec<Outgoing>, progress: Vec<Progress>) {
        let Some(epoch) = &self.epoch else { return };
        debug_assert!(!progress.is_empty(), "a commit moves at least one offset");
        kill_point::pass(self.role, KillPoint::HandedOver);
        self.sequence += 1;
        self.committer.submit(Transaction {
            epoch: epoch.number,
            group: Arc::clone(&epoch.group_metadata),
            records,
            progress,
            stamp: Stamp {
                writer: self.writer,
                sequence: self.sequence,
                log: self.log,
            },
        });
    }

    /// Waits for the transaction under way until `deadline`. True: none is under way any more, and
    /// the last one was committed.
    pub fn settle(&mut self, deadline: Instant) -> bool {
        if !self.committer.is_busy() {
            return true;
        }
        self.committer.wait(deadline) == Some(Verdict::Committed)
    }

    /// Ends the epoch. Every reader must have been dropped.
    ///
    /// # Errors
    /// librdkafka cannot go on.
    pub fn release(&mut self) -> Result<(), MemberError> {
        self.give_up();
        self.metrics.assigned(0);
        self.watch.reads(self.metrics.role, Vec::new());
        self.epoch = None;
        self.lease.end();
        if self.again.is_some() {
            return Ok(()); // Still ours, and assigned again in a moment.
        }
        if self.fenced.is_some() {
            return Ok(()); // The consumer that had them is done with.
        }
        self.group
            .release()
            .map_err(|error| MemberError::Fatal(error.to_string()))
    }

    /// The names of all topics of the cluster.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn topic_names(&self) -> Result<Vec<String>, KafkaError> {
        self.group.lookups().topic_names(Duration::from_secs(5))
    }

    /// The position of this partition is not on its log. librdkafka takes another only with a new
    /// assignment, so the epoch ends as by a revocation and the same partitions are begun anew, this
    /// one at its log's start; the group does not notice.
    pub fn begin_anew(&mut self, at: &TopicPartition) {
        self.astray.insert(at.clone());
    }

    /// Leaves the group; a static member stays in it. Every reader must have been dropped. Bounded:
    /// what cannot be ended without a broker is left behind.
    pub fn close(self) {
        let deadline = Instant::now() + LEAVE;
        self.lease.end();
        let is_through = self.committer.close(deadline)
            & self.confirmation.close(deadline)
            & self.group.close(deadline);
        if is_through {
            tracing::info!(role = self.role, "left the group");
        } else {
            tracing::warn!(
                role = self.role,
                "the group could not be left in time, its coordinator finds out after the session timeout"
            );
        }
    }

    /// Gives the transaction under way up, and waits a little until it has ended.
    fn give_up(&mut self) {
        self.committer.cancel();
        if self.committer.is_busy() && self.committer.wait(Instant::now() + GIVE_UP).is_none() {
            tracing::warn!(
                role = self.role,
                "a transaction does not end yet, the next assignment waits for it"
            );
        }
    }

    /// Takes an error of the consumer in; `is_lost`: its partitions are lost. True: it cannot go on, and is
    /// to be made anew.
    fn note(&mut self, error: &KafkaError, is_lost: bool) -> Result<bool, MemberError> {
        let Some((code, reason)) = self.group.fatal_error() else {
            if !is_outage(error) {
                tracing::warn!(role = self.role, %error, "consumer error");
            }
            return Ok(false);
        };
        // Confirmed a moment ago and not joining again, it can only be another process.
        let is_sure = self.epoch.is_some() && !is_lost && self.lease.is_fresh();
        if code != RDKafkaErrorCode::FencedInstanceId || is_sure {
            return Err(MemberError::of_consumer(code, reason));
        }
        tracing::warn!(
            role = self.role,
            reason,
            "fenced: the group is asked whether that was another process with this instance id"
        );
        let inquiry = Inquiry::begin(reason, self.session_timeout, Instant::now());
        self.fenced.get_or_insert(inquiry);
        Ok(true)
    }

    /// Joins the group with another consumer once it is known that no other process has this name. Only
    /// without an epoch.
    ///
    /// # Errors
    /// Another process has it.
    fn may_come_back(&mut self) -> Result<bool, MemberError> {
        let now = Instant::now();
        let Some(inquiry) = self.fenced.as_mut().filter(|one| one.is_due(now)) else {
            return Ok(false);
        };
        let of_reader = |name| self.reader.get(name).unwrap_or_default();
        let (group, instance) = (of_reader("group.id"), of_reader("group.instance.id"));
        let answer = self.group.lookups().has_instance(group, instance, MEMBERS);
        if let Err(error) = &answer {
            tracing::warn!(role = self.role, %error, "it is not known yet who has this instance id");
        }
        match inquiry.hear(answer, Instant::now()) {
            Finding::Unknown => Ok(false),
            Finding::Another => Err(MemberError::InstanceFenced(inquiry.reason.clone())),
            Finding::Nobody => {
                tracing::info!(role = self.role, "joining the group anew");
                self.fenced = None;
                self.group.make_anew().map_err(MemberError::Client)?;
                Ok(true)
            }
        }
    }

    /// Asks the coordinator from time to time whether this member is one, and hears the answers.
    fn confirm(&mut self, position: i64) {
        let Some(epoch) = &mut self.epoch else { return };
        match self.confirmation.answer(&self.lease) {
            Some(Ok(())) => epoch.confirmed = true,
            Some(Err(error)) => {
                tracing::warn!(role = self.role, %error, "membership not confirmed")
            }
            None => {}
        }
        self.confirmation.ask(position);
    }
}
