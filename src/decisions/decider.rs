//! Decisions by the set in force, from memory: no store, no await.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::RwLock;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::answer::Answer;
use super::challenges::Challenges;
use super::columns::Rows;
use super::row::DecisionRow;
use super::shared::SharedWindows;
use super::traffic::TrafficRow;
#[cfg(feature = "query")]
use super::turns::Turns;
use super::{Counted, Counts, PolicySettings, Recorder, RootSecret};
use crate::challenge::Keys;
use crate::challenge::shown::Judge;
use crate::error::Result;
use crate::key::request_ids::RequestIds;
use crate::key::{StreamName, TenantId};
use crate::keystore::Keystore;
use crate::mitigations::Mitigations;
use crate::policy::engine::{self, Decision, Outside};
use crate::policy::entity::Pseudonyms;
use crate::policy::event::Event;
use crate::policy::set::{CompiledSet, Record};
use crate::policy::window::State;
use crate::policy_book::{PolicyBook, Version};
use crate::shared_redis::SharedRedis;
use crate::store::Bucket;

/// Decides about the requests of all tenants of a node.
#[derive(Debug)]
pub struct Decider {
    pub(super) keystore: Keystore,
    pub(super) policies: PolicyBook,
    secret: RootSecret,
    pseudonyms: RwLock<HashMap<TenantId, Arc<Pseudonyms>>>,
    pub(super) state: Arc<State>,
    pub(super) shared: Option<SharedWindows>,
    challenges: Challenges,
    mitigations: Arc<Mitigations>,
    ids: RequestIds,
    recorder: Recorder,
    traffic: Recorder<TrafficRow>,
    #[cfg(feature = "query")]
    backtests: Turns,
}

/// The secret of pseudonyms is not known yet, so nothing can be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotReady;

impl Decider {
    /// Decides by the sets in `policies`, and records matches, and requests where a set says so.
    pub fn new(
        bucket: Bucket,
        keystore: Keystore,
        policies: PolicyBook,
        mitigations: Arc<Mitigations>,
        (recorder, traffic): (Recorder, Recorder<TrafficRow>),
        settings: PolicySettings,
    ) -> Self {
        let state = Arc::new(State::new(settings.memory));
        mitigations.clear(state.clone());
        Self {
            keystore,
            policies,
            challenges: Challenges::new(settings.challenge_ttl, settings.other_secret),
            secret: RootSecret::new(bucket, settings.secret),
            pseudonyms: RwLock::default(),
            state,
            shared: None,
            mitigations,
            ids: RequestIds::default(),
            recorder,
            traffic,
            #[cfg(feature = "query")]
            backtests: Turns::new(settings.memory),
        }
    }

    /// The same, whose windows are counted together with other nodes if there is a Redis for that.
    #[must_use]
    pub fn counting_in(self, redis: Option<Arc<SharedRedis>>) -> Self {
        Self { shared: redis.map(SharedWindows::new), ..self }
    }

    /// The secret of pseudonyms.
    pub fn secret(&self) -> &RootSecret {
        &self.secret
    }

    /// Where decisions are recorded.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Where requests are recorded, of tenants that want all of them.
    pub fn traffic(&self) -> &Recorder<TrafficRow> {
        &self.traffic
    }

    /// The backtests that run on this node.
    #[cfg(feature = "query")]
    pub fn backtests(&self) -> &Turns {
        &self.backtests
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
        tokio::join!(prepare, self.recorder.follow(), self.traffic.follow());
    }

    /// Decides about an event of a tenant, counts it, and records what matched. Without a set, everything is allowed.
    /// `counts` are what [`Decider::count`] gave of the event.
    ///
    /// # Errors
    /// [`NotReady`] in the moment after the first set of all was deployed.
    pub fn decide(&self, tenant: &TenantId, event: &Event<'_>, counts: Counts<'_>) -> Result<Answer, NotReady> {
        let version = counts.version().cloned().or_else(|| self.policies.in_force(tenant));
        let Some(version) = version else { return Ok(Answer::without_set(self.ids.next())) };
        let pseudonyms = self.pseudonyms(tenant)?;
        let now_ms = self.keystore.now().timestamp_millis();
        let judge = self.clearances(tenant, &version.compiled, &pseudonyms, now_ms)?;
        let clearances = judge.good(event, event.phase().counts(false));
        let holds = self.mitigations.of(tenant, now_ms);
        let outside = Outside { now_ms, holds: &holds, clearances: &clearances };
        let windows = counts.beside(&self.state);
        let decision = engine::decide(&version.compiled, &windows, &pseudonyms, event, outside);
        let number = version.document.policy_set_version;
        let id = self.ids.next();
        holds.add(number, id, &decision.holds);
        let rows = DecisionRow::all(id, number, &version.compiled, &decision, event);
        let _dropped_and_counted = self.recorder.add(tenant, rows);
        let challenge = self.challenges.offer(&judge, &decision, event, id.as_str()).map(Box::new);
        let degraded = counts.is_degraded();
        let answer = Answer { challenge, degraded, ..Answer::new(id, number, &version.compiled, &decision) };
        if version.document.traffic.record == Record::All {
            let row = TrafficRow::new(&version.compiled, &pseudonyms, event, &answer);
            let _dropped_and_counted = self.traffic.add(tenant, vec![row]);
        }
        Ok(answer)
    }

