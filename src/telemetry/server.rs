//! Serves `/metrics`, `/health` and `/ready`.

use std::net::SocketAddr;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Registry, TextEncoder};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::health::Health;

/// The server, bound to its address.
#[derive(Debug)]
pub struct TelemetryServer {
    listener: TcpListener,
    address: SocketAddr,
    served: Served,
}

/// What handlers see.
#[derive(Clone, Debug)]
struct Served {
    registry: Registry,
    health: Health,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// `telemetry.listen` cannot be bound.
    #[error("`telemetry.listen`: cannot listen on {address}: {cause}")]
    Bind {
        /// The configured address.
        address: SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
    /// It stopped serving.
    #[error("the telemetry server failed: {0}")]
    Serve(std::io::Error),
}

impl TelemetryServer {
    /// Binds the address; port 0 takes a free one.
    pub async fn bind(
        address: SocketAddr,
        registry: Registry,
        health: Health,
    ) -> Result<Self, ServerError> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let failed = |cause| ServerError::Bind { address, cause };
        let (listener, address) = bound.await.map_err(failed)?;
        let served = Served { registry, health };
        Ok(Self {
            listener,
            address,
            served,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`. Meant to outlast the loops, so that draining can be watched.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), ServerError> {
        let routes = Router::new()
            .route("/metrics", get(metrics))
            .route("/health", get(health))
            .route("/ready", get(ready))
            .with_state(self.served);
        // Open connections are dropped at the stop: a scraper's keep-alive must not hold the process.
        let server = axum::serve(self.listener, routes);
        match stop.run_until_cancelled(server.into_future()).await {
            Some(ended) => ended.map_err(ServerError::Serve),
            None => Ok(()),
        }
    }
}

async fn metrics(State(served): State<Served>) -> Response {
    match TextEncoder::new().encode_to_string(&served.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot write metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn health(State(served): State<Served>) -> Response {
    let now = Instant::now();
    answer(served.health.is_healthy(now), &served.health, now)
}

async fn ready(State(served): State<Served>) -> Response {
    let now = Instant::now();
    answer(served.health.is_ready(now), &served.health, now)
}

fn answer(good: bool, health: &Health, now: Instant) -> Response {
    let status = if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let detail = serde_json::json!({ "components": health.reports(now) });
    let json = [(header::CONTENT_TYPE, "application/json")];
    (status, json, detail.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::super::health;
    use super::*;

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn answers_on_every_path_and_stops() {
        let registry = Registry::new();
        crate::metrics::register_process(&registry).unwrap();
        let health = Health::new(Instant::now());
        let router = health.component("router", Instant::now());
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = TelemetryServer::bind(local, registry, health)
            .await
            .unwrap();
        let address = server.address();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.serve(stop.clone()));

        let metrics = get(address, "/metrics").await;
        assert!(metrics.starts_with("HTTP/1.1 200 "), "{metrics}");
        assert!(
            metrics.contains("hooktide_build_info{version="),
            "{metrics}"
        );
        assert!(get(address, "/health").await.starts_with("HTTP/1.1 200 "));
        let starting = get(address, "/ready").await;
        assert!(starting.starts_with("HTTP/1.1 503 "), "{starting}");
        assert!(starting.contains(r#""router":{"#) && starting.contains(r#""state":"starting""#));
        router.set(health::State::Ready);
        assert!(get(address, "/ready").await.starts_with("HTTP/1.1 200 "));
        assert!(get(address, "/").await.starts_with("HTTP/1.1 404 "));

        let taken = TelemetryServer::bind(address, Registry::new(), Health::new(Instant::now()));
        let error = taken.await.unwrap_err().to_string();
        assert!(error.starts_with("`telemetry.listen`: "), "{error}");

        // An idle keep-alive connection does not hold the server.
        let _idle = TcpStream::connect(address).await.unwrap();
        stop.cancel();
        serving.await.unwrap().unwrap();
    }
}
