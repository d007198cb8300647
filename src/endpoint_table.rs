//! What all processes know of endpoints: the states that dispatchers have written, and what operators
//! wish. A pure function of the topic `endpoints`. Healthy endpoints are not in it, so it stays small.

use std::collections::HashMap;
use std::sync::Arc;

use crate::record::{
    Coordinates, Disabled, DisabledReason, EndpointState, EndpointWish, NoticeCursor,
    SubscriptionKey, WishKey, WishedState,
};

/// Java's seed, which every client that places keys by murmur2 has.
const KAFKA_SEED: u32 = 0x9747_b28c;

/// The table.
#[derive(Debug, Default)]
pub struct EndpointTable {
    topic: Option<Arc<str>>,
    states: HashMap<SubscriptionKey, Placed>,
    wishes: HashMap<WishKey, EndpointWish>,
    /// By partition.
    cursors: HashMap<i32, NoticeCursor>,
    changes: u64,
}

/// A state and where its record stands.
#[derive(Clone, Debug)]
pub struct Placed {
    /// What is known.
    pub state: EndpointState,
    /// The record.
    pub at: Coordinates,
}

/// How many endpoints are in which state, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Written as failing, and not disabled.
    pub failing: usize,
    /// Written as disabled.
    pub disabled: usize,
    /// Brakes that are on: by subscription, host or tenant.
    pub brakes: usize,
}

/// The partition that a key has on every topic with so many, as Kafka's own clients place it.
pub fn partition_of(key: &SubscriptionKey, partitions: i32) -> i32 {
    let hash = murmur2::murmur2(key.to_string().as_bytes(), KAFKA_SEED) & 0x7fff_ffff;
    i32::try_from(hash).unwrap_or_default() % partitions.max(1)
}

impl EndpointTable {
    /// An empty table of this topic.
    pub fn new(topic: Arc<str>) -> Self {
        Self {
            topic: Some(topic),
            ..Self::default()
        }
    }

    /// Applies one record of the topic.
    pub fn apply(&mut self, key: &[u8], value: Option<&[u8]>, partition: i32, offset: i64) {
        self.changes += 1;
        if WishKey::is_wish(key) {
            if let Err(error) = self.apply_wish(key, value) {
                tracing::warn!(%error, partition, offset, "an operator's wish cannot be read, it is ignored");
            }
            return;
        }
        if NoticeCursor::is_key(key) {
            match value.map(NoticeCursor::decode) {
                Some(Ok(cursor)) => drop(self.cursors.insert(partition, cursor)),
                Some(Err(_)) | None => drop(self.cursors.remove(&partition)),
            }
            return;
        }
        let key = match SubscriptionKey::try_from(key) {
            Ok(key) => key,
            Err(error) => {
                tracing::warn!(%error, partition, offset, "a record on the endpoints topic has no key of a subscription, it is ignored");
                return;
            }
        };
        let state = value.map(EndpointState::decode).transpose();
        match state {
            Ok(Some(state)) => {
                let at = Coordinates {
                    topic: self.topic.clone().unwrap_or_else(|| "".into()),
                    partition,
                    offset,
                };
                self.states.insert(key, Placed { state, at });
            }
            Ok(None) => drop(self.states.remove(&key)),
            Err(error) => {
                tracing::warn!(endpoint = %key, %error, partition, offset, "the state of an endpoint cannot be read, it is taken for healthy");
                self.states.remove(&key);
            }
        }
    }

    fn apply_wish(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), crate::record::WishError> {
        let key = WishKey::decode(key)?;
        match value {
            Some(value) => drop(self.wishes.insert(key, EndpointWish::decode(value)?)),
            None => drop(self.wishes.remove(&key)),
        }
        Ok(())
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.states.clear();
        self.wishes.clear();
        self.cursors.clear();
        self.changes += 1;
    }

    /// How often the table has changed: the same number, the same table.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// What was written of an endpoint.
    pub fn state(&self, key: &SubscriptionKey) -> Option<&EndpointState> {
        self.states.get(key).map(|placed| &placed.state)
    }

