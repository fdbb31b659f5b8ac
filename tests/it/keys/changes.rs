//! What happens to a key after it was issued: PATCH, disable, revoke, expire.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, TimeDelta};
use keyloft::{Clock, ManualClock};
use serde_json::{Value, json};

use crate::support::{Answer, Client, TestServer};

fn path(id: &str) -> String {
    format!("/api/v1/tenants/default/apikeys/{id}")
}

async fn patch_if(admin: &Client, id: &str, if_match: &str, body: Value) -> Answer {
    Answer::of(admin.request("PATCH", &path(id)).header("if-match", if_match).json(&body)).await
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_nothing_else() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let body = json!({"keyName": "k", "keyType": "ingestion", "sourceId": "s", "expiresAt": "2999-01-01T00:00:00Z"});
    let key = admin.issue_with("default", body).await;
    let mut before = admin.get(&path(&key.id)).await.json();
    let steps = [
        json!({"streams": ["web", "app-*"]}),
        json!({"streams": []}),
        json!({"expiresAt": null}),
        json!({"expiresAt": "2998-01-01T00:00:00.000Z"}),
        json!({"metadata": {"a": [1, {"b": null}]}}),
        json!({"metadata": {}}),
        json!({"sourceId": "other", "trustLevel": "low"}),
        json!({"sourceId": null}),
        json!({"state": "disabled"}),
        json!({"state": "active"}),
    ];
    for step in steps {
        let answer = admin.patch(&path(&key.id), step.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let rev = before["rev"].as_u64().unwrap() + 1;
        assert_eq!(answer.header("etag"), Some(&*format!("\"{rev}\"")));
        assert!(answer.json()["receipt"]["changeSeq"].is_u64());
        let mut after = admin.get(&path(&key.id)).await.json();
        for (field, value) in step.as_object().unwrap() {
            assert_eq!(after[field], *value, "{field}");
            before[field] = value.clone();
        }
        before["rev"] = json!(rev);
        before["modifiedAt"] = after["modifiedAt"].take();
        after["modifiedAt"] = before["modifiedAt"].clone();
        assert_eq!(after, before);
    }
    let server = server.restart().await;
    assert_eq!(server.admin().get(&path(&key.id)).await.json(), before);
}

#[tokio::test]
async fn a_patch_that_changes_nothing_is_no_new_revision() {
    let server = TestServer::spawn().await;
    let key = server.admin().issue("default", "k", "query").await;
    for body in [json!({}), json!({"state": "active"}), json!({"streams": ["*"]})] {
        assert_eq!(server.admin().patch(&path(&key.id), body).await.json()["rev"], 1);
    }
}

#[tokio::test]
async fn a_patch_of_what_never_changes_is_refused() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let key = admin.issue("default", "k", "query").await;
    for body in [
        json!({"keyName": "other"}),
        json!({"keyType": "ingestion"}),
        json!({"keyId": key.id}),
        json!({"digest": "sha256:00"}),
        json!({"rev": 1}),
        json!({"createdBy": "me"}),
        json!({"state": "revoked"}),
        json!({"state": "expired"}),
        json!({"streams": ["no/slash"]}),
        json!({"streams": "*"}),
        json!({"metadata": {"m": "x".repeat(4096)}}),
        json!({"metadata": []}),
        json!({"metadata": {"m": nested(32)}}),
        json!({"expiresAt": "2001-01-01T00:00:00Z"}),
        json!({"anything": 1}),
        json!({"streams": vec!["a"; 65]}),
    ] {
        let answer = admin.patch(&path(&key.id), body.clone()).await;
        assert_eq!(answer.problem(), (400, "invalid_request".to_owned()), "{body}");
    }
    assert_eq!(admin.get(&path(&key.id)).await.json()["rev"], 1);
}

#[tokio::test]
async fn if_match_lets_only_the_revision_it_names_through() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let key = admin.issue("default", "k", "query").await;
    assert_eq!(patch_if(&admin, &key.id, "\"1\"", json!({"sourceId": "a"})).await.status, 200);
    for stale in ["\"1\"", "\"3\"", "W/\"2\"", "2", "\"x\"", ""] {
        let answer = patch_if(&admin, &key.id, stale, json!({"sourceId": "b"})).await;
        assert_eq!(answer.problem(), (412, "precondition_failed".to_owned()), "{stale}");
        let answer = Answer::of(admin.request("DELETE", &path(&key.id)).header("if-match", stale)).await;
        assert_eq!(answer.problem(), (412, "precondition_failed".to_owned()), "{stale}");
    }
    assert_eq!(admin.get(&path(&key.id)).await.json()["sourceId"], "a");
    let any = patch_if(&admin, &key.id, "*", json!({"sourceId": "c"})).await;
    assert_eq!(any.json()["sourceId"], "c");
    let etag = any.header("etag").unwrap().to_owned();
    assert_eq!(patch_if(&admin, &key.id, &etag, json!({"sourceId": "d"})).await.json()["sourceId"], "d");
    // Any of a list (RFC 9110, section 13.1.1).
    for stale in ["\"1\", \"3\"", "W/\"4\", \"5\", \"6\"", "\"a,\", 4"] {
        let answer = patch_if(&admin, &key.id, stale, json!({"sourceId": "e"})).await;
        answer.refused(412, "precondition_failed");
    }
    let listed = patch_if(&admin, &key.id, "\"1\", \"4\" ,\"9\"", json!({"sourceId": "f"})).await;
    assert_eq!(listed.json()["sourceId"], "f");
    let delete = admin.request("DELETE", &path(&key.id)).header("if-match", "\"4\"").header("if-match", "\"5\"");
    assert_eq!(Answer::of(delete).await.json()["state"], "revoked");
}

