//! One connection of the receiver: reads requests, plays the scripted answers.

use std::io::{Error, ErrorKind, Write};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use hooktide::clock::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::answer::Kind;
use super::{Answer, Received, Shared};

/// Accepts connections until it is aborted, which ends them too.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let connection = Connection {
            number,
            stream,
            unread: BytesMut::with_capacity(16 * 1024),
            shared: Arc::clone(&shared),
        };
        connections.spawn(async move {
            // How the sender goes away is its own affair; what it sent is kept.
            drop(connection.serve().await);
        });
        while connections.try_join_next().is_some() {}
    }
}

struct Connection {
    number: u64,
    stream: TcpStream,
    unread: BytesMut,
    shared: Arc<Shared>,
}

/// Whether a connection is good for another request.
#[derive(PartialEq, Eq)]
enum After {
    KeepAlive,
    Close,
}

impl Connection {
    async fn serve(mut self) -> std::io::Result<()> {
        self.stream.set_nodelay(true)?;
        while let Some(request) = self.read_request().await? {
            let (number, answer) = self.shared.receive(request);
            if self.answer(answer, number).await? == After::Close {
                break;
            }
        }
        Ok(())
    }

    /// None when the sender closes between two requests.
    async fn read_request(&mut self) -> std::io::Result<Option<Received>> {
        let (mut request, head, length) = loop {
            if let Some(head) = self.parse_head()? {
                break head;
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Ok(None);
            }
        };
        while self.unread.len() < head + length {
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let mut whole = self.unread.split_to(head + length);
        request.body = whole.split_off(head).freeze();
        request.arrived = Instant::now();
        request.arrived_at = Timestamp::now();
        Ok(Some(request))
    }

    /// The request without its body, the head's length and the body's; none when more must be read.
    fn parse_head(&self) -> std::io::Result<Option<(Received, usize, usize)>> {
        let mut headers = [httparse::EMPTY_HEADER; 128];
        let mut parsed = httparse::Request::new(&mut headers);
        let head = match parsed.parse(&self.unread).map_err(Error::other)? {
            httparse::Status::Partial => return Ok(None),
            httparse::Status::Complete(head) => head,
        };
        let headers = parsed.headers.iter();
        let request = Received {
            connection: self.number,
            method: parsed.method.unwrap_or_default().to_owned(),
            path: parsed.path.unwrap_or_default().to_owned(),
            headers: headers
                .map(|header| (header.name.to_owned(), header.value.to_vec()))
                .collect(),
            body: Bytes::new(),
            arrived: Instant::now(),
            arrived_at: Timestamp::now(),
            answered: None,
        };
        // Webhooks are sent with their length; a chunked body would read as an empty one and show.
        let length = match request.header("content-length") {
            None => 0,
            Some(text) => text.parse().map_err(Error::other)?,
        };
        Ok(Some((request, head, length)))
    }

    async fn answer(&mut self, answer: Answer, number: usize) -> std::io::Result<After> {
        if !answer.delay.is_zero() {
            self.hold(answer.delay).await?;
        }
        match answer.kind {
            Kind::Response {
                status,
                headers,
                body,
            } => {
                let response = response(status, &headers, &body)?;
                self.stream.write_all(&response).await?;
                self.shared.answered(number);
                Ok(After::KeepAlive)
            }
            Kind::Hang => {
                // Longer than any test.
                self.hold(Duration::from_secs(3_600)).await?;
                Ok(After::Close)
            }
            Kind::Reset => {
                self.stream.set_zero_linger()?;
                Ok(After::Close)
            }
            Kind::Raw(bytes) => {
                self.stream.write_all(&bytes).await?;
                self.shared.answered(number);
                self.stream.shutdown().await?;
                Ok(After::Close)
            }
            Kind::Flood { head, chunk } => {
                self.stream.write_all(&head).await?;
                loop {
                    self.stream.write_all(&chunk).await?;
                }
            }
        }
    }

    /// Lets time pass while the sender stays; an error as soon as it has closed the connection.
    async fn hold(&mut self, time: Duration) -> std::io::Result<()> {
        let mut deadline = pin!(tokio::time::timeout(time, std::future::pending::<()>()));
        loop {
            tokio::select! {
                _ = &mut deadline => return Ok(()),
                read = self.stream.read_buf(&mut self.unread) => {
                    if read? == 0 {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
    }
}

fn response(status: u16, headers: &[(String, String)], body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(128 + body.len());
    write!(bytes, "HTTP/1.1 {status} Scripted\r\n")?;
    for (name, value) in headers {
        write!(bytes, "{name}: {value}\r\n")?;
    }
    // Neither may have a body, so neither may announce one.
    if status >= 200 && status != 204 && status != 304 {
        write!(bytes, "content-length: {}\r\n", body.len())?;
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    Ok(bytes)
}
