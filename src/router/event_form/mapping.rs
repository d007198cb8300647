//! What an operator says about the records of a topic that are no events by themselves: where an
//! event's type, id, tenant, time and data come from. One element of `events.mappings`.
//!
//! A mapping takes from the record what it is told to, and adds nothing: what is not found is a named
//! error, never a guess. The event that it makes is the plain form as JSON text, and is read and
//! judged as such.

mod debezium;
mod error;
mod part;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::config::EventTopic;
use crate::record::cloud_event::json_value;
use crate::record::json_text::{Node, quote};
use crate::record::{Framed, FramingError, Headers, is_event_type, is_key_part};
use debezium::Change;
pub use debezium::Operation;
pub use error::{MappingError, MappingRule, Member};
use part::Part;
pub use part::Unit;

/// How the records of a topic, or of all topics that a pattern matches, become events.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Written")]
pub struct Mapping {
    topic: EventTopic,
    format: Format,
    unwrap: Option<Unwrapping>,
    event_type: Option<Part>,
    id: Option<Part>,
    tenant: Option<Part>,
    time: Option<Part>,
    data: Option<Part>,
}

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    topic: EventTopic,
    #[serde(default)]
    format: Format,
    unwrap: Option<Unwrap>,
    snapshots: Option<Snapshots>,
    r#type: Option<Part>,
    id: Option<Part>,
    tenant: Option<Part>,
    time: Option<Part>,
    data: Option<Part>,
}

/// What the records' values are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    /// JSON, or written with a schema of the registry.
    #[default]
    Json,
    /// UTF-8.
    Text,
    /// Anything.
    Bytes,
}

/// An envelope around what the record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Unwrap {
    /// A change event.
    Debezium,
}

/// The same with how.
#[derive(Clone, Copy, Debug)]
enum Unwrapping {
    Debezium { snapshots: Snapshots },
}

/// What a row is that a snapshot has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Snapshots {
    /// Nothing that happened.
    #[default]
    Skip,
    /// Created.
    Created,
}

/// A record whose topic has a mapping.
#[derive(Clone, Copy, Debug)]
pub struct Mapped<'r> {
    mapping: &'r Mapping,
    source: Source<'r>,
    /// Its value as it is.
    pub(super) value: &'r [u8],
    /// The same, if it was written with a schema.
    pub(super) framed: Option<Framed<'r>>,
}

/// A record apart from its value.
#[derive(Clone, Copy, Debug)]
pub struct Source<'r> {
    /// The topic's full name.
    pub topic: &'r str,
    /// The key.
    pub key: Option<&'r [u8]>,
    /// The headers.
    pub headers: &'r Headers,
}

impl Mapping {
    /// The mapping of a topic: the first that is meant for it.
    pub fn of<'m>(mappings: &'m [Self], topic: &str) -> Option<&'m Self> {
        mappings.iter().find(|mapping| mapping.topic.matches(topic))
    }

    /// Whose records are mapped.
    pub fn topic(&self) -> &EventTopic {
        &self.topic
    }

    /// A record, before its value is decoded.
    ///
    /// # Errors
    /// [`FramingError`].
    pub fn find<'r>(
        &'r self,
        source: Source<'r>,
        value: &'r [u8],
    ) -> Result<Mapped<'r>, FramingError> {
        let framed = match self.format {
            Format::Json => Framed::find(source.headers, value)?,
            Format::Text | Format::Bytes => None,
        };
        Ok(Mapped {
            mapping: self,
            source,
            value,
            framed,
        })
    }
}

impl<'r> Mapped<'r> {
    /// The event, in the plain form. `value` is the record's, decoded if it was written with a schema.
    ///
    /// # Errors
    /// [`MappingError`].
    pub(super) fn event(&self, value: &[u8]) -> Result<String, MappingError> {
        let mapping = self.mapping;
        let quoted = match mapping.format {
            Format::Json => None,
            Format::Text => {
                let text = str::from_utf8(value).map_err(|error| MappingError::not_utf8(&error))?;
                Some(quote(text))
            }
            Format::Bytes => Some(quote(&STANDARD.encode(value))),
        };
        let value = json_value(quoted.as_ref().map_or(value, String::as_bytes))?;
        match mapping.unwrap {
            None => self.plain(value),
            Some(Unwrapping::Debezium { snapshots }) => {
                let change = Change::read(value, snapshots == Snapshots::Created)?;
                self.change(&change)
            }
        }
    }

    fn plain(&self, value: Node<'_>) -> Result<String, MappingError> {
        let event_type = self.text(Member::Type, value)?;
        let data = match &self.mapping.data {
            None => Cow::Borrowed(value.text()),
            Some(part) => part.json(&self.source, value)?,
        };
        let event = self.begin(event_type, self.time(value)?, value)?;
        Ok(event.with("data", &data).end())
    }

