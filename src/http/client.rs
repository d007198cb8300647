//! Sends one request and reads what comes back, with everything about it bounded: time, bytes,
//! addresses, redirects (none).

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Response, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use percent_encoding::percent_decode_str;
use thiserror::Error;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tower_http::decompression::{Decompression, DecompressionBody};
use tower_service::Service;
use url::Url;

use super::address_policy::AddressPolicy;
use super::connection::Traffic;
use super::connection_budget::ConnectionBudget;
use super::connector::{Connector, Route};
use super::departure::{Departure, Guard, GuardedBody};
use super::exchange::{Answer, ErrorClass, Exchange, Failure, Request};
use super::failure::{self, ClientFailure};
use super::resend;
use super::resolver::Resolver;
use super::settings::Settings;
use super::tls::{self, TlsError};
use crate::metrics::HttpMetrics;

/// Why a [`Client`] cannot be made.
#[derive(Debug, Error)]
pub enum ClientError {
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The `user-agent` is no header value.
    #[error("the user agent cannot be sent")]
    UserAgent,
}

/// Decompresses what comes back.
type Http = Decompression<legacy::Client<Connector, GuardedBody>>;
/// The body of an answer.
type AnswerBody = DecompressionBody<Incoming>;

/// Sends requests; cheap to clone, connections are shared between clones.
#[derive(Clone)]
pub struct Client {
    http: Http,
    address_policy: Arc<AddressPolicy>,
    user_agent: HeaderValue,
    keep_response_bytes: usize,
    max_response_bytes: usize,
    metrics: HttpMetrics,
}

impl Client {
    /// Makes a client; reads the trusted certificates.
    ///
    /// # Errors
    /// [`ClientError`] when a certificate file or a setting is unusable.
    pub fn new(settings: &Settings, metrics: HttpMetrics) -> Result<Self, ClientError> {
        let address_policy = Arc::new(settings.address_policy.clone());
        let tls = tls::client_config(settings.ca_file.as_deref())?;
        let mut tls_to_proxy = tls.clone();
        tls_to_proxy.alpn_protocols.clear();
        let connector = Connector(Arc::new(Route {
            resolver: Resolver::new(Arc::clone(&address_policy)),
            budget: ConnectionBudget::new(
                settings.kept_connections,
                settings.connections_in_use,
                metrics.clone(),
            ),
            tls: TlsConnector::from(Arc::new(tls)),
            tls_to_proxy: TlsConnector::from(Arc::new(tls_to_proxy)),
            proxy: settings.proxy.clone(),
            proxy_resolves: settings.proxy_resolves,
            bypass: settings.bypass.clone(),
            timeout: settings.connect_timeout,
        }));
        let client = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(settings.idle_timeout)
            .pool_max_idle_per_host(settings.idle_per_host)
            // What an endpoint may make us hold unread, per answer and per connection.
            .http2_initial_stream_window_size(64 * 1024)
            .http2_initial_connection_window_size(1024 * 1024)
            // A connection that silently died would otherwise fail every request by timeout.
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .build(connector);
        Ok(Self {
            http: Decompression::new(client),
            address_policy,
            user_agent: HeaderValue::from_str(&settings.user_agent)
                .map_err(|_| ClientError::UserAgent)?,
            keep_response_bytes: settings.keep_response_bytes,
            max_response_bytes: settings.max_response_bytes,
            metrics,
        })
    }

