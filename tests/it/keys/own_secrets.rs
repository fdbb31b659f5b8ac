//! Imported secrets: which are accepted, what they open, and that no answer shows them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyloft::key::{Digest, KeyType, PlainSecret};
use serde_json::{Value, json};

use crate::support::server::ADMIN_TOKEN;
use crate::support::{Answer, Client, TestServer};

const KEYS: &str = "/api/v1/tenants/default/apikeys";
const WHOAMI: &str = "/api/v1/whoami";
const OWN: &str = "8Jq2-vT9x_mW4c.Zr7Kd0pLs6YhNf3Be";
const UUID: &str = "c0ffee12-9b7d-4e31-8a56-2f0d9b8e7c64";
const WITH_COLON: &str = "tenant:9f86d081/884c7d65=9a2feaa0+c55ad015!";

async fn bring(admin: &Client, name: &str, key_type: &str, api_key: &str) -> Answer {
    let answer = admin.post(KEYS, json!({"keyName": name, "keyType": key_type, "apiKey": api_key})).await;
    assert!(!answer.text().contains(api_key), "{}", answer.text());
    answer
}

#[tokio::test]
async fn a_secret_that_was_brought_along_works_from_every_place_and_is_never_shown() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    for (name, own) in [("a", OWN), ("b", UUID), ("c", WITH_COLON)] {
        let answer = bring(&admin, name, "query", own).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!((answer.header("cache-control"), answer.header("etag")), (Some("no-store"), Some("\"1\"")));
        let view = answer.json();
        assert_eq!((&view["ownSecret"], view.get("apiKey")), (&json!(true), None));
        assert_eq!(view["apiKeyHint"], format!("…{}", &own[own.len() - 4..]));
        let basic = |user: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{own}")));
        for (header, value) in [
            ("x-api-key", own.to_owned()),
            ("authorization", format!("Bearer {own}")),
            ("authorization", format!("ApiKey {own}")),
            ("authorization", basic("agent")),
            ("authorization", basic("")),
        ] {
            let answer = Answer::of(server.anonymous().request("GET", WHOAMI).header(header, &value)).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["keyId"]), (200, &view["keyId"]), "{header}: {value}");
        }
        for (path, secretless) in [
            (KEYS.to_owned(), admin.get(KEYS).await),
            (WHOAMI.to_owned(), server.with_key(own).get(WHOAMI).await),
            ("verify".to_owned(), admin.post("/api/v1/apikeys/verify", json!({"apiKey": own})).await),
            ("patch".to_owned(), admin.patch(&format!("{KEYS}/{}", view["keyId"].as_str().unwrap()), json!({})).await),
        ] {
            assert_eq!(secretless.status, 200);
            assert!(!secretless.text().contains(own) && !secretless.text().contains("sha256"), "{path}");
        }
    }
    let verdict = admin.post("/api/v1/apikeys/verify", json!({"apiKey": OWN, "action": "ingestion"})).await.json();
    assert_eq!((&verdict["code"], &verdict["keyName"]), (&json!("wrong_key_type"), &json!("a")));
    let server = server.restart().await;
    assert_eq!(server.with_key(OWN).get(WHOAMI).await.status, 200);
    let file = server.path(".settings/apikeys");
    for entry in std::fs::read_dir(file).unwrap() {
        let body = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(![OWN, UUID, WITH_COLON].iter().any(|own| body.contains(own)), "{body}");
    }
}

#[tokio::test]
async fn a_key_with_a_secret_of_its_own_is_a_key_like_any_other() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let body = json!({"keyName": "sender", "keyType": "ingestion", "apiKey": OWN, "streams": ["web-*"]});
    let id = admin.post(KEYS, body).await.json()["keyId"].as_str().unwrap().to_owned();
    let sender = server.with_key(OWN);
    assert_eq!(sender.ingest("web-1", "{\"a\":1}").await.status, 200);
    sender.ingest("other", "{}").await.refused(403, "stream_not_allowed");
    sender.query("SELECT 1").await.refused(403, "wrong_key_type");
    let stated = Answer::of(sender.request("GET", WHOAMI).header("x-tenant-id", "acme")).await;
    stated.refused(403, "tenant_mismatch");
    let twice = sender.request("GET", WHOAMI).header("authorization", format!("Bearer {OWN}"));
    Answer::of(twice).await.refused(400, "ambiguous_credential");
    admin.patch(&format!("{KEYS}/{id}"), json!({"state": "disabled"})).await;
    sender.get(WHOAMI).await.refused(401, "invalid_api_key");
    admin.patch(&format!("{KEYS}/{id}"), json!({"state": "active"})).await;
    assert_eq!(sender.get(WHOAMI).await.status, 200);
    admin.delete(&format!("{KEYS}/{id}")).await;
    sender.get(WHOAMI).await.refused(401, "invalid_api_key");
}

