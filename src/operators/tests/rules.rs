//! The rules as tables, and against people who try anything.

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::{id, with};
use crate::key::Actor;
use crate::operators::id::{Email, MembershipId};
use crate::operators::members::Members;
use crate::operators::rules::{Caller, Change, Refusal};
use crate::operators::{OperatorId, Role};

fn one(number: usize) -> Caller {
    Caller::Member { id: id(number), mapped: None }
}

fn by(id: OperatorId) -> Caller {
    Caller::Member { id, mapped: None }
}

fn judge(members: &Members, caller: Caller, change: Change, force: bool) -> Result<(), Refusal> {
    crate::operators::rules::judge(members, caller, change, force, |_| true)
}

const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

const NONE_TO_OWNER: [Option<Role>; 5] =
    [None, Some(Role::Viewer), Some(Role::Analyst), Some(Role::Admin), Some(Role::Owner)];

/// For each role of the caller: a row for the role before, a column for the role afterwards, both from none to
/// owner. `y` is allowed, `-` is not.
const OTHERS: [(Option<Role>, [&str; 5]); 5] = [
    (None, ["-----", "-----", "-----", "-----", "-----"]),
    (Some(Role::Viewer), ["-----", "-----", "-----", "-----", "-----"]),
    (Some(Role::Analyst), ["-----", "-----", "-----", "-----", "-----"]),
    (Some(Role::Admin), ["yyy--", "yyy--", "yyy--", "-----", "-----"]),
    (Some(Role::Owner), ["yyyyy", "yyyyy", "yyyyy", "yyyyy", "yyyyy"]),
];

/// The same for the caller's own membership, while there is another owner.
const OWN: [&str; 5] = ["-----", "yy---", "yyy--", "yyyy-", "yyyyy"];

fn said(allowed: bool) -> Result<(), Refusal> {
    if allowed { Ok(()) } else { Err(Refusal::Role) }
}

#[test]
fn a_member_changes_others_as_the_table_says_and_invites_alike() {
    for (role, rows) in OTHERS {
        for (from, row) in NONE_TO_OWNER.into_iter().zip(rows) {
            for (to, allowed) in NONE_TO_OWNER.into_iter().zip(row.chars()) {
                // The third is an owner who stays.
                let roles = [role, from, Some(Role::Owner)];
                let members = with(roles.into_iter().enumerate().filter_map(|(at, role)| Some((id(at), role?))));
                for member in [Some(id(1)), None] {
                    let verdict = judge(&members, one(0), Change { member, from, to }, true);
                    assert_eq!(verdict, said(allowed == 'y'), "{role:?}: {from:?} to {to:?}");
                }
                let verdict = judge(&members, Caller::Platform(None), Change { member: Some(id(1)), from, to }, false);
                assert_eq!(verdict, Ok(()));
            }
        }
    }
}

#[test]
fn a_member_lowers_its_own_role_or_leaves_and_never_raises_it() {
    for (from, row) in NONE_TO_OWNER.into_iter().zip(OWN) {
        let roles = [from, Some(Role::Owner)];
        let members = with(roles.into_iter().enumerate().filter_map(|(at, role)| Some((id(at), role?))));
        for (to, allowed) in NONE_TO_OWNER.into_iter().zip(row.chars()) {
            let change = Change { member: Some(id(0)), from, to };
            let verdict = judge(&members, one(0), change, false);
            assert_eq!(verdict, said(allowed == 'y'), "{from:?} to {to:?}");
        }
    }
}

#[test]
fn the_last_owner_stays_unless_the_platform_insists() {
    let alone = with([(id(0), Role::Owner), (id(1), Role::Admin)]);
    let two = with([(id(0), Role::Owner), (id(1), Role::Owner)]);
    for to in [None, Some(Role::Admin)] {
        let change = Change { member: Some(id(0)), from: Some(Role::Owner), to };
        for (caller, force) in [(one(0), false), (one(0), true), (Caller::Platform(None), false)] {
            assert_eq!(judge(&alone, caller, change, force), Err(Refusal::LastOwner));
            assert_eq!(judge(&two, caller, change, force), Ok(()));
        }
        assert_eq!(judge(&alone, Caller::Platform(None), change, true), Ok(()));
        // An invitation as owner is no owner: neither does it count, nor does its end.
        assert_eq!(judge(&alone, one(0), Change { member: None, ..change }, false), Ok(()));
    }
    let stays = Change { member: Some(id(0)), from: Some(Role::Owner), to: Some(Role::Owner) };
    assert_eq!(judge(&alone, one(0), stays, false), Ok(()));
}

#[test]
fn members_of_the_platform_follow_the_same_rules() {
    let members = with([(id(0), Role::PlatformAdmin), (id(1), Role::PlatformViewer)]);
    let give = |to| Change { member: Some(id(2)), from: None, to: Some(to) };
    for role in [Role::PlatformViewer, Role::PlatformAdmin] {
        assert_eq!(judge(&members, one(0), give(role), false), Ok(()));
        assert_eq!(judge(&members, one(1), give(role), false), Err(Refusal::Role));
    }
    let leave = Change { member: Some(id(0)), from: Some(Role::PlatformAdmin), to: None };
    assert_eq!(judge(&members, one(0), leave, false), Ok(()), "the admin token is left");
}

proptest! {
    /// Four people, who try anything.
    #[test]
    fn no_changes_by_members_take_the_last_owner_or_raise_the_role_of_who_makes_them(
        roles in proptest::collection::vec(0..5usize, 3),
        tries in proptest::collection::vec((0..4usize, 0..5usize, 0..5usize, any::<bool>()), 0..40),
    ) {
        let roles = roles.iter().enumerate();
        let mut members = with(roles.filter_map(|(at, role)| Some((id(at + 1), NONE_TO_OWNER[*role]?))));
        members.set(id(0), Role::Owner, &Actor::System, NOW);
        let email = Email::parse("a@example.com").unwrap();
        for (caller, target, to, force) in tries {
            let (caller, to) = (id(caller), NONE_TO_OWNER[to]);
            // The fifth target is an invitation.
            let member = (target < 4).then(|| id(target));
            let invitation = members.invited(&email).map(|(id, invitation)| (id, invitation.role)).next();
            let from = match member {
                Some(member) => members.role(&member),
                None => invitation.map(|(_, role)| role),
            };
            let before = members.role(&caller);
            if judge(&members, by(caller), Change { member, from, to }, force).is_err() {
                continue;
            }
            match (member, to) {
                (Some(member), Some(to)) => members.set(member, to, &Actor::System, NOW),
                (Some(member), None) => members.remove(MembershipId::Operator(member)),
                (None, Some(to)) => _ = members.invite(email.clone(), to, &Actor::System, NOW),
                (None, None) => invitation.into_iter().for_each(|(id, _)| members.remove(MembershipId::Invitation(id))),
            }
            prop_assert!(members.owners().next().is_some());
            prop_assert!(members.role(&caller) <= before);
            prop_assert!(from.max(to) <= before, "nobody gives or takes what is above the own role");
        }
    }
}