    fn change(&self, change: &Change<'_>) -> Result<String, MappingError> {
        let root = change.payload();
        let stem = match &self.mapping.event_type {
            None => Some(change.table().ok_or(MappingError::Missing(Member::Type))?),
            Some(_) => self.text(Member::Type, root)?,
        };
        let event_type = stem.map(|stem| format!("{stem}.{}", change.verb()));
        let data = match &self.mapping.data {
            None => Cow::Owned(change.data()),
            Some(part) => part.json(&self.source, root)?,
        };
        let time = match &self.mapping.time {
            None => change.time().map(|time| time.to_string()),
            Some(_) => self.time(root)?,
        };
        let event = self.begin(event_type, time, root)?;
        let event = event.with("data", &data);
        Ok(event.with("metadata", &change.metadata()).end())
    }

    /// All but the data.
    fn begin(
        &self,
        event_type: Option<String>,
        time: Option<String>,
        root: Node<'_>,
    ) -> Result<Object, MappingError> {
        let id = self.text(Member::Id, root)?;
        let tenant = self.text(Member::Tenant, root)?;
        let members = [
            ("id", id),
            ("type", event_type),
            ("tenant", tenant),
            ("timestamp", time),
        ];
        let mut event = Object::default();
        for (name, value) in members {
            if let Some(value) = value {
                event = event.with(name, &quote(&value));
            }
        }
        Ok(event)
    }

    fn part(&self, member: Member) -> Option<&'r Part> {
        let mapping = self.mapping;
        match member {
            Member::Type => mapping.event_type.as_ref(),
            Member::Id => mapping.id.as_ref(),
            Member::Tenant => mapping.tenant.as_ref(),
            Member::Time => mapping.time.as_ref(),
            Member::Data => mapping.data.as_ref(),
        }
    }

    /// None where it is not mapped, or need not be there.
    fn text(&self, member: Member, root: Node<'_>) -> Result<Option<String>, MappingError> {
        let Some(part) = self.part(member) else {
            return Ok(None);
        };
        match part.text(member, &self.source, root)? {
            None if !part.is_optional() => Err(MappingError::Missing(member)),
            found => Ok(found),
        }
    }

    fn time(&self, root: Node<'_>) -> Result<Option<String>, MappingError> {
        let Some(text) = self.text(Member::Time, root)? else {
            return Ok(None);
        };
        let Some(unit) = self.part(Member::Time).and_then(Part::unit) else {
            return Ok(Some(text));
        };
        let time = unit.time(&text).ok_or(MappingError::BadTime(unit))?;
        Ok(Some(time.to_string()))
    }
}

/// A JSON object under construction.
#[derive(Default)]
struct Object(String);

impl Object {
    /// With a further member; names need no escapes.
    fn with(mut self, name: &str, value: &str) -> Self {
        self.0.reserve(name.len() + value.len() + 4);
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.extend(["\"", name, "\":", value]);
        self
    }

    fn end(mut self) -> String {
        self.0.push_str(if self.0.is_empty() { "{}" } else { "}" });
        self.0
    }
}

impl TryFrom<Written> for Mapping {
    type Error = MappingRule;

    fn try_from(written: Written) -> Result<Self, MappingRule> {
        let parts = [
            (Member::Type, &written.r#type),
            (Member::Id, &written.id),
            (Member::Tenant, &written.tenant),
            (Member::Time, &written.time),
            (Member::Data, &written.data),
        ];
        for (member, part) in parts {
            let Some(part) = part else { continue };
            if let Some(option) = part.option_among(member.refuses()) {
                return Err(MappingRule::Option { member, option });
            }
            if written.format != Format::Json && part.option_among(&["path"]).is_some() {
                return Err(MappingRule::PathIntoText(member));
            }
            let is_usable = |text: &str| match member {
                Member::Type => is_event_type(text),
                Member::Tenant => is_key_part(text),
                Member::Id | Member::Time | Member::Data => true,
            };
            if let Some(text) = part.fixed_texts().into_iter().find(|text| !is_usable(text)) {
                return Err(MappingRule::Unusable { member, text });
            }
        }
        let unwrap = match (written.unwrap, written.snapshots) {
            (None, Some(_)) => return Err(MappingRule::SnapshotsOfNothing),
            (None, None) if written.r#type.is_none() => return Err(MappingRule::NoType),
            (None, None) => None,
            (Some(Unwrap::Debezium), _) if written.format != Format::Json => {
                return Err(MappingRule::UnwrapText);
            }
            (Some(Unwrap::Debezium), snapshots) => Some(Unwrapping::Debezium {
                snapshots: snapshots.unwrap_or_default(),
            }),
        };
        Ok(Self {
            topic: written.topic,
            format: written.format,
            unwrap,
            event_type: written.r#type,
            id: written.id,
            tenant: written.tenant,
            time: written.time,
            data: written.data,
        })
    }
}

#[cfg(test)]
mod tests;
