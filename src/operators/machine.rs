//! The document of a machine: a program that administers, with a token of its own.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Role, Scope};
use crate::documents::audited::fields;
use crate::documents::instant::{required, rfc3339};
use crate::documents::{Audited, Document, Fields, LastWrite, RequestContext, Unreadable, stamped};
use crate::error::Result as Outcome;
use crate::key::{Actor, Attribution, Digest, Hint, InvalidId, Label, MachineId, Networks, TenantId};
use crate::layout::{self, ObjectName};
use crate::store::Bucket;
use crate::sync::held::KindListing;
use crate::sync::{AuditAction, HeldKind};

const VERSION: u32 = 1;
/// How many older tokens of a machine may work beside its own.
pub const MAX_OLDER: usize = 4;

/// Which machine: `<id>` of the platform, `<tenant>/<id>` of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MachinePlace {
    /// Where its role holds.
    pub scope: Scope,
    /// Its id.
    pub id: MachineId,
}

/// A machine. The store has the digest of its token, never the token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    version: u32,
    /// What people call it.
    pub name: Label,
    /// What it may do.
    pub role: Role,
    digest: String,
    #[serde(default)]
    pub(super) hint: Hint,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) older_tokens: Vec<OlderToken>,
    /// The networks from which it is accepted.
    #[serde(default, skip_serializing_if = "Networks::is_any")]
    pub allowed_cidrs: Networks,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<Actor>,
    /// When it was made.
    #[serde(default, serialize_with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
    /// The first instant at which it is no longer accepted.
    #[serde(serialize_with = "required")]
    pub expires_at: DateTime<Utc>,
    /// When it was last changed.
    #[serde(default, serialize_with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<DateTime<Utc>>,
    /// Who changed it last, and by which request.
    #[serde(flatten)]
    pub attribution: Attribution,
    /// Counted from 1, one more with each change.
    #[serde(default = "first_rev")]
    pub rev: u64,
    #[serde(default)]
    write_id: Option<Uuid>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// A token that was rotated away and may still work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OlderToken {
    digest: String,
    /// Its last characters.
    #[serde(default)]
    pub hint: Hint,
    /// The first instant at which it no longer works.
    #[serde(serialize_with = "required")]
    pub until: DateTime<Utc>,
}

fn first_rev() -> u64 {
    1
}

impl Machine {
    /// A machine with this token.
    pub(super) fn new(name: Label, role: Role, token: (Digest, Hint), expires_at: DateTime<Utc>) -> Self {
        Self {
            version: VERSION,
            name,
            role,
            digest: token.0.to_document(),
            hint: token.1,
            older_tokens: Vec::new(),
            allowed_cidrs: Networks::default(),
            created_by: None,
            created_at: None,
            expires_at,
            modified_at: None,
            attribution: Attribution::default(),
            rev: 0,
            write_id: None,
            unknown: Map::new(),
        }
    }

    /// The digests of all its tokens, as they are stored.
    fn digests(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.digest).chain(self.older_tokens.iter().map(|older| &older.digest))
    }

    /// Notes who changes it, and when.
    pub(super) fn attribute(&mut self, context: &RequestContext, now: DateTime<Utc>) {
        self.modified_at = Some(now);
        self.attribution = context.attribution();
        self.rev = self.rev.saturating_add(1);
    }

    /// Gives it a new token. The one that it has works until `until`, and older ones no longer than that. Says whether
    /// that is possible: at most [`MAX_OLDER`] may still work at `now`.
    pub(super) fn rotate(&mut self, token: (Digest, Hint), now: DateTime<Utc>, until: DateTime<Utc>) -> bool {
        let current = OlderToken { digest: std::mem::take(&mut self.digest), hint: self.hint, until };
        self.older_tokens.iter_mut().for_each(|older| older.until = older.until.min(until));
        self.older_tokens.insert(0, current);
        self.older_tokens.retain(|older| older.until > now);
        (self.digest, self.hint) = (token.0.to_document(), token.1);
        self.older_tokens.len() <= MAX_OLDER
    }

    /// Until when a token is accepted; `None` when it is none of this machine's.
    pub fn accepted_until(&self, token: &Digest) -> Option<DateTime<Utc>> {
        let is = |text: &str| Digest::parse(text).is_ok_and(|digest| digest.verify(token));
        if is(&self.digest) {
            return Some(self.expires_at);
        }
        self.older_tokens.iter().find(|older| is(&older.digest)).map(|older| older.until.min(self.expires_at))
    }

    /// The last characters of its token.
    pub fn hint(&self) -> &str {
        self.hint.as_str()
    }

    /// The tokens that were rotated away and work at `now`.
    pub fn older_tokens(&self, now: DateTime<Utc>) -> impl Iterator<Item = &OlderToken> {
        self.older_tokens.iter().filter(move |older| older.until > now)
    }
}

