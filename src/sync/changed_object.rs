//! The object that a change wrote, as the log names it. It is a hint where to look: the document decides.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Answer, AuditAction, answer};
use crate::documents::{Audited, Difference, RequestContext};
use crate::key::actor::lenient;
use crate::key::{Actor, Attribution, KeyId, Label, StreamName, TenantId};

/// A document that was written.
///
/// Keys, streams and tenants are recognised by their fields. Every other kind names itself in the field `kind`. So a
/// node that does not know the kind still applies the other changes of an entry, and a new kind does not raise the
/// version of entries.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum ChangedObject {
    /// A document of another kind. A node that does not know the kind holds none in memory, so it has nothing to apply.
    Held {
        /// What the kind is called.
        kind: String,
        /// Which document of the kind.
        #[serde(default)]
        id: String,
    },
    /// A key: issued, changed, revoked or purged.
    Key {
        /// Whose key.
        tenant: TenantId,
        /// Which key.
        key_id: KeyId,
    },
    /// The schema of a stream: created or widened.
    Stream {
        /// Whose stream.
        tenant: TenantId,
        /// Which stream.
        stream: StreamName,
    },
    /// A tenant: created, changed or deleted.
    Tenant {
        /// Which tenant.
        tenant: TenantId,
    },
}

/// One change as an entry of the log carries it: the object, and who changed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoggedChange {
    /// What was changed.
    #[serde(flatten)]
    pub object: ChangedObject,
    /// Who changed it; nothing in entries of older versions.
    #[serde(flatten)]
    pub by: Attribution,
    /// In which role; nothing in entries of older versions, and for those who may do everything.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub role: Option<Label>,
    /// From which address; nothing in entries of older versions, and when it is not known.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// What was done; nothing in entries of older versions, and when nothing was: the node that had done it may have
    /// ended before it could log that.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub action: Option<AuditAction>,
    /// What people called the object then; nothing where it has no name.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The pattern of the route that it was asked at; nothing in entries of older versions, and without a request.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The program that asked, as it named itself; nothing in entries of older versions, and when it did not.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// When the object was changed, as it says itself; only if the node that changed it ended before it could log that,
    /// and a full reconcile of another has found it.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<DateTime<Utc>>,
    /// What is different since; nothing in entries of older versions, of work on many objects, and when nothing is.
    #[serde(flatten)]
    pub difference: Difference,
    /// How a request was answered that changed nothing; nothing of changes.
    #[serde(default, deserialize_with = "answer::lenient", skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

impl LoggedChange {
    /// A request that changed nothing, of `actor` if that is known. The id of the context's request stays with it.
    pub fn of_request(answer: Answer, context: &RequestContext, actor: Option<Actor>) -> Self {
        let mut change = Self { answer: Some(answer), ..new_request().by(context) };
        change.by.modified_by = actor;
        change.changed_at = Some(context.at);
        change
    }

    /// The same, which did this.
    #[must_use]
    pub fn doing(self, action: impl Into<Option<AuditAction>>) -> Self {
        Self { action: action.into(), ..self }
    }

    /// The same, which made one state of the object out of another; `None` where there is none.
    #[must_use]
    pub fn between<T: Audited>(self, before: Option<&T>, after: Option<&T>) -> Self {
        Self { difference: Difference::between(before, after), ..self }
    }

    /// The same for an object that people call so.
    #[must_use]
    pub fn named(self, name: impl Into<Option<String>>) -> Self {
        Self { name: name.into(), ..self }
    }
}

impl ChangedObject {
    /// The change of it that was asked for in this context.
    pub fn by(self, context: &RequestContext) -> LoggedChange {
        let (by, role, client) = (context.attribution(), context.role.clone(), context.client);
        let (route, agent) = (context.route.clone(), context.agent.clone());
        LoggedChange { by, role, client, route, agent, ..self.by_unknown() }
    }

    /// A change of it by somebody who is not known.
    pub fn by_unknown(self) -> LoggedChange {
        LoggedChange {
            object: self,
            by: Attribution::default(),
            role: None,
            client: None,
            action: None,
            name: None,
            route: None,
            agent: None,
            changed_at: None,
            difference: Difference::default(),
            answer: None,
        }
    }

    /// Whether this is a request that changed nothing.
    pub(super) fn is_request(&self) -> bool {
        matches!(self, Self::Held { kind, .. } if kind == answer::REQUEST)
    }

    /// The key that was changed, if it was one.
    pub(super) fn key(&self) -> Option<(&TenantId, KeyId)> {
        match self {
            Self::Key { tenant, key_id } => Some((tenant, *key_id)),
            Self::Stream { .. } | Self::Tenant { .. } | Self::Held { .. } => None,
        }
    }
}

/// Each has an id, so that a node which does not know whether it has logged one finds it again.
#[allow(clippy::disallowed_methods)]
fn new_request() -> ChangedObject {
    ChangedObject::Held { kind: answer::REQUEST.to_owned(), id: Uuid::new_v4().to_string() }
}
