//! What is wrong with a set, all at once.

use serde_json::{Value as Json, json};

use crate::policy::set::{PolicySet, compile};

fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// The faults of a document, as text.
fn faults(document: Json) -> Vec<String> {
    let set: PolicySet = serde_json::from_value(document).unwrap();
    compile(&set).err().into_iter().flatten().map(|fault| fault.to_string()).collect()
}

#[test]
fn all_faults_of_a_set_are_found_at_once_each_with_its_place() {
    let found = faults(json!({
        "exempt": "ip_in(client_ip, ['10.0.0.0/8']",
        "traffic": {"streams": ["web-*", "Bad"], "format": "map", "map": {"client_ip": "", "nonsense": "a"}},
        "actions": [
            {"actionId": id(1), "name": "login", "expression": "request_method == 'post'"},
            {"actionId": id(1), "name": "login", "expression": "true"},
            {"actionId": id(2), "name": "Bad Name", "expression": "action('login')"},
        ],
        "entities": [
            {"entityDefinitionId": id(3), "name": "none", "keyFields": []},
            {"entityDefinitionId": id(4), "name": "weak", "keyFields": ["country", "request_method"]},
            {"entityDefinitionId": id(5), "name": "misspelt", "keyFields": ["client_ipp", "client_ip", "client_ip"]},
        ],
        "mitigations": [
            {"mitigationId": id(6), "name": "never", "mode": "block", "durationSeconds": 0},
            {"mitigationId": id(7), "name": "ask", "mode": "challenge", "challenge": {"ttlSeconds": 0}},
        ],
        "policies": [
            {"policyId": id(8), "name": "a", "mitigationId": id(99), "actionIds": [id(98)], "priority": 2_000_000,
                "entityDefinitionId": id(97)},
            {"policyId": id(9), "name": "b", "mitigationId": id(6), "enabled": false,
                "expression": "request_path == '/x' &&\n  requst_host == 'y'",
                "window": {"seconds": 0, "threshold": 100_001, "count": "1", "distinct": "x"}},
        ],
    }));
    let paths: Vec<&str> = found.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "traffic.streams[1]",
            "traffic.map.client_ip",
            "traffic.map.nonsense",
            "actions[1].name",
            "actions[1]",
            "actions[2].name",
            "entities[0].keyFields",
            "entities[2].keyFields[2]",
            "mitigations[0].durationSeconds",
            "mitigations[1].challenge.ttlSeconds",
            "policies[0].priority",
            "policies[1].window.seconds",
            "policies[1].window.threshold",
            "policies[1].window",
            "exempt:1:32",
            "actions[0].expression:1:19",
            "actions[2].expression:1:8",
            "entities[1].keyFields",
            "entities[2].keyFields[0]",
            "policies[0].actionIds[0]",
            "policies[0].entityDefinitionId",
            "policies[0].mitigationId",
            "policies[1].expression:2:3",
            "policies[1].window.distinct",
            "policies[1].window.count:1:1",
            "policies[1].mitigationId",
        ],
        "{found:#?}"
    );
    let said = |start: &str| found.iter().find(|fault| fault.starts_with(start)).unwrap().clone();
    assert_eq!(said("entities[2].keyFields[0]"), "entities[2].keyFields[0]: there is no field client_ipp (client_ip)");
    assert_eq!(said("policies[1].window.threshold"), "policies[1].window.threshold: this must be from 1 to 128");
    assert_eq!(
        said("policies[0].mitigationId"),
        format!("policies[0].mitigationId: there is no mitigation {}", id(99))
    );
}

#[test]
fn a_set_is_bounded() {
    let many = |kind: &str, count: u32, part: &dyn Fn(u32) -> Json| {
        let parts: Vec<Json> = (0..count).map(part).collect();
        faults(json!({kind: parts}))
    };
    let action = |number| json!({"actionId": id(number), "name": format!("a{number}"), "expression": "true"});
    assert_eq!(many("actions", 500, &action), Vec::<String>::new());
    assert_eq!(many("actions", 501, &action)[0], "actions: there are 501, and at most 500");
    let entity =
        |number| json!({"entityDefinitionId": id(number), "name": format!("e{number}"), "keyFields": ["client_ip"]});
    assert_eq!(many("entities", 101, &entity), ["entities: there are 101, and at most 100"]);
    let mitigation = |number| json!({"mitigationId": id(number), "name": format!("m{number}"), "mode": "block"});
    assert_eq!(many("mitigations", 51, &mitigation), ["mitigations: there are 51, and at most 50"]);
    let block = "6b65796c-6f66-8000-8000-000000000303";
    let policy = |number| json!({"policyId": id(number), "name": format!("p{number}"), "mitigationId": block});
    assert_eq!(many("policies", 200, &policy), Vec::<String>::new());
    assert_eq!(many("policies", 201, &policy), ["policies: there are 201, and at most 200"]);
    let large = |number| {
        json!({"actionId": id(number), "name": format!("a{number}"),
        "expression": format!("request_path == '/{}'", "x".repeat(2200))})
    };
    assert!(many("actions", 500, &large).contains(&"the set has more than 1 MiB".to_owned()));
}

#[test]
fn expressions_cost_within_a_budget_of_the_policy_and_of_the_set() {
    let block = "6b65796c-6f66-8000-8000-000000000303";
    let costly = |count: usize| vec!["user_agent.contains(request_path_raw)"; count].join(" || ");
    let policies = |count: u32, size: usize| -> Vec<String> {
        let policy = |number| {
            json!({"policyId": id(number), "name": format!("p{number}"), "mitigationId": block,
            "expression": costly(size)})
        };
        faults(json!({"policies": (0..count).map(policy).collect::<Vec<_>>()}))
    };
    assert_eq!(policies(1, 1), Vec::<String>::new());
    let size = (1..60).find(|size| !policies(1, *size).is_empty());
    if let Some(size) = size.filter(|size| *size > 1) {
        let found = policies(200, size - 1);
        assert!(found.last().is_some_and(|fault| fault.contains("cost") && fault.contains("100000")), "{found:?}");
    }
}
