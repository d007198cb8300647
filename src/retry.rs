//! When a failed delivery is tried again, and on which topics it waits until then. Pure.

mod tier;

pub use tier::{
    Hop, Ladder, LadderError, MAX_DELAY, MAX_TIERS, MIN_DELAY, SLACK, Tier, due, released_at,
};
//! When a failed delivery is tried again.

pub mod policy;

pub use policy::{Policy, PolicyError};
