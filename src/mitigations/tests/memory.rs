//! Whom policies hold, in bounded memory.

use super::{acme, entity, hold, key};
use crate::key::TenantId;
use crate::mitigations::memory::Memory;

#[test]
fn who_is_held_stays_held_as_long_as_at_first_and_is_let_go_by_the_clock() {
    let mut memory = Memory::new(10);
    assert!(memory.hold(&acme(), key(1), hold(0, 1000), 0));
    assert!(!memory.hold(&acme(), key(1), hold(500, 1500), 0), "held already");
    assert_eq!(memory.get(&acme(), key(1)).unwrap().until_ms, 1000);
    assert!(memory.get(&TenantId::default(), key(1)).is_none(), "of another tenant");
    assert!(memory.hold(&acme(), key(1), hold(1000, 2000), 0), "its time was over");
    memory.sweep(1999);
    assert_eq!(memory.count(), 1);
    memory.sweep(2000);
    assert_eq!((memory.count(), memory.get(&acme(), key(1)).is_none()), (0, true));
}

#[test]
fn of_two_nodes_that_hold_one_entity_the_longer_counts_on_both() {
    let (a, b) = (hold(0, 1000), hold(100, 1100));
    for (mine, theirs) in [(a, b), (b, a)] {
        let mut memory = Memory::new(10);
        memory.hold(&acme(), key(1), mine, 0);
        memory.read(&acme(), key(1), theirs, 7, 200);
        assert_eq!(memory.get(&acme(), key(1)).unwrap().until_ms, 1100);
        let taken = memory.take_waiting(10);
        let waits = memory.still_waiting(&taken, 200).count();
        assert_eq!(waits, usize::from(mine == b), "others know the shorter only");
    }
}

#[test]
fn what_an_entry_tells_needs_not_be_told_again() {
    let mut memory = Memory::new(10);
    memory.hold(&acme(), key(1), hold(0, 1000), 0);
    let taken = memory.take_waiting(10);
    memory.read(&acme(), key(1), hold(0, 1000), 7, 1);
    assert_eq!(memory.still_waiting(&taken, 1).count(), 0);
    assert_eq!(memory.entries_in_use().into_iter().collect::<Vec<_>>(), [7]);
    assert_eq!((memory.share_again(6), memory.share_again(7), memory.waiting()), (0, 1, 1));
    assert!(memory.entries_in_use().contains(&7), "until another entry holds it");
    memory.read(&acme(), key(1), hold(0, 1000), 9, 1);
    assert_eq!(memory.entries_in_use().into_iter().collect::<Vec<_>>(), [9]);
}

#[test]
fn too_many_make_room_for_each_other_and_a_tenant_for_nobody_elses() {
    let (mut memory, quiet) = (Memory::new(100), TenantId::default());
    memory.hold(&quiet, key(7), hold(0, 10), 0);
    for number in 0..500 {
        memory.hold(&acme(), key(number), hold(0, 1000 + i64::try_from(number).unwrap()), 0);
    }
    assert_eq!((memory.count(), memory.dropped()), (100, 401));
    assert!(memory.get(&quiet, key(7)).is_some(), "an attack on one tenant lets nobody of another go");
    assert!(memory.get(&acme(), key(400)).is_none() && memory.get(&acme(), key(401)).is_some(), "the nearest end");
    assert_eq!(memory.dropped_until_ms(), 1400);
    assert!(memory.waiting() <= 200);
    for number in 500..600 {
        memory.hold(&acme(), key(number), hold(20, 5000), 0);
    }
    assert!(memory.get(&quiet, key(7)).is_none(), "it was over");
}

#[test]
fn a_release_lets_go_by_one_policy_or_all_and_a_decision_that_began_before_does_not_undo_it() {
    let mut memory = Memory::new(10);
    let mut other = key(1);
    other.policy.0 = uuid::Uuid::from_u128(9);
    for key in [key(1), other, key(2)] {
        memory.hold(&acme(), key, hold(0, 1000), 0);
    }
    assert_eq!(memory.release(&acme(), entity(1), Some(other.policy)), [other.policy]);
    assert!(memory.get(&acme(), key(1)).is_some());
    let began = memory.released();
    assert_eq!(memory.release(&acme(), entity(1), None), [key(1).policy]);
    assert!(!memory.hold(&acme(), key(1), hold(1, 1001), began));
    assert!(memory.hold(&acme(), key(3), hold(1, 1001), began), "of somebody else");
    assert!(memory.hold(&acme(), key(1), hold(1, 1001), memory.released()), "a later crossing holds anew");
    assert_eq!(memory.behind(&acme(), None).count(), 3);
}

#[test]
fn a_list_goes_on_behind_a_place() {
    let mut memory = Memory::new(100);
    for number in 0..10 {
        memory.hold(&acme(), key(number), hold(0, 1000 - i64::try_from(number).unwrap()), 0);
    }
    let all: Vec<_> = memory.behind(&acme(), None).map(|(key, hold)| (hold.until_ms, key)).collect();
    assert!(all.is_sorted() && all.len() == 10);
    let rest: Vec<_> = memory.behind(&acme(), Some(all[3])).map(|(key, hold)| (hold.until_ms, key)).collect();
    assert_eq!(rest, all[4..]);
}
