//! Sends one request and reads what comes back, with everything about it bounded: time, bytes,
//! addresses, redirects (none).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::RETRY_AFTER;
use reqwest::{Body, Response, redirect};
use thiserror::Error;
use tokio::time::{Instant, timeout};

use super::address_policy::AddressPolicy;
use super::departure::GuardedBody;
use super::exchange::{Answer, ErrorClass, Exchange, Failure, Request};
use super::failure;
use super::lookups::Lookups;
use super::resolver::Resolver;
use super::tls::{self, TlsError};

/// How a [`Client`] behaves towards all endpoints.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which addresses may be dialled.
    pub address_policy: AddressPolicy,
    /// The most that look-up, connect and TLS handshake may take together.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept. Below the 60 s after which common load balancers
    /// close theirs, so that a request seldom meets a closing connection.
    pub pool_idle_timeout: Duration,
    /// How many unused connections are kept for one host.
    pub pool_max_idle_per_host: usize,
    /// How much of an answer's body is kept, in bytes after decompression.
    pub keep_response_bytes: usize,
    /// How much of an answer's body is read before the connection is given up, in bytes after
    /// decompression. Reading on beyond what is kept lets the connection be used again.
    pub max_response_bytes: usize,
    /// The `user-agent` of requests that name none.
    pub user_agent: String,
    /// A PEM file of certificate authorities that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address_policy: AddressPolicy::default(),
            connect_timeout: Duration::from_secs(10),
            pool_idle_timeout: Duration::from_secs(55),
            pool_max_idle_per_host: 64,
            keep_response_bytes: 1024,
            max_response_bytes: 64 * 1024,
            user_agent: concat!("hooktide/", env!("CARGO_PKG_VERSION")).to_owned(),
            ca_file: None,
        }
    }
}

/// Why a [`Client`] cannot be made.
#[derive(Debug, Error)]
pub enum ClientError {
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A setting that the HTTP client refuses.
    #[error("cannot set up the http client")]
    Setup(#[from] reqwest::Error),
}

/// Sends requests; cheap to clone, connections are shared between clones.
#[derive(Clone, Debug)]
pub struct Client {
    encrypted: reqwest::Client,
    /// Apart, because its resolver has a stricter rule.
    plain: reqwest::Client,
    address_policy: Arc<AddressPolicy>,
    keep_response_bytes: usize,
    max_response_bytes: usize,
}

impl Client {
    /// Makes a client; reads the trusted certificates.
    ///
    /// # Errors
    /// [`ClientError`] when a certificate file or a setting is unusable.
    pub fn new(settings: &Settings) -> Result<Self, ClientError> {
        let address_policy = Arc::new(settings.address_policy.clone());
        let lookups = Arc::new(Lookups::default());
        let tls = tls::client_config(settings.ca_file.as_deref())?;
        let build = |plaintext| {
            let resolver = Resolver {
                policy: Arc::clone(&address_policy),
                lookups: Arc::clone(&lookups),
                plaintext,
            };
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .dns_resolver(Arc::new(resolver))
                .redirect(redirect::Policy::none())
                .referer(false)
                // A proxy would look names up and dial by itself, past the address policy.
                .no_proxy()
                .gzip(true)
                .tcp_nodelay(true)
                .user_agent(&settings.user_agent)
                .connect_timeout(settings.connect_timeout)
                .pool_idle_timeout(settings.pool_idle_timeout)
                .pool_max_idle_per_host(settings.pool_max_idle_per_host)
                // What an endpoint may make us hold unread, per answer and per connection.
                .http2_initial_stream_window_size(64 * 1024)
                .http2_initial_connection_window_size(1024 * 1024)
                // A connection that silently died would otherwise fail every request by timeout.
                .http2_keep_alive_interval(Duration::from_secs(20))
                .http2_keep_alive_timeout(Duration::from_secs(10))
                .build()
        };
        Ok(Self {
            encrypted: build(false)?,
            plain: build(true)?,
            address_policy,
            keep_response_bytes: settings.keep_response_bytes,
            max_response_bytes: settings.max_response_bytes,
        })
    }

