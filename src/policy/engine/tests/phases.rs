//! Requests, answers, and lines of logs that are both.

use serde_json::{Value as Json, json};

use super::{Site, id, policy, set};
use crate::policy::engine::{Outside, Reason, Verdict};
use crate::policy::event::Door;

/// Five answers of 401 in a minute.
fn failures() -> Site {
    let window = json!({"seconds": 60, "threshold": 5, "count": "response_status == 401"});
    Site::new(set(json!({}), json!([policy(20, 12, json!({"entityDefinitionId": id(2), "window": window}))])))
}

fn answer(status: u32) -> Json {
    json!({"clientIp": "203.0.113.7", "request": {"path": "/login"}, "response": {"status": status}})
}

#[test]
fn a_window_over_answers_counts_each_answer_once_and_refuses_the_next_request() {
    let site = failures();
    for _ in 0..4 {
        assert_eq!(site.request("/login", "203.0.113.7").verdict, Verdict::Allow);
        assert!(site.decide(&answer(401)).matches.is_empty());
        assert!(site.decide(&answer(200)).matches.is_empty());
    }
    assert_eq!(site.request("/login", "203.0.113.7").verdict, Verdict::Allow, "requests are not answers");
    assert!(site.decide(&answer(401)).matches.is_empty(), "named for the request that is refused");
    let refused = site.request("/login", "203.0.113.7");
    let window = refused.deciding().unwrap().window.unwrap();
    assert_eq!(
        (refused.verdict, refused.reason, window.count, window.threshold),
        (Verdict::Block, Reason::Window, 5, 5)
    );
    assert_eq!(refused.deciding().unwrap().retry_after_seconds, Some(60));
    assert_eq!(site.request("/login", "203.0.113.8").verdict, Verdict::Allow);
}

#[test]
fn a_line_of_a_log_is_a_request_and_its_answer() {
    let site = failures();
    let ingest = |event: &Json| site.at_door(Door::Ingest, event, Outside::at(site.now_ms)).matches.len();
    let named: Vec<usize> = (0..6).map(|_| ingest(&answer(401))).collect();
    assert_eq!(named, [0, 0, 0, 0, 1, 1]);
}

#[test]
fn a_policy_is_named_for_a_request_or_for_its_answer_never_for_both() {
    let site = Site::new(set(
        json!({}),
        json!([
            policy(20, 10, json!({"expression": "request_path == '/login'"})),
            policy(21, 10, json!({"expression": "response_status == 401"})),
            policy(22, 10, json!({"actionIds": [id(1)]})),
        ]),
    ));
    let names = |event: &Json, door| -> Vec<String> {
        let decision = site.at_door(door, event, Outside::at(site.now_ms));
        decision.matches.iter().map(|found| found.policy.name.to_string()).collect()
    };
    let request = json!({"clientIp": "203.0.113.7", "request": {"path": "/login"}});
    assert_eq!(names(&request, Door::Decide), ["p20", "p22"]);
    assert_eq!(names(&answer(401), Door::Decide), ["p21"]);
    assert_eq!(names(&answer(401), Door::Ingest), ["p20", "p21", "p22"]);
}

#[test]
fn an_answer_that_crosses_a_window_holds_its_entity_at_once() {
    let window = json!({"seconds": 60, "threshold": 2, "count": "response_status == 401"});
    let about = json!({"entityDefinitionId": id(2), "window": window});
    let site = Site::new(set(json!({}), json!([policy(20, 13, about)])));
    assert!(site.decide(&answer(401)).holds.is_empty());
    let crossed = site.decide(&answer(401));
    assert_eq!((crossed.holds.len(), crossed.matches.len()), (1, 0));
}

#[test]
fn an_answer_that_was_our_decision_is_neither_counted_nor_named() {
    let site = failures();
    let own = json!({"clientIp": "203.0.113.7", "response": {"status": 401, "decision": "0193"}});
    for door in [Door::Decide, Door::Ingest] {
        for _ in 0..10 {
            assert!(site.at_door(door, &own, Outside::at(site.now_ms)).matches.is_empty());
        }
    }
    assert_eq!(site.request("/login", "203.0.113.7").verdict, Verdict::Allow);
}
