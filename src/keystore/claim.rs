//! Claims on key names in the bucket: two nodes can never both give one name.
//!
//! A claim is an object that is created and never changed; those on one name form a chain of generations, and the highest
//! one holds the name. Taking over is creating the next generation, which exactly one taker can. It is safe without any
//! clock: whoever claims generation `b` reads the keys of all lower claims *after* creating its own, and whoever wrote a
//! key looks for a higher generation *after* writing it, so of two claimants at least one sees the other. The age of a
//! claim only says how long to wait for a key that may never come.
//!
//! A claim names its key, and the document of that key can be created once. So whoever brings a secret along need not wait
//! for a claimant that may have ended: it writes the key of the claim itself, and of the two one is told that it is there.

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
/// How long a claim holds a name for a key that is not there: nobody needs that long to write it.
const GRACE: TimeDelta = TimeDelta::seconds(120);
/// The first generation is never removed: that a name was used before is told by failing to create it. Nor is the second:
/// whoever holds the first is overtaken as soon as there is a second, so that it need not list.
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

/// What claiming a name comes to.
#[derive(Debug)]
pub(super) enum Stake<'a> {
    /// The name is ours to give.
    Mine(Claim<'a>),
    /// A live key has it; which one is not known when a document was broken by hand.
    Held(Option<KeyId>),
    /// Somebody has claimed it for a key that is not there yet, and may still come for so long.
    Pending(Claim<'a>, Option<KeyId>, TimeDelta),
}

/// What a claim that is there means for the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// A live key has the name through it.
    Held(Option<KeyId>),
    /// Its key is not there yet, and may still come for so long.
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
    /// Claims a name for a key that is not written yet.
    ///
    /// # Errors
    /// [`ErrorKind::DuplicateKeyName`] when a live key has the name, or may be about to: then with the time after which
    /// to try again. [`ErrorKind::Unavailable`] when the store does not answer.
    pub(super) async fn claim<'a>(&self, tenant: &'a TenantId, name: &'a KeyName, key_id: KeyId) -> Result<Claim<'a>> {
        match self.stake(tenant, name, key_id).await? {
            Stake::Mine(claim) => Ok(claim),
            Stake::Held(_) => Err(duplicate()),
            Stake::Pending(_, _, rest) => Err(pending(rest)),
        }
    }

    /// Claims a name, or says who is in the way.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub(super) async fn stake<'a>(&self, tenant: &'a TenantId, name: &'a KeyName, key_id: KeyId) -> Result<Stake<'a>> {
        let body = self.claim_document(key_id);
        let mut claim = Claim { tenant, name, generation: FIRST };
        let mut contention = Contention::over("the name of the key");
        loop {
            if self.bucket.create(&claim.object(claim.generation), body.clone()).await? == Written::Done {
                // Only now is it certain that no lower claimant can write its key unseen.
                return Ok(match self.lower(&claim).await? {
                    Some(holder) => Stake::Held(holder),
                    None => Stake::Mine(claim),
                });
            }
            match self.standing(&claim, FIRST..u64::MAX).await? {
                (Standing::Held(holder), _) => return Ok(Stake::Held(holder)),
                (Standing::Pending(key_id, rest), top) => {
                    return Ok(Stake::Pending(Claim { generation: top, ..claim }, key_id, rest));
                }
                (Standing::Free, top) => claim.generation = top + 1,
            }
            contention.lost().await?;
        }
    }

    /// Who holds the name through a lower claim, if anybody does.
    pub(super) async fn lower(&self, claim: &Claim<'_>) -> Result<Option<Option<KeyId>>> {
        if claim.generation == FIRST {
            return Ok(None);
        }
        Ok(match self.standing(claim, FIRST..claim.generation).await?.0 {
            Standing::Held(holder) => Some(holder),
            Standing::Pending(..) | Standing::Free => None,
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
    async fn standing(&self, claim: &Claim<'_>, of: std::ops::Range<u64>) -> Result<(Standing, u64)> {
        let generations = self.generations(claim).await?;
        let top = generations.iter().map(|(generation, _)| *generation).max().unwrap_or(0);
        let asked = generations.into_iter().filter(|(generation, _)| of.contains(generation));
        let judged: FuturesUnordered<_> =
            asked.map(async |(generation, at)| Ok((generation, self.judge(claim, generation, at).await?))).collect();
        let judged: Vec<(u64, Standing)> = judged.try_collect().await?;
        if let Some((_, held)) = judged.iter().find(|(_, standing)| matches!(standing, Standing::Held(_))) {
            return Ok((*held, top));
        }
        // A lower claimant whose key is not there yet will find itself overtaken: only the highest is waited for.
        let highest = judged.into_iter().find(|(generation, _)| *generation == top);
        Ok((highest.map_or(Standing::Free, |(_, standing)| standing), top))
    }

    async fn judge(&self, claim: &Claim<'_>, generation: u64, written_at: DateTime<Utc>) -> Result<Standing> {
        let document = match self.bucket.read(&claim.object(generation)).await {
            Ok(Some(stored)) => serde_json::from_slice::<ClaimDocument>(&stored.body).ok(),
            Ok(None) => return Ok(Standing::Free),
            Err(error) if error.kind() == ErrorKind::Corrupt => None,
            Err(error) => return Err(error),
        };
        let waiting_since = |at: DateTime<Utc>, key_id: Option<KeyId>| {
            let rest = GRACE - (self.clock.now() - at);
            if rest > TimeDelta::zero() { Standing::Pending(key_id, rest.min(GRACE)) } else { Standing::Free }
        };
        let Some(document) = document.filter(|document| document.version == VERSION) else {
            return Ok(waiting_since(written_at, None)); // Broken by hand: whose it was is not known.
        };
        Ok(match self.keys.read(&(claim.tenant.clone(), document.key_id)).await?.found {
            Found::Absent => waiting_since(document.at, Some(document.key_id)),
            Found::Usable(stored) if !stored.key.is_live() || stored.key.name != *claim.name => Standing::Free,
            // A broken document may belong to a key that still works somewhere.
            Found::Usable(_) | Found::Unusable(_) => Standing::Held(Some(document.key_id)),
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

pub(super) fn duplicate() -> Error {
    Error::new(ErrorKind::DuplicateKeyName, "a live key of this tenant has that name")
}

pub(super) fn twin() -> Error {
    Error::new(ErrorKind::DuplicateApiKey, "another key has this secret, or had it")
}

pub(super) fn pending(rest: TimeDelta) -> Error {
    let message = "somebody may be about to write a key of that name";
    Error::new(ErrorKind::DuplicateKeyName, message).retry_after(rest.to_std().unwrap_or_default())
}
