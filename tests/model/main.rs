//! The commit protocol (ARCHITECTURE.md) checked as a model: every order of steps of two processes, a broker, and what
//! goes wrong, within a budget. The rules are those that the code asserts (`src/offset_tracker/invariants.rs`).

#![allow(
    clippy::print_stdout,
    reason = "what a search has reached, for `--nocapture`"
)]

mod broker;
mod flaw;
mod process;
mod protocol;

use std::thread::available_parallelism;

use stateright::{Checker, HasDiscoveries, Model};

use flaw::Flaw;
use protocol::{Budget, Protocol};

fn cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Reaches every state within the budget.
fn check(budget: Budget) {
    let flaw = None;
    let checker = Protocol { budget, flaw }.checker();
    let checked = checker.threads(cores()).spawn_bfs().join();
    println!(
        "{budget:?}: {} states, {} of them different, depth {}",
        checked.state_count(),
        checked.unique_state_count(),
        checked.max_depth(),
    );
    checked.assert_properties();
}

#[test]
fn nothing_is_lost_and_little_doubled_when_processes_die() {
    check(Budget {
        records: 2,
        assignments: 2,
        crashes: 1,
        failures: 0,
    });
}

#[test]
fn nothing_is_lost_and_little_doubled_when_all_of_it_happens() {
    check(Budget {
        records: 1,
        assignments: 3,
        crashes: 1,
        failures: 1,
    });
}

#[test]
fn nothing_is_lost_and_little_doubled_when_transactions_fail() {
    check(Budget {
        records: 2,
        assignments: 2,
        crashes: 0,
        failures: 1,
    });
}

/// What it takes to find a flaw, and the rule that turns out to be broken.
fn found_by(flaw: Flaw) -> (Budget, &'static str) {
    let (lost, once, rule) = (
        "nothing is lost",
        "what follows is committed once",
        "no step breaks a rule",
    );
    let (records, assignments, failures, broken) = match flaw {
        Flaw::NoFinishedSet => (2, 2, 0, once),
        Flaw::HighestSeenOnClose => (2, 1, 0, lost),
        Flaw::LateResultAfterRevoke => (1, 3, 0, once),
        Flaw::UnstableStart => (1, 2, 0, once),
        Flaw::SpansEpochs => (1, 3, 0, once),
        Flaw::NoLease => (1, 2, 0, rule),
        Flaw::UnknownIsFailed => (1, 1, 1, once),
        Flaw::UnknownIsDone => (2, 1, 1, lost),
    };
    let budget = Budget {
        records,
        assignments,
        crashes: 0,
        failures,
    };
    (budget, broken)
}

#[test]
fn each_flaw_is_found_out() {
    for flaw in flaw::ALL {
        let (budget, broken) = found_by(flaw);
        let protocol = Protocol {
            budget,
            flaw: Some(flaw),
        };
        let checker = protocol.checker().threads(cores());
        let found = HasDiscoveries::AnyOf([broken].into());
        let checked = checker.finish_when(found).spawn_bfs().join();
        let path = checked.assert_any_discovery(broken);
        println!(
            "{flaw:?}: {broken}? {} states, {:?}",
            checked.unique_state_count(),
            path.into_actions()
        );
    }
}
