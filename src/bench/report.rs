//! What came of a run, for people and as JSON.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::plan::Plan;
use super::tally::{Count, Percentiles};
use super::usage::{Usage, cpu_between};

/// What came of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What the topics of the run were named after.
    pub application_id: String,
    /// What was asked for.
    pub plan: Plan,
    /// From the first event until Kafka had acknowledged the last.
    #[serde(rename = "loaded_in_s", serialize_with = "as_seconds")]
    pub loaded_in: Duration,
    /// From the first event until the last delivery had arrived.
    #[serde(rename = "took_s", serialize_with = "as_seconds")]
    pub took: Duration,
    /// The plainest loop that posts the same bytes.
    pub bare_loop: Figures,
    /// All `hooktide run` together.
    pub hooktide: Figures,
    /// The broker's CPU seconds for 1,000 deliveries; none if it does not run here.
    pub broker_cpu_s_per_1000: Option<f64>,
    /// Deliveries that arrived more than once.
    pub doubled: u64,
    /// From produced to arrived, of those whose first request was taken.
    pub latency_ms: Option<Latency>,
    /// Those whose first request failed, if there are any.
    pub retried: Option<Retried>,
    /// How its processes started; none of a program in hooktide's stead.
    pub start: Option<Start>,
    /// What it took while nothing came, if that was asked for.
    pub idle: Option<Idle>,
    /// Deliveries besides those of the slow endpoint, if there is one. Then latency and speed are theirs.
    pub others: Option<Others>,
    /// A plain copy of what the router alone has written, if that was asked for. Then deliveries are
    /// tasks, and nobody sent them.
    pub copy: Option<Figures>,
    /// The same beside endpoints that behave badly, if that was asked for.
    pub beside: Option<Beside>,
}

/// The start of all processes of a run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Start {
    /// Until all were ready.
    #[serde(rename = "ready_in_s")]
    pub ready_in: f64,
    /// What was resident then, in bytes.
    pub memory_bytes: Option<u64>,
}

/// Nothing to do.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Idle {
    /// For how long.
    #[serde(rename = "watched_s")]
    pub seconds: f64,
    /// CPU time of hooktide ÷ that time.
    pub cpu_of_a_core: Option<f64>,
    /// The same of the broker.
    pub broker_cpu_of_a_core: Option<f64>,
    /// What was resident at the end, in bytes.
    pub memory_bytes: Option<u64>,
}

/// Deliveries besides those of a slow endpoint.
#[derive(Clone, Debug, Serialize)]
pub struct Others {
    /// How many there should be.
    pub deliveries: u64,
    /// How many have arrived.
    pub arrived: u64,
    /// The longest time in which none did.
    #[serde(rename = "longest_gap_s")]
    pub longest_gap: f64,
    /// How many did in each second.
    pub by_second: Vec<u32>,
}

/// Deliveries whose first request failed.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Retried {
    /// How many.
    pub deliveries: u64,
    /// How many of them were made again before they were due.
    pub early: u64,
    /// From due to arrived.
    pub lateness_ms: Option<Latency>,
    /// How much younger the youngest event was that had been made again before.
    pub overtaken_ms: Option<Latency>,
}

impl Retried {
    pub(super) fn of(count: &Count) -> Option<Self> {
        (count.failed > 0).then(|| Self {
            deliveries: count.failed,
            early: count.early,
            lateness_ms: Latency::of(count.lateness),
            overtaken_ms: Latency::of(count.overtaken),
        })
    }
}

/// Latency beside endpoints that behave badly.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Beside {
    /// From produced to arrived.
    pub latency_ms: Option<Latency>,
    /// Its median ÷ that without neighbours.
    pub p50_ratio: Option<f64>,
    /// The same of the 99th percentile.
    pub p99_ratio: Option<f64>,
    /// What waited for them, if that was asked for.
    pub backlog: Option<Backlog>,
}

impl Beside {
    pub(super) fn new(beside: Option<Latency>, alone: Option<Latency>) -> Self {
        let ratio = |of: fn(Latency) -> f64| Some(of(beside?) / of(alone?));
        Self {
            latency_ms: beside,
            p50_ratio: ratio(|latency| latency.p50),
            p99_ratio: ratio(|latency| latency.p99),
            backlog: None,
        }
    }
}

