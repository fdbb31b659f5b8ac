//! What is merged with little memory.

use super::*;
use crate::compaction::source::{Source, Sources};

fn texts(rows: usize, text: impl Fn(usize) -> String) -> ArrayRef {
    Arc::new((0..rows).map(text).map(Some).collect::<StringArray>())
}

#[tokio::test]
async fn objects_that_do_not_fit_the_memory_together_are_merged_in_turns() {
    let settings = CompactionSettings { memory: 4 << 20, ..CompactionSettings::default() };
    let node = Node::with(Bucket::in_memory(), Duration::ZERO, &settings);
    let mut next = 0;
    // Texts that cannot be compressed, texts that repeat, and fields that no other object has.
    for object in 0..60 {
        let rows = 50;
        let numbers: ArrayRef = Arc::new((next..next + rows).collect::<Int64Array>());
        let unique = texts(50, |row| KeyId::random().to_string().repeat(10) + &format!("{row}"));
        let (same, own) = (texts(50, |_| "the same ".repeat(200)), format!("own{object}"));
        let columns =
            vec![("n", numbers), ("unique", unique), ("same", same), (own.as_str(), texts(50, |_| "x".into()))];
        node.store(&format!("27T10:00:{object:02}"), columns).await;
        next += rows;
    }
    node.clock.advance(TimeDelta::hours(13));
    node.compact("27").await;
    assert_eq!(node.sorted_numbers().await, (0..next).collect::<Vec<_>>());
    assert!(node.numbers().await.is_sorted_by_key(|(time, _)| *time));
    let objects = node.objects().await;
    assert!((2..20).contains(&objects), "{objects} objects: those that are full are not merged again");
}

#[tokio::test]
async fn a_text_that_repeats_takes_the_memory_that_it_takes_in_its_object() {
    let node = Node::new();
    node.store("27T10:00:00", vec![("n", texts(4000, |_| "a long text ".repeat(1000)))]).await;
    let listing = node.folder().list(at("27T00:00:00").date_naive()).await.unwrap();
    let location = &node.folder().fresh(listing.fresh[0]).unwrap().location;
    let body = node.bucket.object_store().get(location).await.unwrap().bytes().await.unwrap();
    let mut sources = Sources::within(1 << 20);
    assert!(sources.push(Source::whole(body).unwrap()), "48 MB of text take more than a megabyte");
}
