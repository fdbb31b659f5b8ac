//! Objects that are damaged in every way keep no other from being merged, and are named for as long as they are so.

use bytes::Bytes;
use object_store::path::Path;

use super::merge::Merger;
use super::source::Source;
use super::*;
use crate::store::StoreUrl;

impl Node {
    async fn body(&self, object: &Path) -> Bytes {
        self.bucket.object_store().get(object).await.unwrap().bytes().await.unwrap()
    }

    async fn put(&self, object: &Path, body: impl Into<Bytes>) {
        self.bucket.object_store().put(object, body.into().into()).await.unwrap();
    }

    fn noted(&self) -> Vec<String> {
        self.catalog.unreadable().into_keys().map(|(_, object)| object).collect()
    }

    /// A node that has stored so many numbers in one minute, and their objects.
    async fn with_numbers(count: i64) -> (Self, Vec<Path>) {
        let node = Self::new();
        for n in 0..count {
            node.store_number("27T10:00:00", n).await;
        }
        let listing = node.folder().list(at("27T00:00:00").date_naive()).await.unwrap();
        let objects = listing.fresh.into_iter().map(|object| node.folder().fresh(object).unwrap().location).collect();
        (node, objects)
    }
}

/// The body with each of its bytes flipped, cut off at each length, and with an absurd footer.
fn damaged(body: &Bytes) -> Vec<Bytes> {
    let flipped = (0..body.len()).map(|at| {
        let mut flipped = body.to_vec();
        flipped[at] ^= 0xff;
        flipped.into()
    });
    let cut = (0..body.len()).map(|length| body.slice(..length));
    let absurd = [0, 7, 0x7fff_ffff, u32::MAX].map(|length: u32| {
        let mut absurd = body.to_vec();
        let end = absurd.len();
        absurd[end - 8..end - 4].copy_from_slice(&length.to_le_bytes());
        absurd.into()
    });
    let texts = [&b"PAR1garbagePAR1"[..], b"PAR1PAR1", b"PAREgarbagePARE"].map(Bytes::from_static);
    flipped.chain(cut).chain(absurd).chain(texts).collect()
}

#[tokio::test]
async fn whatever_is_damaged_of_objects_of_ingest_the_good_ones_are_merged() {
    let (node, good) = Node::with_numbers(8).await;
    let (tenant, stream) = web();
    let bodies = damaged(&node.body(&good[0]).await);
    for body in &bodies {
        let name = node.catalog.new_objects().name(tenant.clone(), stream.clone(), at("27T10:00:00"));
        node.bucket.write_large(&name, body.clone()).await.unwrap();
    }
    node.compact("27").await;
    let folder = node.folder();
    let date = at("27T00:00:00").date_naive();
    let listing = folder.list(date).await.unwrap();
    let left = |object: &Path| listing.fresh.iter().any(|fresh| folder.fresh(*fresh).unwrap().location == *object);
    assert!(!good.iter().any(left), "the good ones are merged, and removed");
    assert!(listing.fresh.len() > bodies.len() / 2 && node.noted().len() == listing.fresh.len());
}

#[tokio::test]
async fn whatever_is_damaged_of_a_merged_object_it_is_known_for_damaged() {
    let (node, good) = Node::with_numbers(8).await;
    node.compact("27").await;
    let folder = node.folder();
    let merged = folder.list(at("27T00:00:00").date_naive()).await.unwrap().merged[0].1.clone();
    let mut found = 0;
    for body in damaged(&node.body(&merged.location).await) {
        for is_cut_later in [false, true] {
            let size = if is_cut_later { merged.size } else { body.len() as u64 };
            let meta = object_store::ObjectMeta { location: good[0].clone(), size, ..merged.clone() };
            node.put(&good[0], body.clone()).await;
            let read = async {
                let source = Source::streamed(node.bucket.object_store(), meta).await?;
                super::aside::aside(Merger::read_through(source)).await
            };
            if let Err(error) = read.await {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{} bytes: {error:?}", body.len());
                found += 1;
            }
        }
    }
    assert!(found > 1000, "{found}");
}

