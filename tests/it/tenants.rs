//! Tenants: their life, their suspension, and the wall between them.

use serde_json::json;

use crate::support::TestServer;

const TENANTS: &str = "/api/v1/tenants";

fn path(tenant: &str) -> String {
    format!("{TENANTS}/{tenant}")
}

#[tokio::test]
async fn a_tenant_is_created_shown_listed_and_renamed() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let created = admin.post(TENANTS, json!({"tenantId": "acme", "name": "Acme Ltd"})).await;
    assert_eq!((created.status.as_u16(), created.header("location")), (201, Some("/api/v1/tenants/acme")));
    assert!(created.json()["receipt"]["changeSeq"].is_u64());
    let mut view = created.json();
    view.as_object_mut().unwrap().remove("receipt");
    assert_eq!(admin.get(&path("acme")).await.json(), view);
    assert_eq!(
        (&view["tenantId"], &view["name"], &view["suspended"]),
        (&json!("acme"), &json!("Acme Ltd"), &json!([]))
    );
    assert!(view["createdAt"].is_string());
    let renamed = admin.patch(&path("acme"), json!({"name": "Acme GmbH"})).await;
    assert_eq!((renamed.status.as_u16(), &renamed.json()["name"]), (200, &json!("Acme GmbH")));
    assert!(renamed.json()["receipt"].is_object());
    assert!(admin.patch(&path("acme"), json!({"name": null})).await.json()["name"].is_null());
    let ids = |list: &serde_json::Value| -> Vec<String> {
        list["items"].as_array().unwrap().iter().map(|item| item["tenantId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&admin.get(TENANTS).await.json()), ["acme", "default"]);
    let server = server.restart().await;
    assert_eq!(ids(&server.admin().get(TENANTS).await.json()), ["acme", "default"]);
    assert_eq!(server.admin().get(&path("default")).await.status, 200);
}

#[tokio::test]
async fn tenants_are_listed_by_pages_when_a_limit_is_given() {
    let server = TestServer::spawn().await;
    for id in ["c", "a", "b"] {
        server.admin().post(TENANTS, json!({"tenantId": id})).await;
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server.admin().get(&format!("{TENANTS}?limit=3{cursor}")).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|tenant| tenant["tenantId"].clone()));
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, ["a", "b", "c", "default"]);
    for bad in ["limit=0", "limit=1001", "limit=x", "cursor=../x"] {
        server.admin().get(&format!("{TENANTS}?{bad}")).await.refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn an_id_that_is_no_id_is_refused() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    for id in ["", "A", "streams", ".settings", "..", "a/b", "-a", "_a", "a.b", "ü", &"a".repeat(64)] {
        let answer = admin.post(TENANTS, json!({"tenantId": id})).await;
        assert_eq!(answer.problem(), (400, "invalid_request".to_owned()), "{id}");
    }
    assert_eq!(admin.post(TENANTS, json!({"tenantId": "a".repeat(63)})).await.status, 201);
    for body in [json!({}), json!({"tenantId": "x", "suspended": []}), json!({"tenantId": "x", "name": ""}), json!([])]
    {
        admin.post(TENANTS, body).await.refused(400, "invalid_request");
    }
    for body in
        [json!({"tenantId": "b"}), json!({"suspended": ["admin"]}), json!({"suspended": "query"}), json!({"x": 1})]
    {
        admin.patch(&path("default"), body).await.refused(400, "invalid_request");
    }
    for id in ["A", "streams", "%41", "a%20b"] {
        admin.get(&path(id)).await.refused(400, "invalid_request");
    }
    admin.get(&path("nobody")).await.refused(404, "not_found");
    admin.patch(&path("nobody"), json!({})).await.refused(404, "not_found");
    admin.delete(&path("nobody")).await.refused(404, "not_found");
    let keys = format!("{}/apikeys", path("nobody"));
    admin.get(&keys).await.refused(404, "not_found");
    admin.post(&keys, json!({"keyName": "k", "keyType": "query"})).await.refused(404, "not_found");
    assert!(!server.path("nobody").exists());
}

#[tokio::test]
async fn a_taken_id_is_not_given_again() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    for id in ["default", "acme"] {
        admin.post(TENANTS, json!({"tenantId": "acme"})).await;
        admin.post(TENANTS, json!({"tenantId": id})).await.refused(409, "duplicate_tenant");
    }
    let race = (0..8).map(|_| {
        let admin = server.admin();
        async move { admin.post(TENANTS, json!({"tenantId": "race"})).await.status.as_u16() }
    });
    let mut statuses = futures::future::join_all(race).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
}

