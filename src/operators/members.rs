//! The document of the members of a tenant, or of the platform: one object, so that a rule about all of them can be
//! kept by one compare-and-swap.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::OperatorId;
use super::id::{Email, InvitationId, MembershipId};
use super::{Role, Scope};
use crate::documents::instant::{required, rfc3339};
use crate::documents::{Audited, Document, Fields, LastWrite, RequestContext, Unreadable, stamped};
use crate::error::Result as Outcome;
use crate::key::{Actor, Attribution, TenantId};
use crate::layout::ObjectName;
use crate::store::Bucket;
use crate::sync::held::KindListing;
use crate::sync::{AuditAction, HeldKind};

const VERSION: u32 = 1;
/// How many members a tenant may have, and the platform.
pub const MAX_MEMBERS: usize = 1000;
/// How many invitations may be open there.
pub const MAX_INVITATIONS: usize = 200;
/// How long an invitation can be accepted.
const INVITATION_LASTS: TimeDelta = TimeDelta::days(14);

/// Everybody who has a role in a tenant, or on the platform, and everybody who is invited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Members {
    version: u32,
    #[serde(deserialize_with = "bounded::<_, _, _, MAX_MEMBERS>")]
    members: BTreeMap<OperatorId, Member>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[serde(deserialize_with = "bounded::<_, _, _, MAX_INVITATIONS>")]
    invitations: BTreeMap<InvitationId, Invitation>,
    #[serde(default, serialize_with = "rfc3339", skip_serializing_if = "Option::is_none")]
    modified_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    attribution: Attribution,
    /// Counted from 1, one more with each change; 0 where there is no document.
    #[serde(default = "first_rev")]
    pub rev: u64,
    #[serde(default)]
    write_id: Option<Uuid>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// Somebody who has a role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// What it may do.
    pub role: Role,
    /// Who made it a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_by: Option<Actor>,
    /// When.
    #[serde(default, serialize_with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub added_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// A role for the person who signs in with a verified e-mail address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invitation {
    /// Whose.
    pub email: Email,
    /// The role.
    pub role: Role,
    /// Who invited last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invited_by: Option<Actor>,
    /// When.
    #[serde(default, serialize_with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
    /// The first instant at which it is no longer accepted.
    #[serde(serialize_with = "required")]
    pub expires_at: DateTime<Utc>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

fn first_rev() -> u64 {
    1
}

/// Reads a map of at most `MOST` entries, in which no key stands twice: of two roles of one member neither is the one
/// that was meant.
fn bounded<'de, D, K, V, const MOST: usize>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    struct Entries<K, V, const MOST: usize>(PhantomData<(K, V)>);

    impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>, const MOST: usize> Visitor<'de> for Entries<K, V, MOST> {
        type Value = BTreeMap<K, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MOST} entries")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = BTreeMap::new();
            while let Some((key, value)) = map.next_entry()? {
                if entries.len() == MOST {
                    return Err(A::Error::invalid_length(MOST + 1, &self));
                }
                if entries.insert(key, value).is_some() {
                    return Err(A::Error::custom("an entry stands there twice"));
                }
            }
            Ok(entries)
        }
    }

    deserializer.deserialize_map(Entries::<K, V, MOST>(PhantomData))
}

impl Default for Members {
    /// Nobody.
    fn default() -> Self {
        Self {
            version: VERSION,
            members: BTreeMap::new(),
            invitations: BTreeMap::new(),
            modified_at: None,
            attribution: Attribution::default(),
            rev: 0,
            write_id: None,
            unknown: Map::new(),
        }
    }
}

impl Members {
    /// All members, in order of id.
    pub fn members(&self) -> impl Iterator<Item = (OperatorId, &Member)> {
        self.members.iter().map(|(id, member)| (*id, member))
    }

    /// A member.
    pub fn member(&self, id: &OperatorId) -> Option<&Member> {
        self.members.get(id)
    }

    /// The role of a member.
    pub fn role(&self, id: &OperatorId) -> Option<Role> {
        self.member(id).map(|member| member.role)
    }

    /// The members who are owners.
    pub fn owners(&self) -> impl Iterator<Item = OperatorId> {
        self.members().filter(|(_, member)| member.role == Role::Owner).map(|(id, _)| id)
    }

    /// The invitations that can be accepted at `now`, in order of id.
    pub fn invitations(&self, now: DateTime<Utc>) -> impl Iterator<Item = (InvitationId, &Invitation)> {
        let open = self.invitations.iter().filter(move |(_, invitation)| invitation.expires_at > now);
        open.map(|(id, invitation)| (*id, invitation))
    }

    /// The invitations of an address. There is one, unless somebody wrote more into the file.
    pub(super) fn invited(&self, email: &Email) -> impl Iterator<Item = (InvitationId, &Invitation)> {
        let same = self.invitations.iter().filter(|(_, invitation)| invitation.email.is(email));
        same.map(|(id, invitation)| (*id, invitation))
    }

    /// An invitation.
    pub fn invitation(&self, id: &InvitationId) -> Option<&Invitation> {
        self.invitations.get(id)
    }

    /// Gives somebody a role. Who is a member already stays one since the same day.
    pub(super) fn set(&mut self, id: OperatorId, role: Role, by: &Actor, now: DateTime<Utc>) {
        let new = || Member { role, added_by: Some(by.clone()), added_at: Some(now), unknown: Map::new() };
        self.members.entry(id).or_insert_with(new).role = role;
    }