#[tokio::test]
async fn a_disabled_key_is_refused_on_the_next_request_and_works_again_when_active() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let key = admin.issue("default", "k", "query").await;
    let client = server.with_key(&key.api_key);
    assert_eq!(client.get("/api/v1/whoami").await.status, 200);
    admin.patch(&path(&key.id), json!({"state": "disabled"})).await;
    client.get("/api/v1/whoami").await.refused(401, "invalid_api_key");
    client.query("SELECT 1").await.refused(401, "invalid_api_key");
    admin.patch(&path(&key.id), json!({"state": "active"})).await;
    assert_eq!(client.get("/api/v1/whoami").await.status, 200);
}

#[tokio::test]
async fn a_revoked_key_is_refused_for_ever_and_kept_as_a_record() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let key = admin.issue("default", "k", "ingestion").await;
    assert_eq!(server.with_key(&key.api_key).ingest("web", "{\"a\":1}").await.status, 200);
    let first = admin.delete(&path(&key.id)).await;
    assert_eq!((first.status.as_u16(), first.json()["state"].clone()), (200, json!("revoked")));
    assert!(first.json()["receipt"]["changeSeq"].is_u64());
    server.with_key(&key.api_key).ingest("web", "{\"a\":1}").await.refused(401, "invalid_api_key");
    let again = admin.delete(&path(&key.id)).await;
    assert_eq!((again.status.as_u16(), &again.json()["rev"]), (200, &first.json()["rev"]));
    admin.patch(&path(&key.id), json!({"state": "active"})).await.refused(409, "key_revoked");
    admin.patch(&path(&key.id), json!({})).await.refused(409, "key_revoked");
    let server = server.restart().await;
    server.with_key(&key.api_key).ingest("web", "{\"a\":1}").await.refused(401, "invalid_api_key");
    assert_eq!(server.admin().get(&path(&key.id)).await.json()["state"], "revoked");
    server.admin().patch(&path(&key.id), json!({"state": "active"})).await.refused(409, "key_revoked");
}

#[tokio::test]
async fn patches_at_the_same_time_lose_nothing() {
    let server = TestServer::spawn().await;
    let key = server.admin().issue("default", "k", "query").await;
    let patches = [
        json!({"sourceId": "s"}),
        json!({"trustLevel": "low"}),
        json!({"streams": ["web"]}),
        json!({"metadata": {"m": 1}}),
        json!({"expiresAt": "2999-01-01T00:00:00.000Z"}),
        json!({"state": "disabled"}),
    ];
    let all = patches.iter().map(|patch| {
        let (admin, path) = (server.admin(), path(&key.id));
        async move { admin.patch(&path, patch.clone()).await }
    });
    let mut revs = Vec::new();
    for answer in futures::future::join_all(all).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
        revs.push(answer.json()["rev"].as_u64().unwrap());
    }
    revs.sort_unstable();
    assert_eq!(revs, [2, 3, 4, 5, 6, 7]);
    let server = server.restart().await;
    let view = server.admin().get(&path(&key.id)).await.json();
    assert_eq!(view["rev"], 7);
    for (field, value) in patches.iter().flat_map(|patch| patch.as_object().unwrap()) {
        assert_eq!(view[field], *value, "{field}");
    }
}

#[tokio::test]
async fn of_those_who_name_one_revision_one_wins() {
    let server = TestServer::spawn().await;
    let key = server.admin().issue("default", "k", "query").await;
    let all = (0..8).map(|number| {
        let (admin, id) = (server.admin(), key.id.clone());
        async move { patch_if(&admin, &id, "\"1\"", json!({"sourceId": format!("s{number}")})).await }
    });
    let answers = futures::future::join_all(all).await;
    let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(won.len(), 1);
    answers.iter().filter(|answer| answer.status != 200).for_each(|answer| answer.refused(412, "precondition_failed"));
    let view = server.admin().get(&path(&key.id)).await.json();
    assert_eq!((&view["rev"], &view["sourceId"]), (&json!(2), &won[0].json()["sourceId"]));
}