/// Tasks that waited for one endpoint.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Backlog {
    /// How many.
    pub tasks: u64,
    /// How long they had waited when all was measured.
    #[serde(rename = "waited_s")]
    pub waited: f64,
    /// How often each of them was written to a tier in that time, the first time included.
    pub rewrites_per_task: f64,
    /// Bytes of what was written so.
    pub bytes: u64,
    /// The most memory that was resident until then, in bytes, of all `hooktide run`.
    pub peak_memory_bytes: Option<u64>,
    /// How many of them were delivered.
    pub delivered: u64,
    /// What came when the endpoint was back, if it was away.
    pub recovery: Option<Recovery>,
}

/// What comes when an endpoint is back.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Recovery {
    /// How long it was watched.
    #[serde(rename = "watched_s")]
    pub seconds: f64,
    /// How many tasks it got in that time.
    pub delivered: u64,
    /// How much younger the youngest event was that had come before.
    pub overtaken_ms: Option<Latency>,
    /// From produced to arrived, of others' events in that time.
    pub latency_ms: Option<Latency>,
}

/// How fast, and at what cost.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Figures {
    /// Deliveries a second.
    pub per_second: f64,
    /// CPU seconds for 1,000 of them.
    pub cpu_s_per_1000: Option<f64>,
    /// The most memory that was resident, in bytes.
    pub peak_memory_bytes: Option<u64>,
}

/// Percentiles, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs, reason = "their names say it")]
pub struct Latency {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

impl Figures {
    pub(super) fn between(
        before: Option<Usage>,
        after: Option<Usage>,
        deliveries: u64,
        took: Duration,
    ) -> Self {
        Self {
            per_second: deliveries as f64 / took.as_secs_f64(),
            cpu_s_per_1000: cpu_between(before, after).map(|cpu| per_1000(cpu, deliveries)),
            peak_memory_bytes: after.map(|usage| usage.peak_memory),
        }
    }
}

impl Latency {
    pub(super) fn of(percentiles: Option<Percentiles>) -> Option<Self> {
        let [p50, p95, p99, max] = percentiles?.map(|micros| micros as f64 / 1_000.0);
        Some(Self { p50, p95, p99, max })
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p95, p99, max } = self;
        write!(
            to,
            "p50 {p50:.1} ms, p95 {p95:.1} ms, p99 {p99:.1} ms, max {max:.1} ms"
        )
    }
}

/// Seconds for 1,000.
pub(super) fn per_1000(cpu: Duration, deliveries: u64) -> f64 {
    cpu.as_secs_f64() * 1_000.0 / deliveries as f64
}

