//! The one static of the crate: the cache of the running server. Only `keyloft serve` asks for it; everything else is
//! given a cache, so that any number of servers fit into one process.

use std::sync::Arc;

use once_cell::sync::Lazy;

use super::KeyCache;

static CACHE: Lazy<Arc<KeyCache>> = Lazy::new(Arc::default);

/// The cache of this process.
pub fn cache() -> Arc<KeyCache> {
    CACHE.clone()
}
