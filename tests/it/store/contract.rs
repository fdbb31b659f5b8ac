//! What every store must do, as one suite: memory, a local directory, and two real S3 services. What races does not run
//! on moto, which lets two creates win about once in 600 rounds of twelve.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::future::join_all;
use keyloft::key::{KeyId, NodeId, TenantId};
use keyloft::testing::layout::{self, ObjectName};
use keyloft::testing::{Stored, Written};
use keyloft::{Bucket, ErrorKind};

use crate::support::{TestStore, Victim};

/// How many writers race.
const WRITERS: usize = 16;

/// `one` and `other` are two openings of one store, as two nodes have.
async fn all(one: &Bucket, other: &Bucket) {
    one_after_the_other(one, other).await;
    of_racing_creators_one_wins(one, other).await;
    of_racing_writers_one_wins(one, other).await;
    nobodys_update_is_lost(one, other).await;
}

async fn one_after_the_other(one: &Bucket, other: &Bucket) {
    what_is_created_is_read_back(one, other).await;
    an_object_is_created_once(one, other).await;
    a_stale_version_replaces_nothing(one, other).await;
    what_is_gone_is_not_written_back(one, other).await;
    what_is_removed_is_gone_and_may_be_removed_again(one, other).await;
    a_put_takes_the_place_of_what_is_there(one, other).await;
    a_list_shows_a_folder_and_not_its_subfolders(one, other).await;
    a_list_begins_after_a_name(one, other).await;
    lists_and_reads_agree_on_tags(one, other).await;
    what_is_large_is_read_back_whole(one, other).await;
}

async fn what_is_created_is_read_back(one: &Bucket, other: &Bucket) {
    let name = fresh();
    assert!(other.read(&name).await.unwrap().is_none());
    assert_eq!(one.create(&name, body(1)).await.unwrap(), Written::Done);
    assert_eq!(read(other, &name).await.body, body(1));
}

async fn an_object_is_created_once(one: &Bucket, other: &Bucket) {
    let name = fresh();
    assert_eq!(one.create(&name, body(1)).await.unwrap(), Written::Done);
    assert_eq!(other.create(&name, body(2)).await.unwrap(), Written::Conflict);
    // The same bytes again are our own write, answered twice.
    assert_eq!(one.create(&name, body(1)).await.unwrap(), Written::Done);
    assert_eq!(read(other, &name).await.body, body(1));
}

async fn of_racing_creators_one_wins(one: &Bucket, other: &Bucket) {
    for _ in 0..5 {
        let name = fresh();
        let race = (0..WRITERS).map(|writer| of_two(one, other, writer).create(&name, body(writer)));
        let outcomes = join_all(race).await;
        assert_eq!(winners(&outcomes).len(), 1);
        assert_eq!(read(one, &name).await.body, body(winners(&outcomes)[0]));
    }
}

async fn a_stale_version_replaces_nothing(one: &Bucket, other: &Bucket) {
    let name = fresh();
    assert_eq!(one.create(&name, body(1)).await.unwrap(), Written::Done);
    let first = read(other, &name).await.version;
    assert_eq!(one.replace(&name, body(2), &first).await.unwrap(), Written::Done);
    assert_eq!(other.replace(&name, body(3), &first).await.unwrap(), Written::Conflict);
    assert_eq!(read(one, &name).await.body, body(2));
}

async fn of_racing_writers_one_wins(one: &Bucket, other: &Bucket) {
    let name = fresh();
    assert_eq!(one.create(&name, body(0)).await.unwrap(), Written::Done);
    let stored = read(one, &name).await;
    let race =
        (0..WRITERS).map(|writer| of_two(one, other, writer).replace(&name, body(1000 + writer), &stored.version));
    assert_eq!(winners(&join_all(race).await).len(), 1);
}

async fn nobodys_update_is_lost(one: &Bucket, other: &Bucket) {
    let name = fresh();
    assert_eq!(one.create(&name, body(0)).await.unwrap(), Written::Done);
    // A counter, and beside it who counted: bodies are never the same twice.
    let count = async |writer: usize| {
        let bucket = of_two(one, other, writer);
        for round in 0..5 {
            loop {
                let stored = read(bucket, &name).await;
                let text = String::from_utf8(stored.body.to_vec()).unwrap();
                let so_far: usize = text.split(' ').next().unwrap().parse().unwrap();
                let next = format!("{} by {writer} in {round}", so_far + 1);
                if bucket.replace(&name, next.into(), &stored.version).await.unwrap() == Written::Done {
                    break;
                }
            }
        }
    };
    join_all((0..4).map(count)).await;
    assert!(read(one, &name).await.body.starts_with(b"20 by "));
}

async fn what_is_gone_is_not_written_back(one: &Bucket, other: &Bucket) {
    let name = fresh();
    assert_eq!(one.create(&name, body(1)).await.unwrap(), Written::Done);
    let version = read(one, &name).await.version;
    other.remove(&name).await.unwrap();
    assert_eq!(one.replace(&name, body(2), &version).await.unwrap(), Written::Conflict);
    assert!(one.read(&name).await.unwrap().is_none());
}

async fn what_is_removed_is_gone_and_may_be_removed_again(one: &Bucket, other: &Bucket) {
    let name = fresh();
    assert_eq!(one.create(&name, body(1)).await.unwrap(), Written::Done);
    other.remove(&name).await.unwrap();
    other.remove(&name).await.unwrap();
    assert!(one.read(&name).await.unwrap().is_none());
    assert_eq!(other.create(&name, body(2)).await.unwrap(), Written::Done);
}

