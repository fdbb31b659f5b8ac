//! The networks a key may be used from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::InvalidId;

/// Networks in CIDR notation, IPv4 and IPv6 (RFC 4632, RFC 4291). Without any, every address is allowed.
///
/// ```
/// use keyloft::key::Networks;
/// let networks: Networks = "10.0.0.0/8, 2001:db8::/32".parse()?;
/// assert!(networks.allow("10.1.2.3".parse().unwrap()));
/// assert!(networks.allow("::ffff:10.1.2.3".parse().unwrap()), "the same address, written as IPv6");
/// assert!(!networks.allow("192.0.2.1".parse().unwrap()));
/// # Ok::<(), keyloft::key::InvalidId>(())
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Networks(Box<[IpNet]>);

impl Networks {
    /// How many networks one key may carry.
    pub const MAX: usize = 64;

    /// Whether requests from `address` are allowed. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn allow(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.is_empty() || self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether every address is allowed.
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    /// The networks.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &IpNet> {
        self.0.iter()
    }

    /// Parses networks as documents write them.
    ///
    /// # Errors
    /// [`InvalidId`] when one is no network, has bits beyond its mask, or there are more than [`Networks::MAX`].
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidId> {
        const RULE: InvalidId = InvalidId::new(
            "allowedCidrs",
            "at most 64 networks such as 10.0.0.0/8 or 2001:db8::/32, with no bit beyond the mask",
        );
        let networks: Option<Vec<IpNet>> = texts.into_iter().take(Self::MAX + 1).map(network).collect();
        networks.filter(|networks| networks.len() <= Self::MAX).map(|networks| Self(networks.into())).ok_or(RULE)
    }
}

/// One network; a plain address is a network of one. `None` for anything else: `10.0.0.1/8` is a mistake. An
/// IPv4-mapped IPv6 network (RFC 4291, section 2.5.5.2) counts as IPv4.
fn network(text: &str) -> Option<IpNet> {
    const MAPPED_BITS: u8 = 96;
    let (address, bits) = match text.split_once('/') {
        Some((_, bits)) if !bits.bytes().all(|byte| byte.is_ascii_digit()) => return None, // Such as +8.
        Some((address, bits)) => (IpAddr::from_str(address).ok()?, Some(bits.parse().ok()?)),
        None => (IpAddr::from_str(text).ok()?, None),
    };
    let network = match (address, bits) {
        (_, None) => IpNet::from(address.to_canonical()),
        (IpAddr::V6(mapped), Some(bits)) if bits >= MAPPED_BITS && mapped.to_ipv4_mapped().is_some() => {
            IpNet::new(address.to_canonical(), bits - MAPPED_BITS).ok()?
        }
        (_, Some(bits)) => IpNet::new(address, bits).ok()?,
    };
    (network.addr() == network.network()).then_some(network)
}

impl FromStr for Networks {
    type Err = InvalidId;

    /// Reads comma-separated networks.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::parse(text.split(',').map(str::trim).filter(|piece| !piece.is_empty()))
    }
}

impl fmt::Debug for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

impl Serialize for Networks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        Self::parse(texts.iter().map(String::as_str)).map_err(serde::de::Error::custom)
    }
}

/// The network of a client: what one customer of a provider usually has.
pub(crate) fn client_network(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => u64::from(u32::from(address) >> 8), // /24
        IpAddr::V6(address) => u64::try_from(u128::from(address) >> 80).unwrap_or_default() | 1 << 63, // /48
    }
}

/// The first address of that network.
#[cfg_attr(not(feature = "server"), allow(dead_code))]
pub(crate) fn client_network_start(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from(u32::from(address) >> 8 << 8).into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 80 << 80).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(text: &str) -> Networks {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_covers_its_own_addresses_and_no_other() {
        let office = networks("192.0.2.0/24,2001:db8::/32,198.51.100.7");
        for inside in ["192.0.2.255", "::ffff:192.0.2.1", "2001:db8:1::1", "198.51.100.7"] {
            assert!(office.allow(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["192.0.3.0", "2001:db9::1", "198.51.100.8", "::1", "::c000:201"] {
            assert!(!office.allow(outside.parse().unwrap()), "{outside}");
        }
        let mapped = networks("::ffff:1.2.3.0/120,::ffff:5.6.7.8");
        assert!(mapped.allow("1.2.3.4".parse().unwrap()) && mapped.allow("::ffff:5.6.7.8".parse().unwrap()));
        assert!(!mapped.allow("1.2.4.4".parse().unwrap()));
        assert!(networks("").allow("203.0.113.1".parse().unwrap()));
        assert!(networks("0.0.0.0/0").allow("203.0.113.1".parse().unwrap()));
        assert!(!networks("0.0.0.0/0").allow("::1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in
            ["10.0.0.1/8", "010.0.0.0/8", "10.0.0.0/+8", "10.0.0.0/33", "10.0.0/8", "all", "fe80::1%eth0", "::/129"]
        {
            assert!(bad.parse::<Networks>().is_err(), "{bad}");
        }
        assert!(vec!["10.0.0.0/8"; 65].join(",").parse::<Networks>().is_err());
    }
}
