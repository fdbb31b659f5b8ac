//! Who may change whose membership. Pure: what is judged is the document that the change replaces, so it does not
//! matter on which nodes others change it at the same time.

use super::OperatorId;
use super::members::Members;
use super::role::Role;
use crate::error::{Error, ErrorKind};

/// Who asks for a change of members. A machine never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// The holder of the admin token, and in a tenant also an admin of the platform: may do everything, but an admin
    /// does not raise their own role there.
    Platform(Option<OperatorId>),
    /// Somebody with the role that the replaced document says, or with one that no document says.
    Member {
        /// Who.
        id: OperatorId,
        /// The role by a group of the provider, or by the configuration.
        mapped: Option<Role>,
    },
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
    let is_allowed = match (caller, change.member) {
        (Caller::Platform(Some(own)) | Caller::Member { id: own, .. }, Some(member)) if member == own => {
            let is_known = matches!(caller, Caller::Platform(_)) || role_of(members, caller).is_some();
            is_known && change.to <= change.from
        }
        (Caller::Platform(_), _) => true,
        (Caller::Member { .. }, _) => {
            let ceiling = role_of(members, caller).and_then(Role::ceiling);
            ceiling.is_some() && change.from.max(change.to) <= ceiling
        }
    };
    if !is_allowed {
        return Err(Refusal::Role);
    }
    let is_last = |member: OperatorId| !members.owners().any(|owner| owner != member && is_active(&owner));
    let ends = change.from == Some(Role::Owner) && change.to != Some(Role::Owner);
    let is_forced = force && matches!(caller, Caller::Platform(_));
    if ends && !is_forced && change.member.is_some_and(is_last) {
        return Err(Refusal::LastOwner);
    }
    Ok(())
}

/// The role of a member who asks.
fn role_of(members: &Members, caller: Caller) -> Option<Role> {
    match caller {
        Caller::Platform(_) => None,
        Caller::Member { id, mapped } => members.role(&id).max(mapped),
    }
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
