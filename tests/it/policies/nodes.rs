//! Policy sets on several nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::{SET, blocking};
use crate::support::TestServer;
use crate::support::pair::{quick, two};

#[tokio::test]
async fn a_change_and_a_rollback_reach_the_other_node_by_their_receipts() {
    let (a, b) = two(quick).await;
    for (n, path) in ["/a", "/b"].into_iter().enumerate() {
        let deployed = a.admin().put(&format!("{SET}?wait=5s"), blocking(path)).await;
        assert_eq!((deployed.status.as_u16(), &deployed.json()["receipt"]["behind"]), (200, &json!([])));
        assert_eq!(b.admin().get(SET).await.json()["policySetVersion"], json!(n + 1));
    }
    let back = b.admin().post(&format!("{SET}/rollback?wait=5s"), json!({"to": 1})).await;
    assert_eq!(back.status, 200);
    let shown = a.admin().get(SET).await.json();
    assert_eq!((&shown["policySetVersion"], &shown["restores"]), (&json!(3), &json!(1)));
}

#[tokio::test]
async fn two_nodes_that_change_a_set_at_once_lose_nothing() {
    let (a, b) = two(quick).await;
    let adds = (0..10).map(|n| {
        let admin = if n % 2 == 0 { a.admin() } else { b.admin() };
        async move {
            let action = json!({"name": format!("a{n}"), "expression": format!("request_path == '/{n}'")});
            admin.post("/api/v1/tenants/default/actions?wait=10s", action).await.status.as_u16()
        }
    });
    assert_eq!(futures::future::join_all(adds).await, [201; 10]);
    for node in [&a, &b] {
        let set = node.admin().get(SET).await.json();
        assert_eq!((&set["policySetVersion"], set["actions"].as_array().unwrap().len()), (&json!(10), 10));
    }
}

/// A set in which every policy matches every request, all in one mode: a mixture of two would show.
fn all(mode: &str) -> Value {
    let id = |kind: usize, number: usize| format!("00000000-0000-4000-8000-{kind:04}{number:08}");
    let policies: Vec<Value> =
        (0..20).map(|n| json!({"policyId": id(1, n), "name": format!("p{n}"), "mitigationId": id(2, 0)})).collect();
    json!({"mitigations": [{"mitigationId": id(2, 0), "name": "m", "mode": mode}], "policies": policies})
}

#[tokio::test]
async fn a_rollback_under_load_on_three_nodes_is_never_half_of_a_set() {
    let (a, b) = two(quick).await;
    let directory = a.shared_directory();
    let c = TestServer::spawn_with(|setup| {
        quick(setup);
        setup.directory = directory;
    })
    .await;
    let admin = a.admin();
    let modes = ["", "block", "monitor"];
    for mode in &modes[1..] {
        assert_eq!(admin.put(&format!("{SET}?wait=10s"), all(mode)).await.status, 200);
    }
    let body = json!({"keyName": "edge", "keyType": "ingestion", "sourceId": "shop"});
    let issued = admin.post("/api/v1/tenants/default/apikeys?wait=10s", body).await.json();
    let key = issued["apiKey"].as_str().unwrap().to_owned();
    let is_over = Arc::new(AtomicBool::new(false));
    let load = [&a, &b, &c].map(|node| {
        let (edge, is_over) = (node.with_key(&key), is_over.clone());
        tokio::spawn(async move {
            let mut versions = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let answer = edge.post("/api/v1/decide", json!({"events": [{}, {}]})).await.json();
                for decision in answer["decisions"].as_array().unwrap() {
                    let version = decision["policySetVersion"].as_u64().unwrap();
                    let matched = decision["matched"].as_array().unwrap();
                    // Odd versions block, even ones monitor.
                    let mode = modes[2 - version as usize % 2];
                    assert_eq!(matched.len(), 20);
                    assert!(matched.iter().all(|matched| matched["mode"] == mode), "version {version}: {decision}");
                    assert_eq!(decision["action"], if mode == "block" { "block" } else { "allow" });
                    versions.push(version);
                }
            }
            versions
        })
    });
    for version in 3..=12 {
        let to = json!({"to": version - 2});
        let back = admin.post(&format!("{SET}/rollback?wait=10s"), to).await;
        assert_eq!((back.status.as_u16(), &back.json()["receipt"]["behind"]), (200, &json!([])));
        for node in [&a, &b, &c] {
            let decided = node.with_key(&key).post("/api/v1/decide", json!({})).await.json();
            assert_eq!(decided["policySetVersion"], version, "the receipt says that every node has it");
        }
    }
    is_over.store(true, Ordering::Relaxed);
    for node in load {
        let versions = node.await.unwrap();
        assert!(versions.is_sorted(), "no node goes back");
        assert!(versions.iter().any(|version| *version > 2) && versions.len() > 10, "{versions:?}");
    }
}
