//! The parts of a set, one by one.

use serde_json::{Value, json};

use super::SET;
use crate::support::{Answer, TestServer};

const OF: &str = "/api/v1/tenants/default";

#[tokio::test]
async fn each_kind_of_part_is_made_shown_listed_changed_and_removed() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let cases = [
        (
            "actions",
            "actionId",
            json!({"name": "login", "expression": "request_path == '/login'"}),
            json!({"enabled": false}),
        ),
        (
            "entities",
            "entityDefinitionId",
            json!({"name": "who", "keyFields": ["client_ip"]}),
            json!({"onMissing": "group"}),
        ),
        ("mitigations", "mitigationId", json!({"name": "slow", "mode": "monitor"}), json!({"durationSeconds": 60})),
        (
            "policies",
            "policyId",
            json!({"name": "p", "mitigationId": "6b65796c-6f66-8000-8000-000000000301"}),
            json!({"priority": 7}),
        ),
    ];
    let mut version = 0;
    for (collection, id_member, body, patch) in cases {
        let made = admin.post(&format!("{OF}/{collection}"), body.clone()).await;
        version += 1;
        assert_eq!((made.status.as_u16(), made.json()["policySetVersion"].as_u64()), (201, Some(version)), "{made:?}");
        let id = made.json()[id_member].as_str().unwrap().to_owned();
        let path = format!("{OF}/{collection}/{id}");
        assert_eq!(made.header("location"), Some(path.as_str()));
        let shown = admin.get(&path).await.json();
        for (member, value) in body.as_object().unwrap() {
            assert_eq!(shown[member], *value);
        }
        let listed = admin.get(&format!("{OF}/{collection}")).await.json();
        assert_eq!(listed["items"].as_array().unwrap().len(), 1);
        let changed = admin.patch(&path, patch.clone()).await;
        version += 1;
        let (member, value) = patch.as_object().unwrap().iter().next().unwrap();
        assert_eq!((changed.status.as_u16(), &changed.json()[member]), (200, value));
        assert_eq!(changed.json()["name"], body["name"], "the rest stays");
        admin.patch(&path, json!({ id_member: uuid::Uuid::nil() })).await.refused(400, "invalid_request");
        admin.patch(&path, json!({"nothing": 1})).await.refused(400, "invalid_request");
        let wrong = admin.patch(&path, json!({"name": {"canary": 1}})).await;
        wrong.refused(400, "invalid_request");
        assert!(!wrong.text().contains("canary"), "{}", wrong.text());
        let tried = admin.delete(&format!("{path}?dryRun=true")).await.json();
        assert_eq!((&tried["removed"], &tried["receipt"]), (&json!(false), &Value::Null));
        let removed = admin.delete(&path).await;
        version += 1;
        assert_eq!((removed.status.as_u16(), &removed.json()["removed"]), (200, &json!(true)));
        admin.get(&path).await.refused(404, "not_found");
        admin.delete(&path).await.refused(404, "not_found");
    }
    assert_eq!(admin.get(SET).await.json()["policySetVersion"], json!(version));
    admin.get(&format!("{OF}/actions/x")).await.refused(400, "invalid_request");
}

#[tokio::test]
async fn a_part_with_an_id_of_the_client_keeps_it_and_follows_if_match() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let id = "0d9f0a11-7a0c-4a2b-9d4e-000000000001";
    let body = json!({"actionId": id, "name": "login", "expression": "request_path == '/login'"});
    assert_eq!(admin.post(&format!("{OF}/actions"), body).await.json()["actionId"], id);
    let patch = |tag: &'static str| {
        let request = server.admin().request("PATCH", &format!("{OF}/actions/{id}")).header("If-Match", tag);
        async move { Answer::of(request.json(&json!({"enabled": false}))).await }
    };
    patch("\"7\"").await.refused(412, "precondition_failed");
    assert_eq!(patch("\"1\"").await.json()["enabled"], Value::Bool(false));
}

#[tokio::test]
async fn a_part_that_others_refer_to_stays() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let made = |collection: &'static str, body: Value| {
        let admin = server.admin();
        async move { admin.post(&format!("{OF}/{collection}"), body).await.json() }
    };
    let action = made("actions", json!({"name": "login", "expression": "request_path == '/login'"})).await;
    let entity = made("entities", json!({"name": "who", "keyFields": ["client_ip"]})).await;
    let mitigation = made("mitigations", json!({"name": "slow", "mode": "monitor"})).await;
    let policy = json!({"name": "p", "actionIds": [action["actionId"]], "mitigationId": mitigation["mitigationId"],
        "entityDefinitionId": entity["entityDefinitionId"], "window": {"seconds": 60, "threshold": 2}});
    let policy = made("policies", policy).await;
    let asks = made(
        "policies",
        json!({"name": "asks", "expression": "action('login')",
        "mitigationId": "6b65796c-6f66-8000-8000-000000000301"}),
    )
    .await;
    for (collection, id) in [
        ("actions", &action["actionId"]),
        ("entities", &entity["entityDefinitionId"]),
        ("mitigations", &mitigation["mitigationId"]),
    ] {
        let path = format!("{OF}/{collection}/{}", id.as_str().unwrap());
        admin.delete(&path).await.refused(409, "policy_in_use");
    }
    let login = format!("{OF}/actions/{}", action["actionId"].as_str().unwrap());
    admin.patch(&login, json!({"name": "signin"})).await.refused(400, "invalid_expression");
    for policy in [policy, asks] {
        let path = format!("{OF}/policies/{}", policy["policyId"].as_str().unwrap());
        assert_eq!(admin.delete(&path).await.status, 200);
    }
    assert_eq!(admin.delete(&login).await.status, 200);
}
