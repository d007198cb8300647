//! What both roles count about Kafka.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::{WatchMetrics, add, counters, gauges, histograms};
use crate::record::Reason;
use crate::role::Role;

/// Seconds of one transaction, from begin to commit.
const TRANSACTION: &[f64] = &[
    0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Records in one transaction.
const BATCH: &[f64] = &[1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0, 16_384.0];

/// What both roles count about Kafka, each under its `role`.
#[derive(Clone, Debug)]
pub struct KafkaMetrics {
    /// Transactions by `role` and `result`: `committed`, `aborted` (and tried again), `fatal` (the
    /// producer was made anew), `abandoned` (the assignment ended first).
    transactions: IntCounterVec,
    transaction_duration: HistogramVec,
    transaction_records: HistogramVec,
    assigned_partitions: IntGaugeVec,
    offset_out_of_range: IntCounterVec,
    retention_lost: IntCounterVec,
    offsets_lost: IntCounterVec,
    rejects: IntCounterVec,
    /// Tasks that came to an end, by `outcome`: `delivered`, `dead`, `cancelled`. Both roles give up.
    pub(super) deliveries: IntCounterVec,
    pub(super) dead_letters: IntCounterVec,
    /// Subscriptions in the table, by `state`: `active`, `paused`, `disabled`, `invalid`.
    pub subscriptions: IntGaugeVec,
    /// 1 while the table waits for the schema of a subscription.
    pub subscriptions_held: IntGauge,
    /// Endpoints in the table, by `state`: `failing`, `disabled`, `braked` (which counts brakes).
    pub endpoints: IntGaugeVec,
    /// Event types in the table, by `state`: `valid`, `invalid`.
    pub event_types: IntGaugeVec,
    /// What does not move.
    pub watch: WatchMetrics,
}

impl KafkaMetrics {
    /// Registers all of them.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            transactions: counters(
                registry,
                "hooktide_transactions_total",
                "Kafka transactions",
                &["role", "result"],
            )?,
            transaction_duration: histograms(
                registry,
                "hooktide_transaction_duration_seconds",
                "Time from begin to commit of a transaction",
                &["role"],
                TRANSACTION,
            )?,
            transaction_records: histograms(
                registry,
                "hooktide_transaction_records",
                "Records in a transaction",
                &["role"],
                BATCH,
            )?,
            assigned_partitions: gauges(
                registry,
                "hooktide_assigned_partitions",
                "Partitions owned by this process",
                &["role"],
            )?,
            offset_out_of_range: counters(
                registry,
                "hooktide_offset_out_of_range_total",
                "Offsets that a partition does not hold any more: records may be lost",
                &["topic"],
            )?,
            retention_lost: counters(
                registry,
                "hooktide_retention_lost_offsets_total",
                "Offsets that retention passed over before they were done",
                &["topic"],
            )?,
            offsets_lost: counters(
                registry,
                "hooktide_offsets_lost_total",
                "Times that a group was found without offsets though it has run before",
                &["role"],
            )?,
            rejects: counters(
                registry,
                "hooktide_rejects_total",
                "Records that could not be processed",
                &["reason"],
            )?,
            deliveries: counters(
                registry,
                "hooktide_deliveries_total",
                "Tasks that came to an end",
                &["outcome"],
            )?,
            dead_letters: counters(
                registry,
                "hooktide_dead_letters_total",
                "Tasks given up",
                &["reason"],
            )?,
            subscriptions: gauges(
                registry,
                "hooktide_subscriptions",
                "Subscriptions in the table",
                &["state"],
            )?,
            subscriptions_held: add(
                registry,
                IntGauge::new(
                    "hooktide_subscriptions_held",
                    "Whether the table waits for the schema of a subscription",
                )?,
            )?,
            event_types: gauges(
                registry,
                "hooktide_event_types",
                "Event types in the catalogue",
                &["state"],
            )?,
            endpoints: gauges(
                registry,
                "hooktide_endpoints",
                "Endpoints that are not in order",
                &["state"],
            )?,
            watch: WatchMetrics::register(registry)?,
        })
    }

    /// A position that is not on its log.
    pub fn out_of_range(&self, topic: &str) {
        self.offset_out_of_range.with_label_values(&[topic]).inc();
    }

    /// A role's group has lost its offsets.
    pub fn lost_offsets(&self, role: &str) {
        self.offsets_lost.with_label_values(&[role]).inc();
    }

    /// Retention has passed over as many offsets that were not done.
    pub fn lost_by_retention(&self, topic: &str, offsets: i64) {
        self.retention_lost
            .with_label_values(&[topic])
            .inc_by(u64::try_from(offsets).unwrap_or(0));
    }

    /// A task was given up.
    pub fn dead_lettered(&self, reason: Reason) {
        self.deliveries.with_label_values(&["dead"]).inc();
        self.dead_letters
            .with_label_values(&[reason.as_str()])
            .inc();
    }

    /// A record that could not be processed.
    pub fn rejected(&self, reason: &str) {
        self.rejects.with_label_values(&[reason]).inc();
    }
}

/// [`KafkaMetrics`] of one role, for what serves either.
#[derive(Clone, Debug)]
pub struct RoleKafkaMetrics {
    /// All of them.
    pub all: KafkaMetrics,
    /// Whose.
    pub role: Role,
}

impl RoleKafkaMetrics {
    /// How a transaction, or one attempt at it, ended: `aborted`, `fatal`, `abandoned`.
    pub fn transaction(&self, result: &'static str) {
        self.all
            .transactions
            .with_label_values(&[self.role.as_str(), result])
            .inc();
    }

    /// A transaction was committed.
    pub fn committed(&self, took: Duration, records: usize) {
        let role = &[self.role.as_str()];
        self.transaction("committed");
        self.all
            .transaction_duration
            .with_label_values(role)
            .observe(took.as_secs_f64());
        // Counts of records are far below the 2^52 that a float holds exactly.
        #[expect(clippy::cast_precision_loss, reason = "see above")]
        self.all
            .transaction_records
            .with_label_values(role)
            .observe(records as f64);
    }

    /// How many partitions are ours now.
    pub fn assigned(&self, partitions: usize) {
        self.all
            .assigned_partitions
            .with_label_values(&[self.role.as_str()])
            .set(super::gauge(partitions));
    }
}
