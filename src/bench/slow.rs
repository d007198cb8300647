//! One slow endpoint among others: what the others get meanwhile.

use std::time::{Duration, Instant};

use super::child::{Child, Part};
use super::load::Load;
use super::report::Others;
use super::tally::{self, Count};
use super::{Bench, BenchError, micros};

/// How long the others of a slow endpoint are waited for once all are produced.
const GRACE: Duration = Duration::from_secs(30);

impl Bench<'_> {
    /// Waits until all have come that are not for the slow endpoint, or no longer.
    pub(super) fn watch_others(
        &self,
        own: &Load,
        receiver: &mut Part,
        processes: &mut [Child],
    ) -> Result<Count, BenchError> {
        let expected = self.plan.deliveries_to_others();
        let deadline = Instant::now() + Duration::from_secs_f64(own.seconds()) + GRACE;
        loop {
            let count: Count = receiver.ask("count")?;
            self.bar.set_position(count.others.taken);
            if count.others.taken >= expected || Instant::now() > deadline {
                return Ok(count);
            }
            self.all_run(processes)?;
        }
    }

    pub(super) fn others(&self, own: &Load, seen: &tally::Others) -> Others {
        let expected = self.plan.deliveries_to_others();
        let mut longest = Duration::from_micros(seen.longest_gap);
        if seen.taken < expected {
            // The last gap has not ended.
            let watched = Duration::from_secs_f64(own.seconds()) + GRACE;
            let (first, last) = seen.taken_at.unwrap_or_default();
            longest = longest.max(watched.saturating_sub(micros(last - first)));
        }
        Others {
            deliveries: expected,
            arrived: seen.taken,
            longest_gap: longest.as_secs_f64(),
            by_second: seen.by_second.clone(),
        }
    }
}
