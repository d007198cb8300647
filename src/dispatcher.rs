//! Loop 2: takes delivery tasks that are due, sends them, and records what followed.

pub mod outcome;
pub mod request;
pub mod signature;
