//! When keys end: so long after it is said, and no later than their tenant lets them.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use keyloft::{Clock, ManualClock};
use serde_json::{Value, json};

use crate::support::{Answer, Client, TestServer};

const KEYS: &str = "/api/v1/tenants/default/apikeys";
const TENANT: &str = "/api/v1/tenants/default";

async fn spawn() -> (TestServer, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH + TimeDelta::days(20_000)));
    let shared = clock.clone();
    (TestServer::spawn_with(move |setup| setup.clock = shared).await, clock)
}

fn text(at: DateTime<Utc>) -> Value {
    json!(at.to_rfc3339_opts(SecondsFormat::Millis, true))
}

fn later(clock: &ManualClock, seconds: i64) -> Value {
    text(clock.now() + TimeDelta::seconds(seconds))
}

/// Issues a key of a fresh name of which this is said.
async fn issue(admin: &Client, name: &str, said: Value) -> Answer {
    let mut body = json!({"keyName": name, "keyType": "query"});
    body.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
    admin.post(KEYS, body).await
}

#[tokio::test]
async fn a_key_ends_so_many_seconds_after_it_is_said() {
    let (server, clock) = spawn().await;
    let admin = server.admin();
    let issued = issue(&admin, "k", json!({"expiresInSeconds": 60})).await.json();
    assert_eq!(issued["expiresAt"], later(&clock, 60));
    let (client, path) =
        (server.with_key(issued["apiKey"].as_str().unwrap()), format!("{KEYS}/{}", issued["keyId"].as_str().unwrap()));
    clock.advance(TimeDelta::seconds(59));
    assert_eq!(client.get("/api/v1/whoami").await.status, 200);
    let patched = admin.patch(&path, json!({"expiresInSeconds": 60})).await.json();
    assert_eq!(patched["expiresAt"], later(&clock, 60));
    clock.advance(TimeDelta::seconds(60));
    client.get("/api/v1/whoami").await.refused(401, "invalid_api_key");
    for clear in [json!({"expiresInSeconds": null}), json!({"expiresAt": null})] {
        admin.patch(&path, json!({"expiresInSeconds": 1})).await;
        assert_eq!(admin.patch(&path, clear).await.json()["expiresAt"], Value::Null);
        clock.advance(TimeDelta::days(365));
        assert_eq!(client.get("/api/v1/whoami").await.status, 200);
    }
}

#[tokio::test]
async fn an_end_is_said_once_and_makes_sense() {
    let (server, clock) = spawn().await;
    let admin = server.admin();
    let key = admin.issue("default", "k", "query").await;
    let path = format!("{KEYS}/{}", key.id);
    for bad in [
        json!({"expiresInSeconds": 60, "expiresAt": later(&clock, 60)}),
        json!({"expiresInSeconds": 60, "expiresAt": null}),
        json!({"expiresInSeconds": null, "expiresAt": null}),
        json!({"expiresInSeconds": 0}),
        json!({"expiresInSeconds": -1}),
        json!({"expiresInSeconds": 1.5}),
        json!({"expiresInSeconds": "60"}),
        json!({"expiresInSeconds": 4_294_967_296_u64}),
        json!({"expiresAt": later(&clock, 0)}),
        json!({"expiresAt": later(&clock, -1)}),
    ] {
        issue(&admin, "bad", bad.clone()).await.refused(400, "invalid_request");
        admin.patch(&path, bad).await.refused(400, "invalid_request");
    }
    assert_eq!(admin.get(&path).await.json()["rev"], 1);
    assert_eq!(issue(&admin, "long", json!({"expiresInSeconds": u32::MAX})).await.status, 201);
}

