//! Who is held, where, and for how long.

use serde_json::json;

use super::{
    ACTIVE, DECIDE, MITIGATION, NETWORK, POLICY, SET, ask, asking, cross, entries, event, held, holding, key, told,
    until_held,
};
use crate::support::pair::{quick, two};
use crate::support::{Process, TestServer};

#[tokio::test]
async fn a_crossing_on_one_node_holds_on_all_in_the_scope_of_its_policy_only() {
    let (a, b) = two(quick).await;
    let edge = asking(&a, holding(3)).await;
    assert_eq!(told(&cross(&edge, "203.0.113.7", 3).await), ("block", "window"));
    let again = ask(&edge, "203.0.113.7", "/login").await;
    assert_eq!(told(&again), ("block", "mitigation"), "this node holds at once");
    assert!(again["retryAfterSeconds"].as_u64().is_some_and(|wait| (590..=600).contains(&wait)), "{again}");
    let entity = again["entity"].as_str().unwrap();
    until_held(&b.admin(), entity, true).await;
    let body = json!({"keyName": "e2", "keyType": "ingestion", "sourceId": "s"});
    let other = b.with_key(&a.admin().issue_with("default", body).await.api_key);
    assert_eq!(told(&ask(&other, "203.0.113.7", "/login").await), ("block", "mitigation"));
    assert_eq!(told(&ask(&other, "203.0.113.7", "/").await), ("allow", "none"), "beyond the scope of the policy");
    assert_eq!(told(&ask(&other, "203.0.113.8", "/login").await), ("allow", "none"), "somebody else");
    for node in [&a, &b] {
        let all = held(&node.admin()).await;
        let one = &all[0];
        assert_eq!((all.len(), &one["entity"], &one["policyId"]), (1, &json!(entity), &json!(POLICY)));
        assert_eq!(
            (&one["policyName"], &one["mode"], &one["policySetVersion"]),
            (&json!("flood"), &json!("block"), &json!(1))
        );
        assert!(one["since"].as_str() < one["until"].as_str() && one["decisionId"].is_string());
    }
    assert_eq!(held(&a.admin()).await, held(&b.admin()).await);
    let stored = entries(&a);
    assert_eq!(stored.len(), 1, "one entry for one crossing, by whichever node");
    let text = std::fs::read_to_string(&stored[0]).unwrap();
    for raw in ["203.0.113", "Mozilla", "secret", "/login", "shop"] {
        assert!(!text.contains(raw), "{raw} in {text}");
    }
}

#[tokio::test]
async fn who_is_exempt_is_not_held_and_a_switch_to_monitor_changes_no_answer() {
    let server = TestServer::spawn_with(quick).await;
    let (admin, edge) = (server.admin(), asking(&server, holding(3)).await);
    cross(&edge, "203.0.113.7", 3).await;
    let held_now = ("block", "mitigation");
    assert_eq!(told(&ask(&edge, "203.0.113.7", "/login").await), held_now);
    let mut exempt = holding(3);
    exempt["exempt"] = json!("ip_in(client_ip, ['203.0.113.0/24'])");
    admin.put(SET, exempt).await;
    assert_eq!(told(&ask(&edge, "203.0.113.7", "/login").await), ("allow", "exempt"));
    // Of windows that have never counted, so that only the hold could answer.
    let mut unreached = holding(1000);
    unreached["policies"][0]["window"]["seconds"] = json!(61);
    admin.put(SET, unreached.clone()).await;
    assert_eq!(told(&ask(&edge, "203.0.113.7", "/login").await), held_now);
    let mut whole = unreached.clone();
    whole["mode"] = json!("monitor");
    admin.put(SET, whole).await;
    let watched = ask(&edge, "203.0.113.7", "/login").await;
    assert_eq!((told(&watched).0, &watched["matched"][0]["outcome"]), ("allow", &json!("observe")));
    for (member, change) in [
        ("mitigations", json!({"mode": "monitor"})),
        ("mitigations", json!({"mode": "challenge"})),
        ("mitigations", json!({"durationSeconds": null})),
        ("policies", json!({"enabled": false})),
        ("policies", json!({"policyId": "5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d09"})),
    ] {
        let mut set = unreached.clone();
        for (name, value) in change.as_object().unwrap() {
            set[member][0][name] = value.clone();
        }
        assert_eq!(admin.put(SET, set).await.status, 200);
        let answer = ask(&edge, "203.0.113.7", "/login").await;
        assert_eq!((told(&answer), &answer["matched"]), (("allow", "none"), &json!([])), "{change}");
        assert!(held(&admin).await.is_empty(), "{change}");
    }
    admin.put(SET, unreached).await;
    assert_eq!(told(&ask(&edge, "203.0.113.7", "/login").await), held_now, "as it was");
}

#[tokio::test]
async fn nobody_is_held_by_a_match_that_is_only_recorded_or_without_a_duration() {
    for change in [json!({"mode": "monitor"}), json!({"durationSeconds": null})] {
        let server = TestServer::spawn_with(quick).await;
        let mut set = holding(3);
        for (name, value) in change.as_object().unwrap() {
            set["mitigations"][0][name] = value.clone();
        }
        let edge = asking(&server, set).await;
        cross(&edge, "203.0.113.7", 5).await;
        assert!(held(&server.admin()).await.is_empty() && entries(&server).is_empty(), "{change}");
    }
}

