//! Policy sets on several nodes.

use serde_json::json;

use super::{SET, blocking};
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
