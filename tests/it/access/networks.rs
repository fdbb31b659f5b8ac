//! Where a key may be used from.

use keyloft::config::Config;
use serde_json::{Value, json};

use crate::support::{Answer, Client, TestServer};

async fn behind_proxy() -> TestServer {
    TestServer::spawn_with(|setup| trust(&mut setup.config, "127.0.0.0/8")).await
}

fn trust(config: &mut Config, proxies: &str) {
    config.http.trusted_proxies = proxies.parse().unwrap();
}

async fn issue(server: &TestServer, name: &str, networks: Value) -> Client {
    let body = json!({"keyName": name, "keyType": "ingestion", "allowedCidrs": networks});
    server.with_key(&server.admin().issue_with("default", body).await.api_key)
}

/// Asks with header fields that may or may not tell where the client is.
async fn ask(client: &Client, fields: &[(&str, &str)]) -> Answer {
    let request = client.request("GET", "/api/v1/whoami");
    Answer::of(fields.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

#[tokio::test]
async fn a_key_is_used_from_its_networks_only() {
    let server = TestServer::spawn().await;
    for (number, (networks, fine)) in [
        (json!([]), true),
        (json!(["127.0.0.1"]), true),
        (json!(["127.0.0.0/8", "2001:db8::/32"]), true),
        (json!(["0.0.0.0/0"]), true),
        (json!(["192.0.2.0/24"]), false),
        (json!(["::1"]), false),
        (json!(["::/0"]), false),
    ]
    .into_iter()
    .enumerate()
    {
        let client = issue(&server, &format!("k{number}"), networks.clone()).await;
        for answer in [ask(&client, &[]).await, client.ingest("web", "{\"a\":1}").await] {
            if fine {
                assert_eq!(answer.status, 200, "{networks}: {}", answer.text());
            } else {
                answer.refused(403, "network_not_allowed");
            }
        }
    }
}

#[tokio::test]
async fn a_query_key_is_held_to_its_networks_before_a_session_is_opened() {
    let server = TestServer::spawn().await;
    let body = json!({"keyName": "q", "keyType": "query", "allowedCidrs": ["192.0.2.0/24"]});
    let client = server.with_key(&server.admin().issue_with("default", body).await.api_key);
    client.query("SELECT 1 AS one").await.refused(403, "network_not_allowed");
    client.get("/api/v1/logstream").await.refused(403, "network_not_allowed");
    assert_eq!(server.open_sessions(), 0);
}

#[tokio::test]
async fn only_a_good_key_is_told_of_its_networks() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let body = |name| json!({"keyName": name, "keyType": "ingestion", "allowedCidrs": ["192.0.2.0/24"]});
    let good = admin.issue_with("default", body("good")).await;
    let revoked = admin.issue_with("default", body("revoked")).await;
    admin.delete(&format!("/api/v1/tenants/default/apikeys/{}", revoked.id)).await;
    let disabled = admin.issue_with("default", body("disabled")).await;
    let path = format!("/api/v1/tenants/default/apikeys/{}", disabled.id);
    admin.patch(&path, json!({"state": "disabled"})).await;
    for key in [&revoked, &disabled] {
        ask(&server.with_key(&key.api_key), &[]).await.refused(401, "invalid_api_key");
    }
    let good = server.with_key(&good.api_key);
    ask(&good, &[]).await.refused(403, "network_not_allowed");
    ask(&good, &[("x-tenant-id", "acme")]).await.refused(403, "tenant_mismatch");
    good.query("SELECT 1").await.refused(403, "wrong_key_type");
}

#[tokio::test]
async fn changed_networks_hold_from_the_next_request_on() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let issued = admin.issue("default", "k", "ingestion").await;
    let (client, path) = (server.with_key(&issued.api_key), format!("/api/v1/tenants/default/apikeys/{}", issued.id));
    for (networks, status) in [
        (json!(["192.0.2.0/24"]), 403),
        (json!(["192.0.2.0/24", "127.0.0.1"]), 200),
        (json!(["::1"]), 403),
        (Value::Null, 200),
    ] {
        let changed = admin.patch(&path, json!({"allowedCidrs": networks})).await;
        assert_eq!(changed.status, 200, "{}", changed.text());
        assert_eq!(ask(&client, &[]).await.status, status, "{networks}");
    }
    for bad in [json!(["10.0.0.1/8"]), json!(["localhost"]), json!("10.0.0.0/8"), json!([""]), json!([7])] {
        admin.patch(&path, json!({"allowedCidrs": bad})).await.refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn nobody_who_is_not_trusted_says_where_it_is() {
    let server = TestServer::spawn().await;
    let office = issue(&server, "office", json!(["192.0.2.0/24"])).await;
    let home = issue(&server, "home", json!(["127.0.0.1"])).await;
    for fields in [
        &[("x-forwarded-for", "192.0.2.1")][..],
        &[("forwarded", "for=192.0.2.1")],
        &[("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")],
        &[("x-real-ip", "192.0.2.1"), ("x-client-ip", "192.0.2.1"), ("true-client-ip", "192.0.2.1")],
    ] {
        ask(&office, fields).await.refused(403, "network_not_allowed");
        assert_eq!(ask(&home, fields).await.status, 200);
    }
}

#[tokio::test]
async fn a_trusted_proxy_says_where_its_clients_are() {
    let server = behind_proxy().await;
    let office = issue(&server, "office", json!(["192.0.2.0/24", "2001:db8::/32"])).await;
    for fields in [
        &[("x-forwarded-for", "192.0.2.1")][..],
        &[("x-forwarded-for", "203.0.113.1, 192.0.2.1, 127.0.0.2")],
        &[("x-forwarded-for", "203.0.113.1"), ("x-forwarded-for", "[2001:db8::7]:1234")],
        &[("x-forwarded-for", "::ffff:192.0.2.1")],
        &[("forwarded", "for=203.0.113.1, for=\"[2001:db8::7]:1234\";proto=https")],
        &[("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "192.0.2.1:99")],
    ] {
        let answer = ask(&office, fields).await;
        assert_eq!(answer.status, 200, "{fields:?}: {}", answer.text());
    }
    for fields in [
        &[][..],
        &[("x-forwarded-for", "192.0.2.1, 203.0.113.1")],
        &[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "203.0.113.1")],
        &[("x-forwarded-for", "192.0.2.1, unknown")],
        &[("x-forwarded-for", "192.0.2.1, ")],
        &[("x-forwarded-for", "127.0.0.5")],
        &[("forwarded", "for=192.0.2.1, for=unknown")],
        &[("forwarded", "for=\"192.0.2.1")],
        &[("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "203.0.113.1")],
    ] {
        ask(&office, fields).await.refused(403, "network_not_allowed");
    }
    // What cannot be read is held against keys that care.
    let anywhere = issue(&server, "anywhere", json!([])).await;
    assert_eq!(ask(&anywhere, &[("x-forwarded-for", "nonsense")]).await.status, 200);
}

#[tokio::test]
async fn verify_judges_an_address() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let body = json!({"keyName": "k", "keyType": "ingestion", "allowedCidrs": ["192.0.2.0/24"], "streams": ["web"]});
    let key = admin.issue_with("default", body).await;
    let verify = async |more: Value| {
        let mut body = json!({"apiKey": key.api_key});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        admin.post("/api/v1/apikeys/verify", body).await
    };
    for (more, code) in [
        (json!({}), "valid"),
        (json!({"address": "192.0.2.9"}), "valid"),
        (json!({"address": "::ffff:192.0.2.9"}), "valid"),
        (json!({"address": "203.0.113.9"}), "network_not_allowed"),
        (json!({"address": "2001:db8::1"}), "network_not_allowed"),
        (json!({"address": "203.0.113.9", "action": "query"}), "wrong_key_type"),
        (json!({"address": "203.0.113.9", "stream": "other"}), "network_not_allowed"),
        (json!({"address": "192.0.2.9", "stream": "other"}), "stream_not_allowed"),
    ] {
        let answer = verify(more.clone()).await.json();
        assert_eq!((answer["code"].as_str(), answer["valid"].as_bool()), (Some(code), Some(code == "valid")), "{more}");
    }
    verify(json!({"address": "192.0.2.0/24"})).await.refused(400, "invalid_request");
}
