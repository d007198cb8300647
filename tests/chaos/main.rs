//! The crash test: the real binary as processes of their own against a real Kafka, a receiver that
//! records everything, and faults of all kinds; then every promise is held against what was seen.
//!
//! ```text
//! plan (seed) ──▶ run ──▶ faults ──▶ fleet: processes, brokers behind wires, receiver
//!                  │                    │ topics        │ requests    │ logs
//!                  └── load             ▼               ▼             ▼
//!                                     record ──────▶ judge ──────▶ report
//! ```
//!
//! `cargo test --test chaos` is short, with fixed seeds. `cargo test --test chaos -- --long` goes on
//! until enough has been seen; `long.rs` has its arguments.
#![allow(unreachable_pub, reason = "a test binary has no outside")]

/// The Kafka of a run, and the network before it.
mod brokers;
/// How each fault is inflicted.
mod faults;
/// The processes, and what was done to them.
mod fleet;
/// What is promised, held against what was seen.
mod judge;
/// Events.
mod load;
/// Many runs that add up.
mod long;
/// Which faults, in which order.
mod plan;
/// Who gets the requests.
mod receiver;
/// What was seen.
mod record;
/// Sums of runs, for people.
mod report;
/// One run.
mod run;
/// What the usual test command runs.
mod short;
/// What lies on the topics.
mod topics;

#[path = "../it"]
mod it {
    pub mod support;
}
use it::support;

use std::process::ExitCode;

fn main() -> ExitCode {
    match long::Arguments::of_this_process() {
        Some(arguments) => long::run(arguments),
        None => support::run([
            judge::tests::tests(),
            plan::tests::tests(),
            long::tests::tests(),
            short::unhurried(),
        ]),
    }
}
