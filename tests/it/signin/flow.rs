//! A whole sign-in against a certified provider, and what is not believed on the way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use keyloft::testing::operators::{Mapping, OperatorId, Role, Scope};
use keyloft::testing::signin::{
    Attempt, Callback, Kind, OidcSettings, Provider, ProviderName, ProviderSettings, Providers, Settings, SignInError,
};
use keyloft::{Clock, ManualClock, SystemClock};
use serde_json::json;
use url::Url;

use super::{callback, oidc, parameter, providers, providers_at, settings};
use crate::support::oidc::{Browser, OwnProvider, shared_issuer};

fn failed(reason: &str) -> SignInError {
    SignInError::Failed(reason.to_owned())
}

/// Begins, and signs in by that name.
async fn back(provider: &Provider, name: &str) -> (Attempt, Url) {
    let (url, attempt) = provider.begin().await.unwrap();
    let back = Browser::default().sign_in(&url, name).await;
    assert!(back.as_str().starts_with("http://127.0.0.1:8000/auth/corp/callback?"), "{back}");
    (attempt, back)
}

fn corp(settings: OidcSettings) -> Providers {
    providers(vec![ProviderSettings::Oidc(settings)])
}

#[actix_web::test]
async fn a_certified_provider_says_who_it_is_by_each_algorithm() {
    let issuer = shared_issuer();
    for algorithm in ["rs256", "ps256", "es256", "eddsa"] {
        let all = corp(oidc(&issuer, &format!("keyloft-{algorithm}")));
        let provider = all.get("corp").unwrap();
        assert_eq!((provider.kind(), provider.display_name()), (Kind::Oidc, "corp"));
        let (attempt, back) = back(provider, "alice").await;
        let identity = provider.finish(&attempt, &callback(&back)).await.unwrap();
        assert_eq!((identity.provider.as_str(), &identity.issuer, &*identity.subject), ("corp", &issuer, "alice"));
        assert_eq!(identity.display_name.as_deref(), Some("Alice"));
        assert_eq!(identity.email.as_ref().unwrap().to_string(), "alice@example.com");
        assert_eq!(identity.groups, ["alices", "everyone"]);
        assert_eq!(identity.id(), OperatorId::of(&issuer, "alice"));
    }
}

#[actix_web::test]
async fn the_request_for_a_code_holds_state_nonce_and_a_challenge_and_no_secret() {
    let all = corp(oidc(&shared_issuer(), "keyloft-rs256"));
    let provider = all.get("corp").unwrap();
    let ((url, attempt), (other, _)) = (provider.begin().await.unwrap(), provider.begin().await.unwrap());
    let kept: serde_json::Value = serde_json::to_value(&attempt).unwrap();
    assert!(kept.to_string().len() < 256, "it goes into a cookie: {kept}");
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "keyloft-rs256"),
        ("redirect_uri", "http://127.0.0.1:8000/auth/corp/callback"),
        ("scope", "openid email profile groups"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(parameter(&url, name).as_deref(), Some(value));
    }
    for name in ["state", "nonce", "code_challenge"] {
        let value = parameter(&url, name).unwrap();
        assert_eq!(value.len(), 43, "{name} is 32 bytes");
        assert_ne!(Some(value), parameter(&other, name));
    }
    assert_eq!(parameter(&url, "state").as_deref(), kept["s"].as_str());
    let verifier = kept["v"].as_str().unwrap();
    assert!(!url.as_str().contains(verifier) && !url.as_str().contains("hunter2"));
    let shown = format!("{attempt:?} {all:?}");
    assert!(!shown.contains(verifier) && !shown.contains("hunter2"), "{shown}");
}

