//! Days that are compacted, read back row by row.

mod damaged;
mod deletion;
mod kills;
#[cfg(feature = "paused-time")]
mod left_behind;
mod lost_schema;
mod memory;
mod older_manifest;
mod properties;
mod retention;

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Int64Type, TimestampMillisecondType};
use chrono::{DateTime, TimeDelta, Utc};
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::cache::KeyCache;
use crate::clock::ManualClock;
use crate::ingest::Batch;
use crate::ingest::write::{DecodedRequest, parquet};
use crate::key::{KeyId, StreamName, TenantId};
use crate::layout::ObjectName;
use crate::stream::objects::TimeRange;
use crate::stream::{Field, FieldType};

/// A node with one stream.
struct Node {
    bucket: Bucket,
    catalog: Arc<StreamCatalog>,
    clock: Arc<ManualClock>,
    compactor: Compactor,
}

fn at(time: &str) -> DateTime<Utc> {
    format!("2026-11-{time}Z").parse().unwrap()
}

fn web() -> (TenantId, StreamName) {
    (TenantId::default(), StreamName::parse("web").unwrap())
}

impl Node {
    fn over(bucket: Bucket, keep: Duration) -> Self {
        Self::with(bucket, keep, &CompactionSettings::default())
    }

    fn with(bucket: Bucket, keep: Duration, settings: &CompactionSettings) -> Self {
        let catalog = Arc::new(StreamCatalog::new(bucket.clone()));
        let clock = Arc::new(ManualClock::new(at("27T12:00:00")));
        let keystore = Keystore::new(bucket.clone(), Arc::new(KeyCache::default()), clock.clone());
        let compactor = Compactor::new(bucket.clone(), catalog.clone(), clock.clone(), keystore, settings, keep);
        Self { bucket, catalog, clock, compactor }
    }

    fn new() -> Self {
        Self::over(Bucket::in_memory(), Duration::ZERO)
    }

    fn folder(&self) -> StreamFolder {
        let (tenant, stream) = web();
        StreamFolder::new(self.bucket.clone(), self.catalog.unreadable_objects(), tenant, stream)
    }

    /// Stores one object with these columns, as ingest does.
    async fn store(&self, time: &str, columns: Vec<(&str, ArrayRef)>) {
        let (tenant, stream) = web();
        let rows = columns[0].1.len();
        let field = |(name, column): &(&str, ArrayRef)| {
            let field_type = match column.data_type() {
                DataType::Int64 => FieldType::Integer,
                DataType::Float64 => FieldType::Float,
                _ => FieldType::Text,
            };
            Field { name: (*name).into(), field_type }
        };
        let fields: Vec<Field> = columns.iter().map(field).collect();
        let (schema, conflicts) = self.catalog.widen_by_all(&tenant, &stream, &[&fields]).await.unwrap();
        assert_eq!(conflicts, [None]);
        let columns = columns.into_iter().map(|(_, column)| column).collect();
        let batch = Batch { fields, rows, columns };
        let request = DecodedRequest { batch, key_id: KeyId::random(), source_id: None, arrived_at: at(time) };
        let body = parquet(&schema, &[request], 0).unwrap();
        let name = self.catalog.new_objects().name(tenant, stream, at(time));
        self.bucket.write_large(&name, body.into()).await.unwrap();
        self.catalog.new_objects().written(&name);
    }

    async fn store_number(&self, time: &str, n: i64) {
        self.store(time, vec![("n", Arc::new(Int64Array::from(vec![n])))]).await;
    }

    /// The column `n` of every event that counts, in the order of the objects, with its time.
    async fn numbers(&self) -> Vec<(i64, i64)> {
        let folder = self.folder();
        let days = folder.days().await.unwrap();
        let mut found = Vec::new();
        for object in folder.objects(&days, TimeRange::default()).await.unwrap() {
            let body = self.bucket.object_store().get(&object.meta.location).await.unwrap().bytes().await.unwrap();
            assert_eq!(body.len() as u64, object.meta.size);
            for batch in ParquetRecordBatchReaderBuilder::try_new(body).unwrap().build().unwrap() {
                let batch = batch.unwrap();
                let times = batch.column(0).as_primitive::<TimestampMillisecondType>().clone();
                let n = batch.column_by_name("n").unwrap().as_primitive::<Int64Type>().clone();
                found.extend(times.values().iter().copied().zip(n.values().iter().copied()));
            }
        }
        found
    }

