//! What every handler may need: one value, built once by the boot sequence, shared by all workers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::attempts::Attempts;
use super::routes;
use crate::access::limits::Limiter;
use crate::access::{AdminDigest, Sessions};
use crate::audit::{AuditLog, AuditRows};
use crate::cache::{KeyCache, UnreadableDocuments};
use crate::clock::Clock;
use crate::compaction::Compactor;
use crate::config::{Authentication, Config, RedisUrl};
use crate::decisions::{Decider, Recorder};
use crate::ingest::firehose::Deliveries;
use crate::ingest::{Fault, Ingest};
use crate::key::request_ids::RequestIds;
use crate::key::{RetentionDays, TenantId};
use crate::keystore::Keystore;
use crate::mitigations::Mitigations;
use crate::operators::accounts::SignInPolicy;
use crate::operators::{Accounts, Machines, Memberships, Signers};
use crate::policy_book::{PolicyBook, Versions};
#[cfg(feature = "query")]
use crate::query::Engine;
use crate::shared_redis::SharedRedis;
use crate::signin::{self, Providers, PublicUrl};
use crate::store::Bucket;
use crate::stream::StreamCatalog;
use crate::stream::system::AUDIT;
use crate::sync::{self, Held, HeldDocuments};
use crate::telemetry::metrics::Metrics;
use crate::usage::Meter;

/// The state of a node.
pub struct App {
    /// Where everything is kept.
    pub bucket: Bucket,
    /// Keys and tenants.
    pub keystore: Keystore,
    /// Programs that administer.
    #[doc(hidden)]
    pub machines: Machines,
    /// Who has a role in a tenant.
    #[doc(hidden)]
    pub memberships: Memberships,
    /// The policy sets of tenants.
    #[doc(hidden)]
    pub policies: PolicyBook,
    /// Decisions about requests.
    #[doc(hidden)]
    pub decider: Decider,
    /// People who have signed in.
    #[doc(hidden)]
    pub accounts: Accounts,
    /// Where people sign in.
    #[doc(hidden)]
    pub providers: Providers,
    /// Where browsers reach this system.
    #[doc(hidden)]
    pub public_url: Option<PublicUrl>,
    /// How often one network may try to sign in.
    pub(crate) attempts: Attempts,
    /// Streams and their fields.
    #[doc(hidden)]
    pub catalog: Arc<StreamCatalog>,
    /// The query sessions of this node.
    pub sessions: Arc<Sessions>,
    /// The limits of keys and tenants.
    pub limiter: Arc<Limiter>,
    /// Ingest of events.
    #[doc(hidden)]
    pub ingest: Ingest,
    /// Merges events of the streams.
    #[doc(hidden)]
    pub compactor: Compactor,
    /// Firehose deliveries of the last ten minutes.
    #[doc(hidden)]
    pub deliveries: Deliveries,
    /// The SQL engine.
    #[cfg(feature = "query")]
    #[doc(hidden)]
    pub engine: Engine,
    /// Counters of key usage.
    #[doc(hidden)]
    pub usage: Meter,
    /// The digest of the admin token.
    pub admin_token: AdminDigest,
    /// What happened.
    #[doc(hidden)]
    pub audit: AuditLog,
    /// The same as rows of a stream.
    #[doc(hidden)]
    pub audit_rows: AuditRows,
    /// How long requests that changed nothing wait until they are logged.
    audit_interval: Duration,
    /// Whether requests need a credential.
    pub(crate) authentication: Authentication,
    /// The metrics of this node.
    #[doc(hidden)]
    pub metrics: Metrics,
    /// Ids for requests whose clients give none.
    pub(crate) request_ids: RequestIds,
    /// The largest body of events, in bytes, before and after decompression.
    #[doc(hidden)]
    pub max_body_bytes: usize,
    /// How long a body of events may take to arrive.
    #[doc(hidden)]
    pub body_timeout: Duration,
    /// Whether the node is shutting down.
    #[doc(hidden)]
    pub draining: AtomicBool,
    /// Permits for bulk work, whose bodies are held in memory.
    #[doc(hidden)]
    pub bulk: Arc<Semaphore>,
    /// Permits for keys that ask how much their streams hold: each costs requests to the store.
    pub(crate) statistics: Semaphore,
}

