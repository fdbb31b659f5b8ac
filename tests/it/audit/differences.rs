//! What each change has made different, as the change log says it: under the names of answers, and never a secret.

use serde_json::{Value, json};

use super::changes;
use crate::support::{Answer, TestServer};

const KEYS: &str = "/api/v1/tenants/default/apikeys";

/// What the last change has made different.
fn last(server: &TestServer) -> (Value, Value) {
    let change = changes(server).pop().unwrap();
    (change["before"].clone(), change["after"].clone())
}

#[tokio::test]
async fn a_change_of_a_key_shows_the_fields_that_differ() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let issued = admin.issue("default", "till", "ingestion").await;
    let (before, after) = last(&server);
    assert_eq!(before, Value::Null);
    assert_eq!(
        (&after["keyName"], &after["keyType"], &after["state"]),
        (&"till".into(), &"ingestion".into(), &"active".into())
    );
    let hint = &issued.api_key[issued.api_key.len() - 4..];
    assert_eq!(after["apiKeyHint"], format!("kl_ing_…{hint}"));
    let path = format!("{KEYS}/{}", issued.id);
    let metadata = json!({"owner": "ops\u{1b}[31m", "level": {"deep": ["x".repeat(1000)]}});
    let patch = json!({"sourceId": "s-1", "metadata": metadata, "limits": {"requests": {"perMinute": 5}}});
    assert_eq!(admin.patch(&path, patch).await.status, 200);
    let (before, after) = last(&server);
    assert_eq!((&before["sourceId"], &after["sourceId"]), (&Value::Null, &"s-1".into()));
    assert_eq!(after["metadata"], metadata, "as it is");
    let names: Vec<_> = after.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["limits", "metadata", "sourceId"], "nothing else is different");
    admin.patch(&path, json!({"sourceId": "s-1"})).await;
    assert_eq!(last(&server), (Value::Null, Value::Null), "nothing is");
    assert_eq!(Answer::of(admin.request("POST", &format!("{path}/rotate"))).await.status, 200);
    let (before, after) = last(&server);
    assert_eq!((&before["olderSecrets"], before["apiKeyHint"] == after["apiKeyHint"]), (&json!([]), false));
    assert_eq!(after["olderSecrets"][0]["apiKeyHint"], format!("…{hint}"));
    admin.delete(&path).await;
    assert_eq!(last(&server), (json!({"state": "active"}), json!({"state": "revoked"})));
    let log = changes(&server).iter().map(Value::to_string).collect::<String>();
    assert!(!log.contains("sha256:") && !log.contains(&issued.api_key), "{log}");
}

