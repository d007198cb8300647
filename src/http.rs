//! Requests to endpoints: which addresses may be dialled, one exchange with everything about it
//! bounded, and its failures told apart. The only place that touches the HTTP client.

mod address_policy;
mod address_range;
mod client;
mod connection;
mod connection_budget;
mod connector;
mod departure;
mod exchange;
mod failure;
pub mod flights;
mod lookups;
mod proxy;
mod resend;
mod resolver;
mod settings;
mod system_resolver;
mod tls;
mod tunnel;

pub use address_policy::{AddressPolicy, Refused};
pub use address_range::Range;
pub use client::{Client, ClientError};
pub use connection_budget::{RESERVED_FILES, TooFewFiles, affordable};
pub use exchange::{Answer, ErrorClass, Exchange, Failure, Request, redact};
pub use proxy::{Bypass, Protocol, Proxy, ProxyError};
pub use settings::Settings;
pub use tls::{TlsError, client_tls};
