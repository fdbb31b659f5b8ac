//! How far the store of this process is trusted: decided once, by whoever asks first.

use tokio::sync::{Mutex, OnceCell};

use super::mode::StoreMode;
use super::object::Store;
use super::probe;
use super::report::Report;
use crate::error::Result;

/// What is known of a store. Shared by all clones of a bucket.
#[derive(Debug)]
pub(super) struct Trust {
    /// What it is until it was probed; `None` when it must be probed before the first conditional write.
    assumed: Option<StoreMode>,
    probed: OnceCell<Probed>,
    /// Held by a single writer from its look to its write.
    pub(super) writing: Mutex<()>,
}

#[derive(Debug, Clone)]
struct Probed {
    mode: StoreMode,
    report: Report,
}

impl Trust {
    pub(super) fn new(assumed: Option<StoreMode>) -> Self {
        Self { assumed, probed: OnceCell::new(), writing: Mutex::new(()) }
    }

    /// What is known without asking.
    pub(super) fn known(&self) -> Option<StoreMode> {
        self.probed.get().map(|probed| probed.mode).or(self.assumed)
    }

    /// What is known, after asking if need be.
    pub(super) async fn mode(&self, store: &Store) -> Result<StoreMode> {
        match self.known() {
            Some(mode) => Ok(mode),
            None => Ok(self.settle(store).await?.mode),
        }
    }

    pub(super) async fn probe(&self, store: &Store) -> Result<Report> {
        Ok(self.settle(store).await?.report.clone())
    }

    async fn settle(&self, store: &Store) -> Result<&Probed> {
        self.probed
            .get_or_try_init(|| async {
                let report = probe::run(store.clone()).await?;
                let mode = report.mode(self.assumed.unwrap_or(StoreMode::Cas));
                match mode {
                    StoreMode::Unsafe { missing } => {
                        tracing::error!(%mode, %missing, "the store was probed: it is not safe for changes");
                    }
                    _ => tracing::info!(%mode, "the store was probed"),
                }
                Ok(Probed { mode, report })
            })
            .await
    }
}
