//! Decisions over HTTP, and what is recorded of them.

use serde_json::{Value, json};

use super::{SET, blocking};
use crate::support::{Answer, Client, Process, TestServer};

const KEYS: &str = "/api/v1/tenants/default/apikeys";
const DECIDE: &str = "/api/v1/decide";

/// A client with a key that may ask.
async fn asking(server: &TestServer) -> Client {
    let body = json!({"keyName": "edge", "keyType": "ingestion", "sourceId": "shop", "trustLevel": "high"});
    let issued = server.admin().post(KEYS, body).await.json();
    server.with_key(issued["apiKey"].as_str().unwrap())
}

fn request(path: &str) -> Value {
    json!({"clientIp": "203.0.113.7", "request": {"method": "GET", "host": "shop.example", "path": path}})
}

async fn results(server: &TestServer) -> Vec<Value> {
    let answer = server.admin().get("/api/v1/tenants/default/results/policies").await;
    assert_eq!(answer.status, 200);
    answer.json()["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn without_a_set_everything_is_allowed_by_version_0() {
    let server = TestServer::spawn().await;
    let edge = asking(&server).await;
    let answer = edge.post(DECIDE, request("/")).await;
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, Some("no-store")));
    let answer = answer.json();
    assert_eq!((&answer["action"], &answer["policySetVersion"]), (&json!("allow"), &json!(0)));
    assert!(results(&server).await.is_empty());
}

#[tokio::test]
async fn a_change_of_the_set_holds_for_the_next_request_and_every_match_is_a_result() {
    let server = TestServer::spawn().await;
    let (admin, edge) = (server.admin(), asking(&server).await);
    admin.put(SET, blocking("/a")).await;
    let blocked = edge.post(DECIDE, request("/a")).await.json();
    assert_eq!((&blocked["action"], &blocked["policy"]["name"]), (&json!("block"), &json!("paths")));
    assert_eq!((&blocked["reason"], &blocked["matched"][0]["outcome"]), (&json!("policy"), &json!("block")));
    assert_eq!(edge.post(DECIDE, request("/b")).await.json()["action"], "allow");
    let mut monitored = blocking("/a");
    monitored["mode"] = json!("monitor");
    admin.put(SET, monitored).await;
    let watched = edge.post(DECIDE, request("/a")).await.json();
    assert_eq!((&watched["action"], &watched["matched"][0]["outcome"]), (&json!("allow"), &json!("observe")));
    let mut exempt = blocking("/a");
    exempt["exempt"] = json!("ip_in(client_ip, ['203.0.113.0/24'])");
    admin.put(SET, exempt).await;
    assert_eq!(edge.post(DECIDE, request("/a")).await.json()["reason"], "exempt");
    let mut off = blocking("/a");
    off["mode"] = json!("off");
    admin.put(SET, off).await;
    assert_eq!(edge.post(DECIDE, request("/a")).await.json()["matched"], json!([]));
    let results = results(&server).await;
    let told =
        ["total", "block", "observe", "exempted", "challenge"].map(|member| results[0][member].as_u64().unwrap());
    assert_eq!((results.len(), told), (1, [3, 1, 1, 1, 0]));
    let id = results[0]["policyId"].as_str().unwrap();
    let one = admin.get(&format!("/api/v1/tenants/default/results/policies/{id}")).await.json();
    assert_eq!(one["recent"].as_array().unwrap().len(), 3);
    assert_eq!((&one["recent"][2]["request_path"], &one["total"]), (&json!("/a"), &json!(3)));
    let none = admin.get("/api/v1/tenants/default/results/policies?from=2999-01-01T00:00:00Z").await.json();
    assert_eq!(none["items"][0]["total"], 0, "a policy of the set is named all the same");
    let nobody = uuid::Uuid::nil();
    admin.get(&format!("/api/v1/tenants/default/results/policies/{nobody}")).await.refused(404, "not_found");
    let period = "from=2027-01-02T00:00:00Z&to=2027-01-01T00:00:00Z";
    admin.get(&format!("/api/v1/tenants/default/results/policies?{period}")).await.refused(400, "invalid_request");
}

