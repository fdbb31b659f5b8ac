//! Events are kept for as many days as their stream, its tenant or the server says, and no longer.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use keyloft::ManualClock;
use serde_json::json;

use crate::support::{Client, TestServer};

const WEB: &str = "/api/v1/tenants/default/logstream/web";
const TENANT: &str = "/api/v1/tenants/default";

fn start() -> DateTime<Utc> {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

async fn count(reader: &Client) -> u64 {
    let answer = reader.query("SELECT count(*) AS n FROM web").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()[0]["n"].as_u64().unwrap()
}

/// A server that has stored one event on each of six days; it is the sixth.
async fn server(retention: Option<u32>) -> (TestServer, Client, Client) {
    let clock = Arc::new(ManualClock::new(start()));
    let server = TestServer::spawn_with(|setup| {
        setup.clock = clock.clone();
        setup.config.compaction.retention = retention.map(|days| days.try_into().unwrap());
        setup.config.compaction.interval = None; // Nothing is removed but when a test says so.
    })
    .await;
    let admin = server.admin();
    let sender = server.with_key(&admin.issue("default", "sender", "ingestion").await.api_key);
    let reader = server.with_key(&admin.issue("default", "reader", "query").await.api_key);
    for day in 0..6 {
        if day > 0 {
            clock.advance(TimeDelta::days(1));
        }
        assert_eq!(sender.ingest("web", json!({"day": day}).to_string()).await.status, 200);
    }
    (server, admin, reader)
}

#[tokio::test]
async fn the_stream_wins_over_its_tenant_and_the_tenant_over_the_server_from_the_next_query_on() {
    let (server, admin, reader) = server(Some(3)).await;
    assert_eq!(count(&reader).await, 4, "today and three days before");
    let set = async |path: &str, days: serde_json::Value| {
        let answer = admin.patch(path, json!({"retentionDays": days})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["retentionDays"], days);
        count(&reader).await
    };
    assert_eq!(set(TENANT, json!(1)).await, 2);
    assert_eq!(set(WEB, json!(2)).await, 3);
    assert_eq!(set(WEB, json!(0)).await, 6, "for ever");
    assert_eq!(set(WEB, json!(null)).await, 2);
    assert_eq!(set(TENANT, json!(null)).await, 4);
    assert_eq!(set(TENANT, json!(0)).await, 6);
    for wrong in [json!(-1), json!(36_501), json!("30d"), json!(1.5)] {
        admin.patch(WEB, json!({"retentionDays": wrong})).await.refused(400, "invalid_request");
        admin.patch(TENANT, json!({"retentionDays": wrong})).await.refused(400, "invalid_request");
    }
    let usage = "/api/v1/tenants/default/logstream/keyloft_usage";
    assert_eq!(admin.patch(usage, json!({"retentionDays": 7})).await.status, 200);
    admin.patch(usage, json!({"retentionDays": 7, "onInvalid": "reject"})).await.refused(400, "invalid_request");
    admin.patch(usage, json!({})).await.refused(400, "invalid_request");
    let rejected = "/api/v1/tenants/default/logstream/keyloft_rejected";
    assert_eq!(admin.patch(rejected, json!({"retentionDays": 7})).await.status, 200);
    let nonsense = "/api/v1/tenants/default/logstream/keyloft_nonsense";
    let refused = admin.patch(nonsense, json!({"retentionDays": 7})).await;
    refused.refused(404, "not_found");
    assert!(refused.text().contains("keyloft_usage"), "{}", refused.text());
    admin.get(nonsense).await.refused(404, "not_found");
    assert_eq!(admin.get(TENANT).await.json()["retentionDays"], 0);
    let server = server.restart().await;
    assert_eq!(server.admin().get(usage).await.json()["retentionDays"], 7);
}

#[tokio::test]
async fn days_out_of_retention_are_removed_from_the_store() {
    let (server, admin, reader) = server(None).await;
    assert_eq!(count(&reader).await, 6);
    assert_eq!(admin.patch(WEB, json!({"retentionDays": 2})).await.status, 200);
    assert_eq!(count(&reader).await, 3);
    let (tenant, stream) = (keyloft::key::TenantId::default(), keyloft::key::StreamName::parse("web").unwrap());
    for back in 3..6 {
        let date = (start() + TimeDelta::days(5 - back)).date_naive();
        server.app.compactor.compact(&(tenant.clone(), stream.clone(), date)).await.unwrap();
    }
    let files = |day: i64| {
        let folder = format!("streams/web/date={}", (start() + TimeDelta::days(day)).date_naive());
        let files = std::fs::read_dir(server.path(&folder)).into_iter().flatten().flatten();
        files.filter(|file| file.file_name() != "manifest.json").count()
    };
    assert_eq!((files(0), files(5)), (1, 1), "a query that has begun may still read it");
    // Raised again: what is emptied is empty, and no query fails.
    assert_eq!(admin.patch(WEB, json!({"retentionDays": 0})).await.status, 200);
    assert_eq!(count(&reader).await, 3);
}
