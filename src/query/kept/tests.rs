//! What is kept, for how long, and how much of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryConsumer, MemoryPool};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::file::properties::WriterProperties;

use super::chunk::{self, Chunk};
use super::columns::KeptColumns;
use super::scan::Keeping;
use crate::key::TenantId;
use crate::query::memory::SharedMemory;
use crate::stream::object_reader::{ObjectReader, options, viewed};

const ROWS: i64 = 1000;

/// An object of two row groups: a text that repeats, one that does not, a number and a truth value, each with nulls.
fn rows() -> RecordBatch {
    let some = |row: i64| row % 7 != 3;
    let repeated = StringArray::from_iter((0..ROWS).map(|row| some(row).then(|| format!("one of a few: {}", row % 5))));
    let rare =
        StringArray::from_iter((0..ROWS).map(|row| some(row).then(|| format!("{row} is the number of this row"))));
    let number = Int64Array::from_iter((0..ROWS).map(|row| some(row).then_some(row * row)));
    let truth = BooleanArray::from_iter((0..ROWS).map(|row| some(row).then_some(row % 2 == 0)));
    let columns: [(&str, ArrayRef); 4] = [
        ("repeated", Arc::new(repeated)),
        ("rare", Arc::new(rare)),
        ("number", Arc::new(number)),
        ("truth", Arc::new(truth)),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

async fn object() -> (ObjectReader, ArrowReaderMetadata) {
    let rows = rows();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(ROWS as usize / 2))
        .set_column_dictionary_enabled("rare".into(), false)
        .build();
    let mut body = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut body, rows.schema(), Some(properties)).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let path = Path::from("an/object");
    store.put(&path, body.into()).await.unwrap();
    let meta = store.head(&path).await.unwrap();
    let mut reader = ObjectReader::new(store, meta);
    let footer = viewed(ArrowReaderMetadata::load_async(&mut reader, options()).await.unwrap()).unwrap();
    (reader, footer)
}

fn kept(most_bytes: usize, pool_bytes: usize) -> (KeptColumns, Arc<dyn MemoryPool>) {
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(pool_bytes));
    (KeptColumns::new(most_bytes, &pool), pool)
}

#[tokio::test]
async fn a_chunk_is_the_column_that_was_written() {
    let (reader, footer) = object().await;
    let whole = rows();
    let half = ROWS as usize / 2;
    for group in 0..2 {
        let chunks = chunk::read(reader.clone(), &footer, group, &[0, 1, 2, 3]).await.unwrap();
        assert!(matches!(chunks[0], Chunk::Texts { .. }), "{:?}", chunks[0]);
        assert!(matches!(chunks[1], Chunk::Values(_)), "{:?}", chunks[1]);
        for (column, chunk) in chunks.iter().enumerate() {
            assert_eq!(chunk.len(), half);
            for (from, count) in [(0, half), (0, 1), (3, 1), (11, 300), (half - 1, 1), (half, 0)] {
                let expected = whole.column(column).slice(group * half + from, count);
                let expected = arrow::compute::cast(&expected, footer.schema().field(column).data_type()).unwrap();
                let found = chunk.rows(from, count).unwrap();
                assert_eq!(found.len(), expected.len());
                assert_eq!(found.data_type(), expected.data_type());
                assert!(found.to_data() == expected.to_data(), "column {column} from {from}: {found:?}");
            }
        }
        // One column alone is the same.
        let alone = chunk::read(reader.clone(), &footer, group, &[2]).await.unwrap();
        assert!(alone[0].rows(0, half).unwrap().to_data() == chunks[2].rows(0, half).unwrap().to_data());
    }
}

/// Beyond 65536 different texts, their places take 32 bits.
#[tokio::test]
async fn many_texts_have_places_too() {
    let many = 70_000;
    let texts = StringArray::from_iter_values((0..2 * many).map(|row| (row % many).to_string()));
    let rows = RecordBatch::try_from_iter([("text", Arc::new(texts) as ArrayRef)]).unwrap();
    let properties = WriterProperties::builder().set_dictionary_page_size_limit(1 << 24).build();
    let mut body = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut body, rows.schema(), Some(properties)).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    store.put(&Path::from("many"), body.into()).await.unwrap();
    let mut reader = ObjectReader::new(store.clone(), store.head(&Path::from("many")).await.unwrap());
    let footer = viewed(ArrowReaderMetadata::load_async(&mut reader, options()).await.unwrap()).unwrap();
    let chunks = chunk::read(reader, &footer, 0, &[0]).await.unwrap();
    assert!(matches!(chunks[0], Chunk::Texts { .. }));
    let found = chunks[0].rows(many - 1, 2).unwrap();
    assert_eq!(found.as_string_view().iter().flatten().collect::<Vec<_>>(), ["69999", "0"]);
}

