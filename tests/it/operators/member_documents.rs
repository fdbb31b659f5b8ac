//! The documents of members: by hand, broken, in a snapshot, and while the store does not answer.

use keyloft::key::{Digest, Hint, KeyName, KeyType, NewKey, TenantId};
use keyloft::testing::KeyDocument;
use keyloft::testing::layout::ObjectName;
use serde_json::{Value, json};

use super::memberships::{DOCUMENT, MEMBERS, by_hand, document, id, member, roles, set, sync, until_roles};
use crate::support::pair::{quick, two};
use crate::support::{Answer, TestServer};

#[tokio::test]
async fn what_cannot_be_a_document_of_members_is_reported_and_never_replaced() {
    let server = TestServer::spawn().await;
    let secret = server.directory().with_extension("elsewhere");
    std::fs::write(&secret, json!({"version": 1, "members": {id(1): {"role": "owner"}}}).to_string()).unwrap();
    std::fs::create_dir_all(server.path(".settings")).unwrap();
    std::os::unix::fs::symlink(&secret, server.path(DOCUMENT)).unwrap();
    sync(&server).await;
    assert_eq!(roles(&server).await, []);
    assert_eq!(server.admin().get("/api/v1/unreadable").await.json()["items"][0]["object"], DOCUMENT);
    server.admin().post(MEMBERS, member(2, "owner")).await.refused(500, "document_unreadable");
    std::fs::remove_file(server.path(DOCUMENT)).unwrap();
    std::fs::remove_file(&secret).unwrap();
    std::fs::write(server.path(DOCUMENT), " ".repeat(2 * 1024 * 1024)).unwrap();
    sync(&server).await;
    server.admin().post(MEMBERS, member(2, "owner")).await.refused(500, "document_unreadable");
    assert_eq!(std::fs::metadata(server.path(DOCUMENT)).unwrap().len(), 2 * 1024 * 1024);
}

#[tokio::test]
async fn while_the_store_does_not_answer_a_removal_holds_here_and_nothing_else_changes() {
    let server = TestServer::spawn().await;
    set(&server, 1, "owner").await;
    set(&server, 2, "viewer").await;
    let before = roles(&server).await;
    let aside = server.directory().with_extension("aside");
    std::fs::rename(server.directory(), &aside).unwrap();
    server.admin().post(MEMBERS, member(3, "viewer")).await.refused(503, "store_unavailable");
    server.admin().post(MEMBERS, member(2, "admin")).await.refused(503, "store_unavailable");
    let removed = server.admin().delete(&format!("{MEMBERS}/{}", id(2))).await;
    removed.refused(503, "store_unavailable");
    assert_eq!(removed.json()["appliedLocally"], true);
    server.admin().delete(&format!("{MEMBERS}/{}", id(1))).await.refused(409, "last_owner");
    assert_eq!(roles(&server).await, before);
    std::fs::rename(&aside, server.directory()).unwrap();
    until_roles(&server, &[(1, "owner")]).await;
}

#[tokio::test]
async fn a_document_that_was_written_by_hand_is_taken_in_and_reaches_the_other_node() {
    let (a, b) = two(quick).await;
    by_hand(&a, &json!({"version": 1, "members": {id(1): {"role": "owner"}}}));
    sync(&a).await;
    let listed = a.admin().get(MEMBERS).await;
    assert_eq!(listed.header("etag"), Some("\"1\""));
    let item = &listed.json()["items"][0];
    assert_eq!((&item["role"], &item["addedBy"], &item["addedAt"]), (&json!("owner"), &Value::Null, &Value::Null));
    until_roles(&b, &[(1, "owner")]).await;
    std::fs::remove_file(a.path(DOCUMENT)).unwrap();
    sync(&a).await;
    until_roles(&b, &[]).await;
}

