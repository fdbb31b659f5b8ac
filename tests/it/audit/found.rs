//! Documents that were changed and not logged: who is named for them.

use serde_json::{Value, json};

use super::changes;
use crate::support::{Answer, TestServer};

/// Changes a document as `edit` says; as a node does that ends before it can log that, or by hand.
async fn edited(server: &TestServer, object: &str, by_node: bool, edit: Value) -> Value {
    let file = server.path(object);
    let mut document: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for (field, value) in edit.as_object().unwrap() {
        document[field] = value.clone();
    }
    if by_node {
        document["writeId"] = json!("6f1e2d3c-0000-4000-8000-0123456789ab");
        document["modifiedAt"] = json!("2031-02-03T04:05:06.789Z");
        document["modifiedBy"] = json!("5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d12");
        document["requestId"] = json!("r-lost");
        document["rev"] = document["rev"].as_u64().map_or(Value::Null, |rev| json!(rev + 1));
        document.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    }
    std::fs::write(file, document.to_string()).unwrap();
    assert_eq!(Answer::of(server.admin().request("POST", "/api/v1/sync")).await.status, 200);
    let change = changes(server).pop().unwrap();
    let expected = if by_node { json!("r-lost") } else { Value::Null };
    assert_eq!((&change["requestId"], change["changedAt"].is_string()), (&expected, by_node), "{change}");
    change
}

#[tokio::test]
async fn a_change_that_was_not_logged_is_its_askers_and_one_by_hand_is_nobodys_for_every_kind_of_document() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    admin.post("/api/v1/tenants", json!({"tenantId": "acme", "name": "Acme"})).await;
    let key = admin.issue("acme", "k", "query").await;
    let machine = admin.post("/api/v1/tenants/acme/service-operators", json!({"name": "ci", "role": "viewer"})).await;
    let machine = format!("acme/.settings/service_operators/{}.json", machine.json()["id"].as_str().unwrap());
    let member = format!("op-{:032x}", 7);
    admin.post("/api/v1/tenants/acme/memberships", json!({"userId": member, "role": "viewer"})).await;
    let key = format!("acme/.settings/apikeys/{}.json", key.id);
    let members = "acme/.settings/members.json";
    let tenant = "acme/.settings/tenant.json";
    let role = |role: &str| json!({"members": {&member: {"role": role}}});
    for (object, action, one, other) in [
        (key.as_str(), "key.update", json!({"state": "disabled"}), json!({"state": "active"})),
        (&machine, "machine.update", json!({"role": "admin"}), json!({"role": "viewer"})),
        (members, "member.set", role("admin"), role("owner")),
        (tenant, "tenant.update", json!({"name": "A"}), json!({"name": "B"})),
    ] {
        let found = edited(&server, object, true, one).await;
        assert_eq!((&found["action"], found["after"].is_object()), (&json!(action), true), "{found}");
        assert_eq!(found["changedAt"], "2031-02-03T04:05:06.789Z");
        let found = edited(&server, object, false, other).await;
        assert_eq!((&found["action"], found["after"].is_object()), (&json!("document.by_hand"), true), "{found}");
    }
}
