//! The subscriptions as of an offset of their topic: a pure function of the records read so far.
//!
//! The newest record of a key decides. If it is invalid, so is the subscription: nothing is sent
//! for it until it is corrected, and what pends waits.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

use crate::record::SubscriptionKey;
use crate::record::subscription::{Rules, State, Subscription, SubscriptionError};
use crate::router::event_form::FormError;
use crate::router::filter::{Expression, ExpressionError, FilterError, FilterSet};
use crate::router::matcher::Matcher;
use crate::router::payload::{FieldsError, Shape, ShapeError};
use crate::router::programs::Programs;

/// How many changes are remembered.
const RECENT: usize = 10_000;

/// A subscription that can be delivered to, with what is compiled from it.
#[derive(Debug)]
pub struct Compiled {
    /// As written.
    pub subscription: Subscription,
    /// Which events, beyond their type.
    pub filters: FilterSet,
    /// `where`: what must hold beside.
    pub condition: Option<Expression>,
    /// How they are sent; none for the usual body in the usual request.
    pub shape: Option<Box<Shape>>,
}

/// Why the newest record of a key is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// The form that it is written in.
    #[error(transparent)]
    Form(#[from] FormError),
    /// The record itself.
    #[error(transparent)]
    Subscription(#[from] SubscriptionError),
    /// Its `filters`.
    #[error(transparent)]
    Filters(#[from] FilterError),
    /// Its `where`.
    #[error("where: {0}")]
    Condition(#[from] ExpressionError),
    /// Its `fields`, `mapping` or `body`.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

impl Invalid {
    /// The path to what is to blame; empty where that is the record as a whole.
    pub fn place(&self) -> String {
        match self {
            Self::Subscription(SubscriptionError::Field { field, .. }) => field.clone(),
            Self::Subscription(SubscriptionError::Json(_)) => String::new(),
            Self::Filters(error) => error.at.clone(),
            Self::Condition(_) => "where".to_owned(),
            Self::Shape(ShapeError::Fields(FieldsError::TooMany)) => "fields".to_owned(),
            Self::Shape(ShapeError::Fields(FieldsError::Path { index, .. })) => {
                format!("fields[{index}]")
            }
            Self::Shape(ShapeError::Mapping(_)) => "mapping".to_owned(),
            Self::Shape(ShapeError::Template(_)) => "body.template".to_owned(),
            Self::Form(_) => String::new(),
        }
    }
}

/// The newest record of a key.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Whose.
    pub key: SubscriptionKey,
    /// Its offset.
    pub revision: i64,
    /// What it says.
    pub content: Result<Arc<Compiled>, Arc<Invalid>>,
}

/// What a record did to the table.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// The key has a new record.
    Put,
    /// The key has a new record that is invalid.
    PutInvalid,
    /// The key is gone.
    Deleted,
    /// The key itself cannot be read: the record stands for no subscription.
    Ignored,
}

/// How many subscriptions are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Delivered to.
    pub active: usize,
    /// Tasks are made and wait.
    pub paused: usize,
    /// No tasks are made.
    pub disabled: usize,
    /// The newest record cannot be read.
    pub invalid: usize,
}

/// The table.
#[derive(Debug)]
pub struct SubscriptionTable {
    rules: Rules,
    slots: Vec<Option<Entry>>,
    free: Vec<u32>,
    /// Slots by the keys that are in them.
    by_key: HashTable<u32>,
    hasher: RandomState,
    matcher: Matcher<u32>,
    counts: Counts,
    programs: Programs,
    /// The last changes: revision and key.
    recent: VecDeque<(i64, SubscriptionKey)>,
    /// All changes from this revision on are among them.
    recent_from: i64,
}

impl Compiled {
    /// Reads and compiles the value of the record of this key: what passes here is never `invalid` in
    /// a table with the same rules.
    ///
    /// # Errors
    /// What makes the record of no use, with the field and the rule.
    pub fn parse(key: &SubscriptionKey, value: &[u8], rules: &Rules) -> Result<Self, Invalid> {
        Self::sharing(key, value, rules, &mut Programs::default())
    }

    /// The same; programs that are known already are not compiled again.
    fn sharing(
        key: &SubscriptionKey,
        value: &[u8],
        rules: &Rules,
        programs: &mut Programs,
    ) -> Result<Self, Invalid> {
        let subscription = Subscription::parse(key, value, rules)?;
        let filters = subscription
            .filters()
            .map(FilterSet::parse)
            .transpose()?
            .unwrap_or_default();
        let condition = subscription
            .shaping()
            .and_then(|shaping| shaping.condition.as_deref())
            .map(|text| programs.expression(text))
            .transpose()?;
        let shape = Shape::compile(&subscription, rules, programs)?;
        Ok(Self {
            subscription,
            filters,
            condition,
            shape,
        })
    }
}

impl SubscriptionTable {
    /// An empty table whose records must keep to `rules`.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashTable::new(),
            hasher: RandomState::new(),
            matcher: Matcher::default(),
            counts: Counts::default(),
            programs: Programs::default(),
            recent: VecDeque::new(),
            recent_from: 0,
        }
    }

    /// Applies one record of the topic, whose value is JSON.
    pub fn apply(&mut self, key: Option<&[u8]>, value: Option<&[u8]>, offset: i64) -> Change {
        self.apply_decoded(key, value.map(Ok), offset)
    }

    /// Applies one record of the topic; its value as JSON, or why it cannot be brought into that form.
    pub fn apply_decoded(
        &mut self,
        key: Option<&[u8]>,
        value: Option<Result<&[u8], FormError>>,
        offset: i64,
    ) -> Change {
        let key = match SubscriptionKey::try_from(key.unwrap_or_default()) {
            Ok(key) => key,
            Err(error) => {
                tracing::warn!(%error, offset, "a record on the subscriptions topic has no key of a subscription, it is ignored");
                return Change::Ignored;
            }
        };
        if self.recent.len() == RECENT
            && let Some((revision, _)) = self.recent.pop_front()
        {
            self.recent_from = revision + 1;
        }
        self.recent.push_back((offset, key.clone()));
        let Some(value) = value else {
            self.remove(&key);
            return Change::Deleted;
        };
        let content = value
            .map_err(Invalid::from)
            .and_then(|value| Compiled::sharing(&key, value, &self.rules, &mut self.programs))
            .map(Arc::new)
            .map_err(Arc::new);
        if let Err(error) = &content {
            tracing::warn!(subscription = %key, offset, %error, "subscription is invalid: nothing is sent for it until it is corrected");
        }
        let change = if content.is_ok() {
            Change::Put
        } else {
            Change::PutInvalid
        };
        self.remove(&key);
        self.insert(Entry {
            key,
            revision: offset,
            content,
        });
        change
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::new(self.rules);
    }

    /// The newest record of a key.
    pub fn get(&self, key: &SubscriptionKey) -> Option<&Entry> {
        let is_it = |slot: &u32| key_in(&self.slots, *slot) == Some(key);
        let slot = self.by_key.find(self.hasher.hash_one(Some(key)), is_it)?;
        self.slots.get(*slot as usize)?.as_ref()
    }

    /// The subscriptions of a tenant whose `events` cover a type and that tasks are made for
    /// (`active` and `paused`), each once, in a stable order. Filters are the caller's.
    pub fn matching<'a>(
        &'a self,
        tenant: &'a str,
        event_type: &'a str,
    ) -> impl Iterator<Item = (&'a Entry, &'a Arc<Compiled>)> {
        self.matcher
            .matching(tenant, event_type)
            .filter_map(|slot| {
                let entry = self.slots.get(*slot as usize)?.as_ref()?;
                let compiled = entry.content.as_ref().ok()?;
                (compiled.subscription.state() != State::Disabled).then_some((entry, compiled))
            })
    }

    /// What has changed from a revision on: each change, if they are few enough to be remembered; or
    /// else the newest record of each key that still has one.
    pub fn changes_since(&self, revision: i64) -> Vec<(i64, SubscriptionKey)> {
        let is_meant = |changed: &(i64, SubscriptionKey)| changed.0 >= revision;
        if revision >= self.recent_from {
            return self
                .recent
                .iter()
                .filter(|c| is_meant(c))
                .cloned()
                .collect();
        }
        let entries = self.slots.iter().flatten();
        let newest = entries.map(|entry| (entry.revision, entry.key.clone()));
        newest.filter(is_meant).collect()
    }

    /// How many subscriptions are in each state.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn insert(&mut self, entry: Entry) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        if let Ok(compiled) = &entry.content {
            self.matcher
                .insert(entry.key.tenant(), compiled.subscription.events(), &slot);
        }
        *self.counts.of(&entry) += 1;
        let (slots, hasher) = (&self.slots, &self.hasher);
        let hash_in = |slot: &u32| hasher.hash_one(key_in(slots, *slot));
        let hash = hasher.hash_one(Some(&entry.key));
        self.by_key.insert_unique(hash, slot, hash_in);
        self.slots[slot as usize] = Some(entry);
    }

    fn remove(&mut self, key: &SubscriptionKey) {
        let is_it = |slot: &u32| key_in(&self.slots, *slot) == Some(key);
        let Ok(found) = self
            .by_key
            .find_entry(self.hasher.hash_one(Some(key)), is_it)
        else {
            return;
        };
        let (slot, _) = found.remove();
        let Some(entry) = self.slots[slot as usize].take() else {
            return;
        };
        if let Ok(compiled) = &entry.content {
            self.matcher
                .remove(key.tenant(), compiled.subscription.events(), &slot);
        }
        *self.counts.of(&entry) -= 1;
        self.free.push(slot);
    }
}

