//! Who may administer beside the admin token.

mod away;
mod flows;
mod machine_moments;
mod machines;
mod member_documents;
mod memberships;
mod owners;
pub(crate) mod roles;
mod sessions;
mod tokens;
