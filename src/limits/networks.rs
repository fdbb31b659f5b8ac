//! Where a key may be used from.

use std::net::IpAddr;

use super::Refusal;
use crate::key::ApiKey;

/// Admits a request by where it comes from. `address` is only asked for when the key cares; without an answer, a key
/// that cares is refused.
///
/// # Errors
/// [`Refusal::Network`].
pub fn admit(key: &ApiKey, address: impl FnOnce() -> Option<IpAddr>) -> Result<(), Refusal> {
    let fine = key.networks.is_any() || address().is_some_and(|address| key.networks.allow(address));
    if fine { Ok(()) } else { Err(Refusal::Network) }
}
