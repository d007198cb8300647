//! All tasks in memory that are not on the wire, and what has become of them.
//!
//! Every task that is taken from Kafka passes here: it is decided on, waits if it must, goes out
//! when it may, and in the end leaves a finished offset and the records that follow from it. Pure:
//! time, table and chance come in as arguments, so every path can be tried without Kafka or HTTP.

mod hearing;
mod telling;

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::conclusion::{Ledger, Sent};
use super::deadline;
use super::decision::{Decision, TableState, decide};
use super::egress::Egress;
use super::endpoints::breaker::Change;
use super::endpoints::endpoint::{Terms, host_of};
use super::endpoints::{self, Arrival, Endpoints, Full, PutOff};
use super::held_task::HeldTask;
use super::outbox::Outbox;
use super::resting::Resting;
use super::standing::Standing;
use super::table_gate::TableGate;
use crate::clock::Timestamp;
use crate::endpoint_table::EndpointTable;
use crate::kafka::record::{Incoming, Outgoing};
use crate::metrics::DispatcherMetrics;
use crate::record::{AttemptOutcome, Parked, Reason, SubscriptionKey};
use crate::retry::{Hop, Ladder};
use crate::subscription_table::{Compiled, SubscriptionTable};

/// See the module.
pub struct Desk {
    ladder: Ladder,
    ledger: Ledger,
    metrics: DispatcherMetrics,
    /// Tasks that are newer than the table.
    gate: TableGate<HeldTask>,
    /// Tasks that wait out a short rest.
    resting: Resting<HeldTask>,
    /// Tasks that wait for a place at their endpoint.
    endpoints: Endpoints<HeldTask>,
    /// Which endpoints fail or are disabled.
    standing: Standing,
    egress: Egress,
    /// As in [`endpoints::Settings`].
    is_adaptive: bool,
    outbox: Outbox,
    /// Lanes and offsets that are terminal since they were last asked for.
    finished: Vec<(usize, i64)>,
    /// Bytes of tasks in memory, those on the wire included.
    held: usize,
}

/// The subscriptions and the endpoints as they are now.
#[derive(Clone, Copy)]
pub struct TableView<'a> {
    /// What all processes know of endpoints.
    pub endpoints: &'a EndpointTable,
    /// The table.
    pub table: &'a SubscriptionTable,
    /// Everything below this offset of its topic is in it; -1: it is being read, and says nothing.
    pub position: i64,
}

/// A lane as it is now.
#[derive(Clone, Copy, Debug)]
pub struct LaneView {
    /// Its index.
    pub index: usize,
    /// How long records lie on it; none on tier 0.
    pub delay: Option<Duration>,
    /// How many more unfinished tasks it may have.
    pub room: usize,
    /// How many more bytes of tasks the process may hold.
    pub free_memory: usize,
}

impl Desk {
    /// An empty desk.
    pub fn new(
        ladder: Ladder,
        ledger: Ledger,
        endpoints: endpoints::Settings,
        standing: Standing,
        metrics: DispatcherMetrics,
    ) -> Self {
        Self {
            is_adaptive: endpoints.is_adaptive,
            endpoints: Endpoints::new(endpoints, ladder.clone(), HeldTask::origin),
            ladder,
            ledger,
            metrics,
            gate: TableGate::default(),
            resting: Resting::default(),
            standing,
            egress: Egress::default(),
            outbox: Outbox::default(),
            finished: Vec::new(),
            held: 0,
        }
    }

    /// Forgets all tasks but those on the wire, which cost `on_the_wire` bytes.
    pub fn clear(&mut self, on_the_wire: usize) {
        self.gate = TableGate::default();
        self.resting = Resting::default();
        self.endpoints.clear_waiting();
        self.outbox = Outbox::default();
        self.finished.clear();
        self.held = on_the_wire;
    }

    /// Bytes of tasks, of records to be written and of the transaction under way.
    pub fn bytes(&self) -> usize {
        self.held + self.outbox.bytes()
    }

