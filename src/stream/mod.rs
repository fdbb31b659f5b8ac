//! Streams: the tables of a tenant, and the fields they have.
//!
//! 1. [`field`]: a field and what it holds. Pure.
//!    [`schema`]: which fields a stream has, and how it widens. Pure.
//!    [`settings`]: what an operator sets of it.
//! 2. [`catalog`]: every stream of every tenant, in memory; what `schema.json` says is what counts.
//! 3. [`system`]: streams that the server writes itself.

pub mod catalog;
pub mod field;
pub mod schema;
pub mod settings;
pub mod system;

pub use catalog::StreamCatalog;
pub use field::{Conflict, Field, FieldType};
pub use schema::StreamSchema;
pub use settings::{OnInvalid, REJECTED, StreamSettings};
pub use system::{SystemRows, SystemStream};
