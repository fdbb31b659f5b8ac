//! Streams: the tables of a tenant, and the fields they have.
//!
//! 1. [`field`]: a field and what it holds. Pure.
//!    [`schema`]: which fields a stream has, and how it widens. Pure.  [`columns`]: fields as columns. Pure.
//!    [`settings`]: what an operator sets of it.  [`unlogged`]: changes of that which may not be in the change log.
//!    [`deletion`]: how a stream goes, and its name becomes free.
//! 2. [`catalog`]: every stream of every tenant, in memory; what `schema.json` says is what counts.
//! 3. [`object_id`], [`taken`]: how event objects are numbered, and sets of them. Pure.
//!    [`manifest`]: what a day consists of, once some of its objects have been merged.
//!    [`objects`]: the objects that a stream consists of right now.
//!    [`lineage`]: what merged objects were made of; tells an older manifest from the newest one.
//!    [`chosen`]: those of them that a reader wants, in bounded memory.
//!    [`new_objects`]: those that this process writes.  [`object_writer`]: one in the making.
//!    [`object_reader`]: parts of one, which may be damaged.  [`footer`]: what its footer must say. Pure.
//!    [`damaged`]: catching the panics of the library.
//!    [`statistics`]: how much a stream holds.
//! 4. [`system`]: streams that the server writes itself.

pub mod catalog;
#[cfg_attr(not(feature = "query"), allow(dead_code))] // Queries choose, compaction takes all of a day.
pub mod chosen;
pub mod columns;
pub mod damaged;
pub mod deletion;
pub mod field;
pub mod footer;
pub mod lineage;
pub mod manifest;
pub mod new_objects;
pub mod object_id;
#[cfg_attr(not(feature = "query"), allow(dead_code))] // SQL uses more of it than compaction.
pub mod object_reader;
pub mod object_writer;
#[cfg_attr(not(feature = "query"), allow(dead_code))]
pub mod objects;
pub mod schema;
pub mod settings;
pub mod statistics;
pub mod system;
pub mod taken;
pub mod unlogged;

pub use catalog::StreamCatalog;
pub use deletion::Deletion;
pub use field::{Conflict, Field, FieldType};
pub use lineage::Lineage;
pub use manifest::{DayId, Manifest, MergedObject};
pub use new_objects::NewObjects;
pub use object_id::{ObjectIds, WriterId};
pub use schema::StreamSchema;
pub use settings::{OnInvalid, REJECTED, StreamSettings};
pub use system::{SystemRows, SystemStream};
pub use taken::TakenObjects;
pub use unlogged::UnloggedChange;
