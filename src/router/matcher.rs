//! From (tenant, event type) to those who asked for it, without looking at those who did not.

use std::collections::{BTreeSet, HashMap};
use std::mem;

use crate::record::{EventPattern, EventPatternShape};

/// An index of subscriptions (`T` stands for one) by tenant and event pattern. A look-up costs one
/// hash of the type, one of each of its dotted prefixes that a pattern can have, and what matches.
#[derive(Clone, Debug)]
pub struct Matcher<T> {
    tenants: HashMap<Box<str>, Patterns<T>>,
}

/// The subscriptions of one tenant; no set in here is empty, but that of `all`.
#[derive(Clone, Debug)]
struct Patterns<T> {
    all: BTreeSet<T>,
    exact: HashMap<Box<str>, Set<T>>,
    /// By the part before `.*`.
    under: HashMap<Box<str>, Set<T>>,
}

/// Those of one pattern. Most have one: a tree for each would be a tenth of what a subscription takes.
#[derive(Clone, Debug)]
enum Set<T> {
    One(T),
    More(BTreeSet<T>),
}

impl<T> Default for Matcher<T> {
    fn default() -> Self {
        Self {
            tenants: HashMap::new(),
        }
    }
}

impl<T> Default for Patterns<T> {
    fn default() -> Self {
        Self {
            all: BTreeSet::new(),
            exact: HashMap::new(),
            under: HashMap::new(),
        }
    }
}

impl<T: Clone + Ord> Matcher<T> {
    /// An empty index.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a subscription under each of its patterns. What is there already stays.
    pub fn insert(&mut self, tenant: &str, patterns: &[EventPattern], subscription: &T) {
        if patterns.is_empty() {
            return;
        }
        let of_tenant = self.tenants.entry(tenant.into()).or_default();
        for pattern in patterns {
            match pattern.shape() {
                EventPatternShape::All => {
                    of_tenant.all.insert(subscription.clone());
                }
                EventPatternShape::Exact(exact) => {
                    insert_into(&mut of_tenant.exact, exact, subscription);
                }
                EventPatternShape::Under(prefix) => {
                    insert_into(&mut of_tenant.under, prefix, subscription);
                }
            }
        }
    }

    /// Takes a subscription away from each of these patterns: pass those it was inserted with.
    pub fn remove(&mut self, tenant: &str, patterns: &[EventPattern], subscription: &T) {
        let Some(of_tenant) = self.tenants.get_mut(tenant) else {
            return;
        };
        for pattern in patterns {
            match pattern.shape() {
                EventPatternShape::All => {
                    of_tenant.all.remove(subscription);
                }
                EventPatternShape::Exact(exact) => {
                    remove_from(&mut of_tenant.exact, exact, subscription);
                }
                EventPatternShape::Under(prefix) => {
                    remove_from(&mut of_tenant.under, prefix, subscription);
                }
            }
        }
        if of_tenant.is_empty() {
            self.tenants.remove(tenant);
            shrink(&mut self.tenants);
        }
    }

    /// Who asked for this type: each once, in ascending order.
    pub fn matching<'a>(
        &'a self,
        tenant: &str,
        event_type: &str,
    ) -> impl ExactSizeIterator<Item = &'a T> + use<'a, T> {
        let mut found = Vec::new();
        let mut sets = 0;
        if let Some(of_tenant) = self.tenants.get(tenant) {
            if !of_tenant.all.is_empty() {
                found.extend(&of_tenant.all);
                sets += 1;
            }
            for set in of_tenant.sets(event_type) {
                match set {
                    Set::One(one) => found.push(one),
                    Set::More(more) => found.extend(more),
                }
                sets += 1;
            }
        }
        if sets > 1 {
            // Each set is in order already, and this sort makes use of that.
            found.sort();
            found.dedup();
        }
        found.into_iter()
    }

    /// Whether nobody asks for anything.
    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty()
    }
}

impl<T: Ord> Patterns<T> {
    /// The sets whose pattern matches, but for `all`.
    fn sets(&self, event_type: &str) -> impl Iterator<Item = &Set<T>> {
        let prefixes = event_type
            .match_indices('.')
            .map(|(dot, _)| dot)
            // No longer prefix is in the index, however many dots a hostile type has.
            .take_while(|dot| *dot < EventPattern::MAX_BYTES)
            .filter(|dot| dot + 1 < event_type.len());
        let under = (!self.under.is_empty())
            .then(|| prefixes.filter_map(|dot| self.under.get(&event_type[..dot])));
        let exact = self.exact.get(event_type).into_iter();
        exact.chain(under.into_iter().flatten())
    }

    fn is_empty(&self) -> bool {
        self.all.is_empty() && self.exact.is_empty() && self.under.is_empty()
    }
}

fn insert_into<T: Clone + Ord>(map: &mut HashMap<Box<str>, Set<T>>, name: &str, one: &T) {
    match map.get_mut(name) {
        None => {
            map.insert(name.into(), Set::One(one.clone()));
        }
        Some(Set::One(present)) if present == one => {}
        Some(Set::More(more)) => {
            more.insert(one.clone());
        }
        Some(set @ Set::One(_)) => {
            if let Set::One(present) = mem::replace(set, Set::More(BTreeSet::new()))
                && let Set::More(more) = set
            {
                more.extend([present, one.clone()]);
            }
        }
    }
}

