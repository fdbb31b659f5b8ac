//! Addresses of clients.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

/// How many bits of an IPv6 address may be its network: from what a site usually has to what a link has.
pub const IPV6_NETWORK_BITS: RangeInclusive<u8> = 48..=64;
/// The network of NAT64 (RFC 6052, section 2.1), `64:ff9b::/96`.
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// Reads an address. One with a zone (`fe80::1%eth0`) or a port is none.
pub(super) fn parse(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(unwrapped)
}

/// The IPv4 address inside of an IPv4-mapped or NAT64 one, so that a client has one address on both; any other as it
/// is.
pub fn unwrapped(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if v6.segments().starts_with(&NAT64) => {
            let [.., a, b, c, d] = v6.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        other => other,
    }
}

/// The network of a client: the address itself for IPv4, so many bits of it for IPv6.
pub(super) fn network(address: IpAddr, ipv6_bits: u8) -> String {
    match address {
        IpAddr::V4(address) => format!("{address}/32"),
        IpAddr::V6(address) => {
            let bits = ipv6_bits.clamp(*IPV6_NETWORK_BITS.start(), *IPV6_NETWORK_BITS.end());
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(u128::MAX);
            format!("{}/{bits}", Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_one_address_however_it_is_written() {
        let read = |text: &str| parse(text).map(|address| address.to_string());
        for text in ["203.0.113.7", "::ffff:203.0.113.7", "64:ff9b::203.0.113.7", "64:FF9B::CB00:7107"] {
            assert_eq!(read(text).as_deref(), Some("203.0.113.7"), "{text}");
        }
        assert_eq!(read("2001:DB8:0::1").as_deref(), Some("2001:db8::1"));
        for none in ["", "fe80::1%eth0", "203.0.113.7:80", "[::1]", "203.0.113.07", "203.0.113", " ::1", "localhost"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn a_network_is_one_address_of_ipv4_and_64_bits_of_ipv6() {
        let of = |text: &str, bits| network(parse(text).unwrap(), bits);
        assert_eq!(of("203.0.113.7", 64), "203.0.113.7/32");
        assert_eq!(of("2001:db8:1:2:3:4:5:6", 64), "2001:db8:1:2::/64");
        assert_eq!(of("2001:db8:1:2:3:4:5:6", 48), "2001:db8:1::/48");
        assert_eq!((of("2001:db8:1:ffff::", 0), of("::1", 255)), ("2001:db8:1::/48".to_owned(), "::/64".to_owned()));
    }
}
