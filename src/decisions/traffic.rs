//! Requests on record, so that drafts of policies can be tried on them: the stream `keyloft_traffic`.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray};
use chrono::{DateTime, Utc};

use super::answer::Answer;
use super::recorded::Recorded;
use super::row::instant;
use crate::key::{KeyId, Label};
use crate::policy::entity::Pseudonyms;
use crate::policy::event::{Event, KeptField, Phase};
use crate::policy::set::CompiledSet;
use crate::policy::{Field as PolicyField, Kind, Value};
use crate::stream::system::TRAFFIC;
use crate::stream::{Field, FieldType};

/// When it happened, as the sender says.
pub const OBSERVED_AT: &str = "observed_at";
/// By which way it came.
pub const DOOR: &str = "door";
/// How far the operator trusted its source.
pub const TRUST_LEVEL: &str = "trust_level";
/// What it tells of: `request`, `response` or `both`.
pub const PHASE: &str = "phase";
/// Whether the answer was our own decision.
pub const OWN_DECISION: &str = "own_decision";
/// What stands before the name of a field whose value is kept as a pseudonym.
pub const PSEUDONYM: &str = "pseudonym_";

/// A row of `keyloft_traffic`: a request that was decided about. It holds no value of a cookie, of a header that may be
/// a credential, of a query or of a payload, and no address; what tells clients apart is a pseudonym.
#[derive(Debug, Clone)]
pub struct TrafficRow {
    key_id: Option<KeyId>,
    source_id: Option<Label>,
    trust_level: Option<String>,
    decision_id: String,
    observed_at: DateTime<Utc>,
    door: &'static str,
    phase: &'static str,
    action: &'static str,
    own_decision: bool,
    kept: Vec<(Field, KeptField)>,
}

impl TrafficRow {
    /// An event that `set` decided about. The entities and windows of the set say what tells clients apart.
    pub(super) fn new(set: &CompiledSet, pseudonyms: &Pseudonyms, event: &Event<'_>, answer: &Answer) -> Self {
        let arrival = event.arrival();
        let of_entities = set.entities.iter().flat_map(|entity| &entity.key);
        let told_apart = of_entities.chain(set.windows.iter().filter_map(|window| window.distinct.as_ref()));
        let kept = event.kept(pseudonyms, told_apart.filter_map(|slot| set.fields.get(*slot)));
        Self {
            key_id: arrival.key_id.and_then(|id| KeyId::parse(id).ok()),
            source_id: arrival.source_id.and_then(|source| Label::parse(source).ok()),
            trust_level: arrival.trust_level.map(str::to_owned),
            decision_id: answer.decision_id.clone(),
            observed_at: DateTime::from_timestamp_millis(event.observed_at_ms()).unwrap_or_default(),
            door: arrival.door.as_str(),
            phase: phase_name(event.phase()),
            action: answer.action.as_str(),
            own_decision: event.has_own_decision(),
            kept: kept.into_iter().map(|kept| (column(&kept.field, kept.is_pseudonym), kept)).collect(),
        }
    }
}

/// The column that holds what is kept of a field.
pub fn column(field: &PolicyField, is_pseudonym: bool) -> Field {
    let field_type = match field.kind() {
        _ if is_pseudonym => FieldType::Text,
        Kind::Int | Kind::Milliseconds => FieldType::Integer,
        Kind::Bool => FieldType::Boolean,
        Kind::Text | Kind::Ip | Kind::Any => FieldType::Text,
    };
    let prefix = if is_pseudonym { PSEUDONYM } else { "" };
    Field { name: format!("{prefix}{}", field.name()).into(), field_type }
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Request => "request",
        Phase::Response => "response",
        Phase::Both => "both",
    }
}

/// What an event tells of, by the word of its row.
pub fn phase(name: &str) -> Phase {
    match name {
        "response" => Phase::Response,
        "both" => Phase::Both,
        _ => Phase::Request,
    }
}

impl Recorded for TrafficRow {
    const STREAM: &'static str = TRAFFIC;

    fn about(&self) -> (Option<KeyId>, Option<Label>) {
        (self.key_id, self.source_id.clone())
    }

    fn weight(&self) -> usize {
        let of_kept = |(field, kept): &(Field, KeptField)| {
            let text = if let Value::Text(text) = &kept.value { text.len() } else { 0 };
            size_of::<(Field, KeptField)>() + field.name.len() + text
        };
        size_of::<Self>() + self.decision_id.len() + self.kept.iter().map(of_kept).sum::<usize>()
    }

    fn columns(rows: &[Self]) -> (Vec<Field>, Vec<ArrayRef>) {
        let texts = |text: &dyn Fn(&Self) -> Option<String>| -> ArrayRef {
            Arc::new(rows.iter().map(text).collect::<StringArray>())
        };
        let own: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.own_decision)).collect::<BooleanArray>());
        let mut columns = vec![
            ("decision_id".into(), FieldType::Text, texts(&|row| Some(row.decision_id.clone()))),
            (OBSERVED_AT.into(), FieldType::Text, texts(&|row| Some(instant(row.observed_at)))),
            (DOOR.into(), FieldType::Text, texts(&|row| Some(row.door.to_owned()))),
            (TRUST_LEVEL.into(), FieldType::Text, texts(&|row| row.trust_level.clone())),
            (PHASE.into(), FieldType::Text, texts(&|row| Some(row.phase.to_owned()))),
            ("action".into(), FieldType::Text, texts(&|row| Some(row.action.to_owned()))),
            (OWN_DECISION.into(), FieldType::Boolean, own),
        ];
        let mut found: Vec<&Field> = Vec::new();
        for (field, _) in rows.iter().flat_map(|row| &row.kept) {
            if !found.contains(&field) {
                found.push(field);
            }
        }
        for field in found {
            let of = |row: &Self| {
                let kept = row.kept.iter().find(|(own, _)| own == field);
                kept.map(|(_, kept)| kept.value.clone())
            };
            let column: ArrayRef = match field.field_type {
                FieldType::Integer => {
                    Arc::new(rows.iter().map(|row| of(row).and_then(|value| value.int())).collect::<Int64Array>())
                }
                FieldType::Boolean => {
                    Arc::new(rows.iter().map(|row| of(row).and_then(|value| value.bool())).collect::<BooleanArray>())
                }
                _ => texts(&|row| of(row).map(|value| value.text().into_owned())),
            };
            columns.push((field.name.clone(), field.field_type, column));
        }
        columns.into_iter().map(|(name, field_type, column)| (Field { name, field_type }, column)).unzip()
    }
}