impl Document for Machine {
    type Id = MachinePlace;

    const NAME: &'static str = "the document of the machine";

    fn object(id: &MachinePlace) -> ObjectName {
        match id.scope.tenant() {
            Some(tenant) => ObjectName::Machine { tenant: tenant.clone(), id: id.id },
            None => ObjectName::PlatformMachine { id: id.id },
        }
    }

    fn parse(id: &MachinePlace, body: &[u8]) -> Result<Self, Unreadable> {
        let explain = |error| Unreadable::explain("the document of a machine", VERSION, body, &error);
        let machine: Self = serde_json::from_slice(body).map_err(explain)?;
        let has_digests = machine.digests().all(|digest| Digest::parse(digest).is_ok());
        if machine.version != VERSION {
            Err(Unreadable::Version(machine.version))
        } else if !has_digests {
            Err(Unreadable::Field("digest"))
        } else if machine.older_tokens.len() > MAX_OLDER {
            Err(Unreadable::Field("olderTokens"))
        } else if !machine.role.fits_machine(&id.scope) {
            Err(Unreadable::Field("role"))
        } else {
            Ok(machine)
        }
    }

    fn to_bytes(&self) -> Bytes {
        stamped(self, |document, write_id| document.write_id = Some(write_id))
    }
}

impl Audited for Machine {
    fn audited(&self) -> Fields {
        let older = |older: &OlderToken| json!({"tokenHint": masked(&older.hint), "until": older.until});
        fields(json!({
            "name": self.name,
            "role": self.role,
            "tokenHint": masked(&self.hint),
            "allowedCidrs": self.allowed_cidrs,
            "expiresAt": self.expires_at,
            "olderTokens": self.older_tokens.iter().map(older).collect::<Vec<_>>(),
        }))
    }
}

fn masked(hint: &Hint) -> String {
    format!("…{}", hint.as_str())
}

#[async_trait]
impl HeldKind for Machine {
    const KIND: &'static str = "machine";

    fn tenant(id: &MachinePlace) -> TenantId {
        id.scope.tenant().cloned().unwrap_or_default()
    }

    fn name(&self) -> Option<String> {
        Some(self.name.to_string())
    }

    fn last_write(&self) -> LastWrite {
        LastWrite { write_id: self.write_id, by: self.attribution.clone(), at: self.modified_at }
    }

    fn action(before: Option<&Self>, after: &Self) -> Option<AuditAction> {
        Some(match (before, after) {
            (None, _) => AuditAction::MachineCreate,
            (Some(before), after) if before.digest != after.digest => AuditAction::MachineRotate,
            _ => AuditAction::MachineUpdate,
        })
    }

    fn hashes(&self) -> Vec<u64> {
        self.digests().filter_map(|digest| Some(Digest::parse(digest).ok()?.table_hash())).collect()
    }

    fn conflict(&self, other: &Self) -> Option<&'static str> {
        let read = |text: &String| Digest::parse(text).ok();
        let others: Vec<Digest> = other.digests().filter_map(read).collect();
        let is_shared = self.digests().filter_map(read).any(|digest| others.iter().any(|other| other.verify(&digest)));
        is_shared.then_some("its digest is also that of another machine")
    }

    async fn list(bucket: &Bucket, tenants: &[TenantId]) -> Outcome<KindListing<MachinePlace>> {
        let of_platform = (TenantId::default(), layout::machines(None));
        let of_tenants = tenants.iter().map(|tenant| (tenant.clone(), layout::machines(Some(tenant))));
        let place = |object| match object {
            ObjectName::Machine { tenant, id } => Some(MachinePlace { scope: Scope::Tenant(tenant), id }),
            ObjectName::PlatformMachine { id } => Some(MachinePlace { scope: Scope::Platform, id }),
            _ => None,
        };
        KindListing::of(bucket, std::iter::once(of_platform).chain(of_tenants), place).await
    }
}

