//! Answers with texts that repeat are the answers without this module.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringViewArray, StringViewBuilder, UInt32Array};
use arrow::compute::take;
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::RepeatedTexts;
use super::codes::Tuples;
use super::distinct::{Distinct, Seeds};

const QUERIES: &[&str] = &[
    "SELECT a, count(*), sum(n) FROM t GROUP BY a ORDER BY a",
    "SELECT a, b, count(n), min(b), max(a) FROM t GROUP BY a, b ORDER BY a, b",
    "SELECT a, n % 7 AS m, count(*) FROM t GROUP BY a, m ORDER BY a, m",
    "SELECT upper(a) AS u, count(*) FROM t GROUP BY u ORDER BY u",
    "SELECT count(DISTINCT a), count(DISTINCT b) FROM t",
    "SELECT count(DISTINCT a) FROM t WHERE b LIKE '%1%'",
    "SELECT DISTINCT b FROM t WHERE a NOT LIKE '%2' ORDER BY b",
    "SELECT count(*) FROM t WHERE a LIKE '%text 1%' OR n = 5",
    "SELECT count(*) FROM t WHERE upper(a) = 'TEXT 3' AND b IS NOT NULL",
    "SELECT count(*) FROM t WHERE a ~ '[12]$' IS NOT TRUE",
    "SELECT count(*) FROM t WHERE coalesce(b, 'none') = 'none'",
    "SELECT count(*) FROM t WHERE a LIKE b",
    "SELECT a, count(*) FILTER (WHERE b LIKE 'a long%') FROM t GROUP BY a ORDER BY a",
    "SELECT a, first_value(n ORDER BY n DESC) FROM t GROUP BY a ORDER BY a",
];

/// As Parquet's dictionaries are read: equal texts have equal views.
fn texts(texts: impl Iterator<Item = Option<String>>) -> ArrayRef {
    let mut builder = StringViewBuilder::new().with_deduplicate_strings();
    texts.for_each(|text| builder.append_option(text));
    Arc::new(builder.finish())
}

/// Rows with one of `kinds` texts in `a`, some of them long, and one of a few in `b`, some of them null.
fn batch(rows: usize, first: usize, kinds: usize) -> RecordBatch {
    let a = (first..first + rows).map(|row| match (row * 7919) % kinds {
        kind if kind % 3 == 0 => format!("a long text that does not fit a view {kind}"),
        kind => format!("text {kind}"),
    });
    let b = (first..first + rows).map(|row| match row % 5 {
        0 => None,
        1 => Some(String::new()),
        kind => Some(format!("a long text of the other column {kind}")),
    });
    let n = (first..first + rows).map(|row| row as i64);
    RecordBatch::try_from_iter([
        ("a", texts(a.map(Some))),
        ("b", texts(b)),
        ("n", Arc::new(Int64Array::from_iter_values(n))),
    ])
    .unwrap()
}

fn context(parts: &[Vec<RecordBatch>], is_ours: bool, memory: usize) -> SessionContext {
    let environment = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(GreedyMemoryPool::new(memory)));
    let mut state = SessionStateBuilder::new()
        .with_default_features()
        .with_config(SessionConfig::new().with_target_partitions(2))
        .with_runtime_env(environment.build_arc().unwrap());
    if is_ours {
        state = state.with_physical_optimizer_rule(Arc::new(RepeatedTexts));
    }
    let context = SessionContext::new_with_state(state.build());
    let table = MemTable::try_new(parts[0][0].schema(), parts.to_vec()).unwrap();
    context.register_table("t", Arc::new(table)).unwrap();
    context
}

async fn answer(context: &SessionContext, sql: &str) -> String {
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

async fn compare(parts: &[Vec<RecordBatch>]) {
    let (ours, theirs) = (context(parts, true, 1 << 30), context(parts, false, 1 << 30));
    for sql in QUERIES {
        assert_eq!(answer(&ours, sql).await, answer(&theirs, sql).await, "{sql}");
    }
}

#[tokio::test]
async fn answers_over_few_texts_are_the_same() {
    compare(&[vec![batch(3000, 0, 11), batch(9, 4000, 3), batch(5000, 5000, 40)], vec![batch(2000, 9000, 200)]]).await;
}

#[tokio::test]
async fn answers_over_many_texts_are_the_same() {
    compare(&[vec![batch(5000, 0, 5000)], vec![batch(1, 0, 1)]]).await;
}

#[tokio::test]
async fn answers_over_texts_that_cease_to_repeat_are_the_same() {
    compare(&[vec![batch(4000, 0, 20), batch(8000, 4000, 7001), batch(4000, 0, 20)], vec![batch(0, 0, 1)]]).await;
}

/// Each batch repeats its texts, and there are more than have numbers at a time.
#[tokio::test]
async fn answers_over_more_texts_than_have_numbers_are_the_same() {
    let batches = (0..90).map(|part| {
        let a = (0..4000).map(|row| format!("text {part} of {}", row % 1000));
        let [a, n]: [ArrayRef; 2] = [texts(a.map(Some)), Arc::new(Int64Array::from_iter_values(0..4000))];
        RecordBatch::try_from_iter([("a", a.clone()), ("b", a), ("n", n)]).unwrap()
    });
    let parts = [batches.collect(), vec![]];
    let (ours, theirs) = (context(&parts, true, 1 << 30), context(&parts, false, 1 << 30));
    for sql in ["SELECT a, sum(n) FROM t GROUP BY a ORDER BY a", "SELECT count(DISTINCT a), count(DISTINCT b) FROM t"] {
        assert_eq!(answer(&ours, sql).await, answer(&theirs, sql).await, "{sql}");
    }
}

#[tokio::test]
async fn the_plan_says_what_is_grouped_by_numbers() {
    let context = context(&[vec![batch(10, 0, 2)], vec![batch(10, 0, 2)]], true, 1 << 30);
    let plan = answer(&context, "EXPLAIN SELECT a, count(*) FROM t GROUP BY a").await;
    assert!(plan.contains("GroupTexts: AggregateExec: mode=Partial"), "{plan}");
    let plan = answer(&context, "EXPLAIN SELECT n, count(*) FROM t GROUP BY n").await;
    assert!(!plan.contains("GroupTexts"), "{plan}");
}

/// The first step gives its groups away when they take too much; the last one needs room for all of them.
#[tokio::test]
async fn groups_of_texts_count_as_memory() {
    let a = texts((0..4000).map(|row| Some(format!("{:1000}", row % 900))));
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..4000));
    let batch = RecordBatch::try_from_iter([("a", a.clone()), ("b", a), ("n", n)]).unwrap();
    let parts = [vec![batch.clone(), batch.clone()], vec![batch]];
    let sql = "SELECT count(*), sum(s), max(s) FROM (SELECT sum(n) * length(a) AS s FROM t GROUP BY a)";
    // Two first steps take 900 KB each, and the two last ones half as much.
    let [short, ample] = [1 << 20, 1 << 30].map(|memory| context(&parts, true, memory));
    assert_eq!(answer(&short, sql).await, answer(&ample, sql).await);
    let error = context(&parts, true, 1 << 19).sql(sql).await.unwrap().collect().await.unwrap_err();
    assert!(error.to_string().contains("Resources exhausted"), "{error}");
}

