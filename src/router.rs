//! Loop 1: joins events with subscriptions. Its pure steps are the modules below.

pub mod filter;
pub mod matcher;
pub mod payload;
