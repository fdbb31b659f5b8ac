//! The figures that an exact window gives on ten thousand requests of a real log.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{Site, id, policy, set};
use crate::policy::engine::{Outside, decide};
use crate::policy::event::{Arrival, Door, LogFormat};
use crate::policy::tests::traffic;

#[test]
fn the_figures_of_the_log_come_out() {
    let window = |seconds: u32, threshold: u32| json!({"seconds": seconds, "threshold": threshold});
    let about = |window| json!({"entityDefinitionId": id(2), "window": window});
    let mut errors = window(10, 10);
    errors["count"] = json!("response_status in [400, 403, 404]");
    let site = Site::new(set(
        json!({}),
        json!([
            policy(21, 10, about(window(60, 30))),
            policy(22, 10, about(window(60, 60))),
            policy(23, 10, about(window(300, 100))),
            policy(24, 10, about(errors)),
            policy(25, 10, json!({"expression": "response_status in [400, 403, 404]"})),
            policy(26, 10, json!({"expression": "user_agent.matches('(?i)bot|crawl|spider')"})),
            policy(27, 10, json!({"expression": "!has(user_agent)"})),
            policy(28, 10, json!({})),
        ]),
    ));
    let log = traffic("apache-combined.log");
    let read = |line: &str| {
        LogFormat::Combined.read(line.as_bytes(), Arrival::new(Door::Ingest, 0), |event| event.observed_at_ms())
    };
    let (mut sorted, mut unreadable) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(log.lines()) {
        match read(line) {
            Ok(at_ms) => sorted.push((at_ms, line)),
            Err(error) => unreadable.push((number, error.to_string())),
        }
    }
    sorted.sort_by_key(|(at_ms, _)| *at_ms);
    let mut named: BTreeMap<String, (usize, BTreeSet<_>)> = BTreeMap::new();
    for (at_ms, line) in sorted {
        let judge = |event: crate::policy::event::Event<'_>| {
            let decision = decide(&site.set, &site.state, &site.pseudonyms, &event, Outside::at(at_ms));
            for found in &decision.matches {
                let (requests, clients) = named.entry(found.policy.name.to_string()).or_default();
                *requests += 1;
                clients.extend(found.entity);
            }
        };
        LogFormat::Combined.read(line.as_bytes(), Arrival::new(Door::Ingest, 0), judge).unwrap();
    }
    let unclosed = "the line is not in the combined format: the user agent is not closed by a quote";
    assert_eq!(unreadable, [(8899, unclosed.to_owned())]);
    let figures = |name: &str| named.get(name).map_or((0, 0), |(requests, clients)| (*requests, clients.len()));
    assert_eq!(figures("p21"), (494, 31), "30 in 60 s");
    assert_eq!(figures("p22"), (90, 2), "60 in 60 s");
    assert_eq!(figures("p23"), (9, 1), "100 in 300 s");
    assert_eq!(figures("p24"), (0, 0), "10 errors in 10 s");
    let plain = ["p25", "p26", "p27", "p28"].map(|name| figures(name).0);
    assert_eq!(plain, [215, 1290, 190, 9999], "errors, bots, no user agent, all");
}
