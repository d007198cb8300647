//! An endpoint where nobody listens.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A port that refuses connections for as long as this lives.
pub(super) struct DeadEnd {
    address: SocketAddr,
    /// Bound and never listened on: its port refuses, and nobody else gets it.
    _refusing: TcpSocket,
}

impl DeadEnd {
    /// Takes a free port. Must be called on a tokio runtime.
    pub(super) fn take() -> io::Result<Self> {
        let refusing = TcpSocket::new_v4()?;
        refusing.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        Ok(Self {
            address: refusing.local_addr()?,
            _refusing: refusing,
        })
    }

    /// Where nobody listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}