/// Added to the longest session: for nodes whose clock runs slower, and for reads that are still ending.
const MARGIN: Duration = Duration::from_secs(60);
/// After this long without the store, other nodes may soon count this one as dead, and its schemas of streams may be
/// outdated.
const CONTACT: chrono::TimeDelta = chrono::TimeDelta::seconds(60);
/// Refused requests are logged, and the audit is in its stream, within a minute.
const AUDIT_INTERVAL: Duration = Duration::from_secs(60);
/// How many requests may do bulk work at once.
const BULK_WORK: usize = 2;
/// How many requests with a key may look up at once how much streams hold.
const STATISTICS: usize = 2;

impl App {
    /// Whether the node is shutting down.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// The state of a node that starts. Must be called inside the runtime that lasts as long as the node: events are
    /// written there.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Internal`] when a thread cannot be started, [`crate::ErrorKind::Invalid`] when the address
    /// of Redis cannot be used.
    pub fn new(
        config: &Config,
        bucket: Bucket,
        cache: Arc<KeyCache>,
        clock: Arc<dyn Clock>,
        admin_token: AdminDigest,
    ) -> crate::Result<Self> {
        let catalog = Arc::new(StreamCatalog::new(bucket.clone()));
        let (machines, members) = (Arc::new(Held::new(bucket.clone())), Arc::new(Held::new(bucket.clone())));
        let (people, signers) = (Arc::new(Held::new(bucket.clone())), Arc::new(Held::new(bucket.clone())));
        let policy_sets = Arc::new(Versions::new(bucket.clone()));
        let mitigations = Arc::new(Mitigations::new(bucket.clone(), clock.clone(), policy_sets.clone()));
        let held = mitigations.clone();
        let kinds: Vec<Arc<dyn HeldDocuments>> =
            vec![machines.clone(), members.clone(), people.clone(), signers.clone(), policy_sets.clone(), held];
        let (ttl, most) = (config.session.ttl, config.session.max_per_tenant);
        let sessions = Sessions::new(cache.clone(), clock.clone(), ttl, most);
        follow_operators(&sessions, &kinds);
        let keystore = Keystore::holding(bucket.clone(), cache.clone(), clock.clone(), config.sync.clone(), kinds);
        share_streams(&keystore, &catalog);
        mitigations.join(keystore.replica());
        let audit = AuditLog::new(bucket.clone());
        audit.listen(keystore.replica());
        let (tenants, by_default) = (cache.clone(), config.compaction.retention);
        let store_clock = keystore.replica().store_clock().clone();
        let of_audit = config.sync.audit_retention.and_then(|retention| RetentionDays::covering(retention).ok());
        catalog.retain(store_clock.clone(), move |id, stream| match stream.as_str() {
            AUDIT => of_audit,
            _ => tenants.tenant(id).and_then(|tenant| tenant.retention_days).or(by_default),
        });
        let (clock_of_node, settings) = (clock.clone(), config.ingest.clone());
        let ingest = Ingest::new(bucket.clone(), catalog.clone(), clock_of_node, store_clock.clone(), settings);
        let system_streams = Arc::new(ingest.system_writer());
        let limits = &config.limits;
        let redis = |url: &RedisUrl| SharedRedis::new(url.expose(), limits.redis_ca.as_deref(), limits.redis_timeout);
        let redis = limits.redis.as_ref().map(redis).transpose()?.map(Arc::new);
        let limiter = Limiter::new(cache.clone(), clock.clone(), limits.requests).counting_in(redis.clone());
        let compactor = Compactor::new(
            bucket.clone(),
            catalog.clone(),
            store_clock.clone(),
            keystore.clone(),
            &config.compaction,
            config.session.ttl + MARGIN,
        );
        let policies = PolicyBook::new(keystore.clone(), policy_sets);
        let recorders = Recorder::both(&system_streams, &store_clock);
        let (of_decider, settings) = (bucket.clone(), config.policy.clone());
        let decider = Decider::new(of_decider, keystore.clone(), policies.clone(), mitigations, recorders, settings);
        let decider = decider.counting_in(redis);
        let policy = sign_in_policy(&config.signin);
        let memberships = Memberships::new(keystore.clone(), members, people.clone(), &policy.platform_admins);
        let public_url = config.signin.public_url.clone();
        let issuer = public_url.as_ref().map_or("keyloft", |url| url.as_str());
        let signers = Signers::new(keystore.clone(), signers, issuer, policy.lasts);
        let accounts = Accounts::new(keystore.clone(), people, memberships.clone(), signers, policy);
        let providers = Providers::new(&config.signin, clock.clone())?;
        let metrics = Metrics::new(routes().iter().map(|route| route.path), Fault::ALL.map(Fault::as_str));
        Ok(Self {
            limiter: Arc::new(limiter),
            sessions,
            ingest,
            compactor,
            deliveries: Deliveries::default(),
            #[cfg(feature = "query")]
            engine: Engine::new(bucket.clone(), catalog.clone(), config.query.clone())?,
            audit_rows: AuditRows::new(audit.clone(), keystore.clone(), accounts.clone(), system_streams.clone()),
            usage: Meter::new(bucket.clone(), keystore.clone(), system_streams, config.usage.clone()),
            bucket,
            machines: Machines::new(keystore.clone(), machines),
            memberships,
            decider,
            policies,
            accounts,
            providers,
            public_url,
            attempts: Attempts::default(),
            keystore,
            catalog,
            admin_token,
            audit,
            audit_interval: config.usage.flush_interval.unwrap_or(AUDIT_INTERVAL).min(AUDIT_INTERVAL),
            authentication: config.http.auth,
            metrics,
            request_ids: RequestIds::default(),
            max_body_bytes: config.ingest.max_body_bytes,
            body_timeout: config.http.request_body_timeout,
            draining: AtomicBool::new(false),
            bulk: Arc::new(Semaphore::new(BULK_WORK)),
            statistics: Semaphore::new(STATISTICS),
        })
    }

