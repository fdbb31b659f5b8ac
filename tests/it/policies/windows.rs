//! Windows, wherever they are counted: in the memory of a node, and in a real Redis for all nodes. What holds for the
//! one holds for the other.

use std::sync::Arc;
use std::time::Duration;

use keyloft::key::{KeyId, TenantId};
use keyloft::policy::Value;
use keyloft::policy::engine::{Decision, MAX_AGE_MS, MAX_AHEAD_MS, Outside, Reason, Verdict, decide};
use keyloft::policy::entity::{Entity, Pseudonyms};
use keyloft::policy::event::{Arrival, Door, Event, Text};
use keyloft::policy::set::{CompiledSet, EntityDefinitionId, PolicySet, compile};
use keyloft::policy::window::{EXACT, MAX_VALUES, State, WindowKey, Windows};
use keyloft::testing::{Ask, Counted, SharedRedis, SharedWindows, What};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;

use crate::support::redis::shared_redis;

/// A busy machine may be late.
const PATIENCE: Duration = Duration::from_secs(3);
const NOW_MS: i64 = 1_795_935_600_000;

/// Where windows are counted, for a tenant of no other test.
struct Place {
    name: &'static str,
    tenant: TenantId,
    memory: State,
    redis: Option<SharedWindows>,
}

/// What Redis has counted already, whatever a node counts itself.
struct Answered<W>(W);

impl<W: Windows> Windows for Answered<W> {
    fn hit(&self, entity: Entity, window: WindowKey, at_ms: i64, _: Option<u32>) -> u32 {
        self.0.count(entity, window, at_ms)
    }

    fn count(&self, entity: Entity, window: WindowKey, at_ms: i64) -> u32 {
        self.0.count(entity, window, at_ms)
    }

    fn below_at_ms(&self, entity: Entity, window: WindowKey, threshold: u32) -> Option<i64> {
        self.0.below_at_ms(entity, window, threshold)
    }
}

/// What a question is answered with: the count, and when it is below each of [`THRESHOLDS`].
type Answer = (u32, [Option<i64>; 6]);
const THRESHOLDS: [u32; 6] = [1, 2, 5, 64, 65, 90];

impl Place {
    fn memory() -> Self {
        let tenant = TenantId::parse(&format!("t-{}", KeyId::random())).unwrap();
        Self { name: "memory", tenant, memory: State::new(0), redis: None }
    }

    fn redis() -> Self {
        let redis = SharedRedis::new(&shared_redis(), None, PATIENCE).unwrap();
        Self { name: "Redis", redis: Some(SharedWindows::new(Arc::new(redis))), ..Self::memory() }
    }

    fn both() -> [Self; 2] {
        [Self::memory(), Self::redis()]
    }

    /// Answers questions, one after the other.
    async fn answers(&self, asks: &[Ask]) -> Vec<Answer> {
        let read = |windows: &dyn Windows, Ask { entity, window, at_ms, .. }: &Ask| {
            let count = windows.count(*entity, *window, *at_ms);
            (count, THRESHOLDS.map(|threshold| windows.below_at_ms(*entity, *window, threshold)))
        };
        let Some(redis) = &self.redis else {
            let answer = |ask: &Ask| {
                let Ask { entity, window, at_ms, what } = *ask;
                let value = match what {
                    What::Look => return read(&self.memory, ask),
                    What::Event => None,
                    What::Value(value) => Some(value),
                };
                let hit = self.memory.hit(entity, window, at_ms, value);
                let answer = read(&self.memory, ask);
                assert_eq!(hit, answer.0);
                answer
            };
            return asks.iter().map(answer).collect();
        };
        let events: Vec<Vec<Ask>> = asks.iter().map(|ask| vec![*ask]).collect();
        let counted = self.together(redis, &events).await;
        let answer = |(at, ask): (usize, &Ask)| read(&counted.of(at).beside(&self.memory), ask);
        asks.iter().enumerate().map(answer).collect()
    }

