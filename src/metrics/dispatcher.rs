//! What the dispatcher counts.

use std::time::Duration;

use prometheus::{GaugeVec, Histogram, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

use super::{EXCHANGE, KafkaMetrics, add, counters, gauge, histogram, histograms, status_class};
use crate::dispatcher::endpoints::Endpoints;
use crate::duration_text;
use crate::http::Exchange;
use crate::record::{AttemptOutcome, Parked, Reason};

/// Seconds from ten milliseconds to four days: retries go on for days.
const DELIVERY: &[f64] = &[
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0,
    21_600.0, 86_400.0, 345_600.0,
];
/// Seconds that a retry comes later than it was due.
const LATENESS: &[f64] = &[
    0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0,
];

/// What the dispatcher counts.
#[derive(Clone, Debug)]
pub struct DispatcherMetrics {
    /// As [`KafkaMetrics`] has them.
    deliveries: IntCounterVec,
    /// Requests, by `outcome` (`delivered`, `retry`, `dead`) and [`status_class`].
    attempts: IntCounterVec,
    attempt_duration: Histogram,
    /// By `first`: whether the first attempt got it.
    delivery_latency: HistogramVec,
    in_flight: IntGauge,
    retry_lateness: HistogramVec,
    oldest_due_age: GaugeVec,
    dead_letters: IntCounterVec,
    parked: IntCounterVec,
    resting: IntGauge,
    held_bytes: IntGauge,
    waiting: IntGauge,
    open_breakers: IntGauge,
    narrowed: IntGauge,
    egress_held: IntGauge,
}

impl DispatcherMetrics {
    /// Registers all of them.
    pub fn register(registry: &Registry, shared: &KafkaMetrics) -> prometheus::Result<Self> {
        let int_gauge = |name, help| add(registry, IntGauge::new(name, help)?);
        Ok(Self {
            deliveries: shared.deliveries.clone(),
            attempts: counters(
                registry,
                "hooktide_attempts_total",
                "Requests made",
                &["outcome", "status_class"],
            )?,
            attempt_duration: histogram(
                registry,
                "hooktide_attempt_duration_seconds",
                "Time of a whole exchange",
                EXCHANGE,
            )?,
            delivery_latency: histograms(
                registry,
                "hooktide_delivery_latency_seconds",
                "Time from the record on Kafka to a 2xx; first: at the first attempt",
                &["first"],
                DELIVERY,
            )?,
            in_flight: int_gauge("hooktide_in_flight_requests", "Requests on the wire")?,
            retry_lateness: histograms(
                registry,
                "hooktide_retry_lateness_seconds",
                "How much later than due a retry was sent",
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
            dead_letters: shared.dead_letters.clone(),
            parked: counters(
                registry,
                "hooktide_parked_total",
                "Tasks put off without an attempt",
                &["reason"],
            )?,
            resting: int_gauge("hooktide_resting_tasks", "Tasks that rest in memory")?,
            held_bytes: int_gauge("hooktide_held_bytes", "Bytes of tasks in memory")?,
            waiting: int_gauge(
                "hooktide_waiting_tasks",
                "Tasks in memory that wait for their endpoint",
            )?,
            open_breakers: int_gauge(
                "hooktide_open_breakers",
                "Endpoints whose circuit breaker is not closed",
            )?,
            narrowed: int_gauge(
                "hooktide_narrowed_endpoints",
                "Endpoints that get fewer requests at once than they may, as they bear no more",
            )?,
            egress_held: int_gauge(
                "hooktide_egress_held",
                "Whether no endpoint answers any more and only probes are sent",
            )?,
        })
    }

    /// A request ended.
    pub fn attempt_ended(&self, outcome: AttemptOutcome, exchange: &Exchange) {
        let status = match &exchange.result {
            Ok(answer) => Some(answer.status),
            Err(failure) => failure.status,
        };
        self.attempts
            .with_label_values(&[outcome.as_str(), status_class(status)])
            .inc();
        self.attempt_duration
            .observe(exchange.duration.as_secs_f64());
    }

    /// A task was delivered, so long after its event stood on Kafka.
    pub fn delivered(&self, is_first: bool, latency: Duration) {
        let first = if is_first { "true" } else { "false" };
        self.deliveries.with_label_values(&["delivered"]).inc();
        self.delivery_latency
            .with_label_values(&[first])
            .observe(latency.as_secs_f64());
    }

    /// A task was given up.
    pub fn dead_lettered(&self, reason: Reason) {
        self.deliveries.with_label_values(&["dead"]).inc();
        self.dead_letters
            .with_label_values(&[reason.as_str()])
            .inc();
    }

    /// A task's subscription was deleted.
    pub fn cancelled(&self) {
        self.deliveries.with_label_values(&["cancelled"]).inc();
    }

    /// A task was put off without an attempt.
    pub fn put_off(&self, why: Parked) {
        self.parked.with_label_values(&[why.as_str()]).inc();
    }

    /// A retry was sent so much later than it was due; `tier` is where it lay last.
    pub fn taken_up(&self, tier: Option<Duration>, lateness: Duration) {
        self.retry_lateness
            .with_label_values(&[&tier_label(tier)])
            .observe(lateness.as_secs_f64());
    }

    /// How long the oldest task of a tier has been due.
    pub fn oldest_due(&self, tier: Option<Duration>, age: Duration) {
        self.oldest_due_age
            .with_label_values(&[&tier_label(tier)])
            .set(age.as_secs_f64());
    }

    /// What the process holds now: requests on the wire, resting tasks, bytes of tasks.
    pub fn holds(&self, in_flight: usize, resting: usize, bytes: usize) {
        self.in_flight.set(gauge(in_flight));
        self.resting.set(gauge(resting));
        self.held_bytes.set(gauge(bytes));
    }

    /// How endpoints do, and whether none answers.
    pub fn endpoints<T>(&self, endpoints: &Endpoints<T>, is_held: bool) {
        self.egress_held.set(i64::from(is_held));
        self.waiting.set(gauge(endpoints.waiting()));
        self.open_breakers.set(gauge(endpoints.open_breakers()));
        self.narrowed.set(gauge(endpoints.narrowed()));
    }
}

/// The label of a tier; `0` is the deliveries topic.
fn tier_label(delay: Option<Duration>) -> String {
    delay.map_or_else(|| "0".to_owned(), duration_text::canonical)
}
