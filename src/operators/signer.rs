//! The public half of a key that signs tokens. The private half never leaves the process that made it.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::documents::audited::fields;
use crate::documents::instant::required;
use crate::documents::{Audited, Document, Fields, LastWrite, RequestContext, Unreadable, stamped};
use crate::error::Result as Outcome;
use crate::key::{Attribution, NodeId, SignerId, TenantId};
use crate::layout::{self, ObjectName};
use crate::store::Bucket;
use crate::sync::held::KindListing;
use crate::sync::{AuditAction, HeldKind};

const VERSION: u32 = 1;

/// A key that signs, or has signed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signer {
    version: u32,
    /// The 32 bytes of an Ed25519 public key (RFC 8032), as JSON Web Keys write them (RFC 8037, section 2).
    public_key: String,
    /// The node that has the private half.
    pub node_id: NodeId,
    /// When it was made.
    #[serde(serialize_with = "required")]
    pub created_at: DateTime<Utc>,
    /// The first instant at which it signs no more.
    #[serde(serialize_with = "required")]
    pub signs_until: DateTime<Utc>,
    /// The first instant at which nothing that it has signed holds.
    #[serde(serialize_with = "required")]
    pub expires_at: DateTime<Utc>,
    #[serde(flatten)]
    attribution: Attribution,
    #[serde(default)]
    write_id: Option<Uuid>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

impl Signer {
    /// A key that a node has just made.
    pub(super) fn new(
        public_key: &[u8],
        node_id: NodeId,
        created_at: DateTime<Utc>,
        [signs_until, expires_at]: [DateTime<Utc>; 2],
        context: &RequestContext,
    ) -> Self {
        Self {
            version: VERSION,
            public_key: URL_SAFE_NO_PAD.encode(public_key),
            node_id,
            created_at,
            signs_until,
            expires_at,
            attribution: context.attribution(),
            write_id: None,
            unknown: Map::new(),
        }
    }

    /// The public key as JSON Web Keys write it.
    pub fn public_key(&self) -> &str {
        &self.public_key
    }

    /// The bytes of the public key.
    pub(super) fn key_bytes(&self) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(&self.public_key).unwrap_or_default()
    }
}

impl Document for Signer {
    type Id = SignerId;

    const NAME: &'static str = "the document of the signer";

    fn object(id: &SignerId) -> ObjectName {
        ObjectName::Signer { id: *id }
    }

    fn parse(id: &SignerId, body: &[u8]) -> Result<Self, Unreadable> {
        let explain = |error| Unreadable::explain("the document of a signer", VERSION, body, &error);
        let signer: Self = serde_json::from_slice(body).map_err(explain)?;
        let key = signer.key_bytes();
        if signer.version != VERSION {
            Err(Unreadable::Version(signer.version))
        } else if key.len() != 32 || SignerId::of(&key) != *id {
            Err(Unreadable::Field("publicKey"))
        } else {
            Ok(signer)
        }
    }

    fn to_bytes(&self) -> Bytes {
        stamped(self, |document, write_id| document.write_id = Some(write_id))
    }
}

impl Audited for Signer {
    fn audited(&self) -> Fields {
        fields(json!({"nodeId": self.node_id, "signsUntil": self.signs_until, "expiresAt": self.expires_at}))
    }
}

#[async_trait]
impl HeldKind for Signer {
    const KIND: &'static str = "signer";

    fn tenant(_: &SignerId) -> TenantId {
        TenantId::default()
    }

    fn last_write(&self) -> LastWrite {
        LastWrite { write_id: self.write_id, by: self.attribution.clone(), at: Some(self.created_at) }
    }

    fn action(_: Option<&Self>, _: &Self) -> Option<AuditAction> {
        Some(AuditAction::SignerAdd)
    }

    fn hashes(&self) -> Vec<u64> {
        Vec::new()
    }

    fn conflict(&self, _: &Self) -> Option<&'static str> {
        None
    }

    async fn list(bucket: &Bucket, _: &[TenantId]) -> Outcome<KindListing<SignerId>> {
        let folder = (TenantId::default(), layout::signers());
        let id = |object| if let ObjectName::Signer { id } = object { Some(id) } else { None };
        KindListing::of(bucket, [folder], id).await
    }
}
