//! Asks a process how it is, as a load balancer would: health checks must work where there is no
//! shell and no other program.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::health::Report;

/// The longest answer that is read, in bytes: far more than a few components take.
const LONGEST: u64 = 64 * 1024;
/// More headers than any answer of ours has.
const MOST_HEADERS: usize = 32;
/// How long an answer may take. A process that needs longer is not well.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether it makes progress.
    Health,
    /// Whether it is ready for work.
    Ready,
}

/// What came back.
#[derive(Debug)]
pub struct Condition {
    /// Whether the answer is yes.
    pub is_good: bool,
    /// Each component, by its name.
    pub components: BTreeMap<String, Report>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens there.
    #[error("cannot connect to {address}: {cause}")]
    Connect {
        /// Where.
        address: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Somebody listens, and does not answer in time.
    #[error("{} does not answer within {} s", .0, PATIENCE.as_secs())]
    Silent(String),
    /// Not as Hooktide answers.
    #[error("what answers on {0} is not hooktide")]
    Foreign(String),
}

#[derive(Deserialize)]
struct Body {
    components: BTreeMap<String, Report>,
}

impl Question {
    fn path(self) -> &'static str {
        match self {
            Self::Health => "/health",
            Self::Ready => "/ready",
        }
    }
}

/// Where to ask a process on this machine that listens on `listen`: one that listens on every address
/// is asked on the loopback one.
pub fn local(listen: SocketAddr) -> SocketAddr {
    let address = match listen.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    SocketAddr::new(address, listen.port())
}

/// Asks the process that listens on `address`, host:port.
///
/// # Errors
/// [`AskError`]: no answer. A process that answers no is no error.
pub async fn ask(address: &str, question: Question) -> Result<Condition, AskError> {
    match tokio::time::timeout(PATIENCE, exchange(address, question)).await {
        Ok(answered) => answered,
        Err(_) => Err(AskError::Silent(address.to_owned())),
    }
}

async fn exchange(address: &str, question: Question) -> Result<Condition, AskError> {
    let refused = |cause| AskError::Connect {
        address: address.to_owned(),
        cause,
    };
    let mut stream = TcpStream::connect(address).await.map_err(refused)?;
    // By HTTP/1.0 the answer comes in one piece and ends with the connection.
    let path = question.path();
    let request = format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n");
    let foreign = || AskError::Foreign(address.to_owned());
    let mut answer = Vec::new();
    let asked = async {
        stream.write_all(request.as_bytes()).await?;
        stream.take(LONGEST).read_to_end(&mut answer).await
    };
    asked.await.map_err(|_| foreign())?;
    condition(&answer).ok_or_else(foreign)
}

/// What a whole answer says; none if Hooktide would not answer so.
fn condition(answer: &[u8]) -> Option<Condition> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(length)) = head.parse(answer) else {
        return None;
    };
    let is_good = match head.code {
        Some(200) => true,
        Some(503) => false,
        Some(_) | None => return None,
    };
    let body: Body = serde_json::from_slice(answer.get(length..)?).ok()?;
    Some(Condition {
        is_good,
        components: body.components,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use prometheus::Registry;
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    use super::super::{Health, State, TelemetryServer};
    use super::*;

    const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[tokio::test]
    async fn a_process_says_how_it_is() {
        let health = Health::new(Instant::now());
        let router = health.component("router", Instant::now());
        let server = TelemetryServer::bind(ANY, Registry::new(), health)
            .await
            .unwrap();
        let address = server.address().to_string();
        tokio::spawn(server.serve(CancellationToken::new()));
        let alive = ask(&address, Question::Health).await.unwrap();
        assert!(alive.is_good);
        let starting = ask(&address, Question::Ready).await.unwrap();
        assert!(!starting.is_good);
        assert_eq!(starting.components["router"].state, State::Starting);
        router.set(State::Ready);
        let ready = ask(&address, Question::Ready).await.unwrap();
        assert!(ready.is_good);
        assert_eq!(ready.components["router"].state, State::Ready);
    }

    #[tokio::test]
    async fn what_is_no_hooktide_is_told_apart() {
        async fn check(answer: &'static [u8], expected: &str) {
            let listener = TcpListener::bind(ANY).await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(answer).await.unwrap();
            });
            let error = ask(&address, Question::Ready).await.unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        check(b"", "is not hooktide").await;
        check(b"220 mail.example ESMTP\r\n", "is not hooktide").await;
        let found = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK";
        check(found, "is not hooktide").await;
        let missing = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
        check(missing, "is not hooktide").await;

        // Bound, and nobody listens any more.
        let listener = TcpListener::bind(ANY).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let error = ask(&address, Question::Ready).await.unwrap_err();
        assert!(error.to_string().contains("cannot connect to"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_an_answer() {
        let listener = TcpListener::bind(ANY).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let error = ask(&address, Question::Health).await.unwrap_err();
        assert!(error.to_string().contains("does not answer"), "{error}");
    }

    #[test]
    fn a_process_is_asked_where_it_can_be_reached() {
        fn check(listen: &str, expected: &str) {
            assert_eq!(local(listen.parse().unwrap()).to_string(), expected);
        }
        check("0.0.0.0:9464", "127.0.0.1:9464");
        check("[::]:9464", "[::1]:9464");
        check("10.1.2.3:80", "10.1.2.3:80");
    }
}
