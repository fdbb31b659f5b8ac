//! Events out of streams, as policies judge them: those that shippers sent, and those of `keyloft_traffic`.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimestampMillisecondType};
use chrono::DateTime;

use super::columns::{self, Columns};
use super::traffic::{self, DOOR, OBSERVED_AT, OWN_DECISION, PHASE, TRUST_LEVEL};
use crate::key::StreamName;
use crate::policy::event::{Arrival, Door, Event, Names, comes_with_every_event, is_plain, kept_as};
use crate::policy::set::Traffic;
use crate::policy::{Field as PolicyField, Fields, Value};
use crate::stream::Field;
use crate::stream::columns::fields as fields_of;
use crate::stream::schema::{KEY_ID, OFFSET, SOURCE_ID, TIMESTAMP};
use crate::stream::system::TRAFFIC;

/// What the rows of the answer show of a request, whatever the policies read.
const SHOWN: [PolicyField; 4] =
    [PolicyField::RequestMethod, PolicyField::RequestHost, PolicyField::RequestPath, PolicyField::ResponseStatus];

/// How far the operator trusts the source of a key, by the id of the key.
pub type TrustLevels = dyn Fn(&str) -> Option<Arc<str>> + Send + Sync;

/// How the events of a stream are read.
#[derive(Debug, Clone)]
pub struct StoredStream {
    traffic: Traffic,
    fields: Vec<Field>,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    /// As somebody sent them.
    Sent(Names),
    /// As `keyloft_traffic` keeps them.
    Kept,
}

/// A field that policies read and a stream has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// The name of the field.
    pub field: String,
    /// Whether the stream has pseudonyms of it, which no expression can read.
    pub has_pseudonyms: bool,
}

impl StoredStream {
    /// A stream with these fields, whose events are read as `traffic` says.
    pub fn new(stream: &StreamName, traffic: &Traffic, fields: &[Field]) -> Self {
        let form = match stream.as_str() {
            TRAFFIC => Form::Kept,
            _ => Form::Sent(columns::names(traffic, fields)),
        };
        Self { traffic: traffic.clone(), fields: fields.to_vec(), form }
    }

    /// The columns that policies need which read these fields, our own included.
    pub fn columns<'f>(&self, sets: impl IntoIterator<Item = &'f Fields>) -> BTreeSet<Box<str>> {
        let wanted: Vec<&PolicyField> = sets.into_iter().flat_map(Fields::iter).chain(&SHOWN).collect();
        let reads = |field: PolicyField| wanted.contains(&&field);
        let mut columns: BTreeSet<Box<str>> = [TIMESTAMP, OFFSET].map(Into::into).into();
        columns.extend(reads(PolicyField::SourceId).then(|| SOURCE_ID.into()));
        let with_key = reads(PolicyField::KeyId) || reads(PolicyField::TrustLevel);
        columns.extend(with_key.then(|| KEY_ID.into()));
        columns.extend(self.time_columns());
        match &self.form {
            // Any value may be malformed.
            Form::Sent(names) if reads(PolicyField::RequestMalformed) => {
                columns.extend(names.theirs().flat_map(|dotted| self.columns_of(dotted)));
            }
            Form::Sent(names) => {
                let theirs = wanted.iter().flat_map(|field| names.of_field(field)).chain(names.of_kind());
                columns.extend(theirs.flat_map(|dotted| self.columns_of(dotted)));
            }
            Form::Kept => {
                columns.extend([DOOR, PHASE, OWN_DECISION, TRUST_LEVEL].map(Into::into));
                for field in wanted {
                    let field = kept_as(field);
                    columns.extend([true, false].map(|is_pseudonym| traffic::column(field, is_pseudonym).name));
                }
            }
        }
        columns
    }

    /// The columns that say when an event happened. Without any, it is when the event arrived.
    pub fn time_columns(&self) -> Vec<Box<str>> {
        match &self.form {
            Form::Sent(names) => {
                names.of_field(&PolicyField::ObservedAt).flat_map(|dotted| self.columns_of(dotted)).collect()
            }
            Form::Kept => vec![OBSERVED_AT.into()],
        }
    }

    fn columns_of<'s>(&'s self, dotted: &'s str) -> impl Iterator<Item = Box<str>> + 's {
        self.fields.iter().filter(move |field| columns::holds(field, dotted)).map(|field| field.name.clone())
    }

    fn has(&self, column: &Field) -> bool {
        self.fields.iter().any(|field| field.name == column.name)
    }

    /// The fields that policies read and the stream has not.
    pub fn lacks(&self, fields: &Fields) -> Vec<Lack> {
        let lack = |(field, is_read): (&PolicyField, bool)| {
            if comes_with_every_event(field) {
                return None;
            }
            let (has, has_pseudonyms) = match &self.form {
                Form::Sent(names) => {
                    (names.of_field(field).any(|dotted| self.columns_of(dotted).next().is_some()), false)
                }
                Form::Kept => {
                    let field = kept_as(field);
                    let has_pseudonyms = self.has(&traffic::column(field, true));
                    let has_values = is_plain(field) && self.has(&traffic::column(field, false));
                    (has_values || has_pseudonyms && !is_read, has_pseudonyms)
                }
            };
            (!has).then(|| Lack { field: field.name(), has_pseudonyms })
        };
        fields.uses().filter_map(lack).collect()
    }

    /// Events, whose batch has some of the columns of the stream; `None` when it is none of ours.
    pub fn rows(&self, batch: &RecordBatch) -> Option<StoredRows> {
        let column = |name: &str| batch.column_by_name(name).cloned();
        let theirs = fields_of(batch.schema_ref()).ok()?;
        let arrays: Vec<ArrayRef> = theirs.iter().filter_map(|field| column(&field.name)).collect();
        let rows = match &self.form {
            Form::Sent(_) => Rows::Sent(Columns::new(&self.traffic, &theirs, &arrays)),
            Form::Kept => Rows::Kept(KeptRows {
                observed_at: column(OBSERVED_AT)?,
                door: column(DOOR),
                phase: column(PHASE),
                own_decision: column(OWN_DECISION),
                trust_level: column(TRUST_LEVEL),
                values: theirs.iter().zip(arrays).filter_map(|(field, array)| kept(field, array)).collect(),
            }),
        };
        let arrived =
            column(TIMESTAMP).filter(|column| column.as_primitive_opt::<TimestampMillisecondType>().is_some())?;
        Some(StoredRows { rows, arrived, offset: column(OFFSET), key: column(KEY_ID), source: column(SOURCE_ID) })
    }
}