#[actix_web::test]
async fn an_attempt_that_was_kept_in_a_cookie_is_finished_on_another_node_once() {
    let settings = oidc(&shared_issuer(), "keyloft-es256");
    let (here, there) = (corp(settings.clone()), corp(settings));
    let (attempt, back) = back(here.get("corp").unwrap(), "alice").await;
    let kept: Attempt = serde_json::from_str(&serde_json::to_string(&attempt).unwrap()).unwrap();
    let provider = there.get("corp").unwrap();
    assert_eq!(provider.finish(&kept, &callback(&back)).await.unwrap().subject, "alice");
    let again = provider.finish(&kept, &callback(&back)).await;
    assert_eq!(again, Err(failed("the provider refuses the code: 400, invalid_grant")));
}

#[actix_web::test]
async fn two_tabs_both_end_well_and_neither_ends_the_other() {
    let all = corp(oidc(&shared_issuer(), "keyloft-rs256"));
    let provider = all.get("corp").unwrap();
    let ((first, one), (second, two)) = (back(provider, "alice").await, back(provider, "bob").await);
    assert_eq!(
        provider.finish(&first, &callback(&two)).await,
        Err(failed("state is that of another sign-in")),
        "a link with somebody else's code does not sign in"
    );
    assert_eq!(provider.finish(&second, &callback(&two)).await.unwrap().subject, "bob");
    assert_eq!(provider.finish(&first, &callback(&one)).await.unwrap().subject, "alice");
}

#[actix_web::test]
async fn what_comes_back_altered_is_refused_before_the_code_is_redeemed() {
    let issuer = shared_issuer();
    let all = corp(oidc(&issuer, "keyloft-rs256"));
    let provider = all.get("corp").unwrap();
    let (attempt, back) = back(provider, "alice").await;
    let good = callback(&back);
    assert_eq!(good.iss.as_deref(), Some(&*issuer));
    let with = |change: fn(&mut Callback)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed
    };
    for (reason, altered) in [
        ("no state came back", with(|callback| callback.state = None)),
        ("state is that of another sign-in", with(|callback| callback.state = Some(String::new()))),
        ("state is that of another sign-in", with(|callback| callback.state.as_mut().unwrap().make_ascii_uppercase())),
        ("a parameter of the callback is too long", with(|callback| callback.state = Some("x".repeat(257)))),
        ("a parameter of the callback is too long", with(|callback| callback.code = Some("x".repeat(4097)))),
        ("the callback has no iss, which the provider announces", with(|callback| callback.iss = None)),
        ("iss of the callback is another provider", with(|callback| callback.iss.as_mut().unwrap().push('/'))),
        ("no code came back", with(|callback| callback.code = None)),
        ("no code came back", with(|callback| callback.code = Some(String::new()))),
        ("the provider answers invalid_scope", with(|callback| callback.error = Some("invalid_scope".to_owned()))),
        (
            "the provider answers an error without a code",
            with(|callback| callback.error = Some("<script>\n".to_owned())),
        ),
    ] {
        assert_eq!(provider.finish(&attempt, &altered).await, Err(failed(reason)));
    }
    let unavailable = with(|callback| callback.error = Some("temporarily_unavailable".to_owned()));
    assert_eq!(provider.finish(&attempt, &unavailable).await, Err(SignInError::Unavailable));
    assert_eq!(provider.finish(&attempt, &good).await.unwrap().subject, "alice", "none of them used the code up");
}

#[actix_web::test]
async fn a_code_is_worth_nothing_without_the_verifier_and_a_token_nothing_without_the_nonce() {
    let all = corp(oidc(&shared_issuer(), "keyloft-rs256"));
    let provider = all.get("corp").unwrap();
    let altered = |attempt: &Attempt, field: &str| -> Attempt {
        let mut kept = serde_json::to_value(attempt).unwrap();
        kept[field] = "A".repeat(43).into();
        serde_json::from_value(kept).unwrap()
    };
    let (attempt, url) = back(provider, "alice").await;
    let refused = provider.finish(&altered(&attempt, "v"), &callback(&url)).await;
    assert_eq!(refused, Err(failed("the provider refuses the code: 400, invalid_grant")));
    let (attempt, url) = back(provider, "alice").await;
    let refused = provider.finish(&altered(&attempt, "n"), &callback(&url)).await;
    assert_eq!(refused, Err(failed("the ID token is refused: nonce is that of another sign-in")));
}

