//! Writing down what was counted, and looking after what nodes left behind that have ended.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::Instant;

use super::archive::Archive;
use super::file::{self, Head};
use super::fold::{Folder, Living, pack};
use super::meter::Meter;
use super::sheet::Found;
use crate::documents::Contention;
use crate::error::{Error, Result};
use crate::layout::ObjectName;
use crate::store::Written;
use crate::sync;

/// How often a node looks for sheets to fold, give or take a fifth.
const FOLD_PERIOD: Duration = Duration::from_secs(1800);
/// How long a node that ends waits for its last flush.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

impl Meter {
    /// Writes down what was counted, once per interval, until dropped. A node that counted nothing writes nothing.
    pub async fn follow(&self) {
        let Some(interval) = self.0.settings.flush_interval else { return };
        let mut next_fold = Instant::now() + sync::up_to(FOLD_PERIOD);
        let (mut begun, mut answered) = (false, true);
        loop {
            if !begun && self.0.keystore.cache().is_hydrated() {
                begun = self.begin().await.is_ok();
            }
            tokio::time::sleep(sync::around(interval)).await;
            let flushed = self.flush().await;
            match &flushed {
                Err(error) if answered => tracing::warn!("what was used is written down later: {error:?}"),
                Ok(()) if !answered => tracing::info!("what was used is written down again"),
                _ => {}
            }
            answered = flushed.is_ok();
            if Instant::now() >= next_fold {
                next_fold = Instant::now() + sync::around(FOLD_PERIOD);
                if let Err(error) = self.fold().await {
                    tracing::warn!("the counters of nodes that ended could not be folded: {error:?}");
                }
            }
        }
    }

    /// Says in the store that counting has begun, unless that is said already.
    ///
    /// # Errors
    /// As for [`Meter::flush`].
    pub async fn begin(&self) -> Result<()> {
        Archive::begin(&self.0.bucket, self.0.now()).await
    }

    /// Writes down what was counted since the last time. What cannot be written is kept, and added to.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer, [`crate::ErrorKind::StoreNotSafe`] when it has no
    /// conditional writes to rely on.
    pub async fn flush(&self) -> Result<()> {
        let _turn = self.0.turn().await?;
        if self.0.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        self.flush_now().await.inspect_err(|_| _ = self.0.failures.fetch_add(1, Ordering::Relaxed))
    }

    async fn flush_now(&self) -> Result<()> {
        self.gather();
        let due = self.0.desk().due();
        let mut outcome = Ok(());
        for place in due {
            outcome = outcome.and(self.write(place).await);
        }
        let keystore = &self.0.keystore;
        let find = |tenant: &_, id| {
            let is_deleted = keystore.cache().tenant(tenant).is_none_or(|tenant| tenant.deleted);
            keystore.cache().key(tenant, id).filter(|_| !is_deleted)
        };
        outcome.and(self.0.rows.write(&self.0.target, find).await)
    }

    fn gather(&self) {
        let mut desk = self.0.desk();
        let counted = self.0.counters.drain();
        if self.0.settings.stream && !counted.is_empty() {
            self.0.rows.add(&counted, self.0.now());
        }
        desk.add(&counted);
    }

