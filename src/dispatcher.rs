//! LOOP 2: delivery tasks become requests, and their outcomes become records.
//!
//! ```text
//! lanes (tier 0 and retry tiers) ─▶ decide ─▶ wait for a place ─▶ request ─▶ conclude
//!      │  held until due              │  subscription now, due now?            │
//!      │                              ├─▶ hop, park, dead letter, cancel ──────┤
//!      ◀── committed ◀── one transaction: records, watermarks, finished sets ◀──┘
//! ```
//!
//! One plain thread owns all state. Requests run on the async runtime and transactions on the
//! committer's thread; both come back as messages. So a rebalance, a commit and an outcome are
//! always seen one after the other.

pub mod conclusion;
pub mod decision;
pub mod endpoints;
pub mod held_task;
pub mod outcome;
pub mod request;
pub mod signature;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::duration_text;
use crate::http::flights::{Flights, Landed};
use crate::http::{ErrorClass, Exchange, Failure, Request};
use crate::kafka::lane::{Lane, Next};
use crate::kafka::member::{Event, Member, MemberError, PartitionReader, Progress, Start};
use crate::kafka::record::{Incoming, Outgoing, TopicPartition};
use crate::kafka::subscription_reader::SubscriptionReader;
use crate::metrics::{DispatcherMetrics, KafkaMetrics, status_class};
use crate::offset_tracker::FinishedSet;
use crate::record::{AttemptOutcome, Coordinates, Reason};
use crate::retry::Ladder;
use crate::secret::Secret;
use crate::secret_store::SecretStore;
use crate::subscription_table::Compiled;
use crate::telemetry::{Component, State};
use conclusion::{Ledger, Sent};
use decision::{Decision, Parked, TableState, decide};
use endpoints::Endpoints;
use held_task::HeldTask;
use request::Parts;

/// The longest pause of the loop. A sweep follows it, so a lost wake-up costs no more than this.
const SWEEP: Duration = Duration::from_millis(100);
/// How many records one lane gives in its turn.
const TURN: usize = 64;
/// How long a revocation waits for requests that are on the wire, and then for the last commits.
const HAND_BACK_REQUESTS: Duration = Duration::from_millis(1_500);
const HAND_BACK_COMMITS: Duration = Duration::from_millis(1_000);
/// How long offsets that moved without a record may stay uncommitted.
const IDLE_COMMIT: Duration = Duration::from_secs(1);
/// How long a task waits for its saturated endpoint before it makes room in a full window.
const CROWDED_AFTER: Duration = Duration::from_secs(1);

/// Bounds and names.
pub struct Settings {
    /// The tiers.
    pub ladder: Ladder,
    /// Where things are written.
    pub ledger: Ledger,
    /// How long records lie on each task topic; none on tier 0. Also tiers taken off the ladder.
    pub delays: HashMap<Arc<str>, Option<Duration>>,
    /// How many partitions the attempts topic has.
    pub attempts_partitions: i32,
    /// The most requests at once.
    pub max_in_flight: usize,
    /// The most bytes of tasks and of records to be written in memory.
    pub memory: usize,
    /// The most unfinished offsets of one partition.
    pub holes_per_partition: usize,
    /// How long requests may go on when the process is told to stop.
    pub drain: Duration,
    /// `user-agent` of every request.
    pub user_agent: String,
}

/// What a dispatcher works with, beside its member.
pub struct Equipment {
    /// The table that tasks are looked up in.
    pub subscriptions: Arc<SubscriptionReader>,
    /// Where referenced secrets are read.
    pub secrets: SecretStore,
    /// Bounds and names.
    pub settings: Settings,
    /// What it counts.
    pub metrics: DispatcherMetrics,
    /// What every role counts about Kafka.
    pub kafka_metrics: KafkaMetrics,
    /// How it says that it moves.
    pub health: Component,
}

/// The loop and all that it owns.
pub struct Dispatcher {
    member: Member,
    subscriptions: Arc<SubscriptionReader>,
    secrets: SecretStore,
    flights: Flights,
    settings: Settings,
    metrics: DispatcherMetrics,
    kafka_metrics: KafkaMetrics,
    health: Component,

