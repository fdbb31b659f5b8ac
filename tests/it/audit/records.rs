//! The routes of the audit: pages, filters, exports, and who sees what.

use std::sync::Arc;

use keyloft::Bucket;
use serde_json::{Value, json};

use crate::operators::roles::machine;
use crate::support::pair::slow;
use crate::support::people::Signer;
use crate::support::{Answer, Client, Fault, Faults, Faulty, TestServer};

const KEYS: &str = "/api/v1/tenants/default/apikeys";

async fn page(client: &Client, path: &str) -> (Vec<Value>, Value) {
    let answer = client.get(path).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut page = answer.json();
    let Value::Array(items) = page["items"].take() else { panic!("{page}") };
    (items, page["nextCursor"].take())
}

fn field(records: &[Value], pointer: &str) -> Vec<String> {
    let text = |record: &Value| record.pointer(pointer).unwrap().as_str().unwrap_or("-").to_owned();
    records.iter().map(text).collect()
}

async fn export(client: &Client, path: &str) -> Vec<Value> {
    let answer = Answer::of(client.request("GET", path).header("accept", "application/x-ndjson")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_record_says_who_did_what_and_its_tenant_sees_it_while_others_do_not() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    for tenant in ["acme", "other"] {
        admin.post("/api/v1/tenants", json!({"tenantId": tenant})).await;
    }
    let (id, client) = machine(&server, "acme", "admin").await;
    let (_, platform) = machine(&server, "acme", "platform_admin").await;
    let issue = client.request("POST", "/api/v1/tenants/acme/apikeys").header("x-request-id", "r-1");
    let issue = issue.header("user-agent", "ci/1").json(&json!({"keyName": "till", "keyType": "query"}));
    assert_eq!(Answer::of(issue).await.status, 201);
    let secret = admin.issue("other", "hidden", "query").await;
    for path in ["/api/v1/tenants/acme/audit", "/api/v1/tenants/acme/audit?actor=machine"] {
        let (records, next) = page(&client, path).await;
        let record = &records[0];
        assert_eq!((&record["action"], &record["outcome"], &next), (&json!("key.issue"), &json!("done"), &Value::Null));
        let actor = json!({"kind": "machine", "id": id, "label": null, "role": "admin"});
        assert_eq!((&record["actor"], &record["target"]["name"]), (&actor, &json!("till")));
        let request = json!({
            "id": "r-1", "route": "POST /api/v1/tenants/{tenant}/apikeys", "address": "127.0.0.1", "userAgent": "ci/1",
        });
        assert_eq!(record["request"], request);
        assert_eq!((&record["before"], &record["after"]["keyName"]), (&Value::Null, &json!("till")));
        assert!(records.iter().all(|record| record["target"]["tenant"] == "acme"), "{records:?}");
    }
    let (all, _) = page(&platform, "/api/v1/audit").await;
    assert_eq!(
        field(&all, "/action"),
        ["key.issue", "key.issue", "machine.create", "machine.create", "tenant.create", "tenant.create"]
    );
    assert!(all.iter().any(|record| record["target"]["tenant"].is_null()), "that of the platform");
    assert!(!json!(all).to_string().contains(&secret.api_key));
    client.get("/api/v1/audit").await.refused(403, "role_not_allowed");
    client.get("/api/v1/tenants/other/audit").await.refused(404, "not_found");
    admin.get("/api/v1/tenants/nobody/audit").await.refused(404, "not_found");
    let (_, viewer) = machine(&server, "acme", "platform_viewer").await;
    assert_eq!(viewer.get("/api/v1/tenants/acme/audit").await.status, 200);
}

/// What happened in a tenant is asked for above all when it is gone.
#[tokio::test]
async fn the_audit_of_a_deleted_tenant_is_read_by_the_platform_and_by_nobody_else() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    for tenant in ["acme", "other"] {
        admin.post("/api/v1/tenants", json!({"tenantId": tenant})).await;
    }
    let signer = Signer::added_to(&server).await;
    let people = [signer.person(&server, 1).await, signer.person(&server, 2).await, signer.person(&server, 3).await];
    for (person, role) in people.iter().zip(["owner", "admin", "platform_viewer"]) {
        person.becomes(&server, "acme", role).await;
    }
    people[1].becomes(&server, "other", "admin").await;
    let (_, own) = machine(&server, "acme", "admin").await;
    let machines = [machine(&server, "", "platform_viewer").await.1, machine(&server, "", "platform_admin").await.1];
    admin.issue("acme", "till", "query").await;
    let path = "/api/v1/tenants/acme/audit";
    assert_eq!(people[0].client(&server).get(path).await.status, 200);
    assert!(admin.delete("/api/v1/tenants/acme").await.status.is_success());
    for client in [&server.admin(), &machines[0], &machines[1], &people[2].client(&server)] {
        let (records, _) = page(client, path).await;
        let actions = field(&records, "/action");
        for action in ["key.issue", "machine.create", "member.set", "tenant.delete"] {
            assert!(actions.iter().any(|done| done == action), "{action}: {actions:?}");
        }
        assert!(records.iter().all(|record| record["target"]["tenant"] == "acme"), "{records:?}");
        assert_eq!(export(client, path).await, records);
        // Everything else is gone for them too.
        client.get("/api/v1/tenants/acme/apikeys").await.refused(410, "tenant_deleted");
    }
    for person in &people[..2] {
        let gone = person.client(&server).get(path).await;
        gone.refused(404, "not_found");
        assert_eq!(gone.text(), person.client(&server).get("/api/v1/tenants/nobody/audit").await.text());
    }
    own.get(path).await.refused(401, "invalid_admin_token");
    admin.get("/api/v1/tenants/nobody/audit").await.refused(404, "not_found");
}

