//! Who may administer: people and machines, and their roles. No HTTP.
//!
//! 1. [`role`]: what each role may do, and where.  [`id`]: ids of people and invitations, and e-mail addresses.
//! 2. [`machine`]: the document of a machine.  [`machines`]: making, changing and recognising them.
//! 3. [`members`]: the document of the members of a tenant.  [`rules`]: who may change whose membership.
//!    [`memberships`]: setting, inviting and removing them.  `owners`: a tenant keeps one.
//! 4. [`identity`]: what a provider says about somebody who signs in.  [`account`]: the document of somebody who has
//!    signed in.  [`accounts`]: who presents a token.  [`mod@sign_in`]: signing in.  [`endings`]: ending sign-ins,
//!    disabling.
//! 5. [`signer`]: the public half of a key that signs.  [`signers`]: the key of this process, and those of others.
//!    [`token`]: what they sign.
//! 6. [`rights`]: what somebody may do, from the roles that they have now.
//! 7. [`checks`]: what is checked before a change.

pub mod account;
pub mod accounts;
pub mod checks;
pub mod endings;
pub mod id;
pub mod identity;
pub mod machine;
pub mod machines;
pub mod members;
pub mod memberships;
mod owners;
pub mod rights;
pub mod role;
pub mod rules;
pub mod sign_in;
pub mod signer;
pub mod signers;
#[cfg(test)]
mod tests;
pub mod token;

pub use account::{Account, AccountState};
pub use accounts::Accounts;
pub use id::{Email, InvitationId, LoginId, MembershipId};
pub use identity::{Identity, Mapping};
pub use machine::Machine;
pub use machines::{MachinePatch, MachineRequest, Machines, NewMachine};
pub use members::{Invitation, Member, Members};
pub use memberships::{Grantee, MembersRequest, Memberships};
pub use rights::{Ceiling, Rights};
pub use role::{Permission, Role, Scope};
pub use rules::Caller;
pub use signer::Signer;
pub use signers::Signers;

pub use crate::key::OperatorId;
