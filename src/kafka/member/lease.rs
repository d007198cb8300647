//! How long this member may still believe that its partitions are its own.
//!
//! Fencing stops a zombie's commits, not its requests. So a request starts only while the group's
//! coordinator is known to count this member in: its last confirmed word is younger than the
//! session timeout. A confirmation counts from when it was *asked*, on the monotonic clock: the
//! coordinator's own timer cannot have started before that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A membership's validity, shared with everything that starts requests.
#[derive(Clone, Debug)]
pub struct Lease {
    origin: Instant,
    session_timeout: Duration,
    /// Milliseconds after `origin` at which the lease ends; 0: there is none.
    ends: Arc<AtomicU64>,
}

impl Lease {
    /// No lease yet.
    pub(super) fn new(session_timeout: Duration) -> Self {
        Self {
            origin: Instant::now(),
            session_timeout,
            ends: Arc::new(AtomicU64::new(0)),
        }
    }

    /// The coordinator confirmed a question that was asked at `asked`.
    pub(super) fn renew(&self, asked: Instant) {
        let ends = (asked + self.session_timeout).saturating_duration_since(self.origin);
        let ends = u64::try_from(ends.as_millis()).unwrap_or(u64::MAX);
        self.ends.fetch_max(ends, Ordering::Release);
    }

    /// The partitions are no longer ours.
    pub(super) fn end(&self) {
        self.ends.store(0, Ordering::Release);
    }

    /// Whether the coordinator has confirmed what it is asked five times in a session at least every other
    /// time: it can be reached, and what it says of this member it says of now.
    pub(super) fn is_fresh(&self) -> bool {
        let now = self.origin.elapsed() + self.session_timeout * 3 / 5;
        now.as_millis() < u128::from(self.ends.load(Ordering::Acquire))
    }

    /// Whether a request may start now.
    pub fn is_valid(&self) -> bool {
        let now = self.origin.elapsed().as_millis();
        now < u128::from(self.ends.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_for_the_session_timeout_from_the_question() {
        let lease = Lease::new(Duration::from_secs(3600));
        assert!(!lease.is_valid());
        lease.renew(Instant::now());
        assert!(lease.is_valid());
        lease.end();
        assert!(!lease.is_valid());
    }

    #[test]
    fn is_fresh_for_two_fifths_of_it() {
        let lease = Lease::new(Duration::from_secs(50));
        assert!(!lease.is_fresh());
        let now = Instant::now();
        let since = |seconds| now.checked_sub(Duration::from_secs(seconds));
        for (seconds, expected) in [(21, false), (18, true)] {
            let lease = Lease {
                origin: since(100).expect("the machine runs for longer"),
                ..Lease::new(Duration::from_secs(50))
            };
            lease.renew(since(seconds).expect("as above"));
            assert_eq!(lease.is_fresh(), expected, "{seconds}");
            assert!(lease.is_valid());
        }
    }

    #[test]
    fn a_late_answer_to_an_old_question_does_not_shorten_it_and_may_be_worthless() {
        let lease = Lease::new(Duration::ZERO);
        lease.renew(Instant::now());
        assert!(!lease.is_valid());
    }
}
