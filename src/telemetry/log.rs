//! Log lines on stderr, as text or JSON. librdkafka's come too, under the target `librdkafka`.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, TelemetrySettings};

/// Why logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `telemetry.log` has a directive that cannot be read.
    #[error("`telemetry.log`: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Logging was started before.
    #[error("cannot start logging: {0}")]
    Started(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts logging for the whole process; once only. Also takes what libraries write through the
/// `log` crate, which is how librdkafka's lines arrive: nothing is queued, a slow stderr slows.
pub fn start_log(settings: &TelemetrySettings) -> Result<(), LogError> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&settings.log)?)
        .with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Text => builder.with_ansi(false).finish().try_init()?,
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}
