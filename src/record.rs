//! What travels on the topics: one file for each kind of record. Everything here is pure: bytes in,
//! a typed value or a named error out, and back.

mod coordinates;
mod headers;

pub use coordinates::{Coordinates, CoordinatesError};
pub use headers::Headers;
