//! A document as a line of a snapshot.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::HeldKind;
use crate::store::Tag;

/// A document as it is stored, and the state of the object that it was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentLine {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<Tag>,
    document: Value,
}

impl DocumentLine {
    pub(super) fn new<T: HeldKind>(id: &T::Id, document: &T, tag: Option<Tag>) -> Self {
        Self { id: id.to_string(), tag, document: serde_json::to_value(document).unwrap_or_default() }
    }

    /// `None` when it is no document of the kind: a full reconcile reads it then.
    pub(super) fn read<T: HeldKind>(self) -> Option<(T::Id, T, Option<Tag>)> {
        let id = self.id.parse().ok()?;
        let document = T::parse(&id, &serde_json::to_vec(&self.document).ok()?).ok()?;
        Some((id, document, self.tag))
    }
}
