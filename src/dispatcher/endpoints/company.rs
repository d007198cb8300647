//! Whose tasks come through a lane. Tasks are sent away so that others behind them need not wait; where
//! there are no others, that would be work for nothing, and the lane had better wait.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::record::SubscriptionKey;

/// How long ago another's task may have come through a lane that counts as shared.
const REMEMBERED: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(super) struct Company {
    key: SubscriptionKey,
    host: u64,
    /// When another endpoint's task came than before, and when one of another host.
    other: Option<Timestamp>,
    other_host: Option<Timestamp>,
}

impl Company {
    pub(super) fn of(key: &SubscriptionKey, host: u64) -> Self {
        Self {
            key: key.clone(),
            host,
            other: None,
            other_host: None,
        }
    }

    /// A task has come.
    pub(super) fn came(&mut self, key: &SubscriptionKey, host: u64, now: Timestamp) {
        if self.key != *key {
            self.key = key.clone();
            self.other = Some(now);
        }
        if self.host != host {
            self.host = host;
            self.other_host = Some(now);
        }
    }

    /// Whether several endpoints' tasks come through it: of several hosts, where that is `by_host`.
    pub(super) fn is_shared(&self, by_host: bool, now: Timestamp) -> bool {
        let other = if by_host { self.other_host } else { self.other };
        other.is_some_and(|at| now.since(at) < REMEMBERED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_remembered_for_a_while() {
        let [a, b]: [SubscriptionKey; 2] = ["t/a", "t/b"].map(|key| key.parse().unwrap());
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let mut company = Company::of(&a, 1);
        let mut check = |key, host, now, endpoints: bool, hosts: bool| {
            company.came(key, host, at(now));
            assert_eq!(company.is_shared(false, at(now)), endpoints, "{now}");
            assert_eq!(company.is_shared(true, at(now)), hosts, "{now}");
        };
        check(&a, 1, 0, false, false);
        check(&b, 1, 1, true, false);
        check(&b, 2, 2, true, true);
        check(&b, 2, 61, false, true);
        check(&b, 2, 62, false, false);
    }
}