#[tokio::test]
async fn a_deleted_tenant_is_gone_for_ever_and_its_keys_with_it() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    admin.post(TENANTS, json!({"tenantId": "acme"})).await;
    let sender = admin.issue("acme", "sender", "ingestion").await;
    let reader = admin.issue("acme", "reader", "query").await;
    assert_eq!(server.with_key(&sender.api_key).ingest("web", "{\"a\":1}").await.status, 200);
    let deleted = admin.delete(&path("acme")).await;
    assert_eq!((deleted.status.as_u16(), &deleted.json()["deleted"]), (200, &json!(true)));
    assert!(deleted.json()["receipt"].is_object());
    let key = format!("{}/apikeys/{}", path("acme"), reader.id);
    let check = async |server: &TestServer| {
        let admin = server.admin();
        server.with_key(&sender.api_key).ingest("web", "{\"a\":1}").await.refused(401, "invalid_api_key");
        server.with_key(&reader.api_key).query("SELECT 1").await.refused(401, "invalid_api_key");
        server.with_key(&reader.api_key).get("/api/v1/whoami").await.refused(401, "invalid_api_key");
        admin.get(&path("acme")).await.refused(410, "tenant_deleted");
        admin.patch(&path("acme"), json!({"suspended": []})).await.refused(410, "tenant_deleted");
        admin.get(&key).await.refused(410, "tenant_deleted");
        admin.patch(&key, json!({"state": "active"})).await.refused(410, "tenant_deleted");
        admin.get(&format!("{}/apikeys", path("acme"))).await.refused(410, "tenant_deleted");
        let body = json!({"keyName": "new", "keyType": "query"});
        admin.post(&format!("{}/apikeys", path("acme")), body).await.refused(410, "tenant_deleted");
        admin.post(TENANTS, json!({"tenantId": "acme"})).await.refused(410, "tenant_deleted");
        assert!(!admin.get(TENANTS).await.text().contains("acme"));
        assert_eq!(admin.delete(&path("acme")).await.status, 200);
    };
    check(&server).await;
    let server = server.restart().await;
    check(&server).await;
    for id in [&sender.id, &reader.id] {
        let document = std::fs::read_to_string(server.path(&format!("acme/.settings/apikeys/{id}.json"))).unwrap();
        assert!(document.contains("\"revoked\""), "{document}");
    }
    assert!(server.path("acme/streams/web").is_dir(), "the events are left to the operator");
}

#[tokio::test]
async fn the_default_tenant_cannot_be_deleted() {
    let server = TestServer::spawn().await;
    let key = server.admin().issue("default", "k", "query").await;
    server.admin().delete(&path("default")).await.refused(409, "tenant_protected");
    assert_eq!(server.with_key(&key.api_key).get("/api/v1/whoami").await.status, 200);
}