    /// Makes somebody a member as they were one.
    pub(super) fn restore(&mut self, id: OperatorId, member: Member) {
        self.members.insert(id, member);
    }

    /// Invites an address, in place of the invitations that it has, and gives the id of the one that it has now.
    pub(super) fn invite(&mut self, email: Email, role: Role, by: &Actor, now: DateTime<Utc>) -> InvitationId {
        let known = self.invited(&email).next().map(|(id, invitation)| (id, invitation.unknown.clone()));
        let (id, unknown) = known.unwrap_or_else(|| (InvitationId::random(), Map::new()));
        self.invitations.retain(|_, invitation| !invitation.email.is(&email));
        let (invited_by, created_at, expires_at) = (Some(by.clone()), Some(now), now + INVITATION_LASTS);
        let invitation = Invitation { email, role, invited_by, created_at, expires_at, unknown };
        self.invitations.insert(id, invitation);
        id
    }

    /// Removes a member or an invitation.
    pub(super) fn remove(&mut self, id: MembershipId) {
        match id {
            MembershipId::Operator(id) => _ = self.members.remove(&id),
            MembershipId::Invitation(id) => _ = self.invitations.remove(&id),
        }
    }

    /// Drops the invitations of an address.
    pub(super) fn forget_address(&mut self, email: &Email) {
        self.invitations.retain(|_, invitation| !invitation.email.is(email));
    }

    /// Drops the invitations that have expired.
    pub(super) fn forget_expired(&mut self, now: DateTime<Utc>) {
        self.invitations.retain(|_, invitation| invitation.expires_at > now);
    }

    /// Whether there are not more than there may be.
    pub(super) fn is_bounded(&self) -> bool {
        self.members.len() <= MAX_MEMBERS && self.invitations.len() <= MAX_INVITATIONS
    }

    /// Notes who changes them, and when.
    pub(super) fn attribute(&mut self, context: &RequestContext, now: DateTime<Utc>) {
        self.modified_at = Some(now);
        self.attribution = context.attribution();
        self.rev = self.rev.saturating_add(1);
    }
}

impl Document for Members {
    type Id = Scope;

    const NAME: &'static str = "the document of the members";

    fn object(scope: &Scope) -> ObjectName {
        match scope.tenant() {
            Some(tenant) => ObjectName::Members { tenant: tenant.clone() },
            None => ObjectName::PlatformMembers,
        }
    }

    fn parse(scope: &Scope, body: &[u8]) -> Result<Self, Unreadable> {
        let explain = |error| Unreadable::explain("a document of members", VERSION, body, &error);
        let document: Self = serde_json::from_slice(body).map_err(explain)?;
        let mut roles = document.members.values().map(|member| member.role);
        let mut invited = document.invitations.values().map(|invitation| invitation.role);
        if document.version != VERSION {
            Err(Unreadable::Version(document.version))
        } else if !roles.all(|role| role.fits(scope)) || !invited.all(|role| role.fits(scope)) {
            Err(Unreadable::Field("role"))
        } else {
            Ok(document)
        }
    }

    fn to_bytes(&self) -> Bytes {
        stamped(self, |document, write_id| document.write_id = Some(write_id))
    }
}

impl Audited for Members {
    /// Each member and each invitation by its id: a change shows those that differ.
    fn audited(&self) -> Fields {
        let members = self.members.iter().map(|(id, member)| (id.to_string(), json!({"role": member.role})));
        let invitations = self.invitations.iter().map(|(id, Invitation { email, role, expires_at, .. })| {
            (id.to_string(), json!({"email": email, "role": role, "expiresAt": expires_at}))
        });
        members.chain(invitations).collect()
    }
}

#[async_trait]
impl HeldKind for Members {
    const KIND: &'static str = "members";

    fn tenant(scope: &Scope) -> TenantId {
        scope.tenant().cloned().unwrap_or_default()
    }

    fn last_write(&self) -> LastWrite {
        LastWrite { write_id: self.write_id, by: self.attribution.clone(), at: self.modified_at }
    }

    fn action(before: Option<&Self>, after: &Self) -> Option<AuditAction> {
        let nobody = Self::default();
        let before = before.unwrap_or(&nobody);
        let is_set = after.members.iter().any(|(id, member)| before.role(id) != Some(member.role));
        let is_invited = after.invitations.iter().any(|(id, invitation)| before.invitation(id) != Some(invitation));
        Some(match (is_set, is_invited) {
            (true, _) => AuditAction::MemberSet,
            (false, true) => AuditAction::MemberInvite,
            (false, false) => AuditAction::MemberRemove,
        })
    }

    const HASHES_ARE_OWN: bool = false;

    /// To find the places of one operator.
    fn hashes(&self) -> Vec<u64> {
        self.members.keys().map(OperatorId::table_hash).collect()
    }

    fn conflict(&self, _: &Self) -> Option<&'static str> {
        None
    }

    /// One document for each, which may not be there: a read finds out for less than a list would.
    async fn list(_: &Bucket, tenants: &[TenantId]) -> Outcome<KindListing<Scope>> {
        let scopes = std::iter::once(Scope::Platform).chain(tenants.iter().cloned().map(Scope::Tenant));
        Ok(KindListing { documents: scopes.map(|scope| (scope, None)).collect(), foreign: Vec::new() })
    }
}