fn key_in(slots: &[Option<Entry>], slot: u32) -> Option<&SubscriptionKey> {
    Some(&slots.get(slot as usize)?.as_ref()?.key)
}

impl Counts {
    fn of(&mut self, entry: &Entry) -> &mut usize {
        match &entry.content {
            Err(_) => &mut self.invalid,
            Ok(compiled) => match compiled.subscription.state() {
                State::Active => &mut self.active,
                State::Paused => &mut self.paused,
                State::Disabled => &mut self.disabled,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked of the allocator, which takes some more.
    #[test]
    fn a_subscription_takes_little_memory() {
        const SUBSCRIPTIONS: usize = 20_000;
        const MOST: usize = 750;
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
        let record = |number: usize| {
            format!(
                r#"{{"version":1,"url":"https://receiver.example.com/hooks/{number}","events":["order.created.{number}"],"secrets":["{secret}"]}}"#
            )
        };
        let mut table = None;
        let taken = allocation_counter::measure(|| {
            let mut filled = SubscriptionTable::new(Rules::default());
            for number in 0..SUBSCRIPTIONS {
                let key = format!("acme/subscription-{number}");
                let change = filled.apply(
                    Some(key.as_bytes()),
                    Some(record(number).as_bytes()),
                    i64::try_from(number).unwrap(),
                );
                assert_eq!(change, Change::Put);
            }
            table = Some(filled);
        });
        let each = usize::try_from(taken.bytes_current).unwrap() / SUBSCRIPTIONS;
        assert!(each <= MOST, "{each} bytes");
        drop(table);
    }

    #[test]
    fn changes_are_remembered_up_to_a_bound() {
        let mut table = SubscriptionTable::new(Rules::default());
        let put = |table: &mut SubscriptionTable, key: &str, offset| {
            let value = br#"{"url":"https://e.com/","events":["*"],"signatures":[]}"#;
            table.apply(Some(key.as_bytes()), Some(value), offset);
        };
        put(&mut table, "t/deleted", 0);
        put(&mut table, "t/kept", 1);
        table.apply(Some(b"t/deleted"), None, 2);
        let revisions = |table: &SubscriptionTable, from| {
            let mut found: Vec<_> = table.changes_since(from).into_iter().map(|c| c.0).collect();
            found.sort_unstable();
            found
        };
        assert_eq!(revisions(&table, 0), [0, 1, 2]);
        assert_eq!(revisions(&table, 2), [2]);
        assert!(revisions(&table, 3).is_empty());
        for offset in (3..).take(RECENT) {
            put(&mut table, "t/busy", offset);
        }
        // Further back, deletions are not known any more.
        let last = 2 + i64::try_from(RECENT).unwrap();
        assert_eq!(revisions(&table, 0), [1, last]);
        assert_eq!(revisions(&table, last - 1), [last - 1, last]);
        assert_eq!(table.recent.len(), RECENT);
    }
}
