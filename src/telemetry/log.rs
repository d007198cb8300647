//! Log lines on stderr, as text or JSON. librdkafka's come too, under the target `librdkafka`.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, TelemetrySettings};

/// Why logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `telemetry.log` has a directive that cannot be read.
    #[error("`telemetry.log`: {0}")]
    Filter(tracing_subscriber::filter::ParseError),
    /// Logging was started before.
    #[error("cannot start logging: {0}")]
    Started(tracing_subscriber::util::TryInitError),
}

/// Starts logging for the whole process; once only. Lines are written where they arise: nothing is
/// queued. librdkafka's are bounded by [`ClientLog`](crate::kafka::client_log::ClientLog).
pub fn start_log(settings: &TelemetrySettings) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(&settings.log).map_err(LogError::Filter)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match settings.log_format {
        LogFormat::Text => builder.with_ansi(false).finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    started.map_err(LogError::Started)
}
