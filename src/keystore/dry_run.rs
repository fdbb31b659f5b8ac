//! A dry run: what many changes would do, one after the other. From memory alone: another node may be faster.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::change::{Change, Done, Effect, Rotation, is_same};
use super::create::{check_limits, check_metadata};
use super::keys::{check_rev, patched, revoked};
use super::rotation::rotated;
use super::secret::{SuppliedSecret, duplicate_secret};
use super::selection::{Selection, Unused};
use super::{Keystore, claim};
use crate::documents::RequestContext;
use crate::error::{Error, Result};
use crate::key::{ApiKey, Digest, Hint, KeyId, KeyName, KeyState, Lifetimes, NewKey, TenantId, WrongEnd};

/// A dry run: the keys of a tenant as they would be.
#[derive(Debug)]
pub struct DryRun {
    keystore: Keystore,
    tenant: TenantId,
    lifetimes: Lifetimes,
    context: RequestContext,
    /// Those that would be new or other than they are.
    keys: HashMap<KeyId, Arc<ApiKey>>,
    /// The names that would be given to new ones.
    names: HashMap<KeyName, KeyId>,
    digests: HashSet<String>,
}

impl Keystore {
    /// Begins a dry run of changes in a tenant.
    ///
    /// # Errors
    /// As for [`Keystore::tenant_read_through`].
    pub async fn dry_run(&self, context: &RequestContext, tenant: &TenantId) -> Result<DryRun> {
        let lifetimes = self.tenant_read_through(tenant).await?.lifetimes;
        let (keystore, context, tenant) = (self.clone(), context.clone(), tenant.clone());
        let (keys, names, digests) = (HashMap::new(), HashMap::new(), HashSet::new());
        Ok(DryRun { keystore, tenant, lifetimes, context, keys, names, digests })
    }
}

impl DryRun {
    /// The outcome that a change would have after the earlier changes of this dry run.
    ///
    /// # Errors
    /// As for the change itself.
    pub fn check(&mut self, change: Change) -> Result<Done> {
        match change {
            Change::Issue { new, secret, active } => self.issue(*new, secret, active),
            Change::Revoke { id } => self.change(id, None, Effect::Revoked, revoked),
            Change::Update { id, patch, rotation, expected_rev } => {
                if let Some(end) = patch.expires_at {
                    self.lifetimes.check_end(end, self.keystore.now()).map_err(wrong_end)?;
                }
                let Some(Rotation { secret, overlap }) = rotation else {
                    return self.change(id, expected_rev, Effect::Updated, patched(*patch));
                };
                self.keystore.reserve_secret(&secret, Some((&self.tenant, id)))?;
                let (patch, rotate) = (patched(*patch), rotated(secret, self.keystore.now(), overlap)?);
                let change = |key: &mut ApiKey| patch(key).and_then(|()| rotate(key));
                let done = self.change(id, expected_rev, Effect::Rotated, change)?;
                if done.effect == Effect::Rotated {
                    self.take(&secret)?;
                }
                Ok(done)
            }
        }
    }

    /// The keys that a filter would select by then.
    ///
    /// # Errors
    /// As for [`Keystore::select`].
    pub async fn select(&self, selection: &Selection, unused: Option<Unused<'_>>) -> Result<Vec<KeyId>> {
        let mut ids = self.keystore.select(&self.tenant, selection, unused).await?;
        ids.retain(|id| !self.keys.contains_key(id));
        ids.extend(self.keys.values().filter(|key| selection.selects(key, unused)).map(|key| key.key_id));
        ids.sort_unstable();
        Ok(ids)
    }

    fn issue(&mut self, new: NewKey, secret: Option<SuppliedSecret>, active: bool) -> Result<Done> {
        if let Some(holder) = self.named(&new.name) {
            return match secret {
                Some(secret) if is_same(&holder, &new, &secret) => Ok(Done::new(holder, Effect::Unchanged)),
                _ => Err(claim::duplicate_name()),
            };
        }
        check_limits(&new.settings.limits, new.key_type)?;
        check_metadata(&new.settings.metadata)?;
        let now = self.keystore.now();
        let expires_at = self.lifetimes.first_end(new.expires_at, now).map_err(wrong_end)?;
        let (digest, hint) = match secret {
            Some(secret) => {
                if self.keystore.cache.owner(&secret.digest).is_some() {
                    return Err(duplicate_secret());
                }
                self.take(&secret)?;
                (secret.digest, secret.hint)
            }
            None => (Digest::of(KeyId::random().to_string()), Hint::default()),
        };
        let key = new.into_key(self.tenant.clone(), digest, hint);
        let created_by = Some(self.context.actor.clone());
        let state = if active { KeyState::Active } else { KeyState::Disabled };
        let key = Arc::new(ApiKey { state, created_by, created_at: Some(now), expires_at, ..key });
        self.names.insert(key.name.clone(), key.key_id);
        self.keys.insert(key.key_id, key.clone());
        Ok(Done::new(key, Effect::Issued))
    }

    fn change(
        &mut self,
        id: KeyId,
        expected_rev: Option<u64>,
        effect: Effect,
        change: impl Fn(&mut ApiKey) -> Result<()>,
    ) -> Result<Done> {
        let before = match self.keys.get(&id) {
            Some(key) => key.clone(),
            None => self.keystore.find(&self.tenant, id)?,
        };
        check_rev(&before, expected_rev)?;
        let mut after = (*before).clone();
        change(&mut after)?;
        if after == *before {
            return Ok(Done::new(before, Effect::Unchanged));
        }
        let after = Arc::new(after);
        self.keys.insert(id, after.clone());
        Ok(Done::new(after, effect))
    }

    /// The key that would have a name.
    fn named(&self, name: &KeyName) -> Option<Arc<ApiKey>> {
        let ours = self.names.get(name).and_then(|id| self.keys.get(id)).filter(|key| key.is_live()).cloned();
        ours.or_else(|| {
            let held = self.keystore.cache.named(&self.tenant, name)?;
            Some(self.keys.get(&held.key_id).cloned().unwrap_or(held)).filter(|key| key.is_live())
        })
    }

    fn take(&mut self, secret: &SuppliedSecret) -> Result<()> {
        if self.digests.insert(secret.digest.to_document()) { Ok(()) } else { Err(duplicate_secret()) }
    }
}

fn wrong_end(wrong: WrongEnd) -> Error {
    Error::invalid(wrong.to_string())
}
