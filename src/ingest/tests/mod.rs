//! Ingest as its callers see it.

mod memory;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use parquet::file::reader::{FileReader, SerializedFileReader};
use relative_path::RelativePath;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::*;
use crate::clock::{ManualClock, StoreClock};
use crate::error::{Error, ErrorKind, Result};
use crate::faults::{Call, Fault, Faults};
use crate::faulty::Faulty;
use crate::key::{KeyId, StreamName, TenantId};
use crate::layout::ObjectName;
use crate::store::Bucket;
use crate::stream::StreamCatalog;

/// What `data` is as one member of gzip.
pub(super) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, data).unwrap();
    encoder.finish().unwrap()
}

struct Bench {
    faults: Arc<Faults>,
    /// One for each event object that may be written.
    passes: Arc<Semaphore>,
    bucket: Bucket,
    clock: Arc<ManualClock>,
    ingest: Ingest,
}

const OPEN: usize = 1 << 20;

fn writes_events(call: &Call) -> bool {
    call.is_write() && call.is_about(".parquet")
}

/// With this many passes for event objects.
fn bench(passes: usize, settings: IngestSettings) -> Bench {
    let passes = Arc::new(Semaphore::new(passes));
    let faults = Arc::new(Faults::gated(writes_events, passes.clone()));
    let bucket = Bucket::new(Arc::new(Faulty::memory(faults.clone())));
    let clock = Arc::new(ManualClock::new(DateTime::<Utc>::from_timestamp(1_795_305_599, 0).unwrap()));
    let catalog = Arc::new(StreamCatalog::new(bucket.clone()));
    let ingest =
        Ingest::new(bucket.clone(), catalog, clock.clone(), Arc::new(StoreClock::new(clock.clone())), settings);
    Bench { faults, passes, bucket, clock, ingest }
}

fn window(millis: u64) -> IngestSettings {
    IngestSettings { window: Some(Duration::from_millis(millis)), ..IngestSettings::default() }
}

impl Bench {
    fn send(&self, stream: &str, body: impl Into<Bytes>) -> JoinHandle<Result<usize>> {
        let (ingest, stream, body) = (self.ingest.clone(), StreamName::parse(stream).unwrap(), body.into());
        let origin = Origin { tenant: TenantId::default(), key_id: KeyId::random(), source_id: None };
        let upload = Upload { encoding: ContentEncoding::Identity, form: Form::Events(Framing::Json), body };
        tokio::spawn(async move { ingest.accept(origin, &stream, upload).await })
    }

    fn puts(&self) -> usize {
        self.faults.times(writes_events).len()
    }