    lanes: Vec<Lane>,
    lane_of: HashMap<TopicPartition, usize>,
    next_lane: usize,
    /// Tasks that are newer than the table; the topic's end is still to be asked for them.
    newer: Vec<HeldTask>,
    /// Those for which it was asked, and the end that the table must reach.
    catching_up: Option<(i64, Vec<HeldTask>)>,
    /// Tasks that wait out a rest too short for any tier, by due time.
    resting: BTreeMap<(Timestamp, u64), HeldTask>,
    endpoints: Endpoints<HeldTask>,
    in_flight: HashMap<u64, InFlight>,
    /// Requests whose partition was given back while they were on the wire, by their record.
    adoptable: HashMap<Coordinates, Adoptable>,
    numbers: u64,
    /// What the next transaction writes.
    outbox: Vec<Outgoing>,
    /// Bytes of tasks held, of the outbox and of the transaction under way.
    bytes: Bytes,
    last_commit: Instant,
    last_sweep: Instant,
}

#[derive(Debug, Default)]
struct Bytes {
    held: usize,
    outbox: usize,
    committing: usize,
}

struct InFlight {
    task: HeldTask,
    compiled: Arc<Compiled>,
    revision: i64,
    /// Whether the task's offset is ours to finish.
    is_ours: bool,
}

enum Adoptable {
    OnTheWire(u64),
    Landed(Box<(InFlight, Landed)>),
}

impl Dispatcher {
    /// A dispatcher on this thread's member.
    pub fn new(member: Member, flights: Flights, parts: Equipment) -> Self {
        let Equipment {
            subscriptions,
            secrets,
            settings,
            metrics,
            kafka_metrics,
            health,
        } = parts;
        subscriptions.wake_on_change(member.waker().clone());
        Self {
            member,
            subscriptions,
            secrets,
            flights,
            settings,
            metrics,
            kafka_metrics,
            health,
            lanes: Vec::new(),
            lane_of: HashMap::new(),
            next_lane: 0,
            newer: Vec::new(),
            catching_up: None,
            resting: BTreeMap::new(),
            endpoints: Endpoints::default(),
            in_flight: HashMap::new(),
            adoptable: HashMap::new(),
            numbers: 0,
            outbox: Vec::new(),
            bytes: Bytes::default(),
            last_commit: Instant::now(),
            last_sweep: Instant::now(),
        }
    }

    /// Runs until `shutdown`, then drains and leaves the group.
    ///
    /// # Errors
    /// What ends the member for good.
    pub fn run(mut self, shutdown: &CancellationToken) -> Result<(), MemberError> {
        while !shutdown.is_cancelled() {
            self.health.beat(Instant::now());
            self.serve()?;
            self.land();
            self.take_in();
            self.wake_rested();
            self.catch_up();
            self.launch();
            self.commit();
            self.sweep();
            self.pause();
        }
        self.drain()
    }

    fn serve(&mut self) -> Result<(), MemberError> {
        match self.member.serve(self.subscriptions.position())? {
            None => {}
            Some(Event::Committed) => self.committed(),
            Some(Event::Assigned(partitions)) => self.assigned(partitions),
            Some(Event::Revoked) => {
                self.hand_back();
                self.drop_assignment();
                self.member.release()?;
            }
            Some(Event::Lost) => {
                tracing::warn!(
                    in_flight = self.in_flight.len(),
                    "partitions lost: nothing is committed for them any more"
                );
                self.drop_assignment();
                self.member.release()?;
            }
        }
        Ok(())
    }

    // ---- assignment ----

