//! Which special range an address lies in: the IANA special-purpose registries (RFC 6890 and its
//! successors) plus the metadata addresses of cloud providers, as one table.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Why an address is not a public target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Range {
    /// `0.0.0.0` and `::`: on most systems another spelling of the local host.
    Unspecified,
    /// The rest of `0.0.0.0/8` (RFC 791).
    ThisNetwork,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// RFC 1918.
    Private,
    /// `100.64.0.0/10` (RFC 6598).
    CarrierGradeNat,
    /// `169.254.0.0/16` (RFC 3927), `fe80::/10`.
    LinkLocal,
    /// Answers with a machine's credentials in the large clouds.
    CloudMetadata,
    /// `192.0.0.0/24` (RFC 6890), `2001::/23` (RFC 2928).
    IetfAssignment,
    /// RFC 5737, RFC 3849, RFC 9637.
    Documentation,
    /// `198.18.0.0/15` (RFC 2544), `2001:2::/48` (RFC 5180).
    Benchmark,
    /// `192.88.99.0/24`, the retired 6to4 relays (RFC 7526).
    RelayAnycast,
    /// `224.0.0.0/4`, `ff00::/8`.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// `240.0.0.0/4` (RFC 1112).
    Reserved,
    /// `fc00::/7` (RFC 4193).
    UniqueLocal,
    /// `fec0::/10`, retired and still routed inside some sites (RFC 3879).
    SiteLocal,
    /// `::ffff:0:0/96`: an IPv4 address that the system dials as IPv4.
    Ipv4Mapped,
    /// `::/96` (retired by RFC 4291).
    Ipv4Compatible,
    /// `64:ff9b::/96` (RFC 6052) and `64:ff9b:1::/48` (RFC 8215).
    Nat64,
    /// `2002::/16` (RFC 3056).
    SixToFour,
    /// `2001::/32` (RFC 4380).
    Teredo,
    /// `2001:10::/28` (RFC 4843) and `2001:20::/28` (RFC 7343): hashes, not places.
    Orchid,
    /// `100::/64` (RFC 6666).
    Discard,
    /// IPv6 outside of `2000::/3`, the only part that is global unicast.
    NotGlobalUnicast,
}

impl Range {
    /// The range an address lies in; `None` for public addresses.
    pub fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(address) => V4
                .iter()
                .find(|(network, _)| network.contains(&address))
                .map(|(_, range)| *range),
            IpAddr::V6(address) => V6
                .iter()
                .find(|(network, _)| network.contains(&address))
                .map(|(_, range)| *range)
                .or((!GLOBAL_UNICAST.contains(&address)).then_some(Self::NotGlobalUnicast)),
        }
    }

    /// The name of the range as it appears in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::ThisNetwork => "this network",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::CarrierGradeNat => "carrier-grade NAT",
            Self::LinkLocal => "link-local",
            Self::CloudMetadata => "cloud metadata",
            Self::IetfAssignment => "IETF protocol assignment",
            Self::Documentation => "documentation",
            Self::Benchmark => "benchmark",
            Self::RelayAnycast => "6to4 relay",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Reserved => "reserved",
            Self::UniqueLocal => "unique local",
            Self::SiteLocal => "site-local",
            Self::Ipv4Mapped => "IPv4-mapped",
            Self::Ipv4Compatible => "IPv4-compatible",
            Self::Nat64 => "NAT64",
            Self::SixToFour => "6to4",
            Self::Teredo => "Teredo",
            Self::Orchid => "ORCHID",
            Self::Discard => "discard-only",
            Self::NotGlobalUnicast => "not global unicast",
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The IPv4 addresses that an IPv6 address carries a packet to, by the standard that gives its
/// prefix a meaning. Teredo has two: its server and its (inverted) client. The local NAT64 prefix
/// `64:ff9b:1::/48` leaves the place of the IPv4 address to its operator, so it yields none.
pub(super) fn embedded(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let octets = address.octets();
    let at = |start: usize| {
        let mut four = [0; 4];
        four.copy_from_slice(&octets[start..start + 4]);
        Ipv4Addr::from_octets(four)
    };
    match address.segments() {
        // Unspecified and loopback are addresses of their own in this block.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None, None],
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] => [Some(at(12)), None],
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => [Some(at(12)), None],
        [0x2002, ..] => [Some(at(2)), None],
        [0x2001, 0, ..] => [Some(at(4)), Some(Ipv4Addr::from_bits(!at(12).to_bits()))],
        _ => [None, None],
    }
}

/// More specific networks come before those that contain them: the first match names the range.
const V4: &[(Ipv4Net, Range)] = &[
    (v4(0, 0, 0, 0, 32), Range::Unspecified),
    (v4(0, 0, 0, 0, 8), Range::ThisNetwork),
    (v4(10, 0, 0, 0, 8), Range::Private),
    (v4(100, 64, 0, 0, 10), Range::CarrierGradeNat),
    (v4(127, 0, 0, 0, 8), Range::Loopback),
    // Azure's host agent, a public address that every machine there can reach.
    (v4(168, 63, 129, 16, 32), Range::CloudMetadata),
    (v4(169, 254, 169, 254, 32), Range::CloudMetadata),
    (v4(169, 254, 0, 0, 16), Range::LinkLocal),
    (v4(172, 16, 0, 0, 12), Range::Private),
    (v4(192, 0, 0, 0, 24), Range::IetfAssignment),
    (v4(192, 0, 2, 0, 24), Range::Documentation),
    (v4(192, 88, 99, 0, 24), Range::RelayAnycast),
    (v4(192, 168, 0, 0, 16), Range::Private),
    (v4(198, 18, 0, 0, 15), Range::Benchmark),
    (v4(198, 51, 100, 0, 24), Range::Documentation),
    (v4(203, 0, 113, 0, 24), Range::Documentation),
    (v4(224, 0, 0, 0, 4), Range::Multicast),
    (v4(255, 255, 255, 255, 32), Range::Broadcast),
    (v4(240, 0, 0, 0, 4), Range::Reserved),
];

