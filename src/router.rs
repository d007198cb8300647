//! LOOP 1: events become delivery tasks.
//!
//! ```text
//! read what has arrived ─▶ ask the end of `subscriptions`, wait for the table to pass it
//!        ▲                          │
//!        │                          ▼
//!     committed ◀─ one transaction: tasks, rejects, input offsets ◀─ match, filter, render
//! ```
//!
//! The group commit clocks itself: while one transaction is under way, the next batch gathers.
//!
//! A partition whose next record names a schema that is not known yet is held; its records wait in
//! memory, in their order, and nothing of them is committed. The others go on.

pub mod complaints;
pub mod conformance;
pub mod data_schema;
pub mod event_form;
pub mod fan_out;
pub mod filter;
pub mod input;
pub mod intake;
pub mod known;
pub mod matcher;
pub mod payload;
pub mod programs;
pub mod routing;
pub mod trial;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::config::EventsSettings;
use crate::kafka::commit_pace::CommitPace;
use crate::kafka::event_topics::EventTopics;
use crate::kafka::member::{
    Event as GroupEvent, Member, MemberError, PartitionReader, Progress, ReadError, Start,
};
use crate::kafka::record::{Incoming, Outgoing};
use crate::kafka::router_tables::{Ends, RouterTables};
use crate::kafka::standstill::{Seen, StandstillWatch};
use crate::metrics::{KafkaMetrics, RouterMetrics};
use crate::record::Reason;
use crate::role::Role;
use crate::schema_registry::{Lookup, SchemaRegistry};
use crate::telemetry::{Component, State};
use crate::topic::Topics;
use complaints::Complaints;
use conformance::{Catalogue, Reminders};
use event_form::mapping::Mapping;
use event_form::{EventForm, WriterSchema};
use input::Input;
use intake::Intake;
use known::Known;
use routing::{Destinations, route, source_of};

/// The longest pause of the loop; also how soon a lost wake-up is made up for.
const SWEEP: Duration = Duration::from_millis(100);
/// How long the ends of the tables' topics are waited for before they are asked for again: a topic may
/// have been made anew since, and never get there.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How many records one partition may give in its turn.
const TURN: usize = 256;
/// How many records of a held partition have their schemas asked for.
const LOOK_AHEAD: usize = 256;
/// From the beginning of one transaction to that of the next, at least: half of it is latency.
const PACE: Duration = Duration::from_millis(5);
/// How long a revocation waits for the transaction under way.
const HAND_BACK: Duration = Duration::from_secs(2);

/// Where the router reads and writes, and its bounds.
pub struct Settings {
    /// Where it writes.
    pub to: Destinations,
    /// How many events go into one transaction at most.
    pub batch_records: usize,
    /// Which topics hold events, and how soon new ones are found.
    pub events: EventsSettings,
    /// The own topics, which never hold events.
    pub topics: Topics,
    /// How many bytes of events or of tasks go into one transaction at most (one event may exceed
    /// it: all its tasks go together).
    pub batch_bytes: usize,
    /// Who says what its notices say.
    pub instance: String,
    /// Whether events that are not as the catalogue says are rejected.
    pub rejects_nonconforming: bool,
    /// How long a partition with work may stand still.
    pub stuck_after: Duration,
}

/// The loop and all that it owns.
pub struct Router {
    member: Member,
    tables: RouterTables,
    /// What events were written with.
    schemas: SchemaRegistry,
    settings: Settings,
    metrics: RouterMetrics,
    kafka_metrics: KafkaMetrics,
    health: Component,
    inputs: Vec<Input>,
    /// Read and not matched yet, by the places of `inputs`.
    intake: Intake,
    next_input: usize,
    /// Where matching goes on.
    next_match: usize,
    complaints: Complaints,
    reminders: Reminders,
    topics: EventTopics,
    pace: CommitPace,
    standstills: StandstillWatch,
}

impl Router {
    /// A router on this thread's member.
    pub fn new(
        member: Member,
        tables: RouterTables,
        schemas: SchemaRegistry,
        settings: Settings,
        (metrics, kafka_metrics): (RouterMetrics, KafkaMetrics),
        health: Component,
    ) -> Self {
        tables.wake_on_change(member.waker());
        schemas.wake_on_change(member.waker().clone());
        let notices = Arc::clone(&settings.to.notices);
        Self {
            intake: Intake::new(settings.batch_records, settings.batch_bytes),
            complaints: Complaints::new(settings.instance.clone(), notices),
            reminders: Reminders::default(),
            topics: EventTopics::new(settings.events.clone(), settings.topics.clone()),
            standstills: StandstillWatch::new(
                Role::Router,
                settings.stuck_after,
                kafka_metrics.watch.clone(),
            ),
            member,
            tables,
            schemas,
            settings,
            metrics,
            kafka_metrics,
            health,
            inputs: Vec::new(),
            next_input: 0,
            next_match: 0,
            pace: CommitPace::new(PACE),
        }
    }