    /// All that was written.
    pub fn states(&self) -> impl Iterator<Item = (&SubscriptionKey, &Placed)> {
        self.states.iter()
    }

    /// How far changes of the subscriptions of a partition have been told.
    pub fn cursor(&self, partition: i32) -> Option<NoticeCursor> {
        self.cursors.get(&partition).copied()
    }

    /// All that operators wish.
    pub fn wishes(&self) -> impl Iterator<Item = (&WishKey, &EndpointWish)> {
        self.wishes.iter()
    }

    /// Why nothing may be sent to an endpoint whose subscription's record is at `revision`.
    pub fn disabled(&self, key: &SubscriptionKey, revision: i64) -> Option<Disabled> {
        if self.states.is_empty() && self.wishes.is_empty() {
            return None;
        }
        self.disabled_as_of(self.state(key), key, revision)
    }

    /// The same with a state that is newer than the table's.
    ///
    /// Any newer record of the subscription enables the endpoint: it may be another URL altogether,
    /// and what it says itself (`paused`, `disabled`) holds from then on.
    pub fn disabled_as_of(
        &self,
        state: Option<&EndpointState>,
        key: &SubscriptionKey,
        revision: i64,
    ) -> Option<Disabled> {
        let wish = self.switched(key);
        let is_lifted = |disabled: &Disabled| {
            let by_wish = matches!(
                wish.map(|wish| wish.wished),
                Some(WishedState::Enabled { lifts }) if lifts == disabled.at
            );
            by_wish || disabled.revision < revision
        };
        let written = state.and_then(|state| state.disabled);
        let wished = wish.and_then(|wish| match wish.wished {
            WishedState::Disabled { revision } => Some(Disabled {
                reason: DisabledReason::Operator,
                at: wish.at,
                revision,
            }),
            WishedState::Paused | WishedState::Enabled { .. } => None,
        });
        written
            .filter(|disabled| !is_lifted(disabled))
            .or(wished.filter(|disabled| !is_lifted(disabled)))
    }

    /// Whether an operator has this endpoint pause: itself, its host (in lower case) or its tenant.
    pub fn is_braked(&self, key: &SubscriptionKey, host: &str) -> bool {
        // Looked up for each task: mostly there is nothing.
        !self.wishes.is_empty()
            && [
                WishKey::PauseSubscription(key.clone()),
                WishKey::PauseTenant(key.tenant().to_owned()),
                WishKey::PauseHost(host.to_owned()),
            ]
            .iter()
            .any(|wish| self.wishes.contains_key(wish))
    }

    /// How many endpoints are in which state.
    pub fn counts(&self) -> Counts {
        let is_disabled = |placed: &&Placed| placed.state.disabled.is_some();
        let is_failing =
            |placed: &&Placed| placed.state.failing.is_some() && placed.state.disabled.is_none();
        Counts {
            failing: self.states.values().filter(is_failing).count(),
            disabled: self.states.values().filter(is_disabled).count(),
            brakes: self
                .wishes
                .values()
                .filter(|wish| wish.wished == WishedState::Paused)
                .count(),
        }
    }

