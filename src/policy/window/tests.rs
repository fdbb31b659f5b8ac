//! Windows of many entities.

use proptest::prelude::*;

use super::{EXACT, MAX_VALUES, MIN_POLICY_MEMORY, State, WindowKey};
use crate::policy::entity::Entity;

const MINUTE: u16 = 60;

/// An entity as spread as an HMAC.
fn entity(number: u64) -> Entity {
    let mix = |n: u64| {
        let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    };
    Entity::of_bits(u128::from(mix(number.wrapping_add(1))) << 64 | u128::from(mix(!number)))
}

fn window(seconds: u16) -> WindowKey {
    WindowKey::new(seconds, ["test"])
}

fn state() -> State {
    State::new(MIN_POLICY_MEMORY)
}

#[test]
fn a_window_is_half_open_to_the_millisecond() {
    let (state, one) = (state(), entity(1));
    assert_eq!(state.hit(one, window(MINUTE), 1000, None), 1);
    for (at_ms, count) in [(1000, 1), (60_999, 1), (61_000, 0), (61_001, 0)] {
        assert_eq!(state.count(one, window(MINUTE), at_ms), count, "{at_ms}");
    }
    assert_eq!(state.hit(one, window(MINUTE), 60_999, None), 2);
    assert_eq!(state.hit(one, window(MINUTE), 61_000, None), 2, "the first one has left");
    assert_eq!(state.count(entity(2), window(MINUTE), 1000), 0);
    assert_eq!(state.count(one, window(59), 1000), 0, "a window of its own");
    assert_eq!(state.count(one, WindowKey::new(MINUTE, ["other"]), 1000), 0);
}

#[test]
fn time_never_runs_back_for_an_entity() {
    let (state, one) = (state(), entity(1));
    assert_eq!(state.hit(one, window(1), 10_000, None), 1);
    assert_eq!(state.hit(one, window(1), 5000, None), 2, "counted at the time of the one before");
    assert_eq!((state.count(one, window(1), 0), state.count(one, window(1), 10_999)), (2, 2));
    assert_eq!(state.count(one, window(1), 11_000), 0);
    assert_eq!(state.hit(entity(2), window(1), 5000, None), 1, "others have a time of their own");
    for extreme in [i64::MIN, -1, 0, i64::MAX, i64::MIN, 1 << 52] {
        assert!(state.hit(one, window(1), extreme, None) >= 1);
    }
}

/// Counts of a list of all times, with the clamp.
fn expected(times: &mut Vec<i64>, at_ms: i64, seconds: u16) -> (usize, usize) {
    let at_ms = at_ms.max(times.last().copied().unwrap_or(i64::MIN));
    times.push(at_ms);
    let length = i64::from(seconds) * 1000;
    let within = |length: i64| times.iter().filter(|time| **time > at_ms - length).count();
    (within(length), within(length + length / 16 + 1))
}

proptest! {
    #[test]
    fn counts_are_exact_up_to_64_and_at_most_a_sixteenth_more_above(
        seconds in 1u16..4, gaps in prop::collection::vec(-50i64..90, 1..400), pause in 0usize..400,
    ) {
        let (state, mut at_ms, mut times) = (state(), 1_700_000_000_000, Vec::new());
        for (index, gap) in gaps.into_iter().enumerate() {
            at_ms += if index == pause { 5000 } else { gap };
            let (least, most) = expected(&mut times, at_ms, seconds);
            let count = usize::try_from(state.hit(entity(1), window(seconds), at_ms, None)).unwrap();
            if least <= EXACT {
                prop_assert_eq!(count, least);
            } else {
                prop_assert!(least <= count && count <= most, "{} <= {} <= {}", least, count, most);
            }
        }
    }

    #[test]
    fn different_values_are_counted_by_when_each_was_last_met(
        values in prop::collection::vec((0u32..200, 0i64..40), 1..300),
    ) {
        let (state, mut at_ms, mut met) = (state(), 0i64, Vec::new());
        for (value, gap) in values {
            at_ms += gap;
            met.retain(|(other, time)| *other != value && *time > at_ms - 2000);
            met.push((value, at_ms));
            let count = usize::try_from(state.hit(entity(1), window(2), at_ms, Some(value))).unwrap();
            prop_assert_eq!(count, met.len().min(MAX_VALUES));
        }
    }

    #[test]
    fn a_window_falls_below_its_threshold_when_it_says_so(
        gaps in prop::collection::vec(0i64..60, 1..150), threshold in 1u32..160, values: bool,
    ) {
        let (state, mut at_ms) = (state(), 0i64);
        let mut count = 0;
        for (value, gap) in (0u32..).zip(gaps) {
            at_ms += gap;
            count = state.hit(entity(1), window(2), at_ms, values.then_some(value));
        }
        let below = state.below_at_ms(entity(1), window(2), threshold).unwrap();
        prop_assert!(state.count(entity(1), window(2), below) < threshold);
        if count >= threshold {
            prop_assert!(below > at_ms && state.count(entity(1), window(2), below - 1) >= threshold);
        }
    }
}

