//! Runs until enough has been seen. Each run's report is a line of a file, and those that are there count:
//! so it can be ended at any time and goes on where it was.

pub mod tests;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

use crate::load::Load;
use crate::plan::{self, Layout};
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
    /// On a cluster of three, which loses brokers: any, those that coordinate, the controller.
    #[arg(long)]
    cluster: bool,
    /// Faults in all.
    #[arg(long, default_value_t = 200)]
    faults: u64,
    /// Deliveries in all.
    #[arg(long, default_value_t = 1_000_000)]
    deliveries: u64,
    /// The first seed; each run has the next one.
    #[arg(long, default_value_t = 1_000)]
    seed: u64,
    /// Reports of runs, one a line: those that are there count, new ones are added. Without it
    /// `reports.jsonl` in the target folder's `chaos`, of a cluster `cluster.jsonl`.
    #[arg(long)]
    state: Option<PathBuf>,
    /// Faults of a run of mixed ones. Without it each kind comes twice.
    #[arg(long)]
    per_run: Option<usize>,
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
    /// Faults of Kafka and of the network before it while such a run goes through them; 0: none.
    #[arg(long, default_value_t = 12)]
    beside: usize,
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

impl Arguments {
    /// None: the short one is asked for.
    pub fn of_this_process() -> Option<Self> {
        let is_long = std::env::args().any(|argument| argument == "--long");
        is_long.then(Self::parse)
    }

    fn layout(&self) -> Layout {
        match self.cluster {
            true => Layout::Cluster,
            false => Layout::Alone,
        }
    }

    /// Where the reports are.
    fn state(&self) -> PathBuf {
        let name = match self.layout() {
            Layout::Alone => "reports.jsonl",
            Layout::Cluster => "cluster.jsonl",
        };
        let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let usual = || tmp.with_file_name("chaos").join(name);
        self.state.clone().unwrap_or_else(usual)
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
    let state = arguments.state();
    for report in reports(&state)? {
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
        let report = one(script, arguments, &state).await?;
        keep(&state, &report)?;
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
    let (members, layout) = (arguments.members, arguments.layout());
    let is_of_points = arguments.points_every > 0 && seed.is_multiple_of(arguments.points_every);
    let (mut kind, faults) = match (is_of_points, arguments.beside) {
        (false, _) => {
            let count = arguments.per_run.unwrap_or(2 * plan::kinds(layout));
            let faults = plan::mixed(seed, count, members, layout);
            ("mixed".to_owned(), vec![faults])
        }
        (true, beside) => {
            let mut lists = plan::at_each_point(seed, arguments.times, members);
            let mut kind = "kill points".to_owned();
            if beside > 0 {
                lists.push(plan::of_kafka(seed, beside, members, layout));
                kind += " beside faults of Kafka";
            }
            (kind, lists)
        }
    };
    if layout == Layout::Cluster {
        kind += ", cluster of three";
    }
    Script {
        kind,
        seed,
        layout,
        members,
        faults,
        load: Load {
            rate: arguments.rate,
            most_open: 10_000,
        },
    }
}

/// Does one run with a Kafka of its own. What its processes said is kept if a promise did not hold.
async fn one(script: Script, arguments: &Arguments, state: &Path) -> anyhow::Result<Report> {
    let seed = script.seed;
    let bed = Bed::alone(&format!("run-{seed}"))?;
    let report = tokio::time::timeout(LIMIT, run_one(&bed, script)).await;
    let report = report.context("took too long").flatten();
    let report =
        report.and_then(|report| report.context("the long crash test needs Java and Kafka's jars"));
    let is_good = report.as_ref().is_ok_and(|report| report.verdict.is_good());
    if is_good && !arguments.keep {
        fs::remove_dir_all(bed.folder())?;
    } else {
        let kept = state.with_extension(format!("seed-{seed}"));
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
