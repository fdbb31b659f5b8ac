//! What is left of the limits that a request has met.

use std::time::Duration;

use super::Policy;
use crate::key::Rate;

/// What is left of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Which limit.
    pub policy: Policy,
    /// How much it lets pass.
    pub rate: Rate,
    /// How much may pass now, in the unit of the limit.
    pub remaining: u64,
    /// After how long all of the burst may pass again.
    pub full_in: Duration,
}

/// What is left of all limits that one request has met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quotas {
    len: usize,
    met: [Option<Quota>; Policy::COUNT],
}

impl Quotas {
    /// Adds a quota, in place of an earlier one of the same limit.
    pub fn note(&mut self, quota: Quota) {
        let known = self.met[..self.len].iter().position(|met| met.is_some_and(|met| met.policy == quota.policy));
        let at = known.unwrap_or(self.len);
        if let Some(place) = self.met.get_mut(at) {
            *place = Some(quota);
            self.len = self.len.max(at + 1);
        }
    }

    /// The quotas, in the order in which the limits were met.
    pub fn iter(&self) -> impl Iterator<Item = &Quota> {
        self.met.iter().flatten()
    }

    /// Whether no limit was met.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds the quotas of a later look.
    pub fn extend(&mut self, later: &Self) {
        later.iter().for_each(|quota| self.note(*quota));
    }
}
