//! Every object name of the system, built here and parsed back here, and nowhere else.
//!
//! The objects of the default tenant stand at the root of the store, those of every other tenant under `<tenant>/`.
//! Identities are validated types, so no name can leave its tenant's folder.
//!
//! [`arrival`]: the time of arrival in the names of event objects.  `folders`: the folders of objects.
//! `ours`: the objects of all tenants, parsed back.

pub mod arrival;
mod folders;
mod ours;
#[cfg(test)]
mod tests;

use chrono::{DateTime, NaiveDate, Utc};
use relative_path::{RelativePath, RelativePathBuf};
use uuid::Uuid;

use self::arrival::events_of_day;
pub use self::arrival::{ArrivalTime, Minute, events_file};
use self::folders::parse_machine;
pub use self::folders::*;
use crate::key::{KeyId, MachineId, NameHash, NodeId, OperatorId, SignerId, StreamName, TenantId};

const SETTINGS: &str = ".settings";
const API_KEYS: &str = "apikeys";
const API_KEY_NAMES: &str = "apikeys_names";
const TENANT: &str = "tenant.json";
const STREAMS: &str = "streams";
const SCHEMA: &str = "schema.json";
const MANIFEST: &str = "manifest.json";
const MERGED: &str = "merged";
const KEYLOFT: &str = "keyloft";
const ADMIN: &str = "admin.json";
const LOCK: &str = "lock";
const LOG: &str = "log";
const NODES: &str = "nodes";
const PROBE: &str = "probe";
const SNAPSHOTS: &str = "snapshots";
const USAGE: &str = "usage";
const SHEETS: &str = "sheets";
const ARCHIVE: &str = "archive";
const MACHINES: &str = "service_operators";
const AUDIT: &str = "audit";
const AUDIT_STREAM: &str = "stream.json";
const MEMBERS: &str = "members.json";
const OPERATORS: &str = "operators";
const SIGNERS: &str = "signers";
const POLICIES: &str = "policies";
const POLICY_SECRET: &str = "policy-secret.json";
const MITIGATIONS: &str = "mitigations";

