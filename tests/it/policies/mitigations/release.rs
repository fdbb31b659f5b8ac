//! Letting somebody go.

use serde_json::{Value, json};

use super::{ACTIVE, POLICY, ask, asking, cross, held, holding, told, until_held};
use crate::support::pair::{quick, two};

#[tokio::test]
async fn a_release_holds_everywhere_is_not_undone_at_once_and_a_later_crossing_holds_anew() {
    let (a, b) = two(quick).await;
    let edge = asking(&a, holding(3)).await;
    let other = b.with_key(&key_of_other(&b).await);
    let blocked = cross(&edge, "203.0.113.7", 5).await;
    let entity = blocked["entity"].as_str().unwrap();
    until_held(&b.admin(), entity, true).await;
    // On the other node the windows have counted too, so that without clearing them the next request would cross.
    assert_eq!(told(&cross(&other, "203.0.113.7", 5).await), ("block", "mitigation"));
    let released = b.admin().delete(&format!("{ACTIVE}/{entity}?wait=5s")).await;
    assert_eq!(released.status, 200, "{}", released.text());
    let released = released.json();
    assert_eq!((&released["released"][0]["policyId"], &released["receipt"]["behind"]), (&json!(POLICY), &json!([])));
    for (node, client) in [(&a, &edge), (&b, &other)] {
        node.admin().get(&format!("{ACTIVE}/{entity}")).await.refused(404, "not_found");
        assert_eq!(told(&ask(client, "203.0.113.7", "/login").await), ("allow", "none"));
        assert_eq!(told(&ask(client, "203.0.113.7", "/login").await), ("allow", "none"));
    }
    let again = b.admin().delete(&format!("{ACTIVE}/{entity}?wait=5s")).await;
    assert_eq!((again.status.as_u16(), &again.json()["released"]), (200, &json!([])), "released twice");
    // By one policy that does not hold it: nothing changes for the one that does.
    cross(&edge, "203.0.113.7", 3).await;
    until_held(&b.admin(), entity, true).await;
    let nobody = "5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8dff";
    b.admin().delete(&format!("{ACTIVE}/{entity}?policyId={nobody}&wait=5s")).await;
    assert_eq!(told(&ask(&edge, "203.0.113.7", "/login").await), ("block", "mitigation"));
    a.admin().delete(&format!("{ACTIVE}/{entity}?policyId={POLICY}&wait=5s")).await;
    assert_eq!(told(&ask(&other, "203.0.113.7", "/login").await), ("allow", "none"));
}

#[tokio::test]
async fn the_audit_says_who_released_whom() {
    let (a, b) = two(quick).await;
    let edge = asking(&a, holding(3)).await;
    let blocked = cross(&edge, "203.0.113.7", 3).await;
    let entity = blocked["entity"].as_str().unwrap();
    a.admin().delete(&format!("{ACTIVE}/{entity}?wait=5s")).await;
    for node in [&a, &b] {
        let audit = node.admin().get("/api/v1/tenants/default/audit?action=mitigation").await.json();
        let records = audit["items"].as_array().unwrap();
        assert_eq!(records.len(), 1, "{audit}");
        let Value::Object(record) = &records[0] else { panic!("{audit}") };
        assert_eq!((&record["action"], &record["outcome"]), (&json!("mitigation.release"), &json!("done")));
        assert_eq!(record["actor"]["kind"], "admin_token");
        let target = json!({"kind": "mitigation", "tenant": "default", "id": "tenants/default", "name": entity});
        assert_eq!((&record["target"], &record["before"]), (&target, &json!({"heldBy": [POLICY]})));
    }
    assert!(!a.anonymous().get("/metrics").await.text().contains("keyloft_sync_unknown_changes_total 1"));
}

#[tokio::test]
async fn a_client_that_crosses_all_the_time_is_released_on_both_nodes_however_often() {
    let (a, b) = two(quick).await;
    let edge = asking(&a, holding(1000)).await;
    let other = b.with_key(&key_of_other(&b).await);
    let first = ask(&edge, "203.0.113.7", "/login").await;
    assert_eq!(told(&first), ("allow", "none"));
    let batch = json!({"events": vec![super::event("203.0.113.7", "/login"); 1000]});
    for _ in 0..3 {
        edge.post(super::DECIDE, batch.clone()).await;
        let all = held(&a.admin()).await;
        let entity = all[0]["entity"].as_str().unwrap();
        // Released before and after it is shared, while it goes on asking.
        let asks = async {
            for _ in 0..20 {
                tokio::join!(ask(&edge, "203.0.113.7", "/login"), ask(&other, "203.0.113.7", "/login"));
            }
        };
        let path = format!("{ACTIVE}/{entity}?wait=5s");
        let admin = b.admin();
        let (released, ()) = tokio::join!(admin.delete(&path), asks);
        assert_eq!((released.status.as_u16(), &released.json()["receipt"]["behind"]), (200, &json!([])));
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        assert!(held(&a.admin()).await.is_empty() && held(&b.admin()).await.is_empty());
    }
}

async fn key_of_other(node: &crate::support::TestServer) -> String {
    let body = json!({"keyName": "other-edge", "keyType": "ingestion", "sourceId": "shop"});
    node.admin().issue_with("default", body).await.api_key
}
