//! The answer to the one who asked.

use serde::Serialize;
use uuid::Uuid;

use super::challenges::Offer;
use crate::key::RequestId;
use crate::policy::engine::{Counted, Decision, Match, Outcome, Reason, Verdict};
use crate::policy::set::{CompiledSet, Mode};

/// The answer to the one who asked.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The id of the decision, the same in its rows.
    pub decision_id: String,
    /// What to do with the request.
    pub action: Verdict,
    /// By which version; 0 while there is no set.
    pub policy_set_version: u64,
    /// The policy that decided.
    pub policy: Option<PolicyName>,
    /// All policies that matched, the one that decided first.
    pub matched: Vec<Matched>,
    /// The names of the actions that the request is.
    pub actions: Vec<String>,
    /// Whom it was decided about, as a pseudonym.
    pub entity: Option<String>,
    /// The window of the policy that decided.
    pub window: Option<Counted>,
    /// Why.
    pub reason: Reason,
    /// After how long the client may come again, if that is known.
    pub retry_after_seconds: Option<u32>,
    /// What the client has to solve, exactly when the action is `challenge`.
    pub challenge: Option<Box<Offer>>,
    /// Whether other nodes could not be asked.
    pub degraded: bool,
}

/// A policy by its name.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyName {
    policy_id: Uuid,
    name: String,
}

/// A policy that matched.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Matched {
    policy_id: Uuid,
    mode: Mode,
    /// What came of it.
    pub outcome: Outcome,
}

impl Answer {
    /// The answer of a tenant without a set.
    pub(super) fn without_set(id: RequestId) -> Self {
        Self {
            decision_id: id.to_string(),
            action: Verdict::Allow,
            policy_set_version: 0,
            policy: None,
            matched: Vec::new(),
            actions: Vec::new(),
            entity: None,
            window: None,
            reason: Reason::None,
            retry_after_seconds: None,
            challenge: None,
            degraded: false,
        }
    }

    /// The answer that a decision is.
    pub(super) fn new(id: RequestId, number: u64, set: &CompiledSet, decision: &Decision<'_>) -> Self {
        let deciding = decision.deciding();
        let matched = |found: &Match<'_>| Matched {
            policy_id: found.policy.id.0,
            mode: found.policy.mode,
            outcome: found.outcome,
        };
        Self {
            decision_id: id.to_string(),
            action: decision.verdict,
            policy_set_version: number,
            policy: deciding
                .map(|found| PolicyName { policy_id: found.policy.id.0, name: found.policy.name.to_string() }),
            matched: decision.matches.iter().map(matched).collect(),
            actions: decision.action_names(set).map(str::to_owned).collect(),
            entity: deciding.and_then(|found| found.entity).map(|entity| entity.to_string()),
            window: deciding.and_then(|found| found.window),
            reason: decision.reason,
            retry_after_seconds: deciding.and_then(|found| found.retry_after_seconds),
            challenge: None,
            degraded: false,
        }
    }
}
