//! Makes connections: a place in the budget, the name looked up, its addresses judged, dialled
//! directly or through a proxy, then TLS. All of it within the connect timeout, and each step with
//! an error of its own, as they are not the same party's fault.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, Ready, ready};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tower_service::Service;
use url::Host;

use super::connection::{Connection, Wire};
use super::connection_budget::ConnectionBudget;
use super::proxy::{Bypass, Protocol, Proxy};
use super::resolver::{ResolveError, Resolver};
use super::tunnel::{self, Destination, TunnelError};

/// How many of a target's addresses a proxy is asked for.
const MOST_ASKED_FOR: usize = 3;

/// Makes connections; cheap to clone.
#[derive(Clone)]
pub(super) struct Connector(pub(super) Arc<Route>);

/// How connections are made.
pub(super) struct Route {
    pub(super) resolver: Resolver,
    pub(super) budget: ConnectionBudget,
    /// Offers HTTP/2 and HTTP/1.1.
    pub(super) tls: TlsConnector,
    /// Offers what CONNECT is spoken in.
    pub(super) tls_to_proxy: TlsConnector,
    pub(super) proxy: Option<Proxy>,
    /// Whether names are left for the proxy to resolve.
    pub(super) proxy_resolves: bool,
    pub(super) bypass: Vec<Bypass>,
    pub(super) timeout: Duration,
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub(super) enum ConnectError {
    #[error("no connection may be opened: as many as the limit of open files allows are in use")]
    NoPlace,
    #[error("the look-up did not end within {}", humantime::format_duration(*.0))]
    LookupTimedOut(Duration),
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error("no connection within {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    #[error("cannot connect")]
    Dial(#[source] Box<dyn Error + Send + Sync>),
    #[error("no connection to the proxy within {}", humantime::format_duration(*.0))]
    ProxyTimedOut(Duration),
    #[error("cannot connect to the proxy")]
    ProxyDial(#[source] Box<dyn Error + Send + Sync>),
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
    #[error("the host is no name for a certificate")]
    ServerName,
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Connection>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let route = Arc::clone(&self.0);
        Box::pin(async move { route.connect(&target).await.map(TokioIo::new) })
    }
}

impl Route {
    async fn connect(&self, target: &Uri) -> Result<Connection, ConnectError> {
        let deadline = Instant::now() + self.timeout;
        let place = timeout_at(deadline, self.budget.take()).await;
        let place = place.ok().flatten().ok_or(ConnectError::NoPlace)?;
        let host = target.host().unwrap_or_default();
        let through = self
            .proxy
            .as_ref()
            .filter(|_| !self.bypass.iter().any(|entry| entry.covers(host)));
        let wire = match through {
            None => self.directly(target, deadline).await?,
            Some(proxy) => self.through(proxy, target, deadline).await?,
        };
        if is_plaintext(target) {
            return Ok(Connection::new(wire, false, place));
        }
        let name = server_name(host)?;
        let secured = timeout_at(deadline, self.tls.connect(name, wire)).await;
        let secured = secured
            .map_err(|_| ConnectError::TimedOut(self.timeout))?
            .map_err(ConnectError::Tls)?;
        let speaks_http_2 = secured.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Connection::new(Box::new(secured), speaks_http_2, place))
    }

    async fn directly(
        &self,
        target: &Uri,
        deadline: Instant,
    ) -> Result<Box<dyn Wire>, ConnectError> {
        let addresses = self.addresses(target, deadline).await?;
        let dialled = timeout_at(deadline, dial(target.clone(), addresses, self.timeout)).await;
        let stream = dialled
            .map_err(|_| ConnectError::TimedOut(self.timeout))?
            .map_err(ConnectError::Dial)?;
        Ok(Box::new(stream))
    }

    /// The addresses that may be dialled; of a host that is one, it was judged with its URL.
    async fn addresses(
        &self,
        target: &Uri,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, ConnectError> {
        let host = target.host().unwrap_or_default();
        if let Some(address) = literal(host) {
            return Ok(vec![address]);
        }
        let found = self.resolver.target(host, is_plaintext(target));
        let found = timeout_at(deadline, found).await;
        Ok(found.map_err(|_| ConnectError::LookupTimedOut(self.timeout))??)
    }

    async fn through(
        &self,
        proxy: &Proxy,
        target: &Uri,
        deadline: Instant,
    ) -> Result<Box<dyn Wire>, ConnectError> {
        let mut last = ConnectError::Resolve(ResolveError::NoAddress);
        for destination in self.destinations(target, deadline).await? {
            let wire = timeout_at(deadline, self.reach(proxy)).await;
            let wire = wire.map_err(|_| ConnectError::ProxyTimedOut(self.timeout))??;
            let opened = timeout_at(deadline, tunnel::open(proxy, wire, &destination)).await;
            match opened.map_err(|_| ConnectError::TimedOut(self.timeout))? {
                Ok(wire) => return Ok(wire),
                Err(error @ TunnelError::Unreachable(_)) => last = error.into(),
                Err(error) => return Err(error.into()),
            }
        }
        Err(last)
    }

    /// What the proxy is asked for: the addresses that were judged, IPv4 first, as many proxies have
    /// nothing else; the name only where the operator says so, since then nobody here judges.
    async fn destinations(
        &self,
        target: &Uri,
        deadline: Instant,
    ) -> Result<Vec<Destination>, ConnectError> {
        let host = target.host().unwrap_or_default();
        let port = target.port_u16();
        let port = port.unwrap_or(if is_plaintext(target) { 80 } else { 443 });
        if self.proxy_resolves && literal(host).is_none() {
            self.resolver.check_unresolved(host, is_plaintext(target))?;
            return Ok(vec![Destination::Name(host.to_owned(), port)]);
        }
        let mut addresses = self.addresses(target, deadline).await?;
        addresses.sort_by_key(SocketAddr::is_ipv6); // stable: otherwise the resolver's order
        let destinations = addresses
            .into_iter()
            .take(MOST_ASKED_FOR)
            .map(|address| Destination::Address(SocketAddr::new(address.ip(), port)));
        Ok(destinations.collect())
    }

    /// A connection to the proxy itself, which is the operator's choice and not judged.
    async fn reach(&self, proxy: &Proxy) -> Result<Box<dyn Wire>, ConnectError> {
        let failed = |error: io::Error| ConnectError::ProxyDial(error.into());
        let (addresses, name) = match &proxy.host {
            Host::Domain(name) => {
                let found = self.resolver.any(name).await;
                let found = found.map_err(|error| ConnectError::ProxyDial(error.into()))?;
                (found, name.clone())
            }
            Host::Ipv4(address) => (vec![socket(*address)], address.to_string()),
            Host::Ipv6(address) => (vec![socket(*address)], format!("[{address}]")),
        };
        let target = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(format!("{name}:{}", proxy.port))
            .path_and_query("/")
            .build();
        let target = target.map_err(|error| ConnectError::ProxyDial(error.into()))?;
        let stream = dial(target, addresses, self.timeout)
            .await
            .map_err(ConnectError::ProxyDial)?;
        match proxy.protocol {
            Protocol::Http | Protocol::Socks5 => Ok(Box::new(stream)),
            Protocol::Https => {
                let secured = self.tls_to_proxy.connect(server_name(&name)?, stream).await;
                Ok(Box::new(secured.map_err(failed)?))
            }
        }
    }
}

/// Dials the addresses: the other family soon after the first if that does not answer (RFC 8305), and
/// within a family one after the other, each with its share of the time.
async fn dial(
    target: Uri,
    addresses: Vec<SocketAddr>,
    timeout: Duration,
) -> Result<TcpStream, Box<dyn Error + Send + Sync>> {
    let mut connector = HttpConnector::new_with_resolver(Known(addresses));
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(timeout));
    Ok(connector.call(target).await?.into_inner())
}

/// A resolver for the dialler that knows the answer.
#[derive(Clone)]
struct Known(Vec<SocketAddr>);

impl Service<Name> for Known {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(self.0.clone().into_iter()))
    }
}

fn is_plaintext(target: &Uri) -> bool {
    target.scheme() != Some(&Scheme::HTTPS)
}

/// Port 0 stands for the URL's.
fn socket(address: impl Into<IpAddr>) -> SocketAddr {
    SocketAddr::new(address.into(), 0)
}

/// The host as an address, if it is one.
fn literal(host: &str) -> Option<SocketAddr> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    Some(socket(bare.parse::<IpAddr>().ok()?))
}

fn server_name(host: &str) -> Result<ServerName<'static>, ConnectError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(bare.to_owned()).map_err(|_| ConnectError::ServerName)
}