#[tokio::test]
async fn what_is_not_known_in_a_document_is_kept_and_a_change_says_who_made_it() {
    let server = TestServer::spawn().await;
    let invitation = json!({"email": "a@b", "role": "viewer", "expiresAt": "2999-01-01T00:00:00.000Z", "later": 1});
    by_hand(
        &server,
        &json!({
            "version": 1, "later": {"a": [1]}, "rev": 7,
            "members": {id(1): {"role": "owner", "later": "x"}},
            "invitations": {"inv-00000000000000000000000000000001": invitation},
        }),
    );
    let request = server.admin().request("POST", MEMBERS).header("x-request-id", "r-set").json(&member(2, "viewer"));
    assert_eq!(Answer::of(request).await.header("etag"), Some("\"8\""));
    let document = document(&server);
    assert_eq!(document["later"], json!({"a": [1]}));
    assert_eq!(document["members"][id(1)], json!({"role": "owner", "later": "x"}));
    assert_eq!(document["invitations"]["inv-00000000000000000000000000000001"], invitation);
    assert_eq!((&document["modifiedBy"], &document["requestId"]), (&json!("admin"), &json!("r-set")));
    let logged = std::fs::read_dir(server.path(".settings/keyloft/log")).unwrap();
    let logged: Vec<String> = logged.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let entry = logged.iter().find(|entry| entry.contains("r-set")).unwrap();
    assert!(
        entry.contains("tenants/default") && entry.contains("\"members\"") && entry.contains("127.0.0.1"),
        "{entry}"
    );
}

/// A file that is broken by hand takes nothing away before a restart, and grants nothing after one.
#[tokio::test]
async fn a_broken_document_is_reported_and_grants_nothing_after_a_restart() {
    let server = TestServer::spawn().await;
    set(&server, 1, "owner").await;
    let whole = std::fs::read_to_string(server.path(DOCUMENT)).unwrap();
    std::fs::write(server.path(DOCUMENT), whole.replace("owner", "platform_admin")).unwrap();
    sync(&server).await;
    let unreadable = server.admin().get("/api/v1/unreadable").await.json();
    let reason = "the field role is not valid";
    assert_eq!(unreadable["items"], json!([{"tenant": "default", "object": DOCUMENT, "reason": reason}]));
    assert_eq!(roles(&server).await, [(1, "owner".to_owned())]);
    server.admin().post(MEMBERS, member(2, "viewer")).await.refused(500, "document_unreadable");
    server.admin().delete(&format!("{MEMBERS}/{}", id(1))).await.refused(500, "document_unreadable");
    let server = server.restart().await;
    assert_eq!(roles(&server).await, []);
    assert_eq!(server.admin().get("/api/v1/unreadable").await.json(), unreadable);
    server.admin().post(MEMBERS, member(2, "viewer")).await.refused(500, "document_unreadable");
    // Repaired by hand.
    std::fs::write(server.path(DOCUMENT), whole).unwrap();
    sync(&server).await;
    assert_eq!(roles(&server).await, [(1, "owner".to_owned())]);
    assert_eq!(server.admin().get("/api/v1/unreadable").await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_snapshot_carries_the_members() {
    let server = TestServer::spawn().await;
    set(&server, 1, "owner").await;
    // Enough for a snapshot.
    for number in 0..1_010 {
        let new = NewKey::new(KeyName::parse(&format!("filler {number}")).unwrap(), KeyType::Query);
        let key = new.into_key(TenantId::default(), Digest::of(number.to_string()), Hint::parse("x7Qa").unwrap());
        let path = ObjectName::Key { tenant: key.tenant.clone(), key_id: key.key_id }.path();
        let path = server.path(path.as_str());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, KeyDocument::new(&key).to_bytes()).unwrap();
    }
    sync(&server).await;
    assert!(server.app.keystore.replica().compact().await.unwrap());
    // The next start learns from the snapshot what it cannot read any more, until it has compared both.
    std::fs::remove_file(server.path(DOCUMENT)).unwrap();
    let directory = server.shared_directory();
    let started = TestServer::spawn_with(|setup| {
        setup.directory = directory;
        setup.hydrate = false;
    })
    .await;
    started.app.keystore.load().await.unwrap();
    assert_eq!(roles(&started).await, [(1, "owner".to_owned())]);
    sync(&started).await;
    assert_eq!(roles(&started).await, []);
}
