//! The batches of a group as one Parquet object.

use std::iter::repeat_n;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMillisecondArray, new_null_array};
use arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef};
use chrono::{DateTime, Utc};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::Batch;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{KeyId, Label};
use crate::stream::StreamSchema;
use crate::stream::schema::{KEY_ID, SOURCE_ID, TIMESTAMP};

/// Small enough that a query skips most of an object by its statistics.
const ROW_GROUP_ROWS: usize = 128 * 1024;

/// The events of one request, and what is known of where they came from.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The events.
    pub batch: Batch,
    /// The key that was presented: `p_key_id` of every row.
    pub key_id: KeyId,
    /// The source of that key: `p_source_id` of every row.
    pub source_id: Option<Label>,
    /// When the request arrived: `p_timestamp` of every row.
    pub arrived_at: DateTime<Utc>,
}

/// One Parquet object with the rows of all `arrivals`, in their order, in the columns of `schema`. Works on the CPU for
/// as long as it takes: not for an async thread.
///
/// # Errors
/// [`ErrorKind::Internal`] when a batch does not fit `schema`, which must have been widened by all of them.
pub fn parquet(schema: &StreamSchema, arrivals: &[Arrival]) -> Result<Vec<u8>> {
    let schema = schema.arrow();
    encode(&schema, arrivals.iter().map(|arrival| align(&schema, &arrival.batch, arrival.ours())))
}

/// The same for rows that each speak of a key of its own.
///
/// # Errors
/// As for [`parquet()`].
pub fn parquet_by_key(
    schema: &StreamSchema,
    batch: &Batch,
    keys: &[(KeyId, Option<Label>)],
    arrived_at: DateTime<Utc>,
) -> Result<Vec<u8>> {
    let schema = schema.arrow();
    let ours = Ours {
        arrived_at: timestamps(arrived_at, keys.len()),
        key_ids: Arc::new(StringArray::from_iter_values(keys.iter().map(|(key_id, _)| key_id.to_string()))),
        source_ids: Arc::new(
            keys.iter().map(|(_, source)| source.as_ref().map(Label::as_str)).collect::<StringArray>(),
        ),
    };
    encode(&schema, [align(&schema, batch, ours)].into_iter())
}

fn encode(schema: &SchemaRef, batches: impl Iterator<Item = Result<RecordBatch>>) -> Result<Vec<u8>> {
    let level = ZstdLevel::try_new(1).map_err(internal)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_created_by("keyloft".to_owned())
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties)).map_err(internal)?;
    for batch in batches {
        writer.write(&batch?).map_err(internal)?;
    }
    writer.into_inner().map_err(internal)
}

/// The columns that clients cannot set.
struct Ours {
    arrived_at: ArrayRef,
    key_ids: ArrayRef,
    source_ids: ArrayRef,
}

impl Arrival {
    fn ours(&self) -> Ours {
        let rows = self.batch.rows;
        let source = self.source_id.as_ref().map(Label::as_str);
        Ours {
            arrived_at: timestamps(self.arrived_at, rows),
            key_ids: Arc::new(StringArray::from_iter_values(repeat_n(self.key_id.to_string(), rows))),
            source_ids: Arc::new(repeat_n(source, rows).collect::<StringArray>()),
        }
    }
}

fn timestamps(at: DateTime<Utc>, rows: usize) -> ArrayRef {
    let millis = repeat_n(at.timestamp_millis(), rows);
    Arc::new(TimestampMillisecondArray::from_iter_values(millis).with_timezone("UTC"))
}

/// The rows of one request in the columns of the stream.
fn align(schema: &SchemaRef, batch: &Batch, ours: Ours) -> Result<RecordBatch> {
    let Batch { fields, rows, columns } = batch;
    let mut aligned: Vec<Option<ArrayRef>> = vec![None; schema.fields().len()];
    for (field, column) in fields.iter().zip(columns) {
        let Some((at, target)) = schema.column_with_name(&field.name) else {
            return Err(Error::new(ErrorKind::Internal, "a field is missing from its stream"));
        };
        aligned[at] = Some(cast(column, target.data_type()));
    }
    let columns = schema.fields().iter().zip(aligned).map(|(field, column)| -> ArrayRef {
        match (column, field.name().as_str()) {
            (_, TIMESTAMP) => ours.arrived_at.clone(),
            (_, KEY_ID) => ours.key_ids.clone(),
            (_, SOURCE_ID) => ours.source_ids.clone(),
            (Some(column), _) => column,
            (None, _) => new_null_array(field.data_type(), *rows),
        }
    });
    RecordBatch::try_new(schema.clone(), columns.collect()).map_err(internal)
}

