//! Who may administer: people and machines, and their roles. No HTTP.
//!
//! 1. [`role`]: what each role may do, and where.  [`id`]: ids of people and invitations, and e-mail addresses.
//! 2. [`machine`]: the document of a machine.  [`machines`]: making, changing and recognising them.
//! 3. [`members`]: the document of the members of a tenant.  [`rules`]: who may change whose membership.
//!    [`memberships`]: setting, inviting and removing them.
//! 4. [`identity`]: what a provider says about somebody who signs in.
//! 5. [`checks`]: what is checked before a change.

pub mod checks;
pub mod id;
pub mod identity;
pub mod machine;
pub mod machines;
pub mod members;
pub mod memberships;
pub mod role;
pub mod rules;
#[cfg(test)]
mod tests;

pub use id::{Email, InvitationId, MembershipId, OperatorId};
pub use identity::{Identity, Mapping};
pub use machine::Machine;
pub use machines::{MachinePatch, Machines, NewMachine};
pub use members::{Invitation, Member, Members};
pub use memberships::{Grantee, MembersRequest, Memberships};
pub use role::{Permission, Role, Scope};
pub use rules::Caller;
