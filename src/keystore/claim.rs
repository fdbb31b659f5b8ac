//! Claims on key names in the bucket: two nodes can never both give one name.
//!
//! A claim is an object that is created and never changed; those on one name form a chain of generations, and the
//! highest one holds the name. Taking over is creating the next generation, which exactly one taker can. It is safe
//! without any clock: the claimant of generation `b` reads the keys of all lower claims *after* creating its own, and
//! the writer of a key looks for a higher generation *after* writing it, so of two claimants at least one sees the
//! other. The age of a claim only says how long to wait for a key that may never come.
//!
//! A claim names its key, and the document of that key can be created once. So a request with a secret of its own need
//! not wait for a claimant that may have crashed: it writes the key of the claim itself, and the loser finds it there.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt;
use futures::stream::FuturesUnordered;
use relative_path::RelativePath;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Keystore;
use crate::documents::{Contention, Found};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{KeyId, KeyName, TenantId};
use crate::layout::{self, ObjectName};
use crate::store::Written;

const VERSION: u32 = 1;
/// How long a claim reserves a name before its key is written: writing a key never takes longer.
const GRACE: TimeDelta = TimeDelta::seconds(120);
/// The first generation is never removed: failing to create it shows that the name was used before. Nor is the second:
/// it overtakes the first, so that the holder of the first need not list.
const FIRST: u64 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClaimDocument {
    version: u32,
    key_id: KeyId,
    at: DateTime<Utc>,
    write_id: Uuid,
}

/// A name that a key about to be written may have, unless a higher claim overtakes it.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    tenant: &'a TenantId,
    name: &'a KeyName,
    generation: u64,
}

/// How an attempt to claim a name ended.
#[derive(Debug)]
pub(super) enum ClaimAttempt<'a> {
    /// The name may be given to the key.
    Won(Claim<'a>),
    /// A live key has it; which one is not known when a document was broken by hand.
    Held(Option<KeyId>),
    /// It is claimed for a key that is not written yet.
    Pending {
        claim: Claim<'a>,
        /// Its key; not known when the claim was broken by hand.
        key_id: Option<KeyId>,
        /// How long the key may still come.
        wait: TimeDelta,
    },
}

/// The state of a name that has a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClaimState {
    /// A live key has the name through it.
    Held(Option<KeyId>),
    /// Its key is not written yet, and may still come within this time.
    Pending(Option<KeyId>, TimeDelta),
    /// Its key is revoked, or never came.
    Free,
}

impl Claim<'_> {
    fn object(&self, generation: u64) -> ObjectName {
        ObjectName::NameClaim { tenant: self.tenant.clone(), name: self.name.hash(), generation }
    }
}

