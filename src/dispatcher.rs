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

pub mod adoptions;
pub mod auto_disable;
pub mod commit_brake;
pub mod conclusion;
pub mod deadline;
pub mod decision;
pub mod desk;
pub mod egress;
pub mod endpoints;
pub mod equipment;
pub mod heard;
pub mod held_task;
pub mod on_the_wire;
pub mod outbox;
pub mod outcome;
pub mod request;
pub mod resting;
pub mod settings;
pub mod signature;
pub mod standing;
pub mod table_gate;
pub mod windows;

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::http::flights::{Flights, Landed};
use crate::kafka::commit_pace::CommitPace;
use crate::kafka::endpoint_reader::Restoration;
use crate::kafka::lanes::{Lanes, Taken};
use crate::kafka::member::{Event, Member, MemberError, PartitionReader, Start};
use crate::kafka::record::{Incoming, TopicPartition};
use crate::offset_tracker::FinishedSet;
use crate::subscription_table::Compiled;
use crate::telemetry::State;
use commit_brake::CommitBrake;
use conclusion::Sent;
use desk::{Desk, LaneView, TableView};
use endpoints::Full;
pub use equipment::Equipment;
use held_task::HeldTask;
use on_the_wire::{Adopted, Back, InFlight, OnTheWire};

/// The longest pause of the loop. A sweep follows it, so a lost wake-up costs no more than this.
const SWEEP: Duration = Duration::from_millis(100);
/// How often endpoints are forgotten that nothing is to be said of.
const FORGET: Duration = Duration::from_secs(10);
/// How long a revocation waits for requests on the wire, and then for commits; without them it is done again.
const HAND_BACK_REQUESTS: Duration = Duration::from_millis(1_500);
const HAND_BACK_COMMITS: Duration = Duration::from_secs(5);
/// How long the last commits may take when the process ends, even if its time is up.
const LAST_COMMITS: Duration = Duration::from_secs(2);
/// From the beginning of one transaction to that of the next, at least. No delivery waits for one.
const PACE: Duration = Duration::from_millis(20);

/// The loop and all that it owns.
pub struct Dispatcher {
    member: Member,
    flights: Flights,
    with: Equipment,
    lanes: Lanes,
    desk: Desk,
    on_the_wire: OnTheWire<Landed>,
    /// Of the endpoints' states, after an assignment: nothing is taken in before it is over.
    restoration: Restoration,
    pace: CommitPace,
    brake: CommitBrake,
    last_sweep: Instant,
    last_forgetting: Instant,
}

impl Dispatcher {
    /// A dispatcher on this thread's member.
    pub fn new(member: Member, flights: Flights, with: Equipment) -> Self {
        with.wake_on_change(member.waker());
        let desk = with.desk();
        Self {
            member,
            flights,
            with,
            lanes: Lanes::default(),
            desk,
            on_the_wire: OnTheWire::default(),
            restoration: Restoration::default(),
            pace: CommitPace::new(PACE),
            brake: CommitBrake::default(),
            last_sweep: Instant::now(),
            last_forgetting: Instant::now(),
        }
    }

    /// Runs until `shutdown`, then drains and leaves the group.
    ///
    /// # Errors
    /// What ends the member for good.
    pub fn run(mut self, shutdown: &CancellationToken) -> Result<(), MemberError> {
        while !shutdown.is_cancelled() {
            self.with.health.beat(Instant::now());
            self.serve()?;
            self.land();
            self.take_in();
            self.wake_waiting();
            self.launch();
            self.commit();
            self.sweep();
            self.pause();
        }
        self.drain()
    }

    /// What is due by this time is.
    fn now(&self) -> Timestamp {
        self.with.clock.earliest()
    }

