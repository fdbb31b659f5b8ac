//! What documents look like.

use serde_json::{Value, json};

use crate::policy::set::{Level, Mode, PolicySet, PolicySetDocument, SetMode, TrafficFormat, starters};

/// The example of the contract.
fn example() -> Value {
    let id = |number: u32| format!("00000000-0000-4000-8000-{number:012}");
    json!({
        "version": 1, "language": 1, "policySetVersion": 17, "createdAt": "2026-11-29T07:00:00.000Z",
        "createdBy": "admin", "comment": "slower", "restores": null, "writeId": id(9),
        "mode": "enforce", "exempt": "ip_in(client_ip, ['10.0.0.0/8'])",
        "traffic": {"streams": ["web-*"], "format": "ecs", "map": {}, "record": "matched"},
        "actions": [{"actionId": id(1), "name": "login", "enabled": true,
            "expression": "request_method == 'POST' && request_path == '/login'"}],
        "entities": [{"entityDefinitionId": id(2), "name": "ip-user-agent",
            "keyFields": ["client_network", "user_agent"], "matchExpression": null, "onMissing": "skip"}],
        "mitigations": [{"mitigationId": id(3), "name": "slow", "mode": "challenge", "durationSeconds": 600,
            "challenge": {"level": "medium", "ttlSeconds": 3600, "acceptWeak": false}}],
        "policies": [{"policyId": id(4), "name": "login-flood", "enabled": true, "priority": 100,
            "expression": "request_host == 'shop.example'", "actionIds": [id(1)], "entityDefinitionId": id(2),
            "mitigationId": id(3),
            "window": {"seconds": 300, "threshold": 20, "count": "response_status == 401", "distinct": null}}],
    })
}

#[test]
fn a_document_is_written_as_it_was_read() {
    let read: PolicySetDocument = serde_json::from_value(example()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), example());
    let (number, at) = (read.policy_set_version, read.created_at);
    let written = PolicySetDocument::new(read.clone().into_set(), number, at, read.created_by.clone());
    assert_eq!(written, PolicySetDocument { comment: None, write_id: None, ..read });
}

#[test]
fn what_a_set_leaves_out_is_empty_and_what_a_part_leaves_out_is_usual() {
    assert_eq!(serde_json::from_str::<PolicySet>("{}").unwrap(), PolicySet::default());
    let set: PolicySet = serde_json::from_value(json!({
        "actions": [{"name": "any", "expression": "true"}],
        "entities": [{"name": "who", "keyFields": ["client_ip"]}],
        "mitigations": [{"name": "ask", "mode": "challenge", "challenge": {}}],
        "policies": [{"name": "all", "mitigationId": "00000000-0000-4000-8000-000000000003"}],
    }))
    .unwrap();
    assert!(set.actions[0].enabled && set.policies[0].enabled);
    assert_eq!((set.policies[0].priority, set.mode), (100, SetMode::Enforce));
    let challenge = set.mitigations[0].challenge.clone().unwrap();
    assert_eq!((challenge.level, challenge.ttl_seconds, challenge.accept_weak), (Level::Medium, 3600, false));
    assert_eq!(set.traffic.format, TrafficFormat::Ecs);
}

#[test]
fn a_member_that_is_not_known_is_refused_at_every_depth() {
    for path in [
        "",
        "/traffic",
        "/actions/0",
        "/entities/0",
        "/mitigations/0",
        "/mitigations/0/challenge",
        "/policies/0",
        "/policies/0/window",
    ] {
        let mut document = example();
        document.pointer_mut(path).unwrap()["surprise"] = json!(1);
        let refused = serde_json::from_value::<PolicySetDocument>(document).unwrap_err().to_string();
        assert!(refused.contains("surprise"), "{path}: {refused}");
    }
}

#[test]
fn starters_have_names_and_ids_that_never_change() {
    let ids: Vec<String> = starters::entities()
        .iter()
        .map(|entity| format!("{} {:?}", entity.name, entity.entity_definition_id.unwrap()))
        .chain(starters::actions().iter().map(|action| format!("{} {:?}", action.name, action.action_id.unwrap())))
        .chain(starters::mitigations().iter().map(|part| format!("{} {:?}", part.name, part.mitigation_id.unwrap())))
        .collect();
    assert_eq!(
        ids,
        [
            "ip-user-agent 6b65796c-6f66-8000-8000-000000000201",
            "network 6b65796c-6f66-8000-8000-000000000202",
            "bot-crawlers 6b65796c-6f66-8000-8000-000000000101",
            "monitor 6b65796c-6f66-8000-8000-000000000301",
            "challenge 6b65796c-6f66-8000-8000-000000000302",
            "block 6b65796c-6f66-8000-8000-000000000303",
        ]
    );
    assert!(Mode::Monitor < Mode::Challenge && Mode::Challenge < Mode::Block, "the strongest mode wins");
}