    /// Sends a request, once. (A request that certainly was not processed, as the pooled connection
    /// was closed before it was written or the server said so by HTTP/2, is sent again on another.)
    pub async fn send(&self, request: Request) -> Exchange {
        let started = Instant::now();
        let result = self
            .exchange(request, started, || true)
            .await
            .unwrap_or_else(|| Err(Failure::new(ErrorClass::Internal, "held back")));
        Exchange {
            duration: started.elapsed(),
            result,
        }
    }

    /// The same, but its body leaves only if `may_leave` still holds at the last moment before the
    /// first byte. None: it was held back, and the endpoint saw no whole request.
    pub async fn send_if<G>(&self, request: Request, may_leave: G) -> Option<Exchange>
    where
        G: Fn() -> bool + Send + Sync + Unpin + 'static,
    {
        let started = Instant::now();
        let result = self.exchange(request, started, may_leave).await?;
        Some(Exchange {
            duration: started.elapsed(),
            result,
        })
    }

    async fn exchange<G>(
        &self,
        request: Request,
        started: Instant,
        may_leave: G,
    ) -> Option<Result<Answer, Failure>>
    where
        G: Fn() -> bool + Send + Sync + Unpin + 'static,
    {
        let (body, held_back) = GuardedBody::new(request.body.clone(), may_leave);
        let result = self.try_exchange(request, Body::wrap(body), started).await;
        (!held_back.load(Ordering::Acquire)).then_some(result)
    }

    async fn try_exchange(
        &self,
        request: Request,
        body: Body,
        started: Instant,
    ) -> Result<Answer, Failure> {
        // The client dials a host that is an address without asking its resolver.
        self.address_policy
            .check_url(&request.url)
            .map_err(|refused| Failure::new(ErrorClass::RefusedAddress, refused.to_string()))?;
        let client = match request.url.scheme() {
            "https" => &self.encrypted,
            _ => &self.plain, // which is the stricter one
        };
        let limit = request.timeout;
        let sent = client
            .request(request.method, request.url)
            .headers(request.headers)
            .body(body)
            .send();
        let response = timeout(limit, sent)
            .await
            .map_err(|_| timed_out("no answer", limit))?
            .map_err(|error| failure::from_client(&error))?;

        let status = response.status().as_u16();
        let retry_after = retry_after(&response);
        let remaining = limit.saturating_sub(started.elapsed());
        let (body, truncated, cut) = timeout(remaining, self.read_body(response))
            .await
            .unwrap_or_else(|_| Err(timed_out("the answer did not end", limit)))
            .map_err(|failure| Failure {
                status: Some(status),
                ..failure
            })?;
        Ok(Answer {
            status,
            retry_after,
            body,
            truncated,
            cut,
        })
    }

    /// The start of the body, whether it went on, and whether it was cut. A body beyond the bound is cut by dropping the
    /// response, which closes the connection (HTTP/1) or resets the stream (HTTP/2).
    ///
    /// A body that cannot be decompressed is cut where it breaks: the status has decided already,
    /// and a retry of what was delivered would only deliver it twice.
    async fn read_body(&self, mut response: Response) -> Result<(Bytes, bool, bool), Failure> {
        let mut kept = BytesMut::new();
        let mut read = 0_usize;
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok((kept.freeze(), read > self.keep_response_bytes, false)),
                Err(error) if failure::is_transport(&error) => {
                    return Err(failure::from_client(&error));
                }
                Err(_) => return Ok((kept.freeze(), true, false)),
            };
            read = read.saturating_add(chunk.len());
            let room = self.keep_response_bytes.saturating_sub(kept.len());
            kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if read > self.max_response_bytes {
                return Ok((kept.freeze(), true, true));
            }
        }
    }
}

fn timed_out(what: &str, limit: Duration) -> Failure {
    let limit = humantime::format_duration(limit);
    Failure::new(ErrorClass::Timeout, format!("{what} within {limit}"))
}

/// The header, unless it is longer than any wait or date can be.
fn retry_after(response: &Response) -> Option<String> {
    const LONGEST: usize = 64;
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    (value.len() <= LONGEST).then(|| value.to_owned())
}

#[cfg(test)]
mod tests;