    /// The version that judges the events of a stream; `None` when none does. From memory.
    pub fn judging(&self, tenant: &TenantId, stream: &StreamName) -> Option<Arc<Version>> {
        self.policies.in_force(tenant).filter(|version| version.judges(stream))
    }

    /// Judges events of a stream, in order, and gives the rows of those that matched; nothing is recorded yet.
    /// `counted` is what [`Decider::count_rows`] gave of them, and `each` learns of every decision.
    ///
    /// # Errors
    /// As for [`Decider::decide`].
    pub fn judge(
        &self,
        tenant: &TenantId,
        version: &Version,
        rows: &Rows<'_>,
        counted: &Counted,
        mut each: impl FnMut(&Decision<'_>),
    ) -> Result<Vec<DecisionRow>, NotReady> {
        let pseudonyms = self.pseudonyms(tenant)?;
        let (now_ms, number) = (rows.received_at_ms(), version.document.policy_set_version);
        let (mut matched, mut at) = (Vec::new(), 0);
        rows.each(|event| {
            let windows = counted.of(at).beside(&self.state);
            let holds = self.mitigations.of(tenant, now_ms);
            let outside = Outside { holds: &holds, ..Outside::at(now_ms) };
            let decision = engine::decide(&version.compiled, &windows, &pseudonyms, event, outside);
            each(&decision);
            if !decision.matches.is_empty() || !decision.holds.is_empty() {
                let id = self.ids.next();
                holds.add(number, id, &decision.holds);
                matched.extend(DecisionRow::all(id, number, &version.compiled, &decision, event));
            }
            at += 1;
        });
        Ok(matched)
    }

    /// Explains what a set would decide about an event, whose windows [`Decider::look`] has asked. Nothing is counted
    /// and nothing recorded.
    ///
    /// # Errors
    /// As for [`Decider::decide`].
    pub fn explain(
        &self,
        tenant: &TenantId,
        version: Option<u64>,
        set: &CompiledSet,
        event: &Event<'_>,
        counts: Counts<'_>,
    ) -> Result<Value, NotReady> {
        let pseudonyms = self.pseudonyms(tenant)?;
        let now_ms = self.keystore.now().timestamp_millis();
        let clearances = self.clearances(tenant, set, &pseudonyms, now_ms)?.good(event, false);
        let holds = self.mitigations.of(tenant, now_ms);
        let outside = Outside { now_ms, holds: &holds, clearances: &clearances };
        let explained = engine::explain(set, &counts.beside(&self.state), &pseudonyms, event, outside);
        let decided = Answer::new(self.ids.next(), version.unwrap_or_default(), set, &explained.decision);
        let mut answer = json!(explained);
        answer["policySetVersion"] = json!(version);
        answer["action"] = json!(decided.action);
        answer["reason"] = json!(decided.reason);
        answer["degraded"] = json!(counts.is_degraded());
        Ok(answer)
    }

    /// Challenges, and the keys that sign them.
    ///
    /// # Errors
    /// As for [`Decider::decide`].
    pub fn keys(&self) -> Result<&Keys, NotReady> {
        self.challenges.keys(self.secret.get()).ok_or(NotReady)
    }

    /// Permits for solutions of challenges that are computed again.
    pub fn places(&self) -> &Arc<Semaphore> {
        self.challenges.places()
    }

    /// What judges the clearances that events of a tenant show.
    fn clearances<'a>(
        &'a self,
        tenant: &'a TenantId,
        set: &'a CompiledSet,
        pseudonyms: &'a Pseudonyms,
        now_ms: i64,
    ) -> Result<Judge<'a>, NotReady> {
        Ok(Judge { tenant: tenant.as_str(), keys: self.keys()?, set, state: &self.state, pseudonyms, now_ms })
    }

    /// The key of a tenant's pseudonyms.
    ///
    /// # Errors
    /// As for [`Decider::decide`].
    pub fn pseudonyms(&self, tenant: &TenantId) -> Result<Arc<Pseudonyms>, NotReady> {
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

    /// Whom policies hold.
    pub fn mitigations(&self) -> &Arc<Mitigations> {
        &self.mitigations
    }

    /// The windows.
    pub fn state(&self) -> &State {
        &self.state
    }
}
