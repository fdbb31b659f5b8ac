//! The bucket: where everything that must last is kept.
//!
//! 1. [`bucket`]: the operations we need, with the meaning we need, over any `object_store`.
//!    `listing`: those that say what is there.
//! 2. `types`: documents, versions, tags.  `object`: one object: a conditional write whose outcome can be relied on.
//! 3. `walk`: listings as streams of pages.
//! 4. [`mode`]: how documents are changed, and what that depends on.  `probe` checks a store, [`report`] is
//!    its result, `capabilities` keeps it.
//! 5. [`location`]: which store a URL names.
//! 6. `s3`: the clients of an S3 service, and how long each waits.
//! 7. `local`: a local directory as an object store with durable writes and real compare-and-swap.
//! 8. `durable`: the file-system calls under that.  `root`: whether the folder is still the one that was opened.
//! 9. `foreign`: what other systems keep in the same bucket.

pub(crate) mod bucket;
mod capabilities;
pub(crate) mod durable;
mod foreign;
mod listing;
pub(crate) mod local;
pub(crate) mod location;
pub(crate) mod mode;
mod object;
mod probe;
pub(crate) mod report;
mod root;
#[cfg(feature = "s3")]
mod s3;
pub(crate) mod types;
mod walk;

pub use bucket::Bucket;
pub use location::StoreUrl;
pub use mode::{Property, StoreMode};
pub use report::{CheckOutcome, Finding, Report};
#[cfg(feature = "server")]
pub(crate) use types::Stored;
pub(crate) use types::{Listed, Tag, Version, Written};
pub(crate) use walk::PAGE;
