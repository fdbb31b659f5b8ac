//! Tests of members and of people who have signed in: rules and documents.

mod account;
mod members;
mod rules;

use chrono::DateTime;

use super::OperatorId;
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