const V6: &[(Ipv6Net, Range)] = &[
    (v6([0; 8], 128), Range::Unspecified),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), Range::Loopback),
    (v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96), Range::Ipv4Mapped),
    (v6([0; 8], 96), Range::Ipv4Compatible),
    (v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96), Range::Nat64),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), Range::Nat64),
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), Range::Discard),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), Range::Teredo),
    (v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48), Range::Benchmark),
    (v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28), Range::Orchid),
    (v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28), Range::Orchid),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), Range::IetfAssignment),
    (
        v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
        Range::Documentation,
    ),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), Range::SixToFour),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), Range::Documentation),
    // AWS, inside of the unique local range.
    (
        v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128),
        Range::CloudMetadata,
    ),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), Range::UniqueLocal),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), Range::LinkLocal),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), Range::SiteLocal),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), Range::Multicast),
];

const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(segments: [u16; 8], length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::from_segments(segments), length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_and_last_address_of_each_range_and_their_neighbours() {
        fn check(address: &str, expected: Option<Range>) {
            assert_eq!(Range::of(address.parse().unwrap()), expected, "{address}");
        }
        for (inside, range) in [
            ("0.0.0.0", Range::Unspecified),
            ("0.0.0.1", Range::ThisNetwork),
            ("0.255.255.255", Range::ThisNetwork),
            ("10.0.0.0", Range::Private),
            ("10.255.255.255", Range::Private),
            ("100.64.0.0", Range::CarrierGradeNat),
            ("100.127.255.255", Range::CarrierGradeNat),
            ("127.0.0.1", Range::Loopback),
            ("127.255.255.255", Range::Loopback),
            ("168.63.129.16", Range::CloudMetadata),
            ("169.254.169.254", Range::CloudMetadata),
            ("169.254.0.0", Range::LinkLocal),
            ("169.254.255.255", Range::LinkLocal),
            ("172.16.0.0", Range::Private),
            ("172.31.255.255", Range::Private),
            ("192.0.0.192", Range::IetfAssignment),
            ("192.0.2.255", Range::Documentation),
            ("192.88.99.1", Range::RelayAnycast),
            ("192.168.0.0", Range::Private),
            ("192.168.255.255", Range::Private),
            ("198.18.0.0", Range::Benchmark),
            ("198.19.255.255", Range::Benchmark),
            ("198.51.100.7", Range::Documentation),
            ("203.0.113.7", Range::Documentation),
            ("224.0.0.0", Range::Multicast),
            ("239.255.255.255", Range::Multicast),
            ("240.0.0.0", Range::Reserved),
            ("255.255.255.254", Range::Reserved),
            ("255.255.255.255", Range::Broadcast),
            ("::", Range::Unspecified),
            ("::1", Range::Loopback),
            ("::2", Range::Ipv4Compatible),
            ("::ffff:8.8.8.8", Range::Ipv4Mapped),
            ("::ffff:0:8.8.8.8", Range::NotGlobalUnicast), // RFC 2765's IPv4-translated
            ("64:ff9b::808:808", Range::Nat64),
            ("64:ff9b:1:ffff::1", Range::Nat64),
            ("64:ff9b:2::1", Range::NotGlobalUnicast),
            ("100::1", Range::Discard),
            ("100:0:0:1::1", Range::NotGlobalUnicast),
            ("2001::1", Range::Teredo),
            ("2001:2::1", Range::Benchmark),
            ("2001:1f::1", Range::Orchid),
            ("2001:2f::1", Range::Orchid),
            ("2001:1ff:ffff::1", Range::IetfAssignment),
            ("2001:db8:ffff::1", Range::Documentation),
            ("2002:808:808::1", Range::SixToFour),
            ("3fff:fff:ffff::1", Range::Documentation),
            ("4000::1", Range::NotGlobalUnicast),
            ("5f00::1", Range::NotGlobalUnicast),
            ("fd00:ec2::254", Range::CloudMetadata),
            ("fc00::1", Range::UniqueLocal),
            ("fdff::1", Range::UniqueLocal),
            ("fe80::1", Range::LinkLocal),
            ("febf::1", Range::LinkLocal),
            ("fec0::1", Range::SiteLocal),
            ("ff02::1", Range::Multicast),
        ] {
            check(inside, Some(range));
        }
        for outside in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860::8888",
            "2001:db9::1",
            "2003::1",
            "2606:4700::1111",
            "3fff:1000::1",
        ] {
            check(outside, None);
        }
    }

    #[test]
    fn embedded_addresses_are_found() {
        fn check(address: &str, expected: &[&str]) {
            let found: Vec<_> = embedded(address.parse().unwrap())
                .into_iter()
                .flatten()
                .map(|embedded| embedded.to_string())
                .collect();
            assert_eq!(found, expected, "{address}");
        }
        check("::ffff:127.0.0.1", &["127.0.0.1"]);
        check("::10.0.0.1", &["10.0.0.1"]);
        check("::", &[]);
        check("::1", &[]);
        check("64:ff9b::10.0.0.1", &["10.0.0.1"]);
        check("64:ff9b:1::10.0.0.1", &[]);
        check("2002:7f00:1::1", &["127.0.0.1"]);
        check("2001:0:a00:1::80ff:fffe", &["10.0.0.1", "127.0.0.1"]);
        check("2606:4700::1111", &[]);
    }
}
