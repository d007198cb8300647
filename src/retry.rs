//! When a failed delivery is tried again, and on which topics it waits until then. Pure.

pub mod policy;
mod tier;

pub use policy::{Policy, PolicyError};
pub use tier::{
    Hop, Ladder, LadderError, MAX_DELAY, MAX_TIERS, MIN_DELAY, SLACK, Tier, released_at,
};
