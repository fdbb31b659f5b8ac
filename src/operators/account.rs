//! The document of somebody who has signed in: who it is, and the sign-ins that last.

use std::collections::BTreeMap;
use std::net::IpAddr;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::id::{Email, LoginId};
use super::{Identity, OperatorId, Role, Scope};
use crate::documents::audited::fields;
use crate::documents::instant::{required, rfc3339};
use crate::documents::{Audited, Document, Fields, LastWrite, RequestContext, Unreadable, stamped};
use crate::error::Result as Outcome;
use crate::key::actor::lenient;
use crate::key::{Attribution, Digest, Label, TenantId};
use crate::layout::{self, ObjectName};
use crate::store::Bucket;
use crate::sync::held::KindListing;
use crate::sync::{AuditAction, HeldKind};

const VERSION: u32 = 1;
/// How many sign-ins of one operator last at once; the oldest ends for one more.
pub const MAX_LOGINS: usize = 16;
/// How long a handoff can be exchanged for a token.
pub const HANDOFF_LASTS: TimeDelta = TimeDelta::seconds(60);

/// Somebody who has signed in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    version: u32,
    /// Whether they may sign in.
    pub state: AccountState,
    /// What the configuration calls the provider.
    pub provider: Label,
    /// The provider's name for itself.
    pub issuer: String,
    /// The provider's name for the person.
    pub subject: String,
    /// What people call the person, as of the last sign-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// A verified address, as of the last sign-in.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    /// When they signed in first.
    #[serde(default, serialize_with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
    /// When they signed in last.
    #[serde(default, serialize_with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub last_sign_in_at: Option<DateTime<Utc>>,
    /// The sign-ins that last, the oldest first.
    #[serde(default)]
    logins: Vec<Login>,
    #[serde(default, serialize_with = "rfc3339", skip_serializing_if = "Option::is_none")]
    modified_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    attribution: Attribution,
    /// Counted from 1, one more with each change.
    #[serde(default)]
    pub rev: u64,
    #[serde(default)]
    write_id: Option<Uuid>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// Whether somebody may sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    /// As far as roles allow.
    Active,
    /// Not until an admin of the platform says otherwise.
    Disabled,
}

/// One sign-in. Only what stands here lasts: a token of another one is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Login {
    /// Which.
    pub sid: LoginId,
    /// When.
    #[serde(serialize_with = "required")]
    pub created_at: DateTime<Utc>,
    /// The first instant at which it has ended.
    #[serde(serialize_with = "required")]
    pub expires_at: DateTime<Utc>,
    /// From which address, where that is known.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// With which program, in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The roles that groups of the provider gave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mapped: Vec<MappedRole>,
    /// What the token is exchanged for; nothing once it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff: Option<Handoff>,
}

/// A role by a group of the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedRole {
    /// Where; nothing for the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<TenantId>,
    role: Role,
}

/// A sign-in whose token nobody has yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handoff {
    /// The first instant at which it is too late.
    #[serde(serialize_with = "required")]
    pub until: DateTime<Utc>,
    /// The digest of what must be presented with it.
    pub proof: String,
}

impl MappedRole {
    /// Where it holds.
    pub fn scope(&self) -> Scope {
        self.tenant.clone().map_or(Scope::Platform, Scope::Tenant)
    }

    /// The role.
    pub fn role(&self) -> Role {
        self.role
    }
}

/// What ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// One sign-in.
    Login(LoginId),
    /// All that have begun by then.
    All,
    /// All, and there are no more.
    Disabled,
}

/// A sign-in that begins.
#[derive(Debug, Clone)]
pub struct NewLogin {
    /// How long it lasts.
    pub lasts: TimeDelta,
    /// From which address.
    pub address: Option<IpAddr>,
    /// With which program.
    pub user_agent: Option<String>,
    /// The roles that groups gave.
    pub mapped: BTreeMap<Scope, Role>,
    /// What must be presented to get the token; nothing when it is given at once.
    pub proof: Option<Digest>,
}

impl Account {
    /// Somebody who signs in for the first time.
    pub(super) fn new(identity: &Identity) -> Self {
        Self {
            version: VERSION,
            state: AccountState::Active,
            provider: identity.provider.clone(),
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            display_name: None,
            email: None,
            created_at: None,
            last_sign_in_at: None,
            logins: Vec::new(),
            modified_at: None,
            attribution: Attribution::default(),
            rev: 0,
            write_id: None,
            unknown: Map::new(),
        }
    }

    /// The sign-ins that last at `now`, the oldest first. One whose token was not fetched in time does not.
    pub fn logins(&self, now: DateTime<Utc>) -> impl Iterator<Item = &Login> {
        let is_active = self.state == AccountState::Active;
        self.logins.iter().filter(move |login| is_active && login.lasts(now))
    }

    /// A sign-in that lasts at `now`, and whose token was fetched.
    pub fn login(&self, sid: &LoginId, now: DateTime<Utc>) -> Option<&Login> {
        self.logins(now).find(|login| login.sid == *sid && login.handoff.is_none())
    }

