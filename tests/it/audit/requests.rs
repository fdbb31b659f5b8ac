//! Requests that changed nothing are in the audit: refused ones, and those that read what is worth a record.

use serde_json::{Value, json};

use crate::operators::roles::machine;
use crate::support::command::Ended;
use crate::support::process::keyloft;
use crate::support::{Answer, Client, TestServer};

async fn records(server: &TestServer, path: &str) -> Vec<Value> {
    server.app.audit.flush(server.app.keystore.replica()).await.unwrap();
    let answer = server.admin().get(path).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["items"].as_array().unwrap().clone()
}

fn fields(record: &Value, pointers: &[&str]) -> Value {
    pointers.iter().map(|pointer| record.pointer(pointer).cloned().unwrap_or(json!("missing"))).collect()
}

#[tokio::test]
async fn what_was_refused_says_who_tried_what_and_why_not() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    admin.post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    let key = admin.issue("acme", "till", "query").await;
    let (id, viewer) = machine(&server, "acme", "viewer").await;
    let path = format!("/api/v1/tenants/acme/apikeys/{}", key.id);
    let request = viewer.request("DELETE", &path).header("x-request-id", "r-1").header("user-agent", "ci/1");
    Answer::of(request).await.refused(403, "role_not_allowed");
    server.anonymous().get("/api/v1/tenants/acme").await.refused(401, "invalid_admin_token");
    server.anonymous().get("/api/v1/tenants/nobody-knows/apikeys").await.refused(401, "invalid_admin_token");
    let again = json!({"keyName": "till", "keyType": "query"});
    let taken = admin.post("/api/v1/tenants/acme/apikeys", again).await;
    assert_eq!(taken.status, 409, "{}", taken.text());
    let refused = records(&server, "/api/v1/tenants/acme/audit?outcome=refused").await;
    assert_eq!(refused.len(), 3, "{refused:#?}");
    let conflict = &refused[0];
    assert_eq!(
        fields(conflict, &["/actor/kind", "/action", "/target/kind", "/status", "/code"]),
        json!(["admin_token", "key.issue", "tenant", 409, taken.json()["code"]]),
    );
    let anonymous = &refused[1];
    assert_eq!(
        fields(anonymous, &["/actor/kind", "/actor/id", "/action", "/request/route", "/target/id", "/status", "/code"]),
        json!(["anonymous", null, null, "GET /api/v1/tenants/{tenant}", "acme", 401, "invalid_admin_token"]),
    );
    let denied = &refused[2];
    assert_eq!(denied["actor"], json!({"kind": "machine", "id": id, "label": null, "role": "viewer"}));
    assert_eq!(denied["target"], json!({"kind": "key", "tenant": "acme", "id": key.id, "name": null}));
    assert_eq!(
        denied["request"],
        json!({
            "id": "r-1", "route": "DELETE /api/v1/tenants/{tenant}/apikeys/{id}", "address": "127.0.0.1",
            "userAgent": "ci/1",
        }),
    );
    assert_eq!(
        fields(denied, &["/action", "/outcome", "/status", "/code", "/count", "/before", "/after"]),
        json!(["key.revoke", "refused", 403, "role_not_allowed", 1, null, null]),
    );
    // What names no tenant that exists is the platform's.
    let platform = records(&server, "/api/v1/audit?target=platform&outcome=refused").await;
    assert_eq!(fields(&platform[0], &["/target/tenant", "/code"]), json!([null, "invalid_admin_token"]));
    assert_eq!(platform.len(), 1);
    // Nothing was revoked.
    assert_eq!(server.with_key(&key.api_key).get("/api/v1/whoami").await.status, 200);
}

#[tokio::test]
async fn who_verifies_keys_and_reads_the_audit_is_recorded_and_counted() {
    let server = TestServer::spawn().await;
    let key = server.admin().issue("default", "till", "query").await;
    for _ in 0..3 {
        let body = json!({"apiKey": key.api_key});
        assert_eq!(server.admin().post("/api/v1/apikeys/verify", body).await.json()["code"], "valid");
        assert_eq!(server.admin().get("/api/v1/tenants/default/audit").await.status, 200);
    }
    let read = records(&server, "/api/v1/tenants/default/audit?action=audit").await;
    assert_eq!(read.iter().map(|record| record["count"].as_u64().unwrap()).sum::<u64>(), 3, "{read:?}");
    assert!(read.iter().all(|record| record["outcome"] == "done" && record["actor"]["kind"] == "admin_token"));
    let verified = records(&server, "/api/v1/audit?action=key.verify").await;
    assert_eq!(verified.iter().map(|record| record["count"].as_u64().unwrap()).sum::<u64>(), 3, "{verified:?}");
    assert!(!format!("{verified:?}").contains(&key.api_key[8..]));
}

