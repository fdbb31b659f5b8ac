//! What a key may see of how much streams hold.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use keyloft::Bucket;
use serde_json::Value;

use crate::support::scene::people;
use crate::support::{Call, Faults, Faulty, Kind, TestServer};

const STREAMS: [&str; 5] = ["a", "b", "c", "d", "e"];
const LISTS: usize = 12;

#[tokio::test]
async fn a_slow_store_holds_up_no_list_and_many_lists_ask_it_for_little() {
    let faults = Arc::new(Faults::slow(Duration::from_millis(400)));
    let bucket = Bucket::new(Arc::new(Faulty::memory(faults.clone())));
    let server = TestServer::spawn_with(|setup| setup.bucket = Some(bucket)).await;
    let (sender, reader) = people(&server).await;
    let sent = join_all(STREAMS.map(|stream| sender.ingest(stream, "{\"n\":1}"))).await;
    assert!(sent.iter().all(|answer| answer.status == 200));

    let days = |call: &Call| call.kind == Kind::Folders && call.path.as_ref().starts_with("streams/");
    let (before, began) = (faults.count(days), Instant::now());
    let answers = join_all((0..LISTS).map(|_| reader.get("/api/v1/logstream?statistics=true"))).await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let looks = faults.count(days) - before;
    assert!(looks <= LISTS / 3 * STREAMS.len(), "{looks} streams were looked up for {LISTS} lists");
    let mut known = Vec::new();
    for answer in answers {
        let list = answer.json();
        assert_eq!(list.as_array().unwrap().iter().map(|item| &item["name"]).collect::<Vec<_>>(), STREAMS);
        let is_known = |item: &&Value| item["statistics"]["rows"] == 1;
        assert!(list.as_array().unwrap().iter().all(|item| is_known(&item) || item["statistics"].is_null()), "{list}");
        known.push(list.as_array().unwrap().iter().filter(is_known).count());
    }
    assert!(known.iter().any(|known| (1..STREAMS.len()).contains(known)), "{known:?}: the store was not slow enough");
    assert!(known.iter().filter(|known| **known == 0).count() >= LISTS / 2, "{known:?}: too many had their turn");
}