    async fn until(&self, condition: impl Fn(&Self) -> bool) {
        let wait = async {
            while !condition(self) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
    }

    /// The days and numbers of rows of a stream's objects.
    async fn stored(&self, stream: &str) -> Vec<(String, i64)> {
        let folder = crate::layout::stream_folder(&TenantId::default(), &StreamName::parse(stream).unwrap());
        let mut found = Vec::new();
        for day in self.bucket.folders(&folder).await.unwrap() {
            for object in self.bucket.list(&folder.join(&day)).await.unwrap() {
                let name = ObjectName::parse(RelativePath::new(object.path.as_str())).unwrap();
                let body = self.bucket.read(&name).await.unwrap().unwrap().body;
                let rows = SerializedFileReader::new(body).unwrap().metadata().file_metadata().num_rows();
                found.push((day.clone(), rows));
            }
        }
        found
    }
}

fn kind(answer: &Result<usize>) -> Option<ErrorKind> {
    answer.as_ref().err().map(Error::kind)
}

#[tokio::test]
async fn requests_of_one_window_share_one_object() {
    let bench = bench(OPEN, window(200));
    let sent: Vec<_> = (0..20).map(|n| bench.send("web", format!("{{\"n\":{n}}}\n{{}}"))).collect();
    for answer in join_all(sent).await {
        assert_eq!(answer.unwrap().unwrap(), 2);
    }
    assert_eq!(bench.puts(), 1);
    assert_eq!(bench.stored("web").await, [("date=2026-11-21".to_owned(), 40)]);
    bench.until(|bench| bench.ingest.busy_streams() == 0).await;
}

#[tokio::test]
async fn in_an_object_storage_a_lone_request_waits_little_and_a_busy_stream_makes_four_objects_a_second() {
    let bench = bench(OPEN, IngestSettings::default());
    let start = Instant::now();
    assert_eq!(bench.send("web", "{}").await.unwrap().unwrap(), 1);
    assert!(start.elapsed() < Duration::from_millis(200), "{:?}", start.elapsed());
    let mut sent = Vec::new();
    while start.elapsed() < Duration::from_millis(1100) {
        sent.push(bench.send("web", "{}"));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let requests = sent.len();
    assert!(join_all(sent).await.into_iter().all(|answer| answer.unwrap().is_ok()));
    assert!((2..=6).contains(&bench.puts()), "{requests} requests made {} objects", bench.puts());
    bench.until(|bench| bench.ingest.busy_streams() == 0).await;
}

#[tokio::test]
async fn requests_that_come_while_a_batch_is_written_share_the_next_object() {
    let bench = bench(0, window(1));
    let first = bench.send("web", "{}");
    bench.until(|bench| bench.puts() == 1).await;
    let rest: Vec<_> = (0..10).map(|_| bench.send("web", "{}")).collect();
    tokio::task::yield_now().await; // On this runtime tasks run in the order in which they were spawned.
    assert!(!first.is_finished(), "an answer came before the object was durable");
    bench.passes.add_permits(2);
    assert_eq!(first.await.unwrap().unwrap(), 1);
    assert!(join_all(rest).await.into_iter().all(|answer| answer.unwrap().is_ok()));
    assert_eq!(bench.puts(), 2);
}

#[tokio::test]
async fn a_request_that_does_not_fit_the_stream_is_refused_alone() {
    let bench = bench(OPEN, window(200));
    let good = [bench.send("web", r#"{"n":1}"#), bench.send("web", r#"{"n":2,"m":"x"}"#)];
    let bad = bench.send("web", r#"{"n":"text"}"#).await.unwrap();
    assert_eq!(kind(&bad), Some(ErrorKind::Invalid));
    assert!(bad.unwrap_err().message().contains("`n`"));
    for answer in join_all(good).await {
        assert_eq!(answer.unwrap().unwrap(), 1);
    }
    assert_eq!(bench.stored("web").await[0].1, 2);
}

#[tokio::test]
async fn the_new_fields_of_a_batch_change_the_stream_once() {
    let bench = bench(OPEN, window(200));
    let mut sent: Vec<_> = (0..60).map(|n| bench.send("web", format!("{{\"n{n}\":{n},\"same\":1}}"))).collect();
    let bad = bench.send("web", r#"{"same":"text","never":1}"#);
    sent.extend((60..100).map(|n| bench.send("web", format!("{{\"n{n}\":0.5}}"))));
    for answer in join_all(sent).await {
        assert_eq!(answer.unwrap().unwrap(), 1);
    }
    assert_eq!(kind(&bad.await.unwrap()), Some(ErrorKind::Invalid));
    assert_eq!(bench.faults.times(|call| call.is_write() && !writes_events(call)).len(), 1);
    let (tenant, stream) = (TenantId::default(), StreamName::parse("web").unwrap());
    let another_node = StreamCatalog::new(bench.bucket.clone());
    another_node.reload(&tenant, &stream).await.unwrap();
    let schema = another_node.get(&tenant, &stream).unwrap();
    assert_eq!((schema.fields().len(), schema.position("never")), (101, None));
}

#[tokio::test]
async fn a_failing_store_refuses_every_member_and_the_next_request_succeeds() {
    let bench = bench(OPEN, window(50));
    assert!(bench.send("web", "{}").await.unwrap().is_ok());
    bench.faults.inject(Fault::ErrorBefore, Call::is_write);
    let sent: Vec<_> = ["{}", r#"{"new":1}"#, "{}"].into_iter().map(|body| bench.send("web", body)).collect();
    for answer in join_all(sent).await {
        assert_eq!(kind(&answer.unwrap()), Some(ErrorKind::Unavailable));
    }
    bench.faults.none();
    assert!(bench.send("web", r#"{"new":1}"#).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_client_that_hangs_up_disturbs_nobody() {
    let bench = bench(OPEN, window(100));
    let sent: Vec<_> = (0..6).map(|_| bench.send("web", "{}")).collect();
    bench.until(|bench| bench.ingest.busy_streams() == 1).await;
    for (at, task) in sent.into_iter().enumerate() {
        if at % 2 == 0 {
            task.abort();
        } else {
            assert!(task.await.unwrap().is_ok());
        }
    }
    bench.ingest.drain().await;
}

#[tokio::test]
async fn what_was_taken_in_before_a_drain_is_durable_after_it_and_nothing_is_taken_in_later() {
    let bench = bench(0, window(60_000));
    let sent: Vec<_> = (0..3).map(|_| bench.send("web", "{}")).collect();
    bench.until(|bench| bench.ingest.busy_streams() == 1).await;
    let ingest = bench.ingest.clone();
    let drain = tokio::spawn(async move { ingest.drain().await });
    bench.until(|bench| bench.puts() == 1).await;
    assert!(!drain.is_finished());
    assert_eq!(kind(&bench.send("web", "{}").await.unwrap()), Some(ErrorKind::Unavailable));
    bench.passes.add_permits(OPEN);
    drain.await.unwrap();
    assert!(sent.iter().all(JoinHandle::is_finished));
    assert!(join_all(sent).await.into_iter().all(|answer| answer.unwrap().is_ok()));
    assert_eq!(bench.stored("web").await[0].1, 3);
    bench.ingest.drain().await;
}

#[tokio::test]
async fn a_batch_that_is_full_does_not_wait_for_its_window() {
    let bench = bench(OPEN, IngestSettings { max_batch_bytes: 100, ..window(60_000) });
    let sent: Vec<_> = (0..4).map(|_| bench.send("web", format!("{{\"a\":\"{}\"}}", "x".repeat(90)))).collect();
    assert!(join_all(sent).await.into_iter().all(|answer| answer.unwrap().is_ok()));
}

#[tokio::test]
async fn the_name_of_an_object_states_the_minute_in_which_all_its_rows_arrived() {
    let bench = bench(OPEN, window(100));
    let mut sent = Vec::new();
    for step in [0, 400, 599, 2, 60_000] {
        bench.clock.advance(TimeDelta::milliseconds(step));
        sent.push(bench.send("web", "{}\n{}"));
        tokio::task::yield_now().await; // On this runtime a task arrives as soon as it runs.
    }
    assert!(join_all(sent).await.into_iter().all(|answer| answer.unwrap().is_ok()));
    let folder = crate::layout::stream_folder(&TenantId::default(), &StreamName::parse("web").unwrap());
    let mut found = Vec::new();
    for day in bench.bucket.folders(&folder).await.unwrap() {
        for object in bench.bucket.list(&folder.join(&day)).await.unwrap() {
            let name = ObjectName::parse(&object.path).unwrap();
            let body = bench.bucket.read(&name).await.unwrap().unwrap().body;
            let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(body).unwrap();
            let rows = reader.build().unwrap().next().unwrap().unwrap();
            let ObjectName::Events { arrived, .. } = name else { panic!("{name:?}") };
            let (start, end) = arrived.bounds();
            let times = rows["p_timestamp"].as_primitive::<arrow::datatypes::TimestampMillisecondType>();
            for time in times.values() {
                let time = DateTime::from_timestamp_millis(*time).unwrap();
                assert!(start.unwrap() <= time && time < end.unwrap(), "{time} in {arrived:?}");
            }
            found.push((object.path.file_name().unwrap()[..5].to_owned(), rows.num_rows()));
        }
    }
    found.sort();
    assert_eq!(found, [("0000-".to_owned(), 2), ("0001-".to_owned(), 2), ("2359-".to_owned(), 6)]);
}

#[tokio::test]
async fn events_of_two_days_lie_in_two_folders() {
    let bench = bench(OPEN, window(100));
    let before = bench.send("web", "{}");
    bench.until(|bench| bench.ingest.busy_streams() == 1).await;
    bench.clock.advance(TimeDelta::seconds(2));
    let after = bench.send("web", "{}");
    assert!(before.await.unwrap().is_ok() && after.await.unwrap().is_ok());
    let expected = ["date=2026-11-21", "date=2026-11-22"].map(|day| (day.to_owned(), 1));
    assert_eq!(bench.stored("web").await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_is_lost_or_left_hanging_when_queues_come_and_go() {
    let bench = bench(OPEN, window(0));
    let senders = (0..8).map(|sender| {
        let sends: Vec<_> = (0..100).map(|n| (format!("s{}", (sender + n) % 3), n)).collect();
        let bench = &bench;
        async move {
            for (stream, _) in sends {
                assert_eq!(bench.send(&stream, "{}\n{}").await.unwrap().unwrap(), 2);
            }
        }
    });
    tokio::time::timeout(Duration::from_secs(60), join_all(senders)).await.unwrap();
    bench.ingest.drain().await;
    let mut rows = 0;
    for stream in ["s0", "s1", "s2"] {
        rows += bench.stored(stream).await.iter().map(|(_, rows)| rows).sum::<i64>();
    }
    assert_eq!(rows, 1600);
}

#[test]
fn requests_on_a_runtime_that_has_ended_are_refused_and_not_left_waiting() {
    let ended = tokio::runtime::Runtime::new().unwrap();
    let bench = {
        let _entered = ended.enter();
        bench(OPEN, window(1))
    };
    drop(ended);
    let alive = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = alive.block_on(async { bench.send("web", "{}").await.unwrap() });
    assert_eq!(kind(&answer), Some(ErrorKind::Unavailable));
    alive.block_on(bench.ingest.drain());
}
