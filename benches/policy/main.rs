//! What a decision costs in process: 100 policies with ten patterns, the same with three entities and ten windows among
//! a million clients, and a flood of ten million clients that come once. Run by `scripts/bench-policy.sh`; without its
//! word it does nothing.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use keyloft::policy::Value;
use keyloft::policy::engine::{Outside, decide};
use keyloft::policy::entity::{Entity, Pseudonyms};
use keyloft::policy::event::{Arrival, Door, Event, Text};
use keyloft::policy::set::{CompiledSet, EntityDefinitionId, PolicySet, compile, starters};
use keyloft::policy::window::{State, WindowKey};
use serde_json::json;

const TURNS: u32 = 7;
const CLIENTS: u32 = 1_000_000;
const FLOOD: u32 = 10_000_000;
const REGULARS: u32 = 100_000;

fn main() {
    // `cargo test` and clippy run benches with other arguments.
    if !std::env::args().any(|argument| argument == "decisions") {
        return;
    }
    policies();
    clients();
    flood();
}

/// 100 policies, ten of them with a pattern; with windows, ten of them count.
fn set(windows: bool) -> CompiledSet {
    let [both, network] = starters::entities();
    let own = "00000000-0000-4000-8000-000000005000";
    let policies: Vec<_> = (0..100u32)
        .map(|number| {
            let expression = match number {
                0..10 => format!("user_agent.matches('(?i)bot{number}|crawl{number}|spider')"),
                _ => format!("request_host == 'shop{number}.example' && request_path.startsWith('/x{number}')"),
            };
            let mut policy = json!({"policyId": format!("00000000-0000-4000-8000-{number:012}"),
                "name": format!("p{number}"), "expression": expression,
                "mitigationId": starters::mitigations()[2].mitigation_id});
            if windows && number >= 90 {
                let entities = [json!(both.entity_definition_id), json!(network.entity_definition_id), json!(own)];
                policy["entityDefinitionId"] = entities[number as usize % 3].clone();
                policy["window"] = json!({"seconds": 60 + number, "threshold": 100, "count": "has(client_ip)"});
            }
            policy
        })
        .collect();
    let entity = json!({"entityDefinitionId": own, "name": "own", "keyFields": ["client_ip", "request_header_accept"],
        "onMissing": "group"});
    let set: PolicySet = serde_json::from_value(json!({"entities": [entity], "policies": policies})).unwrap();
    compile(&set).unwrap()
}

fn event(client: u32) -> String {
    let [_, a, b, c] = client.to_be_bytes();
    json!({"clientIp": format!("10.{a}.{b}.{c}"), "request": {"method": "POST", "host": "shop.example", "path": "/login",
        "headers": {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120",
            "Accept": "*/*"}}})
    .to_string()
}

/// Decides about events, each read before, and says how long that took.
fn judged(set: &CompiledSet, state: &State, events: impl Iterator<Item = String>) -> Duration {
    let pseudonyms = Pseudonyms::new(b"secret", "acme");
    let mut taken = Duration::ZERO;
    for (at_ms, event) in (0i64..).zip(events) {
        let text = Text::new(event.as_bytes());
        let (json, _) = text.json().unwrap();
        let event = Event::of_decide(&json, Arrival::new(Door::Decide, at_ms / 1000)).unwrap();
        let start = Instant::now();
        black_box(decide(set, state, &pseudonyms, &event, Outside::at(at_ms / 1000)));
        taken += start.elapsed();
    }
    taken
}

fn policies() {
    const EVENTS: usize = 100_000;
    let (set, state) = (set(false), State::new(0));
    let mut times: Vec<_> =
        (0..TURNS).map(|_| judged(&set, &state, std::iter::repeat_with(|| event(1)).take(EVENTS)) / 100_000).collect();
    times.sort_unstable();
    println!("100 policies, 10 patterns: {:?} a decision, median of {TURNS} turns", times[times.len() / 2]);
}

fn clients() {
    let (set, state) = (set(true), State::new(512 << 20));
    for turn in ["first", "second"] {
        let time = judged(&set, &state, (0..CLIENTS).map(event)) / CLIENTS;
        let size = state.size();
        println!(
            "and 3 entities, 10 windows, {CLIENTS} clients, {turn} event of each: {time:?} a decision, {} bytes an entity",
            size.bytes / size.entries.max(1)
        );
    }
}

fn flood() {
    let pseudonyms = Pseudonyms::new(b"secret", "acme");
    let entity =
        |number: u32| -> Entity { pseudonyms.entity(EntityDefinitionId::default(), &[Value::Int(i64::from(number))]) };
    let (state, window) = (State::new(64 << 20), WindowKey::new(3600, ["flood"]));
    for at_ms in [0, 1] {
        (0..REGULARS).for_each(|number| _ = state.hit(entity(number), window, at_ms, None));
    }
    let start = Instant::now();
    (REGULARS..REGULARS + FLOOD).for_each(|number| _ = state.hit(entity(number), window, 1000, None));
    let time = start.elapsed() / FLOOD;
    let kept = (0..REGULARS).filter(|number| state.count(entity(*number), window, 1000) == 2).count();
    let size = state.size();
    println!(
        "{FLOOD} clients that come once, in 64 MiB: {time:?} each, {} entries in {} bytes; of {REGULARS} that came twice \
         {kept} are kept",
        size.entries, size.bytes
    );
    assert_eq!(kept, REGULARS as usize);
}
