//! Signing in at GitHub, against a server that answers as GitHub documents.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use keyloft::SystemClock;
use keyloft::testing::operators::{Identity, Mapping, OperatorId, Role, Scope};
use keyloft::testing::signin::{
    Attempt, ClientSecret, GitHubSettings, Kind, ProviderName, ProviderSettings, Providers, Settings, SignInError,
};
use serde_json::json;

use super::{callback, parameter, settings};
use crate::support::github::{CLIENT_ID, CLIENT_SECRET, GitHub, Person};

fn github(server: &GitHub, groups: &[&str]) -> Providers {
    let name = ProviderName::parse("github").unwrap();
    let mappings = groups.iter().map(|group| Mapping {
        provider: name.label().clone(),
        group: (*group).to_owned(),
        scope: Scope::Tenant("acme".parse().unwrap()),
        role: Role::Viewer,
    });
    let mappings = mappings.collect();
    let settings = settings(vec![ProviderSettings::GitHub(GitHubSettings {
        name,
        client_id: CLIENT_ID.to_owned(),
        client_secret: ClientSecret::parse(CLIENT_SECRET.to_owned()).unwrap(),
        url: server.url().to_owned(),
        api_url: server.api_url(),
    })]);
    Providers::new(&Settings { mappings, ..settings }, Arc::new(SystemClock)).unwrap()
}

async fn sign_in(server: &GitHub, providers: &Providers, login: &str) -> Result<Identity, SignInError> {
    let provider = providers.get("github").unwrap();
    let (url, attempt) = provider.begin().await.unwrap();
    provider.finish(&attempt, &callback(&server.authorize(&url, login))).await
}

fn failed(reason: &str) -> SignInError {
    SignInError::Failed(reason.to_owned())
}

fn person(id: u64, emails: &[(&str, bool, bool)]) -> Person {
    let emails = emails.iter().map(|(email, primary, verified)| ((*email).to_owned(), *primary, *verified));
    Person { id, emails: emails.collect(), ..Person::default() }
}

#[actix_web::test]
async fn a_person_is_the_number_and_not_the_login() {
    let server = GitHub::start().await;
    let providers = github(&server, &[]);
    let provider = providers.get("github").unwrap();
    assert_eq!((provider.kind(), provider.display_name()), (Kind::GitHub, "GitHub"));
    server.knows("ada", Person { name: Some("Ada L.".to_owned()), ..person(7, &[("ada@example.com", true, true)]) });
    let ada = sign_in(&server, &providers, "ada").await.unwrap();
    assert_eq!((ada.provider.as_str(), &*ada.issuer, &*ada.subject), ("github", server.url(), "7"));
    assert_eq!(
        (ada.display_name.as_deref(), ada.email.unwrap().to_string()),
        (Some("Ada L."), "ada@example.com".into())
    );
    assert!(ada.groups.is_empty());
    // She takes another login, and somebody else takes hers.
    server.knows("ada-lovelace", person(7, &[]));
    server.knows("ada", person(8, &[("ada@example.com", true, true)]));
    let renamed = sign_in(&server, &providers, "ada-lovelace").await.unwrap();
    assert_eq!(renamed.id(), OperatorId::of(server.url(), "7"));
    assert_eq!((renamed.display_name.as_deref(), renamed.email), (Some("ada-lovelace"), None));
    assert_eq!(sign_in(&server, &providers, "ada").await.unwrap().id(), OperatorId::of(server.url(), "8"));
}

#[actix_web::test]
async fn it_asks_for_no_more_than_it_needs() {
    let server = GitHub::start().await;
    server.knows("ada", person(7, &[]));
    for (groups, scope, paths) in [
        (&[][..], "user:email", &[][..]),
        (
            &["acme", "acme-2", "acme/ops", "other/dev"][..],
            "user:email read:org",
            &[
                "/api/v3/user/memberships/orgs/acme",
                "/api/v3/user/memberships/orgs/acme-2",
                "/api/v3/user/memberships/orgs/other",
            ][..],
        ),
    ] {
        let providers = github(&server, groups);
        let (url, _) = providers.get("github").unwrap().begin().await.unwrap();
        assert_eq!(parameter(&url, "scope").as_deref(), Some(scope));
        assert_eq!(parameter(&url, "allow_signup").as_deref(), Some("false"));
        assert!(!url.as_str().contains(CLIENT_SECRET));
        sign_in(&server, &providers, "ada").await.unwrap();
        let mut asked = server.asked();
        let first: Vec<_> = asked.drain(..3).collect();
        assert_eq!(first, ["/login/oauth/access_token", "/api/v3/user", "/api/v3/user/emails?per_page=100&page=1"]);
        asked.sort();
        assert_eq!(asked, paths);
    }
}

#[actix_web::test]
async fn the_address_is_one_that_is_verified_and_read() {
    let server = GitHub::start().await;
    let providers = github(&server, &[]);
    let hidden = "7+ada@Users.noreply.github.com";
    let many: Vec<_> =
        (0..150).map(|number| (format!("a{number}@example.com"), number == 130, number >= 120)).collect();
    let many: Vec<_> = many.iter().map(|(email, primary, verified)| (&**email, *primary, *verified)).collect();
    let endless: Vec<_> = (0..700).map(|_| ("a@example.com", false, false)).collect();
    for (emails, email) in [
        (&[("b@example.com", false, true), ("a@example.com", true, true)][..], Some("a@example.com")),
        (&[("a@example.com", true, false), ("b@example.com", false, true)], Some("b@example.com")),
        (&[(hidden, true, true), ("b@example.com", false, true)], Some("b@example.com")),
        (&[(hidden, true, true)], None),
        (&[("a@x@y", true, true)], None),
        (&[("a@example.com", true, false)], None),
        (&[], None),
        (&many, Some("a130@example.com")),
        (&endless, None),
    ] {
        server.knows("ada", person(7, emails));
        let identity = sign_in(&server, &providers, "ada").await.unwrap();
        assert_eq!(identity.email.map(|email| email.to_string()).as_deref(), email);
    }
    let asked = server.asked();
    assert_eq!(asked.iter().filter(|path| path.ends_with("page=5")).count(), 1);
    assert!(!asked.iter().any(|path| path.ends_with("page=6")), "pages are bounded");
}

