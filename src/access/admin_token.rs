//! The admin token: set by the environment, or made at the first start and stored as a digest.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::key::{Digest, PlainSecret};
use crate::layout::ObjectName;
use crate::store::{Bucket, Written};

const VERSION: u32 = 1;

/// The digest of the admin token.
#[derive(Debug, Clone, Copy)]
pub struct AdminDigest(Digest);

impl AdminDigest {
    /// The digest of a token given by the operator.
    pub fn new(digest: Digest) -> Self {
        Self(digest)
    }

    /// The digest in the bucket. Without one, a new token is made, its digest is stored, and it is returned in clear
    /// text to be shown once. Of several nodes that start at once, one makes it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer, [`ErrorKind::Corrupt`] when the stored document
    /// cannot be read: an operator must decide, so it is not overwritten.
    pub async fn kept(bucket: &Bucket) -> Result<(Self, Option<PlainSecret>)> {
        if let Some(stored) = bucket.read(&ObjectName::Admin).await? {
            return Ok((Self::parse(&stored.body)?, None));
        }
        let token = PlainSecret::generate_admin()
            .map_err(|error| Error::new(ErrorKind::Internal, "no randomness").caused_by(error))?;
        let document = AdminDocument { version: VERSION, digest: token.digest().to_document() };
        let body: Bytes = serde_json::to_vec_pretty(&document).unwrap_or_default().into();
        match bucket.create(&ObjectName::Admin, body).await? {
            Written::Done => Ok((Self(token.digest()), Some(token))),
            Written::Conflict => match bucket.read(&ObjectName::Admin).await? {
                Some(stored) => Ok((Self::parse(&stored.body)?, None)),
                None => Err(Error::new(ErrorKind::Unavailable, "the admin token is being changed; start again")),
            },
        }
    }

    /// Whether `presented` is the token, in constant time.
    pub fn verify(&self, presented: &str) -> bool {
        self.0.verify(&Digest::of(presented))
    }

    /// Whether this is the digest of the token, in constant time.
    pub fn is(&self, digest: &Digest) -> bool {
        self.0.verify(digest)
    }

    fn parse(body: &[u8]) -> Result<Self> {
        let unreadable = || Error::new(ErrorKind::Corrupt, format!("{} cannot be read", ObjectName::Admin.path()));
        let document: AdminDocument = serde_json::from_slice(body).map_err(|_| unreadable())?;
        if document.version != VERSION {
            return Err(unreadable());
        }
        Digest::parse(&document.digest).map(Self).map_err(|_| unreadable())
    }
}

#[derive(Serialize, Deserialize)]
struct AdminDocument {
    version: u32,
    digest: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_is_made_once_and_recognised_ever_after() {
        let bucket = Bucket::in_memory();
        let (made, shown) = AdminDigest::kept(&bucket).await.unwrap();
        let shown = shown.unwrap();
        assert!(shown.expose().starts_with("kl_adm_") && made.verify(shown.expose()));
        let (kept, again) = AdminDigest::kept(&bucket).await.unwrap();
        assert!(again.is_none() && kept.verify(shown.expose()) && !kept.verify("kl_adm_guess"));
    }

    #[tokio::test]
    async fn a_broken_record_is_never_overwritten() {
        let bucket = Bucket::in_memory();
        assert_eq!(bucket.create(&ObjectName::Admin, Bytes::from_static(b"{}")).await.unwrap(), Written::Done);
        assert_eq!(AdminDigest::kept(&bucket).await.unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn a_golden_record_parses_for_ever() {
        let record = AdminDigest::parse(include_bytes!("../../fixtures/admin/v1/admin.json")).unwrap();
        assert!(record.verify("test")); // The digest in the fixture is that of this word.
    }
}
