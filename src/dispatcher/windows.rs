//! Notices of what happens many times: told at once when it happens first, then at most once in each
//! window with how often it happened meanwhile.

use std::collections::HashMap;
use std::mem;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::record::{NoticeKind, SubscriptionKey};

/// The most windows that are open at once. What happens beyond them is told each time.
const MOST: usize = 10_000;

/// See the module.
#[derive(Debug)]
pub struct Windows {
    length: Duration,
    open: HashMap<(SubscriptionKey, NoticeKind), Window>,
}

#[derive(Debug)]
struct Window {
    since: Timestamp,
    revision: i64,
    untold: u64,
}

/// What is to be told now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Of which endpoint.
    pub subscription: SubscriptionKey,
    /// What happened.
    pub kind: NoticeKind,
    /// Offset of the subscription's record, when it happened last.
    pub revision: i64,
    /// How often it happened since it was told last.
    pub count: u64,
}

impl Windows {
    /// With windows of this length.
    pub fn new(length: Duration) -> Self {
        Self {
            length,
            open: HashMap::new(),
        }
    }

    /// It has happened; whether and how it is to be told at once.
    pub fn happened(
        &mut self,
        subscription: &SubscriptionKey,
        kind: NoticeKind,
        revision: i64,
        now: Timestamp,
    ) -> Option<Tally> {
        let key = (subscription.clone(), kind);
        if let Some(window) = self.open.get_mut(&key) {
            window.untold += 1;
            window.revision = revision;
            return None;
        }
        if self.open.len() < MOST {
            let window = Window {
                since: now,
                revision,
                untold: 0,
            };
            self.open.insert(key, window);
        }
        Some(Tally {
            subscription: subscription.clone(),
            kind,
            revision,
            count: 1,
        })
    }

    /// What has happened in windows that are over now. Where anything has, the next one begins.
    pub fn over(&mut self, now: Timestamp) -> Vec<Tally> {
        let length = self.length;
        let mut tallies = Vec::new();
        self.open.retain(|(subscription, kind), window| {
            if now.since(window.since) < length {
                return true;
            }
            window.since = now;
            tallies.extend(window.take(subscription, *kind));
            tallies
                .last()
                .is_some_and(|last| (&last.subscription, last.kind) == (subscription, *kind))
        });
        tallies
    }

    /// What is untold, as all windows end now.
    pub fn close(&mut self) -> Vec<Tally> {
        let open = mem::take(&mut self.open);
        let each = open.into_iter();
        each.filter_map(|((subscription, kind), mut window)| window.take(&subscription, kind))
            .collect()
    }
}

impl Window {
    fn take(&mut self, subscription: &SubscriptionKey, kind: NoticeKind) -> Option<Tally> {
        let count = mem::take(&mut self.untold);
        (count > 0).then(|| Tally {
            subscription: subscription.clone(),
            kind,
            revision: self.revision,
            count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: NoticeKind = NoticeKind::DeliveryExhausted;

    fn key(id: usize) -> SubscriptionKey {
        SubscriptionKey::try_new("t", &id.to_string()).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn each_happening_is_told_once_and_each_window_once() {
        let mut windows = Windows::new(Duration::from_secs(10));
        let mut told = Vec::new();
        for second in 0..100 {
            let tallies = windows.over(at(second));
            assert!(tallies.len() <= 1);
            told.extend(tallies);
            if second < 25 {
                told.extend(windows.happened(&key(1), KIND, second, at(second)));
            }
        }
        let counts: Vec<_> = told.iter().map(|tally| tally.count).collect();
        assert_eq!(counts, [1, 9, 10, 5]);
        assert_eq!(told[1].revision, 9);
        assert!(windows.open.is_empty());
    }

    #[test]
    fn other_endpoints_and_kinds_have_windows_of_their_own() {
        let mut windows = Windows::new(Duration::from_secs(10));
        for kind in [KIND, NoticeKind::EndpointThrottled] {
            for id in 0..2 {
                assert!(windows.happened(&key(id), kind, 0, at(0)).is_some());
                assert!(windows.happened(&key(id), kind, 0, at(1)).is_none());
            }
        }
        assert_eq!(windows.close().len(), 4);
        assert!(windows.close().is_empty());
    }

    #[test]
    fn memory_is_bounded_and_nothing_goes_untold() {
        let mut windows = Windows::new(Duration::from_secs(10));
        for round in 0..2 {
            let told = (0..MOST + 5)
                .filter(|id| windows.happened(&key(*id), KIND, 0, at(0)).is_some())
                .count();
            assert_eq!(told, if round == 0 { MOST + 5 } else { 5 });
        }
        assert_eq!(windows.open.len(), MOST);
    }
}
