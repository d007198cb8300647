//! What each step took when somebody last said that this is right, and what is made of a count that is
//! held against it.

use std::fmt;

/// How far from its baseline a count may be, in percent of that.
const TOLERANCE: f64 = 10.0;

/// What stands above the counts.
const NOTE: &str =
    "# Instructions of each step; `HOOKTIDE_BLESS=1 cargo bench --bench steps` writes them anew.";

/// The table of docs/performance.md lies between these lines.
pub const MARKERS: [&str; 2] = [
    "<!-- Written by `HOOKTIDE_BLESS=1 cargo bench --bench steps`: -->",
    "<!-- : until here. -->",
];

/// Instructions of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Its name: two words with a space between.
    pub step: String,
    /// How many.
    pub instructions: u64,
}

/// What is kept, in the order in which it is measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    /// Compiler, processor and Valgrind: with others the counts are others.
    pub made_by: String,
    /// One of each step.
    pub counts: Vec<Count>,
}

/// What a count is, held against the baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// So many percent more or less, which is nothing.
    Same(f64),
    /// So many percent more than this.
    Slower(f64, u64),
    /// So many percent less than this.
    Faster(f64, u64),
    /// There is no baseline.
    New,
}

/// A line that is none of a baseline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {0} is not a step, a tab and a number")]
pub struct BadLine(usize);

impl Baseline {
    /// Reads the file.
    ///
    /// # Errors
    /// Names the line.
    pub fn read(text: &str) -> Result<Self, BadLine> {
        let mut read = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(said) = line.strip_prefix("# by ") {
                said.clone_into(&mut read.made_by);
            } else if !line.is_empty() && !line.starts_with('#') {
                let (step, instructions) = line.split_once('\t').ok_or(BadLine(number))?;
                read.counts.push(Count {
                    step: step.to_owned(),
                    instructions: instructions.parse().map_err(|_| BadLine(number))?,
                });
            }
        }
        Ok(read)
    }

    /// As it is kept.
    pub fn text(&self) -> String {
        let mut text = format!("{NOTE}\n# by {}\n", self.made_by);
        for count in &self.counts {
            text += &format!("{}\t{}\n", count.step, count.instructions);
        }
        text
    }

    /// What is kept of a step.
    pub fn of(&self, step: &str) -> Option<u64> {
        let count = self.counts.iter().find(|count| count.step == step);
        count.map(|count| count.instructions)
    }

    /// Holds a count against it.
    pub fn verdict(&self, count: &Count) -> Verdict {
        let Some(was) = self.of(&count.step) else {
            return Verdict::New;
        };
        let percent = (count.instructions as f64 / was.max(1) as f64 - 1.0) * 100.0;
        match percent {
            more if more > TOLERANCE => Verdict::Slower(more, was),
            less if less < -TOLERANCE => Verdict::Faster(-less, was),
            same => Verdict::Same(same),
        }
    }

    /// Steps that are kept and were not measured.
    pub fn missing<'a>(&'a self, measured: &'a [Count]) -> impl Iterator<Item = &'a str> {
        let steps = self.counts.iter().map(|count| &*count.step);
        steps.filter(|step| measured.iter().all(|count| count.step != *step))
    }

    /// With these in place of what was kept of their steps.
    pub fn with(mut self, measured: Vec<Count>) -> Self {
        for count in measured {
            match self.counts.iter_mut().find(|it| it.step == count.step) {
                Some(kept) => *kept = count,
                None => self.counts.push(count),
            }
        }
        self
    }

    /// As a table of a page.
    pub fn table(&self) -> String {
        let mut table = "| step | instructions |\n|---|---:|\n".to_owned();
        for Count { step, instructions } in &self.counts {
            let (what, of) = step.split_once(' ').unwrap_or((step, ""));
            let (of, instructions) = (of.replace('_', " "), grouped(*instructions));
            table += &format!("| `{what}` {of} | {instructions} |\n");
        }
        table
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same(percent) => write!(formatter, "{percent:+.1} %"),
            Self::Slower(percent, was) => {
                write!(formatter, "{percent:.1} % more than {}", grouped(*was))
            }
            Self::Faster(percent, was) => {
                write!(formatter, "{percent:.1} % less than {}", grouped(*was))
            }
            Self::New => formatter.write_str("no baseline"),
        }
    }
}

/// With a comma before each three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
