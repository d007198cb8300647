//! What bounds requests, of all endpoints and of each, by the configuration.

use crate::config::Config;
use crate::dispatcher::endpoints::{self, breaker};

pub(super) fn of(config: &Config) -> endpoints::Settings {
    endpoints::Settings {
        breaker: breaker::Settings {
            failure_ratio: config.breaker.failure_ratio,
            min_requests: config.breaker.min_requests,
            window: config.breaker.window,
            first_probe: config.breaker.first_probe,
            longest_probe: config.breaker.longest_probe,
        },
        max_in_flight: config.dispatcher.max_in_flight,
        max_per_host: config.dispatcher.max_in_flight_per_host,
        is_adaptive: config.dispatcher.adaptive_concurrency,
    }
}
