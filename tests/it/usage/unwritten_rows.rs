//! Rows of `keyloft_usage` that the store did not take, or took without saying so, are written again.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use futures::TryStreamExt;
use keyloft::key::{StreamName, TenantId};
use keyloft::{Bucket, Clock, ManualClock};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::json;

use crate::support::{Client, Fault, Faults, Faulty, TestServer};

const TENANTS: [&str; 2] = ["default", "acme"];
const STREAM: &str = "acme/streams/keyloft_usage";
/// How many objects of a running day are merged at once.
const FAN_IN: usize = 8;

/// A server whose store can fail, with two tenants.
struct Scene {
    server: TestServer,
    store: Arc<InMemory>,
    faults: Arc<Faults>,
    clock: Arc<ManualClock>,
    /// Of each tenant: a key whose use is looked at, and one that looks.
    keys: Vec<(Client, Client)>,
}

impl Scene {
    async fn new() -> Self {
        let faults = Arc::new(Faults::default());
        let clock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH + TimeDelta::days(20_000)));
        let store = Arc::new(InMemory::new());
        let bucket = Bucket::new(Arc::new(Faulty::new(store.clone(), faults.clone())));
        let of_server = clock.clone();
        let server = TestServer::spawn_with(move |setup| {
            (setup.bucket, setup.clock) = (Some(bucket), of_server);
            // Only the tests flush and merge.
            setup.config.usage.flush_interval = Some(Duration::from_secs(3600));
            setup.config.compaction.interval = Some(Duration::from_secs(3600));
        })
        .await;
        assert_eq!(server.admin().post("/api/v1/tenants", json!({"tenantId": "acme"})).await.status, 201);
        let mut keys = Vec::new();
        for tenant in TENANTS {
            let used = server.admin().issue(tenant, "used", "query").await.api_key;
            let body = json!({"keyName": "reader", "keyType": "query", "streams": ["keyloft_usage"]});
            let reader = server.admin().issue_with(tenant, body).await.api_key;
            keys.push((server.with_key(&used), server.with_key(&reader)));
        }
        Self { server, store, faults, clock, keys }
    }

    /// From now on what is written into acme's stream fails.
    fn fail(&self, fault: Fault) {
        self.faults.inject(fault, |call| call.is_write() && call.path.as_ref().starts_with(STREAM));
    }

    /// Uses the key of each tenant so many times, and flushes a second later. Says whether all was written.
    async fn flush_after(&self, requests: usize) -> bool {
        for (used, _) in &self.keys {
            for _ in 0..requests {
                assert_eq!(used.get("/api/v1/whoami").await.status, 200);
            }
        }
        self.clock.advance(TimeDelta::seconds(1));
        self.server.app.usage.flush().await.is_ok()
    }

    /// The requests in the rows of a tenant, from the oldest to the youngest.
    async fn rows_of(&self, tenant: usize) -> Vec<u64> {
        let sql = "SELECT requests FROM keyloft_usage WHERE key_name = 'used' ORDER BY p_timestamp";
        let answer = self.keys[tenant].1.query(sql).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json().as_array().unwrap().iter().map(|row| row["requests"].as_u64().unwrap()).collect()
    }

    async fn merge(&self) {
        let (tenant, stream) = (TenantId::parse("acme").unwrap(), StreamName::parse("keyloft_usage").unwrap());
        self.server.app.compactor.compact(&(tenant, stream, self.clock.now().date_naive())).await.unwrap();
    }

    /// The objects that acme's rows stand in: those of ingest, or merged ones.
    async fn objects(&self, merged: bool) -> Vec<Path> {
        let found: Vec<_> = self.store.list(Some(&Path::from(STREAM))).try_collect().await.unwrap();
        let paths = found.into_iter().map(|object| object.location);
        paths
            .filter(|path| path.extension() == Some("parquet") && path.as_ref().contains("/merged/") == merged)
            .collect()
    }
}

#[tokio::test]
async fn rows_that_could_not_be_written_are_written_later_and_once() {
    for fault in [Fault::ErrorBefore, Fault::ErrorAfter] {
        let scene = Scene::new().await;
        scene.fail(fault);
        for (requests, of_the_other_tenant) in [(2, &[2][..]), (3, &[2, 3]), (4, &[2, 3, 4])] {
            assert!(!scene.flush_after(requests).await, "{fault:?}");
            assert_eq!(scene.rows_of(0).await, of_the_other_tenant, "{fault:?}");
        }
        assert_eq!(scene.server.app.usage.failures(), 3);
        scene.faults.none();
        assert!(scene.flush_after(0).await);
        // What came while the first object was on its way has one of its own, whether the first was stored or not.
        assert_eq!(scene.rows_of(1).await, [2, 3 + 4], "{fault:?}");
        assert!(scene.flush_after(5).await);
        assert_eq!(scene.rows_of(1).await, [2, 3 + 4, 5], "{fault:?}");
        assert_eq!(scene.rows_of(0).await, [2, 3, 4, 5], "{fault:?}");
    }
}

#[tokio::test]
async fn rows_whose_object_was_merged_before_they_are_written_again_count_once() {
    for removed in [false, true] {
        let scene = Scene::new().await;
        for _ in 0..FAN_IN {
            assert!(scene.flush_after(1).await);
        }
        scene.fail(Fault::ErrorAfter);
        assert!(!scene.flush_after(2).await);
        scene.faults.none();
        scene.merge().await;
        let replaced = scene.objects(false).await;
        assert_eq!((replaced.len(), scene.objects(true).await.len()), (FAN_IN + 1, 1));
        if removed {
            // As the compactor does once no query reads them any more.
            for object in replaced {
                scene.store.delete(&object).await.unwrap();
            }
        }
        let merged = [[1; FAN_IN].as_slice(), &[2]].concat();
        assert_eq!(scene.rows_of(1).await, merged);
        assert!(scene.flush_after(3).await);
        assert_eq!(scene.rows_of(1).await, [merged, vec![3]].concat());
    }
}