    /// Begins a sign-in. The provider's words replace those of the last one.
    pub(super) fn sign_in(&mut self, identity: &Identity, new: NewLogin, now: DateTime<Utc>) -> LoginId {
        self.provider = identity.provider.clone();
        self.display_name.clone_from(&identity.display_name);
        self.email.clone_from(&identity.email);
        self.created_at = self.created_at.or(Some(now));
        self.last_sign_in_at = Some(now);
        self.logins.retain(|login| login.lasts(now));
        while self.logins.len() >= MAX_LOGINS {
            // One whose token nobody has fetched goes first.
            let first = self.logins.iter().position(|login| login.handoff.is_some()).unwrap_or(0);
            self.logins.remove(first);
        }
        let mapped = new.mapped.into_iter().map(|(scope, role)| MappedRole { tenant: scope.tenant().cloned(), role });
        let handoff = new.proof.map(|proof| Handoff { until: now + HANDOFF_LASTS, proof: proof.to_document() });
        let sid = LoginId::random();
        self.logins.push(Login {
            sid,
            created_at: now,
            expires_at: now + new.lasts,
            address: new.address,
            user_agent: new.user_agent,
            mapped: mapped.collect(),
            handoff,
        });
        sid
    }

    /// Takes the handoff of a sign-in, which works once. Says whether there is one that `proof` fits.
    pub(super) fn take_handoff(&mut self, sid: &LoginId, proof: &Digest, now: DateTime<Utc>) -> bool {
        let is_active = self.state == AccountState::Active;
        let login = self.logins.iter_mut().find(|login| login.sid == *sid && login.lasts(now));
        let Some(login) = login.filter(|_| is_active) else { return false };
        let fits = |handoff: &Handoff| Digest::parse(&handoff.proof).is_ok_and(|stored| stored.verify(proof));
        login.handoff.take_if(|handoff| fits(handoff)).is_some()
    }

    /// Ends one sign-in, or all. Says whether there was one.
    pub(super) fn end(&mut self, sid: Option<&LoginId>) -> bool {
        let before = self.logins.len();
        self.logins.retain(|login| sid.is_some_and(|sid| login.sid != *sid));
        self.logins.len() != before
    }

    /// Ends all sign-ins that have begun by an instant. Says whether there was one.
    pub(super) fn end_begun_by(&mut self, at: DateTime<Utc>) -> bool {
        let before = self.logins.len();
        self.logins.retain(|login| login.created_at > at);
        self.logins.len() != before
    }

    /// Notes who changes it, and when.
    pub(super) fn attribute(&mut self, context: &RequestContext, now: DateTime<Utc>) {
        self.modified_at = Some(now);
        self.attribution = context.attribution();
        self.rev = self.rev.saturating_add(1);
    }
}

impl Login {
    fn lasts(&self, now: DateTime<Utc>) -> bool {
        self.expires_at > now && self.handoff.as_ref().is_none_or(|handoff| handoff.until > now)
    }
}

impl Document for Account {
    type Id = OperatorId;

    const NAME: &'static str = "the document of the operator";

    fn object(id: &OperatorId) -> ObjectName {
        ObjectName::Account { id: *id }
    }

    fn parse(id: &OperatorId, body: &[u8]) -> Result<Self, Unreadable> {
        let explain = |error| Unreadable::explain("the document of an operator", VERSION, body, &error);
        let account: Self = serde_json::from_slice(body).map_err(explain)?;
        let mut mapped = account.logins.iter().flat_map(|login| &login.mapped);
        if account.version != VERSION {
            Err(Unreadable::Version(account.version))
        } else if OperatorId::of(&account.issuer, &account.subject) != Ok(*id) {
            Err(Unreadable::Field("subject"))
        } else if account.logins.len() > MAX_LOGINS {
            Err(Unreadable::Field("logins"))
        } else if !mapped.all(|mapped| mapped.role != Role::Owner && mapped.role.fits(&mapped.scope())) {
            Err(Unreadable::Field("mapped"))
        } else {
            Ok(account)
        }
    }

    fn to_bytes(&self) -> Bytes {
        stamped(self, |document, write_id| document.write_id = Some(write_id))
    }
}

impl Audited for Account {
    /// Sign-ins by their ids; what proves a handoff is not shown.
    fn audited(&self) -> Fields {
        let mut shown = fields(json!({
            "state": self.state,
            "provider": self.provider,
            "issuer": self.issuer,
            "subject": self.subject,
            "displayName": self.display_name,
            "email": self.email,
        }));
        for login in &self.logins {
            shown.insert(login.sid.to_string(), json!({"expiresAt": login.expires_at, "mapped": login.mapped}));
        }
        shown
    }
}

#[async_trait]
impl HeldKind for Account {
    const KIND: &'static str = "operator";

    fn tenant(_: &OperatorId) -> TenantId {
        TenantId::default()
    }

    fn name(&self) -> Option<String> {
        self.display_name.clone()
    }

    fn last_write(&self) -> LastWrite {
        LastWrite { write_id: self.write_id, by: self.attribution.clone(), at: self.modified_at }
    }

    fn action(before: Option<&Self>, after: &Self) -> Option<AuditAction> {
        let is_disabled = |account: &Self| account.state == AccountState::Disabled;
        let has_begun =
            |login: &Login| !before.is_some_and(|before| before.logins.iter().any(|old| old.sid == login.sid));
        Some(match before {
            Some(before) if is_disabled(after) != is_disabled(before) => {
                if is_disabled(after) {
                    AuditAction::OperatorDisable
                } else {
                    AuditAction::OperatorEnable
                }
            }
            _ if after.logins.iter().any(has_begun) => AuditAction::OperatorSignIn,
            _ => AuditAction::OperatorEndSessions,
        })
    }

    fn hashes(&self) -> Vec<u64> {
        Vec::new()
    }

    fn conflict(&self, _: &Self) -> Option<&'static str> {
        None
    }

    async fn list(bucket: &Bucket, _: &[TenantId]) -> Outcome<KindListing<OperatorId>> {
        let folder = (TenantId::default(), layout::accounts());
        let id = |object| if let ObjectName::Account { id } = object { Some(id) } else { None };
        KindListing::of(bucket, [folder], id).await
    }
}
