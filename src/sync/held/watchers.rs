//! Who wants to know that something in memory has changed.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;

/// Called after a change, on the thread that made it, with no lock of the maps held.
pub type Watcher = Arc<dyn Fn() + Send + Sync>;

/// All of them.
#[derive(Default)]
pub struct Watchers(RwLock<Vec<Watcher>>);

impl Watchers {
    /// Adds one.
    pub fn add(&self, watcher: Watcher) {
        self.0.write().push(watcher);
    }

    /// Calls each.
    pub fn notify(&self) {
        let watchers = self.0.read().clone();
        watchers.iter().for_each(|watcher| watcher());
    }
}

impl fmt::Debug for Watchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} watchers", self.0.read().len())
    }
}
