//! Where a record stands on Kafka.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Topic, partition and offset of a record. Shown and parsed as `topic/partition/offset` (a topic's
/// name cannot hold a slash).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Coordinates {
    /// The topic's full name.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: i32,
    /// The record's offset.
    pub offset: i64,
}

/// Why a text is not `topic/partition/offset`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not of the form topic/partition/offset")]
pub struct CoordinatesError(String);

impl fmt::Display for Coordinates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}/{}/{}",
            self.topic, self.partition, self.offset
        )
    }
}

impl FromStr for Coordinates {
    type Err = CoordinatesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (rest, offset) = text.rsplit_once('/')?;
            let (topic, partition) = rest.rsplit_once('/')?;
            if topic.is_empty() || topic.contains('/') {
                return None;
            }
            Some(Self {
                topic: topic.into(),
                partition: partition.parse().ok().filter(|number| *number >= 0)?,
                offset: offset.parse().ok().filter(|number| *number >= 0)?,
            })
        };
        parse().ok_or_else(|| CoordinatesError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        let text = "orders.eu/3/9007199254740993";
        assert_eq!(text.parse::<Coordinates>().unwrap().to_string(), text);
    }

    #[test]
    fn refuses_other_forms() {
        for text in [
            "", "orders", "orders/1", "/1/2", "a/b/1/2", "a/-1/2", "a/1/-2", "a/x/2", "a/1/",
        ] {
            assert!(text.parse::<Coordinates>().is_err(), "{text}");
        }
    }
}
