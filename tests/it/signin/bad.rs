//! A provider that lies, hangs, redirects, floods, or has new keys.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use keyloft::testing::operators::Identity;
use keyloft::testing::signin::{OidcSettings, Provider, ProviderSettings, Providers, SignInError};
use keyloft::{Clock, ManualClock, SystemClock};
use serde_json::json;

use super::{callback, oidc, parameter, providers, providers_at};
use crate::support::bad_provider::{BadProvider, DISCOVERY, Fault, KEYS, TOKEN};

fn corp(server: &BadProvider) -> Providers {
    providers(vec![ProviderSettings::Oidc(settings(server))])
}

fn settings(server: &BadProvider) -> OidcSettings {
    oidc(server.issuer(), "keyloft")
}

async fn sign_in(server: &BadProvider, provider: &Provider) -> Result<Identity, SignInError> {
    let (url, attempt) = provider.begin().await?;
    provider.finish(&attempt, &callback(&server.authorize(&url))).await
}

fn failed(reason: &str) -> SignInError {
    SignInError::Failed(reason.to_owned())
}

#[actix_web::test]
async fn a_token_that_is_not_for_us_signs_nobody_in() {
    let server = BadProvider::start().await;
    let all = corp(&server);
    let provider = all.get("corp").unwrap();
    sign_in(&server, provider).await.unwrap();
    let now = SystemClock.now().timestamp();
    for claims in [
        json!({"iss": "https://other.example"}),
        json!({"iss": format!("{}/", server.issuer())}),
        json!({"aud": "other"}),
        json!({"aud": ["keyloft", "other"]}),
        json!({"azp": "other"}),
        json!({"nonce": "other"}),
        json!({"nonce": null}),
        json!({"exp": now - 40}),
        json!({"exp": null}),
        json!({"iat": now + 40}),
        json!({"iat": null}),
        json!({"nbf": now + 40}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": "a\nb"}),
        json!({"sub": "x".repeat(1025)}),
    ] {
        server.change(|behaviour| behaviour.claims = claims.clone());
        let refused = sign_in(&server, provider).await;
        let Err(SignInError::Failed(reason)) = &refused else { panic!("{claims}: {refused:?}") };
        assert!(!reason.contains("eyJ") && !reason.contains("other.example"), "{reason}");
    }
    server.change(|behaviour| behaviour.claims = json!({}));
    for header in [
        json!({"alg": "none"}),
        json!({"alg": "HS256"}),
        json!({"alg": "RS256"}),
        json!({"alg": null}),
        json!({"crit": ["exp"]}),
        json!({"kid": "other"}),
    ] {
        server.change(|behaviour| behaviour.header = header.clone());
        assert!(matches!(sign_in(&server, provider).await, Err(SignInError::Failed(_))), "{header}");
    }
    server.change(|behaviour| behaviour.header = json!({}));
    for token in [json!(null), json!(7), json!(""), json!("a.b.c"), json!("eyJhbGciOiJub25lIn0.e30.")] {
        server.change(|behaviour| behaviour.token = Some(token.clone()));
        assert!(matches!(sign_in(&server, provider).await, Err(SignInError::Failed(_))), "{token}");
    }
    server.change(|behaviour| behaviour.token = None);
    sign_in(&server, provider).await.unwrap();
}

#[actix_web::test]
async fn new_keys_are_fetched_once_for_all_and_once_a_minute_at_most() {
    let server = BadProvider::start().await;
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let all = providers_at(vec![ProviderSettings::Oidc(settings(&server))], clock.clone());
    let provider = all.get("corp").unwrap();
    sign_in(&server, provider).await.unwrap();
    assert_eq!((server.asked(DISCOVERY), server.asked(KEYS)), (1, 1));
    sign_in(&server, provider).await.unwrap();
    server.change(|behaviour| behaviour.rotate("second"));
    sign_in(&server, provider).await.unwrap();
    assert_eq!((server.asked(DISCOVERY), server.asked(KEYS)), (0, 1));

    server.change(|behaviour| {
        let own = behaviour.own_keys();
        behaviour.keys = Some(own);
        behaviour.rotate("third");
    });
    clock.advance(TimeDelta::seconds(1));
    let unknown = failed("the ID token is signed by a key that the provider does not publish");
    for number in 0..20 {
        server.change(|behaviour| behaviour.header = json!({"kid": format!("unknown-{number}")}));
        assert_eq!(sign_in(&server, provider).await, Err(unknown.clone()));
    }
    assert_eq!(server.asked(KEYS), 0, "they were renewed a second ago");
    clock.advance(TimeDelta::seconds(59));
    let waiting = futures::future::join_all((0..100).map(|_| sign_in(&server, provider))).await;
    assert!(waiting.iter().all(Result::is_err));
    assert_eq!(server.asked(KEYS), 1, "a hundred unknown keys are one request");
}

#[actix_web::test]
async fn another_key_with_the_same_id_is_believed_an_hour_later() {
    let server = BadProvider::start().await;
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let all = providers_at(vec![ProviderSettings::Oidc(settings(&server))], clock.clone());
    let provider = all.get("corp").unwrap();
    sign_in(&server, provider).await.unwrap();
    server.change(|behaviour| behaviour.rotate("first"));
    let wrong = failed("the signature of the ID token is wrong, or its claims cannot be read");
    assert_eq!(sign_in(&server, provider).await, Err(wrong));
    clock.advance(TimeDelta::seconds(3600));
    let times = SystemClock.now().timestamp() + 3600;
    server.change(|behaviour| behaviour.claims = json!({"iat": times, "exp": times + 60}));
    server.asked(DISCOVERY);
    sign_in(&server, provider).await.unwrap();
    assert_eq!(server.asked(DISCOVERY), 1);
}

#[actix_web::test]
async fn a_provider_that_hangs_redirects_or_floods_is_unavailable_and_no_longer_than_it_does() {
    let server = BadProvider::start().await;
    for path in [DISCOVERY, TOKEN, KEYS] {
        for (name, fault) in [
            ("redirect", Fault::Redirect),
            ("huge", Fault::Huge),
            ("500", Fault::Answer(500, String::new())),
            ("429", Fault::Answer(429, String::new())),
            ("302", Fault::Answer(302, "{}".to_owned())),
        ] {
            let all = corp(&server);
            let provider = all.get("corp").unwrap();
            server.change(|behaviour| _ = behaviour.faults.insert(path, fault));
            assert_eq!(sign_in(&server, provider).await, Err(SignInError::Unavailable), "{path} {name}");
            server.change(|behaviour| behaviour.faults.clear());
            sign_in(&server, provider).await.unwrap();
        }
    }
    assert_eq!(server.asked(&format!("{DISCOVERY}?again")), 0, "no redirect is followed");
    for (path, body) in [
        (DISCOVERY, "<html>"),
        (DISCOVERY, "{}"),
        (DISCOVERY, "[]"),
        (KEYS, "<html>"),
        (KEYS, "{}"),
        (KEYS, "{\"keys\":[]}"),
        (KEYS, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}"),
    ] {
        let all = corp(&server);
        server.change(|behaviour| _ = behaviour.faults.insert(path, Fault::Answer(200, body.to_owned())));
        let refused = sign_in(&server, all.get("corp").unwrap()).await;
        assert_eq!(refused, Err(SignInError::Unavailable), "{path} {body}");
        server.change(|behaviour| behaviour.faults.clear());
    }
    for path in [DISCOVERY, TOKEN] {
        let all = corp(&server);
        server.change(|behaviour| _ = behaviour.faults.insert(path, Fault::Hang));
        let begun = Instant::now();
        assert_eq!(sign_in(&server, all.get("corp").unwrap()).await, Err(SignInError::Unavailable));
        assert!((4..8).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        server.change(|behaviour| behaviour.faults.clear());
    }
}

#[actix_web::test]
async fn what_a_token_endpoint_says_is_not_repeated() {
    let server = BadProvider::start().await;
    let all = corp(&server);
    let provider = all.get("corp").unwrap();
    for (status, body, reason) in [
        (400, json!({"error": "invalid_grant", "error_description": "<b>x"}), "400, invalid_grant"),
        (401, json!({"error": "<script>"}), "401, an error without a code"),
        (403, json!("secret"), "403, an error without a code"),
        (404, json!({"error": 7}), "404, an error without a code"),
    ] {
        server.change(|behaviour| _ = behaviour.faults.insert(TOKEN, Fault::Answer(status, body.to_string())));
        let refused = sign_in(&server, provider).await;
        assert_eq!(refused, Err(failed(&format!("the provider refuses the code: {reason}"))));
    }
    for body in ["<html>", "{}", "{\"access_token\":\"secret\"}", ""] {
        server.change(|behaviour| _ = behaviour.faults.insert(TOKEN, Fault::Answer(200, body.to_owned())));
        assert_eq!(sign_in(&server, provider).await, Err(failed("the provider answers without an ID token")));
    }
}

#[actix_web::test]
async fn endpoints_are_https_or_on_this_machine_as_the_provider_is() {
    let server = BadProvider::start().await;
    for (endpoint, is_good) in [
        ("https://id.example/authorize", true),
        ("http://127.0.0.1:1/authorize", true),
        ("http://id.example/authorize", false),
        ("http://127.0.0.1.example/", false),
        ("https://user:secret@id.example/", false),
        ("https://id.example/#a", false),
        ("javascript:alert(1)", false),
        ("file:///etc/passwd", false),
        ("/authorize", false),
    ] {
        for name in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
            server.change(|behaviour| behaviour.discovery = json!({name: endpoint}));
            let begun = corp(&server).get("corp").unwrap().begin().await;
            assert_eq!(begun.is_ok(), is_good, "{name} {endpoint}");
        }
    }
    server.change(|behaviour| behaviour.discovery = json!({"issuer": "http://127.0.0.1:1\u{1b}[2J"}));
    let Err(SignInError::Failed(reason)) = corp(&server).get("corp").unwrap().begin().await else { panic!() };
    assert!(reason.contains(server.issuer()) && reason.contains("127.0.0.1:1\\u{1b}[2J"), "{reason}");
}

#[actix_web::test]
async fn the_query_of_an_endpoint_stays_and_iss_is_compared_when_it_is_given() {
    let server = BadProvider::start().await;
    let all = corp(&server);
    let provider = all.get("corp").unwrap();
    let (url, _) = provider.begin().await.unwrap();
    assert_eq!(parameter(&url, "tenant").as_deref(), Some("a b"));
    for (issuer, is_good) in [(None, true), (Some(server.issuer()), true), (Some("https://other.example"), false)] {
        let (url, attempt) = provider.begin().await.unwrap();
        let mut back = callback(&server.authorize(&url));
        back.iss = issuer.map(str::to_owned);
        assert_eq!(provider.finish(&attempt, &back).await.is_ok(), is_good, "{issuer:?}");
    }
}

#[actix_web::test]
async fn the_secret_goes_where_the_provider_takes_it() {
    let server = BadProvider::start().await;
    for (methods, is_in_form) in [
        (json!(null), false),
        (json!(["client_secret_basic"]), false),
        (json!(["client_secret_post", "client_secret_basic"]), false),
        (json!(["private_key_jwt"]), false),
        (json!(["client_secret_post"]), true),
    ] {
        server.change(|behaviour| behaviour.discovery = json!({"token_endpoint_auth_methods_supported": methods}));
        sign_in(&server, corp(&server).get("corp").unwrap()).await.unwrap();
        server.change(|behaviour| {
            let (by, form) = &behaviour.exchange;
            // keyloft:hunter2%3Awith%25special%2Bcharacters
            let basic = "Basic a2V5bG9mdDpodW50ZXIyJTNBd2l0aCUyNXNwZWNpYWwlMkJjaGFyYWN0ZXJz";
            assert_eq!(by.as_deref(), (!is_in_form).then_some(basic), "{methods}");
            assert_eq!(form.contains_key("client_secret"), is_in_form);
            assert_eq!(form["grant_type"], "authorization_code");
        });
    }
}

#[actix_web::test]
async fn many_who_begin_at_once_are_one_request() {
    let server = BadProvider::start().await;
    let all = corp(&server);
    let provider = all.get("corp").unwrap();
    let begun = futures::future::join_all((0..50).map(|_| provider.begin())).await;
    assert!(begun.iter().all(Result::is_ok));
    assert_eq!(server.asked(DISCOVERY), 1);
    let started = Instant::now();
    sign_in(&server, provider).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(2));
}