    async fn sorted_numbers(&self) -> Vec<i64> {
        let mut numbers: Vec<i64> = self.numbers().await.into_iter().map(|(_, n)| n).collect();
        numbers.sort_unstable();
        numbers
    }

    async fn objects(&self) -> usize {
        self.folder().objects(&self.folder().days().await.unwrap(), TimeRange::default()).await.unwrap().len()
    }

    /// Visits until nothing is left to do.
    async fn compact(&self, day: &str) {
        let id = self.folder().day(at(&format!("{day}T00:00:00")).date_naive());
        for _ in 0..20 {
            if self.compactor.compact(&id).await.unwrap() {
                return;
            }
        }
        panic!("the day is never at rest");
    }
}

#[tokio::test]
async fn small_objects_become_one_that_is_sorted_and_what_they_were_is_removed() {
    let node = Node::new();
    for n in 0..100 {
        let second = (n * 37) % 60;
        node.store_number(&format!("27T10:{:02}:{second:02}", n % 7), n).await;
    }
    node.compact("27").await;
    assert_eq!(node.objects().await, 1);
    let found = node.numbers().await;
    assert!(found.is_sorted_by_key(|(time, _)| *time), "{found:?}");
    assert_eq!(node.sorted_numbers().await, (0..100).collect::<Vec<_>>());
    let listing = node.folder().list(at("27T00:00:00").date_naive()).await.unwrap();
    assert_eq!((listing.fresh.len(), listing.merged.len()), (0, 1));
}

#[tokio::test]
async fn events_that_come_while_and_after_objects_are_merged_count_once() {
    let node = Node::new();
    for n in 0..20 {
        node.store_number("27T10:00:00", n).await;
    }
    let id = node.folder().day(at("27T00:00:00").date_naive());
    node.compactor.compact(&id).await.unwrap();
    // Late ones, of a minute that was merged.
    for n in 20..23 {
        node.store_number("27T10:00:00", n).await;
    }
    assert_eq!(node.sorted_numbers().await, (0..23).collect::<Vec<_>>());
    node.clock.advance(TimeDelta::days(1));
    node.compact("27").await;
    assert_eq!((node.objects().await, node.sorted_numbers().await), (1, (0..23).collect::<Vec<_>>()));
}

#[tokio::test]
async fn what_a_query_has_listed_stays_for_as_long_as_it_may_read() {
    let node = Node::over(Bucket::in_memory(), Duration::from_secs(3600));
    for n in 0..20 {
        node.store_number("27T10:00:00", n).await;
    }
    let folder = node.folder();
    let days = folder.days().await.unwrap();
    let before = folder.objects(&days, TimeRange::default()).await.unwrap();
    let id = folder.day(days[0]);
    for _ in 0..3 {
        assert!(!node.compactor.compact(&id).await.unwrap(), "something is to be removed later");
    }
    for object in before {
        assert!(node.bucket.object_store().head(&object.meta.location).await.is_ok());
    }
    assert_eq!(node.objects().await, 1);
}

#[tokio::test]
async fn columns_that_some_objects_lack_are_null_and_numbers_widen() {
    let node = Node::new();
    let numbers = |n: i64| Arc::new(Int64Array::from(vec![n])) as ArrayRef;
    for n in 0..5 {
        node.store_number("27T10:00:00", n).await;
        let text = Arc::new(StringArray::from(vec!["t"]));
        node.store("27T10:00:01", vec![("n", numbers(n)), ("text", text)]).await;
        node.store("27T10:00:02", vec![("x", numbers(1)), ("n", numbers(n))]).await;
    }
    node.store("27T10:00:03", vec![("x", Arc::new(Float64Array::from(vec![1.5]))), ("n", numbers(7))]).await;
    node.compact("27").await;
    let folder = node.folder();
    let objects = folder.objects(&folder.days().await.unwrap(), TimeRange::default()).await.unwrap();
    assert_eq!((objects.len(), objects[0].rows), (1, Some(16)));
    let body = node.bucket.object_store().get(&objects[0].meta.location).await.unwrap().bytes().await.unwrap();
    let batch = ParquetRecordBatchReaderBuilder::try_new(body).unwrap().build().unwrap().next().unwrap().unwrap();
    let nulls: BTreeMap<&str, usize> = batch
        .schema_ref()
        .fields()
        .iter()
        .map(|field| (field.name().as_str(), batch.column_by_name(field.name()).unwrap().null_count()))
        .collect();
    assert_eq!((nulls["n"], nulls["text"], nulls["x"]), (0, 11, 10));
    assert_eq!(batch.column_by_name("x").unwrap().data_type(), &DataType::Float64);
}

