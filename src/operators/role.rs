//! Roles: what each may do, and where.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::key::{InvalidId, TenantId};

/// What an operator may do in a tenant, or on the whole platform. In order of rank, those of a tenant first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads one tenant.
    Viewer,
    /// Verifies its keys and asks SQL too.
    Analyst,
    /// Issues, changes and revokes its keys too, and manages its viewers and analysts.
    Admin,
    /// Manages its admins and owners too. For people only.
    Owner,
    /// Reads everything.
    PlatformViewer,
    /// Does everything.
    PlatformAdmin,
}

/// Where a role holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// In all tenants, and for what belongs to none.
    Platform,
    /// In one tenant.
    Tenant(TenantId),
}

/// What an admin route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// See tenants, keys and their usage.
    ReadTenants,
    /// Verify API keys.
    VerifyKeys,
    /// Issue, change, rotate and revoke keys.
    ManageKeys,
    /// See traffic policies and their results.
    ReadPolicies,
    /// Try traffic policies out.
    DraftPolicies,
    /// Deploy traffic policies.
    ManagePolicies,
    /// Change the settings of streams.
    ManageStreams,
    /// Create, change, suspend and delete tenants, and delete streams.
    ManageTenants,
    /// Ask SQL.
    RunQueries,
    /// See running queries.
    ReadSessions,
    /// End running queries.
    EndSessions,
    /// See whether a change has reached all nodes.
    ReadChanges,
    /// See nodes and unreadable documents.
    ReadPlatform,
    /// Reconcile a node with the bucket.
    Sync,
    /// See machines.
    ReadMachines,
    /// Make, change and remove machines.
    ManageMachines,
    /// Read the audit.
    ReadAudit,
    /// See who is a member.
    ReadMembers,
    /// Set, invite and remove members, as far as the [rules](super::rules) go.
    ManageMembers,
    /// See who has signed in, and the keys that sign for them.
    ReadOperators,
    /// Disable operators, end their sign-ins and drop signers.
    ManageOperators,
    /// See who one is.
    ReadOwn,
    /// Sign out, and end sign-ins of one's own.
    ManageOwn,
}

impl Permission {
    /// Whether it is about who may administer. Machines never have such a permission, whatever their role.
    pub fn is_for_people(self) -> bool {
        matches!(self, Self::ManageMachines | Self::ManageMembers | Self::ManageOperators | Self::ManageOwn)
    }

    /// Whether it is about oneself: it takes no role.
    pub fn is_own(self) -> bool {
        matches!(self, Self::ReadOwn | Self::ManageOwn)
    }

    /// Whether a route that names no tenant shows each operator what belongs to the tenants of its role.
    pub fn is_shared(self) -> bool {
        matches!(
            self,
            Self::ReadTenants | Self::VerifyKeys | Self::ReadSessions | Self::EndSessions | Self::ReadChanges
        )
    }
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Viewer, Self::Analyst, Self::Admin, Self::Owner, Self::PlatformViewer, Self::PlatformAdmin];

    /// The word of documents and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::Admin => "admin",
            Self::Owner => "owner",
            Self::PlatformViewer => "platform_viewer",
            Self::PlatformAdmin => "platform_admin",
        }
    }

    /// Whether it is a role of the whole platform.
    pub fn is_of_platform(self) -> bool {
        matches!(self, Self::PlatformViewer | Self::PlatformAdmin)
    }

    /// Whether a member can have it there: roles of a tenant in a tenant, those of the platform for all of it.
    pub fn fits(self, scope: &Scope) -> bool {
        self.is_of_platform() == (*scope == Scope::Platform)
    }

    /// Whether a machine can have it there. Owners are people.
    pub fn fits_machine(self, scope: &Scope) -> bool {
        self.fits(scope) && self != Self::Owner
    }

    /// Reads a role that a machine can have somewhere.
    ///
    /// # Errors
    /// [`InvalidId`] for any other text.
    pub fn parse_for_machine(text: &str) -> Result<Self, InvalidId> {
        const RULE: InvalidId =
            InvalidId::new("the role of a machine", "viewer, analyst, admin, platform_viewer or platform_admin");
        text.parse().ok().filter(|role| *role != Self::Owner).ok_or(RULE)
    }

    /// Whether it allows that, where it holds. To machines some things are never allowed: see
    /// [`Permission::is_for_people`].
    pub fn may(self, permission: Permission) -> bool {
        match permission {
            Permission::ReadTenants
            | Permission::ReadSessions
            | Permission::ReadChanges
            | Permission::ReadMembers
            | Permission::ReadPolicies
            // Also of a viewer, who may leave: the rules decide on each change.
            | Permission::ManageMembers
            | Permission::ReadOwn
            | Permission::ManageOwn => true,
            Permission::VerifyKeys | Permission::RunQueries | Permission::DraftPolicies => {
                self >= Self::Analyst && self != Self::PlatformViewer
            }
            Permission::ManageKeys
            | Permission::ManagePolicies
            | Permission::ManageStreams
            | Permission::EndSessions => matches!(self, Self::Admin | Self::Owner | Self::PlatformAdmin),
            Permission::ReadMachines | Permission::ReadAudit => self >= Self::Admin,
            Permission::ReadPlatform | Permission::ReadOperators => self.is_of_platform(),
            Permission::ManageTenants | Permission::Sync | Permission::ManageOperators => self == Self::PlatformAdmin,
            // Those of roles up to the ceiling.
            Permission::ManageMachines => self.ceiling().is_some(),
        }
    }

    /// Whether it shows the e-mail addresses of members.
    pub fn sees_addresses(self) -> bool {
        self >= Self::Admin
    }

    /// The highest role that a member with this one gives to others and takes from them; `None` when it does neither.
    pub fn ceiling(self) -> Option<Self> {
        match self {
            Self::Viewer | Self::Analyst | Self::PlatformViewer => None,
            Self::Admin => Some(Self::Analyst),
            Self::Owner | Self::PlatformAdmin => Some(self),
        }
    }
}