#[tokio::test]
async fn a_tenant_says_how_long_its_keys_last_and_may_last() {
    let (server, clock) = spawn().await;
    let admin = server.admin();
    let end = async |name: &str, said: Value| issue(&admin, name, said).await.json()["expiresAt"].clone();
    let set = async |said: Value| {
        let answer = admin.patch(TENANT, said).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    set(json!({"defaultKeyLifetimeSeconds": 100})).await;
    assert_eq!(end("default", json!({})).await, later(&clock, 100));
    assert_eq!(end("never", json!({"expiresAt": null})).await, Value::Null);
    assert_eq!(end("longer", json!({"expiresInSeconds": 1000})).await, later(&clock, 1000));
    let view = set(json!({"maxKeyLifetimeSeconds": 500})).await;
    assert_eq!((&view["defaultKeyLifetimeSeconds"], &view["maxKeyLifetimeSeconds"]), (&json!(100), &json!(500)));
    assert_eq!(end("still the default", json!({})).await, later(&clock, 100));
    assert_eq!(end("just so", json!({"expiresInSeconds": 500})).await, later(&clock, 500));
    let late = text(clock.now() + TimeDelta::milliseconds(500_001));
    for refused in [json!({"expiresAt": null}), json!({"expiresInSeconds": 501}), json!({"expiresAt": late})] {
        issue(&admin, "refused", refused).await.refused(400, "invalid_request");
    }
    // An imported secret makes no difference.
    let own = json!({"expiresAt": null, "apiKey": "8Jq2-vT9x_mW4c.Zr7Kd0pLs6YhNf3Be"});
    issue(&admin, "refused", own).await.refused(400, "invalid_request");
    set(json!({"defaultKeyLifetimeSeconds": null})).await;
    assert_eq!(end("the maximum", json!({})).await, later(&clock, 500));
    let server = server.restart().await;
    assert_eq!(server.admin().get(TENANT).await.json()["maxKeyLifetimeSeconds"], 500);
}

#[tokio::test]
async fn a_maximum_holds_for_what_is_said_from_now_on() {
    let (server, clock) = spawn().await;
    let admin = server.admin();
    let key = admin.issue("default", "k", "query").await;
    let path = format!("{KEYS}/{}", key.id);
    admin.patch(TENANT, json!({"maxKeyLifetimeSeconds": 500})).await;
    // What was said before stays, and other fields can still be changed.
    assert_eq!(admin.patch(&path, json!({"sourceId": "s"})).await.json()["expiresAt"], Value::Null);
    for refused in [json!({"expiresAt": null}), json!({"expiresInSeconds": 501})] {
        admin.patch(&path, refused).await.refused(400, "invalid_request");
    }
    assert_eq!(admin.patch(&path, json!({"expiresInSeconds": 500})).await.status, 200);
    clock.advance(TimeDelta::seconds(499));
    // A lifetime counts from when it is said: who may say it may say it again.
    assert_eq!(admin.patch(&path, json!({"expiresInSeconds": 500})).await.json()["expiresAt"], later(&clock, 500));
    let rotated = Answer::of(admin.request("POST", &format!("{path}/rotate"))).await;
    assert_eq!(rotated.json()["expiresAt"], later(&clock, 500), "a rotation says nothing about it");
}

#[tokio::test]
async fn lifetimes_that_do_not_fit_are_refused() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    for bad in [
        json!({"defaultKeyLifetimeSeconds": 2, "maxKeyLifetimeSeconds": 1}),
        json!({"defaultKeyLifetimeSeconds": 0}),
        json!({"maxKeyLifetimeSeconds": 0}),
        json!({"maxKeyLifetimeSeconds": -1}),
        json!({"maxKeyLifetimeSeconds": "1d"}),
        json!({"maxKeyLifetimeSeconds": 4_294_967_296_u64}),
    ] {
        admin.patch(TENANT, bad.clone()).await.refused(400, "invalid_request");
        let mut body = bad;
        body["tenantId"] = json!("acme");
        admin.post("/api/v1/tenants", body).await.refused(400, "invalid_request");
    }
    let acme = json!({"tenantId": "acme", "defaultKeyLifetimeSeconds": 1, "maxKeyLifetimeSeconds": 1});
    let created = admin.post("/api/v1/tenants", acme).await;
    assert_eq!((created.status.as_u16(), &created.json()["maxKeyLifetimeSeconds"]), (201, &json!(1)));
    // What is there already counts too.
    admin.patch("/api/v1/tenants/acme", json!({"defaultKeyLifetimeSeconds": 2})).await.refused(400, "invalid_request");
    assert_eq!(admin.patch("/api/v1/tenants/acme", json!({"maxKeyLifetimeSeconds": null})).await.status, 200);
    assert_eq!(admin.patch("/api/v1/tenants/acme", json!({"defaultKeyLifetimeSeconds": 2})).await.status, 200);
}

#[tokio::test]
async fn a_list_shows_what_expires_before_an_instant_and_a_metric_what_does_soon() {
    let (server, clock) = spawn().await;
    let admin = server.admin();
    let start = clock.now();
    const DAY: i64 = 86_400;
    for (name, seconds) in [("a", 60), ("b", 7 * DAY), ("c", 7 * DAY + 1), ("d", 30 * DAY), ("e", 60)] {
        let key = issue(&admin, name, json!({"expiresInSeconds": seconds})).await.json();
        if name == "e" {
            admin.delete(&format!("{KEYS}/{}", key["keyId"].as_str().unwrap())).await;
        }
    }
    issue(&admin, "never", json!({})).await;
    let names = async |query: String| {
        let page = admin.get(&format!("{KEYS}?{query}")).await.json();
        let items = page["items"].as_array().unwrap().clone();
        let mut names: Vec<String> = items.iter().map(|item| item["keyName"].as_str().unwrap().to_owned()).collect();
        names.sort_unstable();
        names.concat()
    };
    let before =
        |seconds: i64| format!("expiresBefore={}", text(start + TimeDelta::seconds(seconds)).as_str().unwrap());
    assert_eq!(names(before(60)).await, "");
    assert_eq!(names(before(61)).await, "a");
    assert_eq!(names(before(8 * DAY)).await, "abc");
    assert_eq!(names(format!("{}&state=revoked", before(8 * DAY))).await, "e");
    assert_eq!(names("expiresBefore=2999-01-01T00:00:00%2B01:00".to_owned()).await, "abcd");
    for bad in ["", "soon", "2999-01-01", "60", "2999-01-01%2000:00:00Z"] {
        admin.get(&format!("{KEYS}?expiresBefore={bad}")).await.refused(400, "invalid_request");
    }
    let expiring = async || {
        let metrics = server.anonymous().get("/metrics").await;
        let line = metrics.text().lines().find(|line| line.starts_with("keyloft_keys_expiring ")).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(expiring().await, 2);
    clock.advance(TimeDelta::seconds(61));
    assert_eq!(expiring().await, 2, "one has expired, another will soon");
    issue(&admin, "f", json!({"expiresInSeconds": 60})).await;
    assert_eq!(expiring().await, 2, "counted once in ten seconds");
    clock.advance(TimeDelta::seconds(10));
    assert_eq!(expiring().await, 3);
}