#[tokio::test]
async fn what_is_no_good_secret_is_refused_and_never_quoted() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let other_type = PlainSecret::generate(KeyType::Ingestion).unwrap();
    let ours = PlainSecret::generate(KeyType::Query).unwrap();
    let mut typo = ours.expose().to_owned();
    typo.replace_range(20..21, if &typo[20..21] == "a" { "b" } else { "a" });
    let long = format!("{OWN}{OWN}{OWN}{OWN}x");
    for bad in [
        "hunter2-canary",
        &OWN[1..],
        &long,
        &format!("{OWN},x"),
        &format!("{OWN} x"),
        &format!("{OWN}\u{fc}"),
        &format!("{OWN}\n"),
        &format!("kl_{OWN}"),
        &format!("kl_adm_{OWN}"),
        &typo,
        other_type.expose(),
        &"canary".repeat(8),
        "canarycanarycanarycanarycanary-1",
        "abcdefghijklmnopqrstuvwxyzabcdef",
        "01234567890123456789012345678901",
        ADMIN_TOKEN,
    ] {
        bring(&admin, "bad", "query", bad).await.refused(400, "invalid_request");
    }
    for bad in [json!(7), json!(["canary"]), json!({"canary": 1}), json!(true)] {
        let answer = admin.post(KEYS, json!({"keyName": "bad", "keyType": "query", "apiKey": bad})).await;
        answer.refused(400, "invalid_request");
        assert!(!answer.text().contains("canary"));
    }
    assert_eq!(admin.get(KEYS).await.json()["items"], json!([]));
    let brought = bring(&admin, "ours", "query", ours.expose()).await;
    assert_eq!((brought.status.as_u16(), &brought.json()["ownSecret"]), (201, &json!(true)));
    assert_eq!(server.with_key(ours.expose()).get(WHOAMI).await.status, 200);
    // Half a megabyte is too much to look at.
    let body = json!({"keyName": "bad", "keyType": "query", "apiKey": "x".repeat(500_000)});
    admin.post(KEYS, body).await.refused(413, "payload_too_large");
}

#[tokio::test]
async fn an_admin_token_of_any_look_is_no_api_key() {
    let server = TestServer::spawn_with(|_| {}).await;
    let digest = Digest::of(ADMIN_TOKEN).to_document();
    let body = json!({"keyName": "k", "keyType": "query", "digest": digest});
    server.admin().post(KEYS, body).await.refused(400, "invalid_request");
}

#[tokio::test]
async fn a_secret_belongs_to_one_key() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    admin.post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    let first = bring(&admin, "first", "query", OWN).await.json();
    let path = format!("{KEYS}/{}", first["keyId"].as_str().unwrap());
    let taken = async || {
        bring(&admin, "second", "query", OWN).await.refused(409, "duplicate_api_key");
        bring(&admin, "second", "ingestion", OWN).await.refused(409, "duplicate_api_key");
        let elsewhere = json!({"keyName": "second", "keyType": "query", "apiKey": OWN});
        admin.post("/api/v1/tenants/acme/apikeys", elsewhere).await.refused(409, "duplicate_api_key");
        let digest = json!({"keyName": "second", "keyType": "query", "digest": Digest::of(OWN).to_document()});
        admin.post(KEYS, digest).await.refused(409, "duplicate_api_key");
    };
    taken().await;
    admin.patch(&path, json!({"state": "disabled"})).await;
    taken().await;
    admin.patch(&path, json!({"state": "active"})).await;
    assert_eq!(admin.post(&format!("{path}/rotate"), json!({"overlapSeconds": 60})).await.status, 200);
    taken().await;
    assert_eq!(server.with_key(OWN).get(WHOAMI).await.status, 200);
    admin.delete(&path).await;
    taken().await;
    // The refusals have left no name behind.
    assert_eq!(bring(&admin, "second", "query", UUID).await.status, 201);
    let server = server.restart().await;
    bring(&server.admin(), "third", "query", OWN).await.refused(409, "duplicate_api_key");
    let generated = server.admin().issue("default", "generated", "query").await;
    bring(&server.admin(), "third", "query", &generated.api_key).await.refused(409, "duplicate_api_key");
}

