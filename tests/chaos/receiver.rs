//! The receiver of a run: it keeps every request with its times and its end, and has moods. Its port stays
//! the same when it goes away and comes back.

mod manner;

use std::collections::HashMap;
use std::io::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use hooktide::clock::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::record::{End, Request};
pub use manner::Manner;

/// Longer than any client waits.
const FOR_EVER: Duration = Duration::from_secs(3_600);
const SLOW: Duration = Duration::from_millis(700);

/// How everybody is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Each path answers in its manner.
    Good,
    /// The same, later.
    Slow,
    /// Requests are read and not answered while this lasts.
    Hang,
    /// Requests are read, and their connections reset.
    Reset,
    /// Nobody listens, and all connections are broken.
    Away,
}

/// A running receiver; it stops when dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
}

struct Shared {
    seed: u64,
    mood: watch::Sender<Mood>,
    requests: Mutex<Vec<Request>>,
    /// How often a delivery was refused that is to be taken in the end.
    refused: Mutex<HashMap<String, usize>>,
    connections: AtomicU64,
}

impl Receiver {
    /// Listens on a free port of 127.0.0.1. The seed decides which deliveries fail.
    pub async fn start(seed: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            seed,
            mood: watch::Sender::new(Mood::Good),
            requests: Mutex::default(),
            refused: Mutex::default(),
            connections: AtomicU64::default(),
        });
        let mut server = JoinSet::new();
        server.spawn(serve(listener, address, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            _server: server,
        })
    }

    /// The URL of a manner.
    pub fn url(&self, manner: Manner) -> String {
        format!("http://{}/{}", self.address, manner.name())
    }

    /// Changes its mood.
    pub fn set(&self, mood: Mood) {
        self.shared.mood.send_replace(mood);
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests().clone()
    }
}

impl Shared {
    fn requests(&self) -> MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(self: &Arc<Self>, request: Request) -> Open {
        let mut requests = self.requests();
        requests.push(request);
        Open {
            at: requests.len() - 1,
            shared: Arc::clone(self),
        }
    }
}

/// Listens except while it is away.
async fn serve(listener: TcpListener, address: SocketAddr, shared: Arc<Shared>) {
    let mut mood = shared.mood.subscribe();
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        let is_away = *mood.borrow_and_update() == Mood::Away;
        match (&listener, is_away) {
            (_, true) => {
                listener = None;
                connections.shutdown().await;
                if mood.changed().await.is_err() {
                    return;
                }
            }
            (None, false) => match TcpListener::bind(address).await {
                Ok(bound) => listener = Some(bound),
                Err(_) => tokio::task::yield_now().await,
            },
            (Some(bound), false) => tokio::select! {
                changed = mood.changed() => if changed.is_err() { return },
                accepted = bound.accept() => if let Ok((stream, _)) = accepted {
                    let connection = Connection {
                        number: shared.connections.fetch_add(1, Ordering::Relaxed),
                        stream,
                        unread: BytesMut::with_capacity(16 * 1024),
                        shared: Arc::clone(&shared),
                    };
                    connections.spawn(async move {
                        // How the sender goes away is its own affair; what it sent is kept.
                        drop(connection.serve().await);
                    });
                    while connections.try_join_next().is_some() {}
                },
            },
        }
    }
}

struct Connection {
    number: u64,
    stream: TcpStream,
    unread: BytesMut,
    shared: Arc<Shared>,
}

/// A request that is open. When it is dropped, by whatever ends its connection, it was cut.
struct Open {
    at: usize,
    shared: Arc<Shared>,
}

impl Open {
    fn end(&self, end: End) {
        let mut requests = self.shared.requests();
        let ended = &mut requests[self.at].end;
        *ended = ended.or(Some((Timestamp::now(), end)));
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.end(End::Cut);
    }
}

