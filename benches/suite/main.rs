//! The whole of docs/performance.md by one command: starts a Kafka, runs `hooktide bench` once for each
//! scenario, keeps what it reports under the target folder, and writes tables and plots from that.
//!
//! ```text
//! cargo bench --bench suite                               # all that has no result yet
//! cargo bench --bench suite -- one-to-one fan-out-10      # these, anew
//! ```
#![allow(unreachable_pub, reason = "a program has no outside")]

#[path = "../../tests/it"]
#[allow(unused_imports, unused_macros, reason = "tests have more of a bed")]
mod it {
    pub mod support;
}

mod chart;
#[path = "../../tests/peers/java.rs"]
mod java;
mod kept;
mod machine;
mod marked;
mod page;
mod peers;
mod scenario;
mod tables;
mod target;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Parser;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use it::support;
use kept::{Kept, Run};
use scenario::Scenario;
use support::broker::Broker;
use support::broker::node::Plan;
use support::watchdog;

/// The most memory of the broker, in MiB.
const HEAP: u32 = 1_024;

/// How often [`scenario::WARM_UP`] is run on a Kafka that was just started: the broker takes 100 µs of CPU for a
/// delivery in the first of them, and 10 µs after the last.
const WARM_UPS: u32 = 4;

/// Measures, and writes docs/performance.md
#[derive(Debug, Parser)]
struct Arguments {
    /// Scenarios to measure anew; without any, all that have no result yet
    scenarios: Vec<String>,
    /// Measure on this Kafka; without it one is started
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: Option<String>,
    /// Measure this binary; without it the one that is built for this
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_hooktide"))]
    hooktide: PathBuf,
    /// Measure everything anew
    #[arg(long)]
    anew: bool,
    /// Only write what is kept
    #[arg(long)]
    render: bool,
    /// Say what there is
    #[arg(long)]
    list: bool,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let done = run(&Arguments::parse());
    watchdog::end();
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// False: not everything could be measured.
fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    if arguments.list {
        for Scenario {
            name, arguments, ..
        } in scenario::all()
        {
            say(&format!("{name:<16} hooktide bench {arguments}"));
        }
        return Ok(true);
    }
    let mut kept = Kept::load()?;
    let mut failed = 0;
    if !arguments.render {
        let chosen = chosen(arguments, &kept)?;
        if !chosen.is_empty() {
            failed = measure(&chosen, arguments, &mut kept)?;
        }
    }
    page::write(&kept)?;
    say("written: docs/performance.md");
    Ok(failed == 0)
}

fn chosen(arguments: &Arguments, kept: &Kept) -> anyhow::Result<Vec<Scenario>> {
    let mut all = scenario::all();
    let is_known = |name: &String| all.iter().any(|it| it.name == name);
    if let Some(unknown) = arguments.scenarios.iter().find(|name| !is_known(name)) {
        bail!("there is no scenario {unknown}; --list says which there are");
    }
    all.retain(|scenario| {
        let is_named = arguments.scenarios.iter().any(|name| name == scenario.name);
        let is_all = arguments.scenarios.is_empty();
        is_named || (is_all && (arguments.anew || !kept.has(scenario.name)))
    });
    Ok(all)
}

/// How many could not be measured.
fn measure(
    scenarios: &[Scenario],
    arguments: &Arguments,
    kept: &mut Kept,
) -> anyhow::Result<usize> {
    let bootstrap = arguments.bootstrap.as_deref();
    let own = match bootstrap {
        Some(_) => None,
        None => {
            say("starting Kafka");
            let plan = Plan::for_measuring(1, HEAP)?;
            let started = Broker::start_apart_as(plan, &watchdog::folder().join("broker"));
            Some(started.context("no Kafka: give one with --bootstrap")?)
        }
    };
    let servers = match (&own, bootstrap) {
        (Some(broker), _) => broker.kafka().bootstrap_servers(),
        (None, given) => given.unwrap_or_default(),
    };
    if own.is_some() {
        say("warming it up: its compiler takes a million records until it is done");
        for _ in 0..WARM_UPS {
            report(&scenario::WARM_UP, &arguments.hooktide, servers)?;
        }
    }
    let machine = machine::machine(bootstrap.is_some());
    let mut failed = 0;
    for (number, scenario) in (1..).zip(scenarios) {
        let began = Instant::now();
        let head = format!("[{number}/{}] {:<16}", scenarios.len(), scenario.name);
        match report(scenario, &arguments.hooktide, servers) {
            Ok(report) => {
                say(&format!("{head} {}", short(&report, began)));
                kept.add(kept_as(scenario, &machine, report)?)?;
            }
            Err(error) => {
                say(&format!("{head} FAILED: {error:#}"));
                failed += 1;
            }
        }
    }
    if let Some(broker) = own {
        broker.stop();
    }
    Ok(failed)
}

fn kept_as(
    scenario: &Scenario,
    machine: &BTreeMap<String, String>,
    report: Value,
) -> anyhow::Result<Run> {
    Ok(Run {
        scenario: scenario.name.to_owned(),
        at: OffsetDateTime::now_utc().format(&Rfc3339)?,
        machine: machine.clone(),
        report,
    })
}

/// Runs it.
fn report(scenario: &Scenario, hooktide: &Path, servers: &str) -> anyhow::Result<Value> {
    let mut command = Command::new(hooktide);
    command
        .args(["bench", "--output", "json", "--bootstrap", servers])
        .args(scenario.arguments.split(' '))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    if let Some(program) = peers::command(scenario.subject)? {
        command.args(["--instead", &program]);
    }
    let output = command.output()?;
    if !output.status.success() {
        bail!("hooktide bench ended with {}", output.status);
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// What a run came to, in a line.
fn short(report: &Value, began: Instant) -> String {
    let number = |pointer| report.pointer(pointer).and_then(Value::as_f64);
    format!(
        "{}/s, {} µs of CPU each, p99 {} ms ({:.0} s)",
        tables::whole(number("/hooktide/per_second")),
        tables::whole(number("/hooktide/cpu_s_per_1000").map(|it| it * 1_000.0)),
        tables::whole(number("/latency_ms/p99")),
        began.elapsed().as_secs_f64(),
    )
}

#[expect(clippy::print_stderr, reason = "how far it is")]
fn say(line: &str) {
    eprintln!("{line}");
}
