//! The archive of usage: a small document that names its pieces and the segments that were merged into them.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::documents::{Document, Documents, Found, Unreadable, stamped};
use crate::error::Result;
use crate::layout::ObjectName;
use crate::store::Bucket;

const VERSION: u32 = 1;

/// The document. Its pieces never change; it is replaced whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Archive {
    version: u32,
    /// Nothing was counted before.
    pub(super) recorded_since: DateTime<Utc>,
    /// What it consists of.
    pub(super) pieces: Vec<Uuid>,
    /// The segments that were merged into it. Their objects may still exist, and then do not count.
    #[serde(rename = "folded")]
    pub(super) archived: Vec<ArchivedSegment>,
    write_id: Uuid,
}

/// A segment that was merged into the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ArchivedSegment {
    #[serde(rename = "sheet")]
    pub(super) segment: Uuid,
    /// Since when, by the clock of the node that merged it.
    pub(super) at: DateTime<Utc>,
}

impl Archive {
    fn empty(recorded_since: DateTime<Utc>) -> Self {
        Self { version: VERSION, recorded_since, pieces: Vec::new(), archived: Vec::new(), write_id: Uuid::nil() }
    }

    /// Creates the archive, which records when counting began, unless there is one.
    ///
    /// # Errors
    /// As for [`Bucket::create`].
    pub(super) async fn begin(bucket: &Bucket, now: DateTime<Utc>) -> Result<()> {
        let archives = Documents::<Self>::new(bucket.clone());
        if matches!(archives.read(&()).await?.found, Found::Absent) {
            let _ours_or_another_nodes = archives.create(&(), &Self::empty(now)).await?;
        }
        Ok(())
    }

    /// The archive that comes after this one.
    pub(super) fn followed_by(&self, pieces: Vec<Uuid>, archived: Vec<ArchivedSegment>) -> Self {
        Self { pieces, archived, ..self.clone() }
    }

    /// Whether a segment is in it.
    pub(super) fn holds(&self, segment: Uuid) -> bool {
        self.archived.iter().any(|archived| archived.segment == segment)
    }
}

impl Document for Archive {
    type Id = ();

    const NAME: &'static str = "the archive of usage";

    fn object((): &()) -> ObjectName {
        ObjectName::UsageArchive
    }

    fn parse((): &(), body: &[u8]) -> Result<Self, Unreadable> {
        let explain = |error| Unreadable::explain("an archive of usage", VERSION, body, &error);
        let archive: Self = serde_json::from_slice(body).map_err(explain)?;
        if archive.version == VERSION { Ok(archive) } else { Err(Unreadable::Version(archive.version)) }
    }

    fn to_bytes(&self) -> Bytes {
        stamped(self, |archive, write_id| archive.write_id = write_id)
    }
}
