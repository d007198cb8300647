//! Which addresses a request may be sent to. Subscriptions come from people outside, so without
//! this every one of them could read the inside of the operator's network through us.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use thiserror::Error;
use url::{Host, Url};

use super::address_range::{self, Range};

/// The rule of `http.allow_networks` and `http.allow_plaintext`. It judges the address that is
/// dialled, never a name: what a name resolves to is the choice of whoever owns the name.
#[derive(Clone, Debug, Default)]
pub struct AddressPolicy {
    allow_networks: Vec<IpNet>,
    allow_plaintext: bool,
}

/// Why a target is not dialled.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refused {
    /// Only `http` and `https` are spoken.
    #[error("scheme `{0}` is neither http nor https")]
    Scheme(String),
    /// The URL names no host.
    #[error("the url has no host")]
    Host,
    /// The address is not public and not in `http.allow_networks`.
    #[error("{address} is refused: {range}")]
    Address {
        /// The address as it would be dialled.
        address: IpAddr,
        /// The range that it, or the IPv4 address in it, lies in.
        range: Range,
    },
    /// Plain http to a public address, without `http.allow_plaintext`.
    #[error("plain http to {address} is refused")]
    Plaintext {
        /// The address as it would be dialled.
        address: IpAddr,
    },
}

impl AddressPolicy {
    /// `allow_networks`: private targets that may be dialled all the same, plain http included.
    /// `allow_plaintext`: plain http to public addresses.
    pub fn new(allow_networks: Vec<IpNet>, allow_plaintext: bool) -> Self {
        Self {
            allow_networks: allow_networks.into_iter().map(unmapped).collect(),
            allow_plaintext,
        }
    }

    /// Whether an encrypted connection to this address may be opened.
    ///
    /// An IPv6 address that carries an IPv4 address is judged by both: the one within must pass,
    /// and so must the form, which is never public. For the IPv4-mapped form an allowed IPv4
    /// network is enough, as the system dials it as IPv4.
    ///
    /// # Errors
    /// [`Refused::Address`] with the range.
    pub fn check_address(&self, address: IpAddr) -> Result<(), Refused> {
        let refused = |range| Err(Refused::Address { address, range });
        if let IpAddr::V6(v6) = address {
            for embedded in address_range::embedded(v6).into_iter().flatten() {
                if let Some(range) = self.forbidden(IpAddr::V4(embedded)) {
                    return refused(range);
                }
            }
        }
        match self.forbidden(address) {
            Some(range) => refused(range),
            None => Ok(()),
        }
    }

    /// Whether a connection without encryption to this address may be opened.
    ///
    /// # Errors
    /// As [`Self::check_address`], and [`Refused::Plaintext`] for an address that is public only.
    pub fn check_plaintext_address(&self, address: IpAddr) -> Result<(), Refused> {
        self.check_address(address)?;
        if self.allow_plaintext || self.allows(address) {
            Ok(())
        } else {
            Err(Refused::Plaintext { address })
        }
    }

    /// What the URL alone can tell: its scheme, and its host if that is an address. A name passes
    /// here and is judged by what it resolves to, when it is dialled.
    ///
    /// # Errors
    /// Any [`Refused`].
    pub fn check_url(&self, url: &Url) -> Result<(), Refused> {
        let check_address = match url.scheme() {
            "https" => Self::check_address,
            "http" => Self::check_plaintext_address,
            other => return Err(Refused::Scheme(other.to_owned())),
        };
        match url.host() {
            None => Err(Refused::Host),
            Some(Host::Domain(_)) => Ok(()),
            Some(Host::Ipv4(address)) => check_address(self, address.into()),
            Some(Host::Ipv6(address)) => check_address(self, address.into()),
        }
    }

    /// The range for which this very address (not one within it) is refused.
    fn forbidden(&self, address: IpAddr) -> Option<Range> {
        Range::of(address).filter(|_| !self.allows(address))
    }

    fn allows(&self, address: IpAddr) -> bool {
        let dialled = address.to_canonical();
        self.allow_networks
            .iter()
            .any(|network| network.contains(&dialled) || network.contains(&address))
    }
}

