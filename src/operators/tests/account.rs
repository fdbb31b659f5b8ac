//! The document of somebody who has signed in.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::documents::{Document, Unreadable};
use crate::key::{Digest, Label};
use crate::operators::account::{Account, AccountState, MAX_LOGINS, NewLogin};
use crate::operators::{Email, Identity};

const GOLDEN: &str = include_str!("../../../fixtures/account/v1/account.json");

fn identity() -> Identity {
    Identity {
        provider: Label::parse("corp").unwrap(),
        issuer: "https://corp.example".to_owned(),
        subject: "1".to_owned(),
        display_name: Some("Ada".to_owned()),
        email: Email::parse("ada@example.com").ok(),
        groups: Vec::new(),
    }
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn login(proof: Option<&str>) -> NewLogin {
    let (address, user_agent, mapped) = (None, None, BTreeMap::new());
    NewLogin { lasts: TimeDelta::seconds(100), address, user_agent, mapped, proof: proof.map(Digest::of) }
}

#[test]
fn golden_documents_parse_for_ever_and_are_written_as_they_were_read() {
    let account = Account::parse(&identity().id().unwrap(), GOLDEN.as_bytes()).unwrap();
    assert_eq!(serde_json::to_string_pretty(&account).unwrap(), GOLDEN.trim_end());
    let sids = |now| account.logins(now).map(|login| login.sid.to_string()).collect::<Vec<_>>();
    let noon = "2026-11-29T12:00:00Z".parse().unwrap();
    assert_eq!(sids(noon), ["sid-5f0c2e9e3b444b8f8f0e7a2a4b6c8d10"]);
    assert_eq!(sids(noon + TimeDelta::hours(8)), [""; 0]);
}

#[test]
fn what_is_no_account_lets_nobody_in_and_says_why() {
    let parse = |from: &str, to: &str| {
        let text = GOLDEN.replacen(from, to, 1);
        assert_ne!(text, GOLDEN);
        Account::parse(&identity().id().unwrap(), text.as_bytes()).unwrap_err()
    };
    assert_eq!(parse("\"subject\": \"1\"", "\"subject\": \"2\""), Unreadable::Field("subject"));
    assert_eq!(parse("\"version\": 1", "\"version\": 2"), Unreadable::Version(2));
    assert_eq!(parse("\"role\": \"viewer\"", "\"role\": \"owner\""), Unreadable::Field("mapped"));
    assert_eq!(parse("\"role\": \"viewer\"", "\"role\": \"platform_admin\""), Unreadable::Field("mapped"));
    assert!(matches!(parse("\"state\": \"active\"", "\"state\": \"gone\""), Unreadable::Malformed { .. }));
}

#[test]
fn the_oldest_sign_in_ends_for_one_too_many_and_expired_ones_take_no_place() {
    let mut account = Account::new(&identity());
    let first = account.sign_in(&identity(), login(None), at(0));
    for second in 1..MAX_LOGINS as i64 {
        account.sign_in(&identity(), login(None), at(second));
    }
    assert!(account.login(&first, at(50)).is_some());
    let last = account.sign_in(&identity(), login(None), at(50));
    assert!(account.login(&first, at(50)).is_none());
    assert_eq!(account.logins(at(50)).count(), MAX_LOGINS);
    let mut crowded = account.clone();
    for _ in 0..2 * MAX_LOGINS {
        crowded.sign_in(&identity(), login(Some("proof")), at(51));
    }
    assert!(crowded.login(&last, at(51)).is_some(), "only one place is for those whose token nobody has fetched");
    account.sign_in(&identity(), login(None), at(149));
    assert_eq!(account.logins(at(149)).count(), 2);
    assert!(account.end(Some(&last)) && !account.end(Some(&last)) && account.end(None) && !account.end(None));
}

#[test]
fn a_handoff_works_once_in_time_and_with_its_proof() {
    let mut account = Account::new(&identity());
    let sid = account.sign_in(&identity(), login(Some("proof")), at(0));
    assert!(account.login(&sid, at(1)).is_none(), "nobody has the token yet");
    let take = |account: &mut Account, proof: &str, now| account.take_handoff(&sid, &Digest::of(proof), now);
    assert!(!take(&mut account, "other", at(1)));
    assert!(!take(&mut account.clone(), "proof", at(60)), "too late");
    let mut disabled = account.clone();
    disabled.state = AccountState::Disabled;
    assert!(!take(&mut disabled, "proof", at(1)));
    assert!(take(&mut account, "proof", at(59)) && !take(&mut account, "proof", at(59)));
    assert!(account.login(&sid, at(99)).is_some() && account.login(&sid, at(100)).is_none());
    account.state = AccountState::Disabled;
    assert!(account.login(&sid, at(1)).is_none());
}
