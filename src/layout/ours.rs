//! The names below `.settings/keyloft/`, shared by all tenants, parsed back.

use super::{
    ADMIN, ARCHIVE, AUDIT, AUDIT_STREAM, LOG, MACHINES, MEMBERS, MITIGATIONS, NODES, OPERATORS, ObjectName,
    POLICY_SECRET, PROBE, SHEETS, SIGNERS, SNAPSHOTS, USAGE, parse_machine, parse_number, parse_uuid,
};
use crate::key::{NodeId, OperatorId, SignerId};

/// The object of a name below that folder, in its segments.
pub(super) fn parse(parts: &[&str]) -> Option<ObjectName> {
    match *parts {
        [ADMIN] => Some(ObjectName::Admin),
        [POLICY_SECRET] => Some(ObjectName::PolicySecret),
        [MEMBERS] => Some(ObjectName::PlatformMembers),
        [MACHINES, file] => Some(ObjectName::PlatformMachine { id: parse_machine(file)? }),
        [OPERATORS, file] => Some(ObjectName::Account { id: OperatorId::parse(file.strip_suffix(".json")?).ok()? }),
        [SIGNERS, file] => Some(ObjectName::Signer { id: SignerId::parse(file.strip_suffix(".json")?).ok()? }),
        [MITIGATIONS, file] => Some(ObjectName::Mitigations { seq: parse_number(file.strip_suffix(".json")?)? }),
        [LOG, file] => Some(ObjectName::LogEntry { seq: parse_number(file.strip_suffix(".json")?)? }),
        [AUDIT, AUDIT_STREAM] => Some(ObjectName::AuditStream),
        [AUDIT, file] => {
            let (first, last) = file.strip_suffix(".ndjson.zst")?.split_once('-')?;
            Some(ObjectName::HistoryRange { first: parse_number(first)?, last: parse_number(last)? })
        }
        [NODES, file] => Some(ObjectName::Node { node_id: NodeId::parse(file.strip_suffix(".json")?).ok()? }),
        [PROBE, file] => Some(ObjectName::Probe { id: parse_uuid(file.strip_suffix(".json")?)? }),
        [USAGE, SHEETS, file] => Some(ObjectName::UsageSegment { id: parse_uuid(file.strip_suffix(".ndjson.zst")?)? }),
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