#[actix_web::test]
async fn an_attempt_at_one_provider_is_not_finished_at_another() {
    let issuer = shared_issuer();
    let other = OidcSettings { name: ProviderName::parse("other").unwrap(), ..oidc(&issuer, "keyloft-rs256") };
    let all = providers([oidc(&issuer, "keyloft-rs256"), other].map(ProviderSettings::Oidc).into());
    let (attempt, url) = back(all.get("corp").unwrap(), "alice").await;
    let refused = all.get("other").unwrap().finish(&attempt, &callback(&url)).await;
    assert_eq!(refused, Err(failed("the sign-in was begun at another provider")));
    assert!(all.get("third").is_none() && all.all().count() == 2);
}

#[actix_web::test]
async fn a_person_who_says_no_is_not_signed_in() {
    let all = corp(oidc(&shared_issuer(), "keyloft-rs256"));
    let provider = all.get("corp").unwrap();
    let (url, attempt) = provider.begin().await.unwrap();
    let back = callback(&Browser::default().refuse(&url).await);
    assert_eq!(back.error.as_deref(), Some("access_denied"));
    assert_eq!(provider.finish(&attempt, &back).await, Err(SignInError::Denied));
}

#[actix_web::test]
async fn the_clock_of_the_provider_may_be_thirty_seconds_away() {
    let issuer = shared_issuer();
    // Its tokens last for ten minutes.
    for (away, is_good) in [(-33, false), (-27, true), (27, true), (600 + 27, true), (600 + 33, false)] {
        let clock = Arc::new(ManualClock::new(SystemClock.now() + TimeDelta::seconds(away)));
        let all = providers_at(vec![ProviderSettings::Oidc(oidc(&issuer, "keyloft-rs256"))], clock);
        let provider = all.get("corp").unwrap();
        let (attempt, url) = back(provider, "alice").await;
        let finished = provider.finish(&attempt, &callback(&url)).await;
        assert_eq!(finished.is_ok(), is_good, "{away}: {finished:?}");
    }
}

#[actix_web::test]
async fn a_person_stays_the_same_when_the_address_changes_and_an_unverified_one_does_not_count() {
    let own = OwnProvider::start("client_secret_post").await;
    let trusting = OidcSettings { trust_email: true, ..oidc(&own.issuer(), "keyloft-rs256") };
    let (all, trusting) = (corp(oidc(&own.issuer(), "keyloft-rs256")), corp(trusting));
    let identify = async |all: &Providers, name: &str| {
        let provider = all.get("corp").unwrap();
        let (attempt, url) = back(provider, name).await;
        provider.finish(&attempt, &callback(&url)).await.unwrap()
    };
    let before = identify(&all, "alice").await;
    for (claims, email, when_trusted) in [
        (json!({"email": "new@example.com"}), Some("new@example.com"), Some("new@example.com")),
        (json!({"email_verified": false}), None, Some("alice@example.com")),
        (json!({"email_verified": "true"}), None, Some("alice@example.com")),
        (json!({"email_verified": null}), None, Some("alice@example.com")),
        (json!({"email": "a@x@y"}), None, None),
        (json!({"email": null}), None, None),
    ] {
        own.says(&json!({"alice": claims}));
        for (all, email) in [(&all, email), (&trusting, when_trusted)] {
            let now = identify(all, "alice").await;
            assert_eq!(now.id(), before.id());
            assert_eq!(now.email.map(|email| email.to_string()).as_deref(), email, "{claims}");
        }
    }
    own.says(&json!({"bob": {"email": "alice@example.com"}}));
    assert_ne!(identify(&all, "bob").await.id(), before.id(), "an address never says who somebody is");
}

