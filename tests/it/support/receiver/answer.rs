//! What a receiver answers to a request.

use std::time::Duration;

use bytes::Bytes;

/// A scripted answer, given after [`Answer::after`]'s delay.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) delay: Duration,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A proper response; the connection stays open.
    Response {
        status: u16,
        headers: Vec<(String, String)>,
        body: Bytes,
    },
    /// Nothing, until the sender goes away.
    Hang,
    /// A TCP reset.
    Reset,
    /// These bytes as they are, then the end of the connection.
    Raw(Bytes),
    /// `head`, then `chunk` again and again until the sender goes away.
    Flood { head: Bytes, chunk: Bytes },
}

impl Answer {
    /// A response with this status and an empty body.
    pub fn status(status: u16) -> Self {
        Self::of(Kind::Response {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
        })
    }

    /// Reads the request and never answers.
    pub fn hang() -> Self {
        Self::of(Kind::Hang)
    }

    /// Reads the request and resets the connection.
    pub fn reset() -> Self {
        Self::of(Kind::Reset)
    }

    /// Sends these bytes, whatever they are, and closes the connection.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self::of(Kind::Raw(bytes.into()))
    }

    /// Sends `head`, then `chunk` without end: endless headers, endless bodies.
    pub fn flood(head: impl Into<Bytes>, chunk: impl Into<Bytes>) -> Self {
        Self::of(Kind::Flood {
            head: head.into(),
            chunk: chunk.into(),
        })
    }

    /// Adds a header to a response; no meaning for other kinds.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Kind::Response { headers, .. } = &mut self.kind {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Gives a response a body; no meaning for other kinds.
    pub fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        if let Kind::Response { body, .. } = &mut self.kind {
            *body = bytes.into();
        }
        self
    }

    /// Waits before it answers.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    fn of(kind: Kind) -> Self {
        Self {
            delay: Duration::ZERO,
            kind,
        }
    }
}
