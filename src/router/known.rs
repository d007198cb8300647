//! What events are matched with and held against, as it is now.

use super::conformance::Catalogue;
use crate::endpoint_table::EndpointTable;
use crate::subscription_table::SubscriptionTable;

/// The tables.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Who wants what.
    pub subscriptions: &'a SubscriptionTable,
    /// Who cannot be delivered to.
    pub endpoints: &'a EndpointTable,
    /// What events look like; none: nobody looks.
    pub catalogue: Option<Catalogue<'a>>,
}

impl<'a> Known<'a> {
    /// All of it.
    pub fn new(
        subscriptions: &'a SubscriptionTable,
        endpoints: &'a EndpointTable,
        catalogue: Option<Catalogue<'a>>,
    ) -> Self {
        Self {
            subscriptions,
            endpoints,
            catalogue,
        }
    }
}
