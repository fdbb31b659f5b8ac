//! What every handler may need: one value, built once by the boot sequence, shared by all workers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::auth::{AdminDigest, Sessions};
use crate::cache::KeyCache;
use crate::clock::Clock;
use crate::config::Config;
use crate::ingest::{Ingest, IngestSettings};
use crate::keystore::Keystore;
#[cfg(feature = "query")]
use crate::query::{Engine, QuerySettings};
use crate::store::Bucket;
use crate::stream::StreamCatalog;
use crate::telemetry::metrics::{Levels, Metrics};

/// The state of a node.
pub struct App {
    /// Keys and tenants.
    pub keystore: Keystore,
    /// Streams and their fields.
    pub catalog: Arc<StreamCatalog>,
    /// The query sessions of this node.
    pub sessions: Arc<Sessions>,
    /// Where events go.
    pub ingest: Ingest,
    /// Where SQL is answered.
    #[cfg(feature = "query")]
    pub engine: Engine,
    /// What opens the admin plane.
    pub admin_token: AdminDigest,
    /// What this node counts.
    pub metrics: Metrics,
    /// The largest body of events, in bytes, before and after decompression.
    pub max_body_bytes: usize,
    /// How long a body of events may take to arrive.
    pub body_timeout: Duration,
    /// Who this node is, from start to stop.
    pub node_id: Uuid,
    /// Changes that this node has made since it started.
    pub changes: AtomicU64,
    /// Whether the node is shutting down.
    pub draining: AtomicBool,
}

impl App {
    /// Whether the node is shutting down.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// The state of a node that starts. Must be called inside the runtime that lasts as long as the node: events are
    /// written there.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Internal`] when the query threads cannot be started.
    #[allow(clippy::disallowed_methods)]
    pub fn new(
        config: &Config,
        bucket: Bucket,
        cache: Arc<KeyCache>,
        clock: Arc<dyn Clock>,
        admin_token: AdminDigest,
    ) -> crate::Result<Self> {
        let catalog = Arc::new(StreamCatalog::new(bucket.clone()));
        let ingest = IngestSettings {
            max_body_bytes: config.ingest.max_body_bytes,
            window: config.ingest.window,
            max_in_flight_bytes: config.ingest.max_in_flight_bytes,
            ..IngestSettings::default()
        };
        #[cfg(feature = "query")]
        let query = QuerySettings { memory_bytes: config.query.memory_bytes, ..QuerySettings::default() };
        Ok(Self {
            sessions: Sessions::new(cache.clone(), clock.clone(), config.session.ttl, config.session.max_per_tenant),
            ingest: Ingest::new(bucket.clone(), catalog.clone(), clock.clone(), ingest),
            #[cfg(feature = "query")]
            engine: Engine::new(bucket.clone(), catalog.clone(), query)?,
            keystore: Keystore::new(bucket, cache, clock),
            catalog,
            admin_token,
            metrics: Metrics::default(),
            max_body_bytes: config.ingest.max_body_bytes,
            body_timeout: config.http.request_body_timeout,
            node_id: Uuid::new_v4(),
            changes: AtomicU64::new(0),
            draining: AtomicBool::new(false),
        })
    }

    /// Makes memory equal to the bucket: keys, tenants and streams.
    ///
    /// # Errors
    /// As for [`Keystore::sync`].
    pub async fn sync(&self) -> crate::Result<crate::sync::Counts> {
        // The streams first: once the keys are loaded, the node is ready.
        self.catalog.sync().await?;
        self.keystore.sync().await
    }

    /// Syncs until it has worked once, with growing pauses: a node starts before its store does, and waits.
    pub async fn hydrate(&self) {
        let start = Instant::now();
        let mut pause = Duration::from_millis(250);
        loop {
            match self.sync().await {
                Ok(counts) => {
                    let millis = start.elapsed().as_millis();
                    let crate::sync::Counts { tenants, keys, unreadable, .. } = counts;
                    tracing::info!(tenants, keys, unreadable, millis, "all keys are loaded");
                    return;
                }
                Err(error) => tracing::error!("the keys cannot be loaded yet: {error:?}"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(10));
        }
    }

    /// What is true now, for the metrics.
    pub fn levels(&self) -> Levels {
        let cache = self.keystore.cache();
        Levels {
            keys: cache.key_count(),
            tenants: self.keystore.tenants().len(),
            unreadable: cache.unreadable().len(),
            sessions: self.sessions.list().len(),
        }
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "App({})", self.node_id)
    }
}
