//! How a process is watched: log lines on stderr, and `/metrics`, `/health` and `/ready` over HTTP.

mod health;
mod log;
mod server;

pub use health::{Component, Health, State};
pub use log::{LogError, start_log};
pub use server::{ServerError, TelemetryServer};