    async fn together(&self, redis: &SharedWindows, events: &[Vec<Ask>]) -> Counted {
        let alone = redis.fallbacks();
        let counted = redis.ask(&self.tenant, events).await;
        assert_eq!(redis.fallbacks(), alone, "Redis answers");
        counted
    }

    async fn hit(&self, entity: Entity, window: WindowKey, at_ms: i64) -> u32 {
        self.answers(&[Ask { entity, window, at_ms, what: What::Event }]).await[0].0
    }

    async fn count(&self, entity: Entity, window: WindowKey, at_ms: i64) -> u32 {
        self.answers(&[Ask { entity, window, at_ms, what: What::Look }]).await[0].0
    }

    /// Decides about an event of `decide`.
    async fn decide<'s>(&self, set: &'s CompiledSet, event: &Json, now_ms: i64) -> Decision<'s> {
        let text = event.to_string();
        let text = Text::new(text.as_bytes());
        let (json, _) = text.json().unwrap();
        let event = Event::of_decide(&json, Arrival::new(Door::Decide, now_ms)).unwrap();
        let pseudonyms = Pseudonyms::new(b"secret", "acme");
        let outside = Outside::at(now_ms);
        let Some(redis) = &self.redis else { return decide(set, &self.memory, &pseudonyms, &event, outside) };
        let asks = Ask::of_decision(set, &pseudonyms, &event, now_ms);
        let counted = self.together(redis, &[asks]).await;
        decide(set, &Answered(counted.of(0).beside(&self.memory)), &pseudonyms, &event, outside)
    }

    async fn verdict(&self, set: &CompiledSet, event: Json) -> Verdict {
        self.decide(set, &event, NOW_MS).await.verdict
    }
}

fn entity(number: i64) -> Entity {
    Pseudonyms::new(b"secret", "acme").entity(EntityDefinitionId::default(), &[Value::Int(number)])
}

fn window(seconds: u16) -> WindowKey {
    WindowKey::new(seconds, ["test"])
}

fn windowed(number: u32, threshold: u32, others: Json) -> Json {
    let mut policy = json!({"policyId": format!("00000000-0000-4000-8000-{number:012}"), "name": format!("p{number}"),
        "mitigationId": "6b65796c-6f66-8000-8000-000000000303",
        "entityDefinitionId": "6b65796c-6f66-8000-8000-000000000202", "window": {"seconds": 60, "threshold": threshold}});
    for (member, value) in others.as_object().unwrap() {
        policy["window"][member] = value.clone();
    }
    policy
}

fn set(policies: Json) -> CompiledSet {
    let set: PolicySet = serde_json::from_value(json!({ "policies": policies })).unwrap();
    compile(&set).unwrap()
}

