//! What each node has applied, published where all can read it.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use relative_path::RelativePath;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::alone::Alone;
use super::chain::EntryHash;
use super::log;
use crate::clock::{Clock, StoreClock};
use crate::error::{ErrorKind, Result};
use crate::key::NodeId;
use crate::layout::{self, ObjectName};
use crate::store::{Bucket, Tag};

const VERSION: u32 = 1;
/// A node that has nothing new to say says so this often.
const HEARTBEAT: TimeDelta = TimeDelta::seconds(60);
/// A node is live until it has been silent for three heartbeats.
const SILENCE: TimeDelta = TimeDelta::seconds(180);
/// A node that is not live for this long is forgotten.
const FORGOTTEN: TimeDelta = TimeDelta::hours(24);
/// How many documents are read at once.
const READS: usize = 16;

/// The document of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeDocument {
    version: u32,
    /// Which node.
    pub node_id: NodeId,
    /// Every entry of the change log up to this one is in its memory.
    pub applied_seq: u64,
    /// When it wrote this, by its own clock.
    pub at: DateTime<Utc>,
    /// Whether it finds events that were merged. Nodes of earlier versions do not say so.
    #[serde(default)]
    pub reads_manifests: bool,
    /// The last entry of the change log that it has seen; nothing of nodes of earlier versions, and before the first.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub head: Option<LogHead>,
}

/// An entry of the change log that a node has seen. Who cuts off the end of the log must change this too, or `verify`
/// tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHead {
    /// Its number.
    pub seq: u64,
    /// Its hash.
    pub hash: EntryHash,
}

/// What a later version writes may be none of ours: it is not known then.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<LogHead>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).ok())
}

/// The last entries that nodes have seen, as far as they say so.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the store does not answer.
pub async fn heads(bucket: &Bucket) -> Result<Vec<(NodeId, LogHead)>> {
    let mut heads = Vec::new();
    for listed in bucket.list(&layout::nodes()).await? {
        let Some(name @ ObjectName::Node { node_id }) = ObjectName::parse(RelativePath::new(listed.path.as_str()))
        else {
            continue;
        };
        let stored = match bucket.read(&name).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => continue,
            read => read?,
        };
        let document = stored.and_then(|stored| serde_json::from_slice::<NodeDocument>(&stored.body).ok());
        heads.extend(document.and_then(|document| Some((node_id, document.head?))));
    }
    Ok(heads)
}

/// A node as another sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// Which node.
    pub node_id: NodeId,
    /// What it has applied.
    pub applied_seq: u64,
    /// When it last published, by the clock of the store.
    pub last_seen_at: DateTime<Utc>,
    /// Whether it has published within three heartbeats.
    pub live: bool,
    /// Whether it finds events that were merged.
    pub reads_manifests: bool,
}

/// What this node has published, and what the others have. Ages go by the clock of the store, which all nodes share, so
/// a node with a wrong clock counts neither as dead too early nor as live too long.
#[derive(Debug)]
pub struct NodeRegistry {
    node_id: NodeId,
    alone: Arc<Alone>,
    /// One writing at a time, so that no older state follows a newer one. Says whether this node has ended.
    withdrawn: tokio::sync::Mutex<bool>,
    published: Mutex<Option<Published>>,
    known: Mutex<HashMap<NodeId, KnownNode>>,
    /// When our own document was written by the clock of the store, and when that was first seen here. Not when it was
    /// sent: a writing that had no answer may arrive minutes later.
    seen: Mutex<Option<(DateTime<Utc>, Instant)>>,
}

#[derive(Debug, Clone, Copy)]
struct Published {
    applied_seq: u64,
    at: DateTime<Utc>,
}

#[derive(Debug, Clone)]
struct KnownNode {
    applied_seq: u64,
    reads_manifests: bool,
    tag: Option<Tag>,
    written_at: DateTime<Utc>,
}

impl NodeRegistry {
    /// The registry as seen by a node that has published nothing.
    pub(super) fn new(node_id: NodeId, alone: Arc<Alone>) -> Self {
        let (withdrawn, published, known, seen) = Default::default();
        Self { node_id, alone, withdrawn, published, known, seen }
    }

