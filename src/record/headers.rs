//! The headers of a Kafka record, in their order, repeated names and all.

use std::fmt::{self, Debug, Display};
use std::io::Write as _;

use bytes::Bytes;

/// Record headers. Kafka allows a name more than once and a null value; both are kept, so that
/// headers that are not ours pass through unchanged.
///
/// All of them stand in one text behind each other: a task has nine or more, and is copied on its way.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    text: Vec<u8>,
    ends: Vec<End>,
}

/// Where a header ends in the text; it begins where the one before it ends.
#[derive(Clone, Copy, PartialEq, Eq)]
struct End {
    name: usize,
    /// None: the value is null.
    value: Option<usize>,
}

impl End {
    fn of_all(self) -> usize {
        self.value.unwrap_or(self.name)
    }
}

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// None yet, with room for so many, and so many bytes of names and values.
    pub fn with_capacity(headers: usize, bytes: usize) -> Self {
        Self {
            text: Vec::with_capacity(bytes),
            ends: Vec::with_capacity(headers),
        }
    }

    /// Adds a header after those that are there.
    pub fn push(&mut self, name: &str, value: Option<&[u8]>) {
        self.text.extend_from_slice(name.as_bytes());
        let name = self.text.len();
        self.text.extend_from_slice(value.unwrap_or_default());
        let value = value.map(|_| self.text.len());
        self.ends.push(End { name, value });
    }

    /// Adds a header whose value is what `value` shows.
    pub fn push_shown(&mut self, name: &str, value: impl Display) {
        self.text.extend_from_slice(name.as_bytes());
        let name = self.text.len();
        // Memory takes everything, and nothing that is shown here refuses to be.
        drop(write!(self.text, "{value}"));
        let value = Some(self.text.len());
        self.ends.push(End { name, value });
    }

    /// Removes every header of this name and adds one at the end.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.remove(name);
        self.push(name, Some(value.as_ref()));
    }

    /// Removes every header of this name.
    pub fn remove(&mut self, name: &str) {
        if self.iter().all(|(present, _)| present != name) {
            return;
        }
        let mut rest = Self::with_capacity(self.ends.len(), self.text.len());
        for (present, value) in self.iter().filter(|(present, _)| *present != name) {
            rest.push(present, value);
        }
        *self = rest;
    }

    /// The last non-null value of a name, as Kafka's own `lastHeader` has it.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .rev()
            .find(|(present, value)| *present == name && value.is_some())
            .and_then(|(_, value)| value)
    }

    /// All headers in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, Option<&[u8]>)> {
        (0..self.ends.len()).map(|index| self.at(index))
    }

    fn at(&self, index: usize) -> (&str, Option<&[u8]>) {
        let end = self.ends[index];
        let begin = match index.checked_sub(1) {
            Some(before) => self.ends[before].of_all(),
            None => 0,
        };
        // What was pushed as text is cut where it was.
        let name = str::from_utf8(&self.text[begin..end.name]).unwrap_or_default();
        let value = end.value.map(|value| &self.text[end.name..value]);
        (name, value)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Names and values together, in bytes.
    pub fn size(&self) -> usize {
        self.text.len()
    }
}

impl Debug for Headers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.iter();
        let shown = shown.map(|(name, value)| (name, value.map(Bytes::copy_from_slice)));
        formatter.debug_list().entries(shown).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_value_of_a_name_wins_and_set_replaces_all() {
        let mut headers = Headers::new();
        headers.push("a", Some(b"1"));
        headers.push("b", None);
        headers.push("a", Some(b"2"));
        assert_eq!(headers.get("a"), Some(&b"2"[..]));
        assert_eq!(headers.get("b"), None);
        headers.set("a", "3");
        let names: Vec<_> = headers.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["b", "a"]);
        assert_eq!(headers.size(), 3);
    }

    proptest! {
        #[test]
        fn all_come_back_as_they_were(
            given in prop::collection::vec(("[a-cé]{0,3}", prop::option::of(prop::collection::vec(0_u8.., 0..4))), 0..9),
            removed in "[a-cé]{0,1}",
        ) {
            let mut headers = Headers::new();
            for (name, value) in &given {
                headers.push(name, value.as_deref());
            }
            let all = |headers: &Headers| -> Vec<(String, Option<Vec<u8>>)> {
                let all = headers.iter();
                all.map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect()
            };
            prop_assert_eq!(all(&headers), given.clone());
            headers.remove(&removed);
            let mut rest = given;
            rest.retain(|(name, _)| *name != removed);
            prop_assert_eq!(all(&headers), rest.clone());
            let shown = rest.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len));
            prop_assert_eq!(headers.size(), shown.sum::<usize>());
            prop_assert_eq!((headers.len(), headers.is_empty()), (rest.len(), rest.is_empty()));
            headers.push_shown("n", 17);
            prop_assert_eq!(headers.get("n"), Some(&b"17"[..]));
        }
    }
}
