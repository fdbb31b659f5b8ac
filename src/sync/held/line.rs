//! A document as a line of a snapshot.

use std::fmt::Display;

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
    /// A document of this id, and the state of the object that it was read from.
    pub(crate) fn of(id: &impl Display, document: &impl Serialize, tag: Option<Tag>) -> Self {
        Self { id: id.to_string(), tag, document: serde_json::to_value(document).unwrap_or_default() }
    }

    /// Its id, the bytes of its document, and the state of the object that it was read from.
    pub(crate) fn parts(self) -> (String, Vec<u8>, Option<Tag>) {
        (self.id, serde_json::to_vec(&self.document).unwrap_or_default(), self.tag)
    }

    /// `None` when it is no document of the kind: a full reconcile reads it then.
    pub(super) fn read<T: HeldKind>(self) -> Option<(T::Id, T, Option<Tag>)> {
        let (id, body, tag) = self.parts();
        let id = id.parse().ok()?;
        let document = T::parse(&id, &body).ok()?;
        Some((id, document, tag))
    }
}
