//! Sets as they are evaluated.

use serde_json::{Value as Json, json};

use crate::policy::Field;
use crate::policy::set::{CompiledSet, Level, Mode, PolicySet, compile, starters};

fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn compiled(document: Json) -> CompiledSet {
    let set: PolicySet = serde_json::from_value(document).unwrap();
    compile(&set).unwrap()
}

#[test]
fn starters_are_known_without_saying_them_and_cost_nothing_where_nobody_names_them() {
    let empty = compiled(json!({}));
    assert_eq!((empty.actions.len(), empty.entities.len(), empty.fields.iter().len()), (0, 0, 0));
    let [bots] = starters::actions();
    let [both, network] = starters::entities();
    let [.., challenge, block] = starters::mitigations();
    let policy = |number: u32, others: Json| {
        let mut policy =
            json!({"policyId": id(number), "name": format!("p{number}"), "mitigationId": block.mitigation_id});
        policy.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
        policy
    };
    let set = compiled(json!({"policies": [
        policy(1, json!({"actionIds": [bots.action_id], "entityDefinitionId": both.entity_definition_id})),
        policy(2, json!({"mitigationId": challenge.mitigation_id, "entityDefinitionId": network.entity_definition_id})),
    ]}));
    let names: Vec<&str> =
        set.fields.iter().filter_map(|field| Field::names().find(|name| field.name() == *name)).collect();
    assert_eq!(names, ["user_agent", "client_network"]);
    assert_eq!((set.policies[0].mode, set.policies[1].mode), (Mode::Block, Mode::Challenge));
    assert_eq!(set.policies[1].challenge.as_ref().unwrap().level, Level::Medium);
    let by_name = compiled(json!({"policies": [policy(1, json!({"expression": "!action('bot-crawlers')"}))]}));
    assert_eq!(by_name.actions.len(), 1);
}

#[test]
fn a_part_of_the_sets_own_wins_over_a_starter_of_the_same_name() {
    let block = starters::mitigations()[2].mitigation_id;
    let set = compiled(json!({
        "actions": [{"actionId": id(1), "name": "bot-crawlers", "expression": "request_path == '/bots'"}],
        "policies": [{"policyId": id(2), "name": "p", "mitigationId": block, "expression": "action('bot-crawlers')"}],
    }));
    assert_eq!(set.fields.iter().next(), Some(&Field::RequestPath));
    let asked = set.actions.iter().find(|action| action.id.to_string() == id(1)).unwrap();
    let mut bits = crate::policy::ActionBits::default();
    bits.set(asked.slot);
    let values = crate::policy::Values::default();
    assert!(set.policies[0].scope.as_ref().unwrap().eval(&values, &bits));
}

/// What two documents count is the same, or not.
#[test]
fn windows_are_shared_by_what_they_count() {
    let keys = |policies: Json| {
        let block = starters::mitigations()[2].mitigation_id;
        let mut document = json!({
            "actions": [{"actionId": id(1), "name": "login", "expression": "request_path == '/login'"},
                {"actionId": id(2), "name": "answers", "expression": "response_status == 401"}],
            "entities": [{"entityDefinitionId": id(3), "name": "ip", "keyFields": ["client_ip"]}],
            "policies": policies,
        });
        for (number, policy) in (10..).zip(document["policies"].as_array_mut().unwrap()) {
            policy["policyId"] = json!(id(number));
            policy["name"] = json!(format!("p{number}"));
            policy["entityDefinitionId"] = json!(id(3));
            policy["mitigationId"] = json!(block);
        }
        compiled(document).windows.iter().map(|window| (window.key, window.reads_response)).collect::<Vec<_>>()
    };
    let window = |threshold: u32| json!({"seconds": 60, "threshold": threshold});
    assert_eq!(keys(json!([{"window": window(5)}, {"window": window(500)}])).len(), 1);
    let count = |count: &str| json!({"window": {"seconds": 60, "threshold": 5, "count": count}});
    let different = keys(json!([
        {"window": window(5)},
        {"window": {"seconds": 61, "threshold": 5}},
        {"window": window(5), "expression": "request_path == '/login'"},
        {"window": window(5), "actionIds": [id(1)]},
        {"window": window(5), "expression": "action('login')"},
        count("request_path == '/login'"),
        {"window": {"seconds": 60, "threshold": 5, "distinct": "user_agent"}},
        {"window": {"seconds": 60, "threshold": 5, "distinct": "request_path"}},
        count("action('answers')"),
        {"window": window(5), "actionIds": [id(2)]},
        {"window": window(5), "expression": "action('answers') && has(user_agent)"},
    ]));
    assert_eq!(different.len(), 11, "each counts something else");
    let reads: Vec<bool> = different.iter().map(|(_, reads_response)| *reads_response).collect();
    assert_eq!(reads, [vec![false; 8], vec![true; 3]].concat(), "those that answers are counted by");
    let once = keys(json!([{"window": window(5), "actionIds": [id(1)]}]));
    assert_eq!(once, [different[3]], "the same in another version");
}
