//! One change, as the audit reports it: made out of the entry of the log that holds it, so no two nodes disagree.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use crate::documents::Fields;
use crate::documents::instant::required;
use crate::key::{Actor, InvalidId, Label, MachineId, RequestId, TenantId};
use crate::operators::machine::MachinePlace;
use crate::operators::{Accounts, OperatorId, Scope};
use crate::sync::log::{LogEntry, MAX_SEQ};
use crate::sync::{AnswerTarget, AuditAction, AuditOutcome, ChangedObject, LoggedChange};

/// Where a change stands in the log: `<number of the entry>-<place in it>`. Later changes have greater ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditId {
    /// The number of the entry.
    pub seq: u64,
    /// The place in the entry, from 0.
    pub index: usize,
}

impl fmt::Display for AuditId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.seq, self.index)
    }
}

impl FromStr for AuditId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const RULE: InvalidId = InvalidId::new("an id of the audit", "two numbers such as 17-0");
        let (seq, index) = text.split_once('-').ok_or(RULE)?;
        let id = Self { seq: seq.parse().map_err(|_| RULE)?, index: index.parse().map_err(|_| RULE)? };
        (id.seq <= MAX_SEQ && id.to_string() == text).then_some(id).ok_or(RULE)
    }
}

impl Serialize for AuditId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordActor {
    /// What kind of actor.
    pub kind: ActorKind,
    /// Which; none of the admin token, the system and an unknown one.
    pub id: Option<String>,
    /// What people call it.
    pub label: Option<String>,
    /// In which role.
    pub role: Option<Label>,
}

/// The kinds of actors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A person.
    Operator,
    /// A program with a token of its own.
    Machine,
    /// The holder of the admin token.
    AdminToken,
    /// Keyloft itself, for maintenance.
    System,
    /// A request without a credential, where none was needed.
    AuthOff,
    /// A request whose credential is not recognised, or that has none.
    Anonymous,
    /// Somebody who wrote a file in the store.
    ByHand,
}

impl ActorKind {
    /// The word of answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Machine => "machine",
            Self::AdminToken => "admin_token",
            Self::System => "system",
            Self::AuthOff => "auth_off",
            Self::Anonymous => "anonymous",
            Self::ByHand => "by_hand",
        }
    }
}

impl RecordActor {
    fn new(actor: Option<&Actor>, role: Option<&Label>) -> Self {
        let (kind, id) = match actor {
            Some(Actor::AdminToken) => (ActorKind::AdminToken, None),
            Some(Actor::System) => (ActorKind::System, None),
            Some(Actor::AuthOff) => (ActorKind::AuthOff, None),
            Some(named) if OperatorId::parse(named.as_str()).is_ok() => (ActorKind::Operator, Some(named.to_string())),
            Some(named) if MachineId::parse(named.as_str()).is_ok() => (ActorKind::Machine, Some(named.to_string())),
            Some(named) => (ActorKind::ByHand, Some(named.to_string())),
            None => (ActorKind::ByHand, None),
        };
        Self::known(kind, id, role)
    }

    fn known(kind: ActorKind, id: Option<String>, role: Option<&Label>) -> Self {
        let label = id.clone().filter(|_| kind == ActorKind::Operator);
        Self { kind, id, label, role: role.cloned() }
    }
}

/// What it was done to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    /// What kind of object: `key`, `stream`, `tenant`, `machine`, `members`, or one that a later version knows.
    pub kind: String,
    /// The tenant that it belongs to; none of what belongs to the platform.
    pub tenant: Option<TenantId>,
    /// Which one.
    pub id: String,
    /// What people called it then.
    pub name: Option<String>,
}

impl Target {
    fn of(AnswerTarget { kind, tenant, id }: &AnswerTarget) -> Self {
        Self { kind: kind.clone(), tenant: tenant.clone(), id: id.clone(), name: None }
    }

    fn new(object: &ChangedObject, name: Option<String>) -> Self {
        let (kind, tenant, id) = match object {
            ChangedObject::Key { tenant, key_id } => ("key", Some(tenant.clone()), key_id.to_string()),
            ChangedObject::Stream { tenant, stream } => ("stream", Some(tenant.clone()), stream.to_string()),
            ChangedObject::Tenant { tenant } => ("tenant", Some(tenant.clone()), tenant.to_string()),
            ChangedObject::Held { kind, id } => {
                let (tenant, id) = place(id);
                (kind.as_str(), tenant, id)
            }
        };
        Self { kind: kind.to_owned(), tenant, id, name }
    }
}

