//! Streams that are deleted, while nodes that have not heard of it write.

use super::*;
use crate::documents::RequestContext;
use crate::key::Actor;

impl Node {
    /// A node that knows of itself what others would.
    async fn in_sync(bucket: Bucket) -> Self {
        let node = Self::over(bucket, Duration::ZERO);
        node.compactor.keystore.sync().await.unwrap();
        node.compactor.keystore.replica().publish().await.unwrap();
        node
    }

    /// Deletes the stream; says whether every node has heard.
    async fn delete(&self) -> bool {
        let (tenant, stream) = web();
        let context = RequestContext::new(Actor::System, self.clock.now());
        let deletion = self.compactor.delete_stream(&context, &tenant, &stream, Duration::ZERO).await;
        deletion.unwrap().is_finished
    }

    /// Hears what other nodes have announced.
    async fn hear(&self) {
        let (tenant, stream) = web();
        self.compactor.keystore.poll().await.unwrap();
        self.catalog.announced(&tenant, &stream);
        self.catalog.reload(&tenant, &stream).await.unwrap();
    }

    /// Why a text does not fit the field `n`, if so.
    async fn conflict_of_text(&self) -> Option<crate::stream::Conflict> {
        let (tenant, stream) = web();
        let field = Field { name: "n".into(), field_type: FieldType::Text };
        self.catalog.widen_by_all(&tenant, &stream, &[&[field]]).await.unwrap().1.remove(0)
    }

    /// Stores an event as a version before compaction did: under a random id.
    async fn store_random(&self, time: &str, id: u128, n: i64) {
        let (tenant, stream) = web();
        let fields = vec![Field { name: "n".into(), field_type: FieldType::Integer }];
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![n]))];
        let (schema, _) = self.catalog.widen_by_all(&tenant, &stream, &[&fields]).await.unwrap();
        let batch = Batch { fields, rows: 1, columns };
        let request = DecodedRequest { batch, key_id: KeyId::random(), source_id: None, arrived_at: at(time) };
        let name = ObjectName::events(tenant, stream, at(time), uuid::Uuid::from_u128(id));
        self.bucket.write_large(&name, parquet(&schema, &[request], 0).unwrap().into()).await.unwrap();
    }

    async fn text(&self, time: &str) {
        self.store(time, vec![("n", Arc::new(StringArray::from(vec!["text"])))]).await;
    }
}

#[tokio::test]
async fn a_deleted_stream_is_empty_and_its_name_is_free_at_once() {
    let node = Node::in_sync(Bucket::in_memory()).await;
    let (tenant, stream) = web();
    for n in 0..20 {
        node.store_number("27T10:00:00", n).await;
    }
    node.compact("27").await;
    node.store_number("26T23:00:00", 20).await;
    node.store_number("27T11:00:00", 21).await;
    assert_eq!(node.sorted_numbers().await.len(), 22);
    assert!(node.delete().await);
    assert_eq!(node.objects().await, 0);
    assert!(node.catalog.get(&tenant, &stream).is_none() && node.catalog.list(&tenant).is_empty());
    let context = RequestContext::new(Actor::System, node.clock.now());
    let again = node.compactor.delete_stream(&context, &tenant, &stream, Duration::ZERO).await;
    assert_eq!(again.unwrap_err().kind(), crate::ErrorKind::NotFound);
    node.text("27T10:00:00").await;
    assert_eq!(node.objects().await, 1);
    let schema = node.catalog.get(&tenant, &stream).unwrap();
    assert_eq!(schema.fields(), [Field { name: "n".into(), field_type: FieldType::Text }]);
    // What was deleted goes, what came later stays.
    node.clock.advance(TimeDelta::days(2));
    node.compact("27").await;
    node.compact("26").await;
    let left = |listing: crate::stream::objects::DayListing| (listing.fresh.len(), listing.merged.len());
    assert_eq!(left(node.folder().list(at("27T00:00:00").date_naive()).await.unwrap()), (1, 0));
    assert!(
        node.bucket
            .list_all(&crate::layout::day(&tenant, &stream, at("26T00:00:00").date_naive()))
            .await
            .unwrap()
            .is_empty(),
        "an empty day that is long over leaves nothing"
    );
    assert_eq!(node.objects().await, 1);
}

