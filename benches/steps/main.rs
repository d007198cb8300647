//! Instructions of the hot steps, each alone, held against `baseline.tsv`. They hardly depend on the machine or on
//! what else runs on it, so a regression is seen that times would drown.
//!
//! ```text
//! cargo bench --bench steps                     # all of them; fails where one takes over 10 % more than it did
//! cargo bench --bench steps -- signing          # those whose names contain it
//! HOOKTIDE_BLESS=1 cargo bench --bench steps    # what they take now is right
//! ```
#![allow(unreachable_pub, reason = "a program has no outside")]

mod baseline;
mod dispatcher;
mod harness;
#[path = "../suite/marked.rs"]
mod marked;
mod offsets;
mod router;
mod scene;
mod tasks;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

use anyhow::{Context, bail};
use clap::Parser;
use serde_json::Value;

use baseline::{Baseline, Count, Verdict, grouped};

const FILE: &str = "benches/steps/baseline.tsv";
const BLESS: &str = "HOOKTIDE_BLESS=1 cargo bench --bench steps";
const LOCK: &str = include_str!("../../Cargo.lock");

/// Counts instructions of the hot steps
#[derive(Debug, Parser)]
struct Arguments {
    /// Only steps whose names contain this
    step: Option<String>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    if harness::is_asked_for() {
        harness::run();
        return ExitCode::SUCCESS;
    }
    match run(Arguments::parse().step.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(step: Option<&str>) -> anyhow::Result<()> {
    let made_by = tools()?;
    let file = package().join(FILE);
    let text = fs::read_to_string(&file).context(FILE)?;
    let kept = Baseline::read(&text).context(FILE)?;
    let measured = measured(step, &kept)?;
    if env::var_os("HOOKTIDE_BLESS").is_none() {
        return judge(&kept, &measured, &made_by, step.is_none());
    }
    let others = match step {
        None => Baseline::default(),
        Some(_) if kept.made_by == made_by => kept,
        Some(_) => bail!("the others are by {}: bless all of them", kept.made_by),
    };
    let counts = others.with(measured).counts;
    write(&file, &Baseline { made_by, counts })
}

/// # Errors
/// A step takes more than it did, or is not the one that it was.
fn judge(kept: &Baseline, measured: &[Count], made_by: &str, is_all: bool) -> anyhow::Result<()> {
    if !kept.made_by.ends_with(env::consts::ARCH) {
        say("the baseline is of another processor: nothing is held against it");
        return Ok(());
    }
    let mut wrong = Vec::new();
    for count in measured {
        let verdict = kept.verdict(count);
        match verdict {
            Verdict::Same(_) => {}
            Verdict::Faster(..) => say(&format!("{}, keep it so: {BLESS}", told(count, verdict))),
            Verdict::Slower(..) | Verdict::New => wrong.push(told(count, verdict)),
        }
    }
    let gone = kept.missing(measured).filter(|_| is_all);
    wrong.extend(gone.map(|step| format!("{step}: not measured, but in {FILE}")));
    if wrong.is_empty() {
        return Ok(());
    }
    if compiler(&kept.made_by) != compiler(made_by) {
        say(&format!("the baseline is by {}", kept.made_by));
        say(&format!(
            "what is measured is by {made_by}: it is not held against it"
        ));
        say(&wrong.join("\n"));
        return Ok(());
    }
    bail!("\n{}\nwhere that is right: {BLESS}", wrong.join("\n"));
}

fn told(count: &Count, verdict: Verdict) -> String {
    let instructions = grouped(count.instructions);
    format!("{}: {instructions} instructions, {verdict}", count.step)
}

/// Runs the steps and says what each takes.
fn measured(step: Option<&str>, kept: &Baseline) -> anyhow::Result<Vec<Count>> {
    let mut command = Command::new(env::current_exe()?);
    command
        .env(harness::ASKED, "1")
        // Containers may not let addresses be fixed; counts differ by a thousandth without.
        .args([
            "--bench",
            "--output-format=json",
            "--parallel=auto",
            "--allow-aslr=yes",
        ])
        .args(step.map(|step| format!("*{}*", step.replace(' ', "::"))))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut counts = Vec::new();
    let lines = child.stdout.take().map(BufReader::new).context("no pipe")?;
    for summary in lines.lines() {
        let count = count(&summary?)?;
        let (instructions, verdict) = (grouped(count.instructions), kept.verdict(&count));
        say(&format!("{:<48} {instructions:>12}  {verdict}", count.step));
        counts.push(count);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("gungraun-runner ended with {status}");
    }
    if counts.is_empty() {
        bail!("there is no such step");
    }
    Ok(counts)
}

/// From gungraun's summary of a benchmark.
fn count(summary: &str) -> anyhow::Result<Count> {
    let said: Value = serde_json::from_str(summary).with_context(|| summary.to_owned())?;
    let text = |name: &str| said[name].as_str().context("a summary without a name");
    let instructions = said.pointer("/profiles/0/data/total/metrics/Ir/values/new");
    Ok(Count {
        step: format!("{} {}", text("function_name")?, text("id")?),
        instructions: instructions
            .and_then(Value::as_u64)
            .context("a summary without instructions")?,
    })
}

/// Keeps the counts, and writes the page's table.
fn write(file: &Path, baseline: &Baseline) -> anyhow::Result<()> {
    fs::write(file, baseline.text())?;
    let file = package().join("docs/performance.md");
    let page = fs::read_to_string(&file)?;
    let with = marked::with_part(&page, baseline::MARKERS, &baseline.table());
    fs::write(file, with.context("docs/performance.md has no markers")?)?;
    say(&format!("written: {FILE}, docs/performance.md"));
    Ok(())
}

/// By what instructions are made and counted.
///
/// # Errors
/// Something is not there, and how to get it.
fn tools() -> anyhow::Result<String> {
    let version = LOCK
        .split_once("name = \"gungraun\"\nversion = \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or("", |(version, _)| version);
    let runner = first_line("gungraun-runner", "--version").unwrap_or_default();
    if runner.split(' ').next_back() != Some(version) {
        bail!(
            "gungraun-runner {version} is needed: cargo install gungraun-runner --version {version} --locked"
        );
    }
    let valgrind = first_line("valgrind", "--version");
    let valgrind = valgrind.context("valgrind is needed: apt-get install valgrind, or the like")?;
    let compiler = first_line("rustc", "--version").unwrap_or_default();
    Ok(format!("{compiler}, {valgrind}, {}", env::consts::ARCH))
}

/// The part of [`tools`] that makes the instructions.
fn compiler(made_by: &str) -> Option<&str> {
    made_by.split(", ").next()
}

/// What a program says first; none if it cannot be run.
fn first_line(program: &str, arguments: &str) -> Option<String> {
    let output = Command::new(program).args(arguments.split(' ')).output();
    let said = String::from_utf8(output.ok()?.stdout).ok()?;
    said.lines().next().map(str::to_owned)
}

fn package() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

#[expect(clippy::print_stderr, reason = "what it is for")]
fn say(line: &str) {
    eprintln!("{line}");
}
