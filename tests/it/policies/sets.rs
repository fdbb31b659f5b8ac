//! The policy set as a whole, and its versions.

use serde_json::{Value, json};

use super::{SET, blocking};
use crate::audit::changes;
use crate::support::TestServer;

#[tokio::test]
async fn a_set_is_empty_at_first_then_counts_its_versions_and_changes_nothing_without_a_change() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let none = admin.get(SET).await;
    assert_eq!((none.status.as_u16(), none.header("etag")), (200, Some("\"0\"")));
    assert_eq!((&none.json()["policySetVersion"], &none.json()["policies"]), (&json!(0), &json!([])));
    let first = admin.put(SET, blocking("/a")).await;
    assert_eq!((first.status.as_u16(), first.header("etag")), (200, Some("\"1\"")));
    assert!(first.json()["receipt"]["changeSeq"].is_u64());
    let id = first.json()["policies"][0]["policyId"].clone();
    assert!(id.is_string());
    // The same again, with or without its id, is no version.
    assert_eq!(admin.put(SET, blocking("/a")).await.header("etag"), Some("\"1\""));
    let mut other = blocking("/b");
    other["comment"] = json!("b instead of a");
    let second = admin.put(SET, other).await.json();
    assert_eq!((&second["policySetVersion"], &second["policies"][0]["policyId"]), (&json!(2), &id));
    let shown = admin.get(SET).await.json();
    assert_eq!((&shown["createdBy"], &shown["comment"]), (&json!("admin"), &json!("b instead of a")));
    assert_eq!(shown["policies"], second["policies"]);
    let change = changes(&server).pop().unwrap();
    assert_eq!((&change["action"], &change["name"]), (&json!("policyset.deploy"), &json!("2")));
    assert_eq!(change["before"]["policies/paths"]["expression"], "request_path == '/a'");
    assert_eq!(change["after"]["policies/paths"]["expression"], "request_path == '/b'");
    let server = server.restart().await;
    assert_eq!(server.admin().get(SET).await.json(), shown);
}

#[tokio::test]
async fn an_earlier_version_is_brought_back_as_a_new_one() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    for path in ["/a", "/b", "/c"] {
        admin.put(SET, blocking(path)).await;
    }
    let back = admin.post(&format!("{SET}/rollback"), json!({"to": 1, "comment": "c was wrong"})).await;
    let back = back.json();
    assert_eq!(
        (&back["policySetVersion"], &back["policies"][0]["expression"]),
        (&json!(4), &json!("request_path == '/a'"))
    );
    let list = admin.get(&format!("{SET}/versions")).await.json();
    let told: Vec<Value> =
        list["items"].as_array().unwrap().iter().map(|item| item["policySetVersion"].clone()).collect();
    assert_eq!(told, [4, 3, 2, 1].map(Value::from));
    assert_eq!((&list["items"][0]["restores"], &list["items"][0]["inForce"]), (&json!(1), &json!(true)));
    let page = admin.get(&format!("{SET}/versions?before=3&limit=1")).await.json();
    assert_eq!((page["items"].as_array().unwrap().len(), &page["items"][0]["policySetVersion"]), (1, &json!(2)));
    let third = admin.get(&format!("{SET}/versions/3")).await.json();
    assert_eq!(third["policies"][0]["expression"], "request_path == '/c'");
    assert_eq!(changes(&server).pop().unwrap()["action"], "policyset.rollback");
    admin.get(&format!("{SET}/versions/9")).await.refused(404, "not_found");
    admin.post(&format!("{SET}/rollback"), json!({"to": 9})).await.refused(404, "not_found");
    for bad in ["limit=0", "limit=201", "x=1"] {
        admin.get(&format!("{SET}/versions?{bad}")).await.refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_version_that_must_follow_another_is_refused_after_any_other() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let put = |tag: &'static str, path: &'static str| {
        let request = server.admin().request("PUT", SET).header("If-Match", tag).json(&blocking(path));
        async move { crate::support::Answer::of(request).await }
    };
    assert_eq!(put("\"0\"", "/a").await.status, 200);
    put("\"0\"", "/b").await.refused(412, "precondition_failed");
    assert_eq!(put("\"1\"", "/b").await.status, 200);
    put("W/\"2\"", "/c").await.refused(412, "precondition_failed");
    put("\"7\", \"8\"", "/c").await.refused(412, "precondition_failed");
    assert_eq!(put("\"7\", \"2\"", "/b").await.status, 200);
    assert_eq!(put("*", "/c").await.status, 200);
    assert_eq!(admin.get(SET).await.json()["policySetVersion"], 3);
}

