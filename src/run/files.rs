//! The process's limit of open files, raised as far as it goes and shared out.

use crate::config::Config;
use crate::http::{TooFewFiles, affordable};

/// How many connections to endpoints may stay open, by the settings and by the limit.
///
/// # Errors
/// [`TooFewFiles`] when not even those of requests on the wire fit.
pub(super) fn kept_connections(config: &Config) -> Result<usize, TooFewFiles> {
    let wanted = config.http.kept_connections;
    // A system that does not tell its limit is taken to have enough.
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(u64::MAX);
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let kept = affordable(files, config.dispatcher.max_in_flight, wanted)?;
    if kept < wanted {
        tracing::warn!(
            files,
            wanted,
            kept,
            "the limit of open files cuts http.kept_connections"
        );
    }
    Ok(kept)
}
