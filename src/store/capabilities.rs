//! The capabilities of a store: probed once, by the first caller that needs them.

use tokio::sync::{Mutex, OnceCell};

use super::mode::StoreMode;
use super::object::Store;
use super::probe;
use super::report::Report;
use crate::error::Result;

/// The capabilities of a store. Shared by all clones of a bucket.
#[derive(Debug)]
pub(super) struct Capabilities {
    /// Assumed until it is probed; `None` when it must be probed before the first conditional write.
    assumed: Option<StoreMode>,
    probed: OnceCell<Probed>,
    /// Held by a single writer from its read to its write.
    pub(super) writing: Mutex<()>,
}

#[derive(Debug, Clone)]
struct Probed {
    mode: StoreMode,
    report: Report,
}

impl Capabilities {
    pub(super) fn new(assumed: Option<StoreMode>) -> Self {
        Self { assumed, probed: OnceCell::new(), writing: Mutex::new(()) }
    }

    pub(super) fn is_directory(&self) -> bool {
        self.assumed == Some(StoreMode::Local)
    }

    /// The mode, if it is known without a probe.
    pub(super) fn known(&self) -> Option<StoreMode> {
        self.probed.get().map(|probed| probed.mode).or(self.assumed)
    }

    /// The mode, after a probe if needed.
    pub(super) async fn mode(&self, store: &Store) -> Result<StoreMode> {
        match self.known() {
            Some(mode) => Ok(mode),
            None => Ok(self.probed(store).await?.mode),
        }
    }

    pub(super) async fn probe(&self, store: &Store) -> Result<Report> {
        Ok(self.probed(store).await?.report.clone())
    }

    async fn probed(&self, store: &Store) -> Result<&Probed> {
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
