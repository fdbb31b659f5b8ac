//! Who may change whose membership. Pure: what is judged is the document that the change replaces, so it does not
//! matter on which nodes others change it at the same time.

use super::OperatorId;
use super::members::Members;
use super::role::Role;
use crate::error::{Error, ErrorKind};

/// Who asks for a change of members. A machine never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// The holder of the admin token, and in a tenant also an admin of the platform: may do everything.
    Platform,
    /// Somebody with the role that the replaced document says, or with one that no document says.
    Member {
        /// Who.
        id: OperatorId,
        /// The role by a group of the provider, or by the configuration.
        mapped: Option<Role>,
    },
}

impl Caller {
    /// Whether the document alone does not let a member give this role.
    pub(super) fn is_mapped(self, members: &Members, role: Role) -> bool {
        match self {
            Self::Platform => false,
            Self::Member { id, .. } => members.role(&id).and_then(Role::ceiling).is_none_or(|ceiling| role > ceiling),
        }
    }
}

/// What happens to one member, or to one invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Which member; `None` for an invitation.
    pub member: Option<OperatorId>,
    /// The role before; `None` when there is none.
    pub from: Option<Role>,
    /// The role afterwards; `None` when it is removed.
    pub to: Option<Role>,
}

/// Why a change is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The caller's role does not go so far.
    Role,
    /// The tenant would be left without an owner.
    LastOwner,
}

/// Judges a change of `members`.
///
/// 1. A member gives and takes roles up to the [ceiling](Role::ceiling) of its own: both the role before and the role
///    afterwards.
/// 2. A member lowers its own role, or leaves, whatever that role is; it never raises it.
/// 3. A tenant that has an owner keeps one who may sign in, as `is_active` says. An invited owner is none yet. Only
///    [`Caller::Platform`] may change that, by `force`.
///
/// # Errors
/// The rule that is broken.
pub fn judge(
    members: &Members,
    caller: Caller,
    change: Change,
    force: bool,
    is_active: impl Fn(&OperatorId) -> bool,
) -> Result<(), Refusal> {
    if let Caller::Member { id: own, mapped } = caller {
        let role = members.role(&own).max(mapped).ok_or(Refusal::Role)?;
        let is_allowed = match change.member {
            Some(member) if member == own => change.to <= change.from,
            _ => role.ceiling().is_some() && change.from.max(change.to) <= role.ceiling(),
        };
        if !is_allowed {
            return Err(Refusal::Role);
        }
    }
    let is_last = |member: OperatorId| !members.owners().any(|owner| owner != member && is_active(&owner));
    let ends = change.from == Some(Role::Owner) && change.to != Some(Role::Owner);
    let is_forced = force && caller == Caller::Platform;
    if ends && !is_forced && change.member.is_some_and(is_last) {
        return Err(Refusal::LastOwner);
    }
    Ok(())
}

impl Refusal {
    /// The same as an error of the front door.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Role => Error::new(ErrorKind::RoleNotAllowed, "your role does not allow this change of members"),
            Self::LastOwner => Error::new(ErrorKind::LastOwner, "the tenant would be left without an owner"),
        }
    }
}
