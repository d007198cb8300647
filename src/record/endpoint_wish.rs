//! What operators want done about endpoints. It lies on the topic `endpoints` under keys of its own,
//! which only operators write, so that no dispatcher can overwrite a wish, and none is a state.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::record::SubscriptionKey;

const VERSION: u32 = 1;
const PREFIX: &str = "wish:";
const PAUSE_SUBSCRIPTION: &str = "wish:pause:subscription:";
const PAUSE_HOST: &str = "wish:pause:host:";
const PAUSE_TENANT: &str = "wish:pause:tenant:";
const STATE: &str = "wish:state:";

/// What a wish is about: the record's key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WishKey {
    /// A brake on one subscription.
    PauseSubscription(SubscriptionKey),
    /// A brake on all subscriptions whose URL has this host, in lower case.
    PauseHost(String),
    /// A brake on all subscriptions of a tenant.
    PauseTenant(String),
    /// Whether an endpoint is enabled.
    State(SubscriptionKey),
}

/// What is wished: the record's value. A tombstone takes it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointWish {
    /// What.
    pub wished: WishedState,
    /// Since when.
    pub at: Timestamp,
}

/// See [`EndpointWish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WishedState {
    /// What is due waits.
    Paused,
    /// Nothing is sent, what pends is given up; until the subscription has a newer record than this.
    Disabled {
        /// Offset of the subscription's record.
        revision: i64,
    },
    /// The disabling of that time is over.
    Enabled {
        /// [`Disabled::at`](crate::record::Disabled::at) of it.
        lifts: Timestamp,
    },
}

/// Why a record under a wish's key is none.
#[derive(Debug, thiserror::Error)]
pub enum WishError {
    /// A newer version's, or a person's own.
    #[error("the key is none that this version knows")]
    Key,
    /// Its value.
    #[error("the value is not a wish: {0}")]
    Value(#[from] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    state: Word,
    at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lifts: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Paused,
    Disabled,
    Enabled,
}

impl fmt::Display for WishKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PauseSubscription(key) => write!(formatter, "{PAUSE_SUBSCRIPTION}{key}"),
            Self::PauseHost(host) => write!(formatter, "{PAUSE_HOST}{host}"),
            Self::PauseTenant(tenant) => write!(formatter, "{PAUSE_TENANT}{tenant}"),
            Self::State(key) => write!(formatter, "{STATE}{key}"),
        }
    }
}

impl WishKey {
    /// Whether a record with this key is a wish, and no endpoint's state.
    pub fn is_wish(key: &[u8]) -> bool {
        key.starts_with(PREFIX.as_bytes())
    }

    /// Reads a record's key.
    ///
    /// # Errors
    /// [`WishError::Key`].
    pub fn decode(key: &[u8]) -> Result<Self, WishError> {
        let text = std::str::from_utf8(key).map_err(|_| WishError::Key)?;
        let subscription = |text: &str| text.parse().map_err(|_| WishError::Key);
        if let Some(rest) = text.strip_prefix(PAUSE_SUBSCRIPTION) {
            Ok(Self::PauseSubscription(subscription(rest)?))
        } else if let Some(rest) = text.strip_prefix(PAUSE_HOST) {
            Ok(Self::PauseHost(rest.to_owned()))
        } else if let Some(rest) = text.strip_prefix(PAUSE_TENANT) {
            Ok(Self::PauseTenant(rest.to_owned()))
        } else if let Some(rest) = text.strip_prefix(STATE) {
            Ok(Self::State(subscription(rest)?))
        } else {
            Err(WishError::Key)
        }
    }
}

impl EndpointWish {
    /// Reads a record's value.
    ///
    /// # Errors
    /// [`WishError::Value`].
    pub fn decode(value: &[u8]) -> Result<Self, WishError> {
        let written: Written = serde_json::from_slice(value)?;
        Ok(Self {
            at: written.at,
            wished: match written.state {
                Word::Paused => WishedState::Paused,
                Word::Disabled => WishedState::Disabled {
                    revision: written.revision.unwrap_or(-1),
                },
                Word::Enabled => WishedState::Enabled {
                    lifts: written.lifts.unwrap_or(written.at),
                },
            },
        })
    }

    /// The record's value.
    ///
    /// # Errors
    /// None that can happen: all its members can be written as JSON.
    pub fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let (state, revision, lifts) = match self.wished {
            WishedState::Paused => (Word::Paused, None, None),
            WishedState::Disabled { revision } => (Word::Disabled, Some(revision), None),
            WishedState::Enabled { lifts } => (Word::Enabled, None, Some(lifts)),
        };
        serde_json::to_vec(&Written {
            version: VERSION,
            state,
            at: self.at,
            revision,
            lifts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_read_back() {
        let shop: SubscriptionKey = "acme/shop".parse().unwrap();
        let at = Timestamp::from_millis(7);
        for key in [
            WishKey::PauseSubscription(shop.clone()),
            WishKey::PauseHost("example.com".to_owned()),
            WishKey::PauseTenant("acme".to_owned()),
            WishKey::State(shop),
        ] {
            let written = key.to_string();
            assert!(WishKey::is_wish(written.as_bytes()));
            assert_eq!(WishKey::decode(written.as_bytes()).unwrap(), key);
        }
        for wished in [
            WishedState::Paused,
            WishedState::Disabled { revision: 4 },
            WishedState::Enabled { lifts: at },
        ] {
            let wish = EndpointWish { wished, at };
            let written = wish.encode().unwrap();
            assert_eq!(EndpointWish::decode(&written).unwrap(), wish);
        }
        assert!(!WishKey::is_wish(b"acme/shop"));
        assert!(WishKey::decode(b"wish:other:acme").is_err());
        assert!(WishKey::decode(b"wish:state:acme").is_err());
        assert!(EndpointWish::decode(b"{}").is_err());
    }
}
