//! Every metric, registered once and passed to those who count. Names and labels that `contract.md`
//! gives are public; every label has a bounded set of values.

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

use crate::role::Role;

/// Seconds from a millisecond to two minutes, the longest that an exchange may take by default.
const EXCHANGE: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
];
/// Seconds from ten milliseconds to four days: retries go on for days.
const DELIVERY: &[f64] = &[
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0,
    21_600.0, 86_400.0, 345_600.0,
];
/// Seconds that a retry comes later than it was due.
const LATENESS: &[f64] = &[
    0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0,
];
/// Seconds of one transaction, from begin to commit.
const TRANSACTION: &[f64] = &[
    0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Records in one transaction.
const BATCH: &[f64] = &[1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0, 16_384.0];

/// What both roles count about Kafka, each under its `role`.
#[derive(Clone, Debug)]
pub struct KafkaMetrics {
    /// Transactions by `role` and `result`: `committed`, `aborted`, `fatal`.
    pub transactions: IntCounterVec,
    /// How long a transaction took, from begin to commit, by `role`.
    pub transaction_duration: HistogramVec,
    /// Records in a transaction, by `role`.
    pub transaction_records: HistogramVec,
    /// Producers that were made anew after a fatal error, by `role`.
    pub producer_rebuilds: IntCounterVec,
    /// Partitions owned right now, by `role`.
    pub assigned_partitions: IntGaugeVec,
    /// Committed offsets that the topic does not hold any more, by `topic`. Records may be lost.
    pub offset_out_of_range: IntCounterVec,
    /// What could not be processed, by `reason`.
    pub rejects: IntCounterVec,
    /// Subscriptions in the table, by `state`: `active`, `paused`, `disabled`, `invalid`.
    pub subscriptions: IntGaugeVec,
    /// Offset of the subscriptions topic up to which the table has read, by `role`.
    pub table_position: IntGaugeVec,
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
    /// Counts how a transaction ended: `committed`, `aborted`, `fatal`, `abandoned`.
    pub fn transaction(&self, result: &'static str) {
        self.all
            .transactions
            .with_label_values(&[self.role.as_str(), result])
            .inc();
    }
}

/// What the router counts.
#[derive(Clone, Debug)]
pub struct RouterMetrics {
    /// Events by `topic` and `result`: `matched`, `unmatched`, `skipped`, `rejected`.
    pub events: IntCounterVec,
    /// Tasks made.
    pub tasks: IntCounter,
    /// How long a batch waited until the table had passed the end that was asked for.
    pub table_wait: Histogram,
}

/// What the dispatcher counts.
#[derive(Clone, Debug)]
pub struct DispatcherMetrics {
    /// Tasks that came to an end, by `outcome`: `delivered`, `dead`, `cancelled`.
    pub deliveries: IntCounterVec,
    /// Requests, by `outcome` (`delivered`, `retry`, `dead`) and [`status_class`].
    pub attempts: IntCounterVec,
    /// How long an exchange took.
    pub attempt_duration: Histogram,
    /// From the event's task on Kafka to a 2xx, by `first`: whether the first attempt got it.
    pub delivery_latency: HistogramVec,
    /// Requests on the wire.
    pub in_flight: IntGauge,
    /// How much later than due a task was taken up, by `tier`.
    pub retry_lateness: HistogramVec,
    /// Age of the oldest task that is due and not taken up, by `tier`; 0 for none.
    pub oldest_due_age: GaugeVec,
    /// Tasks given up, by `reason`.
    pub dead_letters: IntCounterVec,
    /// Tasks put back without an attempt, by `reason`.
    pub parked: IntCounterVec,
    /// Tasks that rest in memory because the wait is shorter than the smallest tier.
    pub resting: IntGauge,
    /// Bytes of task bodies held, to be compared with `dispatcher.memory`.
    pub held_bytes: IntGauge,
    /// Times that intake of a partition stopped at a bound, by `bound`: `holes`, `memory`.
    pub intake_stops: IntCounterVec,
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
            producer_rebuilds: counters(
                registry,
                "hooktide_producer_rebuilds_total",
                "Producers made anew after a fatal error",
                &["role"],
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
                "Committed offsets that the topic does not hold any more",
                &["topic"],
            )?,
            rejects: counters(
                registry,
                "hooktide_rejects_total",
                "Records that could not be processed",
                &["reason"],
            )?,
            subscriptions: gauges(
                registry,
                "hooktide_subscriptions",
                "Subscriptions in the table",
                &["state"],
            )?,
            table_position: gauges(
                registry,
                "hooktide_table_position",
                "Offset up to which the subscriptions are read",
                &["role"],
            )?,
        })
    }
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
            table_wait: add(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "hooktide_table_wait_seconds",
                        "Time that a batch of events waited for the subscriptions",
                    )
                    .buckets(EXCHANGE.to_vec()),
                )?,
            )?,
        })
    }
}

