//! Streams: the tables of a tenant, and the fields they have.
//!
//! 1. [`schema`]: which fields a stream has, and how it widens. Pure.
//! 2. [`catalog`]: every stream of every tenant, in memory; what `schema.json` says is what counts.
//! 3. [`system`]: streams that the server writes itself.

pub mod catalog;
pub mod schema;
pub mod system;

pub use catalog::StreamCatalog;
pub use schema::{Conflict, Field, FieldType, StreamSchema};
pub use system::{SystemRows, SystemStream};
