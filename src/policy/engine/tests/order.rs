//! Which of several things decides.

use serde_json::json;

use super::{Site, id, matched, part, policy, set};
use crate::policy::engine::{Clearance, Holds, Outcome, Outside, Reason, Verdict};
use crate::policy::entity::Entity;
use crate::policy::event::Door;
use crate::policy::set::{Challenge, CompiledPolicy, Level};

/// Every entity is held by these policies.
struct HeldBy(&'static [u32]);

impl Holds for HeldBy {
    fn until_ms(&self, policy: &CompiledPolicy, _: Entity) -> Option<i64> {
        self.0.iter().any(|number| policy.id.to_string() == id(*number)).then_some(super::NOW_MS + 1500)
    }
}

#[test]
fn all_policies_are_evaluated_and_the_strongest_decides() {
    let site = Site::new(set(
        json!({}),
        json!([
            policy(20, 10, json!({})),
            policy(23, 12, json!({"expression": "request_path == '/b'"})),
            policy(22, 12, json!({"expression": "request_path == '/b'"})),
            policy(21, 11, json!({"expression": "request_path != '/a'"})),
            policy(24, 12, json!({"enabled": false})),
        ]),
    ));
    let decision = site.request("/b", "203.0.113.7");
    let expected =
        [("p22", Outcome::Block), ("p23", Outcome::Block), ("p21", Outcome::Challenge), ("p20", Outcome::Observe)];
    assert_eq!(matched(&decision), expected.map(|(name, outcome)| (name.to_owned(), outcome)));
    assert_eq!((decision.verdict, decision.reason), (Verdict::Block, Reason::Policy));
    let decision = site.request("/c", "203.0.113.7");
    assert_eq!((decision.verdict, matched(&decision).len()), (Verdict::Challenge, 2));
    assert_eq!(decision.challenge().unwrap().level, Level::Medium);
    let decision = site.request("/a", "203.0.113.7");
    assert_eq!((decision.verdict, decision.reason), (Verdict::Allow, Reason::Policy));
    assert!(decision.challenge().is_none());
}

#[test]
fn actions_tell_what_an_event_is_and_policies_ask_for_them() {
    let site = Site::new(set(
        json!({}),
        json!([
            policy(20, 12, json!({"actionIds": [id(1)]})),
            policy(21, 12, json!({"actionIds": [id(9)]})),
            policy(22, 10, json!({"expression": "!action('login')"})),
        ]),
    ));
    let decision = site.request("/login", "203.0.113.7");
    assert_eq!(matched(&decision), [("p20".to_owned(), Outcome::Block)], "a disabled action is none");
    assert_eq!(decision.action_names(&site.set).collect::<Vec<_>>(), ["login"]);
    let decision = site.request("/other", "203.0.113.7");
    assert_eq!(matched(&decision), [("p22".to_owned(), Outcome::Observe)]);
}

#[test]
fn who_is_exempt_is_answered_as_if_there_were_no_policy_and_is_not_counted() {
    let window = json!({"entityDefinitionId": id(3), "window": {"seconds": 60, "threshold": 2}});
    let others = json!({"exempt": "request_header_x_probe == 'yes'"});
    let site = Site::new(set(others, json!([policy(20, 12, json!({})), policy(21, 12, window)])));
    let probe = json!({"clientIp": "203.0.113.7", "request": {"headers": {"X-Probe": "yes"}}});
    for _ in 0..5 {
        let decision =
            site.at_door(Door::Decide, &probe, Outside { holds: &HeldBy(&[20, 21]), ..Outside::at(site.now_ms) });
        assert_eq!((decision.verdict, decision.reason), (Verdict::Allow, Reason::Exempt));
        assert!(decision.matches.iter().all(|found| found.outcome == Outcome::Exempted));
        assert!(decision.holds.is_empty());
    }
    let decision = site.request("/", "203.0.113.7");
    assert_eq!(matched(&decision), [("p20".to_owned(), Outcome::Block)], "one of its network is not counted with it");
}

#[test]
fn a_held_entity_is_held_within_the_scope_of_the_policy_only() {
    let scope = json!({"expression": "request_path == '/a'", "actionIds": [id(1)], "entityDefinitionId": id(2)});
    let site = Site::new(set(json!({}), json!([policy(20, 13, scope), policy(21, 10, json!({}))])));
    let held = Outside { holds: &HeldBy(&[20]), ..Outside::at(site.now_ms) };
    let ask = |path: &str, outside| {
        let event = json!({"clientIp": "203.0.113.7", "request": {"path": path}});
        let decision = site.at_door(Door::Decide, &event, outside);
        (decision.verdict, decision.reason, decision.deciding().and_then(|found| found.retry_after_seconds))
    };
    assert_eq!(ask("/a", held), (Verdict::Block, Reason::Mitigation, Some(2)));
    assert_eq!(ask("/b", held), (Verdict::Allow, Reason::Policy, None), "another scope");
    assert_eq!(ask("/a", Outside { now_ms: site.now_ms + 1500, ..held }), (Verdict::Allow, Reason::Policy, None));
    assert_eq!(ask("/a", Outside::at(site.now_ms)), (Verdict::Allow, Reason::Policy, None));
}

#[test]
fn a_clearance_lifts_challenges_of_its_level_and_never_a_block() {
    let site = Site::new(set(
        json!({}),
        json!([policy(20, 11, json!({})), policy(21, 12, json!({"expression": "request_path == '/b'"}))]),
    ));
    let ask = |path: &str, level, is_weak| {
        let shown = [Clearance { level, is_weak, definition: None }];
        let outside = Outside { clearances: &shown, ..Outside::at(site.now_ms) };
        let decision = site.at_door(Door::Decide, &json!({"request": {"path": path}}), outside);
        (decision.verdict, decision.reason)
    };
    assert_eq!(ask("/", Level::Medium, false), (Verdict::Allow, Reason::Clearance));
    assert_eq!(ask("/", Level::High, false), (Verdict::Allow, Reason::Clearance));
    assert_eq!(ask("/", Level::Low, false), (Verdict::Challenge, Reason::Policy));
    assert_eq!(ask("/", Level::High, true), (Verdict::Challenge, Reason::Policy), "it waited, and that is not enough");
    assert_eq!(ask("/b", Level::High, false), (Verdict::Block, Reason::Policy));
}

#[test]
fn a_clearance_lifts_the_challenges_about_its_own_kind_of_entity_and_several_lift_their_own() {
    let about = |definition| json!({"entityDefinitionId": id(definition)});
    let policies = json!([policy(20, 11, about(2)), policy(21, 11, about(3)), policy(22, 11, json!({}))]);
    let site = Site::new(set(json!({}), policies));
    let of = |definition| Clearance { level: Level::Medium, is_weak: false, definition };
    let (ip, user) = (of(Some(part(2))), of(Some(part(3))));
    let ask = |shown: &[Clearance]| {
        let event = json!({"clientIp": "203.0.113.7", "request": {"path": "/"}});
        let decision = site.at_door(Door::Decide, &event, Outside { clearances: shown, ..Outside::at(site.now_ms) });
        let mut cleared = matched(&decision);
        cleared.retain(|(_, outcome)| *outcome == Outcome::Cleared);
        (decision.verdict, cleared.into_iter().map(|(name, _)| name).collect::<Vec<_>>())
    };
    assert_eq!(ask(&[]), (Verdict::Challenge, vec![]));
    assert_eq!(ask(&[ip]), (Verdict::Challenge, vec!["p20".to_owned()]));
    assert_eq!(ask(&[ip, of(None)]), (Verdict::Challenge, vec!["p20".to_owned(), "p22".to_owned()]));
    let all = vec!["p20".to_owned(), "p21".to_owned(), "p22".to_owned()];
    assert_eq!(ask(&[of(Some(part(4))), of(None), user, ip]), (Verdict::Allow, all));
}

#[test]
fn one_challenge_is_enough_for_all_policies_about_the_same_entities() {
    let mitigation = |number: u32, level: &str, ttl: u32, weak: bool| {
        json!({"mitigationId": id(number), "name": format!("m{number}"), "mode": "challenge",
            "challenge": {"level": level, "ttlSeconds": ttl, "acceptWeak": weak}})
    };
    let mitigations = json!({"mitigations": [mitigation(30, "low", 900, true), mitigation(31, "high", 60, false)]});
    let about = |path: &str| json!({"entityDefinitionId": id(2), "expression": format!("request_path != '{path}'")});
    let other = json!({"entityDefinitionId": id(3)});
    let site = Site::new(set(
        mitigations,
        json!([policy(20, 30, about("/b")), policy(21, 31, about("/a")), policy(22, 31, other)]),
    ));
    let asked = |path: &str| site.request(path, "203.0.113.7").challenge();
    let challenge = |level, ttl_seconds, accept_weak| Some(Challenge { level, ttl_seconds, accept_weak });
    assert_eq!(asked("/"), challenge(Level::High, 60, false));
    assert_eq!(asked("/a"), challenge(Level::Low, 900, true), "what is about others has its own");
}

#[test]
fn a_set_that_monitors_changes_no_answer_and_holds_nobody() {
    let policies = || {
        json!([
            policy(20, 12, json!({})),
            policy(21, 13, json!({"entityDefinitionId": id(2)})),
            policy(22, 11, json!({}))
        ])
    };
    let site = Site::new(set(json!({"mode": "monitor"}), policies()));
    let decision = site.request("/", "203.0.113.7");
    assert_eq!((decision.verdict, decision.matches.len(), decision.holds.len()), (Verdict::Allow, 3, 0));
    assert!(decision.matches.iter().all(|found| found.outcome == Outcome::Observe));
    assert!(decision.matches.iter().all(|found| found.retry_after_seconds.is_none()));
    let site = Site::new(set(json!({"mode": "off"}), policies()));
    assert_eq!(site.request("/", "203.0.113.7").matches.len(), 0);
    let site = Site::new(Default::default());
    assert_eq!(site.request("/", "203.0.113.7").reason, Reason::None);
}

#[test]
fn a_match_of_a_mitigation_that_lasts_holds_its_entity_unless_it_only_monitors() {
    let about = json!({"entityDefinitionId": id(2)});
    let site = Site::new(set(json!({}), json!([policy(20, 13, about.clone()), policy(21, 14, about)])));
    let decision = site.request("/", "203.0.113.7");
    let holds: Vec<_> = decision.holds.iter().map(|hold| (&*hold.policy.name, hold.until_ms)).collect();
    assert_eq!(holds, [("p20", site.now_ms + 600_000)]);
    assert_eq!(decision.holds[0].entity, decision.deciding().unwrap().entity.unwrap());
    assert_eq!(decision.deciding().unwrap().retry_after_seconds, Some(600));
    let held = Outside { holds: &HeldBy(&[20]), ..Outside::at(site.now_ms) };
    let again = site.at_door(Door::Decide, &json!({"clientIp": "203.0.113.7"}), held);
    assert!(again.holds.is_empty(), "what is held is not held for longer");
}
