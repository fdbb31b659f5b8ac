//! The bucket: where everything that must last is kept.
//!
//! 1. [`bucket`]: the operations we need, with the meaning we need, over any `object_store`.
//! 2. `object`: one object under that: a conditional write whose outcome can be trusted.
//! 3. `walk`: listings as streams of pages.
//! 4. [`mode`]: what a store can be relied on for; `probe` finds out, [`report`] says what was found, `trust` keeps it.
//! 5. [`location`]: which store a URL names.
//! 6. `s3`: the clients of an S3 service, and how long each waits.
//! 7. `local`: a local directory as an object store with durable writes and real compare-and-swap.
//! 8. `durable`: the file-system calls under that.
//! 9. `foreign`: what other systems keep in the same bucket.

pub(crate) mod bucket;
pub(crate) mod durable;
mod foreign;
pub(crate) mod local;
pub(crate) mod location;
pub(crate) mod mode;
mod object;
mod probe;
pub(crate) mod report;
#[cfg(feature = "s3")]
mod s3;
mod trust;
mod walk;

pub use bucket::Bucket;
#[cfg(feature = "server")]
pub(crate) use bucket::Stored;
pub(crate) use bucket::{Listed, Tag, Version, Written};
pub use location::StoreUrl;
pub use mode::StoreMode;
pub use report::{Finding, Property, Report, Verdict};
pub(crate) use walk::PAGE;