    /// Sends a request, once; sometimes once more within the same attempt (see `resend.rs`).
    pub async fn send(&self, request: Request) -> Exchange {
        let started = Instant::now();
        let result = self
            .exchange(request, started, Arc::new(|| true))
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
        G: Fn() -> bool + Send + Sync + 'static,
    {
        let started = Instant::now();
        let result = self.exchange(request, started, Arc::new(may_leave)).await?;
        Some(Exchange {
            duration: started.elapsed(),
            result,
        })
    }

    async fn exchange(
        &self,
        request: Request,
        started: Instant,
        may_leave: Guard,
    ) -> Option<Result<Answer, Failure>> {
        // The connector does not judge a host that is an address.
        if let Err(refused) = self.address_policy.check_url(&request.url) {
            let refused = Failure::new(ErrorClass::RefusedAddress, refused.to_string());
            return Some(Err(refused));
        }
        let (limit, body) = (request.timeout, request.body.clone());
        let head = match self.head(request) {
            Ok(head) => head,
            Err(failure) => return Some(Err(failure)),
        };
        match timeout(limit, self.deliver(head, body, may_leave)).await {
            Ok(Some(Ok(response))) => Some(self.read(response, started, limit).await),
            Ok(Some(Err(failure))) => Some(Err(failure)),
            Ok(None) => None,
            Err(_) => Some(Err(timed_out("no answer", limit))),
        }
    }

    /// Everything of a request but its body, which is made anew each time that it is sent.
    fn head(&self, request: Request) -> Result<http::request::Parts, Failure> {
        let mut url = request.url;
        let authorization = basic_authorization(&url);
        // Neither can fail: only URLs without a host cannot have userinfo, and those were refused.
        url.set_username("").ok();
        url.set_password(None).ok();
        url.set_fragment(None);
        let uri = Uri::from_maybe_shared(Bytes::from(String::from(url)));
        let uri =
            uri.map_err(|error| Failure::new(ErrorClass::InvalidRequest, error.to_string()))?;
        let mut head = http::Request::new(());
        *head.method_mut() = request.method;
        *head.uri_mut() = uri;
        let headers = head.headers_mut();
        *headers = request.headers;
        if let Some(authorization) = authorization {
            headers.entry(AUTHORIZATION).or_insert(authorization);
        }
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("*/*"));
        headers
            .entry(USER_AGENT)
            .or_insert_with(|| self.user_agent.clone());
        Ok(head.into_parts().0)
    }

    /// Sends the request until it is answered or has failed, at most twice. None: it may not leave.
    async fn deliver(
        &self,
        head: http::request::Parts,
        body: Bytes,
        may_leave: Guard,
    ) -> Option<Result<Response<AnswerBody>, Failure>> {
        let (first, departure) = self
            .send_once(head.clone(), body.clone(), Arc::clone(&may_leave))
            .await;
        let error = match first {
            Ok(response) => return Some(Ok(response)),
            Err(_) if departure.was_held_back() => return None,
            Err(error) => error,
        };
        let Some(why) = resend::judge(&error, &departure) else {
            return Some(Err(failure::from_client(&error)));
        };
        tracing::debug!(reason = why.as_str(), "a request is sent again");
        self.metrics.sent_again(why.as_str());
        let (second, departure) = self.send_once(head, body, may_leave).await;
        Some(second.map_err(|second| {
            // The first one did leave, so if this one may not, its end is what is known.
            let held_back = departure.was_held_back();
            failure::from_client(if held_back { &error } else { &second })
        }))
    }

    async fn send_once(
        &self,
        head: http::request::Parts,
        body: Bytes,
        may_leave: Guard,
    ) -> (Result<Response<AnswerBody>, ClientFailure>, Arc<Departure>) {
        let mut request = http::Request::from_parts(head, ());
        let connection = capture_connection(&mut request);
        let (body, departure) = GuardedBody::new(body, may_leave, connection);
        let response = self.http.clone().call(request.map(|()| body)).await;
        if let Ok(response) = &response
            && let Some(traffic) = response.extensions().get::<Arc<Traffic>>()
        {
            traffic.answered();
        }
        (response, departure)
    }

    async fn read(
        &self,
        response: Response<AnswerBody>,
        started: Instant,
        limit: Duration,
    ) -> Result<Answer, Failure> {
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
    async fn read_body(
        &self,
        response: Response<AnswerBody>,
    ) -> Result<(Bytes, bool, bool), Failure> {
        let mut body = response.into_body();
        let mut kept = BytesMut::new();
        let mut read = 0_usize;
        loop {
            let frame = match body.frame().await {
                Some(Ok(frame)) => frame,
                None => return Ok((kept.freeze(), read > self.keep_response_bytes, false)),
                Some(Err(error)) => {
                    let error: Box<dyn Error> = error;
                    return match failure::from_body(&*error) {
                        Some(failure) => Err(failure),
                        None => Ok((kept.freeze(), true, false)),
                    };
                }
            };
            let Ok(chunk) = frame.into_data() else {
                continue; // trailers
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

/// Userinfo as Basic auth.
fn basic_authorization(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut plain: Vec<u8> = percent_decode_str(url.username()).collect();
    plain.push(b':');
    plain.extend(percent_decode_str(url.password().unwrap_or_default()));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(plain))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn timed_out(what: &str, limit: Duration) -> Failure {
    let limit = humantime::format_duration(limit);
    Failure::new(ErrorClass::Timeout, format!("{what} within {limit}"))
}

/// The header, unless it is longer than any wait or date can be.
fn retry_after(response: &Response<AnswerBody>) -> Option<String> {
    const LONGEST: usize = 64;
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    (value.len() <= LONGEST).then(|| value.to_owned())
}

#[cfg(test)]
mod tests;
