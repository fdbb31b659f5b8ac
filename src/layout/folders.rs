//! The folders of objects, and names in them that are parsed more cheaply than all.

use chrono::NaiveDate;
use relative_path::{RelativePath, RelativePathBuf};
use uuid::Uuid;

use super::arrival::{ArrivalTime, events_of_day};
use super::{
    API_KEY_NAMES, API_KEYS, ARCHIVE, AUDIT, LOCK, LOG, MACHINES, MITIGATIONS, NODES, OPERATORS, POLICIES, PROBE,
    SHEETS, SIGNERS, SNAPSHOTS, STREAMS, USAGE, keyloft, root, settings,
};
use crate::key::{KeyId, MachineId, NameHash, StreamName, TenantId};

/// The folder of a tenant's key documents.
pub fn keys(tenant: &TenantId) -> RelativePathBuf {
    settings(tenant).join(API_KEYS)
}

/// Parses the name of a document in `folder`, one of [`keys`]. Cheaper than [`ObjectName::parse`], for a million names.
pub fn key_in(folder: &RelativePath, path: &RelativePath) -> Option<KeyId> {
    let file = path.as_str().strip_prefix(folder.as_str())?.strip_prefix('/')?;
    KeyId::parse(file.strip_suffix(".json")?).ok()
}

/// Parses the name of an object of events in `folder`, which is the [`day`] of `date`: when they arrived, and its id.
/// Cheaper than [`ObjectName::parse`], for all names of a day.
pub fn events_in(folder: &RelativePath, date: NaiveDate, path: &RelativePath) -> Option<(ArrivalTime, Uuid)> {
    events_of_day(date, path.as_str().strip_prefix(folder.as_str())?.strip_prefix('/')?)
}

/// The folder of the claims on one key name.
pub fn name_claims(tenant: &TenantId, name: &NameHash) -> RelativePathBuf {
    settings(tenant).join(API_KEY_NAMES).join(name.to_string())
}

/// Whether an object belongs to all tenants together.
pub fn is_of_platform(object: &str) -> bool {
    RelativePath::new(object).starts_with(keyloft(""))
}

/// The folder of a tenant's machines, or of those of the platform.
pub fn machines(tenant: Option<&TenantId>) -> RelativePathBuf {
    tenant.map_or_else(|| keyloft(MACHINES), |tenant| settings(tenant).join(MACHINES))
}

/// The folder of the versions of a tenant's policy set.
pub fn policy_sets(tenant: &TenantId) -> RelativePathBuf {
    settings(tenant).join(POLICIES)
}

/// The folder of those who have signed in.
pub fn accounts() -> RelativePathBuf {
    keyloft(OPERATORS)
}

/// The folder of the keys that sign for operators.
pub fn signers() -> RelativePathBuf {
    keyloft(SIGNERS)
}

pub(super) fn parse_machine(file: &str) -> Option<MachineId> {
    MachineId::parse(file.strip_suffix(".json")?).ok()
}

/// The folder of the change log.
pub fn log() -> RelativePathBuf {
    keyloft(LOG)
}

/// The folder of active mitigations.
pub fn mitigations() -> RelativePathBuf {
    keyloft(MITIGATIONS)
}

/// The folder of the history of the change log.
pub fn history() -> RelativePathBuf {
    keyloft(AUDIT)
}

/// The folder of nodes.
pub fn nodes() -> RelativePathBuf {
    keyloft(NODES)
}

/// The folder of the snapshots; each has a folder in it, named by its number.
pub fn snapshots() -> RelativePathBuf {
    keyloft(SNAPSHOTS)
}

/// The folder of usage segments.
pub fn usage_segments() -> RelativePathBuf {
    keyloft(USAGE).join(SHEETS)
}

/// The folder of the pieces of the archive of usage.
pub fn usage_archive() -> RelativePathBuf {
    keyloft(USAGE).join(ARCHIVE)
}

/// The folder of probes of the store.
pub fn probes() -> RelativePathBuf {
    keyloft(PROBE)
}

/// The folder of a tenant's streams.
pub fn streams(tenant: &TenantId) -> RelativePathBuf {
    root(tenant).join(STREAMS)
}

/// The folder of one stream.
pub fn stream_folder(tenant: &TenantId, stream: &StreamName) -> RelativePathBuf {
    streams(tenant).join(stream.as_str())
}

/// The folder of one day of a stream.
pub fn day(tenant: &TenantId, stream: &StreamName, date: NaiveDate) -> RelativePathBuf {
    stream_folder(tenant, stream).join(format!("date={}", date.format("%Y-%m-%d")))
}

/// Reads the last segment of a day's folder back.
pub fn parse_day(segment: &str) -> Option<NaiveDate> {
    let text = segment.strip_prefix("date=")?;
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|date| date.format("%Y-%m-%d").to_string() == text)
}

/// Whether a folder is that of a stream, or in it.
pub fn is_of_stream(folder: &RelativePath) -> bool {
    let mut parts = folder.as_str().split('/');
    let is_below = |first: Option<&str>| first == Some(STREAMS);
    (is_below(parts.next()) || is_below(parts.next())) && parts.next().is_some()
}

/// Where Parseable keeps its metadata, users and API keys among them: `.parseable/.parseable.json`, and
/// `<tenant>/.parseable.json` for a tenant (its `put_parseable_metadata`, 2026).
pub fn parseable_metadata(tenant: &TenantId) -> RelativePathBuf {
    let folder = if tenant.is_default() { RelativePathBuf::from(".parseable") } else { root(tenant) };
    folder.join(".parseable.json")
}

/// The file that processes sharing one local directory lock around a compare-and-swap.
pub fn lock_file() -> RelativePathBuf {
    keyloft(LOCK)
}