impl Connection {
    async fn serve(mut self) -> std::io::Result<()> {
        self.stream.set_nodelay(true)?;
        while let Some((id, path)) = self.read_request().await? {
            let open = self.shared.open(Request {
                delivery: id.clone(),
                connection: self.number,
                arrived: Timestamp::now(),
                end: None,
            });
            let before = self.shared.refused().get(&id).copied().unwrap_or_default();
            let manner = Manner::of(&path);
            let (wait, status) = manner.answer(&id, before, self.shared.seed);
            if !self.pass_mood(&open, wait).await? {
                return Ok(());
            }
            let answer = match status {
                204 => "HTTP/1.1 204 Taken\r\n\r\n".to_owned(),
                other => format!("HTTP/1.1 {other} Refused\r\ncontent-length: 0\r\n\r\n"),
            };
            self.stream.write_all(answer.as_bytes()).await?;
            open.end(End::Answered(status));
            if manner == Manner::Flaky && status != 204 {
                *self.shared.refused().entry(id).or_default() += 1;
            }
        }
        Ok(())
    }

    /// Waits as long as the manner and the mood want it. False: the connection is to be reset.
    async fn pass_mood(&mut self, open: &Open, wait: Duration) -> std::io::Result<bool> {
        let mut mood = self.shared.mood.subscribe();
        let now = *mood.borrow_and_update();
        match now {
            Mood::Good => self.hold(open, wait).await?,
            Mood::Slow => self.hold(open, wait + SLOW).await?,
            Mood::Hang => {
                let over = async {
                    // Its sender lives as long as this connection.
                    drop(mood.wait_for(|mood| *mood != Mood::Hang).await);
                };
                self.hold_until(open, over).await?;
            }
            Mood::Reset => {
                self.stream.set_zero_linger()?;
                return Ok(false);
            }
            // Cut in a moment.
            Mood::Away => self.hold(open, FOR_EVER).await?,
        }
        Ok(true)
    }

    async fn hold(&mut self, open: &Open, time: Duration) -> std::io::Result<()> {
        if time.is_zero() {
            return Ok(());
        }
        let over = async {
            drop(tokio::time::timeout(time, std::future::pending::<()>()).await);
        };
        self.hold_until(open, over).await
    }

    /// Lets time pass while the sender stays; an error as soon as it has closed the connection.
    async fn hold_until(
        &mut self,
        open: &Open,
        over: impl Future<Output = ()>,
    ) -> std::io::Result<()> {
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return Ok(()),
                read = self.stream.read_buf(&mut self.unread) => {
                    if !matches!(read, Ok(1..)) {
                        open.end(End::Left);
                        return Err(std::io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
    }

    /// `webhook-id` and path. None when the sender closes between two requests.
    async fn read_request(&mut self) -> std::io::Result<Option<(String, String)>> {
        let (id, path, whole) = loop {
            if let Some(head) = self.parse_head()? {
                break head;
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Ok(None);
            }
        };
        while self.unread.len() < whole {
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Ok(None);
            }
        }
        drop(self.unread.split_to(whole));
        Ok(Some((id, path)))
    }

    fn parse_head(&self) -> std::io::Result<Option<(String, String, usize)>> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Request::new(&mut headers);
        let head = match parsed.parse(&self.unread).map_err(Error::other)? {
            httparse::Status::Partial => return Ok(None),
            httparse::Status::Complete(head) => head,
        };
        let path = parsed.path.unwrap_or_default().to_owned();
        let text = |name: &str| {
            let mut headers = parsed.headers.iter();
            let header = headers.find(|header| header.name.eq_ignore_ascii_case(name));
            header.and_then(|header| std::str::from_utf8(header.value).ok())
        };
        let length: usize = match text("content-length") {
            None => 0,
            Some(text) => text.parse().map_err(Error::other)?,
        };
        let id = text("webhook-id").unwrap_or_default().to_owned();
        Ok(Some((id, path, head + length)))
    }
}
