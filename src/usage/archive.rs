//! What was folded: a small document that names the pieces of the archive and the sheets that are in them.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::sheet::new_id;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::ObjectName;
use crate::store::{Bucket, Version, Written};

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

    /// Reads it; `None` before anything was counted.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when it is none of this version.
    pub(super) async fn read(bucket: &Bucket) -> Result<Option<(Self, Version)>> {
        let Some(stored) = bucket.read(&ObjectName::UsageArchive).await? else { return Ok(None) };
        let corrupt = || Error::new(ErrorKind::Corrupt, "the archive of usage cannot be read");
        let archive: Self = serde_json::from_slice(&stored.body).map_err(|error| corrupt().caused_by(error))?;
        if archive.version == VERSION { Ok(Some((archive, stored.version))) } else { Err(corrupt()) }
    }

    /// Says that counting has begun, unless that is said already.
    ///
    /// # Errors
    /// As for [`Bucket::create`].
    pub(super) async fn begin(bucket: &Bucket, now: DateTime<Utc>) -> Result<()> {
        if bucket.read(&ObjectName::UsageArchive).await?.is_none() {
            let _theirs_or_ours = bucket.create(&ObjectName::UsageArchive, Self::empty(now).to_bytes()).await?;
        }
        Ok(())
    }

    /// The archive that comes after this one.
    pub(super) fn followed_by(&self, pieces: Vec<Uuid>, folded: Vec<Folded>) -> Self {
        Self { pieces, folded, write_id: new_id(), ..self.clone() }
    }

    /// Puts this in place of the version that was read.
    ///
    /// # Errors
    /// As for [`Bucket::replace`].
    pub(super) async fn replace(&self, bucket: &Bucket, version: &Version) -> Result<Written> {
        bucket.replace(&ObjectName::UsageArchive, self.to_bytes(), version).await
    }

    /// Whether a sheet is in it.
    pub(super) fn holds(&self, sheet: Uuid) -> bool {
        self.folded.iter().any(|folded| folded.sheet == sheet)
    }

    fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}
