//! Tokens of people: every wrong one is refused with the same bytes, before anything about tenants is looked at.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use chrono::TimeDelta;
use keyloft::{Clock, SystemClock};
use ring::signature::KeyPair;
use serde_json::{Value, json};

use crate::support::people::{Person, Signer, base64, claims};
use crate::support::{Client, TestServer};

/// What is made different about the claims of a good token.
type Change = Box<dyn Fn(&mut Value)>;

const TENANT: &str = "/api/v1/tenants/default";

async fn scene() -> (TestServer, Signer, Person) {
    let server = TestServer::spawn().await;
    let signer = Signer::added_to(&server).await;
    let person = signer.person(&server, 1).await;
    person.becomes(&server, "default", "owner").await;
    (server, signer, person)
}

fn with(person: &Person, change: impl FnOnce(&mut Value)) -> Value {
    let mut claims = claims(&person.id, &person.sid, SystemClock.now());
    change(&mut claims);
    claims
}

/// Every refusal, as it is answered: the same for a tenant that exists and for one that does not.
async fn refused(server: &TestServer, token: &str, what: &str) {
    let client = Client::admin(server.url(), token);
    let expected = server.anonymous().get(TENANT).await;
    for path in [TENANT, "/api/v1/tenants/nobody", "/tenants/default/memberships", "/api/v1/auth/me"] {
        let answer = client.get(path).await;
        answer.refused(401, "invalid_admin_token");
        assert_eq!(answer.text(), expected.text(), "{what}: {path}");
    }
}

#[tokio::test]
async fn a_good_token_is_accepted() {
    let (server, _, person) = scene().await;
    let me = person.client(&server).get("/api/v1/auth/me").await.json();
    assert_eq!(me["operator"]["userId"], json!(person.id));
    assert_eq!(me["memberships"], json!([{"tenant": "default", "role": "owner", "source": "granted"}]));
    assert_eq!((&me["sessions"][0]["sid"], &me["sessions"][0]["current"]), (&json!(person.sid), &json!(true)));
    let seeds = person.client(&server).get("/tenants/default/memberships").await.json();
    assert_eq!(seeds["items"][0]["displayName"], "Person 1");
}

