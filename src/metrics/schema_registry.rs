//! What is asked of the schema registry, and what waits for it.

use prometheus::{IntCounterVec, IntGauge, Registry};

use super::{add, counters};

/// What is asked of the schema registry, and what waits for it.
#[derive(Clone, Debug)]
pub struct SchemaRegistryMetrics {
    /// By `result`: `found`, `unknown`, `failed`.
    requests: IntCounterVec,
    held: IntGauge,
}

impl SchemaRegistryMetrics {
    /// Registers all of them.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let requests = counters(
            registry,
            "hooktide_schema_registry_requests_total",
            "Schemas asked for at the schema registry",
            &["result"],
        )?;
        // Rates and alerts need a start to count from.
        for result in ["found", "unknown", "failed"] {
            requests.with_label_values(&[result]);
        }
        Ok(Self {
            requests,
            held: add(
                registry,
                IntGauge::new(
                    "hooktide_schema_registry_held_partitions",
                    "Partitions of events that wait for a schema",
                )?,
            )?,
        })
    }

    /// How a schema that was asked for was answered.
    pub fn request(&self, result: &str) {
        self.requests.with_label_values(&[result]).inc();
    }

    /// How many partitions wait.
    pub fn held(&self, partitions: usize) {
        self.held.set(i64::try_from(partitions).unwrap_or(i64::MAX));
    }
}
