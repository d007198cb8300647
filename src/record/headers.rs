//! The headers of a Kafka record, in their order, repeated names and all.

use bytes::Bytes;

/// Record headers. Kafka allows a name more than once and a null value; both are kept, so that
/// headers that are not ours pass through unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Option<Bytes>)>);

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a header after those that are there.
    pub fn push(&mut self, name: impl Into<String>, value: Option<Bytes>) {
        self.0.push((name.into(), value));
    }

    /// Removes every header of this name and adds one at the end.
    pub fn set(&mut self, name: &str, value: impl Into<Bytes>) {
        self.remove(name);
        self.push(name, Some(value.into()));
    }

    /// Removes every header of this name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(present, _)| present != name);
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
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// Names and values together, in bytes.
    pub fn size(&self) -> usize {
        self.iter()
            .map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_name_wins_and_set_replaces_all() {
        let mut headers = Headers::new();
        headers.push("a", Some(Bytes::from_static(b"1")));
        headers.push("b", None);
        headers.push("a", Some(Bytes::from_static(b"2")));
        assert_eq!(headers.get("a"), Some(&b"2"[..]));
        assert_eq!(headers.get("b"), None);
        headers.set("a", "3");
        let names: Vec<_> = headers.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["b", "a"]);
        assert_eq!(headers.size(), 3);
    }
}
