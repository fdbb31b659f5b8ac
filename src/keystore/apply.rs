//! Making the keys of a tenant as they are declared: planned from what this node holds, then done as many changes.

use std::sync::Arc;

use futures::StreamExt;

use super::plan::{Declared, Plan, Step};
use super::{Changed, Keystore};
use crate::documents::RequestContext;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{ApiKey, Digest, TenantId};

/// After this many changes in a row without an answer of the store, no other step is taken: the rest waits for the next
/// run.
const PATIENCE: usize = 1;

/// What the keys of a tenant are to be.
#[derive(Debug, Clone)]
pub enum Desired {
    /// These keys as they are declared.
    Keys {
        /// The keys.
        declared: Vec<Declared>,
        /// Whether all others are revoked.
        prune: bool,
    },
    /// A key for each of these secrets, under a free name where its own is taken.
    Import(Vec<Declared>),
}

/// What became of a step.
#[derive(Debug)]
pub struct StepOutcome {
    /// The step.
    pub step: Step,
    /// The key after it and the number of the change in the log, which is 0 when there was nothing to do.
    pub result: Result<Changed<ApiKey>>,
}

impl Keystore {
    /// Plans, and changes nothing.
    ///
    /// # Errors
    /// As for [`Keystore::tenant_read_through`], as [`Plan::diff`] and [`Plan::import`] say, and as for the changes
    /// themselves, with the name of the key.
    #[doc(hidden)]
    pub async fn plan(&self, context: &RequestContext, tenant: &TenantId, desired: Desired) -> Result<Plan> {
        let mut dry_run = self.dry_run(context, tenant).await?;
        // The plan must include the latest changes of other nodes.
        self.catch_up().await?;
        let held = self.cache.scan_in_turns(tenant, None, usize::MAX, ApiKey::is_live).await;
        let owner = |digest: &Digest| self.cache.owner(digest);
        let plan = match desired {
            Desired::Keys { declared, prune } => Plan::diff(declared, &held, owner, prune, self.now())?,
            Desired::Import(declared) => Plan::import(declared, &held, owner)?,
        };
        for Step { name, change, .. } in &plan.steps {
            let checked = change.clone().map_or(Ok(()), |change| dry_run.check(change).map(drop));
            checked.map_err(|error| Error::new(error.kind(), format!("{name}: {}", error.message())))?;
        }
        Ok(plan)
    }

    /// Takes the steps of a plan, as [`Keystore::change_many`] does. Each is durable on its own: after an interruption
    /// a new plan holds the rest. Once the store does not answer, no further step begins.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] before the first step when a step lacks its secret.
    #[doc(hidden)]
    pub async fn carry_out(&self, context: &RequestContext, tenant: &TenantId, plan: Plan) -> Result<Vec<StepOutcome>> {
        if let Some(step) = plan.steps.iter().find(|step| step.lacks_secret()) {
            let message = format!("{} has to be issued: give a digest, or one to issue it with (issueWith)", step.name);
            return Err(Error::invalid(message));
        }
        let changes = plan.steps.iter().filter_map(|step| step.change.clone()).collect();
        let mut outcomes = self.change_while_answered(context, tenant, changes, PATIENCE);
        let mut taken = Vec::with_capacity(plan.steps.len());
        for step in plan.steps {
            let result = match (&step.key, &step.change) {
                (Some(key), None) => Ok(Changed { value: Arc::clone(key), change_seq: 0 }),
                _ => match outcomes.next().await {
                    Some(Ok(done)) => Ok(Changed { value: done.key, change_seq: done.change_seq }),
                    Some(Err(error)) if error.kind() != ErrorKind::NotBegun => Err(error),
                    Some(Err(_)) | None => Err(not_tried()),
                },
            };
            taken.push(StepOutcome { step, result });
        }
        Ok(taken)
    }
}

fn not_tried() -> Error {
    Error::new(ErrorKind::Unavailable, "not tried, because the store did not answer before")
}