#[tokio::test]
async fn a_window_counts_an_entity_and_nobody_else() {
    let server = TestServer::spawn().await;
    let edge = asking(&server).await;
    let block = "6b65796c-6f66-8000-8000-000000000303";
    let network = "6b65796c-6f66-8000-8000-000000000202";
    let flood = json!({"name": "flood", "mitigationId": block, "entityDefinitionId": network,
        "window": {"seconds": 60, "threshold": 3}});
    server.admin().put(SET, json!({"policies": [flood]})).await;
    let ask = |address: &'static str| {
        let edge = edge.clone();
        async move { edge.post(DECIDE, json!({"clientIp": address, "request": {"path": "/"}})).await.json() }
    };
    let mut actions = Vec::new();
    for address in ["203.0.113.7", "203.0.113.7", "203.0.113.8", "203.0.113.7", "203.0.113.8"] {
        actions.push(ask(address).await["action"].as_str().unwrap().to_owned());
    }
    assert_eq!(actions, ["allow", "allow", "allow", "block", "allow"]);
    let blocked = ask("203.0.113.7").await;
    assert_eq!(blocked["window"], json!({"count": 4, "threshold": 3, "seconds": 60}));
    assert!(blocked["retryAfterSeconds"].as_u64().is_some_and(|wait| (1..=60).contains(&wait)));
    assert!(blocked["entity"].as_str().unwrap().starts_with("e_"));
}

#[tokio::test]
async fn a_batch_is_answered_in_order_and_counted_only_when_asked_so() {
    let server = TestServer::spawn().await;
    let edge = asking(&server).await;
    server.admin().put(SET, blocking("/a")).await;
    let events = json!({"events": [request("/a"), request("/b"), request("/a")]});
    let answer = edge.post(DECIDE, events.clone()).await.json();
    let actions: Vec<_> = answer["decisions"].as_array().unwrap().iter().map(|one| one["action"].clone()).collect();
    assert_eq!(actions, ["block", "allow", "block"]);
    assert_eq!(edge.post(&format!("{DECIDE}?observe=true"), events).await.json(), json!({"observed": 3}));
    assert_eq!(edge.post(DECIDE, json!({"events": []})).await.json(), json!({"decisions": []}));
    assert_eq!(results(&server).await[0]["total"], 4);
}

#[tokio::test]
async fn what_is_durable_survives_the_end_of_the_node() {
    let server = TestServer::spawn().await;
    let edge = asking(&server).await;
    server.admin().put(SET, blocking("/a")).await;
    assert_eq!(edge.post(&format!("{DECIDE}?durable=true"), request("/a")).await.status, 200);
    let server = server.restart().await;
    assert_eq!(results(&server).await[0]["block"], 1);
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_refused_with_its_member_and_nothing_of_it_is_counted() {
    let server = TestServer::spawn().await;
    let edge = asking(&server).await;
    server.admin().put(SET, blocking("/a")).await;
    let cases = [
        (json!({"clientIP": "203.0.113.7"}), "clientIP"),
        (json!({"clientIp": "hunter2"}), "clientIp"),
        (json!({"request": {"method": 7}}), "request.method"),
        (json!({"observedAt": "yesterday"}), "observedAt"),
        (json!({"events": [request("/a"), {"clientIp": 1}]}), "events[1]"),
        (json!({"events": [], "clientIp": "203.0.113.7"}), "events"),
    ];
    for (body, named) in cases {
        let refused = edge.post(DECIDE, body).await;
        assert_eq!(refused.problem(), (400, "invalid_event".to_owned()), "{named}");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(named) && !detail.contains("hunter2"), "{detail}");
    }
    let many: Vec<Value> = (0..1001).map(|_| request("/a")).collect();
    edge.post(DECIDE, json!({"events": many})).await.refused(413, "payload_too_large");
    edge.post(DECIDE, json!({"payload": "x".repeat(2 << 20)})).await.refused(413, "payload_too_large");
    let text = edge.request("POST", DECIDE).header("content-type", "application/json").body("{\"a\":");
    assert_eq!(Answer::of(text).await.problem(), (400, "invalid_event".to_owned()));
    assert_eq!(results(&server).await[0]["total"], 0);
}

#[tokio::test]
async fn only_a_key_that_may_decide_asks() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    for (name, body, status) in [
        ("no-source", json!({"keyType": "ingestion"}), 403),
        ("no-source-but-said", json!({"keyType": "ingestion", "decide": true}), 200),
        ("source", json!({"keyType": "ingestion", "sourceId": "s"}), 200),
        ("source-but-not", json!({"keyType": "ingestion", "sourceId": "s", "decide": false}), 403),
        ("reader", json!({"keyType": "query", "sourceId": "s", "decide": true}), 403),
    ] {
        let mut body = body;
        body["keyName"] = json!(name);
        let key = admin.post(KEYS, body).await.json();
        let answer = server.with_key(key["apiKey"].as_str().unwrap()).post(DECIDE, request("/")).await;
        assert_eq!(answer.status, status, "{name}");
        if name == "source-but-not" {
            answer.refused(403, "decide_not_allowed");
        }
    }
}