impl Keystore {
    /// Claims a name for a key that is not written yet, or says who is in the way.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub(super) async fn attempt_claim<'a>(
        &self,
        tenant: &'a TenantId,
        name: &'a KeyName,
        key_id: KeyId,
    ) -> Result<ClaimAttempt<'a>> {
        let body = self.claim_document(key_id);
        let mut claim = Claim { tenant, name, generation: FIRST };
        let mut contention = Contention::over("the name of the key");
        loop {
            if self.bucket.create(&claim.object(claim.generation), body.clone()).await? == Written::Done {
                // Only now is it certain that no lower claimant can write its key unseen.
                return Ok(match self.lower_holder(&claim).await? {
                    Some(holder) => ClaimAttempt::Held(holder),
                    None => ClaimAttempt::Won(claim),
                });
            }
            match self.claim_state(&claim, FIRST..u64::MAX).await? {
                (ClaimState::Held(holder), _) => return Ok(ClaimAttempt::Held(holder)),
                (ClaimState::Pending(key_id, rest), top) => {
                    return Ok(ClaimAttempt::Pending { claim: Claim { generation: top, ..claim }, key_id, wait: rest });
                }
                (ClaimState::Free, top) => claim.generation = top + 1,
            }
            contention.lost().await?;
        }
    }

    /// The key that holds the name through a lower claim; the inner `None` is a key that is not known.
    pub(super) async fn lower_holder(&self, claim: &Claim<'_>) -> Result<Option<Option<KeyId>>> {
        if claim.generation == FIRST {
            return Ok(None);
        }
        Ok(match self.claim_state(claim, FIRST..claim.generation).await?.0 {
            ClaimState::Held(holder) => Some(holder),
            ClaimState::Pending(..) | ClaimState::Free => None,
        })
    }

    /// Whether no higher claim has overtaken this one. To be asked after the key was written.
    pub(super) async fn still_holds(&self, claim: &Claim<'_>) -> Result<bool> {
        if claim.generation == FIRST {
            return match self.bucket.read(&claim.object(FIRST + 1)).await {
                Ok(second) => Ok(second.is_none()),
                Err(error) if error.kind() == ErrorKind::Corrupt => Ok(false),
                Err(error) => Err(error),
            };
        }
        Ok(self.generations(claim).await?.iter().all(|(generation, _)| *generation <= claim.generation))
    }

    /// Removes the claims between the second and this one: their keys are gone, and this one outranks them.
    pub(super) async fn remove_older(&self, claim: &Claim<'_>) -> Result<()> {
        for generation in FIRST + 2..claim.generation {
            self.bucket.remove(&claim.object(generation)).await?;
        }
        Ok(())
    }

    /// What the claims of some generations mean together, and the highest generation there is.
    async fn claim_state(&self, claim: &Claim<'_>, of: std::ops::Range<u64>) -> Result<(ClaimState, u64)> {
        let generations = self.generations(claim).await?;
        let top = generations.iter().map(|(generation, _)| *generation).max().unwrap_or(0);
        let asked = generations.into_iter().filter(|(generation, _)| of.contains(generation));
        let states: FuturesUnordered<_> =
            asked.map(async |(generation, at)| Ok((generation, self.state_of(claim, generation, at).await?))).collect();
        let states: Vec<(u64, ClaimState)> = states.try_collect().await?;
        if let Some((_, held)) = states.iter().find(|(_, state)| matches!(state, ClaimState::Held(_))) {
            return Ok((*held, top));
        }
        // A lower claimant whose key is not there yet will find itself overtaken: only the highest is waited for.
        let highest = states.into_iter().find(|(generation, _)| *generation == top);
        Ok((highest.map_or(ClaimState::Free, |(_, state)| state), top))
    }

    async fn state_of(&self, claim: &Claim<'_>, generation: u64, written_at: DateTime<Utc>) -> Result<ClaimState> {
        let document = match self.bucket.read(&claim.object(generation)).await {
            Ok(Some(stored)) => serde_json::from_slice::<ClaimDocument>(&stored.body).ok(),
            Ok(None) => return Ok(ClaimState::Free),
            Err(error) if error.kind() == ErrorKind::Corrupt => None,
            Err(error) => return Err(error),
        };
        let waiting_since = |at: DateTime<Utc>, key_id: Option<KeyId>| {
            let rest = GRACE - (self.clock.now() - at);
            if rest > TimeDelta::zero() { ClaimState::Pending(key_id, rest.min(GRACE)) } else { ClaimState::Free }
        };
        let Some(document) = document.filter(|document| document.version == VERSION) else {
            return Ok(waiting_since(written_at, None)); // OnUnreadable by hand: whose it was is not known.
        };
        Ok(match self.keys.read(&(claim.tenant.clone(), document.key_id)).await?.found {
            Found::Absent => waiting_since(document.at, Some(document.key_id)),
            Found::Usable(stored) if !stored.key.is_live() || stored.key.name != *claim.name => ClaimState::Free,
            // A broken document may belong to a key that still works somewhere.
            Found::Usable(_) | Found::Unusable(_) => ClaimState::Held(Some(document.key_id)),
        })
    }

    /// The generations of a name, and when each was written.
    async fn generations(&self, claim: &Claim<'_>) -> Result<Vec<(u64, DateTime<Utc>)>> {
        let listed = self.bucket.list(&layout::name_claims(claim.tenant, &claim.name.hash())).await?;
        let generation = |path: &RelativePath| match ObjectName::parse(path)? {
            ObjectName::NameClaim { generation, .. } => Some(generation),
            _ => None,
        };
        Ok(listed.iter().filter_map(|found| Some((generation(&found.path)?, found.written_at))).collect())
    }

    #[allow(clippy::disallowed_methods)]
    fn claim_document(&self, key_id: KeyId) -> Bytes {
        let document = ClaimDocument { version: VERSION, key_id, at: self.clock.now(), write_id: Uuid::new_v4() };
        serde_json::to_vec(&document).unwrap_or_default().into()
    }
}

pub(super) fn duplicate_name() -> Error {
    Error::new(ErrorKind::DuplicateKeyName, "a live key of this tenant has that name")
}

pub(super) fn name_is_pending(wait: TimeDelta) -> Error {
    let message = "another request may be about to write a key of that name";
    Error::new(ErrorKind::DuplicateKeyName, message).retry_after(wait.to_std().unwrap_or_default())
}
