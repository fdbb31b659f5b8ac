//! A node whose clock is wrong takes no events, and takes nothing away that others keep.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use keyloft::key::{StreamName, TenantId};
use keyloft::{Clock, SystemClock};
use parking_lot::Mutex;
use serde_json::json;

use crate::support::{Client, TestServer};

/// The clock of a machine that is set wrongly.
#[derive(Debug, Default)]
struct WrongClock(Mutex<TimeDelta>);

impl WrongClock {
    fn set(&self, ahead: TimeDelta) {
        *self.0.lock() = ahead;
    }
}

impl Clock for WrongClock {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + *self.0.lock()
    }
}

async fn count(reader: &Client) -> u64 {
    let answer = reader.query("SELECT count(*) AS n FROM web").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()[0]["n"].as_u64().unwrap()
}

/// A server of a store that another serves too, whose clock is `ahead`.
async fn beside(right: &TestServer, ahead: TimeDelta) -> (TestServer, Arc<WrongClock>) {
    let clock = Arc::new(WrongClock::default());
    clock.set(ahead);
    let directory = right.shared_directory();
    let server = TestServer::spawn_with(|setup| {
        setup.directory = directory;
        setup.clock = clock.clone();
        setup.config.compaction.retention = Some(30.try_into().unwrap());
        setup.config.sync.revoked_retention = Some(Duration::from_secs(30 * 24 * 3600));
        setup.config.sync.poll_interval = Duration::from_millis(50);
    })
    .await;
    (server, clock)
}

#[tokio::test]
async fn a_node_whose_clock_is_wrong_takes_no_events_until_it_is_set() {
    let right = TestServer::spawn().await;
    let key = right.admin().issue("default", "sender", "ingestion").await.api_key;
    for ahead in [TimeDelta::days(60), TimeDelta::seconds(23), TimeDelta::seconds(-23)] {
        let (wrong, clock) = beside(&right, ahead).await;
        let sender = wrong.with_key(&key);
        let refused = sender.ingest("web", r#"{"a": 1}"#).await;
        refused.refused(503, "clock_wrong");
        assert!(refused.header("retry-after").is_some());
        let side = if ahead > TimeDelta::zero() { "s ahead of" } else { "s behind" };
        assert!(refused.text().contains(side), "{}", refused.text());
        let metrics = wrong.admin().get("/metrics").await;
        let shown = metrics.text().lines().find_map(|line| line.strip_prefix("keyloft_clock_difference_seconds "));
        let shown: f64 = shown.unwrap().parse().unwrap();
        assert!((shown - ahead.as_seconds_f64()).abs() < 2.5, "{shown} for {ahead}");
        clock.set(TimeDelta::zero());
        let taken = async { while sender.ingest("web", r#"{"a": 1}"#).await.status != 200 {} };
        tokio::time::timeout(Duration::from_secs(20), taken).await.unwrap();
        // And while it runs.
        clock.set(ahead);
        sender.ingest("web", r#"{"a": 1}"#).await.refused(503, "clock_wrong");
    }
}

#[tokio::test]
async fn a_node_whose_clock_is_sixty_days_ahead_takes_nothing_away() {
    let right = TestServer::spawn().await;
    let admin = right.admin();
    let sender = right.with_key(&admin.issue("default", "sender", "ingestion").await.api_key);
    let reader_key = admin.issue("default", "reader", "query").await.api_key;
    let revoked = admin.issue("default", "revoked", "query").await;
    admin.delete(&format!("/api/v1/tenants/default/apikeys/{}", revoked.id)).await;
    assert_eq!(sender.ingest("web", json!([{"a": 1}, {"a": 2}]).to_string()).await.status, 200);

    let (wrong, _) = beside(&right, TimeDelta::days(60)).await;
    let (tenant, stream) = (TenantId::default(), StreamName::parse("web").unwrap());
    wrong.app.compactor.compact(&(tenant, stream, SystemClock.now().date_naive())).await.unwrap();
    assert_eq!(wrong.app.keystore.purge().await.unwrap(), 0);
    assert_eq!(count(&wrong.with_key(&reader_key)).await, 2, "it sees what others see");
    assert_eq!(count(&right.with_key(&reader_key)).await, 2);
    let kept = admin.get(&format!("/api/v1/tenants/default/apikeys/{}", revoked.id)).await;
    assert_eq!(kept.json()["state"], "revoked", "{}", kept.text());
}
