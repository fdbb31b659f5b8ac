//! The policy set: all policies of a tenant, as one document that is valid as a whole or not at all.
//!
//! 1. [`ids`], [`parts`]: actions, entities, mitigations and policies, as documents write them.
//! 2. [`document`]: the set, and the document of one of its versions.  [`limits`]: how large it may be.
//! 3. [`named`]: a set as people write it in a file.  [`identify`]: ids for parts that came without one.
//! 4. [`starters`]: the parts that every set knows without saying them.
//! 5. `check`, `compile`: its faults.  [`compiled`]: the set as it is evaluated.

mod check;
mod compile;
pub mod compiled;
pub mod document;
pub mod identify;
pub mod ids;
pub mod limits;
pub mod named;
pub mod parts;
pub mod starters;
#[cfg(test)]
mod tests;

pub use compile::compile;
pub use compiled::{CompiledAction, CompiledEntity, CompiledPolicy, CompiledSet, CompiledWindow, Count, Threshold};
pub use document::{
    DOCUMENT_VERSION, LANGUAGE_VERSION, PolicySet, PolicySetDocument, Record, SetMode, Traffic, TrafficFormat,
};
pub use ids::{ActionId, EntityDefinitionId, MitigationId, PolicyId};
pub use named::{NamedPolicy, NamedPolicySet};
pub use parts::{Action, Challenge, EntityDefinition, Level, Mitigation, Mode, OnMissing, Policy, Window};
