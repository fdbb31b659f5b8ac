//! Where a client may put its key, and the refusals.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, TimeDelta};
use keyloft::key::{KeyType, PlainSecret};
use keyloft::{Clock, ManualClock};
use reqwest::header::HeaderValue;
use serde_json::json;

use crate::support::server::ADMIN_TOKEN;
use crate::support::{Answer, TestServer};

const WHOAMI: &str = "/api/v1/whoami";

/// Header fields, whose values may be any bytes.
type Fields<'a> = &'a [(&'a str, &'a [u8])];

/// Presents header fields, which may be repeated.
async fn present(server: &TestServer, fields: Fields<'_>) -> Answer {
    let request = fields.iter().fold(server.anonymous().request("GET", WHOAMI), |request, (name, value)| {
        request.header(*name, HeaderValue::from_bytes(value).unwrap())
    });
    Answer::of(request).await
}

fn basic(user: &str, key: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{key}")))
}

#[tokio::test]
async fn a_key_is_taken_from_every_place_it_may_stand() {
    let server = TestServer::spawn().await;
    let key = server.admin().issue("default", "k", "query").await;
    let api_key = key.api_key.as_str();
    for (name, value) in [
        ("X-API-KEY", api_key.to_owned()),
        ("x-api-key", format!(" {api_key} ")),
        ("Authorization", format!("Bearer {api_key}")),
        ("Authorization", format!("bEARER   {api_key}")),
        ("Authorization", format!("ApiKey {api_key}")),
        ("Authorization", format!("APIKEY {api_key}")),
        ("Authorization", format!("Token {api_key}")),
        ("Authorization", format!("Splunk {api_key}")),
        ("Authorization", basic("", api_key)),
        ("Authorization", basic("anything", api_key)),
        ("Authorization", basic("anything", api_key).replacen("Basic", "basic", 1)),
    ] {
        let answer = present(&server, &[(name, value.as_bytes())]).await;
        assert_eq!(answer.status, 200, "{name}: {value}");
        assert_eq!(answer.json()["keyId"], key.id);
    }
    // Another scheme is for somebody else on the way.
    let fields = [("authorization", &b"Negotiate abc"[..]), ("x-api-key", api_key.as_bytes())];
    assert_eq!(present(&server, &fields).await.status, 200);
    present(&server, &fields[..1]).await.refused(401, "missing_api_key");
}

#[tokio::test]
async fn more_than_one_credential_is_ambiguous_even_when_one_is_good() {
    let server = TestServer::spawn().await;
    let key = server.admin().issue("default", "k", "query").await;
    let good = key.api_key.as_bytes();
    let bearer = format!("Bearer {}", key.api_key);
    let joined = format!("{0},{0}", key.api_key);
    let (bearer_joined, basic_joined) = (format!("{bearer}, {bearer}"), basic("u", &joined));
    for fields in [
        &[("x-api-key", good), ("x-api-key", good)][..],
        &[("x-api-key", good), ("x-api-key", b"")],
        &[("x-api-key", good), ("authorization", bearer.as_bytes())],
        &[("x-api-key", b""), ("authorization", bearer.as_bytes())],
        &[("authorization", bearer.as_bytes()), ("authorization", bearer.as_bytes())],
        &[("authorization", bearer.as_bytes()), ("authorization", b"Negotiate abc")],
        &[("x-api-key", joined.as_bytes())],
        &[("authorization", bearer_joined.as_bytes())],
        &[("authorization", basic_joined.as_bytes())],
    ] {
        let answer = present(&server, fields).await;
        answer.refused(400, "ambiguous_credential");
        assert!(!answer.text().contains(&key.api_key));
    }
}

#[tokio::test]
async fn a_tenant_statement_is_heard_only_after_the_key_is_good() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    admin.post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    admin.post("/api/v1/tenants", json!({"tenantId": "beta"})).await;
    let key = admin.issue("acme", "k", "query").await;
    let unknown = PlainSecret::generate(KeyType::Query).unwrap();
    let statements: &[(u16, &str, Fields)] = &[
        (200, "", &[("x-tenant-id", b"acme")]),
        (200, "", &[("x-p-tenant", b"acme")]),
        (200, "", &[("x-tenant-id", b" acme "), ("x-p-tenant", b"acme")]),
        (403, "tenant_mismatch", &[("x-tenant-id", b"beta")]),
        (403, "tenant_mismatch", &[("x-p-tenant", b"default")]),
        (403, "tenant_mismatch", &[("x-p-tenant", b"ACME")]),
        (403, "tenant_mismatch", &[("x-tenant-id", b"../acme")]),
        (403, "tenant_mismatch", &[("x-tenant-id", b"nobody")]),
        (403, "tenant_mismatch", &[("x-tenant-id", b"acme,beta")]),
        (400, "invalid_request", &[("x-tenant-id", b"")]),
        (400, "invalid_request", &[("x-p-tenant", b"  ")]),
        (400, "invalid_request", &[("x-p-tenant", b"\xff")]),
        (400, "invalid_request", &[("x-tenant-id", b"acme"), ("x-tenant-id", b"acme")]),
        (400, "invalid_request", &[("x-p-tenant", b"acme"), ("x-p-tenant", b"beta")]),
        (400, "invalid_request", &[("x-tenant-id", b"acme"), ("x-p-tenant", b"beta")]),
    ];
    for (status, code, statement) in statements {
        let mut fields = statement.to_vec();
        fields.push(("x-api-key", key.api_key.as_bytes()));
        let answer = present(&server, &fields).await;
        if *status == 200 {
            assert_eq!((answer.status.as_u16(), &answer.json()["tenant"]), (200, &json!("acme")));
        } else {
            assert_eq!(answer.problem(), (*status, (*code).to_owned()), "{statement:?}");
        }
        fields.pop();
        fields.push(("x-api-key", unknown.expose().as_bytes()));
        let answer = present(&server, &fields).await;
        assert_eq!(answer.problem(), (401, "invalid_api_key".to_owned()), "{statement:?}");
    }
}

