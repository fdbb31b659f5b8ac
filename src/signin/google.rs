//! What Google does otherwise: an issuer with two spellings, Workspace domains, and when an address counts.

use serde_json::{Map, Value};

use super::claims::{text, verified_email};
use super::error::SignInError;
use crate::operators::Email;

/// The rules of Google.
#[derive(Debug)]
pub(super) struct Google {
    /// In lower case; empty for all accounts.
    hosted_domains: Vec<String>,
    /// The issuer as older tokens spell it: without `https://`.
    legacy_issuer: String,
}

impl Google {
    /// For an issuer, and the Workspace domains whose accounts may sign in.
    pub(super) fn new(issuer: &str, hosted_domains: &[String]) -> Self {
        let legacy_issuer = issuer.split_once("://").map_or(issuer, |(_, rest)| rest).to_owned();
        Self {
            hosted_domains: hosted_domains.iter().map(|domain| domain.to_ascii_lowercase()).collect(),
            legacy_issuer,
        }
    }

    pub(super) fn legacy_issuer(&self) -> &str {
        &self.legacy_issuer
    }

    /// The domain that Google's page asks for. That saves a detour and checks nothing: see [`Google::check_domain`].
    pub(super) fn hint(&self) -> Option<&str> {
        match &*self.hosted_domains {
            [one] => Some(one),
            _ => None,
        }
    }

    /// Checks that the account is one of a hosted domain, if there are any. The claim says so: an address of the domain
    /// may be that of a private account.
    ///
    /// # Errors
    /// [`SignInError::Failed`] when it is none.
    pub(super) fn check_domain(&self, claims: &Map<String, Value>) -> Result<(), SignInError> {
        let domain = text(claims, "hd").map(str::to_ascii_lowercase);
        if self.hosted_domains.is_empty() || domain.is_some_and(|domain| self.hosted_domains.contains(&domain)) {
            return Ok(());
        }
        Err(SignInError::failed("the account is in none of the hosted domains"))
    }

    /// The address, if Google decides who has it: it is of gmail.com, or verified and of the domain of the account.
    pub(super) fn email(claims: &Map<String, Value>) -> Option<Email> {
        let domain = text(claims, "email")?.rsplit_once('@')?.1;
        if domain.eq_ignore_ascii_case("gmail.com") {
            return verified_email(claims, true);
        }
        verified_email(claims, false)
            .filter(|_| text(claims, "hd").is_some_and(|hosted| hosted.eq_ignore_ascii_case(domain)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn the_claim_and_not_the_address_says_the_domain() {
        let google = Google::new("https://accounts.google.com", &["Corp.example".to_owned()]);
        assert_eq!((google.legacy_issuer(), google.hint()), ("accounts.google.com", Some("corp.example")));
        assert_eq!(google.check_domain(&claims(json!({"hd": "corp.example"}))), Ok(()));
        for other in [
            json!({}),
            json!({"hd": ""}),
            json!({"hd": "evil.example"}),
            json!({"hd": true}),
            json!({"hd": ["corp.example"]}),
            json!({"email": "x@corp.example", "email_verified": true}),
        ] {
            assert!(google.check_domain(&claims(other)).is_err());
        }
        assert_eq!(Google::new("https://accounts.google.com", &[]).check_domain(&Map::new()), Ok(()));
    }

    #[test]
    fn an_address_counts_when_google_decides_who_has_it() {
        let email = |value| Google::email(&claims(value)).map(|email| email.to_string());
        for (counts, value) in [
            (true, json!({"email": "a@gmail.com"})),
            (true, json!({"email": "a@GMAIL.com", "email_verified": true})),
            (true, json!({"email": "a@corp.example", "email_verified": true, "hd": "Corp.example"})),
            (false, json!({"email": "a@corp.example", "email_verified": true})),
            (false, json!({"email": "a@corp.example", "email_verified": true, "hd": "other.example"})),
            (false, json!({"email": "a@corp.example", "email_verified": "true", "hd": "corp.example"})),
            (false, json!({"email": "a@corp.example", "hd": "corp.example"})),
            (false, json!({"email": "a@evil.example@gmail.com", "email_verified": true})),
            (false, json!({"email": "a@gmail.com.example", "email_verified": true})),
            (false, json!({})),
        ] {
            assert_eq!(email(value.clone()).is_some(), counts, "{value}");
        }
    }
}