#[tokio::test]
async fn what_was_used_last_is_kept_within_the_bounds() {
    let (reader, footer) = object().await;
    let number = chunk::read(reader, &footer, 0, &[2]).await.unwrap().remove(0);
    let bytes = number.bytes();
    // Room for three, by its own bound and by that of the pool.
    for (most, pool) in [(3 * bytes, 100 * bytes), (100 * bytes, 3 * bytes)] {
        let (kept, pool) = kept(most, pool);
        let footer = footer.metadata();
        for column in 0..3 {
            kept.put(footer, 0, column, number.clone());
        }
        assert_eq!((kept.bytes(), pool.reserved()), (3 * bytes, 3 * bytes));
        assert!(kept.get(footer, 0, 0).is_some());
        kept.put(footer, 1, 0, number.clone());
        assert_eq!(pool.reserved(), 3 * bytes);
        let there = |group, column| kept.get(footer, group, column).is_some();
        assert_eq!([there(0, 0), there(0, 1), there(0, 2), there(1, 0)], [true, false, true, true]);
        // Another query has read the same.
        kept.put(footer, 1, 0, number.clone());
        assert_eq!(pool.reserved(), 3 * bytes);
        assert_eq!(kept.give_back(1), bytes);
        assert!(!there(0, 0));
        assert_eq!(kept.give_back(10 * bytes), 2 * bytes);
        assert_eq!((kept.give_back(1), pool.reserved()), (0, 0));
    }
    let (kept, pool) = kept(bytes - 1, 100 * bytes);
    kept.put(footer.metadata(), 0, 0, number);
    assert_eq!(pool.reserved(), 0);
}

#[tokio::test]
async fn what_is_not_asked_for_is_forgotten() {
    let (reader, footer) = object().await;
    let chunk = chunk::read(reader.clone(), &footer, 0, &[2]).await.unwrap().remove(0);
    let (kept, pool) = kept(1 << 20, 1 << 20);
    kept.put(footer.metadata(), 0, 0, chunk.clone());
    kept.forget(Some(Instant::now().checked_sub(Duration::from_secs(60)).unwrap()));
    assert!(kept.get(footer.metadata(), 0, 0).is_some());
    kept.forget(Some(Instant::now() + Duration::from_secs(1)));
    assert_eq!(pool.reserved(), 0);
    // An object that is gone takes its footer with it.
    kept.put(footer.metadata(), 0, 0, chunk);
    kept.forget(None);
    assert!(pool.reserved() > 0);
    drop(footer);
    kept.forget(None);
    assert_eq!(pool.reserved(), 0);
}

/// What one tenant leaves is for the small queries of others, not for columns.
#[tokio::test]
async fn running_queries_take_the_memory_of_kept_columns() {
    let (reader, footer) = object().await;
    let number = chunk::read(reader, &footer, 0, &[2]).await.unwrap().remove(0);
    let bytes = number.bytes();
    let shared = SharedMemory::new(16 * bytes);
    for column in 0..4 {
        shared.columns().put(footer.metadata(), 0, column, number.clone());
    }
    assert_eq!(shared.columns().bytes(), 4 * bytes);
    let reserve = |tenant| MemoryConsumer::new("query").register(&shared.of(&TenantId::parse(tenant).unwrap()));
    let (heavy, small) = (reserve("acme"), reserve("other"));
    heavy.try_grow(12 * bytes).unwrap();
    assert!(heavy.try_grow(1).is_err(), "that is the last quarter");
    assert_eq!(shared.columns().bytes(), 4 * bytes);
    small.try_grow(bytes + 1).unwrap();
    assert_eq!(shared.columns().bytes(), 2 * bytes);
    small.try_grow(3 * bytes - 1).unwrap();
    assert_eq!(shared.columns().bytes(), 0);
    assert!(small.try_grow(1).is_err(), "the pool is empty");
    // And there is no room until a query ends.
    shared.columns().put(footer.metadata(), 0, 0, number.clone());
    assert_eq!(shared.columns().bytes(), 0);
    drop(small);
    shared.columns().put(footer.metadata(), 0, 0, number);
    assert_eq!(shared.columns().bytes(), bytes);
}

#[tokio::test]
async fn a_scan_gets_its_share_and_the_memory_of_one_row_group() {
    let (kept, pool) = kept(1000, 600);
    let scan = Keeping::new(Arc::new(kept), pool.clone());
    assert!(scan.take(&[601]).is_none(), "there is no memory for it");
    assert!(scan.take(&[300, 300, 151]).is_none(), "that is more than three quarters");
    assert_eq!(pool.reserved(), 0);
    let (first, second) = (scan.take(&[300, 100]).unwrap(), scan.clone().take(&[300]).unwrap());
    assert_eq!(pool.reserved(), 600);
    assert!(scan.take(&[1]).is_none(), "the memory is taken");
    drop((first, second));
    assert_eq!(pool.reserved(), 0);
    assert!(scan.take(&[50]).is_some() && scan.take(&[1]).is_none(), "the share is used up");
    let large = Arc::new(GreedyMemoryPool::new(1 << 30));
    let columns = Arc::new(KeptColumns::new(1 << 29, &(large.clone() as Arc<dyn MemoryPool>)));
    assert!(Keeping::new(columns, large).take(&[(16 << 20) + 1]).is_none(), "a row group is too large");
}
