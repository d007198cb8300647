//! What the HTTP client counts.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};

use super::{add, counters};

/// What the HTTP client counts.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    open_connections: IntGauge,
    connections: IntCounter,
    /// By `reason`: `dead_connection`, `not_processed`.
    sent_again: IntCounterVec,
}

impl HttpMetrics {
    /// Registers all of them.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            open_connections: add(
                registry,
                IntGauge::new(
                    "hooktide_open_connections",
                    "Connections to endpoints, in use or kept for the next request",
                )?,
            )?,
            connections: add(
                registry,
                IntCounter::new(
                    "hooktide_connections_total",
                    "Connections to endpoints that were begun",
                )?,
            )?,
            sent_again: counters(
                registry,
                "hooktide_requests_sent_again_total",
                "Requests sent a second time within one attempt",
                &["reason"],
            )?,
        })
    }

    /// A connection is being made.
    pub fn connection_opened(&self) {
        self.connections.inc();
        self.open_connections.inc();
    }

    /// A connection is closed, or could not be made.
    pub fn connection_closed(&self) {
        self.open_connections.dec();
    }

    /// A request is sent once more.
    pub fn sent_again(&self, reason: &str) {
        self.sent_again.with_label_values(&[reason]).inc();
    }
}

#[cfg(test)]
impl HttpMetrics {
    /// For tests that look at none of them.
    pub(crate) fn unregistered() -> Self {
        Self::register(&Registry::new()).unwrap()
    }

    /// How often requests were sent again for a reason.
    pub(crate) fn times_sent_again(&self, reason: &str) -> u64 {
        self.sent_again.with_label_values(&[reason]).get()
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> i64 {
        self.open_connections.get()
    }
}