    fn assigned(&mut self, partitions: Vec<(PartitionReader, Start)>) {
        self.drop_assignment();
        let mut finished: HashMap<TopicPartition, FinishedSet> = HashMap::new();
        for (reader, start) in partitions {
            let topic = &start.at.topic;
            if let Some(range) = start.out_of_range {
                self.kafka_metrics
                    .offset_out_of_range
                    .with_label_values(&[&**topic])
                    .inc();
                tracing::error!(
                    topic = &**topic,
                    partition = start.at.partition,
                    committed = range.committed,
                    log_start = range.log_start,
                    log_end = range.log_end,
                    "the committed offset is not on the log (retention passed over tasks, or the topic was made anew): going on from the log's start"
                );
            }
            let delay = self.settings.delays.get(topic).copied().flatten();
            finished.insert(start.at.clone(), start.finished.clone());
            self.lane_of.insert(start.at.clone(), self.lanes.len());
            self.lanes.push(Lane::new(
                reader,
                start,
                delay,
                self.settings.holes_per_partition,
            ));
        }
        // An outcome is adopted if its record is read here again; a record that is finished, or
        // that is somebody else's now, is not.
        self.adoptable.retain(|at, _| {
            let partition = TopicPartition {
                topic: Arc::clone(&at.topic),
                partition: at.partition,
            };
            finished
                .get(&partition)
                .is_some_and(|set| at.offset >= set.base() && !set.contains(at.offset))
        });
        self.health.set(State::Ready);
    }

    /// Forgets everything about the assignment but the requests that are on the wire.
    fn drop_assignment(&mut self) {
        for (number, flight) in &mut self.in_flight {
            if flight.is_ours {
                flight.is_ours = false;
                self.adoptable
                    .insert(flight.task.at.clone(), Adoptable::OnTheWire(*number));
            }
        }
        self.lanes.clear();
        self.lane_of.clear();
        self.newer.clear();
        self.catching_up = None;
        self.resting.clear();
        self.endpoints.clear_waiting();
        self.outbox.clear();
        self.bytes = Bytes {
            held: self
                .in_flight
                .values()
                .map(|flight| flight.task.size())
                .sum(),
            ..Bytes::default()
        };
        self.health.set(State::Starting);
    }

    /// Before partitions go: lets requests end and commits what is finished, within a budget.
    fn hand_back(&mut self) {
        self.await_flights(Instant::now() + HAND_BACK_REQUESTS);
        self.settle(Instant::now() + HAND_BACK_COMMITS);
    }