fn remove_from<T: Ord>(map: &mut HashMap<Box<str>, Set<T>>, name: &str, one: &T) {
    let is_empty = match map.get_mut(name) {
        None => false,
        Some(Set::One(present)) => present == one,
        Some(Set::More(more)) => {
            more.remove(one);
            more.is_empty()
        }
    };
    if is_empty {
        map.remove(name);
        shrink(map);
    }
}

/// Gives memory back once most of it is unused, so seldom that removing stays cheap.
fn shrink<V>(map: &mut HashMap<Box<str>, V>) {
    if map.len() * 4 < map.capacity() {
        map.shrink_to(map.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn patterns(texts: &[&str]) -> Vec<EventPattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn found(matcher: &Matcher<u32>, tenant: &str, event_type: &str) -> Vec<u32> {
        matcher.matching(tenant, event_type).copied().collect()
    }

    #[test]
    fn finds_each_once_and_in_order() {
        let mut matcher = Matcher::new();
        matcher.insert("acme", &patterns(&["order.created", "order.*", "*"]), &9);
        matcher.insert("acme", &patterns(&["order.item.*"]), &7);
        matcher.insert("acme", &patterns(&["order.*"]), &8);
        matcher.insert("acme", &patterns(&["order"]), &1);
        matcher.insert("zoo", &patterns(&["*"]), &2);
        let check = |tenant: &str, event_type: &str, expected: &[u32]| {
            assert_eq!(
                found(&matcher, tenant, event_type),
                expected,
                "{event_type}"
            );
        };
        check("acme", "order.created", &[8, 9]);
        check("acme", "order.item.added", &[7, 8, 9]);
        check("acme", "order.item", &[8, 9]);
        check("acme", "order", &[1, 9]);
        check("acme", "order.", &[9]);
        check("acme", "", &[9]);
        check("zoo", "order", &[2]);
        check("nobody", "order", &[]);
    }

    #[test]
    fn a_hostile_type_costs_little() {
        let mut matcher = Matcher::new();
        matcher.insert("acme", &patterns(&["a.*"]), &1);
        let event_type = format!("a{}", ".".repeat(10_000_000));
        assert_eq!(found(&matcher, "acme", &event_type), [1]);
        let longest = "a".repeat(EventPattern::MAX_BYTES - 2);
        matcher.insert("acme", &patterns(&[&format!("{longest}.*")]), &2);
        assert_eq!(found(&matcher, "acme", &format!("{longest}.b")), [2]);
    }

    #[test]
    fn gives_memory_back() {
        let mut matcher = Matcher::new();
        let of = |number: u32| patterns(&[&format!("type.{number}"), &format!("{number}.*")]);
        for number in 0..10_000 {
            matcher.insert("acme", &of(number), &number);
            matcher.insert(&number.to_string(), &of(number), &number);
        }
        for number in 1..10_000 {
            matcher.remove("acme", &of(number), &number);
            matcher.remove(&number.to_string(), &of(number), &number);
        }
        assert_eq!(found(&matcher, "acme", "type.0"), [0]);
        let acme = &matcher.tenants["acme"];
        for capacity in [
            matcher.tenants.capacity(),
            acme.exact.capacity(),
            acme.under.capacity(),
        ] {
            assert!(capacity < 16, "{capacity}");
        }
        matcher.remove("acme", &of(0), &0);
        matcher.remove("0", &of(0), &0);
        matcher.remove("0", &of(0), &0);
        assert!(matcher.is_empty());
        matcher.insert("acme", &[], &0);
        assert!(matcher.is_empty());
    }

    proptest! {
        #[test]
        fn agrees_with_a_scan(
            steps in prop::collection::vec(
                (
                    any::<bool>(),
                    "[xy]",
                    prop::collection::vec("(a|b|a\\.b|a\\.\\.b|b\\.a\\.a|)(\\.\\*)?|\\*", 0..4),
                    0..6_u32,
                ),
                0..30,
            ),
            tenant in "[xyz]",
            event_type in "[ab.]{0,6}",
        ) {
            let mut matcher = Matcher::new();
            let mut naive: Vec<(String, EventPattern, u32)> = Vec::new();
            for (insert, tenant, texts, subscription) in steps {
                // Some of these texts are no patterns.
                let patterns: Vec<EventPattern> =
                    texts.iter().filter_map(|text| text.parse().ok()).collect();
                for pattern in &patterns {
                    let entry = (tenant.clone(), pattern.clone(), subscription);
                    naive.retain(|present| *present != entry);
                    if insert {
                        naive.push(entry);
                    }
                }
                if insert {
                    matcher.insert(&tenant, &patterns, &subscription);
                } else {
                    matcher.remove(&tenant, &patterns, &subscription);
                }
            }
            let expected: BTreeSet<u32> = naive
                .iter()
                .filter(|(of, pattern, _)| *of == tenant && pattern.matches(&event_type))
                .map(|(_, _, subscription)| *subscription)
                .collect();
            let expected: Vec<u32> = expected.into_iter().collect();
            prop_assert_eq!(found(&matcher, &tenant, &event_type), expected);
            prop_assert_eq!(matcher.is_empty(), naive.is_empty());
        }
    }
}