/// Whole numbers become floats where the stream holds floats; the schema has seen to it that none loses a digit.
fn cast(column: &ArrayRef, target: &DataType) -> ArrayRef {
    match (column.data_type(), target) {
        (DataType::Int64, DataType::Float64) => {
            Arc::new(column.as_primitive::<Int64Type>().unary::<_, Float64Type>(|value| value as f64))
        }
        _ => column.clone(),
    }
}

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, "the events cannot be written as Parquet").caused_by(error)
}

#[cfg(test)]
mod tests {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::ingest::decode::{CommonFields, Framing, Text, decode};

    fn arrival(body: &str) -> Arrival {
        let batch = decode(&[Text::of_body(body.as_bytes(), Framing::Json)], &CommonFields::default()).unwrap().batch;
        let arrived_at = DateTime::from_timestamp_millis(1_763_780_645_123).unwrap();
        Arrival { batch, key_id: KeyId::random(), source_id: Label::parse("web").ok(), arrived_at }
    }

    fn written(arrivals: &[Arrival]) -> RecordBatch {
        let schema = arrivals.iter().fold(StreamSchema::default(), |schema, arrival| {
            schema.widen(&arrival.batch.fields).unwrap().unwrap_or(schema)
        });
        let body = bytes::Bytes::from(parquet(&schema, arrivals).unwrap());
        let reader = ParquetRecordBatchReaderBuilder::try_new(body).unwrap();
        let batches: Vec<_> = reader.with_batch_size(1 << 20).build().unwrap().map(Result::unwrap).collect();
        assert_eq!(batches.len(), 1);
        batches[0].clone()
    }

    #[test]
    fn every_row_carries_when_it_came_by_which_key_and_from_which_source() {
        let mut anonymous = arrival(r#"{"a":2}"#);
        anonymous.source_id = None;
        let arrivals = [arrival(r#"[{"a":1},{}]"#), anonymous];
        let rows = written(&arrivals);
        let times = rows[TIMESTAMP].as_primitive::<arrow::datatypes::TimestampMillisecondType>();
        assert_eq!(times.values().as_ref(), [1_763_780_645_123; 3]);
        let keys: Vec<_> = rows[KEY_ID].as_string::<i32>().iter().flatten().collect();
        let ids = [0, 0, 1].map(|at: usize| arrivals[at].key_id.to_string());
        assert_eq!(keys, ids);
        let sources: Vec<_> = rows[SOURCE_ID].as_string::<i32>().iter().collect();
        assert_eq!(sources, [Some("web"), Some("web"), None]);
    }

    #[test]
    fn whole_numbers_become_floats_where_the_stream_holds_floats_and_missing_fields_are_null() {
        let rows = written(&[arrival(r#"{"n":1}"#), arrival(r#"{"n":1.5,"t":"x"}"#)]);
        assert_eq!(rows["n"].as_primitive::<Float64Type>().values().as_ref(), [1.0, 1.5]);
        assert_eq!(rows["t"].as_string::<i32>().iter().collect::<Vec<_>>(), [None, Some("x")]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn flat_events_come_back_as_they_were(
            events in vec((any::<Option<i64>>(), any::<Option<String>>(), any::<Option<bool>>(),
                proptest::option::of(proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO)), 1..20)
        ) {
            let body: Vec<String> = events.iter().map(|(n, t, b, f)| {
                serde_json::json!({"n": n, "t": t, "b": b, "f": f}).to_string()
            }).collect();
            let rows = written(&[arrival(&body.join("\n"))]);
            prop_assert_eq!(rows.num_rows(), events.len());
            let null = |name: &str| new_null_array(&match name {
                "n" => DataType::Int64, "t" => DataType::Utf8, "b" => DataType::Boolean, _ => DataType::Float64,
            }, events.len());
            let column = |name: &str| rows.column_by_name(name).cloned().unwrap_or_else(|| null(name));
            let (n, t, b, f) = (column("n"), column("t"), column("b"), column("f"));
            for (at, event) in events.iter().enumerate() {
                prop_assert_eq!(n.is_valid(at).then(|| n.as_primitive::<Int64Type>().value(at)), event.0);
                prop_assert_eq!(t.is_valid(at).then(|| t.as_string::<i32>().value(at).to_owned()), event.1.clone());
                prop_assert_eq!(b.is_valid(at).then(|| b.as_boolean().value(at)), event.2);
                let float = f.is_valid(at).then(|| f.as_primitive::<Float64Type>().value(at).to_bits());
                prop_assert_eq!(float, event.3.map(f64::to_bits));
            }
        }
    }
}