#[tokio::test]
async fn pages_and_exports_hold_every_record_once_while_new_ones_come_and_after_a_restart() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let lines: String =
        (0..300).map(|at| format!("{{\"op\":\"issue\",\"keyName\":\"k{at}\",\"keyType\":\"query\"}}\n")).collect();
    Answer::of(admin.request("POST", &format!("{KEYS}/bulk")).body(lines)).await;
    let key = admin.issue("default", "last", "query").await;
    admin.delete(&format!("{KEYS}/{}", key.id)).await;
    let expected: Vec<String> = field(&export(&admin, "/api/v1/tenants/default/audit").await, "/auditId");
    assert_eq!(expected.len(), 302);
    assert_eq!(expected[..3], ["3-0", "2-0", "1-299"]);
    assert_eq!(export(&admin, "/api/v1/audit?limit=250").await.len(), 250);
    let (mut found, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let after = cursor.as_str().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let (records, next) = page(&admin, &format!("/api/v1/tenants/default/audit?limit=77{after}")).await;
        found.extend(field(&records, "/auditId"));
        if next.is_null() {
            break;
        }
        admin.patch(&format!("{KEYS}/{}", key.id), json!({})).await;
        admin.issue("default", &format!("new-{}", found.len()), "query").await;
        cursor = next;
    }
    assert_eq!(found, expected);
    let directory = server.shared_directory();
    let other = TestServer::spawn_with(|setup| setup.directory = directory).await;
    let revoked = "/api/v1/tenants/default/audit?action=key.revoke";
    let (records, _) = page(&other.admin(), revoked).await;
    assert_eq!(field(&records, "/target/name"), ["last"], "from the log that is there");
    let again = field(&export(&other.admin(), "/api/v1/tenants/default/audit").await, "/auditId");
    assert_eq!(again[again.len() - 302..], expected);
}

#[tokio::test]
async fn what_the_query_string_cannot_mean_is_refused() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    for bad in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "cursor=7",
        "cursor=1-01",
        "outcome=maybe",
        "action=key.forget",
        "actor=",
        "from=yesterday",
        "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
        "tenant=acme",
        "who=me",
    ] {
        admin.get(&format!("/api/v1/audit?{bad}")).await.refused(400, "invalid_request");
        admin.get(&format!("/api/v1/tenants/default/audit?{bad}")).await.refused(400, "invalid_request");
    }
    assert_eq!(page(&admin, "/api/v1/audit?outcome=refused&from=2026-01-01T00:00:00Z").await.0, [Value::Null; 0]);
}

#[tokio::test]
async fn an_export_whose_store_fails_on_the_way_ends_with_a_line_that_says_so() {
    let faults = Arc::new(Faults::default());
    let bucket = Bucket::new(Arc::new(Faulty::memory(faults.clone())));
    let first = TestServer::spawn_with(|setup| setup.bucket = Some(bucket.clone())).await;
    for at in 0..260 {
        first.admin().issue("default", &format!("k{at}"), "query").await;
    }
    // Its memory is empty: it reads the log.
    let second = TestServer::spawn_with(|setup| {
        slow(setup);
        setup.bucket = Some(bucket.clone());
    })
    .await;
    faults.inject(Fault::ErrorBefore, |call| call.is_about("log/00000000000000000010"));
    let lines = export(&second.admin(), "/api/v1/tenants/default/audit").await;
    let (last, records) = lines.split_last().unwrap();
    assert_eq!(last["error"]["code"], "store_unavailable", "{last}");
    assert_eq!(records.len(), 200);
    second.admin().get("/api/v1/audit?limit=1000").await.refused(503, "store_unavailable");
    faults.none();
    let path = format!("/api/v1/tenants/default/audit?cursor={}", last["error"]["cursor"].as_str().unwrap());
    let rest = export(&second.admin(), &path).await;
    assert_eq!((rest.len(), &rest[59]["target"]["name"]), (60, &json!("k0")));
}