impl Scope {
    const PLATFORM: &'static str = "platform";
    const TENANTS: &'static str = "tenants/";

    /// The tenant; none for the platform.
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Platform => None,
            Self::Tenant(tenant) => Some(tenant),
        }
    }

    /// Whether a role that holds here holds in a tenant.
    pub fn covers(&self, tenant: &TenantId) -> bool {
        self.tenant().is_none_or(|own| own == tenant)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform => f.write_str(Self::PLATFORM),
            Self::Tenant(tenant) => write!(f, "{}{tenant}", Self::TENANTS),
        }
    }
}

impl FromStr for Scope {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const RULE: InvalidId = InvalidId::new("a scope", "platform, or tenants/ and the id of a tenant");
        match text.strip_prefix(Self::TENANTS) {
            Some(tenant) => TenantId::parse(tenant).map(Self::Tenant),
            None if text == Self::PLATFORM => Ok(Self::Platform),
            None => Err(RULE),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = InvalidId;

    /// Takes upper case too.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const RULE: InvalidId =
            InvalidId::new("a role", "viewer, analyst, admin, owner, platform_viewer or platform_admin");
        Self::ALL.into_iter().find(|role| role.as_str().eq_ignore_ascii_case(text)).ok_or(RULE)
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_one_word_both_ways_and_fits_where_it_belongs() {
        let tenant = Scope::Tenant(TenantId::default());
        for role in Role::ALL {
            assert_eq!(role.as_str().to_uppercase().parse(), Ok(role));
            assert_ne!(role.fits(&tenant), role.fits(&Scope::Platform));
            assert_eq!(role.fits_machine(&tenant), role.fits(&tenant) && role != Role::Owner);
        }
        assert!("owner ".parse::<Role>().is_err());
    }

    #[test]
    fn a_scope_is_one_text_both_ways() {
        for text in ["platform", "tenants/platform", "tenants/default"] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        for bad in ["", "default", "tenants/", "tenants/A", "tenants/../x", "platform/"] {
            assert!(bad.parse::<Scope>().is_err(), "{bad}");
        }
    }

    #[test]
    fn whoever_gives_roles_has_at_least_the_rank_of_what_is_given() {
        for role in Role::ALL {
            assert!(role.ceiling() <= Some(role));
            assert!(role.ceiling().is_none_or(|ceiling| ceiling.is_of_platform() == role.is_of_platform()));
        }
    }

    #[test]
    fn a_higher_role_may_whatever_a_lower_one_may() {
        for permission in [
            Permission::ReadTenants,
            Permission::VerifyKeys,
            Permission::ManageKeys,
            Permission::ManageStreams,
            Permission::ManageTenants,
            Permission::RunQueries,
            Permission::ReadSessions,
            Permission::EndSessions,
            Permission::ReadChanges,
            Permission::ReadPlatform,
            Permission::Sync,
            Permission::ReadMachines,
            Permission::ManageMachines,
            Permission::ReadAudit,
            Permission::ReadMembers,
            Permission::ManageMembers,
            Permission::ReadOperators,
            Permission::ManageOperators,
            Permission::ReadOwn,
            Permission::ManageOwn,
        ] {
            for roles in [&Role::ALL[..4], &Role::ALL[4..]] {
                assert!(roles.is_sorted_by_key(|role| role.may(permission)), "{permission:?}");
            }
            assert!(!Role::Owner.may(permission) || Role::PlatformAdmin.may(permission), "{permission:?}");
        }
    }
}
