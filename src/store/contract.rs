//! What every store must do, as one suite: run on memory and on a local directory.

use bytes::Bytes;
use futures::future::join_all;

use super::{Bucket, Stored, Written};
use crate::key::{KeyId, TenantId};
use crate::layout::{self, ObjectName};

/// How many writers race.
const WRITERS: usize = 16;

pub(super) async fn all(bucket: &Bucket) {
    what_is_created_is_read_back(bucket).await;
    an_object_is_created_once(bucket).await;
    of_racing_creators_one_wins(bucket).await;
    a_stale_version_replaces_nothing(bucket).await;
    of_racing_writers_one_wins(bucket).await;
    what_is_gone_is_not_written_back(bucket).await;
    a_list_shows_a_folder_and_not_its_subfolders(bucket).await;
}

async fn what_is_created_is_read_back(bucket: &Bucket) {
    let name = fresh();
    assert!(bucket.read(&name).await.unwrap().is_none());
    assert_eq!(bucket.create(&name, body(1)).await.unwrap(), Written::Done);
    assert_eq!(read(bucket, &name).await.body, body(1));
}

async fn an_object_is_created_once(bucket: &Bucket) {
    let name = fresh();
    assert_eq!(bucket.create(&name, body(1)).await.unwrap(), Written::Done);
    assert_eq!(bucket.create(&name, body(2)).await.unwrap(), Written::Conflict);
    // The same bytes again are our own write, answered twice.
    assert_eq!(bucket.create(&name, body(1)).await.unwrap(), Written::Done);
    assert_eq!(read(bucket, &name).await.body, body(1));
}

async fn of_racing_creators_one_wins(bucket: &Bucket) {
    for _ in 0..5 {
        let name = fresh();
        let race = (0..WRITERS).map(|writer| bucket.create(&name, body(writer)));
        let winners = join_all(race).await.into_iter().filter(|written| *written.as_ref().unwrap() == Written::Done);
        assert_eq!(winners.count(), 1);
    }
}

async fn a_stale_version_replaces_nothing(bucket: &Bucket) {
    let name = fresh();
    assert_eq!(bucket.create(&name, body(1)).await.unwrap(), Written::Done);
    let first = read(bucket, &name).await.version;
    assert_eq!(bucket.replace(&name, body(2), &first).await.unwrap(), Written::Done);
    assert_eq!(bucket.replace(&name, body(3), &first).await.unwrap(), Written::Conflict);
    assert_eq!(read(bucket, &name).await.body, body(2));
}

async fn of_racing_writers_one_wins(bucket: &Bucket) {
    let name = fresh();
    assert_eq!(bucket.create(&name, body(0)).await.unwrap(), Written::Done);
    let stored = read(bucket, &name).await;
    let race = (0..WRITERS).map(|writer| bucket.replace(&name, body(1000 + writer), &stored.version));
    let winners = join_all(race).await.into_iter().filter(|written| *written.as_ref().unwrap() == Written::Done);
    assert_eq!(winners.count(), 1);
}

async fn what_is_gone_is_not_written_back(bucket: &Bucket) {
    use object_store::ObjectStoreExt;
    let name = fresh();
    assert_eq!(bucket.create(&name, body(1)).await.unwrap(), Written::Done);
    let version = read(bucket, &name).await.version;
    let path = super::bucket::location(&name.path()).unwrap();
    bucket.object_store().delete(&path).await.unwrap();
    assert_eq!(bucket.replace(&name, body(2), &version).await.unwrap(), Written::Conflict);
    assert!(bucket.read(&name).await.unwrap().is_none());
}

async fn a_list_shows_a_folder_and_not_its_subfolders(bucket: &Bucket) {
    let tenant = TenantId::parse("listed").unwrap();
    let names: Vec<_> = (0..5).map(|_| ObjectName::Key { tenant: tenant.clone(), key_id: KeyId::random() }).collect();
    for name in &names {
        assert_eq!(bucket.create(name, body(1)).await.unwrap(), Written::Done);
    }
    let record = ObjectName::Tenant { tenant: tenant.clone() };
    assert_eq!(bucket.create(&record, body(1)).await.unwrap(), Written::Done);
    let mut listed: Vec<_> =
        bucket.list(&layout::keys(&tenant)).await.unwrap().into_iter().map(|listed| listed.path).collect();
    let mut expected: Vec<_> = names.iter().map(ObjectName::path).collect();
    listed.sort();
    expected.sort();
    assert_eq!(listed, expected);
    assert!(bucket.folders(relative_path::RelativePath::new("")).await.unwrap().contains(&"listed".to_owned()));
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

#[tokio::test]
async fn memory_keeps_the_contract() {
    all(&Bucket::in_memory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_directory_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    all(&super::StoreUrl::Directory(directory.path().to_owned()).open().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_openings_of_one_directory_keep_it_too() {
    let directory = tempfile::tempdir().unwrap();
    let url = super::StoreUrl::Directory(directory.path().to_owned());
    let (one, two) = (url.open().unwrap(), url.open().unwrap());
    let name = fresh();
    let race = (0..WRITERS).map(|writer| if writer % 2 == 0 { &one } else { &two }.create(&name, body(writer)));
    let winners = join_all(race).await.into_iter().filter(|written| *written.as_ref().unwrap() == Written::Done);
    assert_eq!(winners.count(), 1);
}
