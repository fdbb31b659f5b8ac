//! Tests of members: their rules and their document.

mod members;
mod rules;

use chrono::DateTime;

use super::id::OperatorId;
use super::members::Members;
use super::role::Role;
use crate::key::Actor;

/// Somebody.
fn id(number: usize) -> OperatorId {
    OperatorId::of("https://id.example", &number.to_string()).unwrap()
}

/// A document of these members.
fn with(roles: impl IntoIterator<Item = (OperatorId, Role)>) -> Members {
    let mut members = Members::default();
    roles.into_iter().for_each(|(id, role)| members.set(id, role, &Actor::AdminToken, DateTime::UNIX_EPOCH));
    members
}
