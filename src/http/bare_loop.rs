//! The plainest loop that posts: what a delivery is measured against. It has this package's HTTP
//! client and nothing else of it: no policy, no guard, no bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::{Client, Url, header};
use tokio::task::JoinSet;

use super::tls;

/// Posts `body` to `url` `requests` times, `concurrency` at once, and returns how long it took.
///
/// # Errors
/// The client cannot be made, or a request fails: a yardstick has no failures.
pub async fn post(
    url: &Url,
    body: Bytes,
    requests: u64,
    concurrency: usize,
) -> Result<Duration, super::ClientError> {
    let client = Client::builder()
        .tls_backend_preconfigured(tls::client_config(None)?)
        .no_proxy()
        .tcp_nodelay(true)
        .pool_max_idle_per_host(concurrency)
        .build()?;
    let left = Arc::new(AtomicU64::new(requests));
    let began = Instant::now();
    let mut loops = JoinSet::new();
    for _ in 0..concurrency {
        let (client, url, body, left) =
            (client.clone(), url.clone(), body.clone(), Arc::clone(&left));
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
        if let Ok(result) = ended {
            result?;
        }
    }
    Ok(began.elapsed())
}
