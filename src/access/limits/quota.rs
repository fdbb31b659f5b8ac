//! What an acquisition answers: what is left of the limits that apply, or a refusal.

use std::time::Duration;

use smallvec::SmallVec;

use crate::access::{LimitId, Refusal};
use crate::key::Rate;

/// What is left of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Which limit.
    pub limit: LimitId,
    /// Its rate.
    pub rate: Rate,
    /// How much is left now, in the unit of the limit.
    pub remaining: u64,
    /// How long until the whole burst is available again.
    pub full_in: Duration,
}

/// What is left of all limits that apply to one request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quotas(SmallVec<[Quota; 2]>);

impl Quotas {
    /// Adds a quota, in place of an earlier one of the same limit.
    pub fn note(&mut self, quota: Quota) {
        match self.0.iter_mut().find(|met| met.limit == quota.limit) {
            Some(met) => *met = quota,
            None => self.0.push(quota),
        }
    }

    /// The quotas, those of the key before those of its tenant.
    pub fn iter(&self) -> impl Iterator<Item = &Quota> {
        self.0.iter()
    }

    /// Whether no limit applies.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the quotas of a later acquisition.
    pub fn extend(&mut self, later: &Self) {
        later.iter().for_each(|quota| self.note(*quota));
    }
}

/// The outcome of an acquisition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquisition {
    /// What is left of each limit that applied.
    pub quotas: Quotas,
    /// The refusal; then nothing was taken.
    pub refusal: Option<Refusal>,
}
