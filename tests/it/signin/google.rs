//! What Google does otherwise, against a provider that says what Google says.

use std::sync::Arc;

use keyloft::SystemClock;
use keyloft::testing::operators::{Identity, OperatorId};
use keyloft::testing::signin::{
    ClientSecret, GoogleSettings, Kind, ProviderName, ProviderSettings, Providers, SignInError,
};
use serde_json::{Value, json};

use super::{callback, parameter, settings};
use crate::support::bad_provider::BadProvider;

fn google(server: &BadProvider, domains: &[&str]) -> Providers {
    let settings = settings(vec![ProviderSettings::Google(GoogleSettings {
        name: ProviderName::parse("google").unwrap(),
        client_id: "keyloft".to_owned(),
        client_secret: ClientSecret::parse("hunter2".to_owned()).unwrap(),
        issuer: server.issuer().to_owned(),
        hosted_domains: domains.iter().map(ToString::to_string).collect(),
    })]);
    Providers::new(&settings, Arc::new(SystemClock)).unwrap()
}

async fn sign_in(server: &BadProvider, providers: &Providers, claims: Value) -> Result<Identity, SignInError> {
    server.change(|behaviour| behaviour.claims = claims);
    let provider = providers.get("google").unwrap();
    let (url, attempt) = provider.begin().await.unwrap();
    provider.finish(&attempt, &callback(&server.authorize(&url))).await
}

#[actix_web::test]
async fn both_spellings_of_the_issuer_are_one_person() {
    let server = BadProvider::start().await;
    let all = google(&server, &[]);
    assert_eq!(all.get("google").unwrap().kind(), Kind::Google);
    let legacy = server.issuer().trim_start_matches("http://").to_owned();
    for issuer in [server.issuer().to_owned(), legacy] {
        let identity = sign_in(&server, &all, json!({"iss": issuer, "groups": ["everyone"]})).await.unwrap();
        assert_eq!((identity.issuer.as_str(), identity.id()), (server.issuer(), OperatorId::of(server.issuer(), "1")));
        assert!(identity.groups.is_empty());
    }
    let other = json!({"iss": "https://accounts.google.com.evil.example"});
    assert!(sign_in(&server, &all, other).await.is_err());
}

#[actix_web::test]
async fn only_accounts_of_a_hosted_domain_sign_in_where_one_is_configured() {
    let server = BadProvider::start().await;
    let all = google(&server, &["example.com"]);
    let (url, _) = all.get("google").unwrap().begin().await.unwrap();
    assert_eq!(parameter(&url, "hd").as_deref(), Some("example.com"));
    assert!(sign_in(&server, &all, json!({"hd": "Example.com"})).await.is_ok());
    for claims in [json!({}), json!({"hd": "other.example"}), json!({"hd": ["example.com"]})] {
        let refused = sign_in(&server, &all, claims).await;
        assert_eq!(refused, Err(SignInError::Failed("the account is in none of the hosted domains".to_owned())));
    }
}

#[actix_web::test]
async fn an_address_of_a_private_account_does_not_count() {
    let server = BadProvider::start().await;
    let all = google(&server, &[]);
    for (claims, email) in [
        (json!({}), None),
        (json!({"hd": "example.com"}), Some("ada@example.com")),
        (json!({"hd": "example.com", "email_verified": false}), None),
        (json!({"email": "ada@gmail.com"}), Some("ada@gmail.com")),
    ] {
        let identity = sign_in(&server, &all, claims).await.unwrap();
        assert_eq!(identity.email.map(|email| email.to_string()).as_deref(), email);
    }
}
