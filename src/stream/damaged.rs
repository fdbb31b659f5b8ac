//! The library panics on some objects that are damaged. What decodes them is called through here.

use std::panic::{AssertUnwindSafe, catch_unwind};

use futures::FutureExt;

/// Why an object cannot be read that the library panics on.
pub const DAMAGED: &str = "it is damaged";

/// The result of `decode`; `None` when it panics.
pub fn caught<T>(decode: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(decode)).ok()
}

/// The same of what waits for a store.
pub async fn caught_later<T>(decode: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(decode).catch_unwind().await.ok()
}