#[tokio::test]
async fn rows_hold_no_secret_of_a_request_and_no_address() {
    let server = TestServer::spawn().await;
    let edge = asking(&server).await;
    let expression = "request_cookie_session == 'hunter2-cookie' || request_path == '/a'";
    let block = "6b65796c-6f66-8000-8000-000000000303";
    let network = "6b65796c-6f66-8000-8000-000000000202";
    let policy = json!({"name": "p", "expression": expression, "mitigationId": block, "entityDefinitionId": network});
    server.admin().put(SET, json!({"policies": [policy]})).await;
    let event = json!({
        "clientIp": "203.0.113.77",
        "request": {"method": "POST", "path": "/a?token=hunter2-query", "headers":
            {"authorization": "Bearer hunter2-token", "cookie": "session=hunter2-cookie"}},
        "payload": {"password": "hunter2-payload"},
    });
    let answer = edge.post(&format!("{DECIDE}?durable=true"), event).await.json();
    assert_eq!(answer["action"], "block");
    assert!(!answer.to_string().contains("hunter2") && !answer.to_string().contains("203.0.113"), "{answer}");
    let reader = json!({"keyName": "r", "keyType": "query", "streams": ["keyloft_decisions"]});
    let reader = server.admin().post(KEYS, reader).await.json();
    let asked = json!({"query": "SELECT * FROM keyloft_decisions"});
    let rows = server.with_key(reader["apiKey"].as_str().unwrap()).post("/api/v1/query", asked).await.json();
    assert_eq!((rows.as_array().unwrap().len(), &rows[0]["request_path"]), (1, &json!("/a")));
    assert!(!rows.to_string().contains("hunter2") && !rows.to_string().contains("203.0.113"), "{rows}");
}

#[tokio::test]
async fn a_decision_is_explained_without_counting_and_without_secrets() {
    let server = TestServer::spawn().await;
    let explain = format!("{SET}/explain");
    let event = json!({"clientIp": "203.0.113.77", "request": {"method": "POST", "path": "/login",
        "headers": {"authorization": "hunter2-token"}, "cookies": {"s": "hunter2-cookie"}}, "payload": {"p": "hunter2"}});
    let none = server.admin().post(&explain, json!({"event": event})).await.json();
    assert_eq!((&none["action"], &none["policySetVersion"]), (&json!("allow"), &json!(0)));
    let draft = json!({
        "actions": [{"name": "login", "expression": "request_path == '/login' && request_cookie_s != 'x'"}],
        "policies": [{"name": "flood", "actions": ["login"], "entity": "network", "mitigation": "block",
            "expression": "payload_p != 'x' && client_network != ''", "window": {"seconds": 60, "threshold": 2}}],
    });
    for _ in 0..3 {
        let said = server.admin().post(&explain, json!({"event": event, "policySet": draft})).await.json();
        assert_eq!((&said["action"], &said["policySetVersion"]), (&json!("allow"), &Value::Null));
        assert_eq!(said["actions"][0]["expression"]["truth"], true);
        let step = &said["actions"][0]["expression"]["steps"];
        assert!(step.to_string().contains("\"line\":1") && step.to_string().contains("request_path"), "{step}");
        assert_eq!(said["policies"][0]["window"]["counted"]["count"], 1, "nothing is counted");
        assert!(!said.to_string().contains("hunter2") && !said.to_string().contains("203.0.113"), "{said}");
    }
    let wrong = json!({"event": event, "policySet": {"actions": [{"name": "a", "expression": "nothing == 1"}]}});
    server.admin().post(&explain, wrong).await.refused(400, "invalid_expression");
    server.admin().post(&explain, json!({"event": {"clientIP": 1}})).await.refused(400, "invalid_event");
    server.admin().post(&explain, json!({"policySet": draft})).await.refused(400, "invalid_request");
    server.admin().post(&explain, json!({"event": event, "x": 1})).await.refused(400, "invalid_request");
}

fn flood(threshold: u32) -> Value {
    let network = "6b65796c-6f66-8000-8000-000000000202";
    json!({"policies": [{"name": "flood", "mitigationId": "6b65796c-6f66-8000-8000-000000000303",
        "entityDefinitionId": network, "window": {"seconds": 60, "threshold": threshold}}]})
}

