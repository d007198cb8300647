//! Sums of runs, as a page in Markdown has them.

use std::collections::BTreeMap;
use std::fmt;

use crate::judge::{Toll, Verdict};
use crate::run::Report;

/// What several runs have found together.
#[derive(Debug, Default)]
pub struct Sum {
    runs: u64,
    seconds: u64,
    seeds: BTreeMap<String, Vec<u64>>,
    verdict: Verdict,
    missed: u64,
    /// The largest resident size of a process in each minute of a run, over all runs, in KiB.
    resident: Vec<u64>,
}

impl Sum {
    /// Adds a run.
    pub fn add(&mut self, report: &Report) {
        let Self { verdict: sum, .. } = self;
        let found = &report.verdict;
        sum.events += found.events;
        sum.deliveries += found.deliveries;
        sum.delivered += found.delivered;
        sum.dead_lettered += found.dead_lettered;
        sum.cancelled += found.cancelled;
        sum.requests += found.requests;
        sum.sent_again += found.sent_again;
        sum.lost += found.lost;
        sum.doubled += found.doubled;
        sum.unexplained += found.unexplained;
        sum.violations += found.violations;
        for (fault, toll) in &found.faults {
            sum.faults.entry(fault.clone()).or_default().add(toll);
        }
        self.runs += 1;
        self.seconds += report.seconds;
        let seeds = self.seeds.entry(report.kind.clone()).or_default();
        seeds.push(report.seed);
        self.missed += report.missed.len() as u64;
        let minutes = self.resident.len().max(report.resident.len());
        self.resident.resize(minutes, 0);
        for (minute, size) in report.resident.iter().enumerate() {
            self.resident[minute] = self.resident[minute].max(*size);
        }
    }

    /// Faults that were inflicted.
    pub fn faults(&self) -> u64 {
        let inflicted = self.verdict.faults.values().filter(|toll| toll.is_fault);
        inflicted.map(|toll| toll.strikes).sum()
    }

    /// Deliveries that were made.
    pub fn deliveries(&self) -> u64 {
        self.verdict.deliveries
    }

    /// Whether every promise held in every run.
    pub fn is_good(&self) -> bool {
        self.verdict.is_good()
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = &self.verdict;
        let minutes = self.seconds / 60;
        let seeds = self.seeds.iter().map(|(kind, seeds)| {
            let seeds: Vec<_> = seeds.iter().map(u64::to_string).collect();
            format!("{kind}: {}", seeds.join(", "))
        });
        let seeds: Vec<_> = seeds.collect();
        let resident = self.resident.iter().map(|kib| format!("{}", kib / 1_024));
        let resident: Vec<_> = resident.collect();
        for (name, value) in [
            ("runs", format!("{} ({minutes} min)", self.runs)),
            ("seeds", seeds.join("; ")),
            ("faults", self.faults().to_string()),
            ("events", found.events.to_string()),
            ("deliveries", found.deliveries.to_string()),
            ("… delivered", found.delivered.to_string()),
            ("… dead-lettered", found.dead_lettered.to_string()),
            (
                "… cancelled, their subscription was deleted",
                found.cancelled.to_string(),
            ),
            (
                "requests that reached the receiver",
                found.requests.to_string(),
            ),
            ("**lost**", format!("**{}**", found.lost)),
            ("doubled", found.doubled.to_string()),
            (
                "**doubled without having been in flight at a fault**",
                format!("**{}**", found.unexplained),
            ),
            (
                "**other violations**",
                format!(
                    "**{}**",
                    found.violations - found.lost.min(found.violations) - found.unexplained
                ),
            ),
            (
                "sent again within an attempt: the receiver broke the connection",
                found.sent_again.to_string(),
            ),
            ("kill points not passed in time", self.missed.to_string()),
            (
                "largest process, by minute of the runs (MiB)",
                resident.join(", "),
            ),
        ] {
            if name == "runs" {
                writeln!(formatter, "| all runs | |\n|---|---|")?;
            }
            writeln!(formatter, "| {name} | {value} |")?;
        }
        writeln!(
            formatter,
            "\n| fault | times | in flight | doubled | slowest, after its restart | slowest, by another | longest standstill | … after its end |\n|---|---|---|---|---|---|---|---|"
        )?;
        let (inflicted, followed): (Vec<_>, Vec<_>) =
            found.faults.iter().partition(|(_, toll)| toll.is_fault);
        for (fault, toll) in inflicted {
            writeln!(formatter, "{}", row(fault, toll))?;
        }
        for (consequence, toll) in followed {
            writeln!(formatter, "{}", row(&format!("({consequence})"), toll))?;
        }
        Ok(())
    }
}

fn row(fault: &str, toll: &Toll) -> String {
    let seconds = |millis: Option<u64>| {
        millis.map_or_else(String::new, |millis| {
            format!("{:.1} s", millis as f64 / 1_000.0)
        })
    };
    let Toll {
        strikes,
        in_flight,
        doubled,
        slowest_after_restart,
        slowest_takeover,
        longest_standstill,
        slowest_recovery,
        ..
    } = toll;
    format!(
        "| {fault} | {strikes} | {in_flight} | {doubled} | {} | {} | {} | {} |",
        seconds(*slowest_after_restart),
        seconds(*slowest_takeover),
        seconds(*longest_standstill),
        seconds(*slowest_recovery)
    )
}
