//! What travels on the topics: one file for each kind of record. Everything here is pure: bytes in,
//! a typed value or a named error out, and back.

mod coordinates;
mod event_pattern;
mod headers;
pub mod json_text;

pub use coordinates::{Coordinates, CoordinatesError};
pub use event_pattern::{EventPattern, EventPatternError, EventPatternShape};
pub use headers::Headers;
