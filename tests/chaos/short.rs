//! What the usual test command runs: fixed seeds, a few minutes.

use std::time::Duration;

use anyhow::ensure;

use crate::load::Load;
use crate::plan;
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

async fn every_fault_once(bed: Bed) -> Outcome {
    let Some((bed, broker)) = bed.with_broker_apart()? else {
        return Ok(());
    };
    const MEMBERS: usize = 2;
    let script = Script {
        kind: "mixed",
        seed: 1,
        members: MEMBERS,
        faults: vec![plan::mixed(1, plan::KINDS, MEMBERS)],
        load: LOAD,
    };
    check(&run(&bed, Some(broker), script).await?)
}

async fn every_kill_point_once(bed: Bed) -> Outcome {
    let Some((bed, broker)) = bed.with_broker_apart()? else {
        return Ok(());
    };
    const MEMBERS: usize = 2;
    let script = Script {
        kind: "kill points",
        seed: 2,
        members: MEMBERS,
        faults: plan::at_each_point(2, 1, MEMBERS),
        load: LOAD,
    };
    check(&run(&bed, Some(broker), script).await?)
}

#[expect(clippy::print_stderr, reason = "what a run has found is said")]
fn check(report: &Report) -> Outcome {
    let mut sum = Sum::default();
    sum.add(report);
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
