//! What the router counts.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntCounterVec, Registry};

use super::{EXCHANGE, add, counters, histogram};
use crate::record::DisabledReason;

/// What the router counts.
#[derive(Clone, Debug)]
pub struct RouterMetrics {
    /// Events by `topic` and `result`: `matched`, `unmatched`, `disabled`, `skipped`,
    /// `rejected`.
    events: IntCounterVec,
    tasks: IntCounter,
    /// Tasks that were not made, by why their endpoint is disabled.
    skipped: IntCounterVec,
    table_wait: Histogram,
    /// Events of which a `where` could not be told, by why.
    filter_errors: IntCounterVec,
    /// Events that are not as the catalogue says, by why.
    nonconforming: IntCounterVec,
}

impl RouterMetrics {
    /// Registers all of them.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            events: counters(
                registry,
                "hooktide_events_total",
                "Events read",
                &["topic", "result"],
            )?,
            tasks: add(
                registry,
                IntCounter::new("hooktide_tasks_total", "Delivery tasks made of events")?,
            )?,
            skipped: counters(
                registry,
                "hooktide_skipped_tasks_total",
                "Tasks that were not made, as their endpoint is disabled",
                &["reason"],
            )?,
            filter_errors: counters(
                registry,
                "hooktide_filter_errors_total",
                "Times that a subscription's `where` could not be told of an event, which it then does not get",
                &["reason"],
            )?,
            nonconforming: counters(
                registry,
                "hooktide_event_type_violations_total",
                "Events that are not as the topic event_types says",
                &["reason"],
            )?,
            table_wait: histogram(
                registry,
                "hooktide_table_wait_seconds",
                "Time that a batch of events waited for the subscriptions",
                EXCHANGE,
            )?,
        })
    }

    /// What became of an event, and how many tasks.
    pub fn event(&self, topic: &str, result: &str, tasks: usize) {
        self.events.with_label_values(&[topic, result]).inc();
        self.tasks.inc_by(tasks as u64);
    }

    /// A task was not made, as its endpoint is disabled.
    pub fn skipped(&self, reason: DisabledReason) {
        self.skipped.with_label_values(&[reason.as_str()]).inc();
    }

    /// A `where` could not be told; `reason` is one of a fixed set.
    pub fn unfiltered(&self, reason: &str) {
        self.filter_errors.with_label_values(&[reason]).inc();
    }

    /// An event is not as the catalogue says; `reason` is one of a fixed set.
    pub fn nonconforming(&self, reason: &str) {
        self.nonconforming.with_label_values(&[reason]).inc();
    }

    /// How long a batch waited until the table had passed the end that was asked for.
    pub fn waited_for_table(&self, wait: Duration) {
        self.table_wait.observe(wait.as_secs_f64());
    }
}
