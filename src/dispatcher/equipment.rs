//! What a dispatcher works with, beside its member.

use std::sync::Arc;

use super::desk::Desk;
use super::settings::Settings;
use super::standing::Standing;
use crate::kafka::endpoint_reader::EndpointReader;
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

    /// Wakes this loop whenever a table has moved.
    pub fn wake_on_change(&self, waker: &Waker) {
        self.subscriptions.wake_on_change(waker.clone());
        self.endpoints.wake_on_change(waker.clone());
    }
}