    /// Runs until `shutdown`, then commits what is under way and leaves the group.
    ///
    /// # Errors
    /// What ends the member for good.
    pub fn run(mut self, shutdown: &CancellationToken) -> Result<(), MemberError> {
        while !shutdown.is_cancelled() {
            self.health.beat(Instant::now());
            self.topics.look(&mut self.member)?;
            self.serve()?;
            self.read();
            self.release_held();
            if self.member.can_commit() && self.gathers().is_zero() {
                self.route(shutdown)?;
            }
            self.say_what_is_held();
            self.say_what_stands();
            if self.is_idle() {
                thread::park_timeout(self.pause());
                for input in &self.inputs {
                    input.reader.look_again();
                }
            }
        }
        self.health.set(State::Draining);
        self.member.settle(Instant::now() + HAND_BACK);
        self.drop_assignment();
        self.member.close();
        Ok(())
    }

    fn is_idle(&self) -> bool {
        let mut inputs = self.inputs.iter().enumerate();
        let can_read = inputs
            .any(|(index, input)| self.intake.has_room(index) && input.reader.may_have_records());
        !can_read && self.pause() > Duration::ZERO
    }

    /// How long what is read waits for more to go with it.
    fn gathers(&self) -> Duration {
        match self.intake.is_full() {
            true => Duration::ZERO,
            false => self.pace.wait(Instant::now()),
        }
    }

    /// How long there is nothing to do for the loop if nobody wakes it.
    fn pause(&self) -> Duration {
        match self.member.can_commit() && !self.intake.is_empty() {
            true => self.gathers().min(SWEEP),
            false => SWEEP,
        }
    }

    fn serve(&mut self) -> Result<(), MemberError> {
        match self.member.serve(self.tables.subscriptions.position())? {
            None => Ok(()),
            Some(GroupEvent::Committed) => {
                self.inputs.iter_mut().for_each(Input::committed);
                Ok(())
            }
            Some(GroupEvent::Assigned(partitions)) => {
                self.assigned(partitions);
                Ok(())
            }
            Some(GroupEvent::Revoked) => {
                // What was read and not matched is read again by whoever comes next.
                self.member.settle(Instant::now() + HAND_BACK);
                self.drop_assignment();
                self.member.release()
            }
            Some(GroupEvent::Lost) => {
                tracing::warn!(
                    "partitions lost: what was not committed is read again by their new owner"
                );
                self.drop_assignment();
                self.member.release()
            }
        }
    }

    fn assigned(&mut self, partitions: Vec<(PartitionReader, Start)>) {
        self.drop_assignment();
        for (reader, start) in partitions {
            let mappings = &self.settings.events.mappings;
            let mapping = Mapping::of(mappings, &reader.at.topic).cloned();
            self.inputs.push(Input::new(reader, &start, mapping));
            if !start.committed {
                tracing::info!(
                    topic = &*start.at.topic,
                    partition = start.at.partition,
                    offset = start.finished.base(),
                    "first start of this partition"
                );
            }
        }
        self.intake.reset(self.inputs.len());
        self.pace.hurry();
        self.health.set(State::Ready);
    }

    fn drop_assignment(&mut self) {
        self.inputs.clear();
        self.intake.reset(0);
        self.complaints.forget();
        self.health.set(State::Starting);
    }

    /// Takes what has arrived, each partition in its turn, within the bounds of a batch.
    fn read(&mut self) {
        for _ in 0..self.inputs.len() {
            let index = self.next_input % self.inputs.len();
            self.next_input = index + 1;
            for _ in 0..TURN {
                if !self.intake.has_room(index) {
                    break;
                }
                match self.inputs[index].reader.next() {
                    None => break,
                    Some(Ok(record)) => self.intake.push(index, record),
                    Some(Err(ReadError::OutOfRange)) => {
                        self.member.begin_anew(&self.inputs[index].reader.at);
                        break;
                    }
                    Some(Err(ReadError::Other(error))) => {
                        tracing::warn!(%error, topic = &*self.inputs[index].reader.at.topic, "events cannot be read");
                        break;
                    }
                }
            }
        }
    }

    /// Matches what is pending and starts its transaction.
    fn route(&mut self, shutdown: &CancellationToken) -> Result<(), MemberError> {
        let mut records = Vec::new();
        if !self.intake.is_empty() {
            let asked = Instant::now();
            if !self.table_has_passed_now(shutdown)? {
                return Ok(());
            }
            self.metrics.waited_for_table(asked.elapsed());
            self.match_pending(&mut records);
        }
        if records.is_empty() && !self.pace.is_idle(Instant::now()) {
            return Ok(());
        }
        let moved = self.inputs.iter_mut().filter_map(Input::progress);
        let progress: Vec<Progress> = moved.collect();
        if !progress.is_empty() {
            self.pace.begins(Instant::now());
            self.member.commit(records, progress);
        }
        Ok(())
    }

