//! Every object name of the system, built here and parsed back here, and nowhere else.
//!
//! The objects of the default tenant stand at the root of the store, those of every other tenant under `<tenant>/`.
//! Identities are validated types, so no name can leave its tenant's folder.

use chrono::NaiveDate;
use relative_path::{RelativePath, RelativePathBuf};
use uuid::Uuid;

use crate::key::{KeyId, NameHash, NodeId, StreamName, TenantId};

const SETTINGS: &str = ".settings";
const API_KEYS: &str = "apikeys";
const API_KEY_NAMES: &str = "apikeys_names";
const TENANT: &str = "tenant.json";
const STREAMS: &str = "streams";
const SCHEMA: &str = "schema.json";
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

/// An object of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectName {
    /// `<T>.settings/apikeys/<uuid>.json`: one key, the source of truth.
    Key {
        /// Whose key.
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
        /// Whose stream.
        tenant: TenantId,
        /// Which stream.
        stream: StreamName,
    },
    /// `<T>streams/<stream>/date=YYYY-MM-DD/<uuid>.parquet`: events that arrived on that day (UTC).
    Events {
        /// Whose stream.
        tenant: TenantId,
        /// Which stream.
        stream: StreamName,
        /// The day of arrival.
        date: NaiveDate,
        /// Unique among all.
        id: Uuid,
    },
    /// `<T>.settings/apikeys_names/<hash>/<gen:020>.json`: a claim on a key name.
    NameClaim {
        /// Whose name.
        tenant: TenantId,
        /// Which name.
        name: NameHash,
        /// Counted from 1; the highest one holds the name.
        generation: u64,
    },
    /// `.settings/keyloft/admin.json`: the digest of the bootstrap admin token.
    Admin,
    /// `.settings/keyloft/log/<seq:020>.json`: an entry of the change log.
    LogEntry {
        /// Its number, counted from 1 without a gap.
        seq: u64,
    },
    /// `.settings/keyloft/nodes/<node-id>.json`: what a node has applied.
    Node {
        /// Which node.
        node_id: NodeId,
    },
    /// `.settings/keyloft/snapshots/<seq:020>/<id>.json`: the table of contents of a snapshot.
    Snapshot {
        /// What is in it is at least as new as this entry of the log.
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
    /// `.settings/keyloft/usage/sheets/<id>.ndjson.zst`: what a node has counted.
    UsageSheet {
        /// Which of its sheets.
        id: Uuid,
    },
    /// `.settings/keyloft/usage/archive.json`: what the archive consists of.
    UsageArchive,
    /// `.settings/keyloft/usage/archive/<id>.ndjson.zst`: some of what nodes counted that have ended.
    UsagePiece {
        /// Which piece.
        id: Uuid,
    },
    /// `.settings/keyloft/probe/<id>.json`: written and removed to learn what the store can do.
    Probe {
        /// Unique to the probe.
        id: Uuid,
    },
}

impl ObjectName {
    /// The name in the store.
    pub fn path(&self) -> RelativePathBuf {
        match self {
            Self::Key { tenant, key_id } => keys(tenant).join(format!("{key_id}.json")),
            Self::Tenant { tenant } => settings(tenant).join(TENANT),
            Self::Schema { tenant, stream } => stream_folder(tenant, stream).join(SCHEMA),
            Self::Events { tenant, stream, date, id } => {
                day(tenant, stream, *date).join(format!("{}.parquet", id.as_hyphenated()))
            }
            Self::NameClaim { tenant, name, generation } => {
                name_claims(tenant, name).join(format!("{}.json", number(*generation)))
            }
            Self::Admin => keyloft(ADMIN),
            Self::LogEntry { seq } => log().join(format!("{}.json", number(*seq))),
            Self::Node { node_id } => nodes().join(format!("{node_id}.json")),
            Self::Snapshot { seq, id } => snapshots().join(number(*seq)).join(format!("{}.json", id.as_hyphenated())),
            Self::SnapshotPart { seq, id, part } => {
                snapshots().join(number(*seq)).join(format!("{}-{part:04}.ndjson.zst", id.as_hyphenated()))
            }
            Self::UsageSheet { id } => usage_sheets().join(format!("{}.ndjson.zst", id.as_hyphenated())),
            Self::UsageArchive => keyloft(USAGE).join(format!("{ARCHIVE}.json")),
            Self::UsagePiece { id } => usage_archive().join(format!("{}.ndjson.zst", id.as_hyphenated())),
            Self::Probe { id } => keyloft(PROBE).join(format!("{}.json", id.as_hyphenated())),
        }
    }

