//! The system stream `keyloft_audit`: each record of a tenant is one row, whichever nodes write, and however they fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keyloft::Bucket;
use keyloft::key::{StreamName, TenantId};
use object_store::memory::InMemory;
use serde_json::{Value, json};

use crate::support::command::Ended;
use crate::support::dice::Dice;
use crate::support::process::keyloft;
use crate::support::{Client, Fault, Faults, Faulty, TestServer};

const TENANTS: [&str; 2] = ["acme", "other"];

/// Two nodes on one store that can fail.
struct Nodes {
    nodes: [TestServer; 2],
    faults: Arc<Faults>,
    readers: BTreeMap<&'static str, Client>,
}

async fn node(store: &Arc<InMemory>, faults: &Arc<Faults>) -> TestServer {
    let bucket = Bucket::new(Arc::new(Faulty::new(store.clone(), faults.clone())));
    TestServer::spawn_with(move |setup| {
        setup.bucket = Some(bucket);
        // Only the test writes rows and merges.
        setup.config.usage.flush_interval = Some(Duration::from_secs(3600));
        setup.config.compaction.interval = Some(Duration::from_secs(3600));
    })
    .await
}

impl Nodes {
    async fn new() -> Self {
        let (store, faults) = (Arc::new(InMemory::new()), Arc::new(Faults::default()));
        let nodes = [node(&store, &faults).await, node(&store, &faults).await];
        let mut readers = BTreeMap::new();
        for tenant in TENANTS {
            assert_eq!(nodes[0].admin().post("/api/v1/tenants", json!({"tenantId": tenant})).await.status, 201);
            let body = json!({"keyName": "auditor", "keyType": "query", "streams": ["keyloft_audit"]});
            let key = nodes[0].admin().issue_with(tenant, body).await;
            readers.insert(tenant, nodes[0].with_key(&key.api_key));
        }
        Self { nodes, faults, readers }
    }

    async fn catch_up(&self) {
        for node in &self.nodes {
            node.app.audit.flush(node.app.keystore.replica()).await.unwrap();
        }
        for node in &self.nodes {
            node.app.keystore.replica().catch_up().await.unwrap();
        }
    }

    async fn rows(&self, tenant: &str, sql: &str) -> Vec<Value> {
        let answer = self.readers[tenant].query(sql).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json().as_array().unwrap().clone()
    }

    /// The rows of each tenant are its records.
    async fn check(&self) {
        for node in &self.nodes {
            node.app.keystore.replica().catch_up().await.unwrap(); // One may have heard of a stream only now.
        }
        for tenant in TENANTS {
            let path = format!("/api/v1/tenants/{tenant}/audit?limit=1000");
            let records = self.nodes[1].admin().get(&path).await.json()["items"].as_array().unwrap().clone();
            let expected: Vec<_> = records.iter().rev().map(|record| record["auditId"].clone()).collect();
            let rows = self.rows(tenant, "SELECT audit_id FROM keyloft_audit ORDER BY p_timestamp, p_offset").await;
            let found: Vec<_> = rows.iter().map(|row| row["audit_id"].clone()).collect();
            assert_eq!(found, expected, "{tenant}");
        }
    }

    async fn merge(&self, tenant: &str) {
        let stream = StreamName::parse("keyloft_audit").unwrap();
        let today = keyloft::Clock::now(&keyloft::SystemClock).date_naive();
        let day = (TenantId::parse(tenant).unwrap(), stream, today);
        self.nodes[1].app.compactor.compact(&day).await.unwrap();
    }
}

