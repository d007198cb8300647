//! Asks a proxy for a connection to a target: by HTTP CONNECT (RFC 9110, 9.3.6), for plain http too,
//! or by SOCKS 5. Tells a proxy that refuses us from a target that the proxy cannot reach.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_socks::tcp::Socks5Stream;

use super::connection::Wire;
use super::proxy::{Credentials, Protocol, Proxy};

/// The most that the head of a proxy's answer may take.
const LONGEST_HEAD: usize = 8 * 1024;
/// The most headers in it.
const MOST_HEADERS: usize = 64;

/// What a proxy is asked to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// An address that was checked.
    Address(SocketAddr),
    /// A name that the proxy is trusted to resolve.
    Name(String, u16),
}

/// As CONNECT names it.
impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(formatter, "{address}"),
            Self::Name(name, port) => write!(formatter, "{name}:{port}"),
        }
    }
}

/// Why there is no tunnel.
#[derive(Debug, Error)]
pub(super) enum TunnelError {
    /// The proxy did what it could: it is the target that cannot be reached.
    #[error("the proxy cannot reach the target: {0}")]
    Unreachable(String),
    /// The proxy would not: wrong credentials, its own rules, its own trouble.
    #[error("the proxy refuses: {0}")]
    Refused(String),
    /// The connection to the proxy broke.
    #[error("the proxy's connection broke")]
    Io(#[from] io::Error),
    /// What it says is not the protocol.
    #[error("the proxy does not speak its protocol: {0}")]
    Protocol(&'static str),
}

/// Turns a connection to the proxy into one to the destination.
pub(super) async fn open(
    proxy: &Proxy,
    wire: Box<dyn Wire>,
    destination: &Destination,
) -> Result<Box<dyn Wire>, TunnelError> {
    let credentials = proxy.credentials.as_ref();
    match proxy.protocol {
        Protocol::Http | Protocol::Https => by_connect(wire, destination, credentials).await,
        Protocol::Socks5 => by_socks(wire, destination, credentials).await,
    }
}

async fn by_connect(
    mut wire: Box<dyn Wire>,
    destination: &Destination,
    credentials: Option<&Credentials>,
) -> Result<Box<dyn Wire>, TunnelError> {
    let mut head = format!("CONNECT {destination} HTTP/1.1\r\nhost: {destination}\r\n");
    if let Some(Credentials { user, password }) = credentials {
        let basic = STANDARD.encode(format!("{user}:{password}"));
        head.push_str(&format!("proxy-authorization: Basic {basic}\r\n"));
    }
    head.push_str("\r\n");
    wire.write_all(head.as_bytes()).await?;
    wire.flush().await?;
    match read_status(&mut wire).await? {
        200..=299 => Ok(wire),
        // What proxies answer for a target that is away, as a gateway would.
        status @ (502..=504) => Err(TunnelError::Unreachable(format!("status {status}"))),
        status => Err(TunnelError::Refused(format!("status {status}"))),
    }
}

async fn read_status(wire: &mut Box<dyn Wire>) -> Result<u16, TunnelError> {
    let mut read = Vec::new();
    loop {
        if wire.read_buf(&mut read).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut answer = httparse::Response::new(&mut headers);
        match answer.parse(&read) {
            Ok(httparse::Status::Complete(length)) => {
                let status = answer.code.unwrap_or_default();
                // A target speaks second, in TLS as in HTTP: these bytes are nobody's.
                if (200..=299).contains(&status) && length < read.len() {
                    return Err(TunnelError::Protocol("it says more than it was asked"));
                }
                return Ok(status);
            }
            Ok(httparse::Status::Partial) if read.len() < LONGEST_HEAD => {}
            Ok(httparse::Status::Partial) => {
                return Err(TunnelError::Protocol("its answer has no end"));
            }
            Err(_) => return Err(TunnelError::Protocol("its answer is not HTTP")),
        }
    }
}

async fn by_socks(
    wire: Box<dyn Wire>,
    destination: &Destination,
    credentials: Option<&Credentials>,
) -> Result<Box<dyn Wire>, TunnelError> {
    use tokio_socks::TargetAddr;

    let target = match destination {
        Destination::Address(address) => TargetAddr::Ip(*address),
        Destination::Name(name, port) => TargetAddr::Domain(name.as_str().into(), *port),
    };
    let opened = match credentials {
        Some(Credentials { user, password }) => {
            Socks5Stream::connect_with_password_and_socket(wire, target, user, password).await
        }
        None => Socks5Stream::connect_with_socket(wire, target).await,
    };
    Ok(opened.map_err(|error| of_socks(&error))?.into_inner())
}

fn of_socks(error: &tokio_socks::Error) -> TunnelError {
    use tokio_socks::Error;

    match error {
        Error::Io(error) => TunnelError::Io(error.kind().into()),
        Error::HostUnreachable | Error::ConnectionRefused | Error::TtlExpired => {
            TunnelError::Unreachable(error.to_string())
        }
        Error::InvalidResponseVersion
        | Error::UnknownAuthMethod
        | Error::InvalidReservedByte
        | Error::UnknownAddressType
        | Error::UnknownError => TunnelError::Protocol("its answer is not SOCKS 5"),
        // A network that a proxy cannot reach is a route that the operator's side lacks.
        Error::NetworkUnreachable
        | Error::GeneralSocksServerFailure
        | Error::ConnectionNotAllowedByRuleset
        | Error::CommandNotSupported
        | Error::AddressTypeNotSupported
        | Error::NoAcceptableAuthMethods
        | Error::PasswordAuthFailure(_)
        | Error::AuthorizationRequired
        | Error::InvalidAuthValues(_)
        | Error::ParseError(_)
        | Error::InvalidTargetAddress(_)
        | Error::ProxyServerUnreachable
        | Error::IdentdAuthFailure
        | Error::InvalidUserIdAuthFailure => TunnelError::Refused(error.to_string()),
    }
}
