//! The steps as gungraun has them: run by Callgrind, which counts what is in a benchmark's function and
//! nothing of what prepares it.

use std::env;

use gungraun::{Callgrind, LibraryBenchmarkConfig, library_benchmark_group, main};

use crate::dispatcher::{making_request, signing, writing_attempt};
use crate::offsets::{
    finished_set, finishing_offsets, reading_metadata, taking_offsets, writing_metadata,
};
use crate::router::{filtering, filtering_where, matching, reading_event, rendering, routing};
use crate::tasks::{reading_task, writing_task};

/// Set for the process that shall be the harness.
pub const ASKED: &str = "HOOKTIDE_STEPS_HARNESS";

/// Whether this process is one of gungraun's.
pub fn is_asked_for() -> bool {
    let is_step = env::args().nth(1).is_some_and(|it| it == "--gungraun-run");
    is_step || env::var_os(ASKED).is_some()
}

/// Runs it. Ends the process where something fails.
pub fn run() {
    main();
}

library_benchmark_group!(
    name = routers,
    benchmarks = [
        reading_event,
        matching,
        filtering,
        filtering_where,
        rendering,
        routing
    ]
);
library_benchmark_group!(
    name = dispatchers,
    benchmarks = [
        reading_task,
        signing,
        making_request,
        writing_task,
        writing_attempt
    ]
);
library_benchmark_group!(
    name = commits,
    benchmarks = [
        taking_offsets,
        finishing_offsets,
        finished_set,
        writing_metadata,
        reading_metadata
    ]
);

main!(
    // Instructions alone: without a model of caches it takes half the time.
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = [routers, dispatchers, commits]
);