    /// Whether anything is to be written.
    pub fn has_records(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// What is to be written.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Lanes and offsets that have become terminal since the last call. What follows from them is
    /// in the outbox already.
    pub fn take_finished(&mut self) -> Vec<(usize, i64)> {
        mem::take(&mut self.finished)
    }

    /// When the next resting task is due, or an endpoint may send that waits for its time.
    pub fn next_due(&self) -> Option<Timestamp> {
        let resting = self.resting.next_due().into_iter();
        resting.chain(self.endpoints.next_time()).min()
    }

    /// Whether our own way out seems closed, and only probes are sent.
    pub fn is_held(&self) -> bool {
        self.egress.is_held()
    }

    /// Those that wait for their endpoints, and how these do.
    pub fn endpoints(&self) -> &Endpoints<HeldTask> {
        &self.endpoints
    }

    /// Forgets endpoints of which nothing is known that matters. To be called now and then.
    pub fn forget(&mut self, now: Timestamp) {
        self.endpoints.forget(now);
    }

    /// How many tasks rest.
    pub fn resting(&self) -> usize {
        self.resting.len()
    }

    /// Whether a task waits for its time: out a short rest, or for the next probe of its endpoint.
    pub fn waits_for_its_time(&self, lane: usize, offset: i64) -> bool {
        let is_it = |task: &HeldTask| task.lane == lane && task.at.offset == offset;
        self.resting.any(is_it) || self.endpoints.any_behind_a_breaker(is_it)
    }

    // ---- in ----

    /// Takes a record of a task topic that was read from a lane.
    pub fn take(&mut self, record: &Incoming, lane: LaneView, view: TableView<'_>, now: Timestamp) {
        match HeldTask::read(record, lane.index) {
            Ok(mut task) => {
                self.held += task.size();
                task.due = lane.delay.and(task.headers.not_before);
                let appended = record.timestamp.unwrap_or(now);
                let was_paused = task.headers.parked.is_some_and(Parked::is_pause);
                task.paused_for = lane.delay.filter(|_| was_paused);
                let due = appended.after(lane.delay.unwrap_or_default());
                let arrival = Arrival {
                    lane: lane.index,
                    room: lane.room.min(lane.free_memory / task.size()),
                    age: now.since(task.due.map_or(due, |by_task| due.max(by_task))),
                };
                self.decide_on(task, Some(arrival), view, now, false);
            }
            Err(error) => {
                tracing::error!(at = %record.at, %error, "not a delivery task, it goes to the dead-letter topic");
                self.metrics.dead_lettered(Reason::Undeliverable);
                self.outbox
                    .write(self.ledger.not_a_task(record, &error.to_string(), now));
                self.finished.push((lane.index, record.at.offset));
            }
        }
    }

    /// A task that was on the wire for an earlier assignment is held again.
    pub fn take_back(&mut self, task: &HeldTask) {
        self.held += task.size();
    }

    /// A task on the wire is held no more: its partition is somebody else's, or its record is to be
    /// read again.
    pub fn let_go(&mut self, task: &HeldTask) {
        self.held = self.held.saturating_sub(task.size());
    }

    // ---- decisions ----

    /// Decides what becomes of a task. `caught_up`: the table has reached the end that its topic had
    /// after the task arrived.
    pub fn decide(&mut self, task: HeldTask, view: TableView<'_>, now: Timestamp, caught_up: bool) {
        self.decide_on(task, None, view, now, caught_up);
    }

    fn decide_on(
        &mut self,
        mut task: HeldTask,
        arrival: Option<Arrival>,
        view: TableView<'_>,
        now: Timestamp,
        caught_up: bool,
    ) {
        let max_age = self.ledger.default_max_age;
        let standing = &self.standing;
        match decision(&task, &self.ladder, max_age, standing, view, now, caught_up) {
            Decision::Send { compiled, revision } => {
                task.ready_since = now;
                let key = task.subscription.clone();
                if !self.endpoints.knows(&key, revision) {
                    self.learn(&key, &compiled.subscription, revision, view, now);
                }
                let terms = Terms::of(&compiled.subscription, revision, self.is_adaptive);
                self.endpoints.admit(&key, terms, arrival, task, now);
                self.put_off(view, now);
            }
            Decision::Rest(until) => self.resting.add(until, task),
            Decision::AwaitTable => self.gate.hold(task),
            Decision::Hop(tier) => {
                let moved = self.ledger.hop(&task, tier);
                self.finish(&task, [moved]);
            }
            Decision::Park(why) => {
                let (last, most) = (task.paused_for, self.ledger.resume_within);
                let left = self.deadline(&task, view.table).since(now);
                let tier = self.ladder.pause(last, most, left);
                let moved = self.ledger.park(&task, tier, None, why);
                self.metrics.put_off(why);
                self.finish(&task, [moved]);
            }
            Decision::DeadLetter(reason, message) => {
                let letter = self.ledger.give_up(&task, reason, message, now);
                self.metrics.dead_lettered(reason);
                self.finish(&task, [letter]);
            }
            Decision::Cancel => {
                tracing::debug!(delivery_id = %task.headers.delivery_id, subscription = %task.subscription, "subscription deleted, delivery cancelled");
                self.metrics.cancelled();
                let notice = self.standing.cancelled(&task, now);
                self.finish(&task, notice);
            }
        }
    }

    /// Decides on the tasks whose rest is over, and gives endpoints their turn whose time has come.
    pub fn wake(&mut self, view: TableView<'_>, now: Timestamp) {
        self.endpoints.wake(now);
        while let Some(task) = self.resting.take_due(now) {
            self.decide(task, view, now, false);
        }
    }

    /// Whether the end of the subscriptions topic is to be asked for now.
    pub fn wants_table_end(&self, now: Timestamp) -> bool {
        self.gate.wants_end(now)
    }

    /// The end, as asked for just `now`.
    pub fn table_ends_at(&mut self, end: i64, now: Timestamp) {
        self.gate.answer(end, now);
    }

    /// Decides on the tasks that waited for the table, if it has caught up.
    pub fn catch_up(&mut self, view: TableView<'_>, now: Timestamp) {
        let Some((end, tasks)) = self.gate.release(view.position) else {
            return;
        };
        for task in tasks {
            if task.headers.revision >= end {
                tracing::warn!(
                    subscription = %task.subscription, revision = task.headers.revision, end,
                    "a task is newer than the whole subscriptions topic (it was made anew?): the table as it is decides"
                );
            }
            self.decide(task, view, now, true);
        }
    }

    /// Makes room where `full(lane)` says so: tasks that wait for endpoints which cannot send move to a
    /// tier, as others behind them must not wait.
    pub fn make_room(
        &mut self,
        full: impl Fn(usize) -> Option<Full>,
        view: TableView<'_>,
        now: Timestamp,
    ) {
        let stuck = |task: &HeldTask| full(task.lane).map(|full| (full, task.ready_since));
        self.endpoints.put_off_stuck(stuck, now);
        self.put_off(view, now);
    }

    /// Sends away who must wait elsewhere, but for no longer than a task may live.
    fn put_off(&mut self, view: TableView<'_>, now: Timestamp) {
        for PutOff { task, until, why } in self.endpoints.take_put_off() {
            let last = self.deadline(&task, view.table);
            let longest = match why {
                // How fast an endpoint will be is a guess.
                Parked::Crowded => self.ladder.longest_guess(task.headers.parks),
                Parked::BreakerOpen
                | Parked::Throttled
                | Parked::RateLimited
                | Parked::Paused
                | Parked::Braked
                | Parked::Invalid => Duration::MAX,
            };
            let until = until.min(last).min(now.after(longest));
            let tier = match self.ladder.next_hop_in_line(until.since(now)) {
                Hop::Tier(tier) => tier,
                // It must not stay in memory, whose room is what this is about.
                Hop::Now | Hop::WaitInMemory(_) => self.ladder.smallest(),
            };
            let moved = self.ledger.park(&task, tier, Some(until), why);
            self.metrics.put_off(why);
            self.finish(&task, [moved]);
        }
    }

    /// When a task's time is over.
    fn deadline(&self, task: &HeldTask, table: &SubscriptionTable) -> Timestamp {
        let entry = table.get(&task.subscription);
        let compiled = entry.and_then(|entry| entry.content.as_ref().ok());
        let subscription = compiled.map(|compiled| &compiled.subscription);
        deadline::of(&task.headers, subscription, self.ledger.default_max_age)
    }

    // ---- out and back ----

    /// The next task that may be sent, with the subscription as it is now and the offset of its
    /// record. The task counts as being on the wire from now on, until [`Self::landed`].
    pub fn next_to_send(
        &mut self,
        view: TableView<'_>,
        now: Timestamp,
    ) -> Option<(HeldTask, Arc<Compiled>, i64)> {
        let max_age = self.ledger.default_max_age;
        while view.position >= 0
            && self.egress.admits(now)
            && let Some(task) = self.endpoints.start_next(now)
        {
            let standing = &self.standing;
            match decision(&task, &self.ladder, max_age, standing, view, now, true) {
                Decision::Send { compiled, revision } => {
                    self.egress.started(now);
                    return Some((task, compiled, revision));
                }
                // The subscription has changed while the task waited for its place.
                Decision::Rest(_)
                | Decision::Hop(_)
                | Decision::Park(..)
                | Decision::DeadLetter(..)
                | Decision::Cancel
                | Decision::AwaitTable => {
                    self.endpoints.ended(&task.subscription, now);
                    self.endpoints.unheard(&task.subscription, now);
                    self.decide(task, view, now, true);
                }
            }
        }
        None
    }

    /// A request to this endpoint is off the wire. What has come of it follows: [`Self::conclude`] or
    /// [`Self::unheard`].
    pub fn landed(&mut self, endpoint: &SubscriptionKey, now: Timestamp) {
        self.endpoints.ended(endpoint, now);
    }

    /// Nothing is known of how a request to this endpoint ended.
    pub fn unheard(&mut self, endpoint: &SubscriptionKey, now: Timestamp) {
        self.endpoints.unheard(endpoint, now);
    }

    /// Concludes a request. `jitter` is a random number from 0 up to 1.
    pub fn conclude(&mut self, sent: Sent<'_>, view: TableView<'_>, now: Timestamp, jitter: f64) {
        let host = host_of(&sent.compiled.subscription);
        let egress = &mut self.egress;
        let is_ours = |heard| egress.takes_blame(host, heard, now);
        let conclusion = self
            .ledger
            .conclude(sent, &self.ladder, now, jitter, is_ours);
        self.endpoints.hold(self.egress.is_held());
        self.metrics
            .attempt_ended(conclusion.outcome, sent.exchange);
        if let Some(reason) = conclusion.dead {
            self.metrics.dead_lettered(reason);
        }
        let headers = &sent.task.headers;
        if conclusion.outcome == AttemptOutcome::Delivered {
            self.metrics
                .delivered(headers.attempt == 0, now.since(headers.first_seen));
        }
        tracing::debug!(
            delivery_id = %headers.delivery_id, subscription = %sent.task.subscription,
            attempt = headers.attempt + 1, outcome = conclusion.outcome.as_str(),
            "request ended"
        );
        self.finish(sent.task, conclusion.records);
        let (heard, dead) = (conclusion.heard, conclusion.dead);
        let (key, revision) = (&sent.task.subscription, sent.revision);
        if self.endpoints.has_forgotten(key, revision) {
            self.learn(key, &sent.compiled.subscription, revision, view, now);
        }
        let has_changed =
            self.hear(sent, heard, now) != Change::None || heard.retry_after().is_some();
        if has_changed && let Some(restraint) = self.endpoints.restraint(key, revision) {
            self.standing
                .restrained(sent, restraint, view.endpoints, now);
        }
        if !headers.is_test {
            let told = self.standing.heard(sent, heard, dead, view.endpoints, now);
            self.write_all(told);
        }
        self.save_restraints(now);
        self.put_off(view, now);
    }

    /// The task's offset is terminal, and these records follow from it.
    fn finish(&mut self, task: &HeldTask, records: impl IntoIterator<Item = Outgoing>) {
        self.held = self.held.saturating_sub(task.size());
        self.finished.push((task.lane, task.at.offset));
        for record in records {
            self.outbox.write(record);
        }
    }
}

fn decision<'ladder>(
    task: &HeldTask,
    ladder: &'ladder Ladder,
    default_max_age: Duration,
    standing: &Standing,
    view: TableView<'_>,
    now: Timestamp,
    caught_up: bool,
) -> Decision<'ladder> {
    let state = TableState {
        position: view.position,
        caught_up,
    };
    let entry = view.table.get(&task.subscription);
    let decision = decide(&task.headers, entry, state, now, ladder, default_max_age);
    let (key, revision) = (&task.subscription, entry.map_or(-1, |entry| entry.revision));
    let disabled = standing.disabled(view.endpoints, key, revision);
    let host = entry.and_then(|entry| entry.content.as_ref().ok());
    let host = host.and_then(|compiled| compiled.subscription.url().expose().host_str());
    let is_braked = view.endpoints.is_braked(key, host.unwrap_or_default());
    let disabled = disabled.map(|disabled| disabled.reason);
    decision.subject_to(disabled, is_braked)
}

#[cfg(test)]
mod tests;
