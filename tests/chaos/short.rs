//! What the usual test command runs: fixed seeds, a few minutes.

use std::time::Duration;

use anyhow::ensure;

use crate::load::Load;
use crate::plan::{self, Fault, Layout};
use crate::report::Sum;
use crate::run::{Report, Script, run};
use crate::support::{Bed, Outcome, Test, tests};

tests! {
    plain: ;
    kafka:
        every_fault_once,
        every_kill_point_once,
}

/// For each of them, on a busy machine.
const LIMIT: Duration = Duration::from_mins(10);

/// Deliveries that may be under way, and events a second, beside other tests.
const LOAD: Load = Load {
    rate: 100,
    most_open: 2_000,
};

/// Those above, with the time that they need.
pub fn unhurried() -> Vec<Test> {
    let all = tests().into_iter();
    all.map(|test| test.within(LIMIT)).collect()
}

/// Static members.
const MEMBERS: usize = 2;

async fn every_fault_once(bed: Bed) -> Outcome {
    let kinds = plan::kinds(Layout::Alone);
    let faults = vec![plan::mixed(1, kinds, MEMBERS, Layout::Alone)];
    check(run(&bed, script("mixed", 1, faults)).await?)
}

async fn every_kill_point_once(bed: Bed) -> Outcome {
    let faults = plan::at_each_point(2, 1, MEMBERS);
    check(run(&bed, script("kill points", 2, faults)).await?)
}

fn script(kind: &str, seed: u64, faults: Vec<Vec<Fault>>) -> Script {
    Script {
        kind: kind.to_owned(),
        seed,
        layout: Layout::Alone,
        members: MEMBERS,
        faults,
        load: LOAD,
    }
}

#[expect(clippy::print_stderr, reason = "what a run has found is said")]
fn check(report: Option<Report>) -> Outcome {
    let Some(report) = report else {
        return Ok(());
    };
    let mut sum = Sum::default();
    sum.add(&report);
    eprintln!("{}, seed {}\n{sum}", report.kind, report.seed);
    ensure!(
        report.verdict.is_good(),
        "seed {}: {}",
        report.seed,
        report.verdict.evidence.join("\n")
    );
    ensure!(report.verdict.deliveries > 0, "nothing was delivered");
    Ok(())
}
