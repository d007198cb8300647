//! Results that are kept: one line of JSON for each run, the newest of a scenario counts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What came of a run, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// The scenario's name.
    pub scenario: String,
    /// When it ended, RFC 3339.
    pub at: String,
    /// The machine and what ran on it.
    pub machine: BTreeMap<String, String>,
    /// What `hooktide bench` reports.
    pub report: Value,
}

/// The newest run of each scenario.
#[derive(Clone, Debug, Default)]
pub struct Kept(BTreeMap<String, Run>);

impl Kept {
    /// From lines, the oldest first. What is no run of ours is passed over.
    pub fn read(lines: &str) -> Self {
        let runs = lines
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let by_name = runs.map(|run: Run| (run.scenario.clone(), run));
        Self(by_name.collect())
    }

    /// From the target folder.
    pub fn load() -> io::Result<Self> {
        match fs::read_to_string(file()?) {
            Ok(lines) => Ok(Self::read(&lines)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Keeps one more.
    pub fn add(&mut self, run: Run) -> io::Result<()> {
        let line = serde_json::to_string(&run)?;
        let mut file = File::options().create(true).append(true).open(file()?)?;
        writeln!(file, "{line}")?;
        self.0.insert(run.scenario.clone(), run);
        Ok(())
    }

    /// Whether there is one of this scenario.
    pub fn has(&self, scenario: &str) -> bool {
        self.0.contains_key(scenario)
    }

    /// All machines that runs are of: one, if they can be compared.
    pub fn machines(&self) -> Vec<&BTreeMap<String, String>> {
        let mut machines: Vec<_> = self.0.values().map(|run| &run.machine).collect();
        machines.sort();
        machines.dedup();
        machines
    }

    /// The days of the first and the last run.
    pub fn days(&self) -> Option<(&str, &str)> {
        let days = || self.0.values().filter_map(|run| run.at.get(..10));
        days().min().zip(days().max())
    }

    /// A value of a report, by its JSON pointer.
    pub fn value(&self, scenario: &str, pointer: &str) -> Option<&Value> {
        self.0.get(scenario)?.report.pointer(pointer)
    }

    /// A number of a report.
    pub fn number(&self, scenario: &str, pointer: &str) -> Option<f64> {
        self.value(scenario, pointer)?.as_f64()
    }
}

fn file() -> io::Result<PathBuf> {
    // CARGO_TARGET_TMPDIR is the target folder's `tmp`.
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("suite");
    fs::create_dir_all(&folder)?;
    Ok(folder.join("results.jsonl"))
}
