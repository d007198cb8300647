//! The schemas of records that others write in Avro.

/// That of a subscription.
pub const SUBSCRIPTION: &str = include_str!("../../schemas/subscription.avsc");