#[tokio::test]
async fn every_key_that_does_not_work_gets_the_same_answer() {
    let clock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH + TimeDelta::days(20_000)));
    let shared = clock.clone();
    let server = TestServer::spawn_with(move |setup| setup.clock = shared).await;
    let admin = server.admin();
    let keys = "/api/v1/tenants/default/apikeys";
    admin.post("/api/v1/tenants", json!({"tenantId": "gone"})).await;
    let end = (clock.now() + TimeDelta::seconds(1)).to_rfc3339_opts(SecondsFormat::Millis, true);
    let expired =
        admin.issue_with("default", json!({"keyName": "expired", "keyType": "query", "expiresAt": end})).await;
    let disabled = admin.issue("default", "disabled", "query").await;
    let revoked = admin.issue("default", "revoked", "query").await;
    let deleted = admin.issue("gone", "deleted", "query").await;
    admin.patch(&format!("{keys}/{}", disabled.id), json!({"state": "disabled"})).await;
    admin.delete(&format!("{keys}/{}", revoked.id)).await;
    admin.delete("/api/v1/tenants/gone").await;
    clock.advance(TimeDelta::seconds(1));
    let good = admin.issue("default", "good", "query").await;
    let unknown = PlainSecret::generate(KeyType::Query).unwrap();
    let mut typo = good.api_key.clone().into_bytes();
    typo[30] = if typo[30] == b'a' { b'b' } else { b'a' };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("unknown", unknown.expose().into()),
        ("a typing error", typo),
        ("cut off", good.api_key[..55].into()),
        ("too long", format!("{}x", good.api_key).into()),
        ("of another system", b"hunter2".to_vec()),
        ("very long", vec![b'k'; 8000]),
        ("empty", b"".to_vec()),
        ("blank", b"   ".to_vec()),
        ("not ASCII", "schl\u{fc}ssel".into()),
        ("not UTF-8", b"\xff\xfe\x80".to_vec()),
        ("expired", expired.api_key.into()),
        ("disabled", disabled.api_key.into()),
        ("revoked", revoked.api_key.into()),
        ("of a deleted tenant", deleted.api_key.into()),
        ("the admin token", ADMIN_TOKEN.into()),
    ];
    let mut first: Option<Answer> = None;
    for (what, presented) in cases {
        let bearer = [b"Bearer ", &presented[..]].concat();
        for (name, value) in [("x-api-key", &presented), ("authorization", &bearer)] {
            let answer = present(&server, &[(name, value)]).await;
            answer.refused(401, "invalid_api_key");
            let challenge = answer.header("www-authenticate").unwrap();
            assert!(challenge.contains("Bearer realm=") && challenge.contains("ApiKey realm="), "{challenge}");
            let first = first.get_or_insert_with(|| answer.clone());
            assert_eq!(answer.body, first.body, "{what} in {name}");
            assert_eq!(fields(&answer), fields(first), "{what} in {name}");
        }
    }
    for undecodable in ["Basic", "Basic !!", "Basic aGk=", "Bearer", "ApiKey"] {
        let answer = present(&server, &[("authorization", undecodable.as_bytes())]).await;
        answer.refused(401, "invalid_api_key");
        assert_eq!(answer.body, first.as_ref().unwrap().body);
    }
    let missing = present(&server, &[]).await;
    missing.refused(401, "missing_api_key");
    assert!(missing.header("www-authenticate").is_some());
}

