//! Many retries that are due at the same moment, and new events beside them.

use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

use super::child::{Child, Part};
use super::load::Load;
use super::processes::Running;
use super::report::{Figures, Report};
use super::tally::{Count, RETRY_WAIT};
use super::{Bench, BenchError, GLANCE, Look, NEW_EVENTS_RATE, micros};
use crate::role::Role;

/// How long new events come while the retries go out.
const NEW_EVENTS_FOR: u64 = 5;

impl Bench<'_> {
    /// All first requests fail; hooktide stops until all of them are due again, and starts anew.
    pub(super) fn due_at_once(
        &self,
        bare_loop: Figures,
        mut receiver: Part,
        mut processes: Vec<Child>,
        first: SocketAddr,
    ) -> Result<Report, BenchError> {
        self.bar.set_message("all fail");
        receiver.fail(1.0)?;
        let retries = self.plan.deliveries();
        let own = self.own(self.plan.asked().events, self.plan.asked().rate);
        let loaded = self.load(&own)?.finished()?;
        self.watch(&mut receiver, &mut processes, retries, |count| count.failed)?;
        let failed = Instant::now();
        processes.into_iter().for_each(Child::stop);
        self.bar.set_message("until due");
        while failed.elapsed() <= RETRY_WAIT {
            self.go_on()?;
            thread::sleep(GLANCE);
        }
        receiver.fail(0.0)?;
        self.bar.set_message("all due");
        let before = Look {
            ours: Some(Default::default()),
            ..self.look(&[])
        };
        let Running {
            mut processes,
            start,
        } = self.start_processes(&Role::ALL, first)?;
        let new = self.load(&Load {
            events: u64::from(NEW_EVENTS_RATE) * NEW_EVENTS_FOR,
            first_number: own.events,
            rate: Some(NEW_EVENTS_RATE),
            ..own
        })?;
        let all = retries + u64::from(NEW_EVENTS_RATE) * NEW_EVENTS_FOR * self.plan.asked().fan_out;
        let count: Count =
            self.watch(&mut receiver, &mut processes, all, |count| count.distinct)?;
        new.finished()?;
        let after = self.look(&processes);
        processes.into_iter().for_each(Child::stop);
        let (first, last) = count.taken_at.unwrap_or_default();
        let took = micros(last.saturating_sub(first));
        Ok(Report {
            start,
            ..self.report(bare_loop, loaded, before, after, &count, took)
        })
    }
}
