//! How many connections may be open: each is a file, and a process that has no file left can
//! neither send requests nor talk to Kafka.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::HttpMetrics;

/// Files that connections to endpoints leave to the rest of the process: connections to brokers,
/// telemetry, look-ups of names, the standard streams.
pub const RESERVED_FILES: usize = 256;

/// Why the settings cannot be followed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "`dispatcher.max_in_flight` is {max_in_flight}, and {RESERVED_FILES} files are kept for other things, but the process may open no more than {files}: raise its limit (ulimit -Hn, LimitNOFILE) or lower the setting"
)]
pub struct TooFewFiles {
    /// Requests at once.
    pub max_in_flight: usize,
    /// The process's limit of open files.
    pub files: usize,
}

/// How many connections may stay open for further requests: as many as are wanted, or as many as
/// the limit of open files leaves beside one for each request on the wire.
///
/// # Errors
/// [`TooFewFiles`] when not even those on the wire fit.
pub fn affordable(files: usize, max_in_flight: usize, wanted: usize) -> Result<usize, TooFewFiles> {
    files
        .checked_sub(RESERVED_FILES)
        .and_then(|rest| rest.checked_sub(max_in_flight))
        .map(|rest| rest.min(wanted))
        .ok_or(TooFewFiles {
            max_in_flight,
            files,
        })
}

/// The places of all connections. What exceeds `kept` is used once and closed, so the number of
/// hosts does not matter: beside those kept, only those with a request on the wire are open.
pub(super) struct ConnectionBudget {
    places: Arc<Semaphore>,
    open: Arc<AtomicUsize>,
    kept: usize,
    metrics: HttpMetrics,
}

impl ConnectionBudget {
    /// `kept` connections that stay open, and `in_use` that need not.
    pub(super) fn new(kept: usize, in_use: usize, metrics: HttpMetrics) -> Self {
        let places = kept.saturating_add(in_use).min(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(places)),
            open: Arc::default(),
            kept,
            metrics,
        }
    }

    /// Waits for a place. None only if the process is ending.
    pub(super) async fn take(&self) -> Option<Place> {
        let permit = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let open = self.open.fetch_add(1, Ordering::AcqRel) + 1;
        Some(Place {
            may_be_kept: open <= self.kept,
            _counted: Counted::new(Arc::clone(&self.open), self.metrics.clone()),
            _permit: permit,
        })
    }
}

/// A connection's place, given back when it is dropped.
pub(super) struct Place {
    may_be_kept: bool,
    // Before the permit: who gets it next must not be counted beside us.
    _counted: Counted,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    pub(super) fn may_be_kept(&self) -> bool {
        self.may_be_kept
    }
}

struct Counted {
    open: Arc<AtomicUsize>,
    metrics: HttpMetrics,
}

impl Counted {
    fn new(open: Arc<AtomicUsize>, metrics: HttpMetrics) -> Self {
        metrics.connection_opened();
        Self { open, metrics }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
        self.metrics.connection_closed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_shared_out_to_requests_first() {
        fn check(files: usize, max_in_flight: usize, wanted: usize, expected: Option<usize>) {
            let found = affordable(files, max_in_flight, wanted);
            assert_eq!(found.ok(), expected, "{files} {max_in_flight} {wanted}");
        }
        check(1_048_576, 1_024, 2_048, Some(2_048));
        check(4_096, 1_024, 2_048, Some(2_048));
        check(2_048, 1_024, 2_048, Some(768));
        check(1_280, 1_024, 2_048, Some(0));
        check(1_279, 1_024, 2_048, None);
        check(100, 1, 1, None);
        check(usize::MAX, 1_024, 2_048, Some(2_048));
    }

    #[tokio::test]
    async fn only_so_many_connections_stay_open() {
        let budget = ConnectionBudget::new(1, 1, HttpMetrics::unregistered());
        let first = budget.take().await.unwrap();
        let second = budget.take().await.unwrap();
        assert!(first.may_be_kept() && !second.may_be_kept());
        assert_eq!(budget.places.available_permits(), 0);
        drop(first);
        assert!(!budget.take().await.unwrap().may_be_kept());
        drop(second);
        assert!(budget.take().await.unwrap().may_be_kept());
    }
}
