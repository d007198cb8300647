//! How endpoints stand with this dispatcher: which fail, which are disabled, and what is written and
//! told about it.
//!
//! One writer for each endpoint: the dispatcher that owns the partition of its tasks. What it knows is
//! the table as it was restored when the partition came, and what it has written since, which the
//! table does not show yet.

mod changes;
mod notices;
mod restraints;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::auto_disable::{Rule, Step};
use super::conclusion::Sent;
use super::heard::{Heard, Weight};
use super::held_task::HeldTask;
use super::windows::Windows;
use crate::clock::Timestamp;
use crate::endpoint_table::EndpointTable;
use crate::kafka::record::Outgoing;
use crate::record::{
    Coordinates, Disabled, DisabledReason, EndpointState, Headers, NoticeDetails, NoticeKind,
    Reason, SubscriptionKey, WishKey,
};
use crate::subscription_table::SubscriptionTable;
use restraints::{SPACING, lapse};

/// How often it is looked at what is over by its time.
const LAPSES: Duration = Duration::from_secs(10);
/// A tombstone that was written so long ago is in the table, and so is all before it.
const SHOWN_BY_THEN: Duration = Duration::from_mins(1);

/// Names and rules.
#[derive(Clone, Debug)]
pub struct Settings {
    /// When a failing endpoint is disabled.
    pub rule: Rule,
    /// Full name of the topic of states.
    pub endpoints: Arc<str>,
    /// Full name of the topic of notices.
    pub notices: Arc<str>,
    /// How many partitions the topics of tasks and of states have.
    pub partitions: i32,
    /// At most one notice of what happens often in so long.
    pub window: Duration,
    /// Who writes.
    pub instance: String,
}

/// See the module.
pub struct Standing {
    settings: Settings,
    /// Partitions of `deliveries` that are ours.
    owned: HashSet<i32>,
    /// Endpoints that we know more of than the table.
    book: HashMap<SubscriptionKey, Entry>,
    /// Endpoints whose restraint is not written down yet: what it follows from, and the revision.
    unsaved: BTreeMap<SubscriptionKey, (Coordinates, i64)>,
    windows: Windows,
    /// By partition of ours, below which revision all changes of subscriptions are told.
    cursors: HashMap<i32, i64>,
    /// As of which tables [`Self::merge`] has been done.
    merged: Option<(u64, i64)>,
    /// And when.
    merged_at: Timestamp,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    state: EndpointState,
    /// How many failures the record tells of that was written last, and when it was.
    saved: Option<(u64, Timestamp)>,
    /// Whether a record was written at all, so that a healthy one needs a tombstone.
    is_on_topic: bool,
    /// When it was written last.
    written_at: Timestamp,
}

