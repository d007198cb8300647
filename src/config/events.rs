//! Which topics hold events: full names, or patterns that new topics may come to match; and whether
//! events are held against the catalogue.

use regex::Regex;
use serde::{Deserialize, Deserializer, de};

/// One entry of `events.topics`.
#[derive(Clone, Debug)]
pub enum EventTopic {
    /// Exactly this topic.
    Name(String),
    /// Every topic that the regular expression matches; own and internal topics are left out by
    /// [`Topics::is_own`](crate::topic::Topics::is_own) and by [`EventTopic::matches`].
    Pattern(Regex),
}

impl EventTopic {
    /// Whether a topic of this name is meant. Kafka's internal topics (`__...`) match no pattern.
    pub fn matches(&self, topic: &str) -> bool {
        match self {
            Self::Name(name) => name == topic,
            Self::Pattern(pattern) => !topic.starts_with("__") && pattern.is_match(topic),
        }
    }

    /// The regular expression, if it is one.
    pub fn pattern(&self) -> Option<&str> {
        match self {
            Self::Name(_) => None,
            Self::Pattern(pattern) => Some(pattern.as_str()),
        }
    }
}

impl<'de> Deserialize<'de> for EventTopic {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        if !text.starts_with('^') {
            return Ok(Self::Name(text));
        }
        regex::RegexBuilder::new(&text)
            .size_limit(1 << 20)
            .build()
            .map(Self::Pattern)
            .map_err(|_| de::Error::custom(format!("`{text}` is not a regular expression")))
    }
}

/// Where a group that never ran begins, for the partitions that exist then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// At the oldest record that is kept.
    Earliest,
    /// At what is produced from now on.
    Latest,
}

/// `event_types`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventTypesSettings {
    /// What becomes of events that are not as the catalogue says.
    pub check: EventTypeCheck,
}

/// What becomes of events that are not as the catalogue says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventTypeCheck {
    /// They are not looked at.
    Off,
    /// They are counted and logged.
    Warn,
    /// They are rejected.
    Reject,
}
