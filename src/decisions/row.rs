//! A decision on record: one row for each policy that matched a request.

use std::sync::Arc;

#[cfg(feature = "query")]
use arrow::array::{Array, AsArray};
use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray};
#[cfg(feature = "query")]
use arrow::datatypes::{DataType, Int64Type};
use chrono::{DateTime, SecondsFormat, Utc};
#[cfg(feature = "query")]
use serde_json::Value;

use super::recorded::Recorded;
use crate::key::{KeyId, Label, RequestId};
use crate::policy::engine::{Decision, Match};
use crate::policy::event::Event;
use crate::policy::set::CompiledSet;
use crate::stream::system::DECISIONS;
use crate::stream::{Field, FieldType};

/// A row of `keyloft_decisions`. It holds no value of a cookie, a header, a query or a payload; an entity is a
/// pseudonym.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionRow {
    /// The key that asked.
    pub key_id: Option<KeyId>,
    /// The system that asked.
    pub source_id: Option<Label>,
    /// The id of the decision, the same in all rows of a request.
    pub decision_id: String,
    /// When the request was seen, as its sender says.
    pub observed_at: DateTime<Utc>,
    /// `decide`, `gateway` or `ingest`.
    pub door: &'static str,
    /// By which version.
    pub policy_set_version: u64,
    /// The policy that matched.
    pub policy_id: String,
    /// What it was called then.
    pub policy_name: String,
    /// What the match did: `observe`, `challenge`, `block`, `exempted` or `cleared`.
    pub outcome: &'static str,
    /// What was answered: `allow`, `challenge` or `block`.
    pub action: &'static str,
    /// What the policy said.
    pub decided: &'static str,
    /// Why it matched: `policy`, `window` or `mitigation`.
    pub reason: &'static str,
    /// The names of the actions of the request.
    pub actions: Vec<String>,
    /// The definition of the entity.
    pub entity_definition_id: Option<String>,
    /// Its pseudonym.
    pub entity: Option<String>,
    /// How many events the window had.
    pub window_count: Option<u64>,
    /// The mitigation.
    pub mitigation_id: String,
    /// The method of the request.
    pub request_method: Option<String>,
    /// Its host.
    pub request_host: Option<String>,
    /// Its path, without the query.
    pub request_path: Option<String>,
    /// The status of its answer.
    pub response_status: Option<u16>,
    /// Whether it was too old for windows.
    pub late: bool,
}

impl DecisionRow {
    /// The rows of a decision: one for each policy that matched.
    pub(super) fn all(
        id: RequestId,
        policy_set_version: u64,
        set: &CompiledSet,
        decision: &Decision<'_>,
        event: &Event<'_>,
    ) -> Vec<Self> {
        if decision.matches.is_empty() {
            return Vec::new();
        }
        let key_id = event.arrival().key_id.and_then(|id| KeyId::parse(id).ok());
        Self::of(key_id, id.to_string(), policy_set_version, set, decision, event)
    }

    /// The same of an event of the past, for people to see: without an id, as nothing was recorded.
    #[cfg(feature = "query")]
    pub fn shown(number: u64, set: &CompiledSet, decision: &Decision<'_>, event: &Event<'_>) -> Vec<Value> {
        let rows = Self::of(None, String::new(), number, set, decision, event);
        let (fields, columns) = columns(&rows);
        let named = |row: usize| {
            let columns = fields.iter().zip(&columns).filter(|(field, _)| &*field.name != "decision_id");
            columns.map(|(field, column)| (field.name.to_string(), shown(column, row))).collect()
        };
        (0..rows.len()).map(|row| Value::Object(named(row))).collect()
    }

    /// The same for a key, under an id of the decision.
    fn of(
        key_id: Option<KeyId>,
        decision_id: String,
        policy_set_version: u64,
        set: &CompiledSet,
        decision: &Decision<'_>,
        event: &Event<'_>,
    ) -> Vec<Self> {
        let arrival = event.arrival();
        let (method, host, path) = event.request();
        let text = |text: Option<&str>| text.map(str::to_owned);
        let (method, host, path) = (text(method), text(host), text(path));
        let status = event.response_status().and_then(|status| u16::try_from(status).ok());
        let observed_at = DateTime::from_timestamp_millis(event.observed_at_ms()).unwrap_or_default();
        let actions: Vec<String> = decision.action_names(set).map(str::to_owned).collect();
        let row = |found: &Match<'_>| Self {
            key_id,
            source_id: arrival.source_id.and_then(|source| Label::parse(source).ok()),
            decision_id: decision_id.clone(),
            observed_at,
            door: arrival.door.as_str(),
            policy_set_version,
            policy_id: found.policy.id.to_string(),
            policy_name: found.policy.name.to_string(),
            outcome: found.outcome.as_str(),
            action: decision.verdict.as_str(),
            decided: found.policy.mode.as_str(),
            reason: found.reason.as_str(),
            actions: actions.clone(),
            entity_definition_id: found
                .policy
                .entity
                .and_then(|at| set.entities.get(at))
                .map(|entity| entity.id.to_string()),
            entity: found.entity.map(|entity| entity.to_string()),
            window_count: found.window.map(|window| u64::from(window.count)),
            mitigation_id: found.policy.mitigation.to_string(),
            request_method: method.clone(),
            request_host: host.clone(),
            request_path: path.clone(),
            response_status: status,
            late: decision.is_late,
        };
        decision.matches.iter().map(row).collect()
    }
}

