//! Name look-up for the HTTP client: an address that the policy forbids never reaches the dialler,
//! whatever DNS says and however often it changes its mind.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;
use tokio::net::lookup_host;

use super::address_policy::{AddressPolicy, Refused};
use super::lookups::Lookups;

/// Resolves by the system and passes on only what may be dialled. The client gives a resolver the
/// name but not the scheme, so the client for plain http has one of its own.
pub(super) struct Resolver {
    pub(super) policy: Arc<AddressPolicy>,
    /// Shared by the clients.
    pub(super) lookups: Arc<Lookups>,
    /// Whether the connection will be without encryption.
    pub(super) plaintext: bool,
}

/// Why a name yields no address to dial.
#[derive(Debug, Error)]
pub(super) enum ResolveError {
    #[error("look-up failed")]
    Lookup(#[source] io::Error),
    #[error("the name has no address")]
    NoAddress,
    /// All of its addresses are forbidden; the first of them stands for all.
    #[error("{0}")]
    Refused(Refused),
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.policy);
        let lookups = Arc::clone(&self.lookups);
        let plaintext = self.plaintext;
        Box::pin(async move {
            let found = lookups
                .join(name.as_str(), || look_up(name.as_str().to_owned()))
                .await
                .map_err(ResolveError::Lookup)?;
            let addresses: Addrs =
                Box::new(dialable(found.into_iter(), &policy, plaintext)?.into_iter());
            Ok(addresses)
        })
    }
}

async fn look_up(name: String) -> io::Result<Vec<SocketAddr>> {
    if is_localhost(&name) {
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        return Ok(loopback.map(|address| SocketAddr::new(address, 0)).into());
    }
    let found = lookup_host((name, 0)).await?; // port 0 stands for the URL's
    Ok(found.collect())
}

/// Names that mean this machine (RFC 6761, 6.3), in every spelling. Systems disagree on some; what is
/// not dialled must not hang on theirs.
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Leaves out the addresses that are forbidden. The rest may be dialled: a name with one private
/// and one public address is a common split-horizon set-up, and the public one harms nobody.
fn dialable(
    found: impl Iterator<Item = SocketAddr>,
    policy: &AddressPolicy,
    plaintext: bool,
) -> Result<Vec<SocketAddr>, ResolveError> {
    let mut allowed = Vec::new();
    let mut error = ResolveError::NoAddress;
    for address in found {
        let verdict = if plaintext {
            policy.check_plaintext_address(address.ip())
        } else {
            policy.check_address(address.ip())
        };
        match (verdict, &error) {
            (Ok(()), _) => allowed.push(address),
            (Err(refused), ResolveError::NoAddress) => error = ResolveError::Refused(refused),
            (Err(_), ResolveError::Refused(_) | ResolveError::Lookup(_)) => {}
        }
    }
    if allowed.is_empty() {
        Err(error)
    } else {
        Ok(allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_addresses_are_left_out() {
        fn check(found: &[&str], plaintext: bool, expected: Result<&[&str], &str>) {
            let policy = AddressPolicy::new(vec!["10.1.0.0/16".parse().unwrap()], false);
            let addresses = |list: &[&str]| -> Vec<SocketAddr> {
                let sockets = list
                    .iter()
                    .map(|ip| SocketAddr::new(ip.parse().unwrap(), 0));
                sockets.collect()
            };
            let result = dialable(addresses(found).into_iter(), &policy, plaintext);
            let result = result.map_err(|error| error.to_string());
            assert_eq!(
                result,
                expected.map(addresses).map_err(str::to_owned),
                "{found:?}"
            );
        }
        check(
            &["8.8.8.8", "2606:4700::1"],
            false,
            Ok(&["8.8.8.8", "2606:4700::1"]),
        );
        check(&["127.0.0.1", "8.8.8.8"], false, Ok(&["8.8.8.8"]));
        check(&["10.1.2.3", "10.2.2.3"], false, Ok(&["10.1.2.3"]));
        check(
            &["::1", "127.0.0.1"],
            false,
            Err("::1 is refused: loopback"),
        );
        check(
            &["::ffff:169.254.169.254"],
            false,
            Err("::ffff:169.254.169.254 is refused: cloud metadata"),
        );
        check(&[], false, Err("the name has no address"));
        check(&["8.8.8.8", "10.1.2.3"], true, Ok(&["10.1.2.3"]));
        check(&["8.8.8.8"], true, Err("plain http to 8.8.8.8 is refused"));
    }
}
