//! What the figures should be on two cores with everything on them, and whether they are.

use super::kept::Kept;
use super::scenario::{PEERS, Scenario};

/// A bound for a figure.
pub struct Target {
    /// What it is about.
    pub what: &'static str,
    /// What stands behind the figure.
    pub unit: &'static str,
    /// On which side of the bound it should be.
    pub side: Side,
    /// What should be reached.
    pub target: f64,
    /// What would be good.
    pub stretch: f64,
    /// Worked out from the runs.
    pub figure: Figure,
}

/// A side of a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// As much or more.
    AtLeast,
    /// As much or less.
    AtMost,
}

/// What comes of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The better bound is reached.
    Stretch,
    /// The bound is reached.
    Met,
    /// It is not.
    Missed,
    /// There is no figure.
    Unknown,
}

impl Target {
    /// How many digits stand behind the point: more for small figures.
    pub fn decimals(&self) -> usize {
        match self.target {
            small if small < 5.0 && self.unit.is_empty() => 2,
            middle if middle < 100.0 => 1,
            _ => 0,
        }
    }

    /// Holds the figure against the bounds.
    pub fn verdict(&self, kept: &Kept) -> Verdict {
        let Some(figure) = (self.figure)(kept) else {
            return Verdict::Unknown;
        };
        let reaches = |bound: f64| match self.side {
            Side::AtLeast => figure >= bound,
            Side::AtMost => figure <= bound,
        };
        if reaches(self.stretch) {
            Verdict::Stretch
        } else if reaches(self.target) {
            Verdict::Met
        } else {
            Verdict::Missed
        }
    }
}

impl Verdict {
    /// As the table has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stretch => "**met**, stretch too",
            Self::Met => "**met**",
            Self::Missed => "missed",
            Self::Unknown => "not measured",
        }
    }
}

/// Where a figure comes from.
type Figure = fn(&Kept) -> Option<f64>;

/// All of them.
pub fn all() -> Vec<Target> {
    vec![
        at_least("one to one", "/s", [20_000.0, 28_000.0], |it| {
            speed(it, "one-to-one")
        }),
        at_least("one to one ÷ Go loop", "", [0.5, 0.7], |it| {
            over_peer(it, "go-")
        }),
        at_least(
            "one to one ÷ Parallel Consumer, Vert.x",
            "",
            [1.0, 1.3],
            |it| over_peer(it, "vertx-"),
        ),
        at_most(
            "CPU of a delivery ÷ a bare `reqwest` POST's",
            "",
            [2.5, 1.8],
            |it| cpu_over_bare(it, "one-to-one"),
        ),
        at_least("fan-out 10", "/s", [25_000.0, 33_000.0], |it| {
            speed(it, "fan-out-10")
        }),
        at_least(
            "router alone ÷ raw transactional copy of the same bytes",
            "",
            [0.5, 0.7],
            router_over_copy,
        ),
        at_most("latency at 200/s, p50", " ms", [15.0, 10.0], |it| {
            it.number("latency-200", "/latency_ms/p50")
        }),
        at_most("latency at 200/s, p99", " ms", [40.0, 25.0], |it| {
            it.number("latency-200", "/latency_ms/p99")
        }),
        at_most("latency at 5,000/s, p99", " ms", [90.0, 50.0], |it| {
            it.number("latency-5000", "/latency_ms/p99")
        }),
        at_most(
            "match cost: 3 of 1,000,000 ÷ 3 of 1,000, CPU of the router",
            "",
            [1.5, 1.2],
            match_cost,
        ),
        at_most(
            "memory of a subscription",
            " bytes",
            [900.0, 600.0],
            bytes_per_subscription,
        ),
        at_most(
            "start to ready with 1,000,000 subscriptions",
            " s",
            [12.0, 6.0],
            |it| it.number("start-1000000", "/start/ready_in_s"),
        ),
        at_most("memory, idle", " MB", [50.0, 30.0], |it| {
            megabytes(it.number("idle", "/idle/memory_bytes"))
        }),
        at_most("memory at full load", " MB", [150.0, 80.0], |it| {
            peak_megabytes(it, "one-to-one")
        }),
        at_most(
            "memory in a catch-up of 1,000,000",
            " MB",
            [200.0, 120.0],
            |it| peak_megabytes(it, "catch-up"),
        ),
        at_most(
            "CPU when idle, all tiers assigned",
            " % of a core",
            [2.0, 0.5],
            |it| {
                it.number("idle", "/idle/cpu_of_a_core")
                    .map(|it| it * 100.0)
            },
        ),
        at_least(
            "receiver of 20 ms, 256 at once",
            "/s",
            [10_000.0, 12_000.0],
            |it| speed(it, "receiver-20ms"),
        ),
    ]
}

fn at_least(what: &'static str, unit: &'static str, bounds: [f64; 2], figure: Figure) -> Target {
    let [target, stretch] = bounds;
    Target {
        what,
        unit,
        side: Side::AtLeast,
        target,
        stretch,
        figure,
    }
}

fn at_most(what: &'static str, unit: &'static str, bounds: [f64; 2], figure: Figure) -> Target {
    Target {
        side: Side::AtMost,
        ..at_least(what, unit, bounds, figure)
    }
}

/// Deliveries a second.
pub fn speed(kept: &Kept, scenario: &str) -> Option<f64> {
    kept.number(scenario, "/hooktide/per_second")
}

/// CPU of a delivery ÷ that of the bare loop of the same run.
pub fn cpu_over_bare(kept: &Kept, scenario: &str) -> Option<f64> {
    let cpu = |who| kept.number(scenario, &format!("/{who}/cpu_s_per_1000"));
    Some(cpu("hooktide")? / cpu("bare_loop")?)
}

/// The fastest run of a peer, by the beginning of its scenarios' names.
pub fn best(kept: &Kept, prefix: &str) -> Option<&'static Scenario> {
    let runs = PEERS.iter().filter(|it| it.name.starts_with(prefix));
    let with_speed = runs.filter_map(|it| Some((it, speed(kept, it.name)?)));
    let best = with_speed.max_by(|(_, one), (_, other)| one.total_cmp(other));
    best.map(|(scenario, _)| scenario)
}

fn over_peer(kept: &Kept, prefix: &str) -> Option<f64> {
    let theirs = speed(kept, best(kept, prefix)?.name)?;
    Some(speed(kept, "one-to-one")? / theirs)
}

/// Tasks a second of the router ÷ records a second of the copy.
pub fn router_over_copy(kept: &Kept) -> Option<f64> {
    Some(speed(kept, "router-alone")? / kept.number("router-alone", "/copy/per_second")?)
}

fn match_cost(kept: &Kept) -> Option<f64> {
    let cpu = |scenario| kept.number(scenario, "/hooktide/cpu_s_per_1000");
    Some(cpu("match-1000000")? / cpu("match-1000")?)
}

/// What a million take when all is ready, less what a hundred do.
pub fn bytes_per_subscription(kept: &Kept) -> Option<f64> {
    let memory = |scenario| kept.number(scenario, "/start/memory_bytes");
    Some((memory("start-1000000")? - memory("one-to-one")?) / (1e6 - 100.0))
}

fn megabytes(bytes: Option<f64>) -> Option<f64> {
    bytes.map(|bytes| bytes / 1e6)
}

/// The most memory that was resident in a run.
pub fn peak_megabytes(kept: &Kept, scenario: &str) -> Option<f64> {
    megabytes(kept.number(scenario, "/hooktide/peak_memory_bytes"))
}