/// The tenant of a document of another kind, and its id there. One whose id says neither belongs to the platform, so
/// that no tenant ever sees it.
fn place(id: &str) -> (Option<TenantId>, String) {
    let scope = |scope: Scope| scope.tenant().cloned();
    match (id.parse::<MachinePlace>(), id.parse::<Scope>()) {
        (Ok(machine), _) => (scope(machine.scope), machine.id.to_string()),
        (_, Ok(members)) => (scope(members), id.to_owned()),
        _ => (None, id.to_owned()),
    }
}

/// The request by which it was done.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordRequest {
    /// Its id.
    pub id: Option<RequestId>,
    /// The pattern of its route.
    pub route: Option<String>,
    /// The address that it came from.
    pub address: Option<IpAddr>,
    /// The program that sent it.
    pub user_agent: Option<String>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Where it stands in the log.
    pub audit_id: AuditId,
    /// When it was done.
    #[serde(serialize_with = "required")]
    pub at: DateTime<Utc>,
    /// Who did it.
    pub actor: RecordActor,
    /// What was done; none when nothing was, and in entries of versions that did not say.
    pub action: Option<AuditAction>,
    /// To what.
    pub target: Target,
    /// By which request.
    pub request: RecordRequest,
    /// The fields that are different since, as they were.
    pub before: Option<Fields>,
    /// The same as they are.
    pub after: Option<Fields>,
    /// What became of it.
    pub outcome: AuditOutcome,
    /// The status of the answer; none of a change: its acknowledgement came after.
    pub status: Option<u16>,
    /// The code of the problem; none without one.
    pub code: Option<String>,
    /// How many requests this stands for: 1, unless there were too many to tell them apart.
    pub count: u64,
    /// The number of the change, for its receipt.
    pub change_seq: u64,
}

impl Record {
    /// Gives the actor the name that a person had at the last sign-in; the log has ids.
    pub fn name_actor(&mut self, accounts: &Accounts) {
        let id = self.actor.id.as_deref().and_then(|id| OperatorId::parse(id).ok());
        let account = id.and_then(|id| accounts.known(&id)).filter(|account| account.display_name.is_some());
        if let Some(account) = account {
            self.actor.label.clone_from(&account.display_name);
        }
    }

