//! What the desk learns and hears of endpoints.

use super::{Desk, TableView};
use crate::clock::Timestamp;
use crate::dispatcher::conclusion::Sent;
use crate::dispatcher::endpoints::breaker::Change;
use crate::dispatcher::endpoints::endpoint::{Ended, Terms};
use crate::dispatcher::heard::Heard;
use crate::record::{Subscription, SubscriptionKey};

impl Desk {
    /// Learns what is written of an endpoint, before its tasks are sent or their outcomes are heard.
    pub(super) fn learn(
        &mut self,
        key: &SubscriptionKey,
        subscription: &Subscription,
        revision: i64,
        view: TableView<'_>,
        now: Timestamp,
    ) {
        let terms = Terms::of(subscription, revision, self.is_adaptive);
        let written = self.standing.restraint(view.endpoints, key, revision);
        self.endpoints.learn(key, terms, written, now);
    }

    /// What a request has told about its endpoint.
    pub(super) fn hear(&mut self, sent: Sent<'_>, heard: Heard, now: Timestamp) -> Change {
        let key = &sent.task.subscription;
        let ended = Ended {
            revision: sent.revision,
            heard,
            began: sent.started_at,
            took: sent.exchange.duration,
        };
        let change = self.endpoints.heard(key, ended, now);
        match change {
            Change::None => {}
            Change::Opened => {
                tracing::warn!(subscription = %key, "an endpoint's circuit breaker opens: its tasks wait")
            }
            Change::StaysOpen => {
                tracing::debug!(subscription = %key, "a probe failed, the circuit breaker stays open")
            }
            Change::Closed => {
                tracing::info!(subscription = %key, "an endpoint is back, its circuit breaker closes")
            }
        }
        change
    }
}
