//! What the HTTP client is told.

use std::path::PathBuf;
use std::time::Duration;

use super::address_policy::AddressPolicy;
use super::proxy::{Bypass, Proxy};

/// How a [`super::Client`] behaves towards all endpoints.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which addresses may be dialled.
    pub address_policy: AddressPolicy,
    /// The most that look-up, connect and TLS handshake may take together.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept. Below the 60 s after which common load balancers
    /// close theirs, so that a request seldom meets a closing connection.
    pub idle_timeout: Duration,
    /// How many unused connections are kept for one host.
    pub idle_per_host: usize,
    /// How many connections are kept open for further requests, of all hosts together.
    pub kept_connections: usize,
    /// How many more may be open, for requests on the wire.
    pub connections_in_use: usize,
    /// Where requests pass through, and not those that `bypass` covers.
    pub proxy: Option<Proxy>,
    /// Whether names are left for the proxy to resolve. Then only hosts that are addresses are judged.
    pub proxy_resolves: bool,
    /// What goes past the proxy.
    pub bypass: Vec<Bypass>,
    /// How much of an answer's body is kept, in bytes after decompression.
    pub keep_response_bytes: usize,
    /// How much of an answer's body is read before the connection is given up, in bytes after
    /// decompression. Reading on beyond what is kept lets the connection be used again.
    pub max_response_bytes: usize,
    /// The `user-agent` of requests that name none.
    pub user_agent: String,
    /// A PEM file of certificate authorities that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address_policy: AddressPolicy::default(),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(45),
            idle_per_host: 256,
            kept_connections: 2_048,
            connections_in_use: 1_024,
            proxy: None,
            proxy_resolves: false,
            bypass: Vec::new(),
            keep_response_bytes: 1024,
            max_response_bytes: 64 * 1024,
            user_agent: concat!("hooktide/", env!("CARGO_PKG_VERSION")).to_owned(),
            ca_file: None,
        }
    }
}