impl fmt::Display for MachinePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            Scope::Platform => self.id.fmt(f),
            Scope::Tenant(tenant) => write!(f, "{tenant}/{}", self.id),
        }
    }
}

impl FromStr for MachinePlace {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (scope, id) = match text.split_once('/') {
            Some((tenant, id)) => (Scope::Tenant(TenantId::parse(tenant)?), id),
            None => (Scope::Platform, text),
        };
        Ok(Self { scope, id: MachineId::parse(id)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = include_str!("../../fixtures/machine/v1/machine.json");
    const BY_HAND: &str = include_str!("../../fixtures/machine/v1/by_hand.json");

    fn place(text: &str) -> MachinePlace {
        text.parse().unwrap()
    }

    fn parse(text: &str) -> Result<Machine, Unreadable> {
        Machine::parse(&place("acme/5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10"), text.as_bytes())
    }

    #[test]
    fn golden_documents_parse_for_ever_and_are_written_as_they_were_read() {
        let machine = parse(GOLDEN).unwrap();
        assert_eq!(serde_json::to_string_pretty(&machine).unwrap(), GOLDEN.trim_end());
        assert_eq!((machine.role, machine.hint(), machine.hashes().len()), (Role::Admin, "x7Qa", 2));
        let by_hand = parse(BY_HAND).unwrap();
        assert_eq!((by_hand.role, by_hand.hint(), by_hand.allowed_cidrs.is_any()), (Role::Viewer, "", true));
    }

    #[test]
    fn what_is_no_machine_grants_nothing_and_says_why() {
        let changed = |from: &str, to: &str| parse(&BY_HAND.replace(from, to)).unwrap_err();
        assert_eq!(changed("viewer", "platform_viewer"), Unreadable::Field("role"));
        assert_eq!(changed("sha256:", "md5:"), Unreadable::Field("digest"));
        assert_eq!(changed("\"version\": 1", "\"version\": 2"), Unreadable::Version(2));
        for field in ["name", "role", "digest", "expiresAt"] {
            assert!(matches!(changed(field, "other"), Unreadable::Malformed { .. }), "{field} is needed");
        }
        let older = "\"olderTokens\": [OLDER, OLDER, OLDER, OLDER, OLDER], \"name\"";
        let digest = format!("sha256:{}", "0".repeat(64));
        let older =
            older.replace("OLDER", &format!("{{\"digest\": \"{digest}\", \"until\": \"2026-01-01T00:00:00Z\"}}"));
        assert_eq!(changed("\"name\"", &older), Unreadable::Field("olderTokens"));
    }

    #[test]
    fn a_token_is_accepted_until_it_ends_or_its_machine_does() {
        let at = |seconds| DateTime::<Utc>::UNIX_EPOCH + chrono::TimeDelta::seconds(seconds);
        let token = |text: &str| (Digest::of(text), Hint::default());
        let mut machine = Machine::new(Label::parse("ci").unwrap(), Role::Viewer, token("0"), at(100));
        assert!(machine.rotate(token("1"), at(0), at(50)) && machine.rotate(token("2"), at(10), at(30)));
        let until = |machine: &Machine, text: &str| machine.accepted_until(&Digest::of(text));
        let ends = ["0", "1", "2", "3"].map(|text| until(&machine, text));
        assert_eq!(ends, [Some(at(30)), Some(at(30)), Some(at(100)), None]);
        assert!(machine.rotate(token("3"), at(40), at(500)));
        assert_eq!(["0", "1", "2"].map(|text| until(&machine, text)), [None, None, Some(at(100))]);
    }

    #[test]
    fn a_place_is_one_text_both_ways() {
        for text in ["5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10", "acme/5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10"] {
            assert_eq!(place(text).to_string(), text);
        }
        for bad in
            ["", "acme", "acme/", "A/5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10", "../5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10"]
        {
            assert!(bad.parse::<MachinePlace>().is_err(), "{bad}");
        }
    }
}