#[tokio::test]
async fn a_key_expires_at_its_instant_and_works_again_when_that_is_moved() {
    let clock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH + TimeDelta::days(20_000)));
    let shared = clock.clone();
    let server = TestServer::spawn_with(move |setup| setup.clock = shared).await;
    let admin = server.admin();
    let text = |at: DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let end = clock.now() + TimeDelta::seconds(10);
    let body = json!({"keyName": "k", "keyType": "query", "expiresAt": text(end)});
    let key = admin.issue_with("default", body).await;
    let client = server.with_key(&key.api_key);
    clock.advance(TimeDelta::milliseconds(9_999));
    assert_eq!(client.get("/api/v1/whoami").await.json()["expiresAt"], text(end));
    clock.advance(TimeDelta::milliseconds(1));
    client.get("/api/v1/whoami").await.refused(401, "invalid_api_key");
    let view = admin.get(&path(&key.id)).await.json();
    assert_eq!((&view["state"], &view["expired"]), (&json!("active"), &json!(true)));
    // The name of an expired key is still held, and its expiry can be moved.
    let twin = json!({"keyName": "k", "keyType": "query"});
    admin.post("/api/v1/tenants/default/apikeys", twin).await.refused(409, "duplicate_key_name");
    let now = json!({"expiresAt": text(clock.now())});
    admin.patch(&path(&key.id), now).await.refused(400, "invalid_request");
    let later = json!({"expiresAt": text(clock.now() + TimeDelta::seconds(1))});
    assert_eq!(admin.patch(&path(&key.id), later).await.json()["expired"], false);
    assert_eq!(client.get("/api/v1/whoami").await.status, 200);
    clock.advance(TimeDelta::seconds(1));
    client.get("/api/v1/whoami").await.refused(401, "invalid_api_key");
    admin.patch(&path(&key.id), json!({"expiresAt": null})).await;
    clock.advance(TimeDelta::days(10_000));
    assert_eq!(client.get("/api/v1/whoami").await.status, 200);
}

#[tokio::test]
async fn a_wait_is_a_duration_of_at_most_a_minute() {
    let server = TestServer::spawn().await;
    let key = server.admin().issue("default", "k", "query").await;
    for (wait, status) in [("5s", 200), ("60s", 200), ("61s", 400), ("soon", 400), ("5", 400), ("", 400)] {
        let answer = server.admin().patch(&format!("{}?wait={wait}", path(&key.id)), json!({})).await;
        assert_eq!(answer.status, status, "{wait}");
    }
}

#[tokio::test]
async fn null_clears_what_can_be_empty_and_is_refused_elsewhere() {
    let server = TestServer::spawn().await;
    let body = json!({"keyName": "k", "keyType": "query", "metadata": {"team": "web"}, "sourceId": "s"});
    let key = server.admin().issue_with("default", body).await;
    let path = format!("/api/v1/tenants/default/apikeys/{}", key.id);
    let view = server.admin().patch(&path, json!({"metadata": null, "sourceId": null})).await.json();
    assert_eq!((&view["metadata"], &view["sourceId"]), (&json!({}), &json!(null)));
    for field in ["streams", "state"] {
        server.admin().patch(&path, json!({field: null})).await.refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn sixty_changes_at_once_all_get_through() {
    let server = TestServer::spawn().await;
    let key = server.admin().issue("default", "k", "query").await;
    let path = format!("/api/v1/tenants/default/apikeys/{}", key.id);
    let admin = server.admin();
    let change = |n| {
        let (admin, path) = (admin.clone(), path.clone());
        async move { admin.patch(&path, json!({"sourceId": format!("s{n}")})).await }
    };
    for answer in futures::future::join_all((0..60).map(change)).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(admin.get(&path).await.json()["rev"], 61);
}

/// Arrays in arrays.
fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}

/// What is nested deeper than JSON parsers take would make every list of keys unreadable.
#[tokio::test]
async fn metadata_is_nested_so_deeply_and_no_deeper() {
    let server = TestServer::spawn().await;
    let issue = |name: &str, levels: usize| {
        let body = json!({"keyName": name, "keyType": "query", "metadata": {"m": nested(levels)}});
        async { server.admin().post("/api/v1/tenants/default/apikeys", body).await }
    };
    assert_eq!(issue("a", 31).await.status, 201);
    issue("b", 32).await.refused(400, "invalid_request");
    issue("c", 120).await.refused(400, "invalid_request");
    let line = json!({"op": "issue", "keyName": "d", "keyType": "query", "metadata": {"m": nested(40)}}).to_string();
    let request = server.admin().request("POST", "/api/v1/tenants/default/apikeys/bulk");
    let answer = Answer::of(request.header("content-type", "application/x-ndjson").body(line)).await;
    assert!(answer.text().contains("nested at most 32 levels"), "{}", answer.text());
}
