//! The catalogue of event types as of an offset of its topic: a pure function of the records read so far.
//!
//! The newest record of a type decides. If it is invalid, no event of the type is as it should be until it
//! is corrected.

use std::collections::HashMap;

use crate::record::json_text::Node;
use crate::record::{EventType, EventTypeError, type_of_key};
use crate::router::data_schema::{DataSchema, Mismatch, SchemaError};

/// A type, with what is compiled from it.
#[derive(Debug)]
pub struct Compiled {
    /// As written.
    pub written: EventType,
    /// What its events' `data` must be; none: anything.
    schema: Option<DataSchema>,
}

/// Why the newest record of a type is of no use.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Invalid {
    /// The record itself.
    #[error(transparent)]
    Record(#[from] EventTypeError),
    /// Its `schema`.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// The newest record of a type.
#[derive(Debug)]
pub struct Entry {
    /// Its offset.
    pub revision: i64,
    /// What it says.
    pub content: Result<Compiled, Invalid>,
}

/// How many types are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// That can be used, the deprecated ones among them.
    pub valid: usize,
    /// Whose newest record cannot be used.
    pub invalid: usize,
}

/// The table.
#[derive(Debug, Default)]
pub struct EventTypeTable {
    types: HashMap<Box<str>, Entry>,
}

impl Compiled {
    /// Reads and compiles the value of the record of this type: what passes here is never invalid in a
    /// table.
    ///
    /// # Errors
    /// What makes the record of no use, with the member and the rule.
    pub fn parse(event_type: &str, value: &[u8]) -> Result<Self, Invalid> {
        let written = EventType::parse(event_type, value)?;
        let schema = written.schema.as_ref();
        let schema = schema.map(|schema| DataSchema::compile(schema.get()));
        Ok(Self {
            schema: schema.transpose()?,
            written,
        })
    }

    /// Whether an event of the type may have this `data`.
    ///
    /// # Errors
    /// [`Mismatch`].
    pub fn check(&self, data: Node<'_>) -> Result<(), Mismatch> {
        match &self.schema {
            Some(schema) => schema.check(data),
            None => Ok(()),
        }
    }
}

impl EventTypeTable {
    /// Applies one record of the topic; no value: a tombstone.
    pub fn apply(&mut self, key: &[u8], value: Option<&[u8]>, offset: i64) {
        let event_type = match type_of_key(key) {
            Ok(event_type) => event_type,
            Err(error) => {
                tracing::warn!(%error, offset, "a record on the event_types topic has no type for a key, it is ignored");
                return;
            }
        };
        let Some(value) = value else {
            self.types.remove(event_type);
            return;
        };
        let content = Compiled::parse(event_type, value);
        if let Err(error) = &content {
            tracing::warn!(event_type, offset, %error, "event type is invalid: no event of it is as it should be until it is corrected");
        }
        let revision = offset;
        self.types
            .insert(event_type.into(), Entry { revision, content });
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.types.clear();
    }

    /// The newest record of a type.
    pub fn get(&self, event_type: &str) -> Option<&Entry> {
        self.types.get(event_type)
    }

    /// How many types are in each state.
    pub fn counts(&self) -> Counts {
        let valid = self.types.values().filter(|entry| entry.content.is_ok());
        let valid = valid.count();
        Counts {
            valid,
            invalid: self.types.len() - valid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(valid: usize, invalid: usize) -> Counts {
        Counts { valid, invalid }
    }

    #[test]
    fn the_newest_record_of_a_type_decides() {
        let mut table = EventTypeTable::default();
        table.apply(b"a", Some(br#"{"schema":{"type":"integer"}}"#), 0);
        table.apply(b"b", Some(b"{}"), 1);
        table.apply(b"a\n", Some(b"{}"), 2);
        assert_eq!(table.counts(), counts(2, 0));
        let check = |table: &EventTypeTable, event_type: &str, data: &str| {
            let entry = table.get(event_type).unwrap();
            let compiled = entry.content.as_ref().unwrap();
            compiled.check(Node::parse_str(data).unwrap()).is_ok()
        };
        assert!(check(&table, "a", "1") && !check(&table, "a", r#""1""#));
        assert!(check(&table, "b", r#""1""#));
        table.apply(b"a", Some(br#"{"schema":{"type":"text"}}"#), 3);
        assert_eq!(table.counts(), counts(1, 1));
        let entry = table.get("a").unwrap();
        assert_eq!(entry.revision, 3);
        let error = entry.content.as_ref().unwrap_err().to_string();
        assert!(error.contains("`/type`"), "{error}");
        table.apply(b"a", None, 4);
        assert!(table.get("a").is_none());
        table.clear();
        assert_eq!(table.counts(), counts(0, 0));
    }
}
