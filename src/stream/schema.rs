//! Which fields a stream has, and how it widens: new fields are added, whole numbers become floats, nothing else moves.

use std::collections::HashMap;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::columns::{columns, views};
use super::field::{Conflict, Field, FieldType};
use super::settings::StreamSettings;

pub use super::columns::{KEY_ID, OFFSET, RESERVED_PREFIX, SOURCE_ID, TIMESTAMP};
pub use super::field::MAX_FIELDS;

use crate::documents::{Document, Unreadable};
use crate::key::{StreamName, TenantId};
use crate::layout::ObjectName;

const VERSION: u32 = 1;

/// The fields of a stream, in the order in which they first came.
#[derive(Debug, Clone, Default)]
pub struct StreamSchema {
    fields: Vec<Field>,
    index: HashMap<Box<str>, usize>,
    settings: StreamSettings,
    /// Fields of the deleted stream that other nodes may still write.
    former: HashMap<Box<str>, FieldType>,
}

impl StreamSchema {
    /// The schema with these fields; of two with one name the first counts.
    pub fn new(fields: impl IntoIterator<Item = Field>) -> Self {
        let mut schema = Self::default();
        for field in fields {
            if !schema.index.contains_key(&field.name) {
                schema.push(field);
            }
        }
        schema
    }

    fn push(&mut self, field: Field) {
        self.index.insert(field.name.clone(), self.fields.len());
        self.fields.push(field);
    }

    /// What an operator has set of the stream.
    pub fn settings(&self) -> &StreamSettings {
        &self.settings
    }

    /// The same stream with these settings.
    #[must_use]
    pub fn with_settings(self, settings: StreamSettings) -> Self {
        let former = settings.deletion.iter().flat_map(|deletion| &deletion.former_fields);
        let former = former.map(|field| (field.name.clone(), field.field_type)).collect();
        Self { settings, former, ..self }
    }

    /// How many times the stream was deleted.
    pub fn deletions(&self) -> u64 {
        self.settings.deletion.as_ref().map_or(0, |deletion| deletion.number)
    }

    /// Whether the last deletion has left something to do.
    pub fn is_being_deleted(&self) -> bool {
        self.settings.deletion.as_ref().is_some_and(|deletion| deletion.pending)
    }

    /// Whether days of the last deletion are still to be emptied.
    pub fn is_being_emptied(&self) -> bool {
        self.settings.deletion.as_ref().is_some_and(|deletion| deletion.pending && deletion.change_seq.is_none())
    }

    /// Whether the stream was deleted, and nobody has used its name since.
    pub fn is_unused(&self) -> bool {
        self.settings.deletion.as_ref().is_some_and(|deletion| deletion.unused)
    }

    /// Whether objects may have fields of the stream that was deleted.
    pub fn has_former_fields(&self) -> bool {
        !self.former.is_empty()
    }

    /// Marks the name as in use again after a deletion.
    #[must_use]
    pub(super) fn used(mut self) -> Self {
        if let Some(deletion) = self.settings.deletion.as_mut().filter(|deletion| deletion.unused) {
            deletion.unused = false;
            self.settings.revision += 1;
        }
        self
    }

    /// The clients' fields, without our own.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The place of the field `name` in [`StreamSchema::fields`].
    pub fn position(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// What the field `name` holds.
    pub fn field_type(&self, name: &str) -> Option<FieldType> {
        self.index.get(name).map(|&at| self.fields[at].field_type)
    }

    /// The schema that also holds `batch`; `None` when this one does already.
    ///
    /// # Errors
    /// [`Conflict`] names the first field that does not fit.
    pub fn widen(&self, batch: &[Field]) -> Result<Option<Self>, Conflict> {
        let mut wider: Option<Self> = None;
        for Field { name, field_type: found } in batch {
            let current = wider.as_ref().unwrap_or(self);
            if let Some(former) = self.former.get(name)
                && let Some(union) = current.field_type(name).map_or(Some(*found), |known| known.union(*found))
                && former.union(union).is_none()
            {
                return Err(Conflict::Former { name: name.clone(), expected: *former });
            }
            match current.field_type(name) {
                Some(expected) => {
                    let Some(union) = expected.union(*found) else {
                        return Err(Conflict::between(name, expected, *found));
                    };
                    if union != expected {
                        let schema = wider.get_or_insert_with(|| self.clone());
                        let at = schema.index[name];
                        schema.fields[at].field_type = union;
                    }
                }
                None if current.fields.len() >= MAX_FIELDS => {
                    return Err(Conflict::TooManyFields { name: name.clone() });
                }
                None => {
                    wider.get_or_insert_with(|| self.clone()).push(Field { name: name.clone(), field_type: *found })
                }
            }
        }
        Ok(wider)
    }

    /// The schema that holds as many of `batches` as can be held together, in their order; `None` when this one does
    /// already. One answer for each batch: the [`Conflict`] of those that do not fit.
    pub fn widen_by_all(&self, batches: &[&[Field]]) -> (Option<Self>, Vec<Option<Conflict>>) {
        let mut wider: Option<Self> = None;
        let mut widen = |batch: &&[Field]| match wider.as_ref().unwrap_or(self).widen(batch) {
            Ok(widened) => {
                wider = widened.or(wider.take());
                None
            }
            Err(conflict) => Some(conflict),
        };
        let conflicts = batches.iter().map(&mut widen).collect();
        (wider, conflicts)
    }

    /// Whether this schema holds everything that `other` holds, and its settings are as new at least.
    pub fn holds(&self, other: &Self) -> bool {
        if self.deletions() != other.deletions() {
            return self.deletions() > other.deletions();
        }
        let (ours, theirs) = (&self.settings, &other.settings);
        let is_as_new = ours.revision > theirs.revision || ours == theirs;
        is_as_new && matches!(self.widen(&other.fields), Ok(None))
    }

    /// The columns of the stream as queries read them: our own, then the clients', those that were deleted and may
    /// still come included. Texts are views, so those of a page are not copied.
    pub fn arrow(&self) -> SchemaRef {
        views(&if self.former.is_empty() { columns(&self.fields) } else { columns(&self.fields_of_objects()) })
    }

    /// The fields that objects may have: those of the stream, and those that were deleted and may still come.
    pub(super) fn fields_of_objects(&self) -> Vec<Field> {
        let former = self.settings.deletion.iter().flat_map(|deletion| &deletion.former_fields).map(|field| {
            let now = self.field_type(&field.name).and_then(|now| now.union(field.field_type));
            Field { name: field.name.clone(), field_type: now.unwrap_or(field.field_type) }
        });
        let new = self.fields.iter().filter(|field| !self.former.contains_key(&field.name)).cloned();
        former.chain(new).collect()
    }
}

impl Document for StreamSchema {
    type Id = (TenantId, StreamName);