    /// Reads a name back; `None` when it is no object of ours.
    pub fn parse(path: &RelativePath) -> Option<Self> {
        let parts: Vec<&str> = path.as_str().split('/').collect();
        let (tenant, rest) = match parts.as_slice() {
            rest @ ([SETTINGS, ..] | [STREAMS, ..]) => (TenantId::default(), rest),
            [tenant, rest @ ..] => (TenantId::parse(tenant).ok().filter(|tenant| !tenant.is_default())?, rest),
            [] => return None,
        };
        match *rest {
            [SETTINGS, KEYLOFT, ref ours @ ..] if tenant.is_default() => parse_ours(ours),
            [SETTINGS, API_KEYS, file] => {
                let key_id = KeyId::parse(file.strip_suffix(".json")?).ok()?;
                Some(Self::Key { tenant, key_id })
            }
            [SETTINGS, API_KEY_NAMES, name, file] => {
                let generation = parse_number(file.strip_suffix(".json")?)?;
                Some(Self::NameClaim { tenant, name: NameHash::parse(name).ok()?, generation })
            }
            [SETTINGS, TENANT] => Some(Self::Tenant { tenant }),
            [STREAMS, stream, SCHEMA] => Some(Self::Schema { tenant, stream: StreamName::parse(stream).ok()? }),
            [STREAMS, stream, day, file] => {
                let stream = StreamName::parse(stream).ok()?;
                let id = parse_uuid(file.strip_suffix(".parquet")?)?;
                Some(Self::Events { tenant, stream, date: parse_day(day)?, id })
            }
            _ => None,
        }
    }
}

/// What stands below `.settings/keyloft/`: the same for all tenants.
fn parse_ours(parts: &[&str]) -> Option<ObjectName> {
    match *parts {
        [ADMIN] => Some(ObjectName::Admin),
        [LOG, file] => Some(ObjectName::LogEntry { seq: parse_number(file.strip_suffix(".json")?)? }),
        [NODES, file] => Some(ObjectName::Node { node_id: NodeId::parse(file.strip_suffix(".json")?).ok()? }),
        [PROBE, file] => Some(ObjectName::Probe { id: parse_uuid(file.strip_suffix(".json")?)? }),
        [USAGE, SHEETS, file] => Some(ObjectName::UsageSheet { id: parse_uuid(file.strip_suffix(".ndjson.zst")?)? }),
        [USAGE, ARCHIVE, file] => Some(ObjectName::UsagePiece { id: parse_uuid(file.strip_suffix(".ndjson.zst")?)? }),
        [USAGE, file] => (file.strip_suffix(".json")? == ARCHIVE).then_some(ObjectName::UsageArchive),
        [SNAPSHOTS, seq, file] => {
            let seq = parse_number(seq)?;
            if let Some(id) = file.strip_suffix(".json") {
                return Some(ObjectName::Snapshot { seq, id: parse_uuid(id)? });
            }
            let (id, part) = file.strip_suffix(".ndjson.zst")?.rsplit_once('-')?;
            let number: u16 = part.parse().ok()?;
            (format!("{number:04}") == part).then_some(())?;
            Some(ObjectName::SnapshotPart { seq, id: parse_uuid(id)?, part: number })
        }
        _ => None,
    }
}

/// The folder of a tenant's key documents.
pub fn keys(tenant: &TenantId) -> RelativePathBuf {
    settings(tenant).join(API_KEYS)
}

/// Reads the name of a document in `folder`, one of [`keys`], back. Cheaper than [`ObjectName::parse`], for a million names.
pub fn key_in(folder: &RelativePath, path: &RelativePath) -> Option<KeyId> {
    let file = path.as_str().strip_prefix(folder.as_str())?.strip_prefix('/')?;
    KeyId::parse(file.strip_suffix(".json")?).ok()
}

/// The folder of the claims on one key name.
pub fn name_claims(tenant: &TenantId, name: &NameHash) -> RelativePathBuf {
    settings(tenant).join(API_KEY_NAMES).join(name.to_string())
}

/// The folder of the change log.
pub fn log() -> RelativePathBuf {
    keyloft(LOG)
}

/// The folder of what each node has applied.
pub fn nodes() -> RelativePathBuf {
    keyloft(NODES)
}

/// The folder of the snapshots; each has a folder in it, named by its number.
pub fn snapshots() -> RelativePathBuf {
    keyloft(SNAPSHOTS)
}

/// The folder of what nodes count, by sheet.
pub fn usage_sheets() -> RelativePathBuf {
    keyloft(USAGE).join(SHEETS)
}

/// The folder of what was counted by nodes that have ended.
pub fn usage_archive() -> RelativePathBuf {
    keyloft(USAGE).join(ARCHIVE)
}