impl DispatcherMetrics {
    /// Registers all of them.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            deliveries: counters(
                registry,
                "hooktide_deliveries_total",
                "Tasks that came to an end",
                &["outcome"],
            )?,
            attempts: counters(
                registry,
                "hooktide_attempts_total",
                "Requests made",
                &["outcome", "status_class"],
            )?,
            attempt_duration: add(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "hooktide_attempt_duration_seconds",
                        "Time of a whole exchange",
                    )
                    .buckets(EXCHANGE.to_vec()),
                )?,
            )?,
            delivery_latency: histograms(
                registry,
                "hooktide_delivery_latency_seconds",
                "Time from the record on Kafka to a 2xx; first: at the first attempt",
                &["first"],
                DELIVERY,
            )?,
            in_flight: add(
                registry,
                IntGauge::new("hooktide_in_flight_requests", "Requests on the wire")?,
            )?,
            retry_lateness: histograms(
                registry,
                "hooktide_retry_lateness_seconds",
                "How much later than due a task was taken up",
                &["tier"],
                LATENESS,
            )?,
            oldest_due_age: add(
                registry,
                GaugeVec::new(
                    Opts::new(
                        "hooktide_oldest_due_age_seconds",
                        "Age of the oldest task that is due and not taken up",
                    ),
                    &["tier"],
                )?,
            )?,
            dead_letters: counters(
                registry,
                "hooktide_dead_letters_total",
                "Tasks given up",
                &["reason"],
            )?,
            parked: counters(
                registry,
                "hooktide_parked_total",
                "Tasks put back without an attempt",
                &["reason"],
            )?,
            resting: add(
                registry,
                IntGauge::new("hooktide_resting_tasks", "Tasks that rest in memory")?,
            )?,
            held_bytes: add(
                registry,
                IntGauge::new("hooktide_held_bytes", "Bytes of task bodies in memory")?,
            )?,
            intake_stops: counters(
                registry,
                "hooktide_intake_stops_total",
                "Times that intake of a partition stopped at a bound",
                &["bound"],
            )?,
        })
    }
}

/// Registers what is true of the process: its version, and CPU, memory and file handles where the
/// system tells them.
pub fn register_process(registry: &Registry) -> prometheus::Result<()> {
    let version = Opts::new("hooktide_build_info", "Always 1, with the version")
        .const_label("version", env!("CARGO_PKG_VERSION"));
    add(registry, Gauge::with_opts(version)?)?.set(1.0);
    #[cfg(target_os = "linux")]
    registry.register(Box::new(
        prometheus::process_collector::ProcessCollector::for_self(),
    ))?;
    Ok(())
}

/// The label for an HTTP status: `2xx` and the like; `none` for no answer, `other` beyond 599.
pub fn status_class(status: Option<u16>) -> &'static str {
    match status {
        None => "none",
        Some(100..=199) => "1xx",
        Some(200..=299) => "2xx",
        Some(300..=399) => "3xx",
        Some(400..=499) => "4xx",
        Some(500..=599) => "5xx",
        Some(_) => "other",
    }
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntCounterVec> {
    add(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntGaugeVec> {
    add(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: &[f64],
) -> prometheus::Result<HistogramVec> {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    add(registry, HistogramVec::new(options, labels)?)
}

fn add<M: Collector + Clone + 'static>(registry: &Registry, metric: M) -> prometheus::Result<M> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_are_those_of_the_contract() {
        let registry = Registry::new();
        let kafka = KafkaMetrics::register(&registry).unwrap();
        let router = RouterMetrics::register(&registry).unwrap();
        let dispatcher = DispatcherMetrics::register(&registry).unwrap();
        register_process(&registry).unwrap();
        kafka
            .transactions
            .with_label_values(&["router", "committed"])
            .inc();
        kafka.subscriptions.with_label_values(&["active"]).set(1);
        kafka.rejects.with_label_values(&["too_large"]).inc();
        router
            .events
            .with_label_values(&["orders", "matched"])
            .inc();
        dispatcher
            .deliveries
            .with_label_values(&["delivered"])
            .inc();
        dispatcher
            .attempts
            .with_label_values(&["retry", "5xx"])
            .inc();
        dispatcher
            .delivery_latency
            .with_label_values(&["true"])
            .observe(0.1);
        dispatcher
            .retry_lateness
            .with_label_values(&["5s"])
            .observe(0.1);
        dispatcher
            .oldest_due_age
            .with_label_values(&["5s"])
            .set(1.5);
        dispatcher
            .dead_letters
            .with_label_values(&["exhausted"])
            .inc();
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        for line in [
            r#"hooktide_events_total{result="matched",topic="orders"} 1"#,
            r#"hooktide_deliveries_total{outcome="delivered"} 1"#,
            r#"hooktide_attempts_total{outcome="retry",status_class="5xx"} 1"#,
            "hooktide_attempt_duration_seconds_count 0",
            r#"hooktide_delivery_latency_seconds_count{first="true"} 1"#,
            "hooktide_in_flight_requests 0",
            r#"hooktide_retry_lateness_seconds_bucket{tier="5s",le="0.1"} 1"#,
            r#"hooktide_oldest_due_age_seconds{tier="5s"} 1.5"#,
            r#"hooktide_dead_letters_total{reason="exhausted"} 1"#,
            r#"hooktide_subscriptions{state="active"} 1"#,
            r#"hooktide_rejects_total{reason="too_large"} 1"#,
            r#"hooktide_transactions_total{result="committed",role="router"} 1"#,
            concat!(
                "hooktide_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\"} 1"
            ),
        ] {
            assert!(
                text.lines().any(|present| present == line),
                "{line}\n{text}"
            );
        }
    }

    #[test]
    fn any_status_has_one_of_few_classes() {
        fn check(status: Option<u16>, expected: &str) {
            assert_eq!(status_class(status), expected);
        }
        check(None, "none");
        check(Some(204), "2xx");
        check(Some(301), "3xx");
        check(Some(404), "4xx");
        check(Some(599), "5xx");
        check(Some(999), "other");
        check(Some(0), "other");
    }
}