#[tokio::test]
async fn a_row_has_a_column_for_each_field_of_a_record() {
    let nodes = Nodes::new().await;
    let server = &nodes.nodes[0];
    let key = server.admin().issue("acme", "till", "query").await;
    let path = format!("/api/v1/tenants/acme/apikeys/{}", key.id);
    assert_eq!(server.admin().patch(&path, json!({"sourceId": "till-7"})).await.status, 200);
    server.anonymous().get(&path).await.refused(401, "invalid_admin_token");
    nodes.catch_up().await;
    server.app.audit_rows.write().await.unwrap();
    nodes.check().await;
    let sql = "SELECT * EXCLUDE (p_timestamp, p_offset, at, request_id, audit_id, change_seq) FROM keyloft_audit \
               WHERE target_id LIKE '%-%' ORDER BY change_seq DESC LIMIT 2";
    let rows = nodes.rows("acme", sql).await;
    let [refused, changed] = [&rows[0], &rows[1]];
    let expected = json!({
        "p_key_id": key.id, "p_source_id": null, "actor_kind": "admin_token", "actor_id": null, "actor_label": null,
        "actor_role": null, "action": "key.update", "target_kind": "key", "target_id": key.id, "target_name": "till",
        "route": "PATCH /api/v1/tenants/{tenant}/apikeys/{id}", "address": "127.0.0.1", "outcome": "done",
        "status": null, "code": null, "count": 1, "before": r#"{"sourceId":null}"#, "after": r#"{"sourceId":"till-7"}"#,
    });
    assert_eq!(changed, &expected);
    assert_eq!(refused["actor_kind"], "anonymous");
    assert_eq!((&refused["status"], &refused["code"]), (&json!(401), &json!("invalid_admin_token")));
    let sql = "SELECT action, actor_label, count(*) AS n FROM keyloft_audit GROUP BY 1, 2 ORDER BY 1";
    assert_eq!(nodes.rows("other", sql).await[0], json!({"action": "key.issue", "actor_label": null, "n": 1}));
}

#[tokio::test]
async fn every_record_is_one_row_whatever_the_store_does_and_whichever_node_goes_on() {
    for seed in 0..6 {
        let nodes = Nodes::new().await;
        let dice = Dice::new(seed);
        for round in 0..12 {
            let tenant = TENANTS[dice.index(2)];
            let by = &nodes.nodes[dice.index(2)];
            for n in 0..=dice.index(3) {
                by.admin().issue(tenant, &format!("k{round}-{n}"), "query").await;
            }
            nodes.catch_up().await;
            let fault = [Fault::ErrorBefore, Fault::ErrorAfter, Fault::HangAfter][dice.index(3)];
            let at = dice.below(8);
            nodes.faults.inject(fault, move |call| call.number == at);
            let [one, two] = [&nodes.nodes[0].app.audit_rows, &nodes.nodes[1].app.audit_rows];
            // One is cut off wherever it stands, or fails; the other goes on at the same time.
            let cut = tokio::time::timeout(Duration::from_millis(5 + dice.below(30)), one.write());
            let (_cut, _other) = tokio::join!(cut, tokio::time::timeout(Duration::from_millis(300), two.write()));
            nodes.faults.none();
            if dice.in_a_thousand(400) {
                nodes.merge(tenant).await;
            }
        }
        nodes.nodes[dice.index(2)].app.audit_rows.write().await.unwrap();
        nodes.check().await;
        nodes.merge("acme").await;
        nodes.nodes[0].app.audit_rows.write().await.unwrap();
        nodes.check().await;
    }
}

#[tokio::test]
async fn a_node_that_comes_late_writes_the_same_object_and_its_rows_count_once() {
    let nodes = Nodes::new().await;
    nodes.catch_up().await;
    // The rows are stored, and the node does not learn it.
    nodes.faults.inject(Fault::ErrorAfter, |call| call.is_about("streams/keyloft_audit/date"));
    nodes.nodes[0].app.audit_rows.write().await.unwrap_err();
    nodes.faults.none();
    nodes.merge("acme").await;
    nodes.nodes[1].app.audit_rows.write().await.unwrap();
    nodes.check().await;
    nodes.merge("acme").await;
    nodes.check().await;
}

