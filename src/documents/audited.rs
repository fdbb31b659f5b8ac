//! What the change log shows of a document: the fields that a change has made different, before and after it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::key::{ApiKey, Attribution, OlderSecret, Tenant};

/// The longest text, in bytes; a longer one ends with `…`.
const MAX_TEXT: usize = 256;
/// The largest value that is no text, in bytes of JSON; in place of a larger one stands how large it is.
const MAX_VALUE: usize = 4096;
/// So many bytes of JSON in one view, and one value more. A last field `…` says how many are left out.
const MAX_VIEW: usize = 8 * 1024;

/// Fields by name.
pub type Fields = Map<String, Value>;

/// A document whose changes the change log shows.
pub trait Audited {
    /// What an admin may see of it, under the names that answers have: never a secret or a digest, and nothing that
    /// differs with each change, such as a revision.
    fn audited(&self) -> Fields;
}

/// The last write of a document, as the document says it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LastWrite {
    /// Which write; `None` in a file that was written by hand.
    pub write_id: Option<Uuid>,
    /// Who changed it, and by which request.
    pub by: Attribution,
    /// When.
    pub at: Option<DateTime<Utc>>,
}

/// What a change has made different. Bounded, so that an entry of the log holds those of many changes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Difference {
    /// The fields as they were; nothing of an object that is new.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub before: Option<Fields>,
    /// The fields as they are; nothing of an object that is gone.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub after: Option<Fields>,
}

impl Difference {
    /// The fields that differ between two states of a document: `None` where there is none.
    pub fn between<T: Audited>(before: Option<&T>, after: Option<&T>) -> Self {
        let (before, after) = (before.map(T::audited), after.map(T::audited));
        let (before, after) = match (before, after) {
            (Some(mut before), Some(mut after)) => {
                before.retain(|name, value| match after.get(name) == Some(value) {
                    true => after.remove(name).is_none(),
                    false => true,
                });
                (before, after)
            }
            (before, after) => (whole(before), whole(after)),
        };
        Self { before: bounded(before), after: bounded(after) }
    }

    /// Whether nothing is different, or known to be.
    pub fn is_empty(&self) -> bool {
        self.before.is_none() && self.after.is_none()
    }
}

/// A state that has no other to be compared with: what is not set says nothing.
fn whole(fields: Option<Fields>) -> Fields {
    let mut fields = fields.unwrap_or_default();
    fields.retain(|_, value| !value.is_null());
    fields
}

fn bounded(fields: Fields) -> Option<Fields> {
    let (count, mut bytes, mut view) = (fields.len(), 0, Fields::new());
    for (name, value) in fields {
        if bytes >= MAX_VIEW {
            let left = count - view.len();
            view.insert("…".to_owned(), left.into());
            break;
        }
        let value = bounded_value(value);
        bytes += name.len() + json_len(&value);
        view.insert(name, value);
    }
    (!view.is_empty()).then_some(view)
}

fn bounded_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(cut(text, MAX_TEXT)),
        value => match json_len(&value) {
            len if len > MAX_VALUE => Value::String(format!("… ({len} bytes)")),
            _ => value,
        },
    }
}

fn json_len(value: &Value) -> usize {
    serde_json::to_vec(value).map_or(0, |json| json.len())
}

/// At most `longest` bytes of a text, and `…` where that is not all.
fn cut(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest));
        text.push('…');
    }
    text
}

/// What a later version writes may be no object: it is not known then.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Fields>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Object(fields) => Ok(Some(fields)),
        _ => Ok(None),
    }
}

/// The fields of a JSON object.
pub fn fields(value: Value) -> Fields {
    match value {
        Value::Object(fields) => fields,
        _ => Fields::new(),
    }
}

impl Audited for ApiKey {
    fn audited(&self) -> Fields {
        let hint = |older: &OlderSecret| format!("…{}", older.hint.as_str());
        let older = |older: &OlderSecret| json!({"apiKeyHint": hint(older), "until": older.until});
        let mut view = fields(json!({
            "keyName": self.name.as_str(),
            "keyType": self.key_type,
            "state": self.state,
            "apiKeyHint": self.masked(),
            "ownSecret": self.own_secret,
            "olderSecrets": self.older.iter().map(older).collect::<Vec<_>>(),
            "expiresAt": self.expires_at,
        }));
        view.extend(fields(serde_json::to_value(&self.settings).unwrap_or_default()));
        view
    }
}

impl Audited for Tenant {
    /// A tombstone has nothing to show but that the events go too.
    fn audited(&self) -> Fields {
        if self.deleted {
            return if self.erased { fields(json!({"eventsErased": true})) } else { Fields::new() };
        }
        fields(json!({
            "name": self.name,
            "suspended": self.suspended,
            "limits": self.limits,
            "defaultKeyLifetimeSeconds": self.lifetimes.default_seconds,
            "maxKeyLifetimeSeconds": self.lifetimes.max_seconds,
            "retentionDays": self.retention_days,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Some3(Fields);

    impl Audited for Some3 {
        fn audited(&self) -> Fields {
            self.0.clone()
        }
    }

    fn document(value: Value) -> Some3 {
        Some3(fields(value))
    }

    fn between(before: Option<Value>, after: Option<Value>) -> Value {
        let (before, after) = (before.map(document), after.map(document));
        serde_json::to_value(Difference::between(before.as_ref(), after.as_ref())).unwrap()
    }

    #[test]
    fn only_what_differs_is_shown_and_a_state_alone_as_far_as_it_is_set() {
        let (old, new) = (json!({"a": 1, "b": [1], "c": null}), json!({"a": 1, "b": [2], "d": "x"}));
        let expected = json!({"before": {"b": [1], "c": null}, "after": {"b": [2], "d": "x"}});
        assert_eq!(between(Some(old.clone()), Some(new.clone())), expected);
        assert_eq!(between(None, Some(old.clone())), json!({"after": {"a": 1, "b": [1]}}));
        assert_eq!(between(Some(old.clone()), None), json!({"before": {"a": 1, "b": [1]}}));
        assert_eq!(between(Some(old.clone()), Some(old)), json!({}));
        assert_eq!(between(None, None), json!({}));
    }

    #[test]
    fn texts_values_and_views_are_bounded() {
        let long = "ä".repeat(1000);
        let view = between(None, Some(json!({"a": long, "b": {"x": long}, "c": vec![long; 5], "d": 1})));
        let after = view["after"].as_object().unwrap();
        assert_eq!(after["a"].as_str().unwrap(), format!("{}…", "ä".repeat(128)));
        assert_eq!((&after["b"]["x"], &after["c"]), (&json!("ä".repeat(1000)), &json!("… (10016 bytes)")));
        let many: Fields = (0..1000).map(|at| (format!("op-{at:04}"), json!({"role": "admin"}))).collect();
        let view = between(None, Some(Value::Object(many)));
        let shown = view["after"].as_object().unwrap();
        assert_eq!(shown["…"], json!(1000 - (shown.len() - 1)));
        assert!(view.to_string().len() < MAX_VIEW + MAX_VALUE && shown.len() > 100, "{}", shown.len());
    }

    #[test]
    fn what_a_later_version_says_otherwise_is_not_known() {
        let read: Difference = serde_json::from_str(r#"{"before": 7, "after": {"a": 1}}"#).unwrap();
        assert_eq!((read.before, read.after), (None, Some(fields(json!({"a": 1})))));
    }
}
