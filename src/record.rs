//! What travels on the topics: one file for each kind of record. Everything here is pure: bytes in,
//! a typed value or a named error out, and back.

mod coordinates;
mod delivery_id;
mod headers;
mod subscription_key;

pub use coordinates::{Coordinates, CoordinatesError};
pub use delivery_id::{DeliveryId, DeliveryIdError, EventKey};
pub use headers::Headers;
pub use subscription_key::{SubscriptionKey, SubscriptionKeyError};
