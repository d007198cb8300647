//! `hooktide bench`: what a delivery costs on a given Kafka, beside the plainest loop that posts the
//! same bytes to the same receiver in the same run.
//!
//! ```text
//! load ──▶ events ──▶ hooktide run (one or more) ──▶ receiver
//!                     bare loop ─────────────────────▶
//! ```
//!
//! Each box is a process of its own, so that the operating system says what each of them costs. What
//! arrived, and when, is the receiver's word alone.

pub mod bare_loop;
mod beside;
mod catch_up;
mod child;
mod due_at_once;
mod error;
mod idle;
pub mod load;
pub mod neighbour;
mod parts;
pub mod plan;
mod processes;
pub mod receiver;
pub mod report;
pub mod router_alone;
mod slow;
mod subscriptions;
pub mod talk;
pub mod tally;
pub mod tls;
mod usage;

use std::thread;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub use error::BenchError;
pub use plan::Plan;
pub use report::Report;

use crate::installation::{Installation, Layers, Settings};
use crate::kafka::topic_admin::TopicAdmin;
use crate::role::Role;
use crate::shutdown;
use child::{Child, Part};
use load::Load;
use processes::Running;
use report::{Figures, Latency, Retried};
use tally::Count;
use tls::Identity;
use usage::Usage;

/// How long the receiver may see nothing new before the run is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the receiver is asked how far it is.
const GLANCE: Duration = Duration::from_millis(100);
/// How fast events come beside those that are measured.
const NEW_EVENTS_RATE: u32 = 200;
/// How long background work may take to end.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// Measures, on topics of its own that are removed at the end.
///
/// # Errors
/// [`BenchError`]; also when a delivery did not arrive.
pub fn run(
    plan: &Plan,
    bootstrap_servers: Option<&str>,
    layers: Layers,
    bar: &ProgressBar,
) -> Result<Report, BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let signal = runtime.block_on(async { shutdown::on_signals() })?;
    let identity = plan.asked().tls.then(Identity::make).transpose()?;
    let installation = Installation::given(
        "bench",
        rand::random(),
        bootstrap_servers,
        settings(plan, identity.as_ref()),
        layers,
    )?;
    let admin = TopicAdmin::try_new(&installation.config).map_err(BenchError::topics)?;
    let partitions = installation.config.topic_creation.partitions;
    runtime.block_on(installation.create_topics(&admin, partitions))?;
    let bench = Bench {
        plan,
        identity: identity.as_ref(),
        broker: usage::listening_on(&installation.config.kafka.bootstrap_servers),
        installation: &installation,
        admin: &admin,
        runtime: runtime.handle(),
        signal: &signal,
        bar,
    };
    let measured = bench.measure();
    bar.finish_and_clear();
    let removed = runtime.block_on(installation.remove(&admin));
    runtime.shutdown_timeout(LAST_GRACE);
    let report = measured?;
    removed?;
    Ok(report)
}

/// What differs from the user's own settings.
fn settings(plan: &Plan, identity: Option<&Identity>) -> Settings {
    // Failures on purpose are retried in their time, and nothing else.
    let is_failing = plan.asked().failing > 0.0 || plan.asked().due_at_once;
    let breaker = is_failing.then_some(("BREAKER__MIN_REQUESTS", "1000000"));
    let ca_file = identity.map(|it| ("HTTP__CA_FILE", it.files.certificate.display().to_string()));
    [
        ("EVENTS__START", "earliest"),
        ("HTTP__ALLOW_NETWORKS", r#"["127.0.0.0/8"]"#),
        ("TELEMETRY__LOG", "warn,hooktide::run=error"),
    ]
    .into_iter()
    .chain(breaker)
    .map(|(name, value)| (name, value.to_owned()))
    .chain(ca_file)
    .collect()
}

struct Bench<'a> {
    plan: &'a Plan,
    identity: Option<&'a Identity>,
    /// Its process, if it runs here.
    broker: Option<u32>,
    installation: &'a Installation,
    admin: &'a TopicAdmin,
    runtime: &'a Handle,
    signal: &'a CancellationToken,
    bar: &'a ProgressBar,
}

