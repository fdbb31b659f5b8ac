//! Who may administer beside the admin token.

mod machines;
mod member_documents;
mod memberships;
mod owners;
mod roles;