#[actix_web::test]
async fn only_a_membership_that_was_accepted_counts() {
    let server = GitHub::start().await;
    let providers = github(&server, &["active", "active/ops", "active/dev", "pending/ops", "hidden", "stranger"]);
    let memberships = [
        ("active", "active"),
        ("active/ops", "active"),
        ("active/dev", "pending"),
        ("pending", "pending"),
        ("pending/ops", "active"),
        ("hidden", "active"),
        ("unasked", "active"),
    ];
    server.knows(
        "ada",
        Person { memberships: BTreeMap::from(memberships.map(|(of, state)| (of.to_owned(), state))), ..person(7, &[]) },
    );
    server.restrict("hidden");
    assert_eq!(sign_in(&server, &providers, "ada").await.unwrap().groups, ["active", "active/ops"]);
    server.answers("/api/v3/user/memberships/orgs/active", 200, json!({"state": "ACTIVE"}));
    assert!(sign_in(&server, &providers, "ada").await.unwrap().groups.is_empty());
    server.answers("/api/v3/user/memberships/orgs/active", 429, json!({}));
    assert_eq!(sign_in(&server, &providers, "ada").await, Err(SignInError::Unavailable), "it may be a member");
}

#[actix_web::test]
async fn an_error_comes_with_200_and_is_one_all_the_same() {
    let server = GitHub::start().await;
    server.knows("ada", person(7, &[]));
    let providers = github(&server, &[]);
    let provider = providers.get("github").unwrap();
    let refused = |code: &str| Err(failed(&format!("GitHub refuses the code: 200, {code}")));
    let (url, attempt) = provider.begin().await.unwrap();
    let back = callback(&server.authorize(&url, "ada"));
    provider.finish(&attempt, &back).await.unwrap();
    assert_eq!(provider.finish(&attempt, &back).await, refused("bad_verification_code"), "once");

    let (url, attempt) = provider.begin().await.unwrap();
    let back = callback(&server.authorize(&url, "ada"));
    server.clock.advance(TimeDelta::minutes(11));
    assert_eq!(provider.finish(&attempt, &back).await, refused("bad_verification_code"), "late");

    let (url, attempt) = provider.begin().await.unwrap();
    let back = callback(&server.authorize(&url, "ada"));
    let mut kept = serde_json::to_value(&attempt).unwrap();
    kept["v"] = "A".repeat(43).into();
    let altered: Attempt = serde_json::from_value(kept).unwrap();
    assert_eq!(provider.finish(&altered, &back).await, refused("bad_verification_code"), "another verifier");

    for (body, code) in [
        (json!({"error": "incorrect_client_credentials"}), "incorrect_client_credentials"),
        (json!({"error": "unverified_user_email", "access_token": "gho_x"}), "unverified_user_email"),
        (json!({"error": "\u{1b}[2J<script>"}), "an error without a code"),
        (json!({}), "an error without a code"),
        (json!({"access_token": 7}), "an error without a code"),
        (json!("gho_x"), "an error without a code"),
    ] {
        server.answers("/login/oauth/access_token", 200, body);
        assert_eq!(sign_in(&server, &providers, "ada").await, refused(code));
    }
}

#[actix_web::test]
async fn who_it_is_is_read_strictly() {
    let server = GitHub::start().await;
    server.knows("ada", person(7, &[]));
    let providers = github(&server, &[]);
    let odd = |status| failed(&format!("GitHub does not answer /api/v3/user as documented: {status}"));
    for (status, body, error) in [
        (200, json!({"id": "7", "login": "ada", "name": null}), odd(200)),
        (200, json!({"id": -7, "login": "ada", "name": null}), odd(200)),
        (200, json!({"id": null, "login": "ada", "name": null}), odd(200)),
        (200, json!({"login": "ada", "email": "ada@example.com"}), odd(200)),
        (401, json!({"message": "Bad credentials"}), odd(401)),
        (403, json!({}), odd(403)),
        (302, json!({}), SignInError::Unavailable),
        (500, json!({}), SignInError::Unavailable),
        (429, json!({}), SignInError::Unavailable),
    ] {
        server.answers("/api/v3/user", status, body);
        assert_eq!(sign_in(&server, &providers, "ada").await, Err(error));
    }
}

#[actix_web::test]
async fn the_issuer_that_a_callback_may_name_is_this_github() {
    let server = GitHub::start().await;
    server.knows("ada", person(7, &[]));
    let providers = github(&server, &[]);
    let provider = providers.get("github").unwrap();
    for (issuer, is_good) in [
        (server.url().to_owned(), true),
        (format!("{}/login/oauth", server.url()), true),
        ("https://id.example".to_owned(), false),
    ] {
        let (url, attempt) = provider.begin().await.unwrap();
        let mut back = callback(&server.authorize(&url, "ada"));
        back.iss = Some(issuer);
        assert_eq!(provider.finish(&attempt, &back).await.is_ok(), is_good);
    }
    let (url, attempt) = provider.begin().await.unwrap();
    let mut back = callback(&server.authorize(&url, "ada"));
    back.error = Some("access_denied".to_owned());
    assert_eq!(provider.finish(&attempt, &back).await, Err(SignInError::Denied));
}
