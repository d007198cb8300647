//! A proxy that speaks HTTP CONNECT, remembers what it was asked for, and leads everybody to one place.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A running proxy; it stops, with all its tunnels, when dropped.
pub struct ConnectProxy {
    asked: Arc<Mutex<Vec<String>>>,
    _server: JoinSet<()>,
}

impl ConnectProxy {
    /// Listens on this port of 127.0.0.1; every tunnel ends at `backend`.
    pub async fn start(port: u16, backend: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let noted = Arc::clone(&asked);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut tunnels = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let asked = Arc::clone(&noted);
                tunnels.spawn(async move {
                    tunnel(stream, backend, &asked).await.ok(); // either end may go at any time
                });
            }
        });
        Ok(Self {
            asked,
            _server: server,
        })
    }

    /// The heads of the requests so far, each with its empty line.
    pub fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.clone()
    }
}

async fn tunnel(
    mut stream: TcpStream,
    backend: SocketAddr,
    asked: &Mutex<Vec<String>>,
) -> anyhow::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head)?;
    asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(head);
    let mut behind = TcpStream::connect(backend).await?;
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut stream, &mut behind).await?;
    Ok(())
}
