//! Lists of networks, as one sorted table.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::policy::event::unwrapped;

/// Networks as ranges that neither touch nor overlap, in order. IPv4 and IPv6 are apart: an IPv4-mapped or NAT64
/// network is IPv4, as the addresses of events are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Networks {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Networks {
    /// One table of these.
    pub(super) fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network {
                IpNet::V4(network) => v4.push((network.network().to_bits(), network.broadcast().to_bits())),
                IpNet::V6(network) => v6.push((network.network().to_bits(), network.broadcast().to_bits())),
            }
        }
        Self { v4: merged(v4), v6: merged(v6) }
    }

    /// How many ranges there are.
    pub(super) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether one of them holds an address.
    pub(super) fn contain(&self, address: IpAddr) -> bool {
        match unwrapped(address) {
            IpAddr::V4(address) => within(&self.v4, address.to_bits()),
            IpAddr::V6(address) => within(&self.v6, address.to_bits()),
        }
    }
}

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoNetwork {
    /// It is written as none.
    Unreadable,
    /// It has bits beyond its mask; this one has not.
    Beyond(IpNet),
}

/// A network in CIDR notation; an address alone is a network of one.
pub(super) fn network(text: &str) -> Result<IpNet, NoNetwork> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(unwrapped(address).into());
    }
    let network: IpNet = text.parse().map_err(|_| NoNetwork::Unreadable)?;
    if network != network.trunc() {
        return Err(NoNetwork::Beyond(network.trunc()));
    }
    Ok(match network {
        IpNet::V6(_) => inner(network).unwrap_or(network),
        other => other,
    })
}

/// The IPv4 network inside of an IPv4-mapped or NAT64 one.
fn inner(network: IpNet) -> Option<IpNet> {
    let bits = network.prefix_len().checked_sub(96)?;
    match unwrapped(network.network()) {
        IpAddr::V4(address) => Ipv4Net::new(address, bits).ok().map(IpNet::V4),
        IpAddr::V6(_) => None,
    }
}

/// Sorts ranges and joins those that overlap or follow each other.
fn merged<T: Copy + Ord + Step>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort();
    let mut found: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (start, end) in ranges {
        match found.last_mut() {
            Some((_, last)) if last.next().is_none_or(|next| start <= next) => *last = (*last).max(end),
            _ => found.push((start, end)),
        }
    }
    found.into()
}

/// Whether a value lies in one of the ranges.
fn within<T: Copy + Ord>(ranges: &[(T, T)], value: T) -> bool {
    let behind = ranges.partition_point(|(start, _)| *start <= value);
    behind.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, end)| value <= *end)
}

/// Numbers with a next one.
trait Step: Sized {
    fn next(&self) -> Option<Self>;
}

impl Step for u32 {
    fn next(&self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Step for u128 {
    fn next(&self) -> Option<Self> {
        self.checked_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_one_range_and_edges_belong_to_it() {
        let networks =
            ["10.0.0.0/9", "10.128.0.0/9", "10.1.0.0/16", "192.0.2.1", "::ffff:198.51.100.0/120", "2001:db8::/32"];
        let table = Networks::new(networks.map(|text| network(text).unwrap()));
        assert_eq!(table.len(), 4);
        for inside in
            ["10.0.0.0", "10.255.255.255", "192.0.2.1", "::ffff:192.0.2.1", "198.51.100.7", "2001:db8:ffff::1"]
        {
            assert!(table.contain(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["9.255.255.255", "11.0.0.0", "192.0.2.0", "192.0.2.2", "2001:db9::", "::a00:1"] {
            assert!(!table.contain(outside.parse().unwrap()), "{outside}");
        }
        let all = Networks::new(["0.0.0.0/0", "::/0"].map(|text| network(text).unwrap()));
        assert!(all.contain("255.255.255.255".parse().unwrap()) && all.contain("ffff::".parse().unwrap()));
    }

    #[test]
    fn bits_beyond_the_mask_are_told() {
        assert_eq!(network("10.0.0.1/8"), Err(NoNetwork::Beyond("10.0.0.0/8".parse().unwrap())));
        for text in ["", "10.0.0.0/33", "10.0.0", "fe80::1%eth0", "example.com", "10.0.0.0/ 8", "010.0.0.1"] {
            assert_eq!(network(text), Err(NoNetwork::Unreadable), "{text}");
        }
    }
}
