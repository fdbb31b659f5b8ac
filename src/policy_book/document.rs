//! A version of a policy set as it is stored.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use crate::documents::audited::fields;
use crate::documents::{Audited, Document, Fields, LastWrite, Unreadable};
use crate::key::{Attribution, TenantId};
use crate::layout::ObjectName;
use crate::policy::set::limits::MAX_DOCUMENT_BYTES;
use crate::policy::set::{DOCUMENT_VERSION, LANGUAGE_VERSION, PolicySetDocument};

/// Which version of whose set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionId {
    /// The tenant.
    pub tenant: TenantId,
    /// Counted from 1.
    pub number: u64,
}

impl Document for PolicySetDocument {
    type Id = VersionId;

    const NAME: &'static str = "the version of the policy set";

    fn object(id: &VersionId) -> ObjectName {
        ObjectName::PolicySet { tenant: id.tenant.clone(), version: id.number }
    }

    fn parse(id: &VersionId, body: &[u8]) -> Result<Self, Unreadable> {
        if body.len() > MAX_DOCUMENT_BYTES {
            return Err(Unreadable::Object(format!("it has more than {MAX_DOCUMENT_BYTES} bytes")));
        }
        let explain = |error| Unreadable::explain("a version of a policy set", DOCUMENT_VERSION, body, &error);
        let document: Self = serde_json::from_slice(body).map_err(explain)?;
        if document.version != DOCUMENT_VERSION {
            Err(Unreadable::Version(document.version))
        } else if document.language != LANGUAGE_VERSION {
            Err(Unreadable::Field("language"))
        } else if document.policy_set_version != id.number {
            Err(Unreadable::Field("policySetVersion"))
        } else {
            Ok(document)
        }
    }

    /// A version is written once, with the id that it was made with.
    fn to_bytes(&self) -> Bytes {
        serde_json::to_vec_pretty(self).unwrap_or_default().into()
    }
}

/// Each part stands under its name, so that only those that a version has changed are different.
impl Audited for PolicySetDocument {
    fn audited(&self) -> Fields {
        let mut view = fields(json!({
            "mode": self.mode,
            "exempt": self.exempt,
            "traffic": self.traffic,
            "policySetVersion": self.policy_set_version,
            "comment": self.comment,
            "restores": self.restores,
        }));
        let mut add = |kind: &str, name: &str, part: Value| _ = view.insert(format!("{kind}/{name}"), part);
        self.actions.iter().for_each(|part| add("actions", &part.name, value(part)));
        self.entities.iter().for_each(|part| add("entities", &part.name, value(part)));
        self.mitigations.iter().for_each(|part| add("mitigations", &part.name, value(part)));
        self.policies.iter().for_each(|part| add("policies", &part.name, value(part)));
        view
    }
}

fn value(part: &impl Serialize) -> Value {
    serde_json::to_value(part).unwrap_or_default()
}

/// Who wrote a version, and when.
pub fn last_write(document: &PolicySetDocument) -> LastWrite {
    let by = Attribution {
        modified_by: document.created_by.parse().ok(),
        request_id: document.request_id.as_deref().and_then(|id| id.parse().ok()),
    };
    LastWrite { write_id: document.write_id, by, at: Some(document.created_at) }
}
