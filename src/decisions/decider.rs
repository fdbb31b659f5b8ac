//! Decisions by the set in force, from memory: no store, no await.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::RwLock;
use serde_json::{Value, json};

use super::answer::Answer;
use super::columns::Columns;
use super::row::DecisionRow;
use super::{PolicySettings, Recorder, RootSecret};
use crate::error::Result;
use crate::key::request_ids::RequestIds;
use crate::key::{StreamName, TenantId};
use crate::keystore::Keystore;
use crate::policy::engine::{self, Decision, Outside};
use crate::policy::entity::Pseudonyms;
use crate::policy::event::{Arrival, Event};
use crate::policy::set::CompiledSet;
use crate::policy::window::State;
use crate::policy_book::{PolicyBook, Version};
use crate::store::Bucket;

/// Decides about the requests of all tenants of a node.
#[derive(Debug)]
pub struct Decider {
    keystore: Keystore,
    policies: PolicyBook,
    secret: RootSecret,
    pseudonyms: RwLock<HashMap<TenantId, Arc<Pseudonyms>>>,
    state: State,
    ids: RequestIds,
    recorder: Recorder,
}

/// The secret of pseudonyms is not known yet, so nothing can be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotReady;

impl Decider {
    /// Decides by the sets in `policies`, and records through `recorder`.
    pub fn new(
        bucket: Bucket,
        keystore: Keystore,
        policies: PolicyBook,
        recorder: Recorder,
        settings: PolicySettings,
    ) -> Self {
        Self {
            keystore,
            policies,
            secret: RootSecret::new(bucket, settings.secret),
            pseudonyms: RwLock::default(),
            state: State::new(settings.memory),
            ids: RequestIds::default(),
            recorder,
        }
    }

    /// The secret of pseudonyms.
    pub fn secret(&self) -> &RootSecret {
        &self.secret
    }

    /// Where decisions are recorded.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Reads or makes the secret of pseudonyms, so that decisions can be made.
    ///
    /// # Errors
    /// As for [`RootSecret::load`].
    pub async fn prepare(&self) -> Result<()> {
        self.secret.load(self.keystore.now()).await.map(drop)
    }

    /// Prepares once a tenant has a policy set, and records decisions, until dropped.
    pub async fn follow(&self) {
        let prepare = async {
            while self.secret.get().is_none() {
                if self.policies.is_in_use()
                    && let Err(error) = self.prepare().await
                {
                    tracing::warn!("nothing is decided: the secret of policies cannot be read: {error:?}");
                }
                tokio::time::sleep(self.keystore.replica().settings().poll_interval).await;
            }
        };
        tokio::join!(prepare, self.recorder.follow());
    }

    /// Decides about an event of a tenant, counts it, and records what matched. Without a set, everything is allowed.
    ///
    /// # Errors
    /// [`NotReady`] in the moment after the first set of all was deployed.
    pub fn decide(&self, tenant: &TenantId, event: &Event<'_>) -> Result<Answer, NotReady> {
        let Some(version) = self.policies.in_force(tenant) else { return Ok(Answer::without_set(self.ids.next())) };
        let pseudonyms = self.pseudonyms(tenant)?;
        let outside = Outside::at(self.keystore.now().timestamp_millis());
        let decision = engine::decide(&version.compiled, &self.state, &pseudonyms, event, outside);
        let number = version.document.policy_set_version;
        let id = self.ids.next();
        let rows = DecisionRow::all(id, number, &version.compiled, &decision, event);
        let _dropped_and_counted = self.recorder.add(tenant, rows);
        Ok(Answer::new(id, number, &version.compiled, &decision))
    }

    /// The version that judges the events of a stream; `None` when none does. From memory.
    pub fn judging(&self, tenant: &TenantId, stream: &StreamName) -> Option<Arc<Version>> {
        self.policies.in_force(tenant).filter(|version| version.judges(stream))
    }

    /// Judges events of a stream, in order, and gives the rows of those that matched; nothing is recorded yet. `each`
    /// learns of every decision.
    ///
    /// # Errors
    /// As for [`Decider::decide`].
    pub fn judge(
        &self,
        tenant: &TenantId,
        version: &Version,
        columns: &Columns,
        arrival: Arrival<'_>,
        mut each: impl FnMut(&Decision<'_>),
    ) -> Result<Vec<DecisionRow>, NotReady> {
        let pseudonyms = self.pseudonyms(tenant)?;
        let (now_ms, number) = (arrival.received_at_ms, version.document.policy_set_version);
        let mut rows = Vec::new();
        columns.each(arrival, |event| {
            let decision = engine::decide(&version.compiled, &self.state, &pseudonyms, event, Outside::at(now_ms));
            each(&decision);
            if !decision.matches.is_empty() {
                rows.extend(DecisionRow::all(self.ids.next(), number, &version.compiled, &decision, event));
            }
        });
        Ok(rows)
    }

    /// Explains what a set would decide about an event. Nothing is counted and nothing recorded.
    ///
    /// # Errors
    /// As for [`Decider::decide`].
    pub fn explain(
        &self,
        tenant: &TenantId,
        version: Option<u64>,
        set: &CompiledSet,
        event: &Event<'_>,
    ) -> Result<Value, NotReady> {
        let pseudonyms = self.pseudonyms(tenant)?;
        let outside = Outside::at(self.keystore.now().timestamp_millis());
        let explained = engine::explain(set, &self.state, &pseudonyms, event, outside);
        let decided = Answer::new(self.ids.next(), version.unwrap_or_default(), set, &explained.decision);
        let mut answer = json!(explained);
        answer["policySetVersion"] = json!(version);
        answer["action"] = json!(decided.action);
        answer["reason"] = json!(decided.reason);
        Ok(answer)
    }

    /// The key of a tenant's pseudonyms.
    fn pseudonyms(&self, tenant: &TenantId) -> Result<Arc<Pseudonyms>, NotReady> {
        if let Some(known) = self.pseudonyms.read().get(tenant) {
            return Ok(known.clone());
        }
        let made = Arc::new(Pseudonyms::new(self.secret.get().ok_or(NotReady)?, tenant.as_str()));
        Ok(self.pseudonyms.write().entry(tenant.clone()).or_insert(made).clone())
    }

    /// The time of a decision that is made now.
    pub fn now(&self) -> DateTime<Utc> {
        self.keystore.now()
    }

    /// The windows.
    pub fn state(&self) -> &State {
        &self.state
    }
}
