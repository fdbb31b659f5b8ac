//! The document of members.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::id;
use crate::documents::{Document, Unreadable};
use crate::key::{Actor, TenantId};
use crate::operators::id::{Email, MembershipId};
use crate::operators::members::{MAX_INVITATIONS, MAX_MEMBERS, Members};
use crate::operators::{Role, Scope};

const GOLDEN: &str = include_str!("../../../fixtures/members/v1/members.json");
const PLATFORM: &str = include_str!("../../../fixtures/members/v1/platform.json");
const BY_HAND: &str = include_str!("../../../fixtures/members/v1/by_hand.json");

fn tenant() -> Scope {
    Scope::Tenant(TenantId::default())
}

fn parse(text: &str) -> Result<Members, Unreadable> {
    Members::parse(&tenant(), text.as_bytes())
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

#[test]
fn golden_documents_parse_for_ever_and_are_written_as_they_were_read() {
    for (scope, golden) in [(tenant(), GOLDEN), (Scope::Platform, PLATFORM)] {
        let members = Members::parse(&scope, golden.as_bytes()).unwrap();
        assert_eq!(serde_json::to_string_pretty(&members).unwrap(), golden.trim_end());
    }
    let members = parse(GOLDEN).unwrap();
    assert_eq!((members.owners().count(), members.members().count(), members.rev), (1, 2, 3));
    let now: DateTime<Utc> = "2026-12-12T11:59:59Z".parse().unwrap();
    assert_eq!(members.invitations(now).count(), 1);
    assert_eq!(members.invitations(now + TimeDelta::seconds(1)).count(), 0);
    let by_hand = parse(BY_HAND).unwrap();
    assert_eq!((by_hand.owners().count(), by_hand.rev), (1, 1));
}

#[test]
fn what_is_no_document_of_members_grants_nothing_and_says_why() {
    let changed = |from: &str, to: &str| parse(&BY_HAND.replace(from, to)).unwrap_err();
    assert_eq!(changed("owner", "platform_admin"), Unreadable::Field("role"));
    assert_eq!(changed("\"version\":1", "\"version\":2"), Unreadable::Version(2));
    assert_eq!(Members::parse(&Scope::Platform, BY_HAND.as_bytes()).unwrap_err(), Unreadable::Field("role"));
    for (from, to) in [
        ("owner", "king"),
        ("\"owner\"", "null"),
        ("\"role\"", "\"roles\""),
        ("\"members\"", "\"member\""),
        ("op-5a", "op-5A"),
        ("op-5a", "ada"),
        ("{\"role\":\"owner\"}", "\"owner\""),
        ("{\"op", "[{\"op"),
    ] {
        assert!(matches!(changed(from, to), Unreadable::Malformed { .. }), "{from} to {to}");
    }
    let odd = GOLDEN.replace("Ada@Example.com", "Ada");
    assert!(matches!(parse(&odd).unwrap_err(), Unreadable::Malformed { .. }));
    let invited = GOLDEN.replace("\"admin\",\n      \"invitedBy\"", "\"platform_admin\",\n      \"invitedBy\"");
    assert_eq!(parse(&invited).unwrap_err(), Unreadable::Field("role"));
}

/// Which of the two was meant?
#[test]
fn a_member_who_stands_there_twice_makes_a_document_unreadable() {
    let one = "\"op-5a12af06505d0ebbb95bca5441f5c29f\":{\"role\":\"owner\"}";
    let twice = BY_HAND.replace(one, &format!("{one},{}", one.replace("owner", "viewer")));
    assert!(matches!(parse(&twice).unwrap_err(), Unreadable::Malformed { .. }));
}

#[test]
fn a_document_has_so_many_entries_and_no_more() {
    let members = |count: usize| {
        let members: serde_json::Map<_, _> =
            (0..count).map(|number| (id(number).to_string(), json!({"role": "viewer"}))).collect();
        parse(&json!({"version": 1, "members": members}).to_string())
    };
    assert_eq!(members(MAX_MEMBERS).unwrap().members().count(), MAX_MEMBERS);
    assert!(matches!(members(MAX_MEMBERS + 1).unwrap_err(), Unreadable::Malformed { .. }));
    let invitations = |count: usize| {
        let invitation = json!({"email": "a@b", "role": "viewer", "expiresAt": "2027-01-01T00:00:00Z"});
        let invitations: serde_json::Map<_, _> =
            (0..count).map(|number| (format!("inv-{number:032x}"), invitation.clone())).collect();
        parse(&json!({"version": 1, "members": {}, "invitations": invitations}).to_string())
    };
    assert!(invitations(MAX_INVITATIONS).is_ok());
    assert!(matches!(invitations(MAX_INVITATIONS + 1).unwrap_err(), Unreadable::Malformed { .. }));
}

#[test]
fn a_second_invitation_of_an_address_takes_the_place_of_the_first() {
    let mut members = Members::default();
    let email = |text: &str| Email::parse(text).unwrap();
    let first = members.invite(email("ada@example.com"), Role::Viewer, &Actor::AdminToken, at(0));
    let second = members.invite(email("Ada@Example.com"), Role::Admin, &Actor::System, at(60));
    let other = members.invite(email("bob@example.com"), Role::Viewer, &Actor::AdminToken, at(60));
    assert_eq!((first, members.invitations(at(60)).count()), (second, 2));
    let invitation = members.invitation(&second).unwrap().clone();
    assert_eq!((invitation.email.to_string().as_str(), invitation.role), ("Ada@Example.com", Role::Admin));
    assert_eq!((invitation.expires_at - at(60)).num_days(), 14);
    members.remove(MembershipId::Invitation(other));
    members.forget_expired(invitation.expires_at - TimeDelta::seconds(1));
    assert!(members.invitation(&first).is_some());
    members.forget_expired(at(60) + TimeDelta::days(14));
    assert!(members.invitation(&first).is_none());
}

#[test]
fn a_member_who_gets_another_role_keeps_its_first_day_and_what_is_not_known() {
    let mut members = parse(GOLDEN).unwrap();
    let (ids, now): (Vec<_>, _) = (members.members().map(|(id, _)| id).collect(), at(0));
    members.set(ids[1], Role::Analyst, &Actor::System, now);
    let text = serde_json::to_string(&members).unwrap();
    assert!(text.contains(r#"{"role":"analyst","later":true}"#), "{text}");
}
