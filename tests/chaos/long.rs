//! Runs until enough has been seen. Each run's report is a line of a file, and those that are there count:
//! so it can be ended at any time and goes on where it was.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

use crate::load::Load;
use crate::plan;
use crate::report::Sum;
use crate::run::{Report, Script, run as run_one};
use crate::support::{Bed, watchdog};

/// A run that takes longer has failed.
const LIMIT: Duration = Duration::from_mins(60);

/// The long crash test. Stops when there were enough faults and deliveries, kill points included.
#[derive(Clone, Debug, Parser)]
#[command(name = "cargo test --test chaos --")]
pub struct Arguments {
    /// Run the long one.
    #[arg(long, required = true)]
    long: bool,
    /// Faults in all.
    #[arg(long, default_value_t = 200)]
    faults: u64,
    /// Deliveries in all.
    #[arg(long, default_value_t = 1_000_000)]
    deliveries: u64,
    /// The first seed; each run has the next one.
    #[arg(long, default_value_t = 1_000)]
    seed: u64,
    /// Reports of runs, one a line: those that are there count, new ones are added.
    #[arg(long, default_value_os_t = default_state())]
    state: PathBuf,
    /// Faults of a run of mixed ones.
    #[arg(long, default_value_t = 28)]
    per_run: usize,
    /// Events a second; each makes seven deliveries.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Static members.
    #[arg(long, default_value_t = 3)]
    members: usize,
    /// Every so many runs one goes through all kill points; 0: none does, 1: each does.
    #[arg(long, default_value_t = 3)]
    points_every: u64,
    /// How often such a run goes through each of them.
    #[arg(long, default_value_t = 4)]
    times: usize,
    /// At most so many runs now.
    #[arg(long)]
    runs: Option<u64>,
    /// Keep what the processes said, even if all is well.
    #[arg(long)]
    keep: bool,
    /// Only tell what the file holds.
    #[arg(long)]
    sum: bool,
}

fn default_state() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.with_file_name("chaos").join("reports.jsonl")
}

impl Arguments {
    /// None: the short one is asked for.
    pub fn of_this_process() -> Option<Self> {
        let is_long = std::env::args().any(|argument| argument == "--long");
        is_long.then(Self::parse)
    }
}

/// Runs the long one.
#[expect(clippy::print_stderr, reason = "a command's last word")]
pub fn run(arguments: Arguments) -> ExitCode {
    let result = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("a runtime")
        .and_then(|runtime| runtime.block_on(all(&arguments)));
    watchdog::end();
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "what a command is for")]
async fn all(arguments: &Arguments) -> anyhow::Result<bool> {
    let mut sum = Sum::default();
    let mut next = arguments.seed;
    for report in reports(&arguments.state)? {
        sum.add(&report);
        next = next.max(report.seed + 1);
    }
    let mut runs = 0;
    while !arguments.sum
        && (sum.faults() < arguments.faults || sum.deliveries() < arguments.deliveries)
        && arguments.runs.is_none_or(|most| runs < most)
    {
        let script = script(arguments, next);
        println!("run with seed {next}, {}", script.kind);
        let report = one(script, arguments).await?;
        keep(&arguments.state, &report)?;
        sum.add(&report);
        for evidence in &report.verdict.evidence {
            println!("  {evidence}");
        }
        println!(
            "  {} s, {} deliveries, lost {}, doubled {}, violations {}; in all {} faults, {} deliveries",
            report.seconds,
            report.verdict.deliveries,
            report.verdict.lost,
            report.verdict.doubled,
            report.verdict.violations,
            sum.faults(),
            sum.deliveries(),
        );
        next += 1;
        runs += 1;
    }
    println!("\n{sum}");
    Ok(sum.is_good())
}

fn script(arguments: &Arguments, seed: u64) -> Script {
    let members = arguments.members;
    let is_of_points = arguments.points_every > 0 && seed.is_multiple_of(arguments.points_every);
    let (kind, faults) = match is_of_points {
        true => (
            "kill points",
            plan::at_each_point(seed, arguments.times, members),
        ),
        false => ("mixed", vec![plan::mixed(seed, arguments.per_run, members)]),
    };
    Script {
        kind,
        seed,
        members,
        faults,
        load: Load {
            rate: arguments.rate,
            most_open: 10_000,
        },
    }
}

/// Does one run with a broker of its own. What its processes said is kept if a promise did not hold.
async fn one(script: Script, arguments: &Arguments) -> anyhow::Result<Report> {
    let seed = script.seed;
    let bed = Bed::alone(&format!("run-{seed}"))?;
    let (bed, broker) = bed
        .with_broker_apart()?
        .context("the long crash test needs Java and Kafka's jars")?;
    let report = tokio::time::timeout(LIMIT, run_one(&bed, Some(broker), script)).await;
    let report = report.context("took too long").flatten();
    let is_good = report.as_ref().is_ok_and(|report| report.verdict.is_good());
    if is_good && !arguments.keep {
        fs::remove_dir_all(bed.folder())?;
    } else {
        let kept = arguments.state.with_extension(format!("seed-{seed}"));
        fs::create_dir_all(kept.parent().context("a file's folder")?)?;
        fs::rename(bed.folder(), kept)?;
    }
    report
}

fn reports(state: &Path) -> anyhow::Result<Vec<Report>> {
    if !state.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(state)?;
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).with_context(|| format!("a line of {state:?}")))
        .collect()
}

fn keep(state: &Path, report: &Report) -> anyhow::Result<()> {
    fs::create_dir_all(state.parent().context("a file's folder")?)?;
    let mut file = OpenOptions::new().create(true).append(true).open(state)?;
    // One write: a line is there or it is not.
    file.write_all(format!("{}\n", serde_json::to_string(report)?).as_bytes())?;
    Ok(())
}