#[actix_web::test]
async fn groups_give_the_roles_that_mappings_say() {
    let mapping = |group: &str, role| Mapping {
        provider: ProviderName::parse("corp").unwrap().label().clone(),
        group: group.to_owned(),
        scope: Scope::Tenant("acme".parse().unwrap()),
        role,
    };
    let mappings = vec![mapping("everyone", Role::Viewer), mapping("alices", Role::Admin)];
    let own = OwnProvider::start("client_secret_basic").await;
    let many: Vec<String> = (0..300).map(|number| format!("group-{number}")).chain(["alices".to_owned()]).collect();
    own.says(&json!({"carol": {"groups": many}}));
    let settings = settings(vec![ProviderSettings::Oidc(oidc(&own.issuer(), "keyloft-rs256"))]);
    let settings = Settings { mappings, ..settings };
    let all = Providers::new(&settings, Arc::new(SystemClock)).unwrap();
    let provider = all.get("corp").unwrap();
    for (name, groups, role) in [("alice", 2, Role::Admin), ("bob", 2, Role::Viewer), ("carol", 100, Role::Admin)] {
        let (attempt, url) = back(provider, name).await;
        let identity = provider.finish(&attempt, &callback(&url)).await.unwrap();
        assert_eq!(identity.groups.len(), groups);
        assert_eq!(identity.mapped(&settings.mappings).into_values().collect::<Vec<_>>(), [role], "{name}");
    }
}

#[actix_web::test]
async fn a_provider_that_is_down_hangs_or_has_new_keys_stops_nothing_for_good() {
    let mut own = OwnProvider::start("client_secret_basic").await;
    let issuer = own.issuer();
    own.kill();
    let all = corp(oidc(&issuer, "keyloft-rs256"));
    let provider = all.get("corp").unwrap();
    assert_eq!(provider.begin().await.map(drop), Err(SignInError::Unavailable));
    own.restart("client_secret_basic").await;
    let (attempt, url) = back(provider, "alice").await;
    provider.finish(&attempt, &callback(&url)).await.unwrap();
    own.restart("client_secret_basic").await;
    // The new keys have the ids of the old ones in this provider: it is the signature that does not fit.
    let (attempt, url) = back(provider, "alice").await;
    let refused = provider.finish(&attempt, &callback(&url)).await;
    assert_eq!(refused, Err(failed("the signature of the ID token is wrong, or its claims cannot be read")));
    let fresh = corp(oidc(&issuer, "keyloft-rs256"));
    own.pause();
    let begun = Instant::now();
    let provider = fresh.get("corp").unwrap();
    let many = futures::future::join_all((0..5).map(|_| provider.begin())).await;
    assert!(many.into_iter().all(|one| one.map(drop) == Err(SignInError::Unavailable)));
    assert!(begun.elapsed() < Duration::from_secs(7), "they wait for one request: {:?}", begun.elapsed());
}

#[actix_web::test]
async fn the_issuer_is_compared_exactly_and_the_log_names_both() {
    let issuer = shared_issuer();
    let all = corp(oidc(&format!("{issuer}/"), "keyloft-rs256"));
    let error = all.get("corp").unwrap().begin().await.unwrap_err();
    assert_eq!(
        error,
        failed(&format!(
            "the issuer is configured as \"{issuer}/\", and the provider calls itself \"{issuer}\": write it exactly so"
        ))
    );
}

#[actix_web::test]
async fn a_wrong_client_secret_is_an_error_that_does_not_show_it() {
    let mut settings = oidc(&shared_issuer(), "keyloft-rs256");
    settings.client_secret = keyloft::testing::signin::ClientSecret::parse("wrong".to_owned()).unwrap();
    let all = corp(settings);
    let provider = all.get("corp").unwrap();
    let (attempt, url) = back(provider, "alice").await;
    let refused = provider.finish(&attempt, &callback(&url)).await;
    assert_eq!(refused, Err(failed("the provider refuses the code: 401, invalid_client")));
}