#[tokio::test]
async fn a_suspension_refuses_its_use_and_says_so_to_good_keys_only() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    admin.post(TENANTS, json!({"tenantId": "acme"})).await;
    for tenant in ["acme", "default"] {
        let sender = admin.issue(tenant, "sender", "ingestion").await;
        let reader = admin.issue(tenant, "reader", "query").await;
        let revoked = admin.issue(tenant, "revoked", "query").await;
        admin.delete(&format!("{}/apikeys/{}", path(tenant), revoked.id)).await;
        let statuses = async |server: &TestServer| {
            let ingest = server.with_key(&sender.api_key).ingest("web", "{\"a\":1}").await;
            let query = server.with_key(&reader.api_key).query("SELECT 1 AS one").await;
            let list = server.with_key(&reader.api_key).get("/api/v1/logstream").await;
            for answer in [&ingest, &query, &list].into_iter().filter(|answer| answer.status != 200) {
                answer.refused(403, "tenant_suspended");
            }
            server.with_key(&revoked.api_key).query("SELECT 1").await.refused(401, "invalid_api_key");
            server.with_key("kl_qry_nobody").query("SELECT 1").await.refused(401, "invalid_api_key");
            for (key, used) in [(&sender, &ingest), (&reader, &query)] {
                let whoami = server.with_key(&key.api_key).get("/api/v1/whoami").await;
                let verdict = admin.post("/api/v1/apikeys/verify", json!({"apiKey": key.api_key})).await.json();
                assert_eq!(whoami.status, 200);
                assert_eq!(whoami.json()["suspended"], used.status == 403);
                assert_eq!(verdict["code"] == "tenant_suspended", used.status == 403);
            }
            [ingest, query, list].map(|answer| answer.status.as_u16())
        };
        for (suspended, expected) in [
            (json!(["ingestion"]), [403, 200, 200]),
            (json!(["query"]), [200, 403, 403]),
            (json!(["ingestion", "query"]), [403, 403, 403]),
            (json!([]), [200, 200, 200]),
        ] {
            let answer = admin.patch(&path(tenant), json!({"suspended": suspended})).await;
            assert_eq!(answer.json()["suspended"], suspended);
            assert_eq!(statuses(&server).await, expected, "{tenant} {suspended}");
        }
    }
    // Other tenants are not touched, and a suspension lasts over a restart.
    let reader = admin.issue("default", "other", "query").await;
    let suspended = admin.issue("acme", "other", "query").await;
    admin.patch(&path("acme"), json!({"suspended": ["query"]})).await;
    let server = server.restart().await;
    assert_eq!(server.with_key(&reader.api_key).query("SELECT 1 AS one").await.status, 200);
    server.with_key(&suspended.api_key).query("SELECT 1 AS one").await.refused(403, "tenant_suspended");
}

#[tokio::test]
async fn tenants_never_see_each_other() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    for tenant in ["acme", "beta"] {
        admin.post(TENANTS, json!({"tenantId": tenant})).await;
    }
    let mut readers = Vec::new();
    for tenant in ["acme", "beta", "default"] {
        // The same names everywhere: a name is unique in its tenant only.
        let sender = admin.issue(tenant, "sender", "ingestion").await;
        let reader = admin.issue(tenant, "reader", "query").await;
        let row = json!({"owner": tenant}).to_string();
        assert_eq!(server.with_key(&sender.api_key).ingest("shared", row.clone()).await.status, 200);
        assert_eq!(server.with_key(&sender.api_key).ingest(&format!("of-{tenant}"), row).await.status, 200);
        readers.push((tenant, reader));
    }
    for (tenant, reader) in &readers {
        let client = server.with_key(&reader.api_key);
        assert_eq!(client.get("/api/v1/whoami").await.json()["tenant"], *tenant);
        let mut streams = client.get("/api/v1/logstream").await.json().as_array().unwrap().clone();
        streams.sort_by_key(|stream| stream["name"].as_str().unwrap().to_owned());
        assert_eq!(streams, [json!({"name": format!("of-{tenant}")}), json!({"name": "shared"})]);
        assert_eq!(client.query("SELECT owner FROM shared").await.json(), json!([{"owner": tenant}]));
        let listed = admin.get(&format!("{}/apikeys", path(tenant))).await.json();
        assert_eq!(listed["items"].as_array().unwrap().len(), 2);
        for (other, _) in readers.iter().filter(|(other, _)| other != tenant) {
            let query = format!("SELECT * FROM \"of-{other}\"");
            client.query(&query).await.refused(400, "invalid_query");
            let foreign = format!("{}/apikeys/{}", path(other), reader.id);
            admin.get(&foreign).await.refused(404, "not_found");
            admin.patch(&foreign, json!({"state": "disabled"})).await.refused(404, "not_found");
            admin.delete(&foreign).await.refused(404, "not_found");
        }
        assert_eq!(client.get("/api/v1/whoami").await.status, 200);
    }
}
