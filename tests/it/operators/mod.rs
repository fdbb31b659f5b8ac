//! Who may administer beside the admin token.

mod machines;
mod memberships;
mod owners;
mod roles;
