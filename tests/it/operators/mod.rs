//! Who may administer beside the admin token.

mod machines;
mod roles;
