//! What objects hold, and what they cost.

use arrow::array::{Array, AsArray, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use chrono::DateTime;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use proptest::collection::vec;
use proptest::num::f64 as floats;
use proptest::prelude::*;

use crate::ingest::Reservation;
use crate::ingest::decode::{CommonFields, Framing, Text, decode};
use crate::ingest::write::{CHUNK_ROWS, COMPRESSED_BYTES, DecodedRequest, parquet};
use crate::key::{KeyId, Label};
use crate::stream::StreamSchema;
use crate::stream::schema::{KEY_ID, OFFSET, SOURCE_ID, TIMESTAMP};

fn request(body: &str) -> DecodedRequest {
    let text = Text::of_body(body.as_bytes(), Framing::Json);
    let batch = decode(&[text], &CommonFields::default(), &mut Reservation::unlimited()).unwrap().batch;
    let arrived_at = DateTime::from_timestamp_millis(1_763_780_645_123).unwrap();
    DecodedRequest { batch, key_id: KeyId::random(), source_id: Label::parse("web").ok(), arrived_at }
}

fn stream_of(requests: &[DecodedRequest]) -> StreamSchema {
    requests
        .iter()
        .fold(StreamSchema::default(), |schema, request| schema.widen(&request.batch.fields).unwrap().unwrap_or(schema))
}

fn written(requests: &[DecodedRequest]) -> RecordBatch {
    read(parquet(&stream_of(requests), requests, 7).unwrap())
}

fn read(body: Vec<u8>) -> RecordBatch {
    let body = bytes::Bytes::from(body);
    let reader = ParquetRecordBatchReaderBuilder::try_new(body).unwrap();
    let batches: Vec<_> = reader.with_batch_size(1 << 20).build().unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.len(), 1);
    batches[0].clone()
}

#[test]
fn every_row_carries_when_it_came_by_which_key_and_from_which_source() {
    let mut anonymous = request(r#"{"a":2}"#);
    anonymous.source_id = None;
    let requests = [request(r#"[{"a":1},{}]"#), anonymous];
    let rows = written(&requests);
    let times = rows[TIMESTAMP].as_primitive::<arrow::datatypes::TimestampMillisecondType>();
    assert_eq!(times.values().as_ref(), [1_763_780_645_123; 3]);
    let keys: Vec<_> = rows[KEY_ID].as_string::<i32>().iter().flatten().collect();
    let ids = [0, 0, 1].map(|at: usize| requests[at].key_id.to_string());
    assert_eq!(keys, ids);
    let sources: Vec<_> = rows[SOURCE_ID].as_string::<i32>().iter().collect();
    assert_eq!(sources, [Some("web"), Some("web"), None]);
    assert_eq!(rows[OFFSET].as_primitive::<Int64Type>().values().as_ref(), [7, 8, 9]);
}

#[test]
fn whole_numbers_become_floats_where_the_stream_holds_floats_and_missing_fields_are_null() {
    let rows = written(&[request(r#"{"n":1}"#), request(r#"{"n":1.5,"t":"x"}"#)]);
    assert_eq!(rows["n"].as_primitive::<Float64Type>().values().as_ref(), [1.0, 1.5]);
    assert_eq!(rows["t"].as_string::<i32>().iter().collect::<Vec<_>>(), [None, Some("x")]);
}

#[test]
fn an_object_has_the_columns_of_its_events_and_costs_what_they_cost() {
    let wide: Vec<String> = (0..990).map(|n| format!("\"c{n}\":\"v\"")).collect();
    let wide = request(&format!("{{{}}}", wide.join(",")));
    let stream = stream_of(std::slice::from_ref(&wide));
    let narrow = [request(r#"{"c500":"y","c7":"z"}"#), request(r#"{"c7":"x"}"#), request("{}")];
    let body = parquet(&stream, &narrow, 0).unwrap();
    assert!(body.len() < 2048, "{} bytes for three small events", body.len());
    let rows = read(body);
    let names: Vec<_> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, [TIMESTAMP, OFFSET, KEY_ID, SOURCE_ID, "c7", "c500"]);
    assert_eq!(rows["c7"].as_string::<i32>().iter().collect::<Vec<_>>(), [Some("z"), Some("x"), None]);
    assert_eq!(rows["c500"].as_string::<i32>().iter().collect::<Vec<_>>(), [Some("y"), None, None]);
    assert_eq!(*rows["p_timestamp"].data_type(), *stream.arrow().field(0).data_type());
    let one = parquet(&stream, &[wide], 0).unwrap();
    assert!(one.len() < 220_000, "{} bytes for one event of 990 fields", one.len());
}

#[test]
fn a_column_of_few_bytes_has_no_compressor() {
    let long = "x".repeat(COMPRESSED_BYTES);
    let requests = [request(&format!(r#"{{"short":"x","long":"{long}","n":7}}"#))];
    let body = bytes::Bytes::from(parquet(&stream_of(&requests), &requests, 0).unwrap());
    let object = ParquetRecordBatchReaderBuilder::try_new(body).unwrap();
    let columns = object.metadata().row_group(0).columns();
    let compressed = columns.iter().filter(|column| column.compression() != Compression::UNCOMPRESSED);
    let names: Vec<_> = compressed.map(|column| column.column_path().string()).collect();
    assert_eq!(names, ["long"]);
}

#[test]
fn requests_of_many_chunks_keep_their_order_and_their_nulls() {
    let body = |n: usize| if n.is_multiple_of(3) { "{}".to_owned() } else { format!("{{\"n{}\":{n}}}", n % 2) };
    let requests: Vec<_> = (0..2 * CHUNK_ROWS + 5).map(|n| request(&body(n))).collect();
    let rows = written(&requests);
    assert_eq!(rows.num_rows(), requests.len());
    let column = |n: usize| rows[format!("n{n}").as_str()].as_primitive::<Int64Type>();
    for n in 0..requests.len() {
        for of in [0, 1] {
            let expected = (n % 3 != 0 && n % 2 == of).then_some(n as i64);
            assert_eq!(column(of).is_valid(n).then(|| column(of).value(n)), expected, "{n}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn flat_events_come_back_as_they_were(
        events in vec((any::<Option<i64>>(), any::<Option<String>>(), any::<Option<bool>>(),
            proptest::option::of(floats::NORMAL | floats::SUBNORMAL | floats::ZERO)), 1..20)
    ) {
        let body: Vec<String> = events.iter().map(|(n, t, b, f)| {
            serde_json::json!({"n": n, "t": t, "b": b, "f": f}).to_string()
        }).collect();
        let rows = written(&[request(&body.join("\n"))]);
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