#[tokio::test]
async fn a_change_of_a_tenant_a_stream_a_machine_or_a_member_does_too() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    admin.post("/api/v1/tenants", json!({"tenantId": "acme", "name": "Acme"})).await;
    assert_eq!(last(&server).1["name"], "Acme");
    admin.patch("/api/v1/tenants/acme", json!({"suspended": ["query"], "retentionDays": 30})).await;
    let expected =
        (json!({"suspended": [], "retentionDays": null}), json!({"suspended": ["query"], "retentionDays": 30}));
    assert_eq!(last(&server), expected);
    let stream = "/api/v1/tenants/acme/logstream/web";
    assert_eq!(admin.patch(stream, json!({"retentionDays": 7})).await.status, 200);
    assert_eq!(last(&server), (Value::Null, json!({"onInvalid": "reject", "retentionDays": 7})));
    admin.patch(stream, json!({"retentionDays": 8})).await;
    assert_eq!(last(&server), (json!({"retentionDays": 7}), json!({"retentionDays": 8})));
    let stored: Value =
        serde_json::from_slice(&std::fs::read(server.path("acme/streams/web/schema.json")).unwrap()).unwrap();
    assert_eq!((&stored["settings"]["retentionDays"], &stored["settings"]["unlogged"]), (&json!(8), &Value::Null));
    admin.patch(stream, json!({"retentionDays": 8})).await;
    assert_eq!(changes(&server).pop().unwrap()["action"], Value::Null, "nothing was changed");
    admin.delete(stream).await;
    let removed = changes(&server).into_iter().rfind(|change| change["action"] == "stream.delete").unwrap();
    assert_eq!((&removed["before"]["retentionDays"], &removed["after"]), (&json!(8), &Value::Null));
    let machines = "/api/v1/tenants/acme/service-operators";
    let made = admin.post(machines, json!({"name": "ci", "role": "viewer"})).await.json();
    let token = made["token"].as_str().unwrap();
    let (_, after) = last(&server);
    assert_eq!((&after["name"], &after["role"]), (&json!("ci"), &json!("viewer")));
    assert_eq!(after["tokenHint"], made["tokenHint"]);
    let path = format!("{machines}/{}", made["id"].as_str().unwrap());
    admin.patch(&path, json!({"role": "admin"})).await;
    assert_eq!(last(&server), (json!({"role": "viewer"}), json!({"role": "admin"})));
    admin.delete(&path).await;
    assert_eq!((&last(&server).0["role"], &last(&server).1), (&json!("admin"), &Value::Null));
    let members = "/api/v1/tenants/acme/memberships";
    let id = format!("op-{:032x}", 7);
    for (role, before) in [("viewer", Value::Null), ("admin", json!({&id: {"role": "viewer"}}))] {
        admin.post(members, json!({"userId": id, "role": role})).await;
        assert_eq!(last(&server), (before, json!({&id: {"role": role}})));
    }
    admin.post(members, json!({"email": "ada@example.com", "role": "viewer"})).await;
    let (_, after) = last(&server);
    let (_, invitation) = after.as_object().unwrap().iter().next().unwrap();
    assert_eq!((after.as_object().unwrap().len(), &invitation["email"]), (1, &json!("ada@example.com")));
    admin.delete("/api/v1/tenants/acme?events=delete").await;
    let removed = changes(&server).into_iter().rfind(|change| change["action"] == "tenant.delete").unwrap();
    assert_eq!(removed["before"]["name"], "Acme");
    let log = changes(&server).iter().map(Value::to_string).collect::<String>();
    assert!(!log.contains("sha256:") && !log.contains(token), "{log}");
}

#[tokio::test]
async fn a_change_says_at_which_route_and_by_which_program_it_was_asked() {
    let server = TestServer::spawn().await;
    let tenant = server.admin().request("PATCH", "/api/v1/tenants/default").header("user-agent", "terraform/1.9");
    Answer::of(tenant.json(&json!({"name": "x"}))).await;
    let change = changes(&server).pop().unwrap();
    assert_eq!(change["route"], "PATCH /api/v1/tenants/{tenant}");
    assert_eq!(change["agent"], "terraform/1.9");
    let silent = server.admin().request("PATCH", "/api/v1/tenants/default").header("user-agent", "kl_adm_x");
    Answer::of(silent.json(&json!({"name": "y"}))).await;
    assert_eq!(changes(&server).pop().unwrap()["agent"], Value::Null);
}

#[tokio::test]
async fn work_on_many_keys_says_only_what_was_done_to_each() {
    let server = TestServer::spawn().await;
    let line = |at: usize| format!("{{\"op\":\"issue\",\"keyName\":\"k{at}\",\"keyType\":\"query\"}}\n");
    for (count, is_detailed) in [(20, true), (21, false)] {
        let body: String = (0..count).map(|at| line(count * 100 + at)).collect();
        let before = changes(&server).len();
        Answer::of(server.admin().request("POST", &format!("{KEYS}/bulk")).body(body)).await;
        let new = changes(&server).split_off(before);
        assert_eq!(new.len(), count);
        assert!(new.iter().all(|change| change["action"] == "key.issue" && change["after"].is_object() == is_detailed));
    }
}