#[tokio::test]
async fn tenants_are_apart() {
    let (a, b) = two(quick).await;
    a.admin().post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    let active = "/api/v1/tenants/acme/mitigations/active";
    let edge = asking(&a, holding(3)).await;
    assert_eq!(a.admin().put("/api/v1/tenants/acme/policyset?wait=5s", holding(3)).await.status, 200);
    let of_acme = b.with_key(&key(&b.admin(), "acme").await);
    let blocked = cross(&edge, "203.0.113.7", 4).await;
    let entity = blocked["entity"].as_str().unwrap();
    until_held(&b.admin(), entity, true).await;
    let answer = ask(&of_acme, "203.0.113.7", "/login").await;
    assert_eq!(told(&answer), ("allow", "none"));
    assert_eq!(b.admin().get(active).await.json()["items"], json!([]));
    b.admin().get(&format!("{active}/{entity}")).await.refused(404, "not_found");
    assert_eq!(b.admin().delete(&format!("{active}/{entity}?wait=5s")).await.status, 200);
    assert_eq!(told(&ask(&edge, "203.0.113.7", "/login").await), ("block", "mitigation"), "another tenant's release");
    b.admin().get("/api/v1/tenants/nobody/mitigations/active").await.refused(404, "not_found");
}

#[tokio::test]
async fn a_crossing_in_ingested_events_holds_at_decide_on_all_nodes() {
    let (a, b) = two(quick).await;
    let mut set = holding(3);
    set["traffic"] = json!({"streams": ["web"], "format": "keyloft"});
    let edge = asking(&a, set).await;
    let shipper = b.with_key(&b.admin().issue("default", "shipper", "ingestion").await.api_key);
    let lines = vec![event("203.0.113.7", "/login").to_string(); 3].join("\n");
    let answer = shipper.ingest("web", lines).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let all = held(&b.admin()).await;
    assert_eq!(all.len(), 1, "at once on the node that has judged them");
    until_held(&a.admin(), all[0]["entity"].as_str().unwrap(), true).await;
    assert_eq!(told(&ask(&edge, "203.0.113.7", "/login").await), ("block", "mitigation"));
    // Events of long ago hold nobody.
    let mut late = event("203.0.113.9", "/login");
    late["observedAt"] = json!("2020-01-01T00:00:00Z");
    shipper.ingest("web", vec![late.to_string(); 5].join("\n")).await;
    assert_eq!(held(&b.admin()).await.len(), 1);
}

#[tokio::test]
async fn a_restart_and_a_kill_keep_who_was_held_by_a_shared_entry() {
    let server = TestServer::spawn_with(quick).await;
    let edge = asking(&server, holding(3)).await;
    cross(&edge, "203.0.113.7", 3).await;
    server.until("the entry is written", |server| entries(server).len() == 1).await;
    let before = held(&server.admin()).await;
    let server = server.restart().await;
    assert_eq!(held(&server.admin()).await, before);
    drop(server);

    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let process = Process::serve(&store, &["--sync-poll-interval", "100ms"]);
    let token = process.admin_token().unwrap().to_owned();
    let admin = process.admin(&token);
    assert_eq!(admin.put(SET, holding(3)).await.status, 200);
    let api_key = key(&admin, "default").await;
    cross(&process.with_key(&api_key), "203.0.113.7", 3).await;
    let entry = store.join(".settings/keyloft/mitigations/00000000000000000001.json");
    for _ in 0..500 {
        if entry.exists() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    drop(process); // kill -9
    let process = Process::serve(&store, &["--sync-poll-interval", "100ms"]);
    process.anonymous().until_ready().await;
    // The first request of all: a node that is ready knows who is held.
    let answer = process.with_key(&api_key).post(DECIDE, event("203.0.113.7", "/login")).await.json();
    assert_eq!(told(&answer), ("block", "mitigation"));
}

#[tokio::test]
async fn the_list_comes_in_pages_and_what_is_no_request_is_refused() {
    let server = TestServer::spawn_with(quick).await;
    let (admin, edge) = (server.admin(), asking(&server, holding(1)).await);
    let events: Vec<_> = (0..25).map(|n| event(&format!("198.51.100.{n}"), "/login")).collect();
    assert_eq!(edge.post(DECIDE, json!({ "events": events })).await.status, 200);
    let (mut pages, mut entities, mut cursor) = (0, Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("{ACTIVE}?limit=10{cursor}")).await.json();
        let items = page["items"].as_array().unwrap();
        entities.extend(items.iter().map(|item| item["entity"].as_str().unwrap().to_owned()));
        pages += 1;
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let different: std::collections::BTreeSet<_> = entities.iter().collect();
    assert_eq!((pages, entities.len(), different.len()), (3, 25, 25));
    let metrics = server.anonymous().get("/metrics").await;
    assert!(metrics.text().contains("keyloft_mitigations_active 25\n"));
    for bad in ["?limit=0", "?limit=1001", "?cursor=x", "?cursor=1-e_x-y", "?from=1"] {
        admin.get(&format!("{ACTIVE}{bad}")).await.refused(400, "invalid_request");
    }
    admin.get(&format!("{ACTIVE}/203.0.113.7")).await.refused(400, "invalid_request");
    admin.delete(&format!("{ACTIVE}/{}?policyId=x", entities[0])).await.refused(400, "invalid_request");
    // The mitigations of the set are beside it.
    let shown = admin.get(&format!("/api/v1/tenants/default/mitigations/{MITIGATION}")).await.json();
    assert_eq!((&shown["name"], NETWORK.len()), (&json!("hold"), 36));
}