    /// Writes one sheet, which is read first: somebody may have sealed it.
    async fn write(&self, place: usize) -> Result<()> {
        let mut contention = Contention::over("a sheet of usage");
        loop {
            let (id, rev) = {
                let mut desk = self.0.desk();
                let sheet = desk.sheet(place);
                (sheet.id(), sheet.rev())
            };
            let name = ObjectName::UsageSheet { id };
            let stored = self.0.bucket.read(&name).await?;
            let found = stored.as_ref().map_or(Found::Nothing, |stored| found(&stored.body, rev));
            let next = {
                let mut desk = self.0.desk();
                let sheet = desk.sheet(place);
                sheet.learn(found);
                if sheet.id() == id && !sheet.is_due() {
                    return Ok(());
                }
                (sheet.id() == id).then(|| (!sheet.is_stored(), sheet.attempt()))
            };
            let Some((is_first, (rev, book))) = next else {
                contention.lost().await?; // It was sealed: on to the next one.
                continue;
            };
            let body = pack(Head::new(id, self.0.node_id(), rev, false, self.0.now()), book).await?;
            let written = match stored {
                Some(stored) => self.0.bucket.replace(&name, body, &stored.version).await?,
                None => self.0.bucket.create(&name, body).await?,
            };
            match written {
                Written::Done => self.0.desk().sheet(place).settle(),
                Written::Conflict => self.0.desk().sheet(place).give_up(),
            }
            match written {
                Written::Done if is_first => {} // A sheet is first written empty.
                Written::Done => return Ok(()),
                Written::Conflict => contention.lost().await?,
            }
        }
    }

    /// Folds the sheets of nodes that have ended into the archive, and forgets keys that are gone. Says how many sheets.
    ///
    /// # Errors
    /// As for [`Meter::flush`]; [`crate::ErrorKind::Corrupt`] when the archive cannot be read. Everything counts as before.
    pub async fn fold(&self) -> Result<usize> {
        let inner = &self.0;
        if !inner.keystore.cache().is_hydrated() {
            return Ok(0); // Nobody knows yet which keys there are.
        }
        let folder = Folder {
            bucket: inner.bucket.clone(),
            node_id: inner.node_id(),
            now: inner.now(),
            silence: TimeDelta::from_std(inner.settings.silence).unwrap_or(TimeDelta::MAX),
        };
        let living = async || {
            let nodes = inner.keystore.replica().nodes().await?;
            let store_now = nodes.iter().map(|node| node.last_seen_at).max().unwrap_or_else(|| inner.now());
            let live = nodes.iter().filter(|node| node.live).map(|node| node.node_id);
            Ok(Living { nodes: live.collect(), store_now })
        };
        let folded = folder.fold(living, |id| inner.desk().owns(id), inner.keeping()).await?;
        inner.desk().retain(&inner.keeping());
        if folded > 0 {
            tracing::info!(sheets = folded, "the counters of nodes that ended are in the archive");
        }
        Ok(folded)
    }

    /// Writes down everything for the last time and seals it, so that another node may fold it at once.
    pub async fn close(&self) {
        if !self.is_on() {
            return;
        }
        let closed = async {
            self.flush().await?;
            let _turn = self.0.turn().await?;
            self.0.closed.store(true, Ordering::Release);
            let stored = self.0.desk().stored();
            for place in stored {
                self.seal(place).await?;
            }
            Ok::<(), Error>(())
        };
        match tokio::time::timeout(LAST_PATIENCE, closed).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("what was used since the last flush is lost: {error:?}"),
            Err(_) => tracing::warn!("what was used since the last flush is lost: the store did not answer in time"),
        }
    }

    async fn seal(&self, place: usize) -> Result<()> {
        let (id, rev, book) = {
            let mut desk = self.0.desk();
            let sheet = desk.sheet(place);
            (sheet.id(), sheet.rev(), sheet.settled().clone())
        };
        let name = ObjectName::UsageSheet { id };
        let Some(stored) = self.0.bucket.read(&name).await? else { return Ok(()) };
        if found(&stored.body, rev) == Found::Open(rev) {
            let body = pack(Head::new(id, self.0.node_id(), rev, true, self.0.now()), book).await?;
            let _sealed_by_one_of_us = self.0.bucket.replace(&name, body, &stored.version).await?;
        }
        Ok(())
    }
}

/// A sheet that somebody broke by hand is written over.
fn found(body: &[u8], rev: u64) -> Found {
    match file::head(body) {
        Ok(head) if head.sealed => Found::Sealed(head.rev),
        Ok(head) => Found::Open(head.rev),
        Err(_) => Found::Open(rev),
    }
}