#[tokio::test]
async fn every_other_header_is_refused() {
    let (server, signer, person) = scene().await;
    let claims = with(&person, |_| {}).to_string();
    let (kid, other) = (&signer.kid, Signer::unknown());
    let x = base64(other.pair.public_key());
    for header in [
        format!(r#"{{"alg":"none","kid":"{kid}","typ":"kl-op+jwt"}}"#),
        format!(r#"{{"alg":"HS256","kid":"{kid}","typ":"kl-op+jwt"}}"#),
        format!(r#"{{"alg":"ES256","kid":"{kid}","typ":"kl-op+jwt"}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"JWT"}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"kl-con+jwt"}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"kl-hand+jwt"}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"kl-flow+jwt"}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#),
        format!(r#"{{"typ":"kl-op+jwt","alg":"EdDSA","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"kl-op+jwt","crit":["exp"]}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"kl-op+jwt","jku":"http://127.0.0.1:1/"}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"kl-op+jwt","x5u":"http://127.0.0.1:1/"}}"#),
        format!(
            r#"{{"alg":"EdDSA","kid":"{}","typ":"kl-op+jwt","jwk":{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}}}"#,
            other.kid
        ),
        format!(r#"{{"alg":"EdDSA","kid":"../{kid}","typ":"kl-op+jwt"}}"#),
        "{}".to_owned(),
        "[]".to_owned(),
        String::new(),
    ] {
        refused(&server, &signer.sign(&header, &claims), &header).await;
    }
    refused(&server, &other.token(&with(&person, |_| {})), "a signer that nobody knows").await;
    refused(&server, &other.sign(&signer.header(), &claims), "the kid of another").await;
    // HMAC with the public key as its secret.
    let header = format!(r#"{{"alg":"HS256","kid":"{kid}","typ":"kl-op+jwt"}}"#);
    let signed = format!("{}.{}", base64(header), base64(&claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, signer.pair.public_key().as_ref());
    refused(&server, &format!("{signed}.{}", base64(ring::hmac::sign(&key, signed.as_bytes()))), "HS256").await;
}

#[tokio::test]
async fn every_other_form_is_refused() {
    let (server, signer, person) = scene().await;
    let good = signer.token(&with(&person, |_| {}));
    let parts: Vec<&str> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let changed = if payload.starts_with('a') { "b" } else { "a" };
    let mut other_claims = with(&person, |_| {});
    other_claims["x"] = json!("x".repeat(3000));
    for (what, token) in [
        ("no signature", format!("{header}.{payload}.")),
        ("two parts", format!("{header}.{payload}")),
        ("four parts", format!("{good}.{signature}")),
        ("five parts", format!("{good}.a.b")),
        ("padded", format!("{header}.{payload}.{signature}==")),
        (
            "of the other alphabet",
            format!("{header}.{payload}.{}", STANDARD.encode(URL_SAFE.decode(format!("{signature}==")).unwrap())),
        ),
        ("other claims", format!("{header}.{changed}{}.{signature}", &payload[1..])),
        ("a cut signature", good[..good.len() - 4].to_owned()),
        ("of three KiB", signer.token(&other_claims)),
        ("only dots", "..".to_owned()),
        ("an API key", server.admin().issue("default", "k", "query").await.api_key),
    ] {
        refused(&server, &token, what).await;
    }
    // A token is no API key.
    server.with_key(&good).get("/api/v1/whoami").await.refused(401, "invalid_api_key");
}

#[tokio::test]
async fn every_other_claim_is_refused() {
    let (server, signer, person) = scene().await;
    let now = SystemClock.now().timestamp();
    let cases: Vec<(&str, Change)> = vec![
        ("another issuer", Box::new(|claims| claims["iss"] = json!("https://other.example"))),
        ("issuers", Box::new(|claims| claims["iss"] = json!(["keyloft"]))),
        ("another audience", Box::new(|claims| claims["aud"] = json!("other"))),
        ("audiences", Box::new(|claims| claims["aud"] = json!(["keyloft"]))),
        ("past", Box::new(move |claims| claims["exp"] = json!(now - 1))),
        ("exp as text", Box::new(move |claims| claims["exp"] = json!((now + 60).to_string()))),
        ("exp as a float", Box::new(move |claims| claims["exp"] = json!(now as f64 + 60.5))),
        ("without exp", Box::new(|claims| _ = claims.as_object_mut().unwrap().remove("exp"))),
        ("exp after the signer's end", Box::new(move |claims| claims["exp"] = json!(now + 3 * 86_400))),
        ("nbf in 35 seconds", Box::new(move |claims| claims["nbf"] = json!(now + 35))),
        ("iat in 35 seconds", Box::new(move |claims| claims["iat"] = json!(now + 35))),
        ("iat before the signer", Box::new(move |claims| claims["iat"] = json!(now - 120))),
        ("another operator", Box::new(|claims| claims["sub"] = json!(crate::support::people::id(2)))),
        (
            "an operator in upper case",
            Box::new(|claims| claims["sub"] = json!(claims["sub"].as_str().unwrap().to_uppercase())),
        ),
        ("another sign-in", Box::new(|claims| claims["sid"] = json!("sid-00000000000000000000000000000001"))),
        ("without sid", Box::new(|claims| _ = claims.as_object_mut().unwrap().remove("sid"))),
        ("one more claim", Box::new(|claims| claims["role"] = json!("owner"))),
    ];
    for (what, change) in cases {
        refused(&server, &signer.token(&with(&person, |claims| change(claims))), what).await;
    }
    let doubled = format!(r#"{{"sub":"{}",{}"#, person.id, &with(&person, |_| {}).to_string()[1..]);
    refused(&server, &signer.sign(&signer.header(), &doubled), "a claim twice").await;
    // Clocks may differ by half a minute.
    for name in ["nbf", "iat"] {
        let token = signer.token(&with(&person, |claims| claims[name] = json!(now + 25)));
        assert_eq!(Client::admin(server.url(), &token).get(TENANT).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn a_signer_whose_time_is_over_signs_nothing_that_holds() {
    let (server, _, person) = scene().await;
    let old = Signer::unknown();
    old.store(&server, SystemClock.now() - TimeDelta::hours(30));
    server.admin().post("/api/v1/sync", json!({})).await;
    refused(&server, &old.token(&with(&person, |_| {})), "signed six hours too late").await;
}
