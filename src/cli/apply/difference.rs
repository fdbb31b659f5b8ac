//! The plan for people: what happens to which key.

use serde_json::Value;

use super::super::terminal::escaped;

/// A line for each step, and one for each field that changes.
pub(super) fn lines(plan: &[Value]) -> String {
    let width = plan.iter().map(|step| text(&step["keyName"]).chars().count()).max().unwrap_or_default();
    let mut lines = Vec::new();
    for step in plan {
        let name = text(&step["keyName"]);
        let (sign, action) = signed(step);
        let head = format!("{sign} {action:<6}  {name:<width$}  {}", text(&step["keyType"]));
        lines.push(escaped(head.trim_end()).into_owned());
        for (field, change) in step["changes"].as_object().into_iter().flatten() {
            let line = format!("    {field}: {} -> {}", text(&change["from"]), text(&change["to"]));
            lines.push(escaped(&line).into_owned());
        }
    }
    lines.join("\n")
}

/// How many steps of each kind.
pub(super) fn summary(plan: &[Value]) -> String {
    let count = |action: &str| plan.iter().filter(|step| step["action"] == action).count();
    let said = [("issue", "to issue"), ("update", "to update"), ("rotate", "to rotate"), ("revoke", "to revoke")];
    let counts = said.map(|(action, words)| (count(action), words));
    let parts: Vec<_> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}")).collect();
    if parts.is_empty() { "Nothing to change.".to_owned() } else { format!("{}.", parts.join(", ")) }
}

fn signed(step: &Value) -> (char, &str) {
    let action = step["action"].as_str().unwrap_or_default();
    let sign = match action {
        "issue" => '+',
        "rotate" => '↻',
        "revoke" => '-',
        "update" => '~',
        _ => '=',
    };
    (sign, action)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
        Value::Object(fields) if fields.is_empty() => "none".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_step_has_a_line_and_every_change_another() {
        let plan = [
            json!({"action": "issue", "keyName": "checkout", "keyType": "ingestion"}),
            json!({"action": "rotate", "keyName": "ci", "keyType": "query", "changes": {
                "limits": {"from": {}, "to": {"requests": {"perMinute": 1}}},
                "streams": {"from": ["web-*", "b\u{1b}"], "to": []},
            }}),
            json!({"action": "revoke", "keyName": "old", "keyType": "query"}),
        ];
        let expected = "\
+ issue   checkout  ingestion
↻ rotate  ci        query
    limits: none -> {\"requests\":{\"perMinute\":1}}
    streams: web-*,b\\u{1b} -> none
- revoke  old       query";
        assert_eq!(lines(&plan), expected);
        assert_eq!(summary(&plan), "1 to issue, 1 to rotate, 1 to revoke.");
        assert_eq!(summary(&[]), "Nothing to change.");
    }
}