#[test]
fn a_release_forgets_an_entity_in_the_windows_it_names() {
    let state = state();
    for number in [1, 2] {
        state.hit(entity(number), window(MINUTE), 0, None);
        state.hit(entity(number), window(1), 0, None);
    }
    state.forget(entity(1), [window(MINUTE)]);
    let counts = |number| [MINUTE, 1].map(|seconds| state.count(entity(number), window(seconds), 0));
    assert_eq!((counts(1), counts(2)), ([0, 1], [1, 1]));
    assert_eq!(state.size().entries, 3);
    state.forget(entity(1), [window(MINUTE), window(1)]);
    assert_eq!(state.size().entries, 2);
}

/// The flood that a state has to stand: clients that come once, more of them than it has room for.
fn flood(state: &State, entities: std::ops::Range<u64>) {
    entities.for_each(|number| _ = state.hit(entity(1 << 40 | number), window(3600), 1000, None));
}

#[test]
fn clients_that_come_once_evict_nobody_who_came_twice() {
    let state = state();
    let regulars = || (0..10_000).map(entity);
    for at_ms in [0, 1] {
        regulars().for_each(|one| _ = state.hit(one, window(3600), at_ms, None));
    }
    flood(&state, 0..200_000);
    let size = state.size();
    assert!(size.evicted > 100_000 && size.bytes <= MIN_POLICY_MEMORY, "{size:?}");
    assert!(regulars().all(|one| state.count(one, window(3600), 1000) == 2));
}

#[test]
fn a_client_that_comes_again_during_a_flood_gets_room() {
    let state = state();
    flood(&state, 0..100_000);
    let one = entity(1);
    state.hit(one, window(3600), 1000, None);
    flood(&state, 100_000..170_000);
    assert_eq!(state.count(one, window(3600), 1000), 0, "it came once, and gave way");
    state.hit(one, window(3600), 1000, None);
    flood(&state, 170_000..300_000);
    assert_eq!(state.count(one, window(3600), 1000), 1, "it came again, and stayed");
}

#[test]
fn what_has_expired_gives_way_first() {
    let state = state();
    for at_ms in [0, 1] {
        (0..10_000).for_each(|number| _ = state.hit(entity(number), window(1), at_ms, None));
    }
    let late = |from: u64| {
        (from..from + 30_000).for_each(|number| _ = state.hit(entity(number), window(3600), 5000, None));
    };
    late(1 << 40);
    let before = state.size();
    assert_eq!(before.evicted, 0, "{before:?}");
    assert!((1 << 40..(1 << 40) + 30_000).all(|number| state.count(entity(number), window(3600), 5000) == 1));
}

#[test]
fn busy_entities_stay_within_the_memory() {
    let state = state();
    for round in 0..20 {
        (0..20_000).for_each(|number| _ = state.hit(entity(number), window(3600), round, None));
        (0..500).for_each(|value| _ = state.hit(entity(7), WindowKey::new(1, []), round, Some(value)));
    }
    let size = state.size();
    assert!(size.bytes <= MIN_POLICY_MEMORY && size.entries > 5000, "{size:?}");
}

#[test]
fn one_thread_and_eight_agree() {
    let events: Vec<(u64, i64)> =
        (0..40_000u64).map(|n| (n * n % 997, i64::try_from(n * 7 % 90_000).unwrap())).collect();
    let run = |threads: u64| {
        let state = state();
        let mut counts: Vec<(u64, usize, u32)> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|worker| {
                    let (state, events) = (&state, &events);
                    scope.spawn(move || {
                        let mine = events.iter().enumerate().filter(|(_, (who, _))| who % threads == worker);
                        let count = |(index, (who, at_ms)): (usize, &(u64, i64))| {
                            (*who, index, state.hit(entity(*who), window(MINUTE), *at_ms, None))
                        };
                        mine.map(count).collect::<Vec<_>>()
                    })
                })
                .collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        counts.sort_unstable();
        counts
    };
    assert_eq!(run(1), run(8));
}