#[tokio::test]
async fn of_sixteen_who_bring_one_secret_exactly_one_gets_a_key() {
    let server = TestServer::spawn().await;
    let attempts = (0..16).map(|number| {
        let admin = server.admin();
        async move { bring(&admin, &format!("k{number}"), "query", OWN).await }
    });
    let answers = futures::future::join_all(attempts).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    answers.iter().filter(|answer| answer.status != 201).for_each(|answer| answer.refused(409, "duplicate_api_key"));
    assert_eq!(server.with_key(OWN).get(WHOAMI).await.status, 200);
    let server = server.restart().await;
    assert_eq!(server.with_key(OWN).get(WHOAMI).await.status, 200);
    assert_eq!(server.admin().get("/api/v1/unreadable").await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_digest_can_be_brought_instead() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let digest = Digest::of(OWN).to_document();
    let body = json!({"keyName": "k", "keyType": "query", "digest": digest, "hint": "f3Be"});
    let answer = admin.post(KEYS, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert!(!answer.text().contains(&digest[7..]) && answer.json().get("apiKey").is_none());
    assert_eq!((&answer.json()["ownSecret"], &answer.json()["apiKeyHint"]), (&json!(true), &json!("…f3Be")));
    assert_eq!(server.with_key(OWN).get(WHOAMI).await.status, 200);
    let body = |more: Value| {
        let mut body = json!({"keyName": "bad", "keyType": "query"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let other = Digest::of(UUID).to_document();
    for bad in [
        json!({"digest": other, "apiKey": UUID}),
        json!({"hint": "7c64"}),
        json!({"hint": "7c64", "apiKey": UUID}),
        json!({"digest": other, "hint": "c64"}),
        json!({"digest": other, "hint": "c6 4"}),
        json!({"digest": other.to_uppercase()}),
        json!({"digest": &other[7..]}),
        json!({"digest": UUID}),
        json!({"digest": 7}),
    ] {
        let answer = admin.post(KEYS, body(bad)).await;
        answer.refused(400, "invalid_request");
        assert!(!answer.text().contains(UUID) && !answer.text().contains(&other[7..]));
    }
    assert_eq!(admin.post(KEYS, body(json!({"digest": other}))).await.json()["apiKeyHint"], "…");
}

#[tokio::test]
async fn garbage_of_the_right_length_is_a_401_like_any_other() {
    let server = TestServer::spawn().await;
    let short = server.with_key("hunter2").get(WHOAMI).await;
    let start = std::time::Instant::now();
    for number in 0..40 {
        let garbage = format!("{number:02}{}", &OWN.repeat(4)[..30 + number * 2]);
        let answer = server.with_key(&garbage).get(WHOAMI).await;
        answer.refused(401, "invalid_api_key");
        assert_eq!(answer.body, short.body);
        // The second time the store is not asked.
        server.with_key(&garbage).get(WHOAMI).await.refused(401, "invalid_api_key");
    }
    assert!(start.elapsed() < std::time::Duration::from_secs(30), "{:?}", start.elapsed());
    let metrics = server.anonymous().get("/metrics").await;
    assert!(metrics.text().contains("keyloft_denials_total{reason=\"unknown\"} 80"), "{}", metrics.text());
}

#[tokio::test]
async fn a_secret_that_passes_for_a_request_id_does_not_come_back() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    bring(&admin, "k", "query", UUID).await;
    let with_id = async |id: &str| {
        let answer = Answer::of(server.anonymous().request("GET", WHOAMI).header("x-request-id", id)).await;
        answer.header("x-request-id").unwrap().to_owned()
    };
    assert_ne!(with_id(UUID).await, UUID);
    assert_ne!(with_id(ADMIN_TOKEN).await, ADMIN_TOKEN);
    for harmless in ["abc-1", "9f86d081884c7d659a2feaa0c55ad015"] {
        assert_eq!(with_id(harmless).await, harmless);
    }
}
