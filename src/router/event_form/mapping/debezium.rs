//! Change events as Debezium writes them: JSON with Connect's schema beside it or without, or decoded
//! from Avro.

use std::borrow::Cow;
use std::fmt;

use super::Object;
use super::error::MappingError;
use crate::clock::Timestamp;
use crate::record::json_text::{Kind, Node};

/// The members that hold rows.
const ROWS: [&str; 2] = ["before", "after"];

/// What `op` says has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `c`
    Create,
    /// `u`
    Update,
    /// `d`
    Delete,
    /// `r`: a snapshot found the row there.
    Read,
    /// `t`: the table lost all its rows.
    Truncate,
    /// `m`: somebody wrote to the database's log, and to no row.
    Message,
    /// No change at all: an envelope with nothing in it.
    Tombstone,
}

/// A change of a row.
#[derive(Debug)]
pub(super) struct Change<'a> {
    payload: Node<'a>,
    verb: &'static str,
}

impl<'a> Change<'a> {
    /// Reads the envelope. What a snapshot has read counts as created, or is passed over.
    pub(super) fn read(value: Node<'a>, is_read_created: bool) -> Result<Self, MappingError> {
        let payload = without_schema(value);
        if payload.kind() == Kind::Null {
            return Err(MappingError::PassedOver(Operation::Tombstone));
        }
        let verb = match (operation(payload)?, is_read_created) {
            (Operation::Create, _) | (Operation::Read, true) => "created",
            (Operation::Update, _) => "updated",
            (Operation::Delete, _) => "deleted",
            (
                passed_over @ (Operation::Read
                | Operation::Truncate
                | Operation::Message
                | Operation::Tombstone),
                _,
            ) => return Err(MappingError::PassedOver(passed_over)),
        };
        if ROWS.iter().all(|row| payload.member(row).is_none()) {
            return Err(MappingError::NotDebezium(
                "it has neither `before` nor `after`",
            ));
        }
        Ok(Self { payload, verb })
    }

    /// All of it but Connect's schema.
    pub(super) fn payload(&self) -> Node<'a> {
        self.payload
    }

    /// The type's last segment.
    pub(super) fn verb(&self) -> &'static str {
        self.verb
    }

    /// Which table, or MongoDB's collection.
    pub(super) fn table(&self) -> Option<String> {
        let source = self.payload.member("source")?;
        let mut names = ["table", "collection"].into_iter();
        names.find_map(|name| text(source.member(name)?))
    }

    /// When the row changed, as its database says; else when the connector saw it.
    pub(super) fn time(&self) -> Option<Timestamp> {
        let of_source = self.payload.member("source").and_then(time_of);
        of_source.or_else(|| time_of(self.payload))
    }

    /// The row before and after, as far as they are there.
    pub(super) fn data(&self) -> String {
        let mut data = Object::default();
        for name in ROWS {
            if let Some(node) = self.payload.member(name) {
                data = data.with(name, &row(node));
            }
        }
        data.end()
    }

    /// Everything else.
    pub(super) fn metadata(&self) -> String {
        let mut object = Object::default();
        for (name, value) in self.payload.members() {
            if !ROWS.iter().any(|row| name.is(row)) {
                let source = name.source();
                object = object.with(&source[1..source.len() - 1], value.text());
            }
        }
        object.end()
    }
}

/// What Connect's JSON converter puts a schema beside.
fn without_schema(value: Node<'_>) -> Node<'_> {
    match (value.member("schema"), value.member("payload")) {
        (Some(_), Some(payload)) if value.member("op").is_none() => payload,
        _ => value,
    }
}

fn operation(payload: Node<'_>) -> Result<Operation, MappingError> {
    let operation = payload.member("op").and_then(text);
    let operation = operation.ok_or(MappingError::NotDebezium("it has no `op`"))?;
    match operation.as_str() {
        "c" => Ok(Operation::Create),
        "u" => Ok(Operation::Update),
        "d" => Ok(Operation::Delete),
        "r" => Ok(Operation::Read),
        "t" => Ok(Operation::Truncate),
        "m" => Ok(Operation::Message),
        _ => Err(MappingError::NotDebezium(
            "its `op` is none of c, u, d, r, t, m",
        )),
    }
}

fn text(node: Node<'_>) -> Option<String> {
    serde_json::from_str(node.text()).ok()
}

/// Zero where the connector does not know.
fn time_of(node: Node<'_>) -> Option<Timestamp> {
    let millis: i64 = node.member("ts_ms")?.text().parse().ok()?;
    (millis > 0).then_some(Timestamp::from_millis(millis))
}

/// A row as JSON: MongoDB's connector writes it as a text.
fn row(node: Node<'_>) -> Cow<'_, str> {
    let inner = text(node)
        .filter(|inner| Node::parse_str(inner).is_ok_and(|inner| inner.kind() == Kind::Object));
    inner.map_or(Cow::Borrowed(node.text()), Cow::Owned)
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Create => "a row that was created",
            Self::Update => "a row that was updated",
            Self::Delete => "a row that was deleted",
            Self::Read => "a row that a snapshot has read",
            Self::Truncate => "a table that was truncated",
            Self::Message => "a message in the database's log",
            Self::Tombstone => "an empty envelope",
        })
    }
}

#[cfg(test)]
pub(super) mod tests;