    const NAME: &'static str = "the schema of the stream";

    fn object((tenant, stream): &Self::Id) -> ObjectName {
        ObjectName::Schema { tenant: tenant.clone(), stream: stream.clone() }
    }

    fn parse(_: &Self::Id, body: &[u8]) -> Result<Self, Unreadable> {
        let explain = |error| Unreadable::explain("a stream's schema", VERSION, body, &error);
        let json: SchemaJson = serde_json::from_slice(body).map_err(explain)?;
        if json.version != VERSION {
            return Err(Unreadable::Version(json.version));
        }
        Ok(Self::new(json.fields).with_settings(json.settings))
    }

    #[allow(clippy::disallowed_methods)]
    fn to_bytes(&self) -> Bytes {
        let (fields, settings) = (self.fields.clone(), self.settings.clone());
        let json = SchemaJson { version: VERSION, fields, settings, write_id: Uuid::new_v4() };
        serde_json::to_vec_pretty(&json).unwrap_or_default().into()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaJson {
    version: u32,
    fields: Vec<Field>,
    #[serde(default, skip_serializing_if = "StreamSettings::is_default")]
    settings: StreamSettings,
    write_id: Uuid,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::OnInvalid;

    fn parse(body: &[u8]) -> StreamSchema {
        let id = (TenantId::default(), StreamName::parse("web").unwrap());
        StreamSchema::parse(&id, body).unwrap()
    }

    fn field(name: &str, field_type: FieldType) -> Field {
        Field { name: name.into(), field_type }
    }

    #[test]
    fn a_stream_widens_by_new_fields_and_from_whole_numbers_to_floats() {
        let schema = StreamSchema::new([field("n", FieldType::Integer)]);
        assert!(schema.widen(&[field("n", FieldType::Integer)]).unwrap().is_none());
        let wider = schema.widen(&[field("m", FieldType::Text), field("n", FieldType::Float)]).unwrap().unwrap();
        assert_eq!(wider.fields(), [field("n", FieldType::Float), field("m", FieldType::Text)]);
        assert!(wider.widen(&[field("n", FieldType::Integer)]).unwrap().is_none());
    }

    #[test]
    fn a_field_never_changes_its_type() {
        let schema = StreamSchema::new([field("n", FieldType::Integer), field("t", FieldType::Text)]);
        let error = schema.widen(&[field("n", FieldType::Text)]).unwrap_err();
        assert_eq!(error.to_string(), "the field `n` is integer in this stream, not text");
        assert!(schema.widen(&[field("t", FieldType::Boolean)]).is_err());
    }

    #[test]
    fn a_whole_number_that_a_float_cannot_hold_keeps_the_field_from_becoming_one() {
        let schema = StreamSchema::new([field("n", FieldType::Integer)]);
        let big = schema.widen(&[field("n", FieldType::BigInteger)]).unwrap().unwrap();
        assert!(big.widen(&[field("n", FieldType::Float)]).is_err());
        let float = StreamSchema::new([field("n", FieldType::Float)]);
        assert!(float.widen(&[field("n", FieldType::BigInteger)]).is_err());
    }

    #[test]
    fn many_batches_widen_at_once_and_those_that_do_not_fit_are_left_out() {
        let schema = StreamSchema::new([field("n", FieldType::Integer)]);
        let batches = [
            vec![field("a", FieldType::Text)],
            vec![field("n", FieldType::Text), field("never", FieldType::Text)],
            vec![field("n", FieldType::Float)],
            vec![field("a", FieldType::Boolean)],
            vec![field("n", FieldType::Integer), field("b", FieldType::Boolean)],
        ];
        let batches: Vec<&[Field]> = batches.iter().map(Vec::as_slice).collect();
        let (wider, conflicts) = schema.widen_by_all(&batches);
        let fits: Vec<_> = conflicts.iter().map(Option::is_none).collect();
        assert_eq!(fits, [true, false, true, false, true]);
        let wider = wider.unwrap();
        let expected = [field("n", FieldType::Float), field("a", FieldType::Text), field("b", FieldType::Boolean)];
        assert_eq!(wider.fields(), expected);
        let (again, conflicts) = wider.widen_by_all(&batches[..1]);
        assert!(again.is_none() && conflicts == [None]);
    }

    #[test]
    fn settings_stand_beside_the_fields_and_survive_a_widening() {
        let body = br#"{"version":1,"fields":[],"settings":{"revision":3,"onInvalid":"quarantine","modifiedBy":"admin",
            "later":[1]},"writeId":"00000000-0000-4000-8000-000000000000"}"#;
        let schema = parse(body).widen(&[field("n", FieldType::Integer)]).unwrap().unwrap();
        let written = String::from_utf8(schema.to_bytes().to_vec()).unwrap();
        assert!(written.contains("\"later\"") && written.contains("\"modifiedBy\": \"admin\""), "{written}");
        let again = parse(written.as_bytes());
        assert_eq!(again.settings(), schema.settings());
        assert_eq!((again.settings().revision, again.settings().on_invalid), (3, OnInvalid::Quarantine));
    }