#[tokio::test]
async fn a_merged_object_that_is_gone_or_cut_short_keeps_no_other_from_being_merged() {
    for cut in [false, true] {
        let (node, _) = Node::with_numbers(8).await;
        node.compact("27").await;
        let folder = node.folder();
        let date = at("27T00:00:00").date_naive();
        let lost = folder.list(date).await.unwrap().merged[0].1.location.clone();
        match cut {
            true => node.put(&lost, node.body(&lost).await.slice(..100)).await,
            false => node.bucket.object_store().delete(&lost).await.unwrap(),
        }
        for n in 8..16 {
            node.store_number("27T11:00:00", n).await;
        }
        node.compact("27").await;
        for n in 16..17 {
            node.store_number("27T11:00:00", n).await;
        }
        node.clock.advance(TimeDelta::days(1));
        node.compact("27").await;
        assert_eq!(node.noted(), [lost.to_string()]);
        assert_eq!(node.objects().await, 2, "the lost one, and one of all others");
    }
}

#[tokio::test]
async fn an_object_that_cannot_be_opened_keeps_no_other_from_being_merged() {
    let directory = tempfile::tempdir().unwrap();
    let bucket = StoreUrl::Directory(directory.path().to_owned()).open().unwrap();
    let node = Node::over(bucket, Duration::ZERO);
    for n in 0..9 {
        node.store_number("27T10:00:00", n).await;
    }
    let listing = node.folder().list(at("27T00:00:00").date_naive()).await.unwrap();
    let victim = node.folder().fresh(listing.fresh[4]).unwrap().location;
    let file = directory.path().join(victim.as_ref());
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", &file).unwrap();
    node.compact("27").await;
    assert_eq!((node.objects().await, node.noted()), (2, vec![victim.to_string()]));
    node.compactor.try_unreadable_again().await;
    assert_eq!(node.noted().len(), 1);
    std::fs::remove_file(&file).unwrap();
    node.compactor.try_unreadable_again().await;
    assert_eq!(node.noted(), Vec::<String>::new(), "it is gone");
}

#[tokio::test]
async fn what_was_noted_goes_when_it_can_be_read_or_is_gone_and_not_before() {
    let (node, objects) = Node::with_numbers(11).await;
    let (restored, removed, unfit) = (&objects[1], &objects[2], &objects[3]);
    let good = node.body(restored).await;
    for object in [restored, removed] {
        let mut body = good.to_vec();
        body[4..40].fill(0);
        node.put(object, body).await;
    }
    let text = Node::new();
    text.store("27T10:00:00", vec![("n", Arc::new(StringArray::from(vec!["a text"])))]).await;
    let fresh = text.folder().list(at("27T00:00:00").date_naive()).await.unwrap().fresh;
    node.put(unfit, text.body(&text.folder().fresh(fresh[0]).unwrap().location).await).await;
    node.compact("27").await;
    let all: Vec<String> = [restored, removed, unfit].map(ToString::to_string).into();
    for _ in 0..2 {
        assert_eq!(node.noted(), all);
        node.compactor.try_unreadable_again().await;
    }
    node.put(restored, good).await;
    node.bucket.object_store().delete(removed).await.unwrap();
    node.compactor.try_unreadable_again().await;
    assert_eq!(node.noted(), [unfit.to_string()], "its type is another one still");
}

#[tokio::test]
async fn a_copy_of_a_merged_object_in_the_folder_of_its_day_is_not_counted_and_not_merged() {
    let (node, _) = Node::with_numbers(8).await;
    node.compact("27").await;
    let merged = node.folder().list(at("27T00:00:00").date_naive()).await.unwrap().merged[0].clone();
    let day = merged.1.location.as_ref().split("/merged/").next().unwrap().to_owned();
    for name in [format!("{}.parquet", merged.0), format!("1000-{}.parquet", merged.0)] {
        node.put(&Path::from(format!("{day}/{name}")), node.body(&merged.1.location).await).await;
    }
    assert_eq!(node.folder().statistics().await.unwrap().rows, Some(8));
    for n in 8..17 {
        assert_eq!(node.sorted_numbers().await, (0..n).collect::<Vec<_>>());
        node.store_number("27T11:00:00", n).await;
    }
    node.compact("27").await;
    assert_eq!(node.sorted_numbers().await, (0..17).collect::<Vec<_>>());
}
