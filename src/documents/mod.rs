//! Versioned JSON documents in the bucket, and the one way to change them.
//!
//! 1. [`context`]: who asks for a change.  [`audited`]: what a change has made different, for the change log.
//! 2. [`document`]: a kind of document, and the outcome of reading one.  [`unreadable`]: why one cannot be used.
//! 3. [`collection`]: all documents of a kind: read, created, changed by compare-and-swap.  [`contention`]: back-off
//!    of writers.
//! 4. [`key`], [`tenant`]: the documents of keys and tenants.  [`instant`]: how they write instants.

pub mod audited;
pub mod collection;
pub mod contention;
pub mod context;
pub mod document;
pub mod instant;
pub mod key;
pub mod tenant;
pub mod unreadable;

#[cfg(feature = "server")]
pub use audited::Fields;
pub use audited::{Audited, Difference, LastWrite};
pub use collection::{Documents, Edit, Read};
pub use contention::Contention;
pub use context::RequestContext;
#[cfg(feature = "server")]
pub(crate) use document::stamped;
pub use document::{Document, Found};
pub use key::{KeyDocument, StoredKey};
pub use tenant::{Erasure, TenantDocument};
pub use unreadable::Unreadable;
