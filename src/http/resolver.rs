//! Name look-up for the HTTP client: an address that the policy forbids never reaches the dialler,
//! whatever DNS says and however often it changes its mind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use thiserror::Error;

use super::address_policy::{AddressPolicy, Refused};
use super::lookups::Lookups;
use super::system_resolver::{self, LookupError};

/// Resolves by the system and passes on only what may be dialled.
pub(super) struct Resolver {
    policy: Arc<AddressPolicy>,
    lookups: Arc<Lookups>,
}

/// Why a name yields no address to dial.
#[derive(Debug, Error)]
pub(super) enum ResolveError {
    #[error(transparent)]
    Lookup(#[from] LookupError),
    #[error("the name has no address")]
    NoAddress,
    /// All of its addresses are forbidden; the first of them stands for all.
    #[error("{0}")]
    Refused(Refused),
}

impl Resolver {
    pub(super) fn new(policy: Arc<AddressPolicy>) -> Self {
        Self {
            policy,
            lookups: Arc::default(),
        }
    }

    /// Where a connection to an endpoint may go, with or without encryption. Port 0 stands for the
    /// URL's.
    pub(super) async fn target(
        &self,
        name: &str,
        plaintext: bool,
    ) -> Result<Vec<SocketAddr>, ResolveError> {
        let found = self.any(name).await?;
        dialable(found.into_iter(), &self.policy, plaintext)
    }

    /// All addresses of a name, for what an operator named and no subscription.
    pub(super) async fn any(&self, name: &str) -> Result<Vec<SocketAddr>, ResolveError> {
        let found = match known(name) {
            Some(found) => found?,
            None => {
                let name = name.to_owned();
                let look_up = || system_resolver::look_up(name.clone());
                self.lookups.join(&name, look_up).await?
            }
        };
        if found.is_empty() {
            return Err(ResolveError::NoAddress);
        }
        Ok(found.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect())
    }

    /// Whether a name may be left for a proxy to resolve: not those that mean this machine, which
    /// would be the proxy's, and which are known without asking.
    pub(super) fn check_unresolved(&self, name: &str, plaintext: bool) -> Result<(), ResolveError> {
        match known(name) {
            Some(found) => {
                let sockets = found?.into_iter().map(|ip| SocketAddr::new(ip, 0));
                dialable(sockets, &self.policy, plaintext).map(drop)
            }
            None => Ok(()),
        }
    }
}

/// What is known of a name without asking anybody (RFC 6761, 6.3 and 6.4). Systems disagree on some;
/// what is not dialled must not hang on theirs.
fn known(name: &str) -> Option<Result<Vec<IpAddr>, LookupError>> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let is_below = |top: &str| {
        let rest = name.strip_suffix(top);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    if is_below("localhost") {
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        Some(Ok(loopback.into()))
    } else if is_below("invalid") {
        Some(Err(LookupError::NoSuchName))
    } else {
        None
    }
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
    fn some_names_are_known_without_asking() {
        fn check(name: &str, expected: Option<bool>) {
            assert_eq!(known(name).map(|found| found.is_ok()), expected, "{name}");
        }
        for name in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.b.localhost",
            "a.Localhost.",
        ] {
            check(name, Some(true));
        }
        for name in ["invalid", "a.invalid", "a.INVALID."] {
            check(name, Some(false));
        }
        for name in [
            "localhost.example",
            "alocalhost",
            "invalid.example",
            "example",
        ] {
            check(name, None);
        }
    }

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
