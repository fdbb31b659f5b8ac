//! What was folded: a small document that names the pieces of the archive and the sheets that are in them.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::sheet::new_id;
use crate::documents::{Document, Documents, Found, Unreadable};
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
    /// The sheets that are in it and may still lie in their folder, where they do not count.
    pub(super) folded: Vec<Folded>,
    write_id: Uuid,
}

/// A sheet that is in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Folded {
    pub(super) sheet: Uuid,
    /// Since when, by the clock of whoever folded it.
    pub(super) at: DateTime<Utc>,
}

impl Archive {
    fn empty(recorded_since: DateTime<Utc>) -> Self {
        Self { version: VERSION, recorded_since, pieces: Vec::new(), folded: Vec::new(), write_id: new_id() }
    }

    /// Says that counting has begun, unless that is said already.
    ///
    /// # Errors
    /// As for [`Bucket::create`].
    pub(super) async fn begin(bucket: &Bucket, now: DateTime<Utc>) -> Result<()> {
        let archives = Documents::<Self>::new(bucket.clone());
        if matches!(archives.read(&()).await?.found, Found::Absent) {
            let _theirs_or_ours = archives.create(&(), &Self::empty(now)).await?;
        }
        Ok(())
    }

    /// The archive that comes after this one.
    pub(super) fn followed_by(&self, pieces: Vec<Uuid>, folded: Vec<Folded>) -> Self {
        Self { pieces, folded, ..self.clone() }
    }

    /// Whether a sheet is in it.
    pub(super) fn holds(&self, sheet: Uuid) -> bool {
        self.folded.iter().any(|folded| folded.sheet == sheet)
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
        serde_json::to_vec(&Self { write_id: new_id(), ..self.clone() }).unwrap_or_default().into()
    }
}
