//! The root secret of pseudonyms and clearances: one for all nodes, so that they give one entity one name.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::documents::instant::required;
use crate::documents::{Document, Documents, Found, Unreadable, stamped};
use crate::error::{Error, ErrorKind, Result};
use crate::key::secret::seed;
use crate::layout::ObjectName;
use crate::store::Bucket;

/// The fewest bytes of a secret that an operator gives.
pub const MIN_BYTES: usize = 32;
const VERSION: u32 = 1;

/// The secret, once it is known. It is in no log, no answer and no error.
pub struct RootSecret {
    bucket: Bucket,
    known: OnceLock<Zeroizing<Vec<u8>>>,
    /// Why the document cannot be used.
    unreadable: Mutex<Option<String>>,
}

impl std::fmt::Debug for RootSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RootSecret(..)")
    }
}

/// The document that holds a secret which a node made.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecretDocument {
    version: u32,
    secret: String,
    #[serde(serialize_with = "required")]
    created_at: DateTime<Utc>,
    #[serde(default)]
    write_id: Option<Uuid>,
}

impl Document for SecretDocument {
    type Id = ();

    const NAME: &'static str = "the secret of traffic policies";

    fn object((): &()) -> ObjectName {
        ObjectName::PolicySecret
    }

    fn parse((): &(), body: &[u8]) -> Result<Self, Unreadable> {
        let explain = |error| Unreadable::explain("a secret of traffic policies", VERSION, body, &error);
        let document: Self = serde_json::from_slice(body).map_err(explain)?;
        if document.version != VERSION {
            Err(Unreadable::Version(document.version))
        } else if document.bytes().is_none() {
            Err(Unreadable::Field("secret"))
        } else {
            Ok(document)
        }
    }

    fn to_bytes(&self) -> Bytes {
        stamped(self, |document, write_id| document.write_id = Some(write_id))
    }
}

impl SecretDocument {
    fn bytes(&self) -> Option<Zeroizing<Vec<u8>>> {
        let bytes = Zeroizing::new(STANDARD.decode(&self.secret).ok()?);
        (bytes.len() >= MIN_BYTES).then_some(bytes)
    }
}

impl RootSecret {
    /// The secret that the operator gives, or the one in the bucket.
    pub fn new(bucket: Bucket, given: Option<Zeroizing<Vec<u8>>>) -> Self {
        let known = OnceLock::new();
        if let Some(given) = given {
            let _ = known.set(given);
        }
        Self { bucket, known, unreadable: Mutex::default() }
    }

    /// Why the document cannot be used, and its name; `None` when it can, or was not read.
    pub fn unreadable(&self) -> Option<(String, String)> {
        let reason = self.unreadable.lock().clone()?;
        Some((ObjectName::PolicySecret.path().into_string(), reason))
    }

    /// The secret; `None` before [`RootSecret::load`].
    pub fn get(&self) -> Option<&[u8]> {
        self.known.get().map(|secret| secret.as_slice())
    }

    /// Reads the secret from the bucket, and makes one if there is none: of nodes that do so at once, one makes it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when the document cannot be
    /// used: without it, entities would have other names.
    pub async fn load(&self, now: DateTime<Utc>) -> Result<&[u8]> {
        if self.get().is_none() {
            let secrets = Documents::<SecretDocument>::new(self.bucket.clone());
            let read = secrets.read(&()).await?.found;
            *self.unreadable.lock() = match &read {
                Found::Unusable(reason) => Some(reason.to_string()),
                _ => None,
            };
            let found = match read.usable()? {
                Some(found) => found,
                None => {
                    let _ours_or_another_nodes = secrets.create(&(), &made(now)?).await?;
                    let found = secrets.read(&()).await?.found.usable()?;
                    found.ok_or_else(|| Error::new(ErrorKind::Unavailable, "the secret of policies is gone again"))?
                }
            };
            if let Some(secret) = found.bytes() {
                let _same = self.known.set(secret);
            }
        }
        self.get().ok_or_else(|| Error::new(ErrorKind::Internal, "there is no secret of policies"))
    }
}

fn made(now: DateTime<Utc>) -> Result<SecretDocument> {
    let bytes = seed().map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
    Ok(SecretDocument { version: VERSION, secret: STANDARD.encode(*bytes), created_at: now, write_id: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_nodes_have_one_secret_and_a_given_one_is_not_stored() {
        let bucket = Bucket::in_memory();
        let nodes: Vec<RootSecret> = (0..8).map(|_| RootSecret::new(bucket.clone(), None)).collect();
        assert!(nodes[0].get().is_none());
        let loads = nodes.iter().map(|node| node.load(DateTime::UNIX_EPOCH));
        let secrets: Vec<&[u8]> = futures::future::join_all(loads).await.into_iter().map(Result::unwrap).collect();
        assert!(secrets.iter().all(|secret| secret.len() == 32 && *secret == secrets[0]));
        let empty = Bucket::in_memory();
        let given = RootSecret::new(empty.clone(), Some(Zeroizing::new(vec![7; 40])));
        assert_eq!(given.load(DateTime::UNIX_EPOCH).await.unwrap(), [7; 40]);
        assert!(empty.read(&ObjectName::PolicySecret).await.unwrap().is_none());
        assert_eq!(format!("{given:?}"), "RootSecret(..)");
    }

    #[tokio::test]
    async fn a_broken_secret_is_not_replaced() {
        for broken in [&b"{"[..], br#"{"version": 1, "secret": "c2hvcnQ=", "createdAt": "2026-11-29T00:00:00Z"}"#] {
            let bucket = Bucket::in_memory();
            bucket.put(&ObjectName::PolicySecret, Bytes::from_static(broken)).await.unwrap();
            let error = RootSecret::new(bucket.clone(), None).load(DateTime::UNIX_EPOCH).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert_eq!(bucket.read(&ObjectName::PolicySecret).await.unwrap().unwrap().body, broken);
        }
    }
}
