//! What is told about endpoints, in words.

use std::sync::Arc;

use bytes::Bytes;

use super::{Place, Standing};
use crate::clock::Timestamp;
use crate::dispatcher::held_task::HeldTask;
use crate::dispatcher::windows::Tally;
use crate::endpoint_table::partition_of;
use crate::kafka::record::Outgoing;
use crate::record::{
    Coordinates, DisabledReason, Failing, Headers, Notice, NoticeDetails, NoticeKind,
    SubscriptionKey,
};

impl Standing {
    /// Notices of what has happened again and again and is to be told now.
    pub fn windows_over(&mut self, now: Timestamp) -> Vec<Outgoing> {
        let tallies = self.windows.over(now);
        tallies.iter().map(|tally| self.tally(tally, now)).collect()
    }

    /// The same for all that is untold, before the assignment ends.
    pub fn close_windows(&mut self, now: Timestamp) -> Vec<Outgoing> {
        let tallies = self.windows.close();
        tallies.iter().map(|tally| self.tally(tally, now)).collect()
    }

    /// Something has happened to a task that can happen to many.
    pub(super) fn happened(
        &mut self,
        task: &HeldTask,
        kind: NoticeKind,
        revision: i64,
        now: Timestamp,
    ) -> Option<Outgoing> {
        let key = &task.subscription;
        let tally = self.windows.happened(key, kind, revision, now)?;
        Some(self.tally(&tally, now))
    }

    fn tally(&self, tally: &Tally, now: Timestamp) -> Outgoing {
        let count = tally.count;
        let message = match tally.kind {
            NoticeKind::DeliveryExhausted => {
                format!("deliveries given up, their retries used up: {count}")
            }
            NoticeKind::DeliveriesCancelled => {
                format!("deliveries cancelled, as the subscription was deleted: {count}")
            }
            NoticeKind::EndpointThrottled => {
                format!("it wants less at a time, answers of 429: {count}")
            }
            NoticeKind::EndpointFailing
            | NoticeKind::EndpointRecovered
            | NoticeKind::EndpointDisabled
            | NoticeKind::EndpointEnabled
            | NoticeKind::SubscriptionChanged
            | NoticeKind::SubscriptionInvalid
            | NoticeKind::FilterFailed => format!("happened so often: {count}"),
        };
        let details = NoticeDetails {
            count: Some(count),
            ..NoticeDetails::default()
        };
        let (key, revision) = (&tally.subscription, tally.revision);
        let cause = self.nothing_read(key);
        let place = Place::new(key, cause.partition, &cause, revision, now);
        self.notice(&place, tally.kind, message, details)
    }

    pub(super) fn warning(&self, failing: &Failing) -> String {
        let Failing {
            since, failures, ..
        } = failing;
        let told = format!("it has accepted nothing since {since}, in {failures} attempts");
        match self.settings.rule.is_on {
            true => {
                let at = since.after(self.settings.rule.after);
                format!("{told}; if that goes on, it is disabled from {at} on")
            }
            false => told,
        }
    }

    pub(super) fn disabled_notice(
        &self,
        place: &Place<'_>,
        reason: DisabledReason,
        message: String,
        details: NoticeDetails,
    ) -> Outgoing {
        let message = format!(
            "{message}. Nothing is sent until its subscription is changed or an operator enables it"
        );
        tracing::warn!(endpoint = %place.key, reason = reason.as_str(), "endpoint disabled");
        let details = NoticeDetails {
            reason: Some(reason.as_str().to_owned()),
            ..details
        };
        self.notice(place, NoticeKind::EndpointDisabled, message, details)
    }

    pub(super) fn notice(
        &self,
        place: &Place<'_>,
        kind: NoticeKind,
        message: String,
        details: NoticeDetails,
    ) -> Outgoing {
        let notice = Notice {
            kind,
            subscription: place.key.clone(),
            revision: place.revision,
            at: place.now,
            message,
            instance: self.settings.instance.clone(),
            details,
        };
        Outgoing {
            topic: Arc::clone(&self.settings.notices),
            partition: None,
            key: Some(Bytes::from(place.key.to_string())),
            value: notice.encode().ok().map(Bytes::from),
            headers: Headers::new(),
            cause: place.cause.clone(),
        }
    }

    /// Where a notice comes from that follows from no record in particular.
    pub(super) fn nothing_read(&self, key: &SubscriptionKey) -> Coordinates {
        Coordinates {
            topic: Arc::clone(&self.settings.endpoints),
            partition: partition_of(key, self.settings.partitions),
            offset: 0,
        }
    }
}