    /// Publishes what this node has applied, and the last entry that it has seen, if that is news, a heartbeat is due,
    /// or the clock of the store is to be learnt anew.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn publish(
        &self,
        bucket: &Bucket,
        state: impl Fn() -> (u64, Option<LogHead>),
        now: DateTime<Utc>,
        store_clock: &StoreClock,
    ) -> Result<()> {
        let withdrawn = self.withdrawn.lock().await;
        let ((applied_seq, head), learns) = (state(), store_clock.wants_a_write());
        let stale =
            |last: Published| learns || last.applied_seq != applied_seq || now - last.at >= HEARTBEAT || now < last.at;
        if *withdrawn || !self.published.lock().is_none_or(stale) {
            return Ok(());
        }
        let (version, node_id) = (VERSION, self.node_id);
        let document = NodeDocument { version, node_id, applied_seq, at: now, reads_manifests: true, head };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let (moment, began, name) = (Instant::now(), store_clock.mark(), ObjectName::Node { node_id: self.node_id });
        bucket.put(&name, body.into()).await?;
        *self.published.lock() = Some(Published { applied_seq, at: now });
        self.alone.published(moment);
        let ended = store_clock.mark();
        if learns && let Some(written_at) = bucket.written_at(&name).await? {
            store_clock.wrote(written_at, began, ended);
        }
        Ok(())
    }

    /// Takes this node out: it ends, and publishes nothing any more.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn withdraw(&self, bucket: &Bucket) -> Result<()> {
        let mut withdrawn = self.withdrawn.lock().await;
        *withdrawn = true;
        bucket.remove(&ObjectName::Node { node_id: self.node_id }).await
    }

    /// Reads all nodes: one listing, and the documents that changed since the last time.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn read(&self, bucket: &Bucket, applied_seq: u64, now: DateTime<Utc>) -> Result<Vec<NodeView>> {
        let (began, before) = (Instant::now(), self.known.lock().clone());
        let listed = bucket.list(&layout::nodes()).await?.into_iter().filter_map(|listed| {
            match ObjectName::parse(RelativePath::new(listed.path.as_str()))? {
                ObjectName::Node { node_id } => Some((node_id, (listed.tag, listed.written_at))),
                _ => None,
            }
        });
        let mut listed: HashMap<NodeId, (Option<Tag>, DateTime<Utc>)> = listed.collect();
        // A weak listing may miss a node: only a read that finds nothing takes it out.
        for (node_id, known) in &before {
            listed.entry(*node_id).or_insert((None, known.written_at));
        }
        let reads = futures::stream::iter(listed).map(|(node_id, (tag, written_at))| {
            let known = before.get(&node_id).filter(|known| tag.is_some() && known.tag == tag).cloned();
            async move {
                if let Some(known) = known {
                    return Ok((node_id, Some(KnownNode { written_at, ..known })));
                }
                let document = match bucket.read(&ObjectName::Node { node_id }).await {
                    Ok(Some(stored)) => serde_json::from_slice::<NodeDocument>(&stored.body).ok(),
                    Ok(None) => return Ok((node_id, None)),
                    Err(error) if error.kind() == ErrorKind::Corrupt => None,
                    Err(error) => return Err(error),
                };
                // A document that cannot be read belongs to a node all the same: one that has applied nothing.
                let document = document.filter(|document| document.applied_seq <= log::MAX_SEQ);
                let applied_seq = document.as_ref().map_or(0, |document| document.applied_seq);
                let reads_manifests = document.is_some_and(|document| document.reads_manifests);
                Ok((node_id, Some(KnownNode { applied_seq, reads_manifests, tag, written_at })))
            }
        });
        let read: Vec<_> = reads.buffer_unordered(READS).try_collect().await?;
        // Not all at once: another reading, that began with less, may end at the same time.
        for (node_id, found) in read {
            match found {
                Some(found) => _ = self.known.lock().insert(node_id, found),
                None => _ = self.known.lock().remove(&node_id),
            }
        }
        let own = self.known.lock().get(&self.node_id).map(|own| own.written_at);
        {
            let mut seen = self.seen.lock();
            if let Some(written_at) = own.filter(|own| seen.is_none_or(|(before, _)| before != *own)) {
                *seen = Some((written_at, Instant::now()));
            }
        }
        let views = self.last_read(applied_seq, now);
        self.alone.listed(began, !views.iter().any(|view| view.live && view.node_id != self.node_id));
        Ok(views)
    }

    /// All nodes as they were read last, this node as it is now.
    pub fn last_read(&self, applied_seq: u64, now: DateTime<Utc>) -> Vec<NodeView> {
        let known = self.known.lock().clone();
        let store_now = self.store_now(&known, now);
        let mut views: Vec<NodeView> = known
            .into_iter()
            .filter(|(node_id, _)| *node_id != self.node_id)
            .map(|(node_id, known)| NodeView {
                node_id,
                applied_seq: known.applied_seq,
                reads_manifests: known.reads_manifests,
                last_seen_at: known.written_at,
                live: store_now - known.written_at < SILENCE,
            })
            .collect();
        let (live, reads_manifests) = (true, true);
        views.push(NodeView { node_id: self.node_id, applied_seq, last_seen_at: store_now, live, reads_manifests });
        views.sort_unstable_by_key(|view| view.node_id);
        views
    }

    /// Removes the documents of nodes that had been silent for a day when the nodes were read last.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn sweep(&self, bucket: &Bucket, applied_seq: u64, now: DateTime<Utc>) -> Result<()> {
        let views = self.last_read(applied_seq, now);
        let store_now = views.iter().map(|view| view.last_seen_at).max().unwrap_or(now);
        for view in views.iter().filter(|view| store_now - view.last_seen_at >= FORGOTTEN) {
            bucket.remove(&ObjectName::Node { node_id: view.node_id }).await?;
        }
        Ok(())
    }

    /// The time by the clock of the store, or a little less: that of our last writing, and what has passed here since
    /// it was seen.
    fn store_now(&self, known: &HashMap<NodeId, KnownNode>, now: DateTime<Utc>) -> DateTime<Utc> {
        let mine = self.seen.lock().map(|(written_at, since)| written_at + since.elapsed());
        let newest = known.values().map(|known| known.written_at).max();
        mine.into_iter().chain(newest).max().unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, SystemClock};

    fn by_hand() -> StoreClock {
        StoreClock::new(Arc::new(ManualClock::new(SystemClock.now())))
    }

    #[tokio::test]
    async fn a_node_is_seen_with_what_it_has_applied() {
        let bucket = Bucket::in_memory();
        let (a, b) =
            (NodeRegistry::new(NodeId::random(), Arc::default()), NodeRegistry::new(NodeId::random(), Arc::default()));
        let now = SystemClock.now();
        a.publish(&bucket, || (3, None), now, &by_hand()).await.unwrap();
        b.publish(&bucket, || (5, None), now, &by_hand()).await.unwrap();
        let views = a.read(&bucket, 4, now).await.unwrap();
        let of = |registry: &NodeRegistry| views.iter().find(|view| view.node_id == registry.node_id).unwrap();
        assert_eq!((of(&a).applied_seq, of(&b).applied_seq, of(&b).live), (4, 5, true));
        b.withdraw(&bucket).await.unwrap();
        assert_eq!(a.read(&bucket, 4, now).await.unwrap().len(), 1);
        b.publish(&bucket, || (6, None), now, &by_hand()).await.unwrap();
        assert_eq!(a.read(&bucket, 4, now).await.unwrap().len(), 1, "it has ended");
    }

    #[cfg(feature = "paused-time")]
    #[tokio::test(start_paused = true)]
    async fn a_silent_node_counts_as_live_for_three_heartbeats() {
        let bucket = Bucket::in_memory();
        let (a, b) =
            (NodeRegistry::new(NodeId::random(), Arc::default()), NodeRegistry::new(NodeId::random(), Arc::default()));
        let now = SystemClock.now();
        a.publish(&bucket, || (1, None), now, &by_hand()).await.unwrap();
        b.publish(&bucket, || (1, None), now, &by_hand()).await.unwrap();
        a.read(&bucket, 1, now).await.unwrap();
        let live = |at| a.last_read(1, at).iter().filter(|view| view.live).count();
        tokio::time::advance(std::time::Duration::from_secs(170)).await;
        assert_eq!(live(now), 2);
        assert_eq!(live(now + TimeDelta::days(1)), 2, "a clock that was set says nothing");
        tokio::time::advance(std::time::Duration::from_secs(20)).await;
        assert_eq!(live(now), 1);
    }
}