impl Bench<'_> {
    fn measure(&self) -> Result<Report, BenchError> {
        let mut receiver = self.start_receiver()?;
        let addresses = receiver.listening()?;
        let first = *addresses.first().ok_or(BenchError::Silent("receiver"))?;
        self.bar.set_message("bare loop");
        let bare = self.bare_loop(first)?;

        self.bar.set_message("subscriptions");
        let asked = self.plan.asked();
        if asked.instead.is_none() {
            self.put_subscriptions(&addresses)?;
        }
        if asked.router_alone {
            return self.router_alone(bare, first);
        }
        if asked.catch_up {
            return self.catch_up(bare, receiver, first);
        }
        let Running {
            mut processes,
            start,
        } = self.start_processes(&Role::ALL, first)?;
        self.warm_up(&mut receiver, &mut processes)?;
        let idle = match asked.idle {
            Some(time) => Some(self.idle(time, &mut processes)?),
            None => None,
        };
        let expected = self.plan.deliveries();
        self.bar.set_length(expected);
        if asked.due_at_once {
            return self.due_at_once(bare, receiver, processes, first);
        }
        self.bar.set_message(self.subject());
        receiver.fail(asked.failing)?;
        let before = self.look(&processes);
        let own = self.own(asked.events, asked.rate);
        let load = self.load(&own)?;
        let count = match asked.slow {
            None => self.watch(&mut receiver, &mut processes, expected, |count| {
                count.distinct
            })?,
            Some(_) => self.watch_others(&own, &mut receiver, &mut processes)?,
        };
        let after = self.look(&processes);
        let loaded = load.finished()?;
        let beside = match asked.beside {
            Some(neighbour) => {
                let alone = Latency::of(count.latency);
                Some(self.beside(neighbour, &own, alone, &mut receiver, &mut processes)?)
            }
            None => None,
        };
        processes.into_iter().for_each(Child::stop);
        let taken_at = match asked.slow {
            None => count.taken_at,
            Some(_) => count.others.taken_at,
        };
        let last = taken_at.map(|(_, last)| last).unwrap_or_default();
        let took = micros(last.saturating_sub(loaded.started_at));
        let others = asked.slow.map(|_| self.others(&own, &count.others));
        Ok(Report {
            start,
            idle,
            others,
            beside,
            ..self.report(bare, loaded, before, after, &count, took)
        })
    }

    /// What every run has in common.
    fn report(
        &self,
        bare_loop: Figures,
        loaded: load::Done,
        before: Look,
        after: Look,
        count: &Count,
        took: Duration,
    ) -> Report {
        let cpu = usage::cpu_between(before.broker, after.broker);
        Report {
            application_id: self.installation.config.application_id.clone(),
            plan: self.plan.clone(),
            loaded_in: micros(loaded.ended_at.saturating_sub(loaded.started_at)),
            took,
            bare_loop,
            hooktide: Figures::between(before.ours, after.ours, count.distinct, took),
            broker_cpu_s_per_1000: cpu.map(|cpu| report::per_1000(cpu, count.distinct)),
            doubled: doubled(count),
            latency_ms: Latency::of(count.latency),
            retried: Retried::of(count),
            start: None,
            idle: None,
            others: None,
            copy: None,
            beside: None,
        }
    }

    fn warm_up(&self, receiver: &mut Part, processes: &mut [Child]) -> Result<(), BenchError> {
        self.bar.set_message("warming up");
        let asked = self.plan.asked();
        // A slow endpoint stays out of it: it would take its time.
        let first_type = u64::from(asked.slow.is_some() && self.plan.types() > 1);
        let events = asked.warm_up.min(asked.events);
        receiver.reset()?;
        let load = Load {
            first_type,
            types: self.plan.types() - first_type,
            ..self.own(events, None)
        };
        self.load(&load)?.finished()?;
        let warm = events * asked.fan_out;
        self.watch(receiver, processes, warm, |count| count.distinct)?;
        receiver.reset()
    }

    fn pass(&self, time: Duration, processes: &mut [Child]) -> Result<(), BenchError> {
        let began = Instant::now();
        while began.elapsed() < time {
            self.all_run(processes)?;
        }
        Ok(())
    }

    /// What has been used until now.
    fn look(&self, processes: &[Child]) -> Look {
        let pids: Vec<u32> = processes.iter().map(Child::id).collect();
        Look {
            ours: Usage::of_all(&pids),
            broker: self.broker.and_then(Usage::of),
        }
    }

    fn subject(&self) -> &'static str {
        match self.plan.asked().instead {
            None => "hooktide",
            Some(_) => "the program",
        }
    }

    fn scheme(&self) -> &'static str {
        match self.identity {
            None => "http",
            Some(_) => "https",
        }
    }

    /// The load that is measured.
    fn own(&self, events: u64, rate: Option<u32>) -> Load {
        Load {
            topic: self.installation.events.clone(),
            events,
            first_number: 0,
            size: self.plan.asked().size,
            first_type: 0,
            types: self.plan.types(),
            rate,
            keyed: self.plan.asked().slow.is_some(),
        }
    }

    /// Waits until the receiver has counted `expected` of something.
    fn watch(
        &self,
        receiver: &mut Part,
        processes: &mut [Child],
        expected: u64,
        of: impl Fn(&Count) -> u64,
    ) -> Result<Count, BenchError> {
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            let count: Count = receiver.ask("count")?;
            let counted = of(&count);
            self.bar.set_position(counted);
            if counted >= expected {
                return Ok(count);
            }
            if counted > seen {
                (seen, since) = (counted, Instant::now());
            }
            if since.elapsed() > PATIENCE {
                return Err(BenchError::Missing {
                    expected,
                    arrived: seen,
                });
            }
            self.all_run(processes)?;
        }
    }

    /// A moment later: whether to go on.
    fn all_run(&self, processes: &mut [Child]) -> Result<(), BenchError> {
        thread::sleep(GLANCE);
        for process in processes {
            process.must_run()?;
        }
        self.go_on()
    }

    fn go_on(&self) -> Result<(), BenchError> {
        match self.signal.is_cancelled() {
            true => Err(BenchError::Interrupted),
            false => Ok(()),
        }
    }
}

/// What has been used until some moment.
#[derive(Clone, Copy)]
struct Look {
    /// By hooktide, or what is measured in its stead.
    ours: Option<Usage>,
    broker: Option<Usage>,
}

/// Requests that nobody can explain: each delivery is taken once, and may have failed once.
fn doubled(count: &Count) -> u64 {
    count.requests - count.failed - count.distinct
}

fn micros(count: u64) -> Duration {
    Duration::from_micros(count)
}
