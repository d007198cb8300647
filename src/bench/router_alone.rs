//! The router alone, and what a plain copy of the same records takes.

use std::net::SocketAddr;
use std::time::Instant;

use super::bare_loop::Done;
use super::child::{Child, Part};
use super::processes::Running;
use super::report::{Figures, Report};
use super::tally::Count;
use super::usage::Usage;
use super::{Bench, BenchError, Look, PATIENCE};
use crate::config::Config;
use crate::kafka::errand::{ErrandError, GroupProgress, raw_copy};
use crate::role::Role;
use crate::topic::Topic;

/// How far the router was at some moment.
#[derive(Clone, Copy)]
struct Mark {
    done: u64,
    at: Instant,
    look: Look,
}

impl Bench<'_> {
    /// All events are there before it starts; it is measured between the first moment in which some of them
    /// are routed and the last in which some are not. Deliveries are tasks here.
    pub(super) fn router_alone(
        &self,
        bare_loop: Figures,
        receiver: SocketAddr,
    ) -> Result<Report, BenchError> {
        let asked = self.plan.asked();
        let config = &self.installation.config;
        self.bar.set_message("events");
        let loaded = self.load(&self.own(asked.events, None))?.finished()?;
        let progress = GroupProgress::of(config, Role::Router, &self.installation.events)?;
        let all = progress.end()?;
        let Running {
            mut processes,
            start,
        } = self.start_processes(&[Role::Router], receiver)?;
        let ready = Mark {
            done: 0,
            at: Instant::now(),
            look: self.look(&processes),
        };
        self.bar.set_length(all);
        self.bar.set_message("router");
        let mut marks = vec![ready];
        let mut moved = Instant::now();
        let mut done = 0;
        while done < all {
            self.all_run(&mut processes)?;
            let now = progress.now()?;
            if now > done {
                (done, moved) = (now, Instant::now());
            }
            if moved.elapsed() > PATIENCE {
                return Err(BenchError::Missing {
                    expected: all,
                    arrived: done,
                });
            }
            self.bar.set_position(done);
            marks.push(Mark {
                done,
                at: Instant::now(),
                look: self.look(&processes),
            });
        }
        let (first, last) = measured(&marks, all).unwrap_or((ready, ready));
        processes.into_iter().for_each(Child::stop);
        let count = Count {
            distinct: (last.done - first.done) * asked.fan_out,
            requests: (last.done - first.done) * asked.fan_out,
            ..Count::default()
        };
        let took = last.at - first.at;
        Ok(Report {
            start,
            copy: Some(self.copy()?),
            ..self.report(bare_loop, loaded, first.look, last.look, &count, took)
        })
    }

    /// Copies the tasks to a topic that nobody writes to: no dispatcher runs.
    fn copy(&self) -> Result<Figures, BenchError> {
        self.bar.set_message("copy");
        let config = &self.installation.config;
        let tier = config.retry.tiers.first();
        let to = config
            .topics
            .name(tier.map_or(Topic::Dlq, |delay| Topic::Retry(*delay)));
        let records = self.plan.deliveries();
        let mut command = self.installation.child()?;
        command
            .args(["bench-part", "copy"])
            .args(["--from", &config.topics.name(Topic::Deliveries)])
            .args(["--to", &to])
            .args(["--records", &records.to_string()]);
        let mut part = Part::spawn("copy", &mut command)?;
        let done: Done = part.read()?;
        Ok(done.figures(records))
    }
}

/// From the first moment in which some are done to the last in which some are not; if they are the same,
/// the whole.
fn measured(marks: &[Mark], all: u64) -> Option<(Mark, Mark)> {
    let mut midway = marks.iter().filter(|it| it.done > 0 && it.done < all);
    let first = midway.next();
    match (first, midway.next_back()) {
        (Some(first), Some(last)) if first.done < last.done => Some((*first, *last)),
        _ => Some((*marks.first()?, *marks.last()?)),
    }
}

/// Copies records within transactions, and says what that costs.
///
/// # Errors
/// As [`raw_copy`].
pub fn copy(config: &Config, from: &str, to: &str, records: u64) -> Result<Done, ErrandError> {
    let took = raw_copy(config, from, to, records)?;
    Ok(Done {
        seconds: took.as_secs_f64(),
        used: Usage::of(std::process::id()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_begins_and_ends_midway() {
        fn check(done: &[u64], expected: Option<(u64, u64)>) {
            let look = Look {
                ours: None,
                broker: None,
            };
            let at = Instant::now();
            let marks: Vec<Mark> = done
                .iter()
                .map(|done| Mark {
                    done: *done,
                    at,
                    look,
                })
                .collect();
            let found = measured(&marks, 100).map(|(first, last)| (first.done, last.done));
            assert_eq!(found, expected, "{done:?}");
        }
        check(&[0, 0, 20, 50, 90, 100], Some((20, 90)));
        check(&[0, 20, 20, 100], Some((0, 100)));
        check(&[0, 20, 100], Some((0, 100)));
        check(&[0, 100], Some((0, 100)));
        check(&[], None);
    }
}