#[tokio::test]
async fn what_a_get_shows_is_edited_and_put_back() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    admin.put(SET, blocking("/a")).await;
    let mut shown = admin.get(SET).await.json();
    shown["policies"][0]["priority"] = json!(7);
    let put = admin.put(SET, shown.clone()).await.json();
    assert_eq!((&put["policySetVersion"], &put["policies"]), (&json!(2), &shown["policies"]));
}

#[tokio::test]
async fn what_is_only_checked_is_not_deployed() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let checked = admin.put(&format!("{SET}?dryRun=true"), blocking("/a")).await.json();
    assert_eq!((&checked["policySetVersion"], checked["policies"].as_array().unwrap().len()), (&json!(0), 1));
    assert_eq!(admin.get(SET).await.json()["policySetVersion"], 0);
}

#[tokio::test]
async fn two_admins_who_change_other_parts_at_once_lose_nothing() {
    let server = TestServer::spawn().await;
    let adds = (0..12).map(|n| {
        let admin = server.admin();
        async move {
            let action = json!({"name": format!("a{n}"), "expression": format!("request_path == '/{n}'")});
            admin.post("/api/v1/tenants/default/actions", action).await.status.as_u16()
        }
    });
    assert_eq!(futures::future::join_all(adds).await, [201; 12]);
    let set = server.admin().get(SET).await.json();
    assert_eq!((&set["policySetVersion"], set["actions"].as_array().unwrap().len()), (&json!(12), 12));
}

#[tokio::test]
async fn a_body_that_is_no_set_is_refused() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    for body in [json!([]), json!({"x": 1}), json!({"mode": "on"}), json!({"policies": [{"name": "a"}]})] {
        admin.put(SET, body).await.refused(400, "invalid_request");
    }
    let comment = "x".repeat(1001);
    admin.put(SET, json!({"comment": comment})).await.refused(400, "invalid_request");
    admin.get("/api/v1/tenants/nobody/policyset").await.refused(404, "not_found");
}

#[tokio::test]
async fn every_fault_of_a_set_is_named_with_its_place_and_nothing_is_deployed() {
    let server = TestServer::spawn().await;
    let block = "6b65796c-6f66-8000-8000-000000000303";
    let wrong = json!({
        "actions": [{"name": "login", "expression": "request_methd == 'POST' &&\n request_path == 'login'"}],
        "policies": [{"name": "p", "mitigationId": block, "window": {"seconds": 0, "threshold": 3}},
            {"name": "p", "mitigationId": uuid::Uuid::nil(), "expression": "client_ip =="}],
    });
    let refused = server.admin().put(SET, wrong).await;
    assert_eq!(refused.problem(), (400, "invalid_expression".to_owned()));
    let faults = refused.json()["errors"].as_array().unwrap().clone();
    let at = |path: &str| faults.iter().filter(|fault| fault["path"].as_str().unwrap().starts_with(path)).count();
    assert_eq!(at("actions[0].expression"), 2, "{faults:?}");
    assert!(at("policies[0]") >= 1 && at("policies[1]") >= 2, "{faults:?}");
    let unknown = faults.iter().find(|fault| fault["message"].as_str().unwrap().contains("request_methd")).unwrap();
    assert_eq!((&unknown["line"], &unknown["column"], &unknown["length"]), (&json!(1), &json!(1), &json!(13)));
    assert!(unknown["hint"].as_str().unwrap().contains("request_method"), "{unknown}");
    assert_eq!(server.admin().get(SET).await.json()["policySetVersion"], 0);
}

#[tokio::test]
async fn a_set_has_bounds() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let action = |n: usize| json!({"name": format!("a{n}"), "expression": format!("request_path == '/{n}'")});
    let many = |count: usize| json!({"actions": (0..count).map(action).collect::<Vec<_>>()});
    admin.put(SET, many(501)).await.refused(400, "invalid_expression");
    assert_eq!(admin.put(SET, many(500)).await.status, 200);
    let long =
        |n: usize| json!({"name": format!("a{n}"), "expression": format!("request_path == '/{}'", "x".repeat(4000))});
    let large = json!({"actions": (0..300).map(long).collect::<Vec<_>>()});
    let refused = admin.put(SET, large).await;
    refused.refused(413, "payload_too_large");
    assert_eq!(admin.get(SET).await.json()["policySetVersion"], 1);
}
