//! The attack requests of the OWASP Core Rule Set: whatever a client sends, the event is judged.

use serde_json::{Map, Value as Reference, json};

use super::{decide, field};
use crate::policy::Field;
use crate::policy::tests::traffic;

/// The event that a source makes of a request. A body is handed on as it is when it is JSON, else as text.
fn event(request: &Reference) -> Reference {
    let empty = Map::new();
    let headers: Map<String, Reference> = request["headers"]
        .as_object()
        .unwrap_or(&empty)
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().map_or_else(|| json!(value.to_string()), Reference::from)))
        .collect();
    let data = request["data"].as_str();
    let payload = data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!({"body": data})));
    json!({"clientIp": "203.0.113.7", "payload": payload,
        "request": {"method": request["method"], "path": request["uri"], "headers": headers}})
}

#[test]
fn every_request_of_the_core_rule_set_is_judged() {
    let requests = traffic("crs-requests.ndjson");
    let (mut read, mut malformed) = (0, 0);
    for line in requests.lines() {
        let request: Reference = serde_json::from_str(line).unwrap();
        let text = event(&request).to_string();
        if text.len() > 64 << 10 {
            continue;
        }
        let judged = decide(&text, |event| {
            for name in Field::names() {
                assert!(field(event, name).is_none_or(|text| text.len() <= 1024), "{name} of {line:.300}");
            }
            let path = field(event, "request_path");
            assert!(
                path.is_none_or(|path| path == "*" || path.starts_with('/') && !path.contains("//")),
                "{line:.300}"
            );
            field(event, "request_malformed").unwrap() == "true"
        });
        malformed += usize::from(judged.unwrap_or_else(|error| panic!("{error}: {line:.300}")));
        read += 1;
    }
    assert_eq!(read, 5050);
    assert_eq!(malformed, 19, "what is broken is marked");
}
