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
mod child;
mod due_at_once;
mod error;
pub mod load;
pub mod neighbour;
pub mod plan;
pub mod receiver;
pub mod report;
pub mod talk;
mod usage;

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub use error::BenchError;
pub use plan::Plan;
use plan::Wish;
pub use report::Report;

use crate::installation::{Installation, Layers, Settings};
use crate::kafka::errand::RecordWriter;
use crate::kafka::topic_admin::TopicAdmin;
use crate::role::Role;
use crate::shutdown;
use crate::topic::Topic;
use child::{Child, Part};
use load::Load;
use receiver::{Count, RETRY_WAIT};
use report::{Figures, Latency, Retried};
use usage::Usage;

/// How long everything may take to be ready.
const READY: Duration = Duration::from_secs(60);
/// How long the receiver may see nothing new before the run is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the receiver is asked how far it is.
const GLANCE: Duration = Duration::from_millis(100);
/// How fast events come beside those that are measured.
const NEW_EVENTS_RATE: u32 = 200;
/// Events before those that count: connections, groups and tables are warm after them.
const WARM_UP: u64 = 200;
/// Requests of the bare loop; enough for seconds, few enough not to bore.
const BARE_REQUESTS: u64 = 100_000;
/// How many of them are open at once: more is slower on few cores.
const BARE_CONCURRENCY: usize = 64;
/// How often: endpoints that come back after a while are to be delivered to.
const RETRIES: usize = 100;
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
    let installation = Installation::given(
        "bench",
        rand::random(),
        bootstrap_servers,
        settings(plan),
        layers,
    )?;
    let admin = TopicAdmin::try_new(&installation.config).map_err(BenchError::topics)?;
    let partitions = installation.config.topic_creation.partitions;
    runtime.block_on(installation.create_topics(&admin, partitions))?;
    let bench = Bench {
        plan,
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
fn settings(plan: &Plan) -> Settings {
    // Failures on purpose are retried in their time, and nothing else.
    let is_failing = plan.asked().failing > 0.0 || plan.asked().due_at_once;
    let breaker = is_failing.then_some(("BREAKER__MIN_REQUESTS", "1000000"));
    [
        ("EVENTS__START", "earliest"),
        ("HTTP__ALLOW_NETWORKS", r#"["127.0.0.0/8"]"#),
        ("TELEMETRY__LISTEN", "127.0.0.1:0"),
        ("TELEMETRY__LOG", "warn,hooktide::run=error"),
    ]
    .into_iter()
    .chain(breaker)
    .map(|(name, value)| (name, value.to_owned()))
    .collect()
}

struct Bench<'a> {
    plan: &'a Plan,
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

        self.bar.set_message("starting");
        self.put_subscriptions(&addresses)?;
        let mut processes = self.start_processes()?;
        self.bar.set_message("warming up");
        let warm_up = WARM_UP.min(self.plan.asked().events);
        receiver.reset()?;
        self.load(&self.own(warm_up, None))?.finished()?;
        let warm = warm_up * self.plan.asked().fan_out;
        self.watch(&mut receiver, &mut processes, warm, |count| count.distinct)?;

        receiver.reset()?;
        let expected = self.plan.deliveries();
        self.bar.set_length(expected);
        if self.plan.asked().due_at_once {
            return self.due_at_once(bare, receiver, processes);
        }
        self.bar.set_message("hooktide");
        receiver.fail(self.plan.asked().failing)?;
        let broker = usage::listening_on(&self.installation.config.kafka.bootstrap_servers);
        let pids: Vec<u32> = processes.iter().map(Child::id).collect();
        let look = || (Usage::of_all(&pids), broker.and_then(Usage::of));
        let before = look();
        let own = self.own(self.plan.asked().events, self.plan.asked().rate);
        let load = self.load(&own)?;
        let count = self.watch(&mut receiver, &mut processes, expected, |count| {
            count.distinct
        })?;
        let after = look();
        let loaded = load.finished()?;
        let beside = match self.plan.asked().beside {
            Some(neighbour) => {
                let alone = Latency::of(count.latency);
                Some(self.beside(neighbour, &own, alone, &mut receiver, &mut processes)?)
            }
            None => None,
        };
        for process in processes {
            process.stop();
        }
        let took = count.taken_at.map(|(_, last)| last).unwrap_or_default();
        let took = micros(took.saturating_sub(loaded.started_at));
        Ok(Report {
            application_id: self.installation.config.application_id.clone(),
            plan: self.plan.clone(),
            loaded_in: micros(loaded.ended_at.saturating_sub(loaded.started_at)),
            took,
            bare_loop: bare,
            hooktide: Figures::between(before.0, after.0, count.distinct, took),
            broker_cpu_s_per_1000: usage::cpu_between(before.1, after.1)
                .map(|cpu| report::per_1000(cpu, count.distinct)),
            doubled: doubled(&count),
            latency_ms: Latency::of(count.latency),
            retried: Retried::of(&count),
            beside,
        })
    }

    fn start_processes(&self) -> Result<Vec<Child>, BenchError> {
        let mut processes = Vec::new();
        for _ in 0..self.plan.asked().processes {
            let mut command = self.installation.run_child(&Role::ALL)?;
            processes.push(Child::spawn("hooktide run", &mut command)?);
        }
        self.wait_for_members()?;
        Ok(processes)
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
        }
    }

    fn start_receiver(&self) -> Result<Part, BenchError> {
        let Wish {
            receivers, delay, ..
        } = self.plan.asked();
        let mut command = self.installation.child()?;
        command
            .args(["bench-part", "receiver"])
            .args(["--endpoints", &receivers.to_string()])
            .args(["--delay-ms", &delay.as_millis().to_string()]);
        Part::spawn("receiver", &mut command)
    }

    fn load(&self, load: &Load) -> Result<Loading, BenchError> {
        let mut command = self.installation.child()?;
        command
            .args(["bench-part", "load"])
            .args(["--topic", &load.topic])
            .args(["--events", &load.events.to_string()])
            .args(["--first-number", &load.first_number.to_string()])
            .args(["--size", &load.size.to_string()])
            .args(["--first-type", &load.first_type.to_string()])
            .args(["--types", &load.types.to_string()]);
        if let Some(rate) = load.rate {
            command.args(["--rate", &rate.to_string()]);
            // Batches would be latency of the load's own making.
            command.env("HOOKTIDE__KAFKA__PROPERTIES__LINGER_MS", "0");
        }
        Ok(Loading(Part::spawn("load", &mut command)?))
    }

    fn bare_loop(&self, at: SocketAddr) -> Result<Figures, BenchError> {
        let requests = BARE_REQUESTS.min(self.plan.deliveries());
        let mut command = self.installation.child()?;
        command
            .args(["bench-part", "bare-loop"])
            .args(["--url", &format!("http://{at}/")])
            .args(["--requests", &requests.to_string()])
            .args(["--size", &self.plan.asked().size.to_string()])
            .args(["--concurrency", &BARE_CONCURRENCY.to_string()]);
        let mut part = Part::spawn("bare loop", &mut command)?;
        let done: bare_loop::Done = part.read()?;
        let took = Duration::from_secs_f64(done.seconds);
        Ok(Figures::between(
            Some(Usage::default()),
            done.used,
            requests,
            took,
        ))
    }

    fn put_subscriptions(&self, endpoints: &[SocketAddr]) -> Result<(), BenchError> {
        let numbers = (0..self.plan.subscriptions()).zip(endpoints.iter().cycle());
        let fan_out = self.plan.asked().fan_out;
        self.put(numbers.map(|(number, at)| Subscription {
            id: format!("bench-{number}"),
            event_type: number / fan_out,
            at: *at,
            rate_limit: None,
        }))
    }

    fn put(&self, subscriptions: impl Iterator<Item = Subscription>) -> Result<(), BenchError> {
        let config = &self.installation.config;
        let writer =
            RecordWriter::connect_to_table(config, &config.topics.name(Topic::Subscriptions))?;
        for subscription in subscriptions {
            let key = format!("default/{}", subscription.id);
            let value = subscription.record().to_string();
            writer.write(0, Some(key.as_bytes()), Some(value.as_bytes()))?;
        }
        writer.settle();
        match writer.failure() {
            Some((_, error)) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// Waits until every process has its partitions in both groups.
    fn wait_for_members(&self) -> Result<(), BenchError> {
        let deadline = Instant::now() + READY;
        let is_complete = |role| {
            let asked = self.admin.stable_members(&self.installation.config, role);
            self.runtime.block_on(asked) == Some(self.plan.asked().processes)
        };
        while !Role::ALL.into_iter().all(is_complete) {
            self.go_on()?;
            if Instant::now() > deadline {
                return Err(BenchError::NotReady(READY.as_secs()));
            }
            thread::sleep(GLANCE);
        }
        Ok(())
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

/// A subscription of the run.
struct Subscription {
    id: String,
    /// Its number.
    event_type: u64,
    at: SocketAddr,
    rate_limit: Option<Value>,
}

impl Subscription {
    fn record(&self) -> Value {
        let Self { id, at, .. } = self;
        let secret: [u8; 32] = rand::random();
        let mut record = json!({
            "version": 1,
            "url": format!("http://{at}/{id}"),
            "events": [load::event_type(self.event_type)],
            "secrets": [format!("whsec_{}", BASE64_STANDARD.encode(secret))],
            "retry": { "schedule": vec![format!("{}s", RETRY_WAIT.as_secs()); RETRIES] },
        });
        if let Some(limit) = &self.rate_limit {
            record["rate_limit"] = limit.clone();
        }
        record
    }
}

/// Requests that nobody can explain: each delivery is taken once, and may have failed once.
fn doubled(count: &Count) -> u64 {
    count.requests - count.failed - count.distinct
}

/// A load under way.
struct Loading(Part);

impl Loading {
    fn finished(mut self) -> Result<load::Done, BenchError> {
        self.0.read()
    }
}

fn micros(count: u64) -> Duration {
    Duration::from_micros(count)
}
