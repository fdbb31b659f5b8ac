//! The ids of the parts of a set.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! part_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    };
}

part_id! {
    /// The id of an action: a UUID that the client or the server made.
    ActionId
}
part_id! {
    /// The id of an entity definition. It is part of every pseudonym: an entity of another definition is another one.
    EntityDefinitionId
}
part_id! {
    /// The id of a mitigation.
    MitigationId
}
part_id! {
    /// The id of a policy.
    PolicyId
}
