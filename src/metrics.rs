//! Every metric, registered once and passed to those who count. Names and labels that `docs/metrics.md`
//! gives are public; every label has a bounded set of values.

mod dispatcher;
mod http;
mod kafka;
mod router;
mod schema_registry;
mod watch;

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
};

pub use dispatcher::DispatcherMetrics;
pub use http::HttpMetrics;
pub use kafka::{KafkaMetrics, RoleKafkaMetrics};
pub use router::RouterMetrics;
pub use schema_registry::SchemaRegistryMetrics;
pub use watch::WatchMetrics;

/// Seconds from a millisecond to two minutes, the longest that an exchange may take by default.
const EXCHANGE: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
];

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

fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    buckets: &[f64],
) -> prometheus::Result<Histogram> {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    add(registry, Histogram::with_opts(options)?)
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn add<M: Collector + Clone + 'static>(registry: &Registry, metric: M) -> prometheus::Result<M> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::http::{Answer, Exchange};
    use crate::record::{AttemptOutcome, Reason};
    use crate::role::Role;

    #[test]
    fn names_and_labels_are_those_of_the_contract() {
        let registry = Registry::new();
        let all = KafkaMetrics::register(&registry).unwrap();
        let router = RouterMetrics::register(&registry).unwrap();
        let dispatcher = DispatcherMetrics::register(&registry, &all).unwrap();
        let http = HttpMetrics::register(&registry).unwrap();
        register_process(&registry).unwrap();
        http.connection_opened();
        http.sent_again("dead_connection");
        all.subscriptions.with_label_values(&["active"]).set(1);
        all.rejected("too_large");
        all.event_types.with_label_values(&["valid"]).set(3);
        let role = Role::Router;
        all.out_of_range("orders");
        let of_role = RoleKafkaMetrics { all, role };
        of_role.committed(Duration::ZERO, 1);
        of_role.assigned(3);
        router.waited_for_table(Duration::ZERO);
        dispatcher.holds(0, 2, 512);
        router.event("orders", "matched", 2);
        router.unfiltered("missing");
        router.nonconforming("schema_violation");
        dispatcher.delivered(true, Duration::from_millis(100));
        let exchange = Exchange {
            duration: Duration::ZERO,
            result: Ok(Answer {
                status: 503,
                ..Answer::default()
            }),
        };
        dispatcher.attempt_ended(AttemptOutcome::Retry, &exchange);
        dispatcher.taken_up(Some(Duration::from_secs(5)), Duration::from_millis(100));
        dispatcher.oldest_due(Some(Duration::from_secs(5)), Duration::from_millis(1_500));
        dispatcher.dead_lettered(Reason::Exhausted);
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        for line in [
            r#"hooktide_events_total{result="matched",topic="orders"} 1"#,
            r#"hooktide_deliveries_total{outcome="delivered"} 1"#,
            r#"hooktide_attempts_total{outcome="retry",status_class="5xx"} 1"#,
            "hooktide_attempt_duration_seconds_count 1",
            "hooktide_tasks_total 2",
            r#"hooktide_filter_errors_total{reason="missing"} 1"#,
            r#"hooktide_event_type_violations_total{reason="schema_violation"} 1"#,
            r#"hooktide_event_types{state="valid"} 3"#,
            r#"hooktide_delivery_latency_seconds_count{first="true"} 1"#,
            "hooktide_in_flight_requests 0",
            r#"hooktide_retry_lateness_seconds_bucket{tier="5s",le="0.1"} 1"#,
            r#"hooktide_oldest_due_age_seconds{tier="5s"} 1.5"#,
            r#"hooktide_dead_letters_total{reason="exhausted"} 1"#,
            r#"hooktide_subscriptions{state="active"} 1"#,
            r#"hooktide_rejects_total{reason="too_large"} 1"#,
            r#"hooktide_transactions_total{result="committed",role="router"} 1"#,
            r#"hooktide_transaction_duration_seconds_count{role="router"} 1"#,
            r#"hooktide_transaction_records_sum{role="router"} 1"#,
            r#"hooktide_assigned_partitions{role="router"} 3"#,
            r#"hooktide_offset_out_of_range_total{topic="orders"} 1"#,
            "hooktide_table_wait_seconds_count 1",
            "hooktide_open_connections 1",
            "hooktide_connections_total 1",
            r#"hooktide_requests_sent_again_total{reason="dead_connection"} 1"#,
            "hooktide_resting_tasks 2",
            "hooktide_held_bytes 512",
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
