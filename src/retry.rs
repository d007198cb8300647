//! When a failed delivery is tried again.

pub mod policy;

pub use policy::{Policy, PolicyError};
