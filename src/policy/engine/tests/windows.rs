//! Decisions by windows.

use serde_json::{Value as Json, json};

use super::{NOW_MS, Site, id, matched, policy, set};
use crate::policy::engine::{Outside, Reason, Verdict, decide};
use crate::policy::event::{Arrival, Door, Event, Text};

fn windowed(number: u32, mitigation: u32, seconds: u32, threshold: u32, others: Json) -> Json {
    let mut policy = policy(number, mitigation, others);
    policy["entityDefinitionId"] = json!(id(2));
    policy["window"] = json!({"seconds": seconds, "threshold": threshold});
    policy
}

/// A request at a time.
fn request(at_ms: i64) -> Json {
    let at = chrono::DateTime::from_timestamp_millis(at_ms).unwrap().to_rfc3339();
    json!({"clientIp": "203.0.113.7", "observedAt": at, "request": {"path": "/"}})
}

#[test]
fn a_policy_applies_from_its_threshold_on_and_says_when_to_come_again() {
    let site = Site::new(set(json!({}), json!([windowed(20, 12, 60, 3, json!({}))])));
    let at = |seconds: i64| site.decide(&request(NOW_MS + seconds * 1000));
    assert_eq!([at(0), at(10)].map(|decision| decision.verdict), [Verdict::Allow; 2]);
    let third = at(20);
    let found = third.deciding().unwrap();
    let window = found.window.unwrap();
    assert_eq!((window.count, window.threshold, window.seconds), (3, 3, 60));
    assert_eq!((third.verdict, third.reason, found.retry_after_seconds), (Verdict::Block, Reason::Window, Some(40)));
    assert_eq!(at(59).verdict, Verdict::Block);
    assert_eq!(site.request("/", "203.0.113.8").verdict, Verdict::Allow, "another client");
}

#[test]
fn policies_that_differ_in_threshold_share_counts_in_which_an_event_counts_once() {
    let low = windowed(20, 10, 60, 2, json!({}));
    let high = windowed(21, 12, 60, 4, json!({}));
    let site = Site::new(set(json!({}), json!([low, high])));
    let counts: Vec<Vec<String>> = (0..4)
        .map(|_| matched(&site.request("/", "203.0.113.7")).into_iter().map(|(name, _)| name).collect())
        .collect();
    assert_eq!(counts, [vec![], vec!["p20"], vec!["p20"], vec!["p21", "p20"]]);
    assert_eq!(site.state.size().entries, 1);
}

#[test]
fn counts_outlive_a_new_version_that_changes_threshold_name_or_mode() {
    let old = set(json!({}), json!([windowed(20, 12, 60, 50, json!({}))]));
    let mut site = Site::new(old);
    for _ in 0..9 {
        site.request("/", "203.0.113.7");
    }
    let mut changed = windowed(30, 11, 60, 10, json!({}));
    changed["name"] = json!("other");
    site.set = set(json!({}), json!([changed]));
    let tenth = site.request("/", "203.0.113.7");
    assert_eq!((tenth.verdict, tenth.deciding().unwrap().window.unwrap().count), (Verdict::Challenge, 10));
}

#[test]
fn windows_over_other_events_count_apart() {
    let any = windowed(20, 10, 60, 3, json!({}));
    let some = windowed(21, 12, 60, 3, json!({"expression": "request_path == '/a'"}));
    let login = windowed(22, 12, 60, 3, json!({"actionIds": [id(1)]}));
    let site = Site::new(set(json!({}), json!([any, some, login])));
    for path in ["/a", "/login"] {
        assert!(site.request(path, "203.0.113.7").matches.is_empty());
    }
    assert_eq!(matched(&site.request("/a", "203.0.113.7")).len(), 1);
    assert_eq!(site.state.size().entries, 3);
    assert_eq!(site.request("/a", "203.0.113.7").verdict, Verdict::Block);
    assert_eq!(site.request("/login", "203.0.113.7").verdict, Verdict::Allow);
}

