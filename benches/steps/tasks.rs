//! Tasks between records and memory.

use gungraun::library_benchmark;
use hooktide::dispatcher::held_task::{HeldTask, HeldTaskError};
use hooktide::kafka::record::Incoming;
use hooktide::record::{Headers, TaskHeaders};

use crate::scene::{kept, task, task_headers};

#[library_benchmark]
#[bench::headers(kept(task_headers()))]
pub fn writing_task(headers: &'static TaskHeaders) -> Headers {
    headers.encode()
}

#[library_benchmark]
#[bench::record(kept(task()))]
pub fn reading_task(record: &'static Incoming) -> Result<HeldTask, HeldTaskError> {
    HeldTask::read(record, 0)
}
