//! What does not move.

use std::time::Duration;

use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry};

use super::{add, gauge, gauges};
use crate::role::Role;

/// What does not move, by topic: of the partitions that are this process's, and of the logs behind them.
#[derive(Clone, Debug)]
pub struct WatchMetrics {
    stuck_partitions: IntGaugeVec,
    standstill: GaugeVec,
    held_back_partitions: IntGaugeVec,
    held_back: GaugeVec,
}

impl WatchMetrics {
    /// Registers all of them.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            stuck_partitions: gauges(
                registry,
                "hooktide_stuck_partitions",
                "Partitions that stand still for too long though they have work that is due",
                &["role", "topic"],
            )?,
            standstill: add(
                registry,
                GaugeVec::new(
                    Opts::new(
                        "hooktide_standstill_seconds",
                        "Longest time that a partition with work that is due has not moved",
                    ),
                    &["role", "topic"],
                )?,
            )?,
            held_back_partitions: gauges(
                registry,
                "hooktide_held_back_partitions",
                "Partitions whose records a transaction that does not end keeps from readers",
                &["topic"],
            )?,
            held_back: add(
                registry,
                GaugeVec::new(
                    Opts::new(
                        "hooktide_held_back_seconds",
                        "Longest time that an open transaction has kept records of a partition from readers",
                    ),
                    &["topic"],
                )?,
            )?,
        })
    }

    /// How a role's partitions of a topic stand: how many for too long, and the longest of all.
    pub fn stands(&self, role: Role, topic: &str, partitions: usize, longest: Duration) {
        let labels = [role.as_str(), topic];
        self.stuck_partitions
            .with_label_values(&labels)
            .set(gauge(partitions));
        self.standstill
            .with_label_values(&labels)
            .set(longest.as_secs_f64());
    }

    /// How transactions hold the partitions of a topic back.
    pub fn held_back(&self, topic: &str, partitions: usize, longest: Duration) {
        self.held_back_partitions
            .with_label_values(&[topic])
            .set(gauge(partitions));
        self.held_back
            .with_label_values(&[topic])
            .set(longest.as_secs_f64());
    }
}
