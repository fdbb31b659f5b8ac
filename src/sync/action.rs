//! What a change did, in the words of the audit.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::key::{ApiKey, InvalidId, KeyState};

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What was done to what.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum AuditAction {
            $($(#[$doc])* $name,)*
        }

        impl AuditAction {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word of the change log.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

actions! {
    /// A key was issued.
    KeyIssue = "key.issue",
    /// A key was issued for a secret that existed.
    KeyImport = "key.import",
    /// The settings of a key were changed.
    KeyUpdate = "key.update",
    /// A key got another secret.
    KeyRotate = "key.rotate",
    /// A key was revoked.
    KeyRevoke = "key.revoke",
    /// The record of a revoked key was removed: its retention is over.
    KeyPurge = "key.purge",
    /// A tenant was created.
    TenantCreate = "tenant.create",
    /// The settings of a tenant were changed.
    TenantUpdate = "tenant.update",
    /// A tenant was deleted.
    TenantDelete = "tenant.delete",
    /// A member got a role.
    MemberSet = "member.set",
    /// A member or an invitation was removed.
    MemberRemove = "member.remove",
    /// Somebody was invited.
    MemberInvite = "member.invite",
    /// A machine was made.
    MachineCreate = "machine.create",
    /// A machine was changed.
    MachineUpdate = "machine.update",
    /// A machine got another token.
    MachineRotate = "machine.rotate",
    /// A machine was removed.
    MachineRevoke = "machine.revoke",
    /// Somebody signed in.
    OperatorSignIn = "operator.sign_in",
    /// Somebody signed out, or ended a sign-in of their own.
    OperatorSignOut = "operator.sign_out",
    /// Somebody was disabled.
    OperatorDisable = "operator.disable",
    /// Somebody was let in again.
    OperatorEnable = "operator.enable",
    /// The sign-ins of somebody were ended.
    OperatorEndSessions = "operator.end_sessions",
    /// A node made a key that signs for operators.
    SignerAdd = "signer.add",
    /// A key that signs was dropped.
    SignerDrop = "signer.drop",
    /// The settings of a stream were changed.
    StreamUpdate = "stream.update",
    /// A stream was deleted.
    StreamDelete = "stream.delete",
    /// A version of a policy set was deployed.
    PolicySetDeploy = "policyset.deploy",
    /// An earlier version of a policy set was brought back.
    PolicySetRollback = "policyset.rollback",
    /// Somebody who was held by active mitigations was let go.
    MitigationRelease = "mitigation.release",
    /// It was asked whether a key allows something.
    KeyVerify = "key.verify",
    /// The audit was read.
    AuditRead = "audit.read",
    /// Somebody asked for events in SQL.
    QueryRun = "query.run",
    /// A document was changed by hand.
    ByHand = "document.by_hand",
}

impl AuditAction {
    /// What makes one state of a key out of another; nothing if they are the same.
    pub fn of_key(before: Option<&ApiKey>, after: &ApiKey) -> Option<Self> {
        Some(match before {
            None if after.own_secret => Self::KeyImport,
            None => Self::KeyIssue,
            Some(before) if before == after => return None,
            Some(before) if after.state == KeyState::Revoked && before.state != KeyState::Revoked => Self::KeyRevoke,
            Some(before) if before.digest != after.digest => Self::KeyRotate,
            Some(_) => Self::KeyUpdate,
        })
    }
}

impl fmt::Display for AuditAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AuditAction {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const RULE: InvalidId = InvalidId::new("an action", "one such as key.issue");
        Self::ALL.iter().copied().find(|action| action.as_str() == text).ok_or(RULE)
    }
}

impl Serialize for AuditAction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for AuditAction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
