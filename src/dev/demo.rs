//! What is played: endpoints that behave in five ways, who subscribes them to what, and sample events.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::receiver::Manner;

/// An endpoint of the demo, named after how it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// Takes everything at once.
    Good,
    /// Fails about every second time.
    Flaky,
    /// Takes two seconds.
    Slow,
    /// Refuses connections.
    Dead,
    /// Takes only so many requests a second.
    Limited,
}

/// A subscription of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// Where its webhooks go; also its id.
    pub endpoint: Endpoint,
    /// Whose it is.
    pub tenant: &'static str,
    /// What it wants.
    pub events: &'static [&'static str],
    /// Its waits between attempts; short, so that the end of the ladder is seen.
    pub schedule: &'static [&'static str],
    /// For people.
    pub behaves: &'static str,
}

/// All of them.
pub const SUBSCRIBERS: [Subscriber; 5] = [
    Subscriber {
        endpoint: Endpoint::Good,
        tenant: "acme",
        events: &["*"],
        schedule: &["1s", "3s", "10s"],
        behaves: "answers at once",
    },
    Subscriber {
        endpoint: Endpoint::Flaky,
        tenant: "acme",
        events: &["order.*"],
        schedule: &["1s", "3s", "10s"],
        behaves: "fails about every second time",
    },
    Subscriber {
        endpoint: Endpoint::Dead,
        tenant: "acme",
        events: &["invoice.paid"],
        schedule: &["1s", "1s"],
        behaves: "refuses connections",
    },
    Subscriber {
        endpoint: Endpoint::Slow,
        tenant: "globex",
        events: &["*"],
        schedule: &["1s", "3s", "10s"],
        behaves: "takes 2 s to answer",
    },
    Subscriber {
        endpoint: Endpoint::Limited,
        tenant: "acme",
        events: &["*"],
        schedule: &["1s", "3s", "3s", "10s"],
        behaves: "answers 429 to what is too fast",
    },
];

/// Type and tenant of the sample events, in turn. The first ones reach every kind of endpoint.
const SAMPLES: [(&str, &str); 6] = [
    ("invoice.paid", "acme"),
    ("order.created", "acme"),
    ("user.signed_up", "globex"),
    ("order.shipped", "acme"),
    ("invoice.paid", "globex"),
    ("order.created", "acme"),
];

impl Endpoint {
    /// Its path, its subscription's id, and how it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => Manner::Good.name(),
            Self::Flaky => Manner::Flaky.name(),
            Self::Slow => Manner::Slow.name(),
            Self::Dead => "dead",
            Self::Limited => Manner::Limited.name(),
        }
    }
}

impl Subscriber {
    /// `tenant/id`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.tenant, self.endpoint.name())
    }

    /// The record's value, signed with a secret made of `entropy`. `dead` is where nobody listens.
    pub fn record(&self, receiver: SocketAddr, dead: SocketAddr, entropy: [u8; 32]) -> Value {
        let at = match self.endpoint {
            Endpoint::Dead => dead,
            Endpoint::Good | Endpoint::Flaky | Endpoint::Slow | Endpoint::Limited => receiver,
        };
        json!({
            "version": 1,
            "url": format!("http://{at}/{}", self.endpoint.name()),
            "events": self.events,
            "secrets": [format!("whsec_{}", STANDARD.encode(entropy))],
            "timeout": "10s",
            "retry": {"schedule": self.schedule},
            "description": format!("hooktide dev: {}", self.behaves),
        })
    }

    /// Whether sample event `number` goes to it.
    pub fn takes(&self, number: usize) -> bool {
        let (event_type, tenant) = sample(number);
        let is_wanted = |pattern: &&str| match pattern.strip_suffix('*') {
            Some(prefix) => event_type.starts_with(prefix),
            None => *pattern == event_type,
        };
        tenant == self.tenant && self.events.iter().any(is_wanted)
    }
}

/// The id of sample event `number`, from 0.
pub fn event_id(number: usize) -> String {
    format!("evt_{}", number + 1)
}

/// Sample event `number`, from 0.
pub fn event(number: usize) -> Value {
    let (event_type, tenant) = sample(number);
    json!({
        "id": event_id(number),
        "type": event_type,
        "tenant": tenant,
        "data": {"number": number + 1, "amount": 100 + (number * 37) % 900},
    })
}

fn sample(number: usize) -> (&'static str, &'static str) {
    SAMPLES[number % SAMPLES.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::record::subscription::Rules;
    use crate::record::{Coordinates, Event, EventPattern, Subscription, SubscriptionKey};

    #[test]
    fn subscriptions_and_events_are_valid() {
        let receiver = ([127, 0, 0, 1], 8080).into();
        for subscriber in SUBSCRIBERS {
            let key: SubscriptionKey = subscriber.key().parse().unwrap();
            let value = subscriber.record(receiver, receiver, [7; 32]).to_string();
            Subscription::parse(&key, value.as_bytes(), &Rules::default()).unwrap();
        }
        let at: Coordinates = "events/0/1".parse().unwrap();
        for number in 0..20 {
            let value = event(number).to_string();
            let parsed = Event::parse(value.as_bytes(), &at, Timestamp::default()).unwrap();
            assert_eq!(parsed.id(), Some(&*event_id(number)));
            for subscriber in SUBSCRIBERS {
                let matches = subscriber.tenant == parsed.tenant()
                    && subscriber.events.iter().any(|pattern| {
                        let pattern: EventPattern = pattern.parse().unwrap();
                        pattern.matches(parsed.event_type())
                    });
                assert_eq!(subscriber.takes(number), matches, "{number} {subscriber:?}");
            }
        }
    }

    #[test]
    fn the_first_events_reach_every_endpoint() {
        for subscriber in SUBSCRIBERS {
            assert!(
                (0..3).any(|number| subscriber.takes(number)),
                "{subscriber:?}"
            );
        }
    }
}