#[tokio::test]
async fn rows_are_there_within_a_minute_and_without_changes_the_store_is_not_asked() {
    let server = TestServer::spawn_with(|setup| {
        setup.config.usage.flush_interval = Some(Duration::from_millis(400));
    })
    .await;
    let body = json!({"keyName": "auditor", "keyType": "query", "streams": ["keyloft_audit"]});
    let key = server.admin().issue_with("default", body).await;
    let reader = server.with_key(&key.api_key);
    let sql = "SELECT action FROM keyloft_audit";
    for _ in 0..200 {
        let answer = reader.query(sql).await;
        if answer.status == 200 && answer.json() == json!([{"action": "key.issue"}]) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{:?}", reader.query(sql).await);
}

#[tokio::test]
async fn only_the_platform_says_how_long_the_audit_is_kept() {
    let server = TestServer::spawn().await;
    let (_, admin) = crate::operators::roles::machine(&server, "default", "admin").await;
    let (_, platform) = crate::operators::roles::machine(&server, "default", "platform_admin").await;
    let path = "/api/v1/tenants/default/logstream/keyloft_audit";
    admin.patch(path, json!({"retentionDays": 1})).await.refused(403, "role_not_allowed");
    assert_eq!(platform.patch(path, json!({"retentionDays": 500})).await.status, 200);
    let usage = "/api/v1/tenants/default/logstream/keyloft_usage";
    assert_eq!(admin.patch(usage, json!({"retentionDays": 30})).await.status, 200);
}

#[tokio::test]
async fn a_log_that_was_cut_off_is_named_and_what_comes_then_has_its_rows() {
    let server = TestServer::spawn().await;
    let body = json!({"keyName": "auditor", "keyType": "query", "streams": ["keyloft_audit"]});
    let auditor = server.admin().issue_with("default", body).await.api_key;
    server.app.audit_rows.write().await.unwrap();
    server.until("the new stream is in the log", |server| server.app.keystore.replica().log_end() > 1).await;
    server.admin().issue("default", "forgotten", "query").await;
    server.app.audit_rows.write().await.unwrap();
    let mut entries: Vec<_> = std::fs::read_dir(server.path(".settings/keyloft/log")).unwrap().collect();
    entries.sort_by_key(|entry| entry.as_ref().unwrap().path());
    std::fs::remove_file(entries.pop().unwrap().unwrap().path()).unwrap();
    std::fs::remove_dir_all(server.path(".settings/keyloft/nodes")).unwrap();
    let verified = Ended::of(keyloft().args(["audit", "verify", "--store"]).arg(server.directory()), "");
    assert_eq!(verified.code, 1, "{}", verified.stdout);
    assert!(verified.stdout.contains("it is missing, and was written to the streams keyloft_audit"));
    let server = server.restart().await;
    server.admin().issue("default", "later", "query").await;
    server.app.audit_rows.write().await.unwrap();
    server.admin().issue("default", "last", "query").await;
    server.app.audit_rows.write().await.unwrap();
    let sql = "SELECT target_name AS n FROM keyloft_audit ORDER BY p_timestamp, p_offset";
    let rows = server.with_key(&auditor).query(sql).await.json();
    let names: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["n"].as_str().unwrap()).collect();
    assert_eq!(names.first(), Some(&"auditor"));
    assert!(names.contains(&"forgotten") && names.contains(&"last"), "{names:?}");
}

#[tokio::test]
async fn a_progress_that_cannot_be_read_is_listed_until_it_can() {
    let server = TestServer::spawn().await;
    server.admin().issue("default", "k", "query").await;
    server.app.audit_rows.write().await.unwrap();
    let path = server.path(".settings/keyloft/audit/stream.json");
    let good = std::fs::read(&path).unwrap();
    for broken in ["", "{\"version\":2}", "no JSON"] {
        std::fs::write(&path, broken).unwrap();
        assert!(server.app.audit_rows.write().await.is_err(), "{broken}");
        let listed = server.admin().get("/api/v1/unreadable").await.json();
        assert_eq!(listed["items"][0]["object"], ".settings/keyloft/audit/stream.json", "{listed}");
    }
    std::fs::write(&path, good).unwrap();
    server.app.audit_rows.write().await.unwrap();
    assert_eq!(server.admin().get("/api/v1/unreadable").await.json()["items"], json!([]));
}
