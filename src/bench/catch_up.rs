//! Everything is there before hooktide starts.

use std::net::SocketAddr;

use super::child::{Child, Part};
use super::processes::Running;
use super::report::{Figures, Report};
use super::{Bench, BenchError, Look, load, micros};
use crate::role::Role;

impl Bench<'_> {
    /// Measures from the start of its processes.
    pub(super) fn catch_up(
        &self,
        bare_loop: Figures,
        mut receiver: Part,
        first: SocketAddr,
    ) -> Result<Report, BenchError> {
        let asked = self.plan.asked();
        // The bare loop was there.
        receiver.reset()?;
        receiver.fail(asked.failing)?;
        self.bar.set_message("events");
        let loaded = self.load(&self.own(asked.events, None))?.finished()?;
        let before = Look {
            ours: Some(Default::default()),
            ..self.look(&[])
        };
        let began = load::now();
        let Running {
            mut processes,
            start,
        } = self.start_processes(&Role::ALL, first)?;
        self.bar.set_length(self.plan.deliveries());
        self.bar.set_message(self.subject());
        let expected = self.plan.deliveries();
        let count = self.watch(&mut receiver, &mut processes, expected, |count| {
            count.distinct
        })?;
        let after = self.look(&processes);
        processes.into_iter().for_each(Child::stop);
        let last = count.taken_at.map(|(_, last)| last).unwrap_or_default();
        let took = micros(last.saturating_sub(began));
        Ok(Report {
            start,
            ..self.report(bare_loop, loaded, before, after, &count, took)
        })
    }
}