impl fmt::Display for Report {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.plan.asked();
        let rate = match plan.rate {
            Some(rate) => format!("{rate} events/s"),
            None => "flat out".to_owned(),
        };
        writeln!(
            to,
            "{} events of {} bytes, {rate}, fan-out {}, {} subscriptions, {} receivers, {} processes",
            plan.events,
            plan.size,
            plan.fan_out,
            self.plan.subscriptions(),
            plan.receivers,
            plan.processes,
        )?;
        writeln!(to)?;
        writeln!(
            to,
            "{:<16}{:>14}{:>18}{:>14}",
            "", "deliveries/s", "CPU-s per 1,000", "peak memory"
        )?;
        let bare = self.bare_loop;
        let subject = match (&plan.instead, plan.router_alone) {
            (Some(_), _) => "the program",
            (None, true) => "router, tasks",
            (None, false) => "hooktide",
        };
        let rows = [
            ("bare POST loop", Some(bare)),
            (subject, Some(self.hooktide)),
            ("raw copy", self.copy),
        ];
        for (name, figures) in rows.into_iter().filter_map(|(name, it)| Some((name, it?))) {
            writeln!(
                to,
                "{name:<16}{:>14.0}{:>18}{:>14}",
                figures.per_second,
                three_digits(figures.cpu_s_per_1000),
                megabytes(figures.peak_memory_bytes),
            )?;
        }
        writeln!(
            to,
            "{:<16}{:>14}{:>18}",
            "broker",
            "",
            three_digits(self.broker_cpu_s_per_1000)
        )?;
        writeln!(to)?;
        if let (Some(ours), Some(theirs)) = (self.hooktide.cpu_s_per_1000, bare.cpu_s_per_1000) {
            writeln!(
                to,
                "{subject}'s CPU for a delivery: {:.1} times a bare POST's",
                ours / theirs
            )?;
        }
        if let Some(start) = &self.start {
            let memory = megabytes(start.memory_bytes);
            writeln!(
                to,
                "ready in {:.1} s, then with {memory} of memory",
                start.ready_in
            )?;
        }
        if let Some(idle) = &self.idle {
            writeln!(
                to,
                "idle for {:.0} s: {} of a core, the broker {}; {} of memory",
                idle.seconds,
                percent(idle.cpu_of_a_core),
                percent(idle.broker_cpu_of_a_core),
                megabytes(idle.memory_bytes),
            )?;
        }
        if let Some(latency) = &self.latency_ms {
            writeln!(to, "produced to arrived: {latency}")?;
        }
        if let Some(retried) = &self.retried {
            write!(to, "{retried}")?;
        }
        if let Some(beside) = &self.beside {
            write!(to, "{beside}")?;
        }
        if let Some(others) = &self.others {
            return writeln!(
                to,
                "{} of {} deliveries to others arrived; the longest time in which none did: {:.1} s",
                others.arrived, others.deliveries, others.longest_gap,
            );
        }
        writeln!(
            to,
            "all {} deliveries arrived in {:.1} s; {} doubled",
            self.plan.deliveries(),
            self.took.as_secs_f64(),
            self.doubled,
        )
    }
}

impl fmt::Display for Retried {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            to,
            "{} first requests failed; {} were made again too early",
            self.deliveries, self.early
        )?;
        if let Some(lateness) = &self.lateness_ms {
            writeln!(to, "due to made again: {lateness}")?;
        }
        match &self.overtaken_ms {
            Some(overtaken) => writeln!(to, "overtaken by events younger by: {overtaken}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Beside {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(latency), Some(p50), Some(p99)) =
            (self.latency_ms, self.p50_ratio, self.p99_ratio)
        {
            writeln!(to, "beside its neighbour: {latency}")?;
            writeln!(
                to,
                "  that is {p50:.2} times the median, and {p99:.2} times the 99th percentile"
            )?;
        }
        match &self.backlog {
            Some(backlog) => write!(to, "{backlog}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Backlog {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            to,
            "{} tasks waited for {:.0} s: {:.2} rewrites for each, {:.0} MB; {} delivered; peak memory {}",
            self.tasks,
            self.waited,
            self.rewrites_per_task,
            self.bytes as f64 / 1e6,
            self.delivered,
            megabytes(self.peak_memory_bytes),
        )?;
        let Some(recovery) = &self.recovery else {
            return Ok(());
        };
        writeln!(
            to,
            "back for {:.0} s: {} delivered",
            recovery.seconds, recovery.delivered
        )?;
        if let Some(overtaken) = &recovery.overtaken_ms {
            writeln!(to, "  overtaken by events younger by: {overtaken}")?;
        }
        match &recovery.latency_ms {
            Some(latency) => writeln!(to, "  others meanwhile: {latency}"),
            None => Ok(()),
        }
    }
}

fn megabytes(bytes: Option<u64>) -> String {
    bytes.map_or("unknown".to_owned(), |bytes| {
        format!("{} MB", bytes / 1_000_000)
    })
}

fn percent(share: Option<f64>) -> String {
    share.map_or("unknown".to_owned(), |share| {
        format!("{:.1} %", share * 100.0)
    })
}

fn three_digits(seconds: Option<f64>) -> String {
    seconds.map_or("unknown".to_owned(), |seconds| format!("{seconds:.3}"))
}

fn as_seconds<S: serde::Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(duration.as_secs_f64())
}