impl Recorded for DecisionRow {
    const STREAM: &'static str = DECISIONS;

    fn about(&self) -> (Option<KeyId>, Option<Label>) {
        (self.key_id, self.source_id.clone())
    }

    fn weight(&self) -> usize {
        let texts = [&self.decision_id, &self.policy_id, &self.policy_name, &self.mitigation_id];
        let optional =
            [&self.entity_definition_id, &self.entity, &self.request_method, &self.request_host, &self.request_path];
        let texts: usize = texts.iter().map(|text| text.len()).sum();
        let optional: usize = optional.iter().filter_map(|text| text.as_ref()).map(String::len).sum();
        let actions: usize = self.actions.iter().map(|action| action.len() + 24).sum();
        size_of::<Self>() + texts + optional + actions
    }

    fn columns(rows: &[Self]) -> (Vec<Field>, Vec<ArrayRef>) {
        columns(rows)
    }
}

/// The fields of the stream, and the columns of these rows.
fn columns(rows: &[DecisionRow]) -> (Vec<Field>, Vec<ArrayRef>) {
    let texts = |text: &dyn Fn(&DecisionRow) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(text).collect::<StringArray>())
    };
    let numbers = |number: &dyn Fn(&DecisionRow) -> Option<u64>| -> ArrayRef {
        let number = |row| number(row).map(|number| i64::try_from(number).unwrap_or(i64::MAX));
        Arc::new(rows.iter().map(number).collect::<Int64Array>())
    };
    let late: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.late)).collect::<BooleanArray>());
    let columns = [
        ("decision_id", FieldType::Text, texts(&|row| Some(row.decision_id.clone()))),
        ("observed_at", FieldType::Text, texts(&|row| Some(instant(row.observed_at)))),
        ("door", FieldType::Text, texts(&|row| Some(row.door.to_owned()))),
        ("policy_set_version", FieldType::Integer, numbers(&|row| Some(row.policy_set_version))),
        ("policy_id", FieldType::Text, texts(&|row| Some(row.policy_id.clone()))),
        ("policy_name", FieldType::Text, texts(&|row| Some(row.policy_name.clone()))),
        ("outcome", FieldType::Text, texts(&|row| Some(row.outcome.to_owned()))),
        ("action", FieldType::Text, texts(&|row| Some(row.action.to_owned()))),
        ("decided", FieldType::Text, texts(&|row| Some(row.decided.to_owned()))),
        ("reason", FieldType::Text, texts(&|row| Some(row.reason.to_owned()))),
        ("actions", FieldType::Text, texts(&|row| Some(row.actions.join(",")))),
        ("entity_definition_id", FieldType::Text, texts(&|row| row.entity_definition_id.clone())),
        ("entity", FieldType::Text, texts(&|row| row.entity.clone())),
        ("window_count", FieldType::Integer, numbers(&|row| row.window_count)),
        ("mitigation_id", FieldType::Text, texts(&|row| Some(row.mitigation_id.clone()))),
        ("request_method", FieldType::Text, texts(&|row| row.request_method.clone())),
        ("request_host", FieldType::Text, texts(&|row| row.request_host.clone())),
        ("request_path", FieldType::Text, texts(&|row| row.request_path.clone())),
        ("response_status", FieldType::Integer, numbers(&|row| row.response_status.map(u64::from))),
        ("late", FieldType::Boolean, late),
    ];
    columns.into_iter().map(|(name, field_type, column)| (Field { name: name.into(), field_type }, column)).unzip()
}

/// A value of a row.
#[cfg(feature = "query")]
fn shown(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::Boolean => column.as_boolean().value(row).into(),
        _ => column.as_string::<i32>().value(row).into(),
    }
}

/// A time as rows have it.
pub(super) fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