    #[test]
    fn newer_settings_are_held_over_older_ones() {
        let with = |revision, on_invalid| {
            StreamSchema::default().with_settings(StreamSettings { revision, on_invalid, ..StreamSettings::default() })
        };
        let (old, new) = (with(1, OnInvalid::Reject), with(2, OnInvalid::Quarantine));
        assert!(new.holds(&old) && !old.holds(&new) && new.holds(&new.clone()));
        // A file that was changed by hand counts, also without a new number.
        assert!(!new.holds(&with(2, OnInvalid::Reject)));
    }

    #[test]
    fn the_thousand_and_first_field_is_refused() {
        let full = StreamSchema::new((0..MAX_FIELDS).map(|n| field(&format!("f{n}"), FieldType::Text)));
        assert!(full.widen(&[field("f0", FieldType::Text)]).is_ok());
        assert!(matches!(full.widen(&[field("x", FieldType::Text)]), Err(Conflict::TooManyFields { .. })));
    }

    #[test]
    fn a_golden_schema_parses_for_ever() {
        use FieldType::{BigInteger, Boolean, Float, Integer, Text};
        let schema = parse(include_bytes!("../../fixtures/stream/v1/schema.json"));
        let types: Vec<_> = schema.fields().iter().map(|field| field.field_type).collect();
        assert_eq!(types, [Boolean, Integer, BigInteger, Float, Text]);
        let write_id = |text: &str| text.lines().filter(|line| !line.contains("writeId")).collect::<String>();
        let written = String::from_utf8(schema.to_bytes().to_vec()).unwrap();
        assert_eq!(write_id(&written), write_id(include_str!("../../fixtures/stream/v1/schema.json")));
    }

    #[test]
    fn a_stream_that_was_deleted_reads_what_may_still_come_and_takes_nothing_that_contradicts_it() {
        let golden = include_str!("../../fixtures/stream/v1/deleted-schema.json");
        let schema = parse(golden.as_bytes());
        let (read, written) =
            (|text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap(), schema.to_bytes());
        assert_eq!(read(std::str::from_utf8(&written).unwrap())["settings"], read(golden)["settings"]);
        let columns: Vec<_> = schema.arrow().fields().iter().skip(3).map(|field| field.to_string()).collect();
        let named =
            |name: &str, held: &str| columns.iter().any(|column| column.contains(name) && column.contains(held));
        assert!(named("path", "Utf8View") && named("status", "Float64") && named("later", "Utf8View"), "{columns:?}");
        assert!(schema.widen(&[field("path", FieldType::Integer)]).is_err());
        assert!(schema.widen(&[field("status", FieldType::BigInteger)]).is_err(), "a float may still come");
        assert!(schema.widen(&[field("path", FieldType::Text), field("new", FieldType::Integer)]).unwrap().is_some());
        let before = StreamSchema::new([field("gone", FieldType::Text)]);
        assert!(schema.holds(&before) && !before.holds(&schema), "a deletion wins, whatever fields there were");
    }

    #[test]
    fn a_schema_reads_back() {
        let schema = StreamSchema::new([field("b", FieldType::BigInteger), field("a", FieldType::Text)]);
        assert_eq!(parse(&schema.to_bytes()).fields(), schema.fields());
    }
}
