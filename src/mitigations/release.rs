//! Letting somebody go, on all nodes.

use std::sync::Arc;

use serde_json::json;

use super::active::Mitigations;
use super::entry::Row;
use super::hold::{Hold, HoldKey};
use super::logged::KIND;
use crate::documents::{Difference, RequestContext};
use crate::error::Result;
use crate::key::TenantId;
use crate::keystore::Keystore;
use crate::operators::Scope;
use crate::policy::entity::Entity;
use crate::policy::set::PolicyId;
use crate::sync::{AuditAction, ChangedObject, LoggedChange};

/// A release that is durable and logged.
#[derive(Debug)]
pub struct Released {
    /// By which policies the entity was held, as far as this node knew.
    pub holds: Vec<(HoldKey, Hold)>,
    /// The number of the change.
    pub change_seq: u64,
}

impl Mitigations {
    /// Lets an entity go, by one policy or by all, and forgets what the windows of these have counted of it: on this
    /// node before the answer, on others when they have read it. An entity that is not held is released all the
    /// same: another node may hold it since a moment ago.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer: release it again.
    pub async fn release(
        self: &Arc<Self>,
        keystore: &Keystore,
        context: &RequestContext,
        tenant: &TenantId,
        entity: Entity,
        policy: Option<PolicyId>,
    ) -> Result<Released> {
        let (this, log, context, tenant) = (self.clone(), keystore.clone(), context.clone(), tenant.clone());
        let released = async move {
            let row = Row::Released { tenant: tenant.clone(), entity, policy };
            let holds = {
                let mut position = this.position().lock().await;
                this.find_place(&mut position).await?;
                this.read_on(&mut position).await?;
                let mut holds = this.holding(&tenant, entity);
                holds.retain(|(key, _)| policy.is_none_or(|policy| key.policy == policy));
                this.append(&mut position, || vec![row.clone()]).await?;
                holds
            };
            let change_seq = log.replica().append(vec![change(&context, &tenant, entity, policy, &holds)]).await?;
            Ok(Released { holds, change_seq })
        };
        keystore.run_to_completion(released).await
    }
}

/// The change that the log shows.
fn change(
    context: &RequestContext,
    tenant: &TenantId,
    entity: Entity,
    policy: Option<PolicyId>,
    holds: &[(HoldKey, Hold)],
) -> LoggedChange {
    let object = ChangedObject::Held { kind: KIND.to_owned(), id: Scope::Tenant(tenant.clone()).to_string() };
    let held: Vec<String> = holds.iter().map(|(key, _)| key.policy.to_string()).collect();
    let fields = |value: serde_json::Value| value.as_object().cloned();
    let difference = Difference {
        before: fields(json!({ "heldBy": held })),
        after: policy.and_then(|policy| fields(json!({ "releasedBy": policy }))),
    };
    let change = object.by(context).doing(AuditAction::MitigationRelease).named(entity.to_string());
    LoggedChange { difference, ..change }
}
