//! Streams that the server writes itself: `keyloft_…`.

use std::fmt::Debug;

use arrow::array::ArrayRef;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Field, REJECTED};
use crate::error::Result;
use crate::key::{KeyId, Label, StreamName, TenantId};

/// What the keys of a tenant were used for.
pub const USAGE: &str = "keyloft_usage";

/// What happened in a tenant, for those who may read its audit.
pub const AUDIT: &str = crate::key::stream::AUDIT;

/// What traffic policies have decided about the requests of a tenant.
pub const DECISIONS: &str = "keyloft_decisions";

/// The requests that traffic policies have decided about, of tenants that want all of them on record.
pub const TRAFFIC: &str = "keyloft_traffic";

/// Every stream that the server writes.
pub const ALL: [&str; 5] = [USAGE, AUDIT, REJECTED, DECISIONS, TRAFFIC];

/// Where the server writes rows about its own work. Callers take this trait, so that they do not depend on how
/// events are stored.
#[async_trait]
pub trait SystemStream: Debug + Send + Sync {
    /// The id of the next object of a stream.
    fn id(&self, tenant: &TenantId, stream: &StreamName) -> Uuid;

    /// Stores all of `rows`, durably, as one object. After an unclear answer, write the very same rows again, with the
    /// same
    /// [`SystemRows::id`] and [`SystemRows::at`]: they are stored once.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when the rows do not fit the stream, [`crate::ErrorKind::Unavailable`] when the
    /// store does not answer.
    async fn write(&self, rows: SystemRows) -> Result<()>;
}

/// Rows of a system stream.
#[derive(Debug, Clone)]
pub struct SystemRows {
    /// Whose stream.
    pub tenant: TenantId,
    /// Which stream.
    pub stream: StreamName,
    /// Identifies these rows: a [`SystemStream::id`].
    pub id: Uuid,
    /// `p_timestamp` of every row.
    pub at: DateTime<Utc>,
    /// The offset of the first row, where several nodes may write the very same rows: then they are created, and what
    /// is there already stays.
    pub first_offset: Option<i64>,
    /// `p_key_id` and `p_source_id` of each row.
    pub about: Vec<(Option<KeyId>, Option<Label>)>,
    /// The fields of the rows.
    pub fields: Vec<Field>,
    /// One column for each field, of the Arrow type of that field, as long as `about`.
    pub columns: Vec<ArrayRef>,
}
