//! Policy sets in answers.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::documents::instant::rfc3339;
use crate::http::routes::receipt::ReceiptView;
use crate::policy::set::{
    Action, EntityDefinition, Mitigation, Policy, PolicySet, PolicySetDocument, SetMode, Traffic,
};
use crate::policy_book::{Making, VersionInfo};

/// A set, and the version that holds it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicySetView {
    policy_set_version: u64,
    #[serde(serialize_with = "rfc3339")]
    created_at: Option<DateTime<Utc>>,
    created_by: Option<String>,
    comment: Option<String>,
    restores: Option<u64>,
    mode: SetMode,
    exempt: Option<String>,
    traffic: Traffic,
    actions: Vec<Action>,
    entities: Vec<EntityDefinition>,
    mitigations: Vec<Mitigation>,
    policies: Vec<Policy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<ReceiptView>,
}

impl PolicySetView {
    /// A version; that before the first one is 0, and empty.
    pub fn new(document: Option<PolicySetDocument>) -> Self {
        let Some(document) = document else { return Self::of_set(0, PolicySet::default()) };
        let (created_at, created_by) = (Some(document.created_at), Some(document.created_by.clone()));
        let (comment, restores, number) = (document.comment.clone(), document.restores, document.policy_set_version);
        let view = Self::of_set(number, document.into_set());
        Self { created_at, created_by, comment, restores, ..view }
    }

    /// A set that is to be a version, or would be.
    pub fn of_set(policy_set_version: u64, set: PolicySet) -> Self {
        let PolicySet { mode, exempt, traffic, actions, entities, mitigations, policies } = set;
        Self {
            policy_set_version,
            created_at: None,
            created_by: None,
            comment: None,
            restores: None,
            mode,
            exempt,
            traffic,
            actions,
            entities,
            mitigations,
            policies,
            receipt: None,
        }
    }

    /// The same with the receipt of the change that made it.
    pub fn with_receipt(self, receipt: Option<ReceiptView>) -> Self {
        Self { receipt, ..self }
    }
}

/// A version in the list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionView {
    policy_set_version: u64,
    in_force: bool,
    readable: bool,
    #[serde(serialize_with = "rfc3339")]
    created_at: Option<DateTime<Utc>>,
    created_by: Option<String>,
    comment: Option<String>,
    restores: Option<u64>,
}

impl VersionView {
    /// A version, and whether it is in force.
    pub fn new(info: VersionInfo, in_force: u64) -> Self {
        let VersionInfo { number, made } = info;
        let readable = made.is_some();
        let (created_at, created_by, comment, restores) = match made {
            Some(Making { at, by, comment, restores }) => (Some(at), Some(by), comment, restores),
            None => (None, None, None, None),
        };
        let in_force = number == in_force;
        Self { policy_set_version: number, in_force, readable, created_at, created_by, comment, restores }
    }
}
