//! The process that posts as plainly as can be, with the client that most programs use, and says what
//! that costs: no policy, no signature, no bounds, nothing that is remembered.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::{Client, header};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use url::Url;

use super::report::Figures;
use super::usage::Usage;
use super::{BenchError, load};
use crate::http;

/// What the loop says when it is done.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Done {
    /// How long it took.
    pub(super) seconds: f64,
    /// What the process has used, starting included; none where that is not known.
    pub(super) used: Option<Usage>,
}

impl Done {
    /// What it comes to, for so many.
    pub(super) fn figures(&self, count: u64) -> Figures {
        let took = Duration::from_secs_f64(self.seconds);
        Figures::between(Some(Usage::default()), self.used, count, took)
    }
}

/// Posts an event of `size` bytes `requests` times, `concurrency` at once, to an endpoint that counts
/// but does not tell them apart.
///
/// # Errors
/// A request fails: a yardstick has no failures.
pub fn run(
    url: &Url,
    ca_file: Option<&Path>,
    requests: u64,
    size: usize,
    concurrency: usize,
) -> Result<Done, BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let body = Bytes::from(load::event(0, &load::event_type(0), size, load::now()));
    // Used for https alone, but the client is not made without.
    let tls = http::client_tls(ca_file, None).map_err(std::io::Error::other)?;
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .tcp_nodelay(true)
        .pool_max_idle_per_host(concurrency)
        .build()?;
    let took = runtime.block_on(post(client, url, body, requests, concurrency))?;
    runtime.shutdown_timeout(Duration::ZERO);
    Ok(Done {
        seconds: took.as_secs_f64(),
        used: Usage::of(std::process::id()),
    })
}

async fn post(
    client: Client,
    url: &Url,
    body: Bytes,
    requests: u64,
    concurrency: usize,
) -> Result<Duration, BenchError> {
    let left = Arc::new(AtomicU64::new(requests));
    let began = Instant::now();
    let mut loops = JoinSet::new();
    for _ in 0..concurrency {
        let (client, url) = (client.clone(), url.clone());
        let (body, left) = (body.clone(), Arc::clone(&left));
        loops.spawn(async move {
            let take = |left: u64| left.checked_sub(1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok()
            {
                let request = client
                    .post(url.clone())
                    .header(header::CONTENT_TYPE, "application/json")
                    .body(body.clone());
                let response = request.send().await?.error_for_status()?;
                response.bytes().await?;
            }
            Ok::<_, reqwest::Error>(())
        });
    }
    while let Some(ended) = loops.join_next().await {
        ended.map_err(std::io::Error::other)??;
    }
    Ok(began.elapsed())
}