/// An object of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectName {
    /// `<T>.settings/apikeys/<uuid>.json`: one key, the source of truth.
    Key {
        /// The tenant of the key.
        tenant: TenantId,
        /// Which key.
        key_id: KeyId,
    },
    /// `<T>.settings/tenant.json`: the tenant's own record.
    Tenant {
        /// Which tenant.
        tenant: TenantId,
    },
    /// `<T>streams/<stream>/schema.json`: the fields of a stream.
    Schema {
        /// The tenant of the stream.
        tenant: TenantId,
        /// Which stream.
        stream: StreamName,
    },
    /// `<T>streams/<stream>/date=YYYY-MM-DD/<HHMM>-<uuid>.parquet`: events that arrived in that minute (UTC). In older
    /// names, without `<HHMM>-`, on that day.
    Events {
        /// The tenant of the stream.
        tenant: TenantId,
        /// Which stream.
        stream: StreamName,
        /// When all of them arrived.
        arrived: ArrivalTime,
        /// Unique among all.
        id: Uuid,
    },
    /// `<T>streams/<stream>/date=YYYY-MM-DD/manifest.json`: what the events of that day consist of.
    Manifest {
        /// The tenant of the stream.
        tenant: TenantId,
        /// Which stream.
        stream: StreamName,
        /// Which day.
        date: NaiveDate,
    },
    /// `<T>streams/<stream>/date=YYYY-MM-DD/merged/<uuid>.parquet`: events of that day, merged from other objects.
    Merged {
        /// The tenant of the stream.
        tenant: TenantId,
        /// Which stream.
        stream: StreamName,
        /// Which day.
        date: NaiveDate,
        /// Unique among all.
        id: Uuid,
    },
    /// `<T>.settings/apikeys_names/<hash>/<gen:020>.json`: a claim on a key name.
    NameClaim {
        /// The tenant of the name.
        tenant: TenantId,
        /// Which name.
        name: NameHash,
        /// Counted from 1; the highest one holds the name.
        generation: u64,
    },
    /// `<T>.settings/service_operators/<uuid>.json`: a machine of a tenant.
    Machine {
        /// The tenant of the machine.
        tenant: TenantId,
        /// Which machine.
        id: MachineId,
    },
    /// `.settings/keyloft/service_operators/<uuid>.json`: a machine of the platform.
    PlatformMachine {
        /// Which machine.
        id: MachineId,
    },
    /// `<T>.settings/members.json`: the members of a tenant.
    Members {
        /// Which tenant.
        tenant: TenantId,
    },
    /// `<T>.settings/policies/<version:020>.json`: a version of a tenant's policy set.
    PolicySet {
        /// Which tenant.
        tenant: TenantId,
        /// Counted from 1; the highest one holds.
        version: u64,
    },
    /// `.settings/keyloft/members.json`: the members of the platform.
    PlatformMembers,
    /// `.settings/keyloft/operators/<userId>.json`: somebody who has signed in.
    Account {
        /// Who.
        id: OperatorId,
    },
    /// `.settings/keyloft/signers/<kid>.json`: the public half of a key that signs for operators.
    Signer {
        /// Which key.
        id: SignerId,
    },
    /// `.settings/keyloft/admin.json`: the digest of the bootstrap admin token.
    Admin,
    /// `.settings/keyloft/policy-secret.json`: the secret of pseudonyms and clearances, which a node has made.
    PolicySecret,
    /// `.settings/keyloft/mitigations/<seq:020>.json`: whom policies hold, as nodes tell each other.
    Mitigations {
        /// Its number, counted from 1.
        seq: u64,
    },
    /// `.settings/keyloft/log/<seq:020>.json`: an entry of the change log.
    LogEntry {
        /// Its number, counted from 1 without a gap.
        seq: u64,
    },
    /// `.settings/keyloft/audit/<first:020>-<last:020>.ndjson.zst`: entries of the change log that are kept.
    HistoryRange {
        /// The number of the first one.
        first: u64,
        /// The number of the last one.
        last: u64,
    },
    /// `.settings/keyloft/audit/stream.json`: how far the change log is in the streams `keyloft_audit`.
    AuditStream,
    /// `.settings/keyloft/nodes/<node-id>.json`: the changes that a node has applied.
    Node {
        /// Which node.
        node_id: NodeId,
    },
    /// `.settings/keyloft/snapshots/<seq:020>/<id>.json`: the table of contents of a snapshot.
    Snapshot {
        /// Its keys are at least as new as this entry of the log.
        seq: u64,
        /// Which of those that may stand beside each other.
        id: Uuid,
    },
    /// `.settings/keyloft/snapshots/<seq:020>/<id>-<part:04>.ndjson.zst`: some of its keys.
    SnapshotPart {
        /// As in the table of contents.
        seq: u64,
        /// As in the table of contents.
        id: Uuid,
        /// Counted from 0.
        part: u16,
    },
    /// `.settings/keyloft/usage/sheets/<id>.ndjson.zst`: the counts of some keys on one node.
    UsageSegment {
        /// Which segment.
        id: Uuid,
    },
    /// `.settings/keyloft/usage/archive.json`: the list of archive files.
    UsageArchive,
    /// `.settings/keyloft/usage/archive/<id>.ndjson.zst`: counts of nodes that have ended.
    UsagePiece {
        /// Which piece.
        id: Uuid,
    },
    /// `.settings/keyloft/probe/<id>.json`: written and removed by the probe of the store.
    Probe {
        /// Unique to the probe.
        id: Uuid,
    },
}

impl ObjectName {
    /// The name of an object whose events arrived in the minute of `arrived_at`.
    pub fn events(tenant: TenantId, stream: StreamName, arrived_at: DateTime<Utc>, id: Uuid) -> Self {
        Self::Events { tenant, stream, arrived: ArrivalTime::Minute(Minute::of(arrived_at)), id }
    }