    /// Matches each partition's records until a batch of tasks is full.
    fn match_pending(&mut self, records: &mut Vec<Outgoing>) {
        let mut bytes = 0;
        for _ in 0..self.inputs.len() {
            let index = self.next_match % self.inputs.len();
            self.next_match = index + 1;
            while let Some(record) = self.intake.next(index) {
                if bytes >= self.settings.batch_bytes {
                    return;
                }
                let Some(schema) = self.schema_of(index, record) else {
                    // Those behind it are asked for at the same time, not one after the other.
                    let ahead = self.intake.waiting(index).take(LOOK_AHEAD);
                    ahead.for_each(|record| drop(self.schema_of(index, record)));
                    self.intake.hold(index, true);
                    break;
                };
                let Some(record) = self.intake.take(index) else {
                    break; // Held before.
                };
                self.inputs[index].position = record.at.offset + 1;
                bytes += self.match_one(index, &record, schema.as_ref(), records);
            }
        }
    }

    /// What one record of a partition becomes; the bytes of that.
    fn match_one(
        &mut self,
        index: usize,
        record: &Incoming,
        schema: Option<&WriterSchema>,
        records: &mut Vec<Outgoing>,
    ) -> usize {
        let routed = {
            let table = self.tables.subscriptions.table();
            let endpoints = self.tables.endpoints.table();
            let types = self.tables.event_types.as_ref().map(|types| types.table());
            let catalogue = types.as_ref().map(|types| Catalogue {
                table: types,
                rejects: self.settings.rejects_nonconforming,
            });
            let (to, now) = (&self.settings.to, Timestamp::now());
            let known = Known::new(&table, &endpoints, catalogue);
            let mapping = self.inputs[index].mapping.as_ref();
            route(record, mapping, schema, known, to, now)
        };
        if let Some((event_type, found)) = &routed.nonconforming {
            self.metrics.nonconforming(found.reason());
            let (at, now) = (&record.at, Timestamp::now());
            self.reminders.say(event_type, found, at, now);
        }
        let result = routed.result.as_str();
        self.metrics.event(&record.at.topic, result, routed.tasks);
        for reason in routed.skipped {
            self.metrics.skipped(reason);
        }
        for reason in routed.rejects {
            self.kafka_metrics.rejected(reason);
        }
        for _ in 0..routed.undeliverable {
            self.kafka_metrics.dead_lettered(Reason::Undeliverable);
        }
        for failed in &routed.unfiltered {
            self.metrics.unfiltered(failed.failure.reason.as_str());
            let now = Timestamp::now();
            records.extend(self.complaints.about(failed, &record.at, now));
        }
        let bytes = routed.records.iter().map(Outgoing::size).sum();
        records.extend(routed.records);
        bytes
    }

    /// The schema that a record names, if it names one. None: it is not known yet.
    fn schema_of(&self, index: usize, record: &Incoming) -> Option<Option<WriterSchema>> {
        let value = record.value.as_deref().unwrap_or_default();
        let mapping = self.inputs[index].mapping.as_ref();
        let form = EventForm::of_source(mapping, source_of(record), value).ok();
        match form.and_then(|form| form.schema()) {
            None => Some(None),
            Some(id) => match self.schemas.look_up(id) {
                Lookup::Known(schema) => Some(Some(schema)),
                Lookup::Pending => None,
            },
        }
    }

    /// Lets those partitions go on whose next record can be decoded now.
    fn release_held(&mut self) {
        let held: Vec<usize> = self.intake.held().collect();
        for index in held {
            let next = self.intake.next(index);
            if next.is_none_or(|record| self.schema_of(index, record).is_some()) {
                self.intake.hold(index, false);
            }
        }
    }

    /// What waits for an answer of a moment is not worth a word.
    fn say_what_is_held(&self) {
        let held = self.intake.held_count();
        self.schemas.holds(held);
        self.health.hold(held > 0 && self.schemas.is_away());
    }

    fn say_what_stands(&mut self) {
        let now = Instant::now();
        if !self.standstills.is_due(now) {
            return;
        }
        let inputs = self.inputs.iter().enumerate();
        let seen: Vec<Seen> = inputs
            .map(|(index, input)| input.seen(self.intake.next(index).is_some()))
            .collect();
        self.standstills.look(&seen, now, |_, _| false);
    }

    /// Waits until the tables have passed the ends that their topics have now, after everything pending
    /// was read: a subscription or an event type acknowledged before an event was produced applies to
    /// it. False: the assignment has changed meanwhile, or the process shuts down.
    fn table_has_passed_now(&mut self, shutdown: &CancellationToken) -> Result<bool, MemberError> {
        let mut ends: Option<(Ends, Instant)> = None;
        while !shutdown.is_cancelled() && !self.intake.is_empty() {
            match ends {
                Some((ends, _)) if self.tables.have_passed(ends) => return Ok(true),
                Some((_, asked)) if asked.elapsed() < ASK_AGAIN => thread::park_timeout(SWEEP),
                Some(_) | None => match self.tables.ask_ends() {
                    Ok(asked) => {
                        ends = Some((asked, Instant::now()));
                        continue;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the ends of the tables' topics are not known, events wait");
                        thread::park_timeout(SWEEP);
                    }
                },
            }
            self.health.beat(Instant::now());
            self.say_what_stands();
            self.serve()?;
        }
        Ok(false)
    }
}