/// A column of `keyloft_traffic` that holds what was kept of a field.
fn kept(column: &Field, array: ArrayRef) -> Option<(PolicyField, ArrayRef)> {
    let name = column.name.strip_prefix(traffic::PSEUDONYM).unwrap_or(&column.name);
    let field =
        PolicyField::parse(name).ok().filter(|field| !comes_with_every_event(field) || *name == *"request_malformed");
    field.map(|field| (field, array))
}

/// Some events of a stream.
#[derive(Debug)]
pub struct StoredRows {
    rows: Rows,
    arrived: ArrayRef,
    offset: Option<ArrayRef>,
    key: Option<ArrayRef>,
    source: Option<ArrayRef>,
}

#[derive(Debug)]
enum Rows {
    Sent(Columns),
    Kept(KeptRows),
}

#[derive(Debug)]
struct KeptRows {
    observed_at: ArrayRef,
    door: Option<ArrayRef>,
    phase: Option<ArrayRef>,
    own_decision: Option<ArrayRef>,
    trust_level: Option<ArrayRef>,
    values: Vec<(PolicyField, ArrayRef)>,
}

impl StoredRows {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.arrived.len()
    }

    /// When the event of a row arrived, in milliseconds since 1970, and its place among those of its node.
    pub fn arrival(&self, row: usize) -> (i64, i64) {
        let offset = self.offset.as_ref().filter(|offset| !offset.is_null(row));
        let offset = offset.and_then(|offset| offset.as_primitive_opt::<Int64Type>()).map(|offset| offset.value(row));
        (self.arrived.as_primitive::<TimestampMillisecondType>().value(row), offset.unwrap_or(i64::MIN))
    }

    /// When the event of a row happened: before the last millisecond that there is.
    pub fn time(&self, row: usize, trust: &TrustLevels) -> i64 {
        self.event(row, trust, |event| event.observed_at_ms().min(i64::MAX - 1))
    }

    /// Hands on the event of a row, at the time that it says itself.
    pub fn event<T>(&self, row: usize, trust: &TrustLevels, then: impl FnOnce(&Event<'_>) -> T) -> T {
        let key_id = self.key.as_ref().and_then(|key| text(key, row));
        let source_id = self.source.as_ref().and_then(|source| text(source, row));
        let mut arrival = Arrival { key_id, source_id, ..Arrival::new(Door::Ingest, self.arrival(row).0) };
        match &self.rows {
            Rows::Sent(columns) => {
                let level = key_id.and_then(trust);
                arrival.trust_level = level.as_deref();
                columns.event(row, arrival, then)
            }
            Rows::Kept(kept) => {
                arrival.door = match kept.door.as_ref().and_then(|door| text(door, row)) {
                    Some("gateway") => Door::Gateway,
                    _ => Door::Decide,
                };
                arrival.trust_level = kept.trust_level.as_ref().and_then(|level| text(level, row));
                let observed_at = text(&kept.observed_at, row).and_then(|at| DateTime::parse_from_rfc3339(at).ok());
                let observed_at_ms = observed_at.map_or(arrival.received_at_ms, |at| at.timestamp_millis());
                let phase = traffic::phase(kept.phase.as_ref().and_then(|phase| text(phase, row)).unwrap_or_default());
                let own = kept.own_decision.as_ref().is_some_and(|own| value(own, row) == Value::Bool(true));
                let values = kept.values.iter().map(|(field, array)| (field, value(array, row)));
                let values = values.filter(|(_, value)| value.is_present());
                then(&Event::of_kept(arrival, observed_at_ms, phase, own, values))
            }
        }
    }
}

fn text(column: &ArrayRef, row: usize) -> Option<&str> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Utf8 => Some(column.as_string::<i32>().value(row)),
        DataType::Utf8View => Some(column.as_string_view().value(row)),
        _ => None,
    }
}

fn value(column: &ArrayRef, row: usize) -> Value<'_> {
    match column.data_type() {
        _ if column.is_null(row) => Value::Absent,
        DataType::Int64 => Value::Int(column.as_primitive::<Int64Type>().value(row)),
        DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
        _ => text(column, row).map_or(Value::Absent, |text| Value::Text(text.into())),
    }
}
