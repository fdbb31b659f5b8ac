//! Why a set decides as it does.

use serde_json::json;

use super::{Site, id, policy, set};
use crate::policy::engine::{Outcome, Outside, Verdict, explain};
use crate::policy::event::{Arrival, Door, Event, Text};

#[test]
fn an_explanation_is_the_decision_that_would_be_made_and_changes_nothing() {
    let scope = "request_path == '/login' && request_header_authorization == 'Basic hunter2' && has(client_ip)";
    let about = json!({"expression": scope, "actionIds": [id(1)], "entityDefinitionId": id(2),
        "window": {"seconds": 60, "threshold": 3}});
    let others = json!({"exempt": "request_query_token == 'hunter2'"});
    let site = Site::new(set(others, json!([policy(20, 13, about), policy(21, 10, json!({}))])));
    let event = json!({"clientIp": "203.0.113.7",
        "request": {"path": "/login", "headers": {"Authorization": "Basic hunter2"}}});
    let explained = |times: usize| {
        let text = event.to_string();
        let text = Text::new(text.as_bytes());
        let (json, _) = text.json().unwrap();
        let event = Event::of_decide(&json, Arrival::new(Door::Decide, site.now_ms)).unwrap();
        let mut last = None;
        for _ in 0..times {
            let explanation = explain(&site.set, &site.state, &site.pseudonyms, &event, Outside::at(site.now_ms));
            assert!(explanation.decision.holds.is_empty());
            last = Some((explanation.decision.verdict, serde_json::to_value(&explanation).unwrap()));
        }
        last.unwrap()
    };
    site.decide(&event);
    let (verdict, written) = explained(5);
    assert_eq!(verdict, Verdict::Allow);
    assert_eq!(written["policies"][0]["window"]["counted"], json!({"count": 2, "threshold": 3, "seconds": 60}));
    assert_eq!(written["policies"][0]["window"]["countsThisEvent"], json!(true));
    assert_eq!(written["policies"][1]["outcome"], json!(Outcome::Observe));
    site.decide(&event);
    let (verdict, written) = explained(1);
    assert_eq!((verdict, &written["policies"][0]["reason"]), (Verdict::Block, &json!("window")));
    assert!(written["policies"][0]["entity"].as_str().unwrap().starts_with("e_"));
    assert_eq!(written["actions"][0]["expression"]["truth"], json!(true));
    assert_eq!(written["exempt"]["truth"], json!(false));
    let steps = written["policies"][0]["expression"]["steps"].as_array().unwrap();
    assert!(steps.len() >= 2, "{steps:#?}");
    assert!(!written.to_string().contains("203.0.113.7"), "of an entity only the pseudonym is shown");
    let fields: Vec<_> = steps.iter().flat_map(|step| step["fields"].as_array().unwrap()).collect();
    assert!(fields.iter().all(|field| !field["value"].to_string().contains("hunter2")), "{fields:#?}");
    assert_eq!(site.decide(&event).verdict, Verdict::Block, "the third one that was counted");
}