/// A network of IPv4-mapped addresses as the IPv4 network that it is.
fn unmapped(network: IpNet) -> IpNet {
    if let IpNet::V6(v6) = network
        && let Some(address) = v6.network().to_ipv4_mapped()
        && let Some(length) = v6.prefix_len().checked_sub(96)
        && let Ok(v4) = Ipv4Net::new(address, length)
    {
        IpNet::V4(v4)
    } else {
        network
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(networks: &[&str], allow_plaintext: bool) -> AddressPolicy {
        let networks = networks.iter().map(|text| text.parse().unwrap()).collect();
        AddressPolicy::new(networks, allow_plaintext)
    }

    #[test]
    fn private_targets_are_refused_in_every_spelling() {
        fn check(url: &str, expected: Range) {
            let url = Url::parse(url).unwrap();
            match policy(&[], true).check_url(&url) {
                Err(Refused::Address { range, .. }) => assert_eq!(range, expected, "{url}"),
                other => panic!("{url}: {other:?}"),
            }
        }
        check("https://127.0.0.1/", Range::Loopback);
        check("http://127.0.0.1:8080/", Range::Loopback);
        check("https://2130706433/", Range::Loopback);
        check("https://0177.0.0.1/", Range::Loopback);
        check("https://017700000001/", Range::Loopback);
        check("https://0x7f.0.0.1/", Range::Loopback);
        check("https://0x7f000001/", Range::Loopback);
        check("https://0X7F000001/", Range::Loopback);
        check("https://127.1/", Range::Loopback);
        check("https://127.0.1/", Range::Loopback);
        check("https://127.0.0.1./", Range::Loopback);
        check("https://%31%32%37.0.0.1/", Range::Loopback);
        check("https://127%2e0%2e0%2e1/", Range::Loopback);
        check("https://127。0。0。1/", Range::Loopback);
        check("https://１２７.０.０.１/", Range::Loopback);
        check("https://①②⑦.⓪.⓪.①/", Range::Loopback);
        check("https://public.example@127.0.0.1/", Range::Loopback);
        check("https://public.example:443@127.0.0.1/", Range::Loopback);
        check("https://127.0.0.1\\@public.example/", Range::Loopback);
        check("https://127.0.0.1#@public.example/", Range::Loopback);
        check("https://127.0.0.1?@public.example/", Range::Loopback);
        check("https:127.0.0.1/", Range::Loopback);
        check("https:\\\\127.0.0.1/", Range::Loopback);
        check("https://12\t7.0.0.1/", Range::Loopback);
        check("https://0/", Range::Unspecified);
        check("https://0.0.0.0/", Range::Unspecified);
        check("https://[::]/", Range::Unspecified);
        check("https://[::1]/", Range::Loopback);
        check("https://[0:0:0:0:0:0:0:1]/", Range::Loopback);
        check("https://[::ffff:127.0.0.1]/", Range::Loopback);
        check("https://[::ffff:7f00:1]/", Range::Loopback);
        check("https://[::127.0.0.1]/", Range::Loopback);
        check("https://[64:ff9b::7f00:1]/", Range::Loopback);
        check("https://[2002:7f00:1::]/", Range::Loopback);
        check("https://[2001:0:808:808::80ff:fffe]/", Range::Loopback);
        check("https://169.254.169.254/latest/", Range::CloudMetadata);
        check("https://2852039166/latest/", Range::CloudMetadata);
        check("https://[::ffff:a9fe:a9fe]/", Range::CloudMetadata);
        check("https://[fd00:ec2::254]/", Range::CloudMetadata);
        check("https://168.63.129.16/", Range::CloudMetadata);
        check("https://10.1/", Range::Private);
        check("https://192.168.0x1/", Range::Private);
        check("https://100.100.100.200/", Range::CarrierGradeNat);
        check("https://[fe80::1]/", Range::LinkLocal);
        check("https://[::ffff:8.8.8.8]/", Range::Ipv4Mapped);
        check("https://[64:ff9b::808:808]/", Range::Nat64);
    }

    #[test]
    fn schemes_plaintext_and_names() {
        fn check(policy: &AddressPolicy, url: &str, expected: Result<(), &str>) {
            let found = policy.check_url(&Url::parse(url).unwrap());
            let found = found.map_err(|refused| refused.to_string());
            assert_eq!(found, expected.map_err(str::to_owned), "{url}");
        }
        let strict = policy(&[], false);
        check(&strict, "https://8.8.8.8/", Ok(()));
        check(&strict, "https://localhost./", Ok(())); // judged when resolved
        check(&strict, "http://name.example/", Ok(())); // judged when resolved
        check(
            &strict,
            "http://8.8.8.8/",
            Err("plain http to 8.8.8.8 is refused"),
        );
        check(
            &strict,
            "ftp://8.8.8.8/",
            Err("scheme `ftp` is neither http nor https"),
        );
        check(
            &strict,
            "file:///etc/passwd",
            Err("scheme `file` is neither http nor https"),
        );
        check(
            &strict,
            "data:,x",
            Err("scheme `data` is neither http nor https"),
        );
        check(&policy(&[], true), "http://8.8.8.8/", Ok(()));
        check(&policy(&["8.8.8.0/24"], false), "http://8.8.8.8/", Ok(()));
    }

    #[test]
    fn allowed_networks_open_what_they_name_and_nothing_else() {
        fn check(networks: &[&str], address: &str, allowed: bool) {
            let policy = policy(networks, false);
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(
                policy.check_address(address).is_ok(),
                allowed,
                "{networks:?} {address}"
            );
            if allowed && Range::of(address).is_some() {
                assert_eq!(policy.check_plaintext_address(address), Ok(()));
            }
        }
        check(&["127.0.0.0/8"], "127.0.0.1", true);
        check(&["127.0.0.0/8"], "::ffff:127.0.0.1", true);
        check(&["127.0.0.0/8"], "::1", false);
        check(&["127.0.0.0/8"], "::127.0.0.1", false);
        check(&["127.0.0.0/8"], "10.0.0.1", false);
        check(&["::ffff:127.0.0.0/104"], "127.0.0.1", true);
        check(&["::ffff:127.0.0.0/104"], "::ffff:127.0.0.1", true);
        check(&["10.0.0.0/8"], "64:ff9b::10.0.0.1", false);
        check(&["10.0.0.0/8", "64:ff9b::/96"], "64:ff9b::10.0.0.1", true);
        check(&["64:ff9b::/96"], "64:ff9b::10.0.0.1", false);
        check(&["64:ff9b::/96"], "64:ff9b::8.8.8.8", true);
        check(&["::/0"], "::ffff:127.0.0.1", false);
        check(&["::/0"], "fd00::1", true);
        check(&["::1/128"], "::1", true);
        check(&["fd00::/8"], "fd00:ec2::254", true);
        check(&["10.0.0.0/8"], "8.8.8.8", true);
    }
}
