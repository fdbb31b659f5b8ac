//! What nodes share: whom they hold, and who was released.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::hold::{Hold, HoldKey, max_hold_ms};
use crate::documents::instant::{required, rfc3339};
use crate::key::{NodeId, TenantId};
use crate::policy::entity::Entity;
use crate::policy::set::{Mode, PolicyId};

const VERSION: u32 = 1;
/// The most rows of an entry: with the longest names, far below the size of a document.
pub const MAX_ROWS: usize = 1000;

/// What one node shares in one write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// In this order.
    pub rows: Vec<Row>,
}

/// A row of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// A policy holds an entity.
    Held {
        /// Whose policy.
        tenant: TenantId,
        /// Which, and whom.
        key: HoldKey,
        /// Until when, and why.
        hold: Hold,
    },
    /// An entity was released: no hold in an earlier entry counts.
    Released {
        /// In which tenant.
        tenant: TenantId,
        /// Who.
        entity: Entity,
        /// By which policy; by all when none is named.
        policy: Option<PolicyId>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryText {
    version: u32,
    /// As its name says it, so that a copy under another name is none.
    seq: u64,
    node_id: NodeId,
    #[serde(serialize_with = "required")]
    at: DateTime<Utc>,
    rows: Vec<RowText>,
    /// Unique, so that a writer can tell its own entry from another's.
    write_id: Uuid,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RowText {
    tenant: TenantId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy_id: Option<PolicyId>,
    entity: String,
    #[serde(default, serialize_with = "rfc3339", skip_serializing_if = "Option::is_none")]
    from: Option<DateTime<Utc>>,
    #[serde(default, serialize_with = "rfc3339", skip_serializing_if = "Option::is_none")]
    until: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<Mode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy_set_version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decision_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    released: bool,
}

impl Row {
    fn text(&self) -> RowText {
        match self {
            Self::Held { tenant, key, hold } => RowText {
                tenant: tenant.clone(),
                policy_id: Some(key.policy),
                entity: key.entity.to_string(),
                from: DateTime::from_timestamp_millis(hold.since_ms),
                until: DateTime::from_timestamp_millis(hold.until_ms),
                mode: Some(hold.mode),
                policy_set_version: Some(hold.version),
                decision_id: Some(hold.decision),
                released: false,
            },
            Self::Released { tenant, entity, policy } => RowText {
                tenant: tenant.clone(),
                policy_id: *policy,
                entity: entity.to_string(),
                from: None,
                until: None,
                mode: None,
                policy_set_version: None,
                decision_id: None,
                released: true,
            },
        }
    }

    /// Nobody is held for longer than 30 days, whatever a row says.
    fn read(text: RowText) -> Option<Self> {
        let RowText { tenant, policy_id, entity, from, until, mode, policy_set_version, decision_id, released } = text;
        let entity = entity.parse().ok()?;
        if released {
            return Some(Self::Released { tenant, entity, policy: policy_id });
        }
        let (since_ms, until_ms) = (from?.timestamp_millis(), until?.timestamp_millis());
        let hold = Hold {
            since_ms,
            until_ms: until_ms.min(since_ms.saturating_add(max_hold_ms())),
            mode: mode.filter(|mode| *mode != Mode::Monitor)?,
            version: policy_set_version?,
            decision: decision_id?,
        };
        let key = HoldKey { policy: policy_id?, entity };
        (since_ms <= until_ms).then_some(Self::Held { tenant, key, hold })
    }
}

impl Entry {
    /// The bytes of an entry with this number, which a node writes now.
    #[allow(clippy::disallowed_methods)] // Nothing depends on which id the write has.
    pub fn to_bytes(&self, seq: u64, node_id: NodeId, at: DateTime<Utc>) -> Bytes {
        let rows = self.rows.iter().map(Row::text).collect();
        let text = EntryText { version: VERSION, seq, node_id, at, rows, write_id: Uuid::new_v4() };
        serde_json::to_vec(&text).unwrap_or_default().into()
    }

    /// Reads the entry with this number.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(seq: u64, body: &[u8]) -> Result<Self, String> {
        let text: EntryText =
            serde_json::from_slice(body).map_err(|error| format!("it is no entry of active mitigations: {error}"))?;
        if text.version != VERSION {
            return Err(format!("it is of version {}, which this node does not know", text.version));
        }
        if text.seq != seq {
            return Err(format!("its seq is {}, which is not its name", text.seq));
        }
        if text.rows.len() > MAX_ROWS {
            return Err(format!("it has more than {MAX_ROWS} rows"));
        }
        let mut rows = Vec::with_capacity(text.rows.len());
        for (at, row) in text.rows.into_iter().enumerate() {
            rows.push(Row::read(row).ok_or_else(|| format!("rows[{at}] is neither a hold nor a release"))?);
        }
        Ok(Self { rows })
    }

    /// When the last of its holds ends.
    pub fn until_ms(&self) -> i64 {
        let until = |row: &Row| match row {
            Row::Held { hold, .. } => hold.until_ms,
            Row::Released { .. } => i64::MIN,
        };
        self.rows.iter().map(until).max().unwrap_or(i64::MIN)
    }
}
