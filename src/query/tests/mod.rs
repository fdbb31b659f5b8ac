//! The engine as its callers see it.

mod answers;
mod checked_arithmetic;
mod clauses;
mod correct;
mod damaged;
mod differential;
mod exact;
mod filters;
mod functions;
mod hostile;
mod isolation;
mod json;
mod kept;
mod nulls;
mod numbers;
mod objects;
mod orders;
mod reads;
mod sliding;
mod stopping;
mod times;
mod unreadable;
mod wording;

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use parquet::arrow::ArrowWriter;
use uuid::Uuid;

use super::{Engine, Format, QueryRequest, QuerySettings, Scope};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{StreamName, StreamPattern, Streams, TenantId};
use crate::layout::ObjectName;
use crate::store::Bucket;
use crate::store::types::object_path;
use crate::stream::{Field, FieldType, StreamCatalog};

/// A bucket with an engine over it.
struct House {
    bucket: Bucket,
    catalog: Arc<StreamCatalog>,
    engine: Engine,
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn floats(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn everything(tenant: &str) -> Scope {
    Scope { tenant: TenantId::parse(tenant).unwrap(), access: Arc::new(Streams::All) }
}

fn only(tenant: &str, pattern: &str) -> Scope {
    let streams = Streams::try_from(vec![StreamPattern::parse(pattern).unwrap()]).unwrap();
    Scope { tenant: TenantId::parse(tenant).unwrap(), access: Arc::new(streams) }
}

fn request(sql: &str) -> QueryRequest {
    QueryRequest::new(sql, None, None).unwrap()
}

impl House {
    fn new() -> Self {
        Self::with(QuerySettings { threads: 2, ..QuerySettings::default() })
    }

    fn with(settings: QuerySettings) -> Self {
        Self::on(Bucket::in_memory(), settings)
    }

    /// Another node on a store, which knows of no stream yet.
    fn on(bucket: Bucket, settings: QuerySettings) -> Self {
        let catalog = Arc::new(StreamCatalog::new(bucket.clone()));
        let engine = Engine::new(bucket.clone(), catalog.clone(), settings).unwrap();
        Self { bucket, catalog, engine }
    }

    /// Stores events that arrived at `time`, with these columns.
    async fn store(&self, tenant: &str, stream: &str, time: &str, columns: Vec<(&str, ArrayRef)>) {
        let (tenant, stream) = (TenantId::parse(tenant).unwrap(), StreamName::parse(stream).unwrap());
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, array)| {
                let field_type = match array.data_type() {
                    arrow::datatypes::DataType::Int64 => FieldType::Integer,
                    arrow::datatypes::DataType::Float64 => FieldType::Float,
                    arrow::datatypes::DataType::Boolean => FieldType::Boolean,
                    _ => FieldType::Text,
                };
                Field { name: (*name).into(), field_type }
            })
            .collect();
        self.catalog.widen_by_all(&tenant, &stream, &[&fields]).await.unwrap();
        let rows = columns[0].1.len();
        let times = TimestampMillisecondArray::from(vec![at(time).timestamp_millis(); rows]).with_timezone("UTC");
        let ours: [(&str, ArrayRef); 3] = [
            ("p_timestamp", Arc::new(times)),
            ("p_key_id", texts(&vec!["k"; rows])),
            ("p_source_id", texts(&vec!["s"; rows])),
        ];
        let batch = RecordBatch::try_from_iter(ours.into_iter().chain(columns)).unwrap();
        let mut body = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut body, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        self.put(ObjectName::events(tenant, stream, at(time), fresh()), body).await;
    }

    async fn put(&self, name: ObjectName, body: Vec<u8>) {
        self.bucket.object_store().put(&object_path(&name.path()).unwrap(), body.into()).await.unwrap();
    }

    async fn cars(&self) {
        let columns =
            vec![("Name", texts(&["a", "b", "c"])), ("Miles_per_Gallon", ints(&[18, 15, 9_007_199_254_740_993]))];
        self.store("default", "cars", "2026-11-20T10:00:00.5Z", columns).await;
    }

    async fn ask(&self, scope: Scope, request: QueryRequest, format: Format) -> Result<String> {
        let rows = self.engine.run(scope, request, format).await?;
        let chunks: Vec<_> = rows.try_collect().await?;
        Ok(String::from_utf8(chunks.concat()).unwrap())
    }

    async fn json(&self, sql: &str) -> String {
        self.ask(everything("default"), request(sql), Format::JsonArray).await.unwrap()
    }

    async fn refused(&self, sql: &str) -> Error {
        let shown: String = sql.chars().take(80).collect();
        match self.ask(everything("default"), request(sql), Format::JsonArray).await {
            Ok(rows) => panic!("{shown} was answered: {}", &rows[..rows.len().min(200)]),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Invalid, "{shown}: {error:?}");
                assert!(error.message().len() <= 1024 && !error.message().contains('\n'), "{error}");
                error
            }
        }
    }
}

#[allow(clippy::disallowed_methods)]
fn fresh() -> Uuid {
    Uuid::new_v4()
}