/// What goes wrong with one text goes wrong with the query, and only where a row has that text.
#[tokio::test]
async fn errors_are_the_same() {
    let parts = [vec![batch(4000, 0, 20)], vec![batch(10, 0, 1)]];
    for sql in ["SELECT count(*) FROM t WHERE to_timestamp(a) > now()", "SELECT count(*) FROM t WHERE a ~ '('"] {
        for is_ours in [true, false] {
            assert!(context(&parts, is_ours, 1 << 30).sql(sql).await.unwrap().collect().await.is_err(), "{sql}");
        }
    }
    let sql = "SELECT count(*) FROM t WHERE a LIKE 'nothing' AND to_timestamp(a) > now()";
    let [ours, theirs] = [true, false].map(|is_ours| context(&parts, is_ours, 1 << 30));
    let run = async |context: &SessionContext| context.sql(sql).await.unwrap().collect().await.is_err();
    assert_eq!(run(&ours).await, run(&theirs).await);
}

/// Nine rows of ten have one text, and what is right of `AND` fails for it.
#[tokio::test]
async fn what_is_right_of_and_is_computed_for_the_rows_that_matter_only() {
    let a = texts((0..4000).map(|row| Some(if row % 10 == 0 { (row % 70).to_string() } else { "none".to_owned() })));
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..4000));
    let batch = RecordBatch::try_from_iter([("a", a.clone()), ("b", a), ("n", n)]).unwrap();
    let parts = [vec![batch.clone()], vec![batch]];
    let sql = "SELECT count(*) FROM t WHERE a <> 'none' AND abs(CAST(a AS BIGINT)) >= 0";
    let [ours, theirs] = [true, false].map(|is_ours| context(&parts, is_ours, 1 << 30));
    assert_eq!(answer(&ours, sql).await, answer(&theirs, sql).await);
}

#[test]
fn distinct_texts_stand_for_the_rows() {
    let seeds = Seeds::default();
    for (rows, kinds) in [(0, 1), (1, 1), (300, 200), (5000, 1), (5000, 1000), (20_000, 2000)] {
        let batch = batch(rows, 0, kinds);
        for column in ["a", "b"] {
            let texts = batch.column_by_name(column).unwrap();
            let texts = texts.as_any().downcast_ref::<StringViewArray>().unwrap();
            let found = Distinct::of(texts, &seeds).unwrap_or_else(|| panic!("{rows} rows of {kinds} kinds"));
            assert_eq!(found.places.len(), rows);
            assert!(found.rows.len() <= kinds.max(5), "{} of {kinds}", found.rows.len());
            for (row, place) in found.places.iter().enumerate() {
                let same = found.rows[*place as usize] as usize;
                assert_eq!(texts.is_null(row), texts.is_null(same));
                assert_eq!(texts.value(row), texts.value(same));
            }
        }
    }
    let rare = batch(5000, 0, 5000);
    assert!(Distinct::of(rare.column(0).as_any().downcast_ref().unwrap(), &seeds).is_none());
}

#[test]
fn numbers_become_the_texts_again() {
    let long = "a text of more than twelve";
    let first = StringViewArray::from_iter([Some("one"), None, Some(""), Some("one"), Some(long), None]);
    let second = StringViewArray::from_iter([Some("x"), Some("x"), None, Some("x"), Some(long), Some("y")]);
    let mut tuples = Tuples::of(2);
    let seeds = Seeds::default();
    for _ in 0..2 {
        let numbers = tuples.numbers(&[&first, &second], &seeds).unwrap();
        assert_eq!((numbers.as_slice(), tuples.len()), (&[0, 1, 2, 0, 3, 4][..], 5));
    }
    let columns = tuples.columns().unwrap();
    for (column, texts) in columns.iter().zip([first, second]) {
        let rows = UInt32Array::from(vec![0, 1, 2, 4, 5]);
        assert_eq!(column.to_data(), take(&texts, &rows, None).unwrap().to_data());
    }
}
