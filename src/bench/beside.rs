//! The same load once more, beside endpoints that behave badly.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use tokio_util::sync::CancellationToken;

use super::child::{Child, Part};
use super::load::Load;
use super::neighbour::{Neighbour, limit};
use super::parts::Loading;
use super::report::{Backlog, Beside, Latency, Recovery};
use super::subscriptions::Subscription;
use super::tally::Count;
use super::{Bench, BenchError, NEW_EVENTS_RATE, PATIENCE, usage};
use crate::kafka::errand::RecordCount;
use crate::topic::Topic;

/// How long neighbours misbehave before anything is measured beside them.
const HEAD_START: Duration = Duration::from_secs(5);
/// The share of a backlog that has to lie on tiers before anything is measured beside it: the rest may be
/// in memory, or have been delivered.
const WAITING: f64 = 0.95;
/// How long an endpoint that is back is watched.
const RECOVERY: Duration = Duration::from_secs(60);

impl Bench<'_> {
    pub(super) fn beside(
        &self,
        neighbour: Neighbour,
        own: &Load,
        alone: Option<Latency>,
        receiver: &mut Part,
        processes: &mut [Child],
    ) -> Result<Beside, BenchError> {
        if let Some(tasks) = self.plan.asked().backlog {
            return self.beside_backlog(neighbour, tasks, own, alone, receiver, processes);
        }
        let mut command = self.installation.child()?;
        let kind = neighbour.to_possible_value();
        let kind = kind.as_ref().map_or("", |value| value.get_name());
        command.args(["bench-part", "neighbour", kind]);
        let mut part = Part::spawn("neighbour", &mut command)?;
        self.put_neighbours(neighbour, part.listening()?)?;
        let whole = HEAD_START + Duration::from_secs_f64(own.seconds()) + HEAD_START;
        let theirs = self.load_neighbours(
            neighbour,
            own,
            whole.as_secs() * u64::from(NEW_EVENTS_RATE),
            Some(NEW_EVENTS_RATE),
        )?;
        self.bar.set_message("head start");
        let began = Instant::now();
        while began.elapsed() < HEAD_START {
            self.all_run(processes)?;
        }
        let latency = self.own_beside(own, receiver, processes)?;
        drop(theirs);
        Ok(Beside::new(latency, alone))
    }

    /// Beside an endpoint that many tasks wait for already.
    fn beside_backlog(
        &self,
        neighbour: Neighbour,
        tasks: u64,
        own: &Load,
        alone: Option<Latency>,
        receiver: &mut Part,
        processes: &mut [Child],
    ) -> Result<Beside, BenchError> {
        let mut command = self.installation.child()?;
        command
            .args(["bench-part", "receiver", "--endpoints", "1"])
            .args(["--delay-ms", "0"]);
        let is_dead = neighbour == Neighbour::Dead;
        if is_dead {
            command.arg("--deaf");
        }
        let mut part = Part::spawn("neighbour", &mut command)?;
        self.put_neighbours(neighbour, part.listening()?)?;
        let config = &self.installation.config;
        let tiers: Vec<String> = config
            .retry
            .tiers
            .iter()
            .map(|delay| config.topics.name(Topic::Retry(*delay)))
            .collect();
        let stop = CancellationToken::new();
        let _stopped = stop.clone().drop_guard();
        let moved = RecordCount::begin(config, &tiers, stop)?;
        let began = Instant::now();
        let theirs = self.load_neighbours(neighbour, own, tasks, None)?;
        self.bar.set_message("backlog");
        let (mut seen, mut since) = (0, Instant::now());
        while (moved.now().records as f64) < tasks as f64 * WAITING {
            self.bar.set_position(moved.now().records);
            if moved.now().records > seen {
                (seen, since) = (moved.now().records, Instant::now());
            }
            if since.elapsed() > PATIENCE {
                return Err(BenchError::Missing {
                    expected: tasks,
                    arrived: seen,
                });
            }
            self.all_run(processes)?;
        }
        theirs.finished()?;
        let latency = self.own_beside(own, receiver, processes)?;
        let (rewritten, waited) = (moved.now(), began.elapsed());
        let peak = usage::Usage::of_all(&processes.iter().map(Child::id).collect::<Vec<_>>());
        let recovery = match is_dead {
            true => Some(self.recover(&mut part, own, receiver, processes)?),
            false => None,
        };
        let meanwhile: Count = part.ask("count")?;
        Ok(Beside {
            backlog: Some(Backlog {
                tasks,
                waited: waited.as_secs_f64(),
                rewrites_per_task: rewritten.records as f64 / tasks as f64,
                bytes: rewritten.bytes,
                peak_memory_bytes: peak.map(|usage| usage.peak_memory),
                delivered: meanwhile.distinct,
                recovery,
            }),
            ..Beside::new(latency, alone)
        })
    }

    /// The endpoint is back: what it gets, and what the others see of that.
    fn recover(
        &self,
        part: &mut Part,
        own: &Load,
        receiver: &mut Part,
        processes: &mut [Child],
    ) -> Result<Recovery, BenchError> {
        self.bar.set_message("recovery");
        part.ask::<Count>("listen")?;
        let began = Instant::now();
        receiver.reset()?;
        let rate = own.rate.unwrap_or(NEW_EVENTS_RATE);
        let load = self.load(&Load {
            events: u64::from(rate) * RECOVERY.as_secs(),
            rate: Some(rate),
            ..own.clone()
        })?;
        while began.elapsed() < RECOVERY {
            self.all_run(processes)?;
        }
        load.finished()?;
        let (count, others): (Count, Count) = (part.ask("count")?, receiver.ask("count")?);
        Ok(Recovery {
            seconds: began.elapsed().as_secs_f64(),
            delivered: count.distinct,
            overtaken_ms: Latency::of(count.overtaken),
            latency_ms: Latency::of(others.latency),
        })
    }

    fn own_beside(
        &self,
        own: &Load,
        receiver: &mut Part,
        processes: &mut [Child],
    ) -> Result<Option<Latency>, BenchError> {
        self.bar.set_message("beside");
        receiver.reset()?;
        let load = self.load(own)?;
        let all = self.plan.deliveries();
        let count = self.watch(receiver, processes, all, |count| count.distinct)?;
        load.finished()?;
        Ok(Latency::of(count.latency))
    }

    fn put_neighbours(
        &self,
        neighbour: Neighbour,
        addresses: Vec<SocketAddr>,
    ) -> Result<(), BenchError> {
        let numbered = (self.plan.types()..).zip(addresses);
        self.put(numbered.map(|(number, at)| Subscription {
            id: format!("beside-{number}"),
            event_type: number,
            at,
            rate_limit: (neighbour == Neighbour::Limited).then(limit),
            comes_back: true,
        }))
    }

    fn load_neighbours(
        &self,
        neighbour: Neighbour,
        own: &Load,
        events: u64,
        rate: Option<u32>,
    ) -> Result<Loading, BenchError> {
        self.load(&Load {
            events,
            types: neighbour.endpoints(),
            first_type: self.plan.types(),
            rate,
            ..own.clone()
        })
    }
}
