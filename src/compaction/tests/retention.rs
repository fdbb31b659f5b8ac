//! Days that are out of retention.

use super::*;
use crate::documents::RequestContext;
use crate::key::{Actor, RetentionDays};

impl Node {
    /// The objects that a query finds.
    async fn seen(&self) -> usize {
        let (tenant, stream) = web();
        let folder = self.folder().since(self.catalog.first_day(&tenant, &stream));
        folder.objects(&folder.days().await.unwrap(), TimeRange::default()).await.unwrap().len()
    }

    /// Everything in the folder of a day.
    async fn stored(&self, day: &str) -> usize {
        let (tenant, stream) = web();
        let folder = crate::layout::day(&tenant, &stream, at(&format!("{day}T00:00:00")).date_naive());
        self.bucket.list_all(&folder).await.unwrap().len()
    }

    async fn keep_for(&self, days: Option<u32>) {
        let (tenant, stream) = web();
        let context = RequestContext::new(Actor::System, self.clock.now());
        let days = days.map(|days| RetentionDays::try_from(days).unwrap());
        let change = |settings: &mut crate::stream::StreamSettings| settings.retention_days = days;
        self.catalog.change_settings(&context, &tenant, &stream, change).await.unwrap();
    }

    /// A node whose tenants keep events for so many days.
    fn retaining(days: u32, keep: Duration) -> Self {
        let node = Self::over(Bucket::in_memory(), keep);
        let days = RetentionDays::try_from(days).unwrap();
        node.catalog.retain(node.clock.clone(), move |_, _| Some(days));
        node
    }
}

#[tokio::test]
async fn a_day_out_of_retention_is_hidden_at_once_and_leaves_nothing_later() {
    let node = Node::retaining(2, Duration::ZERO);
    for n in 0..20 {
        node.store_number("24T10:00:00", n).await;
    }
    node.compact("24").await;
    node.store_number("24T11:00:00", 20).await;
    node.store_number("25T10:00:00", 21).await;
    node.store_number("27T10:00:00", 22).await;
    assert_eq!((node.seen().await, node.objects().await), (2, 3), "three days back is too far");
    node.compact("24").await;
    node.compact("25").await;
    assert_eq!((node.stored("24").await, node.stored("25").await), (0, 1));
    node.clock.advance(TimeDelta::days(1));
    assert_eq!(node.seen().await, 1, "a day later");
    node.keep_for(Some(0)).await;
    assert_eq!(node.seen().await, 2, "for ever");
    node.keep_for(Some(1)).await;
    assert_eq!(node.seen().await, 1, "the stream wins over its tenant");
    node.keep_for(None).await;
    assert_eq!(node.seen().await, 1);
    let (tenant, stream) = web();
    assert_eq!(node.catalog.first_day(&tenant, &stream), Some(at("26T00:00:00").date_naive()));
}

#[tokio::test]
async fn a_retention_that_is_raised_between_the_steps_makes_no_query_fail() {
    let node = Node::retaining(2, Duration::from_secs(3600));
    for n in 0..20 {
        node.store_number("24T10:00:00", n).await;
    }
    let before = node.folder().objects(&[at("24T00:00:00").date_naive()], TimeRange::default()).await.unwrap();
    let id = node.folder().day(at("24T00:00:00").date_naive());
    assert!(!node.compactor.compact(&id).await.unwrap(), "something is to be removed later");
    node.keep_for(Some(100)).await;
    assert_eq!(node.seen().await, 0, "what is gone is gone");
    for object in before {
        assert!(node.bucket.object_store().head(&object.meta.location).await.is_ok(), "a query may still read it");
    }
    assert!(!node.compactor.compact(&id).await.unwrap());
    node.store_number("24T11:00:00", 20).await;
    assert_eq!(node.seen().await, 1);
}