#[tokio::test]
async fn a_flood_is_counted_and_hides_neither_changes_nor_those_who_are_known() {
    let server = TestServer::spawn().await;
    let (_, viewer) = machine(&server, "default", "viewer").await;
    for n in 0..300 {
        let flood = Client::admin(server.url(), &format!("wrong-token-{n}"));
        flood.get("/api/v1/nodes").await.refused(401, "invalid_admin_token");
    }
    let body = json!({"keyName": "till", "keyType": "query"});
    viewer.post("/api/v1/tenants/default/apikeys", body).await.refused(403, "role_not_allowed");
    let all = records(&server, "/api/v1/audit?limit=1000&outcome=refused").await;
    let (known, flood): (Vec<_>, Vec<_>) = all.iter().partition(|record| record["actor"]["kind"] == "machine");
    assert_eq!(known.len(), 1);
    assert_eq!(flood.iter().map(|record| record["count"].as_u64().unwrap()).sum::<u64>(), 300);
    // A hundred a minute; the test may see two of them.
    assert!(flood.len() <= 202, "{}", flood.len());
    assert!(flood.iter().any(|record| record["count"].as_u64() > Some(1)));
    let counted = flood.iter().find(|record| record["count"].as_u64() > Some(1)).unwrap();
    assert_eq!(fields(counted, &["/request/address", "/request/id"]), json!(["127.0.0.0", null]));
    assert!(!format!("{all:?}").contains("wrong-token"), "what was presented is nowhere");
}

#[tokio::test]
async fn the_chain_holds_and_a_store_that_was_away_has_each_request_once() {
    let server = TestServer::spawn().await;
    for n in 0..5 {
        server.anonymous().get("/api/v1/nodes").await.refused(401, "invalid_admin_token");
        if n % 2 == 0 {
            server.admin().issue("default", &format!("k{n}"), "query").await;
        }
        server.app.audit.flush(server.app.keystore.replica()).await.unwrap();
    }
    let refused = records(&server, "/api/v1/audit?outcome=refused").await;
    assert_eq!(refused.len(), 5);
    let ids: std::collections::HashSet<_> = refused.iter().map(|record| record["request"]["id"].to_string()).collect();
    assert_eq!(ids.len(), 5);
    Ended::of(keyloft().args(["audit", "verify", "--store"]).arg(server.directory()), "").done();
}

#[tokio::test]
async fn a_sign_in_that_was_refused_is_the_platforms() {
    let server = TestServer::spawn().await;
    let exchange = json!({"handoff": "kl-none", "verifier": "v".repeat(43)});
    server.anonymous().post("/api/v1/auth/token", exchange).await.refused(400, "invalid_handoff");
    let all = records(&server, "/api/v1/audit?action=operator.sign_in").await;
    assert_eq!(
        fields(&all[0], &["/actor/kind", "/target/kind", "/target/id", "/outcome", "/status", "/code"]),
        json!(["anonymous", "platform", "platform", "refused", 400, "invalid_handoff"]),
    );
    assert_eq!(all.len(), 1);
}

#[tokio::test]
async fn a_machine_of_another_tenant_leaves_no_record_in_a_tenant() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    for tenant in ["acme", "shop"] {
        admin.post("/api/v1/tenants", json!({"tenantId": tenant})).await;
    }
    let body = json!({"name": "ci", "role": "admin", "allowedCidrs": ["192.0.2.0/24"]});
    let made = admin.post("/api/v1/tenants/shop/service-operators", body).await.json();
    let elsewhere = Client::admin(server.url(), made["token"].as_str().unwrap());
    for tenant in ["acme", "shop"] {
        let path = format!("/api/v1/tenants/{tenant}/apikeys");
        elsewhere.get(&path).await.refused(403, "network_not_allowed");
    }
    assert!(records(&server, "/api/v1/tenants/acme/audit?outcome=refused").await.is_empty());
    let own = records(&server, "/api/v1/tenants/shop/audit?outcome=refused").await;
    assert_eq!(own.iter().map(|record| &record["actor"]["id"]).collect::<Vec<_>>(), [&made["id"]]);
    let platform = records(&server, "/api/v1/audit?target=platform&outcome=refused").await;
    assert_eq!(fields(&platform[0], &["/actor/id", "/target/tenant"]), json!([made["id"], null]));
}
