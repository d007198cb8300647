//! The process that posts as plainly as can be, and says what that costs.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use url::Url;

use super::usage::Usage;
use super::{BenchError, load};
use crate::http::bare_loop;

/// What the loop says when it is done.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Done {
    /// How long it took.
    pub(super) seconds: f64,
    /// What the process has used, starting included; none where that is not known.
    pub(super) used: Option<Usage>,
}

/// Posts an event of `size` bytes `requests` times, `concurrency` at once, to an endpoint that counts
/// but does not tell them apart.
///
/// # Errors
/// See [`bare_loop::post`].
pub fn run(url: &Url, requests: u64, size: usize, concurrency: usize) -> Result<Done, BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let body = Bytes::from(load::event(0, &load::event_type(0), size, load::now()));
    let took = runtime.block_on(bare_loop::post(url, body, requests, concurrency))?;
    runtime.shutdown_timeout(Duration::ZERO);
    Ok(Done {
        seconds: took.as_secs_f64(),
        used: Usage::of(std::process::id()),
    })
}