#[tokio::test]
async fn what_a_node_writes_that_has_not_heard_of_a_deletion_stays_and_can_be_read() {
    let bucket = Bucket::in_memory();
    let (node, late) = (Node::in_sync(bucket.clone()).await, Node::in_sync(bucket).await);
    node.store_number("27T10:00:00", 1).await;
    late.store_number("27T10:00:00", 2).await;
    assert!(!node.delete().await, "the other node has not heard");
    assert_eq!(node.objects().await, 0);
    late.store_number("27T10:00:00", 3).await;
    assert!(node.conflict_of_text().await.is_some(), "a text beside a number of the late node");
    assert_eq!(node.sorted_numbers().await, [3]);
    node.clock.advance(TimeDelta::minutes(1));
    node.compactor.continue_deletions().await;
    assert!(node.conflict_of_text().await.is_some(), "it has still not heard");
    late.hear().await;
    node.compactor.continue_deletions().await;
    let (tenant, stream) = web();
    let schema = node.catalog.get(&tenant, &stream).unwrap();
    assert!(!schema.is_being_deleted() && schema.field_type("n") == Some(FieldType::Integer), "{schema:?}");
    assert_eq!(node.catalog.list(&tenant).len(), 1, "somebody has used the name");
    assert_eq!(late.sorted_numbers().await, [3]);
}

#[tokio::test]
async fn the_new_stream_is_merged_while_a_node_has_not_heard_of_the_deletion() {
    let bucket = Bucket::in_memory();
    let (node, late) = (Node::in_sync(bucket.clone()).await, Node::in_sync(bucket).await);
    node.store_number("27T10:00:00", 0).await;
    assert!(!node.delete().await, "the other node has not heard");
    for n in 1..11 {
        node.store_number("27T10:00:00", n).await;
    }
    node.compact("27").await;
    assert_eq!((node.objects().await, node.sorted_numbers().await), (1, (1..11).collect()));
    late.hear().await;
    node.clock.advance(TimeDelta::minutes(1));
    node.compactor.continue_deletions().await;
    let (tenant, stream) = web();
    assert!(!node.catalog.get(&tenant, &stream).unwrap().is_being_deleted());
    assert_eq!(node.sorted_numbers().await, (1..11).collect::<Vec<_>>());
}

#[tokio::test]
async fn another_node_finishes_a_deletion_and_takes_nothing_that_came_later() {
    let bucket = Bucket::in_memory();
    let node = Node::in_sync(bucket.clone()).await;
    let (tenant, stream) = web();
    node.store_number("26T10:00:00", 1).await;
    node.store_number("27T10:00:00", 2).await;
    // A node that dies after it has emptied one of two days.
    let days = node.folder().days().await.unwrap();
    let context = RequestContext::new(Actor::System, node.clock.now());
    let schema = node.catalog.begin_deletion(&context, &tenant, &stream, &days).await.unwrap().unwrap();
    assert!(empty::empty(&node.folder(), days[1], Some(schema.deletions()), node.clock.now()).await.unwrap());
    node.store_number("27T11:00:00", 3).await;
    let other = Node::in_sync(bucket).await;
    other.catalog.sync().await.unwrap();
    node.compactor.keystore.replica().withdraw().await.unwrap();
    other.compactor.continue_deletions().await;
    assert_eq!(other.catalog.being_deleted().len(), 1, "it waits for its turn");
    other.clock.advance(TimeDelta::minutes(1));
    other.compactor.continue_deletions().await;
    assert_eq!(other.catalog.being_deleted(), []);
    assert_eq!(other.sorted_numbers().await, [3]);
}

#[tokio::test]
async fn objects_of_earlier_versions_are_deleted_one_by_one_while_others_may_come() {
    let node = Node::in_sync(Bucket::in_memory()).await;
    node.store_random("27T10:00:00", 7, 1).await;
    node.store_random("27T10:30:00", 8, 2).await;
    assert!(node.delete().await);
    assert_eq!(node.objects().await, 0);
    node.store_random("27T10:00:00", 6, 3).await; // Its name comes before those that are gone.
    assert_eq!(node.sorted_numbers().await, [3]);
}

#[tokio::test]
async fn a_merge_that_has_begun_before_a_deletion_brings_nothing_back() {
    let node = Node::in_sync(Bucket::in_memory()).await;
    for n in 0..20 {
        node.store_number("27T10:00:00", n).await;
    }
    let (folder, date) = (node.folder(), at("27T00:00:00").date_naive());
    let listing = folder.list(date).await.unwrap();
    let (mut manifest, place) = folder.manifest_of(date, &listing).await.unwrap();
    assert!(node.delete().await);
    let first = at("27T10:00:00");
    let made = crate::stream::MergedObject {
        id: uuid::Uuid::from_u128(1),
        rows: 20,
        bytes: 9,
        first,
        last: first,
        full: false,
    };
    manifest.replace(&[], [made]);
    let written = folder.manifests().write(&folder.day(date), &place, &manifest).await.unwrap();
    assert_eq!(written, crate::store::Written::Conflict);
    assert_eq!(node.objects().await, 0);
}
