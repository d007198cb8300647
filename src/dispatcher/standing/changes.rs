//! Changes of subscriptions, told once: by the dispatcher that owns the partition of their tasks, with a
//! cursor in the same transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{Place, Standing};
use crate::clock::Timestamp;
use crate::endpoint_table::{EndpointTable, partition_of};
use crate::kafka::record::Outgoing;
use crate::record::{
    Coordinates, Headers, NoticeCursor, NoticeDetails, NoticeKind, SubscriptionKey,
};
use crate::subscription_table::SubscriptionTable;

impl Standing {
    /// What has changed below `position` since it was told last. Of several changes of one
    /// subscription, the newest.
    pub(super) fn changes(
        &mut self,
        table: &EndpointTable,
        subscriptions: &SubscriptionTable,
        position: i64,
        now: Timestamp,
    ) -> Vec<Outgoing> {
        let mut records = Vec::new();
        for partition in &self.owned {
            let known = self.cursors.get(partition).copied();
            let known = known.or_else(|| table.cursor(*partition).map(|cursor| cursor.0));
            match known {
                // Of a topic that was made anew, nothing is told that was there before.
                Some(told) if told <= position => drop(self.cursors.insert(*partition, told)),
                Some(_) | None => {
                    self.cursors.insert(*partition, position);
                    records.push(self.cursor(*partition, position));
                }
            }
        }
        let Some(first) = self.cursors.values().min() else {
            return records;
        };
        let mut newest: BTreeMap<SubscriptionKey, i64> = BTreeMap::new();
        for (revision, key) in subscriptions.changes_since(*first) {
            let partition = partition_of(&key, self.settings.partitions);
            let told = self.cursors.get(&partition);
            if revision < position && told.is_some_and(|told| revision >= *told) {
                newest.insert(key, revision);
            }
        }
        let mut moved = BTreeMap::new();
        for (key, revision) in newest {
            let cause = self.nothing_read(&key);
            moved.insert(cause.partition, position);
            let place = Place::new(&key, cause.partition, &cause, revision, now);
            records.push(self.change(&place, subscriptions));
        }
        for (partition, position) in moved {
            records.push(self.cursor(partition, position));
        }
        for told in self.cursors.values_mut() {
            *told = position;
        }
        records
    }

    fn change(&self, place: &Place<'_>, subscriptions: &SubscriptionTable) -> Outgoing {
        let entry = subscriptions.get(place.key);
        let (kind, message, reason) = match entry.map(|entry| &entry.content) {
            None => (
                NoticeKind::SubscriptionChanged,
                "it was deleted; what pends is cancelled".to_owned(),
                "deleted",
            ),
            Some(Ok(_)) => (
                NoticeKind::SubscriptionChanged,
                "it was written: from now on this record holds".to_owned(),
                "put",
            ),
            Some(Err(error)) => (
                NoticeKind::SubscriptionInvalid,
                format!("nothing is sent until it is corrected: {error}"),
                "put",
            ),
        };
        let details = NoticeDetails {
            reason: Some(reason.to_owned()),
            ..NoticeDetails::default()
        };
        self.notice(place, kind, message, details)
    }

    fn cursor(&self, partition: i32, position: i64) -> Outgoing {
        Outgoing {
            topic: Arc::clone(&self.settings.endpoints),
            partition: Some(partition),
            key: Some(Bytes::from(NoticeCursor::key(partition))),
            value: NoticeCursor(position).encode().ok().map(Bytes::from),
            headers: Headers::new(),
            cause: Coordinates {
                topic: Arc::clone(&self.settings.endpoints),
                partition,
                offset: 0,
            },
        }
    }
}