impl Standing {
    /// Of no endpoint yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            windows: Windows::new(settings.window),
            settings,
            owned: HashSet::new(),
            book: HashMap::new(),
            unsaved: BTreeMap::new(),
            cursors: HashMap::new(),
            merged: None,
            merged_at: Timestamp::default(),
        }
    }

    /// A new assignment, with these partitions of `deliveries`; the table knows what came before.
    pub fn assigned(&mut self, owned: HashSet<i32>) {
        self.owned = owned;
        self.book.clear();
        self.unsaved.clear();
        self.cursors.clear();
        self.windows = Windows::new(self.settings.window);
        self.merged = None;
    }

    /// Why nothing may be sent to an endpoint.
    pub fn disabled(
        &self,
        table: &EndpointTable,
        key: &SubscriptionKey,
        revision: i64,
    ) -> Option<Disabled> {
        match self.book.get(key) {
            Some(entry) => table.disabled_as_of(Some(&entry.state), key, revision),
            None => table.disabled(key, revision),
        }
    }

    /// A request has ended: what is to be written besides what becomes of its task.
    pub fn heard(
        &mut self,
        sent: Sent<'_>,
        heard: Heard,
        dead: Option<Reason>,
        table: &EndpointTable,
        now: Timestamp,
    ) -> Vec<Outgoing> {
        let (task, revision) = (sent.task, sent.revision);
        let mut records = Vec::new();
        if self.owned.contains(&task.at.partition) {
            self.judge(sent, heard, table, now, &mut records);
        }
        // What becomes of the delivery of a notice makes no notice: it would come back for ever.
        if !self.is_notice(task) {
            if let Heard::Throttled { .. } = heard {
                let kind = NoticeKind::EndpointThrottled;
                records.extend(self.happened(task, kind, revision, now));
            }
            if dead == Some(Reason::Exhausted) {
                let kind = NoticeKind::DeliveryExhausted;
                records.extend(self.happened(task, kind, revision, now));
            }
        }
        records
    }

    /// A task was cancelled, as its subscription was deleted.
    pub fn cancelled(&mut self, task: &HeldTask, now: Timestamp) -> Option<Outgoing> {
        if self.is_notice(task) {
            return None;
        }
        let revision = task.headers.revision;
        self.happened(task, NoticeKind::DeliveriesCancelled, revision, now)
    }

    fn judge(
        &mut self,
        sent: Sent<'_>,
        heard: Heard,
        table: &EndpointTable,
        now: Timestamp,
        records: &mut Vec<Outgoing>,
    ) {
        let key = &sent.task.subscription;
        let weight = heard.standing();
        let is_known = self.book.contains_key(key) || table.state(key).is_some();
        if weight == Weight::Nothing || (weight == Weight::For && !is_known) {
            return;
        }
        let at = &sent.task.at;
        let place = Place::new(key, at.partition, at, sent.revision, now);
        self.settle(&place, table, records);
        if self.disabled(table, key, sent.revision).is_some() {
            return; // Of a request that was under way before that.
        }
        let rule = self.settings.rule;
        let mut entry = self.entry(key, table);
        match weight {
            Weight::For => {
                let Some(failing) = entry.state.failing.take() else {
                    return;
                };
                entry.state.last_status = None;
                entry.state.last_error = None;
                if let Some(warned_at) = failing.warned_at {
                    let details = NoticeDetails {
                        since: Some(failing.since),
                        failures: Some(failing.failures),
                        ..NoticeDetails::default()
                    };
                    let message = format!(
                        "it accepts deliveries again, after it was told at {warned_at} to be failing"
                    );
                    records.push(self.notice(
                        &place,
                        NoticeKind::EndpointRecovered,
                        message,
                        details,
                    ));
                }
            }
            Weight::Against => {
                let (status, error) = match &sent.exchange.result {
                    Ok(answer) => (Some(answer.status), None),
                    Err(failure) => (failure.status, Some(failure.class.as_str().to_owned())),
                };
                (entry.state.last_status, entry.state.last_error) = (status, error);
                let (failing, step) = rule.failed(entry.state.failing.as_ref(), now);
                entry.state.failing = Some(failing);
                let told = NoticeDetails {
                    since: Some(failing.since),
                    failures: Some(failing.failures),
                    last_status: status,
                    last_error: entry.state.last_error.clone(),
                    ..NoticeDetails::default()
                };
                if heard == Heard::Gone {
                    entry.disable(&place, DisabledReason::Gone);
                    let message = "it answered 410: it wants nothing any more".to_owned();
                    records.push(self.disabled_notice(&place, DisabledReason::Gone, message, told));
                } else {
                    match step {
                        Step::Wait if !rule.is_worth_saving(&failing, entry.saved, now) => {
                            self.book.insert(key.clone(), entry);
                            return;
                        }
                        Step::Wait => {}
                        Step::Warn => {
                            let message = self.warning(&failing);
                            records.push(self.notice(
                                &place,
                                NoticeKind::EndpointFailing,
                                message,
                                told,
                            ));
                        }
                        Step::Disable => {
                            let reason = DisabledReason::Failing;
                            entry.disable(&place, reason);
                            let message = format!(
                                "it has accepted nothing since {}, in {} attempts",
                                failing.since, failing.failures
                            );
                            records.push(self.disabled_notice(&place, reason, message, told));
                        }
                    }
                }
            }
            Weight::Nothing => return,
        }
        records.extend(self.write(&place, entry));
    }

    /// Writes down and tells what others have decided about the endpoints that are ours: operators'
    /// wishes, newer records of their subscriptions, and time. Cheap while nothing has changed. `position` is
    /// that of the subscriptions.
    pub fn merge(
        &mut self,
        table: &EndpointTable,
        subscriptions: &SubscriptionTable,
        position: i64,
        now: Timestamp,
    ) -> Vec<Outgoing> {
        let tables = Some((table.changes(), position));
        let is_done = self.merged == tables && now.since(self.merged_at) < LAPSES;
        if position < 0 || is_done {
            return Vec::new();
        }
        (self.merged, self.merged_at) = (tables, now);
        let mut records = Vec::new();
        for (key, cause) in self.concerned(table) {
            let Some(entry) = subscriptions.get(&key) else {
                // Deleted: nothing is left to be known.
                let place = Place::new(&key, cause.partition, &cause, position, now);
                let gone = Entry {
                    is_on_topic: self.entry(&key, table).is_on_topic,
                    ..Entry::default()
                };
                records.extend(self.write(&place, gone));
                continue;
            };
            let place = Place::new(&key, cause.partition, &cause, entry.revision, now);
            self.settle(&place, table, &mut records);
        }
        // What the table shows by now need not be kept.
        self.book.retain(|key, entry| match table.state(key) {
            None if entry.state.is_healthy() => now.since(entry.written_at) < SHOWN_BY_THEN,
            None => subscriptions.get(key).is_some(),
            Some(_) if now.since(entry.written_at) < SPACING => true,
            Some(state) => entry.state.failing.is_some() || *state != entry.state,
        });
        records.extend(self.changes(table, subscriptions, position, now));
        records
    }

    /// Endpoints of ours that something is known or wished of.
    fn concerned(&self, table: &EndpointTable) -> Vec<(SubscriptionKey, Coordinates)> {
        let written = table
            .states()
            .map(|(key, placed)| (key.clone(), placed.at.clone()));
        let wished = table.wishes().filter_map(|(wish, _)| match wish {
            WishKey::State(key) if table.state(key).is_none() => {
                Some((key.clone(), self.nothing_read(key)))
            }
            WishKey::State(_)
            | WishKey::PauseSubscription(_)
            | WishKey::PauseHost(_)
            | WishKey::PauseTenant(_) => None,
        });
        let all = written.chain(wished);
        all.filter(|(_, at)| self.owned.contains(&at.partition))
            .collect()
    }

    /// Brings what is written of an endpoint in line with what holds.
    fn settle(&mut self, place: &Place<'_>, table: &EndpointTable, records: &mut Vec<Outgoing>) {
        let holds = self.disabled(table, place.key, place.revision);
        let mut entry = self.entry(place.key, table);
        let has_lapsed = lapse(&mut entry.state, place.revision, place.now);
        let written = entry.state.disabled;
        match (written, holds) {
            (Some(written), None) => {
                entry.state = EndpointState {
                    breaker: entry.state.breaker,
                    throttled: entry.state.throttled,
                    ..EndpointState::default()
                };
                entry.saved = None;
                let details = NoticeDetails {
                    reason: Some(written.reason.as_str().to_owned()),
                    since: Some(written.at),
                    ..NoticeDetails::default()
                };
                let by = match written.revision < place.revision {
                    true => "its subscription has a newer record",
                    false => "an operator has enabled it",
                };
                let message = format!("{by}: deliveries are made again");
                records.push(self.notice(place, NoticeKind::EndpointEnabled, message, details));
            }
            (_, Some(holds)) if written != Some(holds) => {
                entry.state.disabled = Some(holds);
                let message = "an operator has disabled it".to_owned();
                let details = NoticeDetails::default();
                records.push(self.disabled_notice(place, holds.reason, message, details));
            }
            (None, None) | (Some(_), Some(_)) | (None, Some(_)) if !has_lapsed => return,
            (None, None) | (Some(_), Some(_)) | (None, Some(_)) => {}
        }
        records.extend(self.write(place, entry));
    }

    fn entry(&self, key: &SubscriptionKey, table: &EndpointTable) -> Entry {
        if let Some(entry) = self.book.get(key) {
            return entry.clone();
        }
        let state = table.state(key);
        Entry {
            saved: state
                .and_then(|state| state.failing)
                .map(|failing| (failing.failures, failing.last_at)),
            is_on_topic: state.is_some(),
            written_at: Timestamp::default(),
            state: state.cloned().unwrap_or_default(),
        }
    }

    /// The state's record; none if the topic has none and needs none.
    fn write(&mut self, place: &Place<'_>, mut entry: Entry) -> Option<Outgoing> {
        let is_healthy = entry.state.is_healthy();
        let failing = entry.state.failing;
        entry.saved = failing.map(|failing| (failing.failures, place.now));
        let is_news = !is_healthy || entry.is_on_topic;
        entry.is_on_topic = !is_healthy;
        entry.written_at = place.now;
        self.unsaved.remove(place.key);
        let value = match is_healthy {
            true => None,
            false => entry.state.encode().ok().map(Bytes::from),
        };
        self.book.insert(place.key.clone(), entry);
        is_news.then(|| Outgoing {
            topic: Arc::clone(&self.settings.endpoints),
            partition: Some(place.partition),
            key: Some(Bytes::from(place.key.to_string())),
            value,
            headers: Headers::new(),
            cause: place.cause.clone(),
        })
    }

    fn is_notice(&self, task: &HeldTask) -> bool {
        task.headers.source.topic == self.settings.notices
    }
}

impl Entry {
    fn disable(&mut self, place: &Place<'_>, reason: DisabledReason) {
        self.state.disabled = Some(Disabled {
            reason,
            at: place.now,
            revision: place.revision,
        });
    }
}

/// Which endpoint, and as of when.
struct Place<'a> {
    key: &'a SubscriptionKey,
    partition: i32,
    /// The record that it follows from.
    cause: &'a Coordinates,
    revision: i64,
    now: Timestamp,
}

impl<'a> Place<'a> {
    fn new(
        key: &'a SubscriptionKey,
        partition: i32,
        cause: &'a Coordinates,
        revision: i64,
        now: Timestamp,
    ) -> Self {
        Self {
            key,
            partition,
            cause,
            revision,
            now,
        }
    }
}

#[cfg(test)]
mod tests;
