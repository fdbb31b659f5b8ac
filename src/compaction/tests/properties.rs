//! What a stream promises about its objects, whatever its age.

use parquet::file::reader::{FileReader, SerializedFileReader};

use super::*;

/// Texts of so many letters that are not like each other.
fn random_texts(rows: usize, letters: usize) -> ArrayRef {
    let mut state = u64::from_le_bytes(KeyId::random().to_string().as_bytes()[..8].try_into().unwrap()) | 1;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b' ' + (state >> 58) as u8)
    };
    Arc::new((0..rows).map(|_| Some((0..letters).map(|_| letter()).collect::<String>())).collect::<StringArray>())
}

#[tokio::test]
async fn a_day_that_is_over_is_at_most_one_object_for_each_full_size_and_one_more() {
    // So that an object is full at 32 MiB, and not at 128.
    let settings = CompactionSettings { memory: 64 << 20, ..CompactionSettings::default() };
    let node = Node::with(Bucket::in_memory(), Duration::ZERO, &settings);
    let full = Memory::new(settings.memory).object() as u64;
    for object in 0..40 {
        node.store(&format!("27T10:00:{object:02}"), vec![("text", random_texts(700, 4096))]).await;
    }
    node.clock.advance(TimeDelta::hours(13));
    node.compact("27").await;
    let objects = node.folder().objects(&node.folder().days().await.unwrap(), TimeRange::default()).await.unwrap();
    let sizes: Vec<u64> = objects.iter().map(|object| object.meta.size).collect();
    let bytes: u64 = sizes.iter().sum();
    assert!(bytes > 2 * full, "{bytes} bytes are too few for this test");
    assert!(objects.len() as u64 <= bytes / full + 1, "{sizes:?}");
}

#[tokio::test]
async fn a_stream_that_gets_events_all_the_time_has_no_more_objects_than_those_of_five_minutes_and_300_at_any_age() {
    const A_MINUTE: usize = 12;
    let node = Node::new();
    let mut most = 0;
    // Over the end of a day, too.
    node.clock.advance(TimeDelta::hours(11));
    for minute in 0..150 {
        let now = node.clock.now();
        for second in 0..A_MINUTE {
            let time = now + TimeDelta::seconds(i64::try_from(second).unwrap());
            let n: ArrayRef = Arc::new(Int64Array::from(vec![minute; 20]));
            node.store(&time.format("%dT%H:%M:%S").to_string(), vec![("n", n), ("text", random_texts(20, 100))]).await;
        }
        node.clock.advance(TimeDelta::minutes(1));
        for date in node.folder().days().await.unwrap() {
            node.compactor.compact(&node.folder().day(date)).await.unwrap();
        }
        most = most.max(node.objects().await);
    }
    assert_eq!(node.numbers().await.len(), 150 * A_MINUTE * 20);
    assert!(most <= 5 * A_MINUTE + 300, "{most} objects at once");
    assert!(most <= 40, "{most} objects at once: seven of each class would do");
}

#[tokio::test]
async fn rows_are_sorted_by_arrival_in_groups_of_128_ki_and_texts_that_repeat_stand_in_a_dictionary() {
    const ROWS: i64 = 40_000;
    let node = Node::new();
    // The later ones come first.
    for second in (0..8).rev() {
        let numbers: ArrayRef = Arc::new((0..ROWS).map(|n| n + second * ROWS).collect::<Int64Array>());
        let hosts: StringArray = (0..ROWS).map(|n| Some(format!("host {}", n % 7))).collect();
        node.store(&format!("27T10:00:0{second}"), vec![("n", numbers), ("host", Arc::new(hosts))]).await;
    }
    node.compact("27").await;
    assert_eq!(node.objects().await, 1);
    let numbers = node.numbers().await;
    assert_eq!(numbers.len() as i64, 8 * ROWS);
    assert!(numbers.is_sorted_by_key(|(time, _)| *time));
    let merged = node.folder().objects(&node.folder().days().await.unwrap(), TimeRange::default()).await.unwrap();
    let body = node.bucket.object_store().get(&merged[0].meta.location).await.unwrap().bytes().await.unwrap();
    let reader = SerializedFileReader::new(body).unwrap();
    let groups = reader.metadata().row_groups();
    let rows: Vec<i64> = groups.iter().map(|group| group.num_rows()).collect();
    assert_eq!(rows, [128 << 10, 128 << 10, 8 * ROWS - (256 << 10)]);
    for group in groups {
        let host = group.columns().iter().find(|column| column.column_path().string() == "host").unwrap();
        assert!(host.dictionary_page_offset().is_some(), "{host:?}");
        // Each text stands there once, and its rows take three bits.
        assert!(host.uncompressed_size() < group.num_rows(), "{} bytes", host.uncompressed_size());
    }
}