    fn switched(&self, key: &SubscriptionKey) -> Option<&EndpointWish> {
        if self.wishes.is_empty() {
            return None;
        }
        self.wishes.get(&WishKey::State(key.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn shop() -> SubscriptionKey {
        "acme/shop".parse().unwrap()
    }

    fn put(table: &mut EndpointTable, reason: DisabledReason, at: i64, revision: i64) {
        let at = Timestamp::from_millis(at);
        let state = EndpointState {
            disabled: Some(Disabled {
                reason,
                at,
                revision,
            }),
            ..EndpointState::default()
        };
        table.apply(b"acme/shop", Some(&state.encode().unwrap()), 0, 0);
    }

    fn wish(table: &mut EndpointTable, key: &WishKey, wished: Option<WishedState>, at: i64) {
        let at = Timestamp::from_millis(at);
        let value = wished.map(|wished| EndpointWish { wished, at }.encode().unwrap());
        table.apply(key.to_string().as_bytes(), value.as_deref(), 0, 0);
    }

    fn reason(table: &EndpointTable, revision: i64) -> Option<DisabledReason> {
        table
            .disabled(&shop(), revision)
            .map(|disabled| disabled.reason)
    }

    #[test]
    fn a_newer_subscription_or_a_wish_enables_and_nothing_else_does() {
        let mut table = EndpointTable::default();
        assert_eq!(reason(&table, 5), None);
        put(&mut table, DisabledReason::Gone, 10, 5);
        assert_eq!(reason(&table, 5), Some(DisabledReason::Gone));
        assert_eq!(reason(&table, 6), None);
        assert_eq!(table.counts().disabled, 1);

        let key = WishKey::State(shop());
        let lifts = |at| {
            Some(WishedState::Enabled {
                lifts: Timestamp::from_millis(at),
            })
        };
        // Of an earlier time: this one is not meant.
        wish(&mut table, &key, lifts(9), 11);
        assert_eq!(reason(&table, 5), Some(DisabledReason::Gone));
        wish(&mut table, &key, lifts(10), 12);
        assert_eq!(reason(&table, 5), None);
        put(&mut table, DisabledReason::Failing, 13, 5);
        assert_eq!(reason(&table, 5), Some(DisabledReason::Failing));
        table.apply(b"acme/shop", None, 0, 1);
        assert_eq!(reason(&table, 5), None);
    }

    #[test]
    fn an_operator_disables_until_the_wish_is_taken_back_or_the_subscription_is_newer() {
        let mut table = EndpointTable::default();
        let key = WishKey::State(shop());
        let disabled = Some(WishedState::Disabled { revision: 5 });
        wish(&mut table, &key, disabled, 1);
        assert_eq!(reason(&table, 5), Some(DisabledReason::Operator));
        assert_eq!(reason(&table, 6), None);
        wish(&mut table, &key, None, 2);
        assert_eq!(reason(&table, 5), None);
    }

    #[test]
    fn brakes_are_by_subscription_host_or_tenant() {
        let other: SubscriptionKey = "other/shop".parse().unwrap();
        for (key, others) in [
            (WishKey::PauseSubscription(shop()), false),
            (WishKey::PauseTenant("acme".to_owned()), false),
            (WishKey::PauseHost("a.example".to_owned()), true),
        ] {
            let mut table = EndpointTable::default();
            assert!(!table.is_braked(&shop(), "a.example"));
            wish(&mut table, &key, Some(WishedState::Paused), 1);
            assert!(table.is_braked(&shop(), "a.example"), "{key}");
            assert_eq!(table.is_braked(&other, "a.example"), others, "{key}");
            assert_eq!(table.counts().brakes, 1);
            assert_eq!(reason(&table, 0), None);
            wish(&mut table, &key, None, 2);
            assert!(!table.is_braked(&shop(), "a.example"), "{key}");
        }
    }

    #[test]
    fn what_cannot_be_read_changes_nothing_but_its_own_endpoint() {
        let mut table = EndpointTable::default();
        put(&mut table, DisabledReason::Gone, 10, 5);
        for key in [&b"wish:state:acme/shop"[..], b"wish:new:x", b"", b"no-key"] {
            table.apply(key, Some(b"{"), 0, 1);
        }
        assert_eq!(reason(&table, 5), Some(DisabledReason::Gone));
        table.apply(b"acme/shop", Some(b"{"), 0, 2);
        assert_eq!(reason(&table, 5), None);
    }

    /// As Java's `Utils.toPositive(Utils.murmur2(key)) % partitions` has it.
    #[test]
    fn keys_are_placed_as_kafka_places_them() {
        let hash = |text: &str| murmur2::murmur2(text.as_bytes(), KAFKA_SEED).cast_signed();
        // From Kafka's own UtilsTest.
        assert_eq!(hash("21"), -973_932_308);
        assert_eq!(hash("foobar"), -790_332_482);
        assert_eq!(hash("a-little-bit-long-string"), -985_981_536);
        assert_eq!(
            hash("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"),
            -58_897_971
        );
        assert!((0..100).all(|n| {
            let key = SubscriptionKey::try_new("t", &n.to_string()).unwrap();
            (0..7).contains(&partition_of(&key, 7))
        }));
    }
}
