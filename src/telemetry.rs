//! How a process is watched: log lines on stderr, and `/metrics`, `/health` and `/ready` over HTTP.

mod health;
mod log;
pub mod question;
mod server;

pub use health::{Component, Health, Report, State};
pub use log::{LogError, start_log};
pub use server::{ServerError, TelemetryServer};
