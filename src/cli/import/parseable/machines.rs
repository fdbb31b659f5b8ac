//! Machines for the keys of Parseable whose holders manage it, each with a token of its own.
//!
//! The secret of Parseable cannot be the token: a token has a checksum and 256 bits from our own generator, which is
//! why a fast digest of it may open the admin plane. So every machine gets a new token, which is shown once.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::super::failure::FailureKind;
use super::super::super::{Client, Failure, Outcome};
use super::super::upload::{Row, Status};
use super::source::Managing;
use crate::key::{KeyName, TenantId};
use crate::operators::Role;

/// What was made, and what is said of each key.
pub(super) struct Made {
    /// The answers of the server, with the tokens.
    pub(super) machines: Vec<Value>,
    /// A row for each key, in order.
    pub(super) rows: Vec<Row>,
}

/// Makes a machine for each of these keys, unless one has its name. Never fails once one is made: its token would be
/// lost.
///
/// # Errors
/// When the machines of the tenant cannot be listed.
pub(super) fn make(client: &Client, tenant: &TenantId, managing: &[Managing], dry_run: bool) -> Outcome<Made> {
    let mut made = Made { machines: Vec::new(), rows: Vec::new() };
    if managing.is_empty() {
        return Ok(made);
    }
    let path = ["tenants", tenant.as_str(), "service-operators"];
    let there = match client.get(&path, &[]) {
        Ok(page) => named(&page),
        Err(failure) if failure.kind() == FailureKind::Refused => {
            let refused = |key: &Managing| Row::refused(tenant, &*key.source, failure.to_string());
            made.rows.extend(managing.iter().map(refused));
            return Ok(made);
        }
        Err(failure) => return Err(failure),
    };
    let mut taken = BTreeSet::new();
    for key in managing {
        let name = numbered(&key.name, &taken);
        let (result, note) = if there.contains(&name) {
            (Status::AlreadyThere, "a machine has this name: keyloft service rotate gives it another token".to_owned())
        } else if dry_run {
            (Status::WouldImport, NOTE.to_owned())
        } else {
            match client.post(&path, &json!({ "name": name, "role": Role::Admin })) {
                Ok(machine) => {
                    made.machines.push(machine);
                    (Status::Imported, NOTE.to_owned())
                }
                Err(failure) => fate(&failure),
            }
        };
        made.rows.push(Row {
            key_name: Some(name.clone()),
            result,
            // Its program needs the new token before the old secret may go.
            barred: matches!(result, Status::Imported | Status::AlreadyThere),
            ..Row::refused(tenant, &*key.source, note)
        });
        taken.insert(name);
    }
    Ok(made)
}

const NOTE: &str = "a machine with a new token, for 90 days: it manages there";

fn fate(failure: &Failure) -> (Status, String) {
    let result = if failure.kind() == FailureKind::Refused { Status::Refused } else { Status::Left };
    (result, failure.to_string())
}

fn named(page: &Value) -> BTreeSet<String> {
    let items = page["items"].as_array().map_or(&[][..], Vec::as_slice);
    items.iter().filter_map(|machine| machine["name"].as_str().map(str::to_owned)).collect()
}

/// The name, with a number when an earlier key of the same source has it: `all (2)`.
fn numbered(name: &KeyName, taken: &BTreeSet<String>) -> String {
    let with = |number: usize| {
        let end = format!(" ({number})");
        let kept = KeyName::MAX_CHARS.saturating_sub(end.len());
        name.as_str().chars().take(kept).collect::<String>() + &end
    };
    let names = std::iter::once(name.as_str().to_owned()).chain((2..).map(with));
    names.take(taken.len() + 1).find(|name| !taken.contains(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_of_one_name_become_two_machines_in_every_run() {
        let long = "x".repeat(128);
        let mut taken = BTreeSet::new();
        for (name, expected) in [("all", "all"), ("all", "all (2)"), ("all", "all (3)"), (&long, &long)] {
            let name = numbered(&KeyName::parse(name).unwrap(), &taken);
            assert_eq!(name, expected);
            taken.insert(name);
        }
        let next = numbered(&KeyName::parse(&long).unwrap(), &taken);
        assert!(next.chars().count() == 128 && next.ends_with("x (2)"), "{next}");
    }
}