#[tokio::test]
async fn of_two_nodes_that_merge_the_same_one_succeeds_and_nothing_is_counted_twice() {
    let bucket = Bucket::in_memory();
    let (a, b) = (Node::over(bucket.clone(), Duration::ZERO), Node::over(bucket, Duration::ZERO));
    for round in 0..10 {
        for n in 0..20 {
            let node = if n % 2 == 0 { &a } else { &b };
            node.store_number("27T10:00:00", round * 20 + n).await;
        }
        b.catalog.sync().await.unwrap();
        let id = a.folder().day(at("27T00:00:00").date_naive());
        let (one, two) = tokio::join!(a.compactor.compact(&id), b.compactor.compact(&id));
        one.unwrap();
        two.unwrap();
        assert_eq!(a.sorted_numbers().await, (0..(round + 1) * 20).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn an_object_that_cannot_be_read_stays_and_keeps_no_other_from_being_merged() {
    let node = Node::new();
    let (tenant, stream) = web();
    for n in 0..20 {
        node.store_number("27T10:00:00", n).await;
    }
    let broken: ObjectName = node.catalog.new_objects().name(tenant, stream, at("27T10:00:00"));
    node.bucket.write_large(&broken, "no Parquet".into()).await.unwrap();
    let id = node.folder().day(at("27T00:00:00").date_naive());
    for _ in 0..3 {
        node.compactor.compact(&id).await.unwrap();
    }
    assert_eq!(node.objects().await, 2);
    assert!(node.bucket.read(&broken).await.unwrap().is_some());
}

#[tokio::test]
async fn an_object_of_a_step_that_failed_is_removed() {
    let node = Node::new();
    for n in 0..20 {
        node.store_number("27T10:00:00", n).await;
    }
    let folder = node.folder();
    let date = at("27T00:00:00").date_naive();
    node.compact("27").await;
    node.bucket.write_large(&folder.merged_name(date, uuid::Uuid::from_u128(7)), "left over".into()).await.unwrap();
    node.clock.advance(TimeDelta::days(3650));
    node.compact("27").await;
    assert_eq!(folder.list(date).await.unwrap().merged.len(), 1);
    assert_eq!(node.sorted_numbers().await, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_manifest_that_is_lost_is_an_error_and_takes_no_object_along() {
    let node = Node::over(Bucket::in_memory(), Duration::from_millis(50));
    for n in 0..20 {
        node.store_number("27T10:00:00", n).await;
    }
    let folder = node.folder();
    let id = folder.day(at("27T00:00:00").date_naive());
    node.compactor.compact(&id).await.unwrap();
    let manifest = ObjectName::Manifest { tenant: id.0.clone(), stream: id.1.clone(), date: id.2 };
    let kept = node.bucket.read(&manifest).await.unwrap().unwrap().body;
    node.bucket.remove(&manifest).await.unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    let error = folder.objects(&[id.2], TimeRange::default()).await.unwrap_err();
    assert!(error.message().contains("2026-11-27"), "{error}");
    assert!(node.compactor.compact(&id).await.is_err());
    assert_eq!(node.catalog.unreadable().len(), 1);
    assert_eq!(folder.list(id.2).await.unwrap().fresh.len(), 20);
    node.bucket.put(&manifest, kept).await.unwrap();
    assert_eq!((node.objects().await, node.sorted_numbers().await), (1, (0..20).collect::<Vec<_>>()));
    assert!(node.catalog.unreadable().is_empty());
}

#[tokio::test]
async fn an_object_with_a_damaged_page_is_reported_and_keeps_no_other_from_being_merged() {
    let node = Node::new();
    for n in 0..20 {
        node.store_number("27T10:00:00", n).await;
    }
    let folder = node.folder();
    let date = at("27T00:00:00").date_naive();
    let victim = folder.fresh(folder.list(date).await.unwrap().fresh[7]).unwrap();
    let store = node.bucket.object_store();
    let mut body = store.get(&victim.location).await.unwrap().bytes().await.unwrap().to_vec();
    body[4..40].fill(0);
    store.put(&victim.location, body.into()).await.unwrap();
    node.compact("27").await;
    assert_eq!(node.objects().await, 2);
    let unreadable = node.catalog.unreadable();
    let names: Vec<_> = unreadable.keys().map(|(_, object)| object.as_str()).collect();
    assert_eq!(names, [victim.location.as_ref()]);
}

#[tokio::test]
async fn a_merged_object_that_is_damaged_keeps_no_other_from_being_merged() {
    let node = Node::new();
    let folder = node.folder();
    let date = at("27T00:00:00").date_naive();
    let mut first = None;
    for round in 0..10 {
        for n in 0..8 {
            node.store_number("27T10:00:00", round * 8 + n).await;
        }
        node.compact("27").await;
        if round == 0 {
            let meta = folder.list(date).await.unwrap().merged[0].1.clone();
            let store = node.bucket.object_store();
            let mut body = store.get(&meta.location).await.unwrap().bytes().await.unwrap().to_vec();
            body[4..40].fill(0);
            store.put(&meta.location, body.into()).await.unwrap();
            first = Some(meta.location);
        }
    }
    assert_eq!(node.objects().await, 1 + 1 + 1, "the damaged one, eight that were merged, and the last");
    let unreadable = node.catalog.unreadable();
    assert_eq!(unreadable.keys().map(|(_, object)| object.clone()).collect::<Vec<_>>(), [first.unwrap().to_string()]);
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_is_reported_and_other_days_stay_readable() {
    let node = Node::new();
    node.store_number("26T10:00:00", 1).await;
    node.store_number("27T10:00:00", 2).await;
    let (tenant, stream) = web();
    let date = at("26T00:00:00").date_naive();
    let name = ObjectName::Manifest { tenant: tenant.clone(), stream, date };
    let folder = node.folder();
    let days = folder.days().await.unwrap();
    // By hand, one says that all objects of ingest are in merged ones.
    let by_hand = r#"{"version":1,"checksum":"","objects":[],"taken":{"randomUntil":"2359-x.parquet"},
        "writeId":"00000000-0000-4000-8000-000000000000"}"#;
    for body in ["{", by_hand] {
        node.bucket.put(&name, body.into()).await.unwrap();
        let error = folder.objects(&days, TimeRange::default()).await.unwrap_err();
        assert!(error.message().contains("2026-11-26"), "{error}");
        assert_eq!(folder.objects(&days[1..], TimeRange::default()).await.unwrap().len(), 1);
        assert!(node.compactor.compact(&folder.day(date)).await.is_err());
    }
    let listed = node.catalog.unreadable();
    assert_eq!(listed.keys().collect::<Vec<_>>(), [&(tenant, name.path().into_string())]);
    node.bucket.remove(&name).await.unwrap();
    node.compact("26").await;
    assert!(node.catalog.unreadable().is_empty());
    assert_eq!(node.sorted_numbers().await, [1, 2]);
}

#[tokio::test]
async fn nothing_is_merged_while_a_node_of_an_earlier_version_is_live() {
    let node = Node::new();
    for n in 0..20 {
        node.store_number("27T10:00:00", n).await;
    }
    let node_id = NodeId::random();
    let old = ObjectName::Node { node_id };
    let document = format!(r#"{{"version":1,"nodeId":"{node_id}","appliedSeq":0,"at":"2026-11-27T12:00:00Z"}}"#);
    node.bucket.put(&old, document.into()).await.unwrap();
    node.compactor.visit_due_days(Duration::ZERO).await;
    assert_eq!(node.objects().await, 20);
    node.bucket.remove(&old).await.unwrap();
    node.compactor.visit_due_days(Duration::ZERO).await;
    assert_eq!((node.objects().await, node.sorted_numbers().await), (1, (0..20).collect::<Vec<_>>()));
}

#[test]
fn days_without_a_node_are_looked_for_every_sixty_intervals_within_bounds() {
    for (interval, seconds) in [(1, 600), (10, 600), (30, 1800), (60, 3600), (3600, 3600)] {
        assert_eq!(super::sweep_interval(Duration::from_secs(interval)), Duration::from_secs(seconds), "{interval} s");
    }
}
