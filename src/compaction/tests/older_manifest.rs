//! A manifest that was put back, from a backup say, hides no event and has nothing removed.

use bytes::Bytes;
use object_store::path::Path;

use super::*;
use crate::documents::Document as _;
use crate::stream::Manifest;

impl Node {
    fn manifest_path(&self, day: &str) -> Path {
        let id = self.folder().day(at(&format!("{day}T00:00:00")).date_naive());
        Path::from(Manifest::object(&id).path().as_str())
    }

    async fn manifest(&self, day: &str) -> Option<Bytes> {
        match self.bucket.object_store().get(&self.manifest_path(day)).await {
            Ok(found) => Some(found.bytes().await.unwrap()),
            Err(_) => None,
        }
    }

    async fn put_manifest(&self, day: &str, body: &Bytes) {
        self.bucket.object_store().put(&self.manifest_path(day), body.clone().into()).await.unwrap();
    }

    /// Does one step after the other until none is left, and returns each manifest that was written.
    async fn compact_step_by_step(&self, day: &str) -> Vec<Bytes> {
        let id = self.folder().day(at(&format!("{day}T00:00:00")).date_naive());
        let (mut visits, mut manifests) = (self.compactor.day(&id), Vec::new());
        for _ in 0..20 {
            visits.visit(self.compactor.tools(), self.clock.now(), Some(Instant::now())).await.unwrap();
            manifests.extend(self.manifest(day).await);
        }
        manifests.dedup();
        manifests
    }

    async fn merged_objects(&self, day: &str) -> usize {
        self.folder().list(at(&format!("{day}T00:00:00")).date_naive()).await.unwrap().merged.len()
    }

    /// What is read of the stream, or that a manifest cannot be read.
    async fn readable_numbers(&self) -> Option<Vec<i64>> {
        let folder = self.folder();
        match folder.objects(&folder.days().await.unwrap(), TimeRange::default()).await {
            Ok(_) => Some(self.sorted_numbers().await),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
                None
            }
        }
    }
}

#[tokio::test]
async fn a_manifest_that_was_put_back_hides_no_event_and_has_nothing_removed() {
    let node = Node::new();
    let (mut manifests, mut stored) = (Vec::new(), 0);
    for round in 0..9 {
        for _ in 0..8 {
            node.store_number(&format!("27T10:0{round}:00"), stored).await;
            stored += 1;
        }
        manifests.extend(node.compact_step_by_step("27").await);
    }
    let (all, newest) = ((0..stored).collect::<Vec<_>>(), manifests.last().unwrap().clone());
    assert_eq!((node.sorted_numbers().await, node.objects().await), (all.clone(), 2));
    let (objects, id) = (node.merged_objects("27").await, node.folder().day(at("27T00:00:00").date_naive()));
    let mut refused = 0;
    for older in &manifests {
        node.put_manifest("27", older).await;
        match node.readable_numbers().await {
            Some(numbers) => assert_eq!(numbers, all),
            None => {
                refused += 1;
                assert!(node.folder().statistics().await.is_err());
                let noted = node.catalog.unreadable().into_values().next().unwrap();
                assert!(noted.contains("an older one stands in its place"), "{noted}");
                node.clock.advance(TimeDelta::hours(2));
                assert_eq!(node.compactor.compact(&id).await.unwrap_err().kind(), ErrorKind::Corrupt);
                node.compactor.try_unreadable_again().await;
                assert_eq!(node.catalog.unreadable().len(), 1, "it is still there");
            }
        }
        node.put_manifest("27", &newest).await;
        assert_eq!((node.readable_numbers().await, node.merged_objects("27").await), (Some(all.clone()), objects));
        assert!(node.catalog.unreadable().is_empty());
    }
    assert_eq!((refused, manifests.len()), (9, 10), "all but the newest");
}

#[tokio::test]
async fn what_a_failed_step_has_left_tells_of_no_newer_manifest_and_is_removed() {
    let node = Node::over(Bucket::in_memory(), Duration::from_secs(3600));
    for n in 0..8 {
        node.store_number("27T10:00:00", n).await;
    }
    let id = node.folder().day(at("27T00:00:00").date_naive());
    let before = Manifest::default().next(&id);
    node.compactor.compact(&id).await.unwrap();
    // As if the step had ended before it wrote the manifest: what it took is still there.
    node.put_manifest("27", &before.to_bytes()).await;
    assert_eq!((node.readable_numbers().await, node.objects().await), (Some((0..8).collect()), 8));
    let later = Node::over(node.bucket.clone(), Duration::ZERO);
    later.catalog.sync().await.unwrap();
    later.clock.advance(TimeDelta::days(7));
    later.compact("27").await;
    assert_eq!((later.readable_numbers().await, later.merged_objects("27").await), (Some((0..8).collect()), 1));
}

#[tokio::test]
async fn the_manifest_of_another_day_is_none_of_this_one() {
    let node = Node::new();
    for day in ["26", "27"] {
        for n in 0..8 {
            node.store_number(&format!("{day}T10:00:00"), n).await;
        }
        node.compact(day).await;
    }
    let other = node.manifest("26").await.unwrap();
    node.put_manifest("27", &other).await;
    assert_eq!(node.readable_numbers().await, None);
    assert_eq!(node.catalog.unreadable().into_values().collect::<Vec<_>>(), ["the field path is not valid"]);
}
