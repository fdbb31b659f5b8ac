//! Bringing the keys of a tenant to what somebody declares: planned from what this node holds, then done step by step.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{StreamExt, stream};

use super::adopt::Pending;
use super::plan::{Alteration, Declared, DeclaredSecret, Plan, Step};
use super::{Changed, Keystore};
use crate::documents::RequestContext;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ApiKey, Digest, KeyPatch, TenantId};

/// How many steps are taken at once: each waits for the store a few times.
const AT_ONCE: usize = 16;

/// What is wanted of the keys of a tenant.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// These keys as they are declared.
    Shape {
        /// The keys.
        declared: Vec<Declared>,
        /// Whether all others are revoked.
        prune: bool,
    },
    /// A key for each of these secrets, whatever its name has to be.
    MoveIn(Vec<Declared>),
}

/// What became of a step.
#[derive(Debug)]
pub struct StepOutcome {
    /// The step.
    pub step: Step,
    /// The key after it and the number of the change in the log, which is 0 when nothing had to change.
    pub result: Result<Changed<ApiKey>>,
}

impl Keystore {
    /// Plans, and changes nothing.
    ///
    /// # Errors
    /// As for [`Keystore::tenant_anywhere`], and as [`Plan::shape`] and [`Plan::move_in`] say.
    #[doc(hidden)]
    pub async fn plan(&self, tenant: &TenantId, wanted: Wanted) -> Result<Plan> {
        let lifetimes = self.tenant_anywhere(tenant).await?.lifetimes;
        // What another node did a moment ago is part of what is there.
        self.catch_up().await?;
        let held = self.cache.scan(tenant, None, usize::MAX, ApiKey::is_live);
        let owner = |digest: &Digest| self.cache.owner(digest);
        let plan = match wanted {
            Wanted::Shape { declared, prune } => Plan::shape(declared, &held, owner, prune, self.now())?,
            Wanted::MoveIn(declared) => Plan::move_in(declared, &held, owner)?,
        };
        plan.check_ends(&lifetimes, self.now())?;
        Ok(plan)
    }

    /// Takes the steps of a plan, some at once. Each is durable on its own: whoever is interrupted plans again, and has
    /// the rest left to do. Once the store does not answer, no further step begins.
    #[doc(hidden)]
    pub async fn carry_out(&self, context: &RequestContext, tenant: &TenantId, plan: Plan) -> Vec<StepOutcome> {
        let away = AtomicBool::new(false);
        let take = async |step: Step| {
            let result = if away.load(Ordering::Relaxed) {
                Err(Error::new(ErrorKind::Unavailable, "not tried, because the store did not answer before"))
            } else {
                self.take(context, tenant, &step).await
            };
            if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable) {
                away.store(true, Ordering::Relaxed);
            }
            StepOutcome { step, result }
        };
        stream::iter(plan.steps).map(take).buffered(AT_ONCE).collect().await
    }

    async fn take(&self, context: &RequestContext, tenant: &TenantId, step: &Step) -> Result<Changed<ApiKey>> {
        match step {
            Step::Issue(declared) => self.issue_declared(context, tenant, declared).await,
            Step::Alter(change) => self.change_declared(context, tenant, change).await,
            Step::Keep(key) => Ok(Changed { value: key.clone(), change_seq: 0 }),
            Step::Revoke(key) => self.revoke(context, tenant, key.key_id, None).await,
        }
    }

    async fn issue_declared(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        declared: &Declared,
    ) -> Result<Changed<ApiKey>> {
        let secret = match declared.secret {
            DeclaredSecret::Fixed(secret, _) | DeclaredSecret::Kept(Some(secret)) => secret,
            DeclaredSecret::Kept(None) => {
                let message =
                    format!("{} has to be issued, and no digest is given to issue it with", declared.new.name);
                return Err(Error::invalid(message));
            }
        };
        let mut new = declared.new.clone();
        new.expires_at = declared.expires_at;
        let (this, by, owner) = (self.clone(), context.clone(), tenant.clone());
        // Its secret is kept by whoever declares it: a run that was killed is finished at once.
        let issue = async move { this.adopt_now(&by, owner, new, secret, Pending::Finish).await };
        let issued = self.to_the_end(issue).await?;
        if declared.active != Some(false) {
            return Ok(issued);
        }
        let disable = KeyPatch { active: Some(false), ..KeyPatch::default() };
        self.update(context, tenant, issued.value.key_id, disable, None).await
    }

    /// Changes the revision that was planned from, and no other.
    async fn change_declared(
        &self,
        context: &RequestContext,
        tenant: &TenantId,
        change: &Alteration,
    ) -> Result<Changed<ApiKey>> {
        let (id, mut done) = (change.key.key_id, Changed { value: Arc::clone(&change.key), change_seq: 0 });
        if change.patches() {
            done = self.update(context, tenant, id, change.patch.clone(), Some(done.value.rev)).await?;
        }
        if let Some((secret, overlap)) = change.rotation {
            done = self.rotate_to(context, tenant, id, secret, overlap, Some(done.value.rev)).await?;
        }
        Ok(done)
    }
}