#[tokio::test]
async fn another_threshold_keeps_the_counts_and_another_tenant_has_none_of_them() {
    let server = TestServer::spawn().await;
    let (admin, edge) = (server.admin(), asking(&server).await);
    admin.put(SET, flood(10)).await;
    for _ in 0..3 {
        assert_eq!(edge.post(DECIDE, request("/")).await.json()["action"], "allow");
    }
    admin.put(SET, flood(4)).await;
    assert_eq!(edge.post(DECIDE, request("/")).await.json()["action"], "block");
    admin.post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    admin.put("/api/v1/tenants/acme/policyset", flood(2)).await;
    let key = json!({"keyName": "edge", "keyType": "ingestion", "sourceId": "s"});
    let key = admin.post("/api/v1/tenants/acme/apikeys", key).await.json();
    let acme = server.with_key(key["apiKey"].as_str().unwrap());
    let first = acme.post(DECIDE, request("/")).await.json();
    assert_eq!((&first["action"], &first["policySetVersion"]), (&json!("allow"), &json!(1)));
    let second = acme.post(DECIDE, request("/")).await.json();
    let ours = edge.post(DECIDE, request("/")).await.json();
    assert_ne!(second["entity"], ours["entity"], "one client has another name in each tenant");
    let results = admin.get("/api/v1/tenants/acme/results/policies").await.json();
    assert_eq!(results["items"][0]["total"], 1);
}

#[tokio::test]
async fn while_the_store_is_away_decisions_go_on_and_their_rows_wait() {
    let (server, faults) = crate::support::pair::faulty(|_| {}).await;
    let edge = asking(&server).await;
    server.admin().put(SET, blocking("/a")).await;
    faults.inject(crate::support::Fault::ErrorBefore, |_| true);
    for _ in 0..20 {
        assert_eq!(edge.post(DECIDE, request("/a")).await.json()["action"], "block");
    }
    edge.post(&format!("{DECIDE}?durable=true"), request("/a")).await.refused(503, "store_unavailable");
    faults.none();
    assert_eq!(results(&server).await[0]["block"], 21);
}

#[tokio::test]
async fn an_orderly_stop_records_what_was_decided() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let process = Process::serve(&store, &[]);
    let token = process.admin_token().unwrap().to_owned();
    let admin = process.admin(&token);
    let key = json!({"keyName": "edge", "keyType": "ingestion", "sourceId": "s"});
    let key = admin.post(KEYS, key).await.json();
    admin.put(SET, blocking("/a")).await;
    let edge = process.with_key(key["apiKey"].as_str().unwrap());
    assert_eq!(edge.post(DECIDE, request("/a")).await.json()["action"], "block");
    let mut process = process;
    process.signal("TERM");
    assert_eq!(tokio::task::spawn_blocking(move || process.wait()).await.unwrap(), Some(0));
    let process = Process::serve(&store, &[]);
    let answer = process.admin(&token).get("/api/v1/tenants/default/results/policies").await;
    assert_eq!(answer.json()["items"][0]["block"], 1);
}

#[tokio::test]
async fn a_client_that_sends_very_much_is_judged_all_the_same_and_marked() {
    let server = TestServer::spawn().await;
    let edge = asking(&server).await;
    let mut set = blocking("/a");
    set["policies"][0]["expression"] = json!("request_path == '/a' && request_malformed");
    server.admin().put(SET, set).await;
    assert_eq!(edge.post(DECIDE, request("/a")).await.json()["action"], "allow");
    let long = "y".repeat(70_000);
    for large in [
        json!({"request": {"path": "/a", "query": long}}),
        json!({"request": {"path": "/a", "headers": {"x": long}}}),
        json!({"request": {"path": "/a", "cookies": {"x": long}}}),
        json!({"request": {"path": "/a"}, "payload": {"x": long}}),
    ] {
        let batch = json!({"events": [request("/b"), large]});
        let actions = edge.post(DECIDE, batch).await.json();
        assert_eq!(actions["decisions"][0]["action"], "allow");
        assert_eq!(actions["decisions"][1]["action"], "block");
    }
}

#[tokio::test]
async fn a_client_hides_nothing_behind_other_headers_parameters_and_cookies() {
    let server = TestServer::spawn().await;
    let edge = asking(&server).await;
    let block = "6b65796c-6f66-8000-8000-000000000303";
    let conditions = ["user_agent == 'evil'", "request_query_a == 'evil'", "request_cookie_a == 'evil'"];
    let policies: Vec<Value> =
        (0..3).map(|n| json!({"name": format!("p{n}"), "expression": conditions[n], "mitigationId": block})).collect();
    server.admin().put(SET, json!({"policies": policies})).await;
    let many = |separator: &str| (0..900).map(|n| format!("x{n}=1{separator}")).collect::<String>() + "a=evil";
    let mut headers: serde_json::Map<String, Value> = (0..900).map(|n| (format!("a-{n}"), json!("1"))).collect();
    headers.insert("user-agent".to_owned(), json!("evil"));
    for request in
        [json!({"headers": headers}), json!({"query": many("&")}), json!({"headers": {"cookie": many("; ")}})]
    {
        let answer = edge.post(DECIDE, json!({"clientIp": "203.0.113.7", "request": request})).await.json();
        assert_eq!(answer["action"], "block", "{answer}");
    }
}