/// The folder of what probes of the store leave for a moment.
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
    Uuid::try_parse(text).ok().filter(|uuid| uuid.as_hyphenated().to_string() == text)
}

fn settings(tenant: &TenantId) -> RelativePathBuf {
    root(tenant).join(SETTINGS)
}

fn root(tenant: &TenantId) -> RelativePathBuf {
    RelativePathBuf::from(if tenant.is_default() { "" } else { tenant.as_str() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::KeyName;

    fn names() -> impl Strategy<Value = ObjectName> {
        let tenant = prop_oneof![
            Just(TenantId::default()),
            "[a-z0-9][a-z0-9_-]{0,62}".prop_filter_map("reserved", |text| TenantId::parse(&text).ok())
        ];
        let stream = "[a-z0-9][a-z0-9_-]{0,62}".prop_filter_map("reserved", |text| StreamName::parse(&text).ok());
        (tenant, stream, any::<u128>(), 0i32..200_000, 0usize..13).prop_map(|(tenant, stream, number, days, which)| {
            let id = Uuid::from_u128(number);
            match which {
                0 => ObjectName::Key { tenant, key_id: KeyId::parse(&id.to_string()).unwrap() },
                1 => ObjectName::Tenant { tenant },
                2 => ObjectName::Schema { tenant, stream },
                3 => {
                    let date = NaiveDate::from_num_days_from_ce_opt(700_000 + days).unwrap();
                    ObjectName::Events { tenant, stream, date, id }
                }
                4 => {
                    let name = KeyName::parse(&format!("name {number}")).unwrap().hash();
                    ObjectName::NameClaim { tenant, name, generation: number as u64 }
                }
                5 => ObjectName::LogEntry { seq: number as u64 },
                6 => ObjectName::Node { node_id: NodeId::parse(&id.to_string()).unwrap() },
                7 => ObjectName::Snapshot { seq: number as u64, id },
                8 => ObjectName::SnapshotPart { seq: number as u64, id, part: number as u16 },
                9 => ObjectName::UsageSheet { id },
                10 => ObjectName::UsagePiece { id },
                11 => ObjectName::UsageArchive,
                _ => ObjectName::Admin,
            }
        })
    }

    proptest! {
        #[test]
        fn every_name_reads_back(name in names()) {
            prop_assert_eq!(ObjectName::parse(&name.path()), Some(name));
        }

        #[test]
        fn every_name_stays_in_its_tenants_folder(name in names()) {
            let path = name.path();
            prop_assert!(!path.as_str().split('/').any(|part| part.is_empty() || part == "." || part == ".."));
            if let ObjectName::Key { tenant, .. } | ObjectName::Schema { tenant, .. } = &name {
                prop_assert_eq!(path.starts_with(tenant.as_str()), !tenant.is_default());
            }
        }

        #[test]
        fn what_parses_is_spelt_as_we_spell_it(path in "[a-z./=0-9-]{0,80}") {
            if let Some(name) = ObjectName::parse(RelativePath::new(&path)) {
                let spelt = name.path();
                prop_assert_eq!(spelt.as_str(), path);
            }
        }
    }

    #[test]
    fn the_contract_is_spelt_out() {
        let key_id = KeyId::parse("5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10").unwrap();
        let acme = TenantId::parse("acme").unwrap();
        let key = |tenant: &TenantId| ObjectName::Key { tenant: tenant.clone(), key_id }.path();
        assert_eq!(key(&TenantId::default()), ".settings/apikeys/5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10.json");
        assert_eq!(key(&acme), "acme/.settings/apikeys/5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10.json");
        let date = NaiveDate::from_ymd_opt(2026, 11, 22).unwrap();
        let web = StreamName::parse("web").unwrap();
        assert_eq!(day(&acme, &web, date), "acme/streams/web/date=2026-11-22");
        assert_eq!(ObjectName::Admin.path(), ".settings/keyloft/admin.json");
        assert_eq!(ObjectName::LogEntry { seq: 7 }.path(), ".settings/keyloft/log/00000000000000000007.json");
        let claim = ObjectName::NameClaim { tenant: acme, name: KeyName::parse("web").unwrap().hash(), generation: 1 };
        assert_eq!(
            claim.path(),
            "acme/.settings/apikeys_names/4b5e57f6eb2f42b9039b3d1e13929295/00000000000000000001.json"
        );
        assert_eq!(ObjectName::parse(RelativePath::new("default/.settings/tenant.json")), None);
        assert_eq!(parseable_metadata(&TenantId::default()), ".parseable/.parseable.json");
        assert_eq!(parseable_metadata(&TenantId::parse("acme").unwrap()), "acme/.parseable.json");
    }
}
