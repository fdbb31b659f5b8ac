//! What many changes would do, one after the other, without doing anything. From memory alone: another node may be faster.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::change::{Change, Done, Effect, is_same};
use super::keys::{Brought, patched, revoked};
use super::rotation::rotated;
use super::selection::{Selection, Unused};
use super::{Keystore, claim};
use crate::documents::RequestContext;
use crate::error::{Error, Result};
use crate::key::{ApiKey, Digest, Hint, KeyId, KeyName, Lifetimes, NewKey, TenantId, WrongEnd};

/// The keys of a tenant as they would be.
#[derive(Debug)]
pub struct Rehearsal {
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
    /// Begins to rehearse changes in a tenant.
    ///
    /// # Errors
    /// As for [`Keystore::tenant_anywhere`].
    pub async fn rehearse(&self, context: &RequestContext, tenant: &TenantId) -> Result<Rehearsal> {
        let lifetimes = self.tenant_anywhere(tenant).await?.lifetimes;
        let (keystore, context, tenant) = (self.clone(), context.clone(), tenant.clone());
        let (keys, names, digests) = (HashMap::new(), HashMap::new(), HashSet::new());
        Ok(Rehearsal { keystore, tenant, lifetimes, context, keys, names, digests })
    }
}

impl Rehearsal {
    /// What a change would come to after those that were rehearsed before it.
    ///
    /// # Errors
    /// As for the change itself.
    pub fn judge(&mut self, change: Change) -> Result<Done> {
        match change {
            Change::Issue { new, secret } => self.issue(*new, secret),
            Change::Update { id, patch } => {
                if let Some(end) = patch.expires_at {
                    self.lifetimes.check_end(end, self.keystore.now()).map_err(wrong_end)?;
                }
                self.change(id, Effect::Updated, patched(*patch))
            }
            Change::Revoke { id } => self.change(id, Effect::Revoked, revoked),
            Change::Rotate { id, secret, overlap } => {
                self.keystore.hold(&secret, Some((&self.tenant, id)))?;
                let now = self.keystore.now();
                let done = self.change(id, Effect::Rotated, rotated(secret, now, overlap)?)?;
                if done.effect == Effect::Rotated {
                    self.take(&secret)?;
                }
                Ok(done)
            }
        }
    }

    /// The keys that a filter would mean by then.
    ///
    /// # Errors
    /// As for [`Keystore::select`].
    pub async fn select(&self, selection: &Selection, unused: Option<Unused<'_>>) -> Result<Vec<KeyId>> {
        let mut ids = self.keystore.select(&self.tenant, selection, unused).await?;
        ids.retain(|id| !self.keys.contains_key(id));
        ids.extend(self.keys.values().filter(|key| selection.means(key, unused)).map(|key| key.key_id));
        ids.sort_unstable();
        Ok(ids)
    }

    fn issue(&mut self, new: NewKey, secret: Option<Brought>) -> Result<Done> {
        if let Some(holder) = self.named(&new.name) {
            return match secret {
                Some(secret) if is_same(&holder, &new, &secret) => Ok(Done::new(holder, Effect::Unchanged)),
                _ => Err(claim::duplicate()),
            };
        }
        let now = self.keystore.now();
        let expires_at = self.lifetimes.first_end(new.expires_at, now).map_err(wrong_end)?;
        let (digest, hint) = match secret {
            Some(secret) => {
                if self.keystore.cache.owner(&secret.digest).is_some() {
                    return Err(claim::twin());
                }
                self.take(&secret)?;
                (secret.digest, secret.hint)
            }
            None => (Digest::of(KeyId::random().to_string()), Hint::default()),
        };
        let key = new.into_key(self.tenant.clone(), digest, hint);
        let created_by = Some(self.context.actor.clone());
        let key = Arc::new(ApiKey { created_by, created_at: Some(now), expires_at, ..key });
        self.names.insert(key.name.clone(), key.key_id);
        self.keys.insert(key.key_id, key.clone());
        Ok(Done::new(key, Effect::Issued))
    }

    fn change(&mut self, id: KeyId, effect: Effect, change: impl Fn(&mut ApiKey) -> Result<()>) -> Result<Done> {
        let before = match self.keys.get(&id) {
            Some(key) => key.clone(),
            None => self.keystore.find(&self.tenant, id)?,
        };
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

    fn take(&mut self, secret: &Brought) -> Result<()> {
        if self.digests.insert(secret.digest.to_document()) { Ok(()) } else { Err(claim::twin()) }
    }
}

fn wrong_end(wrong: WrongEnd) -> Error {
    Error::invalid(wrong.to_string())
}
