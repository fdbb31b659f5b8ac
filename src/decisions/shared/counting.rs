//! The steps of a decider that may wait for Redis, each before one that does not.

use std::sync::Arc;

use super::{Ask, Counted, SharedWindows};
use crate::decisions::Decider;
use crate::decisions::columns::Rows;
use crate::key::TenantId;
use crate::policy::entity::Entity;
use crate::policy::event::Event;
use crate::policy::set::{CompiledSet, PolicyId};
use crate::policy_book::Version;

impl Decider {
    /// Whether windows are counted together with other nodes.
    pub fn counts_together(&self) -> bool {
        self.shared.is_some()
    }

    /// Counts events of a tenant together with the other nodes; they are decided about next. Without a Redis there is
    /// nothing to wait for.
    pub async fn count(&self, tenant: &TenantId, events: &[Event<'_>]) -> Counted {
        let Some(shared) = &self.shared else { return Counted::default() };
        let Some(version) = self.policies.in_force(tenant) else { return Counted::default() };
        // A decision cannot be made without them, either.
        let Ok(pseudonyms) = self.pseudonyms(tenant) else { return Counted::default() };
        let now_ms = self.keystore.now().timestamp_millis();
        let asks = events.iter().map(|event| Ask::of_decision(&version.compiled, &pseudonyms, event, now_ms));
        let asks: Vec<_> = asks.collect();
        Counted { version: Some(version), ..shared.ask(tenant, &asks).await }
    }

    /// The same for events of a stream, which a version is to judge.
    pub async fn count_rows(&self, tenant: &TenantId, version: &Arc<Version>, rows: &Rows<'_>) -> Counted {
        let Some(shared) = &self.shared else { return Counted::default() };
        let Ok(pseudonyms) = self.pseudonyms(tenant) else { return Counted::default() };
        let now_ms = rows.received_at_ms();
        let mut asks = Vec::new();
        rows.each(|event| asks.push(Ask::of_decision(&version.compiled, &pseudonyms, event, now_ms)));
        Counted { version: Some(version.clone()), ..shared.ask(tenant, &asks).await }
    }

    /// What all nodes have counted of an event that is to be explained. Nothing is counted.
    pub async fn look(&self, tenant: &TenantId, set: &CompiledSet, event: &Event<'_>) -> Counted {
        let Some(shared) = &self.shared else { return Counted::default() };
        let Ok(pseudonyms) = self.pseudonyms(tenant) else { return Counted::default() };
        let now_ms = self.keystore.now().timestamp_millis();
        let asks = Ask::of_explanation(set, &pseudonyms, event, now_ms);
        shared.ask(tenant, &[asks]).await
    }

    /// Forgets what the windows of a policy, or of all, in Redis know of an entity that was released on all nodes.
    /// Whether it did: not while Redis does not answer. Without a Redis there is nothing to forget.
    pub async fn forget_shared(&self, tenant: &TenantId, entity: Entity, policy: Option<PolicyId>) -> bool {
        let (Some(shared), Some(version)) = (&self.shared, self.policies.in_force(tenant)) else { return true };
        shared.forget(tenant, entity, version.compiled.windows_of(policy)).await
    }

    /// Of how many events this node counted the windows alone, because Redis did not answer.
    pub fn fallbacks(&self) -> u64 {
        self.shared.as_ref().map_or(0, SharedWindows::fallbacks)
    }
}
