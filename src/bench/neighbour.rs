//! Endpoints that behave badly, as neighbours of the one that is measured; and one that behaves well, to
//! compare them with.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::ValueEnum;
use http::{HeaderValue, Response, StatusCode, header};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::talk::say;
use crate::shutdown;

/// How long the slow one takes.
const SLOW: Duration = Duration::from_secs(10);

/// What a neighbour does to requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Neighbour {
    /// Answers at once: shows what the traffic alone costs
    Good,
    /// Answers after ten seconds
    Slow,
    /// Never answers
    Hang,
    /// Resets the connection
    Reset,
    /// Answers 429, and to come again in five seconds
    Busy,
    /// Nobody listens
    Dead,
    /// Fifty of those
    FiftyDead,
    /// Its subscription allows 50 requests a second
    Limited,
}

/// What that subscription says.
pub(super) fn limit() -> Value {
    json!({ "requests": 50, "per": "1s" })
}

impl Neighbour {
    /// How many endpoints that are.
    pub(super) fn endpoints(self) -> u64 {
        match self {
            Self::FiftyDead => 50,
            Self::Good
            | Self::Slow
            | Self::Hang
            | Self::Reset
            | Self::Busy
            | Self::Dead
            | Self::Limited => 1,
        }
    }

    /// Behaves like that, says where, and ends with stdin.
    ///
    /// # Errors
    /// No sockets.
    pub fn run(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let stop = tokio_util::sync::CancellationToken::new();
        shutdown::on_end_of_stdin(stop.clone())?;
        runtime.block_on(async {
            let (mut listening, mut refusing) = (Vec::new(), Vec::new());
            for _ in 0..self.endpoints() {
                if matches!(self, Self::Dead | Self::FiftyDead) {
                    // Bound and never listened on: its port refuses, and nobody else gets it.
                    let socket = TcpSocket::new_v4()?;
                    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
                    listening.push(socket.local_addr()?);
                    refusing.push(socket);
                } else {
                    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                    listening.push(listener.local_addr()?);
                    tokio::spawn(self.accept(listener));
                }
            }
            say(&json!({ "listening": listening as Vec<SocketAddr> }))?;
            stop.cancelled().await;
            Ok(())
        })
    }

    async fn accept(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                match self {
                    Self::Reset => reset(stream).await,
                    Self::Good
                    | Self::Slow
                    | Self::Hang
                    | Self::Busy
                    | Self::Dead
                    | Self::FiftyDead
                    | Self::Limited => {
                        let service = service_fn(move |_| self.answer());
                        let connection =
                            http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                        // However it ends: it is the other side's to mind.
                        drop(connection.await);
                    }
                }
            });
        }
    }

    async fn answer(self) -> Result<Response<String>, Infallible> {
        let mut response = Response::new(String::new());
        match self {
            Self::Busy => {
                *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
                let later = HeaderValue::from_static("5");
                response.headers_mut().insert(header::RETRY_AFTER, later);
            }
            Self::Good | Self::Limited => {}
            Self::Hang => pending().await,
            Self::Slow | Self::Reset | Self::Dead | Self::FiftyDead => {
                tokio::time::sleep(SLOW).await;
            }
        }
        Ok(response)
    }
}

async fn reset(mut stream: TcpStream) {
    // Some of the request first, so that it is one that breaks off.
    let mut start = [0; 64];
    drop(stream.read(&mut start).await);
    drop(stream.set_zero_linger());
}