    /// The name in the store.
    pub fn path(&self) -> RelativePathBuf {
        match self {
            Self::Key { tenant, key_id } => keys(tenant).join(format!("{key_id}.json")),
            Self::Tenant { tenant } => settings(tenant).join(TENANT),
            Self::Schema { tenant, stream } => stream_folder(tenant, stream).join(SCHEMA),
            Self::Events { tenant, stream, arrived, id } => {
                day(tenant, stream, arrived.date()).join(events_file(*arrived, *id))
            }
            Self::Manifest { tenant, stream, date } => day(tenant, stream, *date).join(MANIFEST),
            Self::Merged { tenant, stream, date, id } => {
                day(tenant, stream, *date).join(MERGED).join(format!("{}.parquet", id.as_hyphenated()))
            }
            Self::NameClaim { tenant, name, generation } => {
                name_claims(tenant, name).join(format!("{}.json", number(*generation)))
            }
            Self::Machine { tenant, id } => machines(Some(tenant)).join(format!("{id}.json")),
            Self::PlatformMachine { id } => machines(None).join(format!("{id}.json")),
            Self::Members { tenant } => settings(tenant).join(MEMBERS),
            Self::PolicySet { tenant, version } => policy_sets(tenant).join(format!("{}.json", number(*version))),
            Self::PlatformMembers => keyloft(MEMBERS),
            Self::Account { id } => accounts().join(format!("{id}.json")),
            Self::Signer { id } => signers().join(format!("{id}.json")),
            Self::Admin => keyloft(ADMIN),
            Self::PolicySecret => keyloft(POLICY_SECRET),
            Self::Mitigations { seq } => mitigations().join(format!("{}.json", number(*seq))),
            Self::LogEntry { seq } => log().join(format!("{}.json", number(*seq))),
            Self::HistoryRange { first, last } => {
                history().join(format!("{}-{}.ndjson.zst", number(*first), number(*last)))
            }
            Self::AuditStream => history().join(AUDIT_STREAM),
            Self::Node { node_id } => nodes().join(format!("{node_id}.json")),
            Self::Snapshot { seq, id } => snapshots().join(number(*seq)).join(format!("{}.json", id.as_hyphenated())),
            Self::SnapshotPart { seq, id, part } => {
                snapshots().join(number(*seq)).join(format!("{}-{part:04}.ndjson.zst", id.as_hyphenated()))
            }
            Self::UsageSegment { id } => usage_segments().join(format!("{}.ndjson.zst", id.as_hyphenated())),
            Self::UsageArchive => keyloft(USAGE).join(format!("{ARCHIVE}.json")),
            Self::UsagePiece { id } => usage_archive().join(format!("{}.ndjson.zst", id.as_hyphenated())),
            Self::Probe { id } => keyloft(PROBE).join(format!("{}.json", id.as_hyphenated())),
        }
    }

    /// Parses a name; `None` when it is no object of Keyloft.
    pub fn parse(path: &RelativePath) -> Option<Self> {
        let parts: Vec<&str> = path.as_str().split('/').collect();
        let (tenant, rest) = match parts.as_slice() {
            rest @ ([SETTINGS, ..] | [STREAMS, ..]) => (TenantId::default(), rest),
            [tenant, rest @ ..] => (TenantId::parse(tenant).ok().filter(|tenant| !tenant.is_default())?, rest),
            [] => return None,
        };
        match *rest {
            [SETTINGS, KEYLOFT, ref ours @ ..] if tenant.is_default() => ours::parse(ours),
            [SETTINGS, API_KEYS, file] => {
                let key_id = KeyId::parse(file.strip_suffix(".json")?).ok()?;
                Some(Self::Key { tenant, key_id })
            }
            [SETTINGS, API_KEY_NAMES, name, file] => {
                let generation = parse_number(file.strip_suffix(".json")?)?;
                Some(Self::NameClaim { tenant, name: NameHash::parse(name).ok()?, generation })
            }
            [SETTINGS, MACHINES, file] => Some(Self::Machine { tenant, id: parse_machine(file)? }),
            [SETTINGS, POLICIES, file] => {
                Some(Self::PolicySet { tenant, version: parse_number(file.strip_suffix(".json")?)? })
            }
            [SETTINGS, MEMBERS] => Some(Self::Members { tenant }),
            [SETTINGS, TENANT] => Some(Self::Tenant { tenant }),
            [STREAMS, stream, SCHEMA] => Some(Self::Schema { tenant, stream: StreamName::parse(stream).ok()? }),
            [STREAMS, stream, day, MANIFEST] => {
                Some(Self::Manifest { tenant, stream: StreamName::parse(stream).ok()?, date: parse_day(day)? })
            }
            [STREAMS, stream, day, MERGED, file] => {
                let (stream, date) = (StreamName::parse(stream).ok()?, parse_day(day)?);
                Some(Self::Merged { tenant, stream, date, id: parse_uuid(file.strip_suffix(".parquet")?)? })
            }
            [STREAMS, stream, day, file] => {
                let (arrived, id) = events_of_day(parse_day(day)?, file)?;
                Some(Self::Events { tenant, stream: StreamName::parse(stream).ok()?, arrived, id })
            }
            _ => None,
        }
    }
}

fn keyloft(name: &str) -> RelativePathBuf {
    RelativePathBuf::from(SETTINGS).join(KEYLOFT).join(name)
}

/// Twenty digits: the order of names is the order of numbers.
fn number(number: u64) -> String {
    format!("{number:020}")
}

fn parse_number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|read| number(*read) == text)
}

fn parse_uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|uuid| uuid.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text)
}

fn settings(tenant: &TenantId) -> RelativePathBuf {
    root(tenant).join(SETTINGS)
}

fn root(tenant: &TenantId) -> RelativePathBuf {
    RelativePathBuf::from(if tenant.is_default() { "" } else { tenant.as_str() })
}