    fn await_flights(&mut self, deadline: Instant) {
        while self.in_flight.values().any(|flight| flight.is_ours) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            if let Some(landed) = self.flights.wait(left.min(SWEEP)) {
                self.landed(landed);
            }
            self.health.beat(Instant::now());
        }
    }

    /// Commits all that is finished.
    fn settle(&mut self, deadline: Instant) {
        while self.member.settle(deadline) {
            self.committed();
            if !self.member.can_commit() || !self.start_commit() {
                return;
            }
        }
        tracing::warn!("finished work could not be committed in time, it is done again");
    }

    fn drain(mut self) -> Result<(), MemberError> {
        self.health.set(State::Draining);
        let deadline = Instant::now() + self.settings.drain;
        tracing::info!(
            in_flight = self.in_flight.len(),
            "draining: no request starts any more"
        );
        while self.in_flight.values().any(|flight| flight.is_ours) && Instant::now() < deadline {
            self.health.beat(Instant::now());
            self.serve()?;
            if let Some(landed) = self.flights.wait(Duration::from_millis(20)) {
                self.landed(landed);
            }
            self.commit();
        }
        self.settle(Instant::now() + HAND_BACK_COMMITS.max(Duration::from_secs(5)));
        let unfinished: usize = self.lanes.iter().map(Lane::outstanding).sum();
        tracing::info!(
            unanswered = self.in_flight.len(),
            handed_back = unfinished,
            "drained: what is handed back is taken up by others or at the next start"
        );
        self.drop_assignment();
        self.member.close();
        Ok(())
    }

    // ---- intake ----

    fn take_in(&mut self) {
        let now = Timestamp::now();
        for _ in 0..self.lanes.len() {
            let lane = self.next_lane % self.lanes.len();
            self.next_lane = lane + 1;
            for _ in 0..TURN {
                if self.is_memory_full() {
                    return;
                }
                if !self.lanes[lane].is_worth_a_look() {
                    break;
                }
                match self.lanes[lane].next(now) {
                    Next::Record(record) => self.taken(lane, record, now),
                    Next::NotBefore(_) | Next::Empty | Next::Full => break,
                    Next::OutOfRange => {
                        self.out_of_range(lane);
                        break;
                    }
                }
            }
        }
    }

    fn is_memory_full(&self) -> bool {
        self.bytes.held + self.bytes.outbox + self.bytes.committing >= self.settings.memory
    }

    fn out_of_range(&mut self, lane: usize) {
        let at = self.lanes[lane].at().clone();
        self.kafka_metrics
            .offset_out_of_range
            .with_label_values(&[&*at.topic])
            .inc();
        let restart = self.member.log_range(&at).and_then(|(log_start, log_end)| {
            tracing::error!(
                topic = &*at.topic, partition = at.partition, log_start, log_end,
                "the position is not on the log (retention passed over tasks, or the topic was made anew): going on from the log's start"
            );
            self.member.seek(&at, log_start).map(|()| log_start)
        });
        match restart {
            Ok(log_start) => self.lanes[lane].restart(log_start),
            Err(error) => {
                tracing::warn!(%error, topic = &*at.topic, partition = at.partition, "the log's start is not known")
            }
        }
    }

    fn taken(&mut self, lane: usize, record: Incoming, now: Timestamp) {
        if let Some(adoptable) = self.adoptable.remove(&record.at) {
            return self.adopt(lane, adoptable);
        }
        let task = HeldTask::read(
            record.at.clone(),
            lane,
            record.key.clone(),
            record.value.clone(),
            &record.headers,
        );
        match task {
            Ok(mut task) => {
                self.bytes.held += task.size();
                task.due = self.lanes[lane].delay().and(task.headers.not_before);
                self.decide(task, now);
            }
            Err(error) => {
                tracing::error!(at = %record.at, %error, "not a delivery task, it goes to the dead-letter topic");
                let letter = self
                    .settings
                    .ledger
                    .not_a_task(&record, &error.to_string(), now);
                self.dead_lettered(Reason::Undeliverable);
                self.write(letter);
                self.lanes[lane].finish(record.at.offset);
            }
        }
    }

    /// A request that was under way when its partition went is this record's: it is not sent again.
    fn adopt(&mut self, lane: usize, adoptable: Adoptable) {
        match adoptable {
            Adoptable::OnTheWire(number) => {
                if let Some(flight) = self.in_flight.get_mut(&number) {
                    flight.is_ours = true;
                    flight.task.lane = lane;
                }
            }
            Adoptable::Landed(landed) => {
                let (mut flight, landed) = *landed;
                flight.task.lane = lane;
                self.bytes.held += flight.task.size();
                self.conclude(flight, landed);
            }
        }
    }

    // ---- decisions ----

    fn decide(&mut self, task: HeldTask, now: Timestamp) {
        self.decide_with(task, now, false);
    }

    fn decide_with(&mut self, mut task: HeldTask, now: Timestamp, caught_up: bool) {
        let decision = {
            let table = self.subscriptions.table();
            let state = TableState {
                position: self.subscriptions.position(),
                caught_up,
            };
            decide(
                &task.headers,
                table.get(&task.subscription),
                state,
                now,
                &self.settings.ladder,
            )
        };
        match decision {
            Decision::Send { compiled, .. } => {
                task.ready_since = now;
                let limit = compiled.subscription.max_concurrency() as usize;
                let key = task.subscription.clone();
                self.endpoints.push(&key, limit, task);
            }
            Decision::Rest(until) => {
                self.numbers += 1;
                self.resting.insert((until, self.numbers), task);
            }
            Decision::AwaitTable => self.newer.push(task),
            Decision::Hop(tier) => {
                let moved = self.settings.ledger.hop(&task, tier);
                self.finish(&task, Some(moved));
            }
            Decision::Park(tier, why) => {
                let moved = self.settings.ledger.park(&task, tier, why);
                self.metrics.parked.with_label_values(&[why.as_str()]).inc();
                self.finish(&task, Some(moved));
            }
            Decision::DeadLetter(reason, message) => {
                let letter = self.settings.ledger.give_up(&task, reason, message, now);
                self.dead_lettered(reason);
                self.finish(&task, Some(letter));
            }
            Decision::Cancel => {
                tracing::debug!(delivery_id = %task.headers.delivery_id, subscription = %task.subscription, "subscription deleted, delivery cancelled");
                self.metrics
                    .deliveries
                    .with_label_values(&["cancelled"])
                    .inc();
                self.finish(&task, None);
            }
        }
    }

    fn dead_lettered(&self, reason: Reason) {
        self.metrics.deliveries.with_label_values(&["dead"]).inc();
        self.metrics
            .dead_letters
            .with_label_values(&[reason.as_str()])
            .inc();
    }

    fn finish(&mut self, task: &HeldTask, record: Option<Outgoing>) {
        self.bytes.held = self.bytes.held.saturating_sub(task.size());
        let is_outstanding = self
            .lanes
            .get_mut(task.lane)
            .is_some_and(|lane| lane.finish(task.at.offset));
        // A lane that was restarted does not know the offset: its log is gone, what follows from
        // it is still true.
        debug_assert!(is_outstanding, "every held task is outstanding");
        if let Some(record) = record {
            self.write(record);
        }
    }

    fn write(&mut self, record: Outgoing) {
        self.bytes.outbox += record.size();
        self.outbox.push(record);
    }

    fn wake_rested(&mut self) {
        let now = Timestamp::now();
        while let Some(entry) = self.resting.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let task = entry.remove();
            self.decide(task, now);
        }
    }

    /// Tasks made from a newer subscription record than the table has: the topic's end is asked
    /// after they arrived, and they are decided once the table is there.
    fn catch_up(&mut self) {
        let Some((end, tasks)) = self.catching_up.take() else {
            if !self.newer.is_empty() {
                match self.subscriptions.ask_end(Duration::from_secs(1)) {
                    Ok(end) => self.catching_up = Some((end, std::mem::take(&mut self.newer))),
                    Err(error) => {
                        tracing::warn!(%error, "the end of the subscriptions topic is not known, tasks wait")
                    }
                }
            }
            return;
        };
        if self.subscriptions.position() < end {
            self.catching_up = Some((end, tasks));
            return;
        }
        let now = Timestamp::now();
        for task in tasks {
            if task.headers.revision >= end {
                tracing::warn!(
                    subscription = %task.subscription, revision = task.headers.revision, end,
                    "a task is newer than the whole subscriptions topic (it was made anew?): the table as it is decides"
                );
            }
            self.decide_with(task, now, true);
        }
    }

    // ---- requests ----

    fn launch(&mut self) {
        while self.in_flight.len() < self.settings.max_in_flight
            && self.member.lease().is_valid()
            && let Some(task) = self.endpoints.start_next()
        {
            let now = Timestamp::now();
            let decision = {
                let table = self.subscriptions.table();
                let state = TableState {
                    position: self.subscriptions.position(),
                    caught_up: true,
                };
                decide(
                    &task.headers,
                    table.get(&task.subscription),
                    state,
                    now,
                    &self.settings.ladder,
                )
            };
            match decision {
                Decision::Send { compiled, revision } => self.send(task, compiled, revision, now),
                // The subscription has changed while the task waited for its place.
                Decision::Rest(_)
                | Decision::Hop(_)
                | Decision::Park(..)
                | Decision::DeadLetter(..)
                | Decision::Cancel
                | Decision::AwaitTable => {
                    self.endpoints.ended(&task.subscription);
                    self.decide_with(task, now, true);
                }
            }
        }
        self.metrics
            .in_flight
            .set(i64::try_from(self.in_flight.len()).unwrap_or(i64::MAX));
    }

    fn send(&mut self, task: HeldTask, compiled: Arc<Compiled>, revision: i64, now: Timestamp) {
        self.numbers += 1;
        let number = self.numbers;
        let request = self.request(&task, &compiled, now);
        if let Some(due) = task.due {
            let tier = self.lanes.get(task.lane).and_then(Lane::delay);
            self.metrics
                .retry_lateness
                .with_label_values(&[&tier_label(tier)])
                .observe(now.since(due).as_secs_f64());
        }
        self.in_flight.insert(
            number,
            InFlight {
                task,
                compiled,
                revision,
                is_ours: true,
            },
        );
        match request {
            Ok(request) => self.flights.launch(number, request),
            Err(failure) => self.landed(Landed::not_sent(number, now, failure)),
        }
    }

    fn request(
        &mut self,
        task: &HeldTask,
        compiled: &Compiled,
        now: Timestamp,
    ) -> Result<Request, Failure> {
        let subscription = &compiled.subscription;
        let id = task.headers.delivery_id.to_string();
        let signature = if subscription.signatures().is_empty() {
            String::new()
        } else {
            let keys = self.secrets.live(subscription.secrets(), now)?;
            let keys: Vec<&[u8]> = keys.iter().map(Secret::expose).collect();
            signature::sign_standard(&keys, &id, now.as_secs(), &task.body)
        };
        let parts = Parts {
            url: subscription.url().expose(),
            method: &http::Method::POST,
            content_type: task
                .headers
                .content_type
                .as_deref()
                .unwrap_or("application/json"),
            headers: subscription.headers(),
            user_agent: &self.settings.user_agent,
            delivery_id: &id,
            timestamp: now.as_secs(),
            signature: &signature,
            body: &task.body,
            timeout: subscription.timeout(),
        };
        request::build(parts)
            .map_err(|error| Failure::new(ErrorClass::InvalidRequest, error.to_string()))
    }

    fn land(&mut self) {
        while let Some(landed) = self.flights.landed() {
            self.landed(landed);
        }
    }

    fn landed(&mut self, landed: Landed) {
        let Some(flight) = self.in_flight.remove(&landed.number) else {
            return;
        };
        self.endpoints.ended(&flight.task.subscription);
        if flight.is_ours {
            return self.conclude(flight, landed);
        }
        self.bytes.held = self.bytes.held.saturating_sub(flight.task.size());
        if let Some(place) = self.adoptable.get_mut(&flight.task.at) {
            *place = Adoptable::Landed(Box::new((flight, landed)));
        }
    }

    fn conclude(&mut self, flight: InFlight, landed: Landed) {
        let InFlight {
            task,
            compiled,
            revision,
            ..
        } = flight;
        let now = Timestamp::now();
        let Some(exchange) = &landed.exchange else {
            // The lease had run out: nothing was sent.
            return self.decide_with(task, now, true);
        };
        let sent = Sent {
            task: &task,
            compiled: &compiled,
            revision,
            started_at: landed.started_at,
            exchange,
        };
        let conclusion =
            self.settings
                .ledger
                .conclude(sent, &self.settings.ladder, now, rand::random());
        self.count_attempt(conclusion.outcome, exchange);
        if let Some(reason) = conclusion.dead {
            self.dead_lettered(reason);
        }
        if conclusion.outcome == AttemptOutcome::Delivered {
            self.count_delivery(&task, now);
        }
        tracing::debug!(
            delivery_id = %task.headers.delivery_id, subscription = %task.subscription,
            attempt = task.headers.attempt + 1, outcome = conclusion.outcome.as_str(),
            "request ended"
        );
        self.finish(&task, None);
        for record in conclusion.records {
            self.write(record);
        }
    }

    fn count_attempt(&self, outcome: AttemptOutcome, exchange: &Exchange) {
        let status = match &exchange.result {
            Ok(answer) => Some(answer.status),
            Err(failure) => failure.status,
        };
        self.metrics
            .attempts
            .with_label_values(&[outcome.as_str(), status_class(status)])
            .inc();
        self.metrics
            .attempt_duration
            .observe(exchange.duration.as_secs_f64());
    }

    fn count_delivery(&self, task: &HeldTask, now: Timestamp) {
        let first = if task.headers.attempt == 0 {
            "true"
        } else {
            "false"
        };
        self.metrics
            .deliveries
            .with_label_values(&["delivered"])
            .inc();
        self.metrics
            .delivery_latency
            .with_label_values(&[first])
            .observe(now.since(task.headers.first_seen).as_secs_f64());
    }

    // ---- commits ----

    fn commit(&mut self) {
        let is_due = !self.outbox.is_empty() || self.last_commit.elapsed() >= IDLE_COMMIT;
        if is_due && self.member.can_commit() {
            self.start_commit();
        }
    }

    /// Starts a transaction with all that is finished. False: there is nothing.
    fn start_commit(&mut self) -> bool {
        let progress: Vec<Progress> = self.lanes.iter_mut().filter_map(Lane::progress).collect();
        self.last_commit = Instant::now();
        if progress.is_empty() {
            return false;
        }
        let mut records = std::mem::take(&mut self.outbox);
        self.bytes.committing = std::mem::take(&mut self.bytes.outbox);
        self.gather_attempts(&mut records);
        self.member.commit(records, progress);
        true
    }

    /// Every partition that a transaction touches costs a marker: its attempt records share one.
    fn gather_attempts(&mut self, records: &mut [Outgoing]) {
        self.numbers += 1;
        let partitions = u64::try_from(self.settings.attempts_partitions)
            .unwrap_or(1)
            .max(1);
        let partition = i32::try_from(self.numbers % partitions).ok();
        for record in records {
            if record.topic == self.settings.ledger.attempts {
                record.partition = partition;
            }
        }
    }

    fn committed(&mut self) {
        self.bytes.committing = 0;
        for lane in &mut self.lanes {
            lane.committed();
        }
    }

    // ---- sweep and pause ----

    fn sweep(&mut self) {
        if self.last_sweep.elapsed() < SWEEP {
            return;
        }
        self.last_sweep = Instant::now();
        let now = Timestamp::now();
        let mut oldest_due: HashMap<Option<Duration>, Duration> = HashMap::new();
        for lane in &self.lanes {
            lane.look_again();
            let age = lane
                .held_until()
                .map_or(Duration::ZERO, |due| now.since(due));
            let oldest = oldest_due.entry(lane.delay()).or_default();
            *oldest = age.max(*oldest);
        }
        for (tier, age) in oldest_due {
            self.metrics
                .oldest_due_age
                .with_label_values(&[&tier_label(tier)])
                .set(age.as_secs_f64());
        }
        self.make_room(now);
    }

    /// Where a partition's window is full, tasks that wait for saturated endpoints move to a tier:
    /// others behind them must not wait.
    fn make_room(&mut self, now: Timestamp) {
        let full: Vec<bool> = self.lanes.iter().map(Lane::is_full).collect();
        if !full.contains(&true) {
            return;
        }
        let crowded = self.endpoints.take_stuck(|task| {
            full.get(task.lane).copied().unwrap_or(false)
                && now.since(task.ready_since) >= CROWDED_AFTER
        });
        for task in crowded {
            let tier = self.settings.ladder.park_delay(task.headers.parks);
            let moved = self.settings.ledger.park(&task, tier, Parked::Crowded);
            self.metrics
                .parked
                .with_label_values(&[Parked::Crowded.as_str()])
                .inc();
            self.finish(&task, Some(moved));
        }
    }

    fn pause(&mut self) {
        let can_take_in = !self.is_memory_full() && self.lanes.iter().any(Lane::has_something_now);
        if can_take_in {
            return;
        }
        let now = Timestamp::now();
        let next_due = self
            .lanes
            .iter()
            .filter_map(Lane::held_until)
            .chain(self.resting.first_key_value().map(|((due, _), _)| *due))
            .min();
        let pause = next_due.map_or(SWEEP, |due| due.since(now).min(SWEEP));
        if !pause.is_zero() {
            thread::park_timeout(pause);
        }
    }
}

/// The metrics' name of a tier; `0` is the deliveries topic.
fn tier_label(delay: Option<Duration>) -> String {
    delay.map_or_else(|| "0".to_owned(), duration_text::canonical)
}