/// The header fields that may say something about a key.
fn fields(answer: &Answer) -> BTreeMap<String, Vec<u8>> {
    let all = answer.headers.iter().filter(|(name, _)| *name != "date" && *name != "x-request-id");
    all.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

#[tokio::test]
async fn what_was_presented_never_comes_back() {
    let server = TestServer::spawn().await;
    let key = server.admin().issue("default", "k", "query").await;
    let unknown = PlainSecret::generate(KeyType::Query).unwrap();
    for presented in [unknown.expose(), "hunter2-canary", &key.api_key] {
        let client = server.with_key(presented);
        for answer in [
            client.get(WHOAMI).await,
            client.ingest("web", "{\"a\":1}").await,
            client.query("SELEC").await,
            client.get("/api/v1/nowhere").await,
            client.get(&format!("/api/v1/{presented}")).await,
            client.get(&format!("/api/v1/logstream/{presented}")).await,
            Answer::of(client.request("GET", WHOAMI).header("x-request-id", presented)).await,
        ] {
            assert!(!answer.text().contains(presented), "{}", answer.text());
        }
        let echoed = Answer::of(client.request("GET", WHOAMI).header("x-request-id", key.api_key.as_str())).await;
        assert_ne!(echoed.header("x-request-id"), Some(&*key.api_key));
    }
}

#[tokio::test]
async fn a_key_in_the_query_string_is_no_key() {
    let server = TestServer::spawn().await;
    let key = server.admin().issue("default", "k", "query").await;
    for name in ["apiKey", "api_key", "x-api-key", "X-API-KEY", "key", "token", "access_token", "authorization"] {
        let answer = server.anonymous().get(&format!("{WHOAMI}?{name}={}", key.api_key)).await;
        answer.refused(401, "missing_api_key");
        assert!(!answer.text().contains(&key.api_key));
    }
}

#[tokio::test]
async fn the_planes_do_not_take_each_others_credentials() {
    let server = TestServer::spawn().await;
    let key = server.admin().issue("default", "k", "query").await;
    let bearer = |token: &str| format!("Bearer {token}");
    for (name, value) in [
        ("authorization", bearer(&key.api_key)),
        ("authorization", format!("ApiKey {ADMIN_TOKEN}")),
        ("authorization", basic("admin", ADMIN_TOKEN)),
        ("authorization", bearer(&ADMIN_TOKEN[1..])),
        ("authorization", bearer("")),
        ("authorization", "Bearer".to_owned()),
        ("x-api-key", ADMIN_TOKEN.to_owned()),
        ("x-api-key", key.api_key.clone()),
    ] {
        let answer = Answer::of(server.anonymous().request("GET", "/api/v1/tenants").header(name, &value)).await;
        answer.refused(401, "invalid_admin_token");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"keyloft-admin\""));
        assert!(!answer.text().contains(ADMIN_TOKEN) && !answer.text().contains(&key.api_key));
    }
    for (name, value) in [("authorization", bearer(ADMIN_TOKEN)), ("x-api-key", ADMIN_TOKEN.to_owned())] {
        present(&server, &[(name, value.as_bytes())]).await.refused(401, "invalid_api_key");
    }
    let twice = server.admin().request("GET", "/api/v1/tenants").header("authorization", bearer(ADMIN_TOKEN));
    Answer::of(twice).await.refused(400, "ambiguous_credential");
}

#[tokio::test]
async fn a_further_header_carries_a_key_under_the_same_rules() {
    let names = keyloft::config::HeaderNames::parse("X-Esper-Api-Key,api-key").unwrap();
    let server = TestServer::spawn_with(|setup| setup.config.http.api_key_headers = names).await;
    let key = server.admin().issue("default", "k", "query").await;
    let good = key.api_key.as_bytes();
    for fields in [&[("x-esper-api-key", good)][..], &[("API-Key", good)], &[("x-api-key", good)]] {
        let answer = present(&server, fields).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["keyId"]), (200, &json!(key.id)));
    }
    let (bearer, joined) = (format!("Bearer {}", key.api_key), format!("{0},{0}", key.api_key));
    for fields in [
        &[("api-key", good), ("api-key", good)][..],
        &[("api-key", good), ("x-esper-api-key", good)],
        &[("api-key", good), ("x-api-key", good)],
        &[("x-api-key", b""), ("x-esper-api-key", good)],
        &[("api-key", good), ("authorization", bearer.as_bytes())],
        &[("api-key", joined.as_bytes())],
    ] {
        present(&server, fields).await.refused(400, "ambiguous_credential");
    }
    for bad in [&b""[..], b"hunter2", b"\xff\xfe"] {
        present(&server, &[("api-key", bad)]).await.refused(401, "invalid_api_key");
    }
    // The admin plane knows none of them, and the admin token is no API key.
    let admin = server.anonymous().request("GET", "/api/v1/tenants").header("api-key", ADMIN_TOKEN);
    Answer::of(admin).await.refused(401, "invalid_admin_token");
    // An error that would quote what was presented does not.
    let sql = format!("SELECT '{}' FROM nowhere", key.api_key);
    let query = server.anonymous().request("POST", "/api/v1/query").header("x-esper-api-key", &key.api_key);
    let answer = Answer::of(query.json(&json!({"query": sql}))).await;
    answer.refused(400, "invalid_query");
    assert!(!answer.text().contains(&key.api_key), "{}", answer.text());
}

#[tokio::test]
async fn without_the_option_a_further_header_is_nothing_to_us() {
    let server = TestServer::spawn().await;
    let key = server.admin().issue("default", "k", "query").await;
    present(&server, &[("api-key", key.api_key.as_bytes())]).await.refused(401, "missing_api_key");
    let both = [("api-key", &b"of somebody else"[..]), ("x-api-key", key.api_key.as_bytes())];
    assert_eq!(present(&server, &both).await.status, 200);
}