async fn a_put_takes_the_place_of_what_is_there(one: &Bucket, other: &Bucket) {
    let name = ObjectName::Node { node_id: NodeId::random() };
    one.put(&name, body(1)).await.unwrap();
    other.put(&name, body(2)).await.unwrap();
    assert_eq!(read(one, &name).await.body, body(2));
}

async fn a_list_shows_a_folder_and_not_its_subfolders(one: &Bucket, other: &Bucket) {
    let tenant = TenantId::parse("listed").unwrap();
    let names: Vec<_> = (0..100).map(|_| ObjectName::Key { tenant: tenant.clone(), key_id: KeyId::random() }).collect();
    for written in join_all(names.iter().map(|name| one.create(name, body(1)))).await {
        assert_eq!(written.unwrap(), Written::Done);
    }
    let record = ObjectName::Tenant { tenant: tenant.clone() };
    assert_eq!(one.create(&record, body(1)).await.unwrap(), Written::Done);
    let listed = other.list(&layout::keys(&tenant)).await.unwrap();
    assert!(listed.iter().all(|listed| listed.size_bytes == 1));
    let listed: BTreeSet<_> = listed.into_iter().map(|listed| listed.path).collect();
    assert_eq!(listed, names.iter().map(ObjectName::path).collect());
    assert!(other.folders("".as_ref()).await.unwrap().contains(&"listed".to_owned()));
}

async fn a_list_begins_after_a_name(one: &Bucket, other: &Bucket) {
    for seq in 1..=12 {
        assert_eq!(one.create(&ObjectName::LogEntry { seq }, body(1)).await.unwrap(), Written::Done);
    }
    let listed = other.list_after(&layout::log(), &ObjectName::LogEntry { seq: 9 }).await.unwrap();
    let listed: BTreeSet<_> = listed.into_iter().map(|listed| listed.path).collect();
    assert_eq!(listed, (10..=12).map(|seq| ObjectName::LogEntry { seq }.path()).collect());
}

async fn lists_and_reads_agree_on_tags(one: &Bucket, other: &Bucket) {
    let tenant = TenantId::parse("tagged").unwrap();
    let name = ObjectName::Key { tenant: tenant.clone(), key_id: KeyId::random() };
    let listed = async || one.list(&layout::keys(&tenant)).await.unwrap()[0].tag.unwrap();
    assert_eq!(one.create(&name, body(1)).await.unwrap(), Written::Done);
    let (first, stored) = (listed().await, read(other, &name).await);
    assert_eq!(Some(first), stored.tag);
    assert_eq!(other.replace(&name, body(2), &stored.version).await.unwrap(), Written::Done);
    let second = listed().await;
    assert_eq!(Some(second), read(one, &name).await.tag);
    assert_ne!(first, second);
}

async fn what_is_large_is_read_back_whole(one: &Bucket, other: &Bucket) {
    let id = uuid::Uuid::parse_str(&KeyId::random().to_string()).unwrap();
    let name = ObjectName::SnapshotPart { seq: 1, id, part: 0 };
    let large: Bytes = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>().into();
    assert!(other.read_large(&name, 20_000_000).await.unwrap().is_none());
    one.write_large(&name, large.clone()).await.unwrap();
    assert!(other.read_large(&name, 20_000_000).await.unwrap().unwrap() == large);
    assert_eq!(other.read_large(&name, 1_000_000).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(other.read(&name).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

fn of_two<'a>(one: &'a Bucket, other: &'a Bucket, writer: usize) -> &'a Bucket {
    if writer.is_multiple_of(2) { one } else { other }
}

/// Which writers won.
fn winners(outcomes: &[keyloft::Result<Written>]) -> Vec<usize> {
    let won = |(writer, outcome): (usize, &keyloft::Result<Written>)| {
        (*outcome.as_ref().unwrap() == Written::Done).then_some(writer)
    };
    outcomes.iter().enumerate().filter_map(won).collect()
}

fn fresh() -> ObjectName {
    ObjectName::Key { tenant: TenantId::default(), key_id: KeyId::random() }
}

fn body(number: usize) -> Bytes {
    number.to_string().into()
}

async fn read(bucket: &Bucket, name: &ObjectName) -> Stored {
    bucket.read(name).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_contract() {
    let bucket = Bucket::in_memory();
    all(&bucket, &bucket).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_directory_keeps_the_contract() {
    let store = TestStore::directory();
    let bucket = store.open();
    all(&bucket, &bucket).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_openings_of_one_directory_keep_the_contract() {
    let store = TestStore::directory();
    all(&store.open(), &store.open()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Ceph: run scripts/test.sh")]
async fn ceph_keeps_the_contract() {
    let store = TestStore::ceph();
    all(&store.open(), &store.open()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Ceph: run scripts/test.sh")]
async fn two_gateways_of_ceph_keep_the_contract() {
    let store = TestStore::ceph();
    let victim = Victim::get().await;
    all(&store.open(), &store.through(&victim).open()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs moto: run scripts/test.sh")]
async fn moto_keeps_the_contract_one_after_the_other() {
    let store = TestStore::moto();
    one_after_the_other(&store.open(), &store.open()).await;
}
