//! Roles: what each may do, and where.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::key::{InvalidId, TenantId};

/// What an operator may do in a tenant, or on the whole platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads one tenant.
    Viewer,
    /// Verifies its keys too.
    Analyst,
    /// Issues, changes and revokes its keys too.
    Admin,
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
    /// Change the settings of streams.
    ManageStreams,
    /// Create, change, suspend and delete tenants, and delete streams.
    ManageTenants,
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
}

impl Permission {
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
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Analyst, Self::Admin, Self::PlatformViewer, Self::PlatformAdmin];

    /// The word of documents and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::Admin => "admin",
            Self::PlatformViewer => "platform_viewer",
            Self::PlatformAdmin => "platform_admin",
        }
    }

    /// Whether it is a role of the whole platform.
    pub fn is_of_platform(self) -> bool {
        matches!(self, Self::PlatformViewer | Self::PlatformAdmin)
    }

    /// Whether it can be given there: roles of a tenant in a tenant, those of the platform for all of it.
    pub fn fits(self, scope: &Scope) -> bool {
        self.is_of_platform() == (*scope == Scope::Platform)
    }

    /// Whether a machine with this role may do that, where the role holds. Machines never manage machines.
    pub fn may(self, permission: Permission) -> bool {
        match permission {
            Permission::ReadTenants | Permission::ReadSessions | Permission::ReadChanges => true,
            Permission::VerifyKeys => matches!(self, Self::Analyst | Self::Admin | Self::PlatformAdmin),
            Permission::ManageKeys | Permission::ManageStreams | Permission::EndSessions => {
                matches!(self, Self::Admin | Self::PlatformAdmin)
            }
            Permission::ReadMachines => matches!(self, Self::Admin | Self::PlatformViewer | Self::PlatformAdmin),
            Permission::ReadPlatform => self.is_of_platform(),
            Permission::ManageTenants | Permission::Sync => self == Self::PlatformAdmin,
            Permission::ManageMachines => false,
        }
    }
}

impl Scope {
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

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = InvalidId;

    /// Takes upper case too.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const RULE: InvalidId = InvalidId::new("a role", "viewer, analyst, admin, platform_viewer or platform_admin");
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
        }
        assert!("owner ".parse::<Role>().is_err());
    }
}