fn request(at_ms: i64) -> Json {
    let at = chrono::DateTime::from_timestamp_millis(at_ms).unwrap().to_rfc3339();
    json!({"clientIp": "203.0.113.7", "observedAt": at, "request": {"path": "/"}})
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn a_window_is_half_open_to_the_millisecond_in_memory_and_in_redis() {
    for place in Place::both() {
        let (one, minute) = (entity(1), window(60));
        assert_eq!(place.hit(one, minute, NOW_MS).await, 1);
        for (after_ms, count) in [(0, 1), (59_999, 1), (60_000, 0), (60_001, 0)] {
            assert_eq!(place.count(one, minute, NOW_MS + after_ms).await, count, "{} {after_ms}", place.name);
        }
        assert_eq!(place.hit(one, minute, NOW_MS + 59_999).await, 2);
        assert_eq!(place.hit(one, minute, NOW_MS + 60_000).await, 2, "the first one has left");
        assert_eq!(place.count(entity(2), minute, NOW_MS).await, 0);
        assert_eq!(place.count(one, window(59), NOW_MS).await, 0, "a window of its own");
        assert_eq!(place.count(one, WindowKey::new(60, ["other"]), NOW_MS).await, 0);
    }
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn time_never_runs_back_for_an_entity_though_the_clocks_of_nodes_differ() {
    for place in Place::both() {
        let (one, second) = (entity(1), window(1));
        assert_eq!(place.hit(one, second, NOW_MS).await, 1);
        assert_eq!(place.hit(one, second, NOW_MS - 60_000).await, 2, "counted at the time of the one before");
        assert_eq!(place.count(one, second, NOW_MS - 60_000).await, 2);
        assert_eq!(place.count(one, second, NOW_MS + 999).await, 2);
        assert_eq!(place.count(one, second, NOW_MS + 1000).await, 0);
        assert_eq!(place.hit(entity(2), second, NOW_MS - 60_000).await, 1, "others have a time of their own");
    }
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn late_events_and_those_ahead_count_nowhere() {
    let set = set(json!([windowed(1, 2, json!({}))]));
    for place in Place::both() {
        for at_ms in [NOW_MS - MAX_AGE_MS - 1, NOW_MS + MAX_AHEAD_MS + 1] {
            for _ in 0..3 {
                let late = place.decide(&set, &request(at_ms), NOW_MS).await;
                assert_eq!((late.verdict, late.reason), (Verdict::Allow, Reason::Late), "{}", place.name);
            }
        }
        assert_eq!(place.verdict(&set, request(NOW_MS - MAX_AGE_MS)).await, Verdict::Allow, "the first that counts");
        assert_eq!(place.verdict(&set, request(NOW_MS - MAX_AGE_MS)).await, Verdict::Block);
        assert_eq!(place.verdict(&set, request(NOW_MS + MAX_AHEAD_MS)).await, Verdict::Allow);
        assert_eq!(place.verdict(&set, request(NOW_MS)).await, Verdict::Block, "at the time of the one before");
    }
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn a_policy_applies_from_its_threshold_on_and_says_when_to_come_again() {
    let set = set(json!([windowed(1, 3, json!({})), windowed(2, 70, json!({}))]));
    for place in Place::both() {
        for seconds in [0, 10] {
            assert_eq!(place.verdict(&set, request(NOW_MS - 30_000 + seconds * 1000)).await, Verdict::Allow);
        }
        let third = place.decide(&set, &request(NOW_MS - 10_000), NOW_MS).await;
        let found = third.deciding().unwrap();
        let counted = found.window.unwrap();
        assert_eq!((counted.count, counted.threshold, found.retry_after_seconds), (3, 3, Some(40)), "{}", place.name);
        // Both policies share one count, in which an event counts once.
        for count in 4..70 {
            let next = place.decide(&set, &request(NOW_MS), NOW_MS).await;
            assert_eq!((next.matches.len(), next.deciding().unwrap().window.unwrap().count), (1, count));
        }
        assert_eq!(place.decide(&set, &request(NOW_MS), NOW_MS).await.matches.len(), 2, "{}", place.name);
    }
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn a_window_that_another_event_has_counted_in_is_looked_at_without_counting() {
    let set = set(json!([windowed(1, 2, json!({"count": "response_status == 401"}))]));
    let refused = json!({"clientIp": "203.0.113.7", "response": {"status": 401}});
    for place in Place::both() {
        let mut verdicts = Vec::new();
        for _ in 0..2 {
            verdicts.push(place.verdict(&set, request(NOW_MS)).await);
            verdicts.push(place.verdict(&set, request(NOW_MS)).await);
            place.verdict(&set, refused.clone()).await;
        }
        verdicts.push(place.verdict(&set, request(NOW_MS)).await);
        assert_eq!(verdicts[..4], [Verdict::Allow; 4], "{}", place.name);
        assert_eq!(verdicts[4], Verdict::Block, "{}", place.name);
    }
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn different_values_are_counted_and_what_is_absent_is_none() {
    let set = set(json!([windowed(1, 3, json!({"distinct": "payload_user"}))]));
    let login = |user: Json| json!({"clientIp": "203.0.113.7", "payload": {"user": user}});
    for place in Place::both() {
        let mut verdicts = Vec::new();
        for user in [json!("a"), json!("a"), json!("b"), json!(null), json!("b"), json!("c"), json!("a")] {
            verdicts.push(place.verdict(&set, login(user)).await);
        }
        let (allow, block) = (Verdict::Allow, Verdict::Block);
        assert_eq!(verdicts, [allow, allow, allow, allow, allow, block, block], "{}", place.name);
        let value = |number: u32| {
            let what = What::Value(number);
            Ask { entity: entity(9), window: window(60), at_ms: NOW_MS, what }
        };
        let many: Vec<Ask> = (0..300).map(value).collect();
        assert_eq!(place.answers(&many).await[299].0, u32::try_from(MAX_VALUES).unwrap());
    }
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
async fn one_thread_and_eight_count_the_same() {
    let traffic = |who: i64| -> Vec<Ask> {
        let at = |n: i64| NOW_MS + n * who * 7 % 90_000;
        (0..200).map(|n| Ask { entity: entity(who), window: window(60), at_ms: at(n), what: What::Event }).collect()
    };
    let mut all = Vec::new();
    for (place, threads) in [(Place::memory(), 1), (Place::memory(), 8), (Place::redis(), 1), (Place::redis(), 8)] {
        let run = |thread: i64| {
            let place = &place;
            async move {
                let mut answers = Vec::new();
                for who in (0..24).filter(|who| who % threads == thread) {
                    // In parts, so that those of others come in between.
                    for part in traffic(who).chunks(25) {
                        answers.extend(place.answers(part).await.into_iter().map(|answer| (who, answer)));
                    }
                }
                answers
            }
        };
        let mut answers: Vec<_> = futures::future::join_all((0..threads).map(run)).await.concat();
        answers.sort_by_key(|(who, _)| *who);
        all.push(answers);
    }
    assert!(all.windows(2).all(|two| two[0] == two[1]));
}

/// Counts of a list of all times, with the clamp: of the window, and of one a sixteenth longer.
fn expected(times: &mut Vec<i64>, at_ms: i64, seconds: u16) -> (usize, usize) {
    let at_ms = at_ms.max(times.last().copied().unwrap_or(i64::MIN));
    times.push(at_ms);
    let length = i64::from(seconds) * 1000;
    let within = |length: i64| times.iter().filter(|time| **time > at_ms - length).count();
    (within(length), within(length + length / 16 + 1))
}

/// One of two entities, of two windows; what; and after how many milliseconds. So dense that windows hold more than is
/// kept of them.
fn asked() -> impl Strategy<Value = (i64, u16, Option<u32>, bool, i64)> {
    let gap = prop_oneof![400 => -3i64..6, 1 => Just(400), 1 => Just(1000), 1 => Just(5000)];
    let who = prop_oneof![3 => Just(0), 1 => Just(1)];
    (who, 1u16..3, prop::option::weighted(0.4, 0u32..400), prop::bool::weighted(0.8), gap)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn counts_are_exact_up_to_64_and_at_most_a_sixteenth_more_above_in_memory_and_in_redis(
        seconds in 1u16..4, gaps in prop::collection::vec(-50i64..90, 1..400), pause in 0usize..400,
    ) {
        let runtime = Runtime::new().unwrap();
        let (mut at_ms, mut asks) = (NOW_MS, Vec::new());
        for (index, gap) in gaps.into_iter().enumerate() {
            at_ms += if index == pause { 5000 } else { gap };
            asks.push(Ask { entity: entity(1), window: window(seconds), at_ms, what: What::Event });
        }
        for place in Place::both() {
            let mut times = Vec::new();
            for (ask, (count, _)) in asks.iter().zip(runtime.block_on(place.answers(&asks))) {
                let (least, most) = expected(&mut times, ask.at_ms, seconds);
                let count = usize::try_from(count).unwrap();
                let holds = if least <= EXACT { count == least } else { least <= count && count <= most };
                prop_assert!(holds, "{}: {} <= {} <= {}", place.name, least, count, most);
            }
        }
    }

    #[test]
    fn redis_counts_what_memory_counts_and_falls_below_a_threshold_when_memory_does(
        asked in prop::collection::vec(asked(), 1..1600),
    ) {
        let mut at_ms = NOW_MS;
        let ask = |(who, seconds, value, counts, gap): (i64, u16, Option<u32>, bool, i64)| {
            at_ms += gap;
            // Whether values are counted is part of what a window is.
            let window = WindowKey::new(seconds, value.map(|_| "values"));
            let what = if counts { value.map_or(What::Event, What::Value) } else { What::Look };
            Ask { entity: entity(who), window, at_ms, what }
        };
        let asks: Vec<Ask> = asked.into_iter().map(ask).collect();
        let runtime = Runtime::new().unwrap();
        let [memory, redis] = Place::both();
        let (memory, redis) = (runtime.block_on(memory.answers(&asks)), runtime.block_on(redis.answers(&asks)));
        for (at, (memory, redis)) in memory.iter().zip(&redis).enumerate() {
            prop_assert_eq!(memory, redis, "{}: {:?}", at, asks[at]);
        }
    }
}

/// The script, called as nodes call it.
fn called(redis: &mut redis::Connection, call: &[u8; 8], key: &str, asks: &[(i64, u32, &str)]) -> Vec<Vec<u8>> {
    let script = redis::Script::new(include_str!("../../../src/decisions/shared/windows.lua"));
    let mut prepared = script.prepare_invoke();
    prepared.arg(call);
    for (at_ms, seconds, what) in asks {
        prepared.key(key).arg(at_ms).arg(seconds).arg(what);
    }
    prepared.invoke(redis).unwrap()
}

#[test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Redis: run scripts/test.sh")]
fn a_call_that_is_repeated_counts_nothing_twice_and_what_is_kept_is_small_and_expires() {
    let mut redis = redis::Client::open(shared_redis()).unwrap().get_connection().unwrap();
    let key = format!("keyloft:test:{}", KeyId::random());
    let counts = |answers: &[Vec<u8>]| -> Vec<u8> { answers.iter().map(|bytes| bytes[17]).collect() };
    let asks = [(NOW_MS, 60, "e"), (NOW_MS, 60, "e")];
    assert_eq!(counts(&called(&mut redis, b"call one", &key, &asks)), [1, 2]);
    assert_eq!(counts(&called(&mut redis, b"call one", &key, &asks)), [2, 2], "its answer was lost");
    assert_eq!(counts(&called(&mut redis, b"call two", &key, &asks)), [3, 4]);
    assert_eq!(called(&mut redis, b"call 3..", &key, &[(NOW_MS, 60, "")])[0].len(), 18 + 4 * 4);
    let left_ms: u64 = redis::cmd("PTTL").arg(&key).query(&mut redis).unwrap();
    assert!((300_000..=360_000).contains(&left_ms), "{left_ms}");
    // Full, a window takes no more than in memory.
    let many: Vec<_> = (0..1000).map(|n| (NOW_MS + n, 60, "e")).collect();
    assert_eq!(called(&mut redis, b"call 4..", &key, &many)[999].len(), 18 + 64 * 4 + 8 + 17 * 4);
    let values: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    let many: Vec<_> = values.iter().map(|value| (NOW_MS, 60, value.as_str())).collect();
    assert_eq!(called(&mut redis, b"call 5..", &format!("{key}:v"), &many)[999].len(), 17 + 128 * 8);
    // What others have written is no window.
    let _: () = redis::cmd("SET").arg(&key).arg("hello").query(&mut redis).unwrap();
    assert_eq!(counts(&called(&mut redis, b"call 6..", &key, &asks)), [1, 2]);
    let _: () = redis::cmd("DEL").arg(&key).arg(format!("{key}:v")).query(&mut redis).unwrap();
}