    /// Makes memory equal to the bucket: keys, tenants and streams.
    ///
    /// # Errors
    /// As for [`Keystore::sync`].
    pub async fn sync(&self) -> crate::Result<crate::sync::Counts> {
        self.keystore.replica().publish().await?;
        self.sync_streams().await?;
        self.decider.mitigations().load_patiently().await;
        self.keystore.sync().await
    }

    /// Makes the streams in memory equal to the bucket, and logs changes of their settings and versions of policy sets
    /// that were not.
    async fn sync_streams(&self) -> crate::Result<()> {
        self.catalog.sync().await?;
        self.audit.enter_settings(&self.catalog, &self.keystore).await?;
        self.audit.enter_versions(&self.policies, &self.keystore).await
    }

    /// Loads keys, tenants and streams, and retries with growing pauses until that succeeds: a node may start before
    /// its store.
    pub async fn hydrate(&self) {
        let start = Instant::now();
        let mut pause = Duration::from_millis(250);
        loop {
            // Before it serves a request, so that no receipt is complete without this node.
            if let Err(error) = self.keystore.replica().publish().await {
                tracing::debug!("this node is not on the list of nodes yet: {error:?}");
            }
            match self.load().await {
                Ok(counts) => {
                    let millis = start.elapsed().as_millis();
                    let crate::sync::Counts { tenants, keys, unreadable, .. } = counts;
                    let verified = self.keystore.cache().is_verified();
                    tracing::info!(tenants, keys, unreadable, verified, millis, "all keys are loaded");
                    return;
                }
                Err(error) => tracing::error!("the keys cannot be loaded yet: {error:?}"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(10));
        }
    }

    async fn load(&self) -> crate::Result<crate::sync::Counts> {
        // The streams first: once the keys are loaded, the node is ready.
        self.catalog.sync().await?;
        self.decider.mitigations().load_patiently().await;
        self.keystore.load().await
    }

    /// Waits until the keys are loaded.
    pub async fn hydrated(&self) {
        while !self.keystore.cache().is_hydrated() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Probes the store, with growing pauses while it does not answer.
    pub async fn probe_store(&self) {
        let mut pause = Duration::from_millis(250);
        while let Err(error) = self.bucket.probe().await {
            tracing::warn!("the store cannot be probed yet: {error:?}");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(10));
        }
    }

    /// Follows the other nodes, removes idle limits and flushes usage, until dropped. Streams, limits and usage have
    /// loops of their own, so polling never waits for them.
    pub async fn follow(&self) {
        tokio::join!(
            self.keystore.follow(),
            self.machines.follow(),
            self.memberships.follow(),
            self.accounts.follow(),
            self.follow_streams(),
            self.compactor.follow(),
            self.limiter.keep_small(),
            self.usage.follow(),
            self.decider.follow(),
            self.decider.mitigations().follow(self.keystore.replica().settings()),
            self.audit.follow(self.keystore.replica(), self.audit_interval),
            self.audit_rows.follow(self.audit_interval),
        );
    }

    /// Reconciles streams with the bucket once per interval: they may be changed by hand.
    async fn follow_streams(&self) {
        let interval = self.keystore.replica().settings().reconcile_interval;
        loop {
            tokio::time::sleep(sync::around(interval)).await;
            if let Err(error) = self.sync_streams().await {
                tracing::warn!("the streams could not be reconciled: {error:?}");
            }
        }
    }

    /// The documents that cannot be used: keys, tenants, machines, members and the schemas of streams.
    #[doc(hidden)]
    pub fn unreadable(&self) -> UnreadableDocuments {
        let mut documents = self.keystore.cache().unreadable();
        documents.extend(self.keystore.replica().unreadable());
        documents.extend(self.catalog.unreadable());
        let of_audit = self.audit_rows.unreadable();
        let of_policies = self.decider.secret().unreadable();
        let of_audit = of_audit.into_iter().chain(of_policies);
        documents.extend(of_audit.map(|(object, reason)| ((TenantId::default(), object), reason)));
        documents
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "App({})", self.keystore.replica().node_id())
    }
}

