//! Which limits a key may have: on what keys of its type do.

use serde_json::{Value, json};

use crate::support::{Answer, TestServer, typed};

const KEYS: &str = "/api/v1/tenants/default/apikeys";
const REASON: &str = "the limits of a query key must be on requests only, without events and bytes";

fn key(name: &str, key_type: &str, limits: &Value) -> Value {
    json!({"keyName": name, "keyType": key_type, "limits": limits})
}

fn is_refused(answer: &Answer) {
    answer.refused(400, "invalid_request");
    assert!(answer.json()["detail"].as_str().unwrap().ends_with(REASON), "{}", answer.text());
}

#[tokio::test]
async fn a_query_key_has_no_limits_on_events_or_bytes() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let requests = json!({"requests": {"perMinute": 600}});
    let reader = admin.issue_with("default", key("reader", "query", &requests)).await;
    let path = format!("{KEYS}/{}", reader.id);
    for name in ["events", "bytes"] {
        let limits = json!({"requests": {"perMinute": 600}, name: {"perMinute": 100_000}});
        assert_eq!(admin.post(KEYS, key(&format!("with-{name}"), "ingestion", &limits)).await.status, 201);
        is_refused(&admin.post(KEYS, key("other", "query", &limits)).await);
        is_refused(&admin.patch(&path, json!({"limits": limits})).await);
        let mut declared = key("declared", "query", &limits);
        declared["issueWith"] = json!({"digest": format!("sha256:{}", "a".repeat(64)), "hint": "abcd"});
        let plan = admin.post(&format!("{KEYS}/apply?dryRun=true"), json!({"keys": [declared]})).await;
        is_refused(&plan);
        for dry_run in ["?dryRun=true", ""] {
            let mut issue = key("bulk", "query", &limits);
            issue["op"] = json!("issue");
            let update = json!({"op": "update", "filter": {"name": "reader"}, "limits": limits});
            let request = admin.request("POST", &format!("{KEYS}/bulk{dry_run}"));
            let request = request.header("content-type", "application/x-ndjson").body(format!("{issue}\n{update}\n"));
            let answer = Answer::of(request).await;
            for line in answer.text().lines().take(2) {
                let line: Value = serde_json::from_str(line).unwrap();
                assert!(line["status"] == 400 && line["detail"].as_str().unwrap().ends_with(REASON), "{line}");
            }
        }
        let ended = typed(&server, &format!("key create --name typed --type query --{name}-per-minute 100000"));
        assert!(ended.code == 3 && ended.stderr.contains(REASON), "{ended:?}");
    }
    assert_eq!(admin.get(&path).await.json()["limits"], json!({"requests": {"perMinute": 600, "burst": 600}}));
    assert_eq!(admin.names().await, ["reader", "with-bytes", "with-events"]);
}

#[tokio::test]
async fn a_query_key_that_has_such_limits_already_works_and_can_be_changed() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let reader = admin.issue("default", "reader", "query").await;
    let (path, file) = (format!("{KEYS}/{}", reader.id), format!(".settings/apikeys/{}.json", reader.id));
    let mut document: Value = serde_json::from_slice(&std::fs::read(server.path(&file)).unwrap()).unwrap();
    let limits = json!({"events": {"perMinute": 5, "burst": 5}});
    document["limits"] = limits.clone();
    std::fs::write(server.path(&file), document.to_string()).unwrap();
    assert_eq!(admin.post("/api/v1/sync", json!({})).await.status, 200);
    assert_eq!(admin.get(&path).await.json()["limits"], limits);
    assert_eq!(server.with_key(&reader.api_key).query("SELECT 1 AS one").await.status, 200);
    let changed = admin.patch(&path, json!({"sourceId": "web", "limits": limits})).await;
    assert_eq!((changed.status.as_u16(), &changed.json()["limits"]), (200, &limits));
    is_refused(&admin.patch(&path, json!({"limits": {"events": {"perMinute": 6}}})).await);
    assert_eq!(admin.patch(&path, json!({"limits": null})).await.status, 200);
}
