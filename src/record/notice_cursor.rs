//! How far the changes of subscriptions have been told: a record on the topic `endpoints` for each of
//! its partitions, written with the notices themselves.

use serde::{Deserialize, Serialize};

const VERSION: u32 = 1;
const PREFIX: &str = "cursor:";

/// Everything below this offset of the topic `subscriptions` is told, of the subscriptions whose key
/// has the partition that the record lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoticeCursor(pub i64);

#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    subscriptions: i64,
}

impl NoticeCursor {
    /// The key of a partition's record.
    pub fn key(partition: i32) -> String {
        format!("{PREFIX}{partition}")
    }

    /// Whether a key is one of these.
    pub fn is_key(key: &[u8]) -> bool {
        key.starts_with(PREFIX.as_bytes())
    }

    /// Reads a record's value.
    ///
    /// # Errors
    /// It is not JSON, or a member is missing or of another type.
    pub fn decode(value: &[u8]) -> serde_json::Result<Self> {
        let written: Written = serde_json::from_slice(value)?;
        Ok(Self(written.subscriptions))
    }

    /// The record's value.
    ///
    /// # Errors
    /// None that can happen: all its members can be written as JSON.
    pub fn encode(self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Written {
            version: VERSION,
            subscriptions: self.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back() {
        let written = NoticeCursor(7).encode().unwrap();
        assert_eq!(written, br#"{"version":1,"subscriptions":7}"#);
        assert_eq!(NoticeCursor::decode(&written).unwrap(), NoticeCursor(7));
        assert!(NoticeCursor::is_key(NoticeCursor::key(3).as_bytes()));
        assert!(!NoticeCursor::is_key(b"acme/shop"));
        assert!(NoticeCursor::decode(b"{}").is_err());
    }
}
