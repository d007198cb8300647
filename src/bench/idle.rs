//! Nothing comes, and hooktide is looked at.

use std::time::{Duration, Instant};

use super::child::Child;
use super::report::Idle;
use super::{Bench, BenchError, usage};

/// How long it takes until what went before leaves no trace in what is idle.
const SETTLING: Duration = Duration::from_secs(5);

impl Bench<'_> {
    /// What it takes in so much time.
    pub(super) fn idle(&self, time: Duration, processes: &mut [Child]) -> Result<Idle, BenchError> {
        self.bar.set_message("idle");
        self.pass(SETTLING, processes)?;
        let before = self.look(processes);
        let began = Instant::now();
        self.pass(time, processes)?;
        let (after, took) = (self.look(processes), began.elapsed());
        let share = |cpu: Duration| cpu.as_secs_f64() / took.as_secs_f64();
        Ok(Idle {
            seconds: took.as_secs_f64(),
            cpu_of_a_core: usage::cpu_between(before.ours, after.ours).map(share),
            broker_cpu_of_a_core: usage::cpu_between(before.broker, after.broker).map(share),
            memory_bytes: after.ours.map(|usage| usage.memory),
        })
    }
}