    /// The record of a change in an entry. `None` where nobody did anything: events have created or widened a stream.
    pub fn new(seq: u64, entry: &LogEntry, index: usize) -> Option<Self> {
        let change = entry.changes.get(index)?;
        let is_by_events = matches!(change.object, ChangedObject::Stream { .. })
            && change.action.is_none()
            && change.by.modified_by.is_none();
        if is_by_events {
            return None;
        }
        let LoggedChange { object, by, role, client, action, name, route, agent, changed_at, difference, answer } =
            change;
        // Entries without a number are of versions that did not say what was done.
        let is_done = action.is_some() || !difference.is_empty() || entry.seq.is_none();
        let done = if is_done { AuditOutcome::Done } else { AuditOutcome::Unchanged };
        let (actor, target) = match (answer, &by.modified_by) {
            (Some(answer), None) => (RecordActor::known(ActorKind::Anonymous, None, None), Target::of(&answer.target)),
            (Some(answer), actor) => (RecordActor::new(actor.as_ref(), role.as_ref()), Target::of(&answer.target)),
            (None, actor) => (RecordActor::new(actor.as_ref(), role.as_ref()), Target::new(object, name.clone())),
        };
        let answer = answer.as_ref();
        Some(Self {
            audit_id: AuditId { seq, index },
            at: changed_at.unwrap_or(entry.at),
            actor,
            action: *action,
            target,
            request: RecordRequest {
                id: by.request_id,
                route: route.clone(),
                address: *client,
                user_agent: agent.clone(),
            },
            before: difference.before.clone(),
            after: difference.after.clone(),
            outcome: answer.map_or(done, |answer| answer.outcome),
            status: answer.map(|answer| answer.status),
            code: answer.and_then(|answer| answer.code.clone()),
            count: answer.map_or(1, |answer| answer.count),
            change_seq: seq,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn records(golden: &str) -> Vec<Option<Record>> {
        let entry = LogEntry::parse(golden.as_bytes()).unwrap();
        (0..entry.changes.len()).map(|index| Record::new(7, &entry, index)).collect()
    }

    #[test]
    fn a_record_says_who_did_what_to_what_by_which_request() {
        let found = records(include_str!("../../fixtures/log/v1/detailed.json"));
        let expected = json!({
            "auditId": "7-0", "at": "2026-11-28T01:02:03.456Z",
            "actor": {"kind": "admin_token", "id": null, "label": null, "role": null},
            "action": "key.update",
            "target": {"kind": "key", "tenant": "acme", "id": "5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10", "name": "checkout"},
            "request": {
                "id": "7d0e6c1a-52b3-4f0d-9a64-0c2b1e8f7a95", "route": "PATCH /api/v1/tenants/{tenant}/apikeys/{id}",
                "address": "203.0.113.7", "userAgent": "curl/8.5.0",
            },
            "before": {"sourceId": null, "state": "active"}, "after": {"sourceId": "till-7", "state": "disabled"},
            "outcome": "done", "status": null, "code": null, "count": 1, "changeSeq": 7,
        });
        assert_eq!(json!(found[0]), expected);
        let removal = found[1].as_ref().unwrap();
        let (kind, role) = (removal.actor.kind, removal.actor.role.as_ref().map(Label::as_str));
        assert_eq!((kind, role), (ActorKind::Machine, Some("platform_admin")));
        assert_eq!(removal.target.tenant, TenantId::parse("acme").ok());
        assert_eq!(removal.target.id, "5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d11");
    }

    #[test]
    fn a_request_that_changed_nothing_is_a_record_of_who_asked_for_what_and_why_not() {
        let found = records(include_str!("../../fixtures/log/v1/requests.json"));
        let expected = json!({
            "auditId": "7-0", "at": "2026-11-29T01:01:03.000Z",
            "actor": {
                "kind": "machine", "id": "5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d12", "label": null, "role": "viewer",
            },
            "action": "key.revoke",
            "target": {"kind": "key", "tenant": "acme", "id": "5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10", "name": null},
            "request": {
                "id": "7d0e6c1a-52b3-4f0d-9a64-0c2b1e8f7a95", "route": "DELETE /api/v1/tenants/{tenant}/apikeys/{id}",
                "address": "203.0.113.7", "userAgent": "ci/1",
            },
            "before": null, "after": null,
            "outcome": "refused", "status": 403, "code": "role_not_allowed", "count": 1, "changeSeq": 7,
        });
        assert_eq!(json!(found[0]), expected);
        let counted = found[1].as_ref().unwrap();
        assert_eq!((counted.actor.kind, counted.count, counted.action), (ActorKind::Anonymous, 512, None));
        assert_eq!(counted.target.tenant, None);
    }

    #[test]
    fn every_kind_of_actor_is_recognised_by_its_id() {
        let kind = |text: &str| RecordActor::new(Actor::parse(text).ok().as_ref(), None).kind.as_str();
        let operator = format!("op-{:032x}", 7);
        for (text, expected) in [
            ("admin", "admin_token"),
            ("system", "system"),
            (operator.as_str(), "operator"),
            ("5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d12", "machine"),
            ("op-7", "by_hand"),
            ("", "by_hand"),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    #[test]
    fn what_events_did_is_no_record_and_what_belongs_to_no_tenant_is_the_platforms() {
        let found = records(include_str!("../../fixtures/log/v1/unknown-kinds.json"));
        assert!(found[5].is_none(), "a stream that events have created");
        for record in found.iter().flatten().filter(|record| !matches!(&*record.target.kind, "key" | "tenant")) {
            assert_eq!(record.target.tenant, None, "{record:?}");
        }
        assert_eq!(place("platform"), (None, "platform".to_owned()));
        assert_eq!(place("tenants/acme"), (TenantId::parse("acme").ok(), "tenants/acme".to_owned()));
        assert_eq!(place("acme/../x").0, None);
    }

    #[test]
    fn an_id_is_one_text_both_ways_and_in_the_order_of_the_log() {
        for text in ["1-0", "9007199254740992-999"] {
            assert_eq!(text.parse::<AuditId>().unwrap().to_string(), text);
        }
        for bad in ["", "1", "1-", "-1", "01-0", "1-+0", "1-0-0", "9007199254740993-0", "a-b"] {
            assert!(bad.parse::<AuditId>().is_err(), "{bad}");
        }
        let id = |text: &str| text.parse::<AuditId>().unwrap();
        assert!(id("9-0") < id("10-0") && id("10-2") < id("10-10"));
    }
}
