//! What keeps requests to an endpoint back for a time, written down so that it outlives this process: a
//! breaker that is open, and a pause that the endpoint has asked for.
//!
//! Written when it changes, and at most once a second for each endpoint, however often that is. What is
//! lost of the last second makes a successor begin as with an endpoint that it does not know.

use std::time::Duration;

use super::{Place, Standing};
use crate::clock::Timestamp;
use crate::dispatcher::conclusion::Sent;
use crate::dispatcher::endpoints::breaker::LONG_AGO;
use crate::dispatcher::endpoints::endpoint::Restraint;
use crate::endpoint_table::EndpointTable;
use crate::kafka::record::Outgoing;
use crate::record::{EndpointState, OpenBreaker, SubscriptionKey, Throttled};

/// The least time from one record of an endpoint to the next, where only this changes; also the least
/// difference of times that is worth one.
pub(super) const SPACING: Duration = Duration::from_secs(1);

impl Standing {
    /// What is written of an endpoint, for requests by the record at `revision` of its subscription.
    pub fn restraint(
        &self,
        table: &EndpointTable,
        key: &SubscriptionKey,
        revision: i64,
    ) -> Restraint {
        let entry = self.book.get(key).map(|entry| &entry.state);
        let Some(state) = entry.or_else(|| table.state(key)) else {
            return Restraint::default();
        };
        let throttled = state.throttled.filter(|one| one.revision >= revision);
        Restraint {
            breaker: state.breaker.filter(|one| one.revision >= revision),
            none_before: throttled.map(|one| one.until),
        }
    }

    /// Notes what keeps requests back from now on. It is written by [`Self::save_restraints`], or with the
    /// next record of this endpoint.
    pub fn restrained(
        &mut self,
        sent: Sent<'_>,
        restraint: Restraint,
        table: &EndpointTable,
        now: Timestamp,
    ) {
        let (key, at) = (&sent.task.subscription, &sent.task.at);
        if !self.owned.contains(&at.partition) {
            return;
        }
        let mut entry = self.entry(key, table);
        let throttled = restraint.none_before.map(|until| Throttled {
            at: now,
            until,
            revision: sent.revision,
        });
        let is_breaker_news = is_news(entry.state.breaker, restraint.breaker);
        let is_pause_news = throttled.is_some_and(|pause| {
            let written = entry.state.throttled;
            let same = written.filter(|written| written.revision == pause.revision);
            let known = same.map_or(now, |written| written.until.max(now));
            pause.until.since(known) >= SPACING
        });
        if !is_breaker_news && !is_pause_news {
            return;
        }
        entry.state.breaker = restraint.breaker;
        if is_pause_news {
            entry.state.throttled = throttled;
        }
        self.book.insert(key.clone(), entry);
        self.unsaved
            .insert(key.clone(), (at.clone(), sent.revision));
    }

    /// Records of what has changed, of endpoints that none was written of just now.
    pub fn save_restraints(&mut self, now: Timestamp) -> Vec<Outgoing> {
        self.save(SPACING, now)
    }

    /// Records of all that has changed, before the assignment ends.
    pub fn save_all_restraints(&mut self, now: Timestamp) -> Vec<Outgoing> {
        self.save(Duration::ZERO, now)
    }

    fn save(&mut self, spacing: Duration, now: Timestamp) -> Vec<Outgoing> {
        let mut records = Vec::new();
        let is_due = |key: &SubscriptionKey| {
            let entry = self.book.get(key);
            entry.is_none_or(|entry| now.since(entry.written_at) >= spacing)
        };
        let due: Vec<SubscriptionKey> = self
            .unsaved
            .keys()
            .filter(|key| is_due(key))
            .cloned()
            .collect();
        for key in due {
            let Some((cause, revision)) = self.unsaved.remove(&key) else {
                continue;
            };
            let Some(entry) = self.book.get(&key).cloned() else {
                continue;
            };
            let place = Place::new(&key, cause.partition, &cause, revision, now);
            records.extend(self.write(&place, entry));
        }
        records
    }
}

/// Whether a breaker is to be written anew.
fn is_news(written: Option<OpenBreaker>, now: Option<OpenBreaker>) -> bool {
    match (written, now) {
        (None, None) => false,
        (Some(_), None) | (None, Some(_)) => true,
        (Some(written), Some(now)) => {
            let apart = now
                .until
                .since(written.until)
                .max(written.until.since(now.until));
            now.revision != written.revision || apart >= SPACING
        }
    }
}

/// So long after a pause its record goes: an endpoint that asks for one after the other has one record for all.
const OVER: Duration = Duration::from_secs(5);

/// Drops what holds no longer: of an older record of the subscription, or long over. Whether there was any.
pub(super) fn lapse(state: &mut EndpointState, revision: i64, now: Timestamp) -> bool {
    let before = (state.breaker, state.throttled);
    state.breaker = state
        .breaker
        .filter(|one| one.revision >= revision && now.since(one.until) < LONG_AGO);
    state.throttled = state
        .throttled
        .filter(|one| one.revision >= revision && now.since(one.until) < OVER);
    before != (state.breaker, state.throttled)
}