/// Who is let in without a document that says so.
fn sign_in_policy(settings: &signin::Settings) -> SignInPolicy {
    let lasts = chrono::TimeDelta::from_std(settings.session_ttl).unwrap_or(chrono::TimeDelta::hours(8));
    SignInPolicy { mappings: settings.mappings.clone(), platform_admins: settings.platform_admins.clone(), lasts }
}

/// Ends the query sessions of operators when people, members, machines or signers change and the right is gone.
fn follow_operators(sessions: &Arc<Sessions>, kinds: &[Arc<dyn HeldDocuments>]) {
    for kind in kinds {
        let sessions = Arc::downgrade(sessions);
        kind.watch(Arc::new(move || {
            if let Some(sessions) = sessions.upgrade() {
                sessions.review_operators();
            }
        }));
    }
}

/// Announces streams that this node widens, and reloads streams that other nodes announce.
fn share_streams(keystore: &Keystore, catalog: &Arc<StreamCatalog>) {
    let announcer = keystore.clone();
    catalog.on_widened(move |tenant, stream| {
        announcer.announce_stream(tenant.clone(), stream.clone());
    });
    let replica = keystore.clone();
    catalog.trust_while(move || replica.replica().age().is_some_and(|age| age < CONTACT));
    let catalog = Arc::downgrade(catalog);
    keystore.replica().on_stream(move |tenant, stream| {
        if let Some(catalog) = catalog.upgrade() {
            catalog.announced(tenant, stream);
            let (tenant, stream) = (tenant.clone(), stream.clone());
            tokio::spawn(async move {
                if let Err(error) = catalog.reload(&tenant, &stream).await {
                    tracing::warn!(%tenant, %stream, "a stream that another node changed could not be read yet: {error:?}");
                }
            });
        }
    });
}
