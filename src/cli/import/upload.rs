//! Sends the digests of parsed keys to the server, and reports the outcome for each key.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::super::failure::FailureKind;
use super::super::output::{self, Column};
use super::super::{Client, ClientArgs, Failure, Outcome};
use super::parsed::ParsedKey;
use crate::key::{KeyType, TenantId, own};

/// The outcome for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Status {
    /// It was imported.
    Imported,
    /// It would be imported.
    WouldImport,
    /// A key already has its secret.
    AlreadyThere,
    /// It cannot be imported.
    Refused,
    /// The server did not decide: the next run tries again.
    Left,
}

/// A line of the report.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub(super) source: String,
    pub(super) tenant: TenantId,
    pub(super) key_name: Option<String>,
    pub(super) key_type: Option<KeyType>,
    pub(super) result: Status,
    pub(super) key_id: Option<String>,
    pub(super) note: Option<String>,
    /// The key with its secret is refused at present, so its source must not be removed.
    #[serde(skip)]
    pub(super) barred: bool,
}

impl Row {
    /// A row for what is no key, or cannot be imported.
    pub(super) fn refused(tenant: &TenantId, source: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            tenant: tenant.clone(),
            key_name: None,
            key_type: None,
            result: Status::Refused,
            key_id: None,
            note: Some(why.into()),
            barred: false,
        }
    }

    /// A row for what the server did not decide.
    pub(super) fn left(tenant: &TenantId, source: impl Into<String>, why: impl Into<String>) -> Self {
        Self { result: Status::Left, ..Self::refused(tenant, source, why) }
    }

    fn of(tenant: &TenantId, found: &ParsedKey, result: Status, why: Option<String>) -> Self {
        Self {
            source: found.source.clone(),
            tenant: tenant.clone(),
            key_name: Some(found.name.to_string()),
            key_type: Some(found.key_type),
            result,
            key_id: None,
            note: why.or_else(|| found.note.clone()),
            barred: false,
        }
    }
}

const COLUMNS: &[Column] = &[
    ("SOURCE", "source"),
    ("NAME", "keyName"),
    ("TYPE", "keyType"),
    ("RESULT", "result"),
    ("KEY ID", "keyId"),
    ("NOTE", "note"),
];

/// Machines whose tokens are shown.
const TOKENS: &[Column] =
    &[("MACHINE", "id"), ("TENANT", "tenant"), ("NAME", "name"), ("EXPIRES", "expiresAt"), ("TOKEN", "token")];

/// Imports keys in one request. Returns a row for each, in order.
pub(super) fn upload(client: &Client, tenant: &TenantId, found: &[ParsedKey], dry_run: bool) -> Outcome<Vec<Row>> {
    let mut rows = Vec::with_capacity(found.len());
    let mut bodies = Vec::new();
    // The rows that wait for an answer, and those of keys that share their secret with one of these.
    let (mut asked, mut shared) = (Vec::new(), Vec::new());
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    for (at, key) in found.iter().enumerate() {
        rows.push(Row::of(tenant, key, Status::Left, None));
        let (digest, hint) = match own::judge(&key.secret, key.key_type) {
            Ok(kept) => kept,
            Err(rule) => {
                rows[at] =
                    Row::of(tenant, key, Status::Refused, Some(rule.to_string().replace("apiKey", "the secret")));
                continue;
            }
        };
        if let Some(&one) = first.get(&digest.to_document()) {
            if found[one].key_type == key.key_type {
                shared.push((at, one));
            } else {
                let why = format!("it shares its secret with {}, which is of the other type", found[one].source);
                rows[at] = Row::of(tenant, key, Status::Refused, Some(why));
            }
            continue;
        }
        first.insert(digest.to_document(), at);
        asked.push(at);
        bodies.push(json!({
            "keyName": key.name,
            "keyType": key.key_type,
            "metadata": key.metadata,
            "digest": digest.to_document(),
            "hint": hint.as_str(),
            "ownSecret": !key.secret.starts_with(key.key_type.prefix()),
        }));
    }
    let (path, body) = (["tenants", tenant.as_str(), "apikeys", "apply"], json!({ "keys": bodies, "moveIn": true }));
    let parameters = [("dryRun", dry_run.to_string())];
    if !asked.is_empty() {
        match client.post_many(&path, &parameters, &body) {
            Ok(answer) => take_in(&mut rows, &asked, &answer, dry_run)?,
            Err(failure) if failure.kind() == FailureKind::Refused => {
                for &at in &asked {
                    rows[at] = Row::of(tenant, &found[at], Status::Refused, Some(failure.to_string()));
                }
            }
            Err(failure) => return Err(failure),
        }
    }
    for (at, one) in shared {
        let result = match rows[one].result {
            Status::Imported | Status::WouldImport => Status::AlreadyThere,
            other => other,
        };
        let why = format!("it shares its secret with {}", found[one].source);
        let (key_id, barred) = (rows[one].key_id.clone(), rows[one].barred);
        rows[at] = Row { key_id, barred, ..Row::of(tenant, &found[at], result, Some(why)) };
    }
    Ok(rows)
}

