//! Single strokes of bad luck that once broke a promise.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use keyloft::key::{KeyName, KeyPatch, KeyType, Label, NewKey, SettingsPatch, TenantId};
use keyloft::keystore::Issued;
use keyloft::{Bucket, ErrorKind};

use super::node::Node;
use super::store::{Disk, Line};
use super::time::Start;
use crate::support::context;

struct Scene {
    disk: Arc<Disk>,
    start: Start,
    a: Arc<Node>,
    b: Arc<Node>,
}

fn tenant() -> TenantId {
    TenantId::default()
}

async fn issue(node: &Node, name: &str) -> Issued {
    let new = NewKey::new(KeyName::parse(name).unwrap(), KeyType::Query);
    node.keystore.issue(&context(), &tenant(), new).await.unwrap()
}

/// Two nodes that have kept up.
fn scene(play: impl AsyncFnOnce(Scene)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let start = Start::now();
        let disk = Disk::new(start, false);
        let (a, b) = (Node::start(&disk, start, 1), Node::start(&disk, start, 2));
        a.catch_up().await;
        b.catch_up().await;
        play(Scene { disk, start, a, b }).await;
    });
}

#[test]
fn a_revocation_goes_on_when_whoever_asked_hangs_up() {
    scene(async |Scene { a, b, .. }| {
        let issued = issue(&a, "k").await;
        b.catch_up().await;
        a.line.hang(true);
        let tenant = tenant();
        let context = context();
        let revoke = a.keystore.revoke(&context, &tenant, issued.key.key_id, None);
        assert!(tokio::time::timeout(Duration::from_millis(100), revoke).await.is_err());
        assert!(a.authenticate(issued.secret.expose()).is_err(), "refused at once");
        assert!(b.authenticate(issued.secret.expose()).is_ok());
        tokio::time::sleep(Duration::from_secs(120)).await;
        a.line.hang(false);
        a.catch_up().await;
        b.catch_up().await;
        assert!(b.authenticate(issued.secret.expose()).is_err(), "and everywhere once the store answers");
    });
}

#[test]
fn a_node_that_slept_for_hours_is_heard_at_once() {
    scene(async |Scene { disk, start, a, b }| {
        let issued = issue(&a, "k").await;
        issue(&b, "other").await;
        a.catch_up().await;
        a.stop_following();
        for round in 0..5 {
            issue(&b, &format!("k{round}")).await;
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        let bucket = Bucket::new(Line::new(disk, 3).store());
        assert!(keyloft::testing::trim(&bucket, 6, start.wall() - TimeDelta::hours(1)).await.unwrap() > 3);
        a.keystore.revoke(&context(), &tenant(), issued.key.key_id, None).await.unwrap();
        b.catch_up().await;
        assert!(b.authenticate(issued.secret.expose()).is_err());
    });
}

#[test]
fn a_listing_that_hangs_is_given_up() {
    scene(async |Scene { a, .. }| {
        a.stop_following();
        a.line.hang(true);
        let nodes = tokio::time::timeout(Duration::from_secs(300), a.keystore.replica().nodes()).await;
        assert_eq!(nodes.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    });
}

#[test]
fn what_a_listing_misses_is_read_from_the_log_and_from_the_board() {
    scene(async |Scene { a, b, .. }| {
        b.stop_following();
        assert_eq!(b.keystore.replica().nodes().await.unwrap().len(), 2);
        let issued = issue(&a, "k").await;
        b.line.list_nothing(true);
        b.keystore.sync().await.unwrap();
        assert!(b.authenticate(issued.secret.expose()).is_ok());
        a.stop_following();
        let changed = b.keystore.revoke(&context(), &tenant(), issued.key.key_id, None).await.unwrap();
        let receipt = b.keystore.replica().receipt(changed.change_seq).await;
        assert_eq!(receipt.behind, [a.id]);
    });
}

#[test]
fn a_node_that_never_loaded_its_keys_does_not_say_what_is_missing() {
    scene(async |Scene { disk, start, a, .. }| {
        let issued = issue(&a, "k").await;
        let new = Node::start(&disk, start, 3);
        new.stop_following();
        let revoked = new.keystore.revoke(&context(), &tenant(), issued.key.key_id, None).await;
        assert_eq!(revoked.unwrap_err().kind(), ErrorKind::Unavailable);
    });
}

#[test]
fn a_key_that_is_being_revoked_is_not_purged() {
    scene(async |Scene { a, b, .. }| {
        let issued = issue(&a, "k").await;
        b.catch_up().await;
        tokio::time::sleep(Duration::from_secs(500)).await;
        a.line.cut(true);
        let revoked = a.keystore.revoke(&context(), &tenant(), issued.key.key_id, None).await;
        assert_eq!(revoked.unwrap_err().kind(), ErrorKind::RevokedHere);
        a.stop_following();
        a.line.cut(false);
        assert_eq!(a.keystore.purge().await.unwrap(), 0, "its record is kept");
        a.keystore.poll().await.unwrap();
        b.catch_up().await;
        assert!(b.authenticate(issued.secret.expose()).is_err());
        assert!(b.keystore.find(&tenant(), issued.key.key_id).is_ok());
    });
}

#[test]
fn an_update_reaches_a_node_whose_clock_is_wrong() {
    scene(async |Scene { a, b, .. }| {
        let issued = issue(&a, "k").await;
        b.clock.set(-3_600_000 * 24);
        b.catch_up().await;
        let source_id = Some(Label::parse("s").ok());
        let patch = KeyPatch::from(SettingsPatch { source_id: source_id.clone(), ..SettingsPatch::default() });
        a.keystore.update(&context(), &tenant(), issued.key.key_id, patch, None).await.unwrap();
        b.catch_up().await;
        assert_eq!(b.keystore.find(&tenant(), issued.key.key_id).unwrap().settings.source_id, source_id.flatten());
    });
}