    fn serve(&mut self) -> Result<(), MemberError> {
        match self.member.serve(self.with.subscriptions.position())? {
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
                    in_flight = self.on_the_wire.len(),
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
        for (_, start) in &partitions {
            finished.insert(start.at.clone(), start.finished.clone());
        }
        let settings = &self.with.settings;
        let tier_0 = &settings.ledger.deliveries;
        let owned = finished.keys().filter(|at| at.topic == *tier_0);
        let owned: Vec<i32> = owned.map(|at| at.partition).collect();
        self.desk.assigned(owned.iter().copied().collect());
        self.restoration = Restoration::of(owned);
        self.lanes = Lanes::assigned(partitions, &settings.delays, settings.holes_per_partition);
        self.on_the_wire.retain(&finished);
        self.with.health.set(State::Ready);
    }

    /// Forgets everything about the assignment but the requests that are on the wire.
    fn drop_assignment(&mut self) {
        self.on_the_wire.leave();
        self.lanes = Lanes::default();
        self.desk.clear(self.on_the_wire.bytes());
        self.with.health.set(State::Starting);
    }

    /// Before partitions go: lets requests end and commits what is finished, within a budget.
    fn hand_back(&mut self) {
        self.await_flights(Instant::now() + HAND_BACK_REQUESTS);
        self.desk.tell_all(self.now());
        self.settle(Instant::now() + HAND_BACK_COMMITS);
    }

    fn await_flights(&mut self, deadline: Instant) {
        while self.on_the_wire.any_ours() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            if let Some(landed) = self.flights.wait(left.min(SWEEP)) {
                self.landed(landed);
            }
            self.with.health.beat(Instant::now());
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
        self.with.health.set(State::Draining);
        let deadline = Instant::now() + self.with.settings.drain;
        tracing::info!(
            in_flight = self.on_the_wire.len(),
            "draining: no request starts any more"
        );
        while self.on_the_wire.any_ours() && Instant::now() < deadline {
            self.with.health.beat(Instant::now());
            self.serve()?;
            self.with.health.set(State::Draining);
            if let Some(landed) = self.flights.wait(Duration::from_millis(20)) {
                self.landed(landed);
            }
            self.commit();
        }
        self.desk.tell_all(self.now());
        self.settle(deadline.max(Instant::now() + LAST_COMMITS));
        tracing::info!(
            unanswered = self.on_the_wire.len(),
            handed_back = self.lanes.outstanding(),
            "drained: what is handed back is taken up by others or at the next start"
        );
        self.drop_assignment();
        self.with.health.set(State::Draining);
        self.member.close();
        Ok(())
    }

    // ---- intake ----

    fn take_in(&mut self) {
        let now = self.now();
        while self.with.endpoints.is_restored(&mut self.restoration)
            && !self.is_memory_full()
            && let Some(taken) = self.lanes.take(now)
        {
            let Taken { lane, record } = taken;
            self.taken(lane, &record, now);
        }
    }

    fn is_memory_full(&self) -> bool {
        self.desk.bytes() >= self.with.settings.memory
    }

    fn taken(&mut self, lane: usize, record: &Incoming, now: Timestamp) {
        if self.adopt(lane, record) {
            return;
        }
        let lane = LaneView {
            index: lane,
            delay: self.lanes.delay(lane),
            room: self.lanes.room(lane),
            free_memory: self.with.settings.memory.saturating_sub(self.desk.bytes()),
        };
        self.at_desk(|desk, view| desk.take(record, lane, view, now));
    }

    /// Whether a record's request is out already, or has ended: it is not sent again.
    fn adopt(&mut self, lane: usize, record: &Incoming) -> bool {
        match self.on_the_wire.adopt(lane, record) {
            Some(Adopted::OnTheWire) => true,
            Some(Adopted::Ended(ended)) => {
                let (flight, landed) = *ended;
                self.desk.take_back(&flight.task);
                self.conclude(flight, &landed);
                true
            }
            None => false,
        }
    }

    /// Works at the desk with the table as it is now, and marks what has become terminal.
    fn at_desk<T>(&mut self, work: impl FnOnce(&mut Desk, TableView<'_>) -> T) -> T {
        let subscriptions = &self.with.subscriptions;
        let table = subscriptions.table();
        let position = subscriptions.position();
        let endpoints = self.with.endpoints.table();
        let result = work(
            &mut self.desk,
            TableView {
                endpoints: &endpoints,
                table: &table,
                position,
            },
        );
        drop((table, endpoints));
        for (lane, offset) in self.desk.take_finished() {
            self.lanes.finish(lane, offset);
        }
        result
    }

    /// Decides on tasks whose wait is over.
    fn wake_waiting(&mut self) {
        let now = self.now();
        if self.desk.next_due().is_some_and(|due| due <= now) {
            self.at_desk(|desk, view| desk.wake(view, now));
        }
        if self.desk.wants_table_end(now) {
            match self.with.subscriptions.ask_end(Duration::from_secs(1)) {
                Ok(end) => self.desk.table_ends_at(end, now),
                Err(error) => {
                    tracing::warn!(%error, "the end of the subscriptions topic is not known, tasks wait")
                }
            }
        }
        self.at_desk(|desk, view| desk.catch_up(view, now));
    }

    // ---- requests ----

    fn launch(&mut self) {
        if self.brake.holds(self.member.committing_for()) {
            return;
        }
        while self.on_the_wire.len() < self.with.settings.endpoints.max_in_flight
            && self.member.lease().is_valid()
        {
            let now = self.now();
            let next = self.at_desk(|desk, view| desk.next_to_send(view, now));
            let Some((task, compiled, revision)) = next else {
                break;
            };
            self.send(task, compiled, revision, now);
        }
        self.flights.depart();
    }

    fn send(&mut self, task: HeldTask, compiled: Arc<Compiled>, revision: i64, now: Timestamp) {
        let number = self.on_the_wire.next_number();
        let (subscription, agent) = (&compiled.subscription, &self.with.settings.user_agent);
        // What receivers and secrets are told is this process's clock, as everywhere.
        let local = Timestamp::now();
        let keys = self.with.secrets.live(subscription, local);
        let request = keys.and_then(|keys| request::of(&task, subscription, &keys, agent, local));
        if let Some(due) = task.due {
            let tier = self.lanes.delay(task.lane);
            self.with.metrics.taken_up(tier, now.since(due));
        }
        let flight = InFlight::new(task, compiled, revision, now);
        self.on_the_wire.add(number, flight);
        match request {
            Ok(request) => self.flights.launch(number, request),
            Err(failure) => self.landed(Landed::not_sent(number, failure)),
        }
    }

    fn land(&mut self) {
        while let Some(landed) = self.flights.landed() {
            self.landed(landed);
        }
    }

    fn landed(&mut self, landed: Landed) {
        let now = self.now();
        match self.on_the_wire.back(landed.number, landed) {
            Back::Ours(flight, landed) => {
                self.desk.landed(&flight.task.subscription, now);
                self.conclude(flight, &landed);
            }
            Back::Strange(task) => {
                self.desk.landed(&task.subscription, now);
                self.desk.unheard(&task.subscription, now);
                self.desk.let_go(&task);
            }
            Back::Unknown => {}
        }
    }

    fn conclude(&mut self, flight: InFlight, landed: &Landed) {
        let now = self.now();
        let Some(exchange) = &landed.exchange else {
            // The lease had run out: nothing was sent.
            self.desk.unheard(&flight.task.subscription, now);
            return self.at_desk(|desk, view| desk.decide(flight.task, view, now, false));
        };
        let sent = Sent {
            task: &flight.task,
            compiled: &flight.compiled,
            revision: flight.revision,
            started_at: flight.started_at,
            ended_by: self.with.clock.latest(),
            exchange,
        };
        let jitter = rand::random();
        self.at_desk(|desk, view| desk.conclude(sent, view, now, jitter));
    }

    // ---- commits ----

    fn commit(&mut self) {
        let is_due = self
            .next_commit()
            .map_or(self.pace.is_idle(Instant::now()), |wait| wait.is_zero());
        if is_due && self.member.can_commit() {
            self.start_commit();
        }
    }

    /// How long records still gather before their transaction begins. None: there are none.
    fn next_commit(&self) -> Option<Duration> {
        let wait = match self.is_memory_full() {
            true => Duration::ZERO,
            false => self.pace.wait(Instant::now()),
        };
        self.desk.has_records().then_some(wait)
    }

    /// Starts a transaction with all that is finished. False: there is nothing.
    fn start_commit(&mut self) -> bool {
        self.pace.begins(Instant::now());
        let mut progress = self.lanes.progress();
        if progress.is_empty() && self.desk.has_records() {
            // Of what follows from no task: an endpoint that is enabled, a notice.
            progress.extend(self.lanes.standstill());
        }
        if progress.is_empty() {
            return false;
        }
        let settings = &self.with.settings;
        let records = self
            .desk
            .outbox()
            .take(&settings.ledger.attempts, settings.attempts_partitions);
        self.member.commit(records, progress);
        true
    }

    fn committed(&mut self) {
        self.brake.committed();
        self.desk.outbox().committed();
        self.lanes.committed();
    }

    // ---- sweep and pause ----

    fn sweep(&mut self) {
        if self.last_sweep.elapsed() < SWEEP {
            return;
        }
        self.last_sweep = Instant::now();
        let now = self.now();
        self.lanes.look_again();
        if self.restoration.is_over() {
            self.at_desk(|desk, view| desk.merge(view, now));
        }
        for at in self.lanes.astray() {
            self.member.begin_anew(at);
        }
        self.make_room(now);
        if self.last_forgetting.elapsed() >= FORGET {
            self.last_forgetting = Instant::now();
            self.desk.forget(now);
        }
        let at = (now, self.last_sweep);
        self.with
            .report(self.on_the_wire.len(), &self.desk, &self.lanes, at);
    }

    fn make_room(&mut self, now: Timestamp) {
        let is_memory_full = self.is_memory_full();
        if is_memory_full || self.lanes.any_full() {
            let full = Full::of(is_memory_full, self.lanes.full().collect());
            self.at_desk(|desk, view| desk.make_room(full, view, now));
        }
    }

    fn pause(&mut self) {
        let may_take_in = self.restoration.is_over() && !self.is_memory_full();
        if may_take_in && self.lanes.has_something_now() {
            return;
        }
        let now = self.now();
        // Not for a record that is due but has no room: the loop would turn at full speed.
        let next_release = may_take_in.then(|| self.lanes.next_release()).flatten();
        let next_due = next_release.into_iter().chain(self.desk.next_due()).min();
        let next_commit = self.next_commit().filter(|_| self.member.can_commit());
        let pause = next_due.map_or(SWEEP, |due| due.since(now).min(SWEEP));
        let pause = pause.min(next_commit.unwrap_or(SWEEP));
        if !pause.is_zero() {
            thread::park_timeout(pause);
        }
    }
}
