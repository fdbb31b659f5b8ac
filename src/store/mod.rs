//! The bucket: where everything that must last is kept.
//!
//! 1. [`bucket`]: the four operations we need, with the meaning we need, over any `object_store`.
//! 2. [`location`]: which store a URL names.
//! 3. `local`: a local directory as an object store with durable writes and real compare-and-swap.
//! 4. `durable`: the file-system calls under that.
//! 5. [`document`]: the versioned JSON of a key.
//! 6. [`tenant`]: the versioned JSON of a tenant.
//! 7. `walk`: listings as streams. `large`: objects that are no documents.

pub mod bucket;
#[cfg(test)]
mod contract;
pub mod document;
pub(crate) mod durable;
mod large;
pub(crate) mod local;
pub mod location;
pub mod tenant;
mod walk;

pub use bucket::{Bucket, Listed, Stored, Tag, Version, Written};
pub use document::KeyDocument;
pub use location::StoreUrl;
pub use tenant::TenantDocument;
