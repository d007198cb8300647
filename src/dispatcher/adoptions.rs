//! Requests whose partition was given back while they were on the wire.
//!
//! A rebalance takes all partitions away and mostly gives them back at once. A record that is then
//! read again must not be sent again: it adopts the request that is still out, or its outcome.

use std::collections::BTreeMap;

use crate::record::Coordinates;

/// Requests by the record that they were made for. `T` is an outcome.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Adoptions<T>(BTreeMap<Coordinates, Adoption<T>>);

/// A request that waits to be adopted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Adoption<T> {
    /// It is still out, under this number.
    OnTheWire(u64),
    /// It has ended.
    Ended(T),
}

impl<T> Default for Adoptions<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Adoptions<T> {
    /// A request has lost its partition.
    pub fn leave(&mut self, at: Coordinates, number: u64) {
        self.0.insert(at, Adoption::OnTheWire(number));
    }

    /// A request that has no partition ended. Its outcome is dropped unless its record may still be
    /// read here.
    pub fn ended(&mut self, at: &Coordinates, number: u64, outcome: T) {
        if let Some(place) = self.0.get_mut(at)
            && matches!(place, Adoption::OnTheWire(waiting) if *waiting == number)
        {
            *place = Adoption::Ended(outcome);
        }
    }

    /// After a new assignment: keeps those whose record can still be read here.
    pub fn retain(&mut self, mut can_be_read: impl FnMut(&Coordinates) -> bool) {
        self.0.retain(|at, _| can_be_read(at));
    }

    /// The request that a record adopts.
    pub fn adopt(&mut self, at: &Coordinates) -> Option<Adoption<T>> {
        self.0.remove(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> Coordinates {
        Coordinates {
            topic: "t".into(),
            partition: 0,
            offset,
        }
    }

    #[test]
    fn a_record_adopts_its_request_or_its_outcome_once() {
        let mut adoptions = Adoptions::default();
        adoptions.leave(at(1), 10);
        adoptions.leave(at(2), 20);
        adoptions.ended(&at(2), 20, "outcome");
        assert_eq!(adoptions.adopt(&at(1)), Some(Adoption::OnTheWire(10)));
        assert_eq!(adoptions.adopt(&at(2)), Some(Adoption::Ended("outcome")));
        assert_eq!(adoptions.adopt(&at(2)), None);
    }

    #[test]
    fn what_another_member_has_is_dropped_also_when_it_ends_later() {
        let mut adoptions = Adoptions::default();
        adoptions.leave(at(1), 10);
        adoptions.retain(|_| false);
        adoptions.ended(&at(1), 10, "outcome");
        assert_eq!(adoptions.adopt(&at(1)), None);
    }

    #[test]
    fn an_older_request_for_the_same_record_does_not_stand_in_for_a_newer() {
        let mut adoptions = Adoptions::default();
        adoptions.leave(at(1), 10);
        adoptions.retain(|_| false);
        adoptions.leave(at(1), 11);
        adoptions.ended(&at(1), 10, "old");
        assert_eq!(adoptions.adopt(&at(1)), Some(Adoption::OnTheWire(11)));
    }
}
