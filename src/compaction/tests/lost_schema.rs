//! A schema that is lost while events are there is made anew from the objects.

use super::*;
use crate::documents::RequestContext;
use crate::key::Actor;

impl Node {
    async fn lose_schema(&self) {
        let (tenant, stream) = web();
        self.bucket.remove(&ObjectName::Schema { tenant, stream }).await.unwrap();
    }

    /// Another node over the same bucket, which has just started.
    async fn restarted(&self) -> Self {
        let node = Self::over(self.bucket.clone(), Duration::ZERO);
        node.catalog.sync().await.unwrap();
        node
    }

    async fn widen(&self, name: &str, field_type: FieldType) -> bool {
        let (tenant, stream) = web();
        let field = Field { name: name.into(), field_type };
        let (_, conflicts) = self.catalog.widen_by_all(&tenant, &stream, &[&[field]]).await.unwrap();
        conflicts == [None]
    }
}

#[tokio::test]
async fn a_schema_that_is_lost_is_made_anew_so_that_no_field_changes_its_type() {
    for is_merged in [false, true] {
        let node = Node::new();
        for n in 0..8 {
            node.store_number("27T10:00:00", n).await;
        }
        node.store(
            "27T10:00:00",
            vec![("n", Arc::new(Int64Array::from(vec![8]))), ("t", Arc::new(StringArray::from(vec!["a"])))],
        )
        .await;
        if is_merged {
            node.compact("27").await;
        }
        let (tenant, stream) = web();
        let before = node.catalog.known(&tenant, &stream).unwrap();
        node.lose_schema().await;
        node.catalog.sync().await.unwrap();
        assert_eq!(node.catalog.known(&tenant, &stream).unwrap().fields(), before.fields(), "memory keeps it");
        let later = node.restarted().await;
        assert!(later.catalog.known(&tenant, &stream).is_none() && later.catalog.is_unreadable(&tenant, &stream));
        let noted = later.catalog.unreadable().into_values().next().unwrap();
        assert_eq!(noted, "it is missing, and the objects of the stream are there");
        assert!(!later.widen("n", FieldType::Text).await, "its objects hold whole numbers");
        assert!(later.widen("n", FieldType::Integer).await);
        let mut fields = later.catalog.known(&tenant, &stream).unwrap().fields().to_vec();
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(fields, before.fields());
        let again = later.restarted().await;
        assert_eq!((again.sorted_numbers().await, again.catalog.unreadable().len()), ((0..9).collect(), 0));
    }
}

#[tokio::test]
async fn a_schema_that_is_made_anew_knows_how_often_the_stream_was_deleted() {
    let node = Node::new();
    let (tenant, stream) = web();
    let context = RequestContext::new(Actor::System, node.clock.now());
    for n in 0..2 {
        node.store_number("27T10:00:00", n).await;
        node.compactor.delete_stream(&context, &tenant, &stream, Duration::ZERO).await.unwrap();
    }
    node.store_number("27T10:00:00", 2).await;
    node.lose_schema().await;
    let later = node.restarted().await;
    assert_eq!(later.sorted_numbers().await, [2]);
    later.compactor.delete_stream(&context, &tenant, &stream, Duration::ZERO).await.unwrap();
    assert_eq!(later.sorted_numbers().await, Vec::<i64>::new());
    assert_eq!(later.catalog.known(&tenant, &stream).unwrap().deletions(), 3);
}

#[tokio::test]
async fn a_stream_that_was_removed_by_hand_is_forgotten() {
    let node = Node::new();
    node.store_number("27T10:00:00", 1).await;
    let (tenant, stream) = web();
    let store = node.bucket.object_store();
    let folder = crate::layout::stream_folder(&tenant, &stream);
    for object in node.bucket.list_all(&folder).await.unwrap() {
        store.delete(&object.location).await.unwrap();
    }
    node.catalog.sync().await.unwrap();
    assert!(node.catalog.known(&tenant, &stream).is_none() && node.catalog.unreadable().is_empty());
    assert!(node.widen("n", FieldType::Text).await, "it is another stream");
}

#[tokio::test]
async fn compaction_makes_no_schema_anew() {
    let node = Node::new();
    for n in 0..20 {
        node.store_number("27T10:00:00", n).await;
    }
    let (tenant, stream) = web();
    let schema = ObjectName::Schema { tenant, stream };
    node.bucket.remove(&schema).await.unwrap();
    let id = node.folder().day(at("27T00:00:00").date_naive());
    assert_eq!(node.compactor.compact(&id).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(node.bucket.read(&schema).await.unwrap().is_none());
    assert_eq!(node.objects().await, 20);
}
