//! What a dispatcher works with, beside its member.

use std::sync::Arc;
use std::time::Instant;

use super::desk::Desk;
use super::settings::Settings;
use super::standing::Standing;
use crate::clock::Timestamp;
use crate::kafka::broker_clock::BrokerClock;
use crate::kafka::endpoint_reader::EndpointReader;
use crate::kafka::lanes::Lanes;
use crate::kafka::standstill::StandstillWatch;
use crate::kafka::subscription_reader::SubscriptionReader;
use crate::metrics::DispatcherMetrics;
use crate::secret_store::SecretStore;
use crate::telemetry::Component;
use crate::wake::Waker;

/// See the module.
pub struct Equipment {
    /// The table that tasks are looked up in.
    pub subscriptions: Arc<SubscriptionReader>,
    /// What is known of endpoints.
    pub endpoints: Arc<EndpointReader>,
    /// Where referenced secrets are read.
    pub secrets: SecretStore,
    /// Bounds and names.
    pub settings: Settings,
    /// What it counts.
    pub metrics: DispatcherMetrics,
    /// How it says that it moves.
    pub health: Component,
    /// By which it is judged what is due.
    pub clock: BrokerClock,
    /// Which of its partitions do not.
    pub standstills: StandstillWatch,
}

impl Equipment {
    /// A desk with nothing on it.
    pub fn desk(&self) -> Desk {
        let settings = &self.settings;
        Desk::new(
            settings.ladder.clone(),
            settings.ledger.clone(),
            settings.endpoints.clone(),
            Standing::new(settings.standing.clone()),
            self.metrics.clone(),
        )
    }

    /// Shows what is held, and which partitions do not move.
    pub fn report(
        &mut self,
        on_the_wire: usize,
        desk: &Desk,
        lanes: &Lanes,
        at: (Timestamp, Instant),
    ) {
        let (now, instant) = at;
        let metrics = &self.metrics;
        metrics.holds(on_the_wire, desk.resting(), desk.bytes());
        metrics.endpoints(desk.endpoints(), desk.is_held());
        self.health.hold(desk.is_held());
        for (tier, age) in lanes.oldest_due(now) {
            metrics.oldest_due(tier, age);
        }
        if self.standstills.is_due(instant) {
            let is_meant_to = |lane, _: &_| {
                let lowest = lanes.watermark(lane);
                lowest.is_some_and(|offset| desk.waits_for_its_time(lane, offset))
            };
            self.standstills
                .look(&lanes.seen(now), instant, is_meant_to);
        }
    }

    /// Wakes this loop whenever a table has moved.
    pub fn wake_on_change(&self, waker: &Waker) {
        self.subscriptions.wake_on_change(waker.clone());
        self.endpoints.wake_on_change(waker.clone());
    }
}
