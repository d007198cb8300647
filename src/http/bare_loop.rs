//! The plainest loop that posts: what a delivery is measured against. It has this package's HTTP
//! client and nothing else of it: no policy, no guard, no bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::uri::InvalidUri;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::TokioExecutor;
use thiserror::Error;
use tokio::task::JoinSet;
use url::Url;

/// Why the loop broke: a yardstick has no failures.
#[derive(Debug, Error)]
pub enum BareLoopError {
    /// The URL is none for HTTP.
    #[error("not a target")]
    Target(#[from] InvalidUri),
    /// No answer.
    #[error("a request failed")]
    Send(#[from] legacy::Error),
    /// An answer that is no success.
    #[error("the endpoint answered {0}")]
    Status(StatusCode),
    /// The answer broke off.
    #[error("an answer broke off")]
    Body(#[from] hyper::Error),
}

/// Posts `body` to `url` (plain http) `requests` times, `concurrency` at once, and returns how long it
/// took.
///
/// # Errors
/// A request fails.
pub async fn post(
    url: &Url,
    body: Bytes,
    requests: u64,
    concurrency: usize,
) -> Result<Duration, BareLoopError> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(concurrency)
        .build(connector);
    let uri = Uri::try_from(url.as_str())?;
    let left = Arc::new(AtomicU64::new(requests));
    let began = Instant::now();
    let mut loops = JoinSet::new();
    for _ in 0..concurrency {
        let (client, uri, body, left) =
            (client.clone(), uri.clone(), body.clone(), Arc::clone(&left));
        loops.spawn(async move {
            let take = |left: u64| left.checked_sub(1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok()
            {
                post_once(&client, &uri, body.clone()).await?;
            }
            Ok::<_, BareLoopError>(())
        });
    }
    while let Some(ended) = loops.join_next().await {
        if let Ok(result) = ended {
            result?;
        }
    }
    Ok(began.elapsed())
}

async fn post_once(
    client: &Client<HttpConnector, Full<Bytes>>,
    uri: &Uri,
    body: Bytes,
) -> Result<(), BareLoopError> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.clone();
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(CONTENT_TYPE, json);
    let response = client.request(request).await?;
    let status = response.status();
    response.into_body().collect().await?;
    if status.is_success() {
        Ok(())
    } else {
        Err(BareLoopError::Status(status))
    }
}