#[test]
fn different_values_are_counted_where_a_window_says_so() {
    let mut spray = windowed(20, 12, 60, 3, json!({}));
    spray["window"]["distinct"] = json!("payload_user");
    let site = Site::new(set(json!({}), json!([spray])));
    let login = |user: Json| site.decide(&json!({"clientIp": "203.0.113.7", "payload": {"user": user}})).verdict;
    let verdicts = [json!("a"), json!("a"), json!("b"), json!(null), json!("b"), json!("c"), json!("a")].map(login);
    let (allow, block) = (Verdict::Allow, Verdict::Block);
    assert_eq!(verdicts, [allow, allow, allow, allow, allow, block, block]);
}

#[test]
fn an_event_without_the_fields_of_an_entity_has_none_unless_they_are_grouped() {
    let skip = windowed(20, 12, 60, 1, json!({}));
    let mut group = windowed(21, 12, 60, 2, json!({}));
    group["entityDefinitionId"] = json!(id(3));
    let site = Site::new(set(json!({}), json!([skip, group])));
    let first = site.decide(&json!({"request": {"path": "/"}}));
    assert_eq!(first.verdict, Verdict::Allow);
    let lacking: Vec<String> = first.without_entity.iter().map(ToString::to_string).collect();
    assert_eq!(lacking, [id(2)]);
    assert_eq!(site.decide(&json!({"request": {"path": "/"}})).verdict, Verdict::Block, "all of them are one");
}

#[test]
fn events_that_are_late_or_ahead_are_judged_without_windows_and_hold_nobody() {
    let held = windowed(20, 13, 60, 1, json!({}));
    let plain = policy(21, 10, json!({"expression": "request_path == '/plain'"}));
    let site = Site::new(set(json!({}), json!([held, plain])));
    let day_ms = 24 * 3_600_000;
    for (at_ms, is_late) in
        [(-day_ms - 1, true), (-day_ms, false), (0, false), (60_000, false), (60_001, true), (1 << 50, true)]
    {
        let event = Event::new(Arrival::new(Door::Decide, NOW_MS + at_ms));
        assert_eq!(decide(&site.set, &site.state, &site.pseudonyms, &event, Outside::at(NOW_MS)).is_late, is_late);
    }
    let late = site.decide(&request(NOW_MS - day_ms - 1));
    assert_eq!((late.verdict, late.reason, late.matches.len(), late.holds.len()), (Verdict::Allow, Reason::Late, 0, 0));
    assert_eq!(site.state.size().entries, 0);
    let mut plain = request(NOW_MS + 60_001);
    plain["request"]["path"] = json!("/plain");
    let ahead = site.decide(&plain);
    assert_eq!((ahead.is_late, ahead.reason, ahead.matches.len()), (true, Reason::Policy, 1));
}

#[test]
fn a_release_clears_the_count() {
    let site = Site::new(set(json!({}), json!([windowed(20, 12, 60, 3, json!({}))])));
    let ask = || site.request("/", "203.0.113.7");
    let third = [ask(), ask(), ask()];
    assert_eq!(third[2].verdict, Verdict::Block);
    site.state.forget(third[2].deciding().unwrap().entity.unwrap(), site.set.windows.iter().map(|window| window.key));
    assert_eq!(ask().verdict, Verdict::Allow);
}

#[test]
fn the_same_traffic_gives_the_same_decisions_and_the_same_state() {
    let policies =
        json!([windowed(20, 12, 5, 3, json!({})), windowed(21, 11, 60, 100, json!({})), policy(22, 10, json!({}))]);
    let run = || {
        let site = Site::new(set(json!({}), policies.clone()));
        let events = (0..2000i64).map(|number| {
            let event = json!({"clientIp": format!("203.0.113.{}", number * number % 7), "request": {"path": "/"}});
            let text = event.to_string();
            let text = Text::new(text.as_bytes());
            let (json, _) = text.json().unwrap();
            let at_ms = NOW_MS + number * number % 97 * 100;
            let event = Event::of_decide(&json, Arrival::new(Door::Decide, at_ms)).unwrap();
            format!("{:?}", decide(&site.set, &site.state, &site.pseudonyms, &event, Outside::at(NOW_MS)))
        });
        (events.collect::<Vec<_>>(), site.state.size())
    };
    assert!(run() == run());
}