fn take_in(rows: &mut [Row], asked: &[usize], answer: &Value, dry_run: bool) -> Outcome {
    let list = |field: &str| answer[field].as_array().map_or(&[][..], Vec::as_slice);
    let (plan, results) = (list("plan"), if dry_run { list("plan") } else { list("results") });
    if plan.len() != asked.len() || results.len() != asked.len() {
        return Err(Failure::failed("the answer is of another length: is this a Keyloft server?"));
    }
    for ((&at, planned), item) in asked.iter().zip(plan).zip(results) {
        let (row, text) = (&mut rows[at], |field: &str| item[field].as_str().map(str::to_owned));
        row.key_id = text("keyId");
        let is_type = planned["keyType"].as_str().unwrap_or_default();
        let is_other_type = row.key_type.is_some_and(|wanted| wanted.as_str() != is_type);
        let is_elsewhere = planned["tenant"].is_string();
        row.result = match (item["action"].as_str(), item["ok"] == true || dry_run) {
            // Its clients would be refused here.
            (Some("keep"), _) if is_elsewhere || is_other_type || planned["state"] == "revoked" => Status::Refused,
            (Some("keep"), _) => Status::AlreadyThere,
            (_, true) if dry_run => Status::WouldImport,
            (_, true) => Status::Imported,
            _ if matches!(item["code"].as_str(), Some("store_unavailable" | "store_not_safe")) => Status::Left,
            _ => Status::Refused,
        };
        row.key_name = text("keyName");
        row.barred = planned["tenant"].is_null() && matches!(planned["state"].as_str(), Some("revoked" | "disabled"));
        row.note = match (planned["tenant"].as_str(), planned["state"].as_str()) {
            (Some(tenant), _) => Some(format!("a key of tenant {tenant} has its secret")),
            (_, Some(state @ ("revoked" | "disabled"))) => Some(format!("that key is {state}")),
            _ if is_other_type => Some(format!("that key is for {is_type}")),
            _ => text("detail").or_else(|| row.note.take()),
        };
    }
    Ok(())
}

/// Shows the rows, and machines that were made with their tokens, which are shown once.
pub(super) fn show(args: &ClientArgs, rows: &[Row], removed: usize, machines: &[Value]) -> Outcome {
    let text = shown(args, rows, removed, machines);
    if machines.is_empty() {
        return output::print(&text);
    }
    output::print_once(&text)
        .map_err(|failure| failure.and("the tokens of new machines are lost: keyloft service rotate gives them others"))
}

fn shown(args: &ClientArgs, rows: &[Row], removed: usize, machines: &[Value]) -> String {
    let items: Vec<Value> = rows.iter().map(|row| json!(row)).collect();
    if args.json {
        let mut report = json!({ "items": items, "originalsRemoved": removed });
        if !machines.is_empty() {
            report["machines"] = json!(machines);
        }
        return output::json(&report);
    }
    let gone = if removed > 0 { format!(" Originals removed: {removed}.") } else { String::new() };
    let table = if items.is_empty() { String::new() } else { output::table(COLUMNS, &items) + "\n\n" };
    let tokens = if machines.is_empty() {
        String::new()
    } else {
        let tokens = output::table(TOKENS, machines);
        format!("\n\n{tokens}\n\nKeep these tokens now: they are not shown again.")
    };
    format!("{table}{}{gone}{tokens}", summary(rows))
}

fn summary(rows: &[Row]) -> String {
    let count = |fate: Status| rows.iter().filter(|row| row.result == fate).count();
    let said = [
        (Status::Imported, "imported"),
        (Status::WouldImport, "to import"),
        (Status::AlreadyThere, "already there"),
        (Status::Refused, "refused"),
        (Status::Left, "left"),
    ];
    let parts: Vec<_> = said
        .into_iter()
        .map(|(fate, words)| (count(fate), words))
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
    if parts.is_empty() { "No keys were found.".to_owned() } else { format!("{}.", parts.join(", ")) }
}

/// Whether every key was imported.
pub(super) fn judge(rows: &[Row]) -> Outcome {
    let count = |fate: Status| rows.iter().filter(|row| row.result == fate).count();
    match (count(Status::Left), count(Status::Refused)) {
        (0, 0) => Ok(()),
        (0, refused) => Err(Failure::refused(format!("{refused} of {} were refused", rows.len()))),
        (left, _) => Err(Failure::unavailable(format!("{left} are left: run the same command again"))),
    }
}
