//! Members of a tenant and of the platform, and invitations.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use keyloft::{Clock, ManualClock, SystemClock};
use serde_json::{Value, json};

use super::roles::machine;
use crate::support::pair::{quick, two};
use crate::support::{Answer, TestServer};

pub(super) const MEMBERS: &str = "/api/v1/tenants/default/memberships";
const PLATFORM: &str = "/api/v1/memberships";
pub(super) const DOCUMENT: &str = ".settings/members.json";

/// The id of somebody.
pub(super) fn id(number: usize) -> String {
    format!("op-{number:032x}")
}

pub(super) fn member(number: usize, role: &str) -> Value {
    json!({"userId": id(number), "role": role})
}

pub(super) async fn set(server: &TestServer, number: usize, role: &str) -> Answer {
    let answer = server.admin().post(MEMBERS, member(number, role)).await;
    assert!(answer.status.is_success(), "{}", answer.text());
    answer
}

/// The number and the role of each member.
pub(super) async fn roles(server: &TestServer) -> Vec<(usize, String)> {
    let listed = server.admin().get(MEMBERS).await;
    assert_eq!(listed.status, 200, "{}", listed.text());
    let number = |item: &Value| usize::from_str_radix(&item["userId"].as_str().unwrap()[3..], 16).unwrap();
    let role = |item: &Value| item["role"].as_str().unwrap().to_owned();
    listed.json()["items"].as_array().unwrap().iter().map(|item| (number(item), role(item))).collect()
}

pub(super) fn document(server: &TestServer) -> Value {
    serde_json::from_slice(&std::fs::read(server.path(DOCUMENT)).unwrap()).unwrap()
}

pub(super) fn by_hand(server: &TestServer, document: &Value) {
    std::fs::create_dir_all(server.path(".settings")).unwrap();
    std::fs::write(server.path(DOCUMENT), document.to_string()).unwrap();
}

pub(super) async fn sync(server: &TestServer) {
    assert_eq!(server.admin().post("/api/v1/sync", json!({})).await.status, 200);
}

/// Waits, at most five seconds, until the members are these.
pub(super) async fn until_roles(server: &TestServer, expected: &[(usize, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(number, role)| (*number, (*role).to_owned())).collect();
    for _ in 0..500 {
        if roles(server).await == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(roles(server).await, expected);
}

#[tokio::test]
async fn somebody_becomes_a_member_gets_another_role_and_is_removed() {
    let server = TestServer::spawn().await;
    assert_eq!(server.admin().get(MEMBERS).await.json(), json!({"items": [], "invitations": []}));
    let added = server.admin().post(MEMBERS, json!({"userId": id(1), "role": "OWNER"})).await;
    assert_eq!((added.status.as_u16(), added.header("etag")), (201, Some("\"1\"")), "{}", added.text());
    assert_eq!(added.header("location"), Some(&*format!("{MEMBERS}/{}", id(1))));
    let mut added = added.json();
    let receipt = added.as_object_mut().unwrap().remove("receipt").unwrap();
    assert_eq!((&receipt["appliedOn"], &receipt["behind"]), (&json!(1), &json!([])));
    assert!(added["addedAt"].is_string());
    let expected = json!({
        "userId": id(1), "role": "owner", "displayName": null, "email": null, "provider": null, "addedBy": "admin",
        "addedAt": added["addedAt"], "lastSignInAt": null,
    });
    assert_eq!(added, expected);
    // As the dashboards that exist spell it.
    let other = server.admin().post("/tenants/default/memberships", json!({"user_id": id(2), "role": "ADMIN"})).await;
    assert_eq!((other.status.as_u16(), other.header("location")), (201, Some(&*format!("{MEMBERS}/{}", id(2)))));
    let changed = set(&server, 2, "viewer").await;
    assert_eq!(
        (changed.status.as_u16(), changed.header("etag"), changed.header("location")),
        (200, Some("\"3\""), None)
    );
    let same = set(&server, 2, "viewer").await;
    assert_eq!((same.status.as_u16(), same.header("etag")), (200, Some("\"3\"")), "nothing is written");
    let listed = server.admin().get("/tenants/default/memberships").await;
    assert_eq!(listed.header("etag"), Some("\"3\""));
    let listed = listed.json();
    assert_eq!((&listed["items"][0], &listed["items"][1]["role"]), (&expected, &json!("viewer")));
    assert_eq!(server.admin().get(MEMBERS).await.json(), listed);
    let removed = server.admin().delete(&format!("/tenants/default/memberships/{}", id(2))).await;
    assert_eq!((removed.status.as_u16(), removed.header("etag")), (200, Some("\"4\"")));
    let removed = removed.json();
    assert_eq!((&removed["id"], &removed["removed"]), (&json!(id(2)), &json!(true)));
    assert_eq!(roles(&server).await, [(1, "owner".to_owned())]);
    server.admin().delete(&format!("{MEMBERS}/{}", id(2))).await.refused(404, "not_found");
    let server = server.restart().await;
    assert_eq!(server.admin().get(MEMBERS).await.json()["items"], json!([expected]));
}

#[tokio::test]
async fn an_address_is_invited_for_two_weeks_and_once() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let time = clock.clone();
    let server = TestServer::spawn_with(|setup| setup.clock = time).await;
    let invite = |email: &str, role: &str| {
        let body = json!({"email": email, "role": role});
        let admin = server.admin();
        async move { admin.post(MEMBERS, body).await }
    };
    let first = invite("Ada@Example.com", "admin").await;
    let at = first.header("location").unwrap().to_owned();
    assert_eq!(first.status, 201);
    let first = first.json();
    let id = first["id"].as_str().unwrap();
    assert!(id.starts_with("inv-") && at.ends_with(id), "{at}");
    assert_eq!((&first["email"], &first["role"]), (&json!("Ada@Example.com"), &json!("admin")));
    assert_eq!((&first["invitedBy"], first.get("link")), (&json!("admin"), None));
    let instant = |field: &str| first[field].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    assert_eq!((instant("expiresAt") - instant("createdAt")).num_days(), 14);
    // The same address again, in other letters.
    clock.advance(chrono::TimeDelta::days(1));
    let second = invite("ada@example.COM", "viewer").await;
    assert_eq!((second.status.as_u16(), second.header("location")), (200, None));
    let second = second.json();
    assert_eq!((&second["id"], &second["role"]), (&first["id"], &json!("viewer")));
    assert_ne!(second["expiresAt"], first["expiresAt"]);
    assert_eq!(invite("bob@example.com", "owner").await.status, 201);
    let listed = server.admin().get(MEMBERS).await.json();
    assert_eq!((&listed["items"], listed["invitations"].as_array().unwrap().len()), (&json!([]), 2));
    let removed = server.admin().delete(&format!("{MEMBERS}/{id}")).await;
    assert_eq!((removed.status.as_u16(), &removed.json()["id"]), (200, &json!(id)));
    // What has expired is shown no more, and is dropped by the next change.
    clock.advance(chrono::TimeDelta::days(14));
    assert_eq!(server.admin().get(MEMBERS).await.json()["invitations"], json!([]));
    let bob = document(&server)["invitations"].as_object().unwrap().keys().next().unwrap().clone();
    server.admin().delete(&format!("{MEMBERS}/{bob}")).await.refused(404, "not_found");
    set(&server, 1, "owner").await;
    assert_eq!(document(&server).get("invitations"), None);
}

#[tokio::test]
async fn the_last_owner_stays_unless_the_platform_insists() {
    let server = TestServer::spawn().await;
    set(&server, 1, "owner").await;
    set(&server, 2, "admin").await;
    assert_eq!(server.admin().post(MEMBERS, json!({"email": "a@b", "role": "owner"})).await.status, 201);
    let one = format!("{MEMBERS}/{}", id(1));
    server.admin().delete(&one).await.refused(409, "last_owner");
    server.admin().post(MEMBERS, member(1, "admin")).await.refused(409, "last_owner");
    assert_eq!(roles(&server).await, [(1, "owner".to_owned()), (2, "admin".to_owned())]);
    // With a second owner, the first may go.
    set(&server, 2, "owner").await;
    assert_eq!(server.admin().delete(&one).await.status, 200);
    let insisting = server.admin().post(&format!("{MEMBERS}?force=true"), member(2, "viewer")).await;
    assert_eq!(insisting.status, 200, "{}", insisting.text());
    set(&server, 2, "owner").await;
    assert_eq!(server.admin().delete(&format!("{MEMBERS}/{}?force=true", id(2))).await.status, 200);
    assert_eq!(roles(&server).await, []);
}

#[tokio::test]
async fn a_change_applies_only_to_the_revision_that_it_names() {
    let server = TestServer::spawn().await;
    let send = |method: &str, path: &str, tag: &str, body: Value| {
        let request = server.admin().request(method, path).header("if-match", tag).json(&body);
        async { Answer::of(request).await }
    };
    assert_eq!(server.admin().get(MEMBERS).await.header("etag"), Some("\"0\""));
    send("POST", MEMBERS, "\"1\"", member(1, "owner")).await.refused(412, "precondition_failed");
    assert_eq!(send("POST", MEMBERS, "\"0\"", member(1, "owner")).await.header("etag"), Some("\"1\""));
    send("POST", MEMBERS, "\"0\"", member(2, "viewer")).await.refused(412, "precondition_failed");
    assert_eq!(send("POST", MEMBERS, "*", member(2, "viewer")).await.status, 201);
    let two = format!("{MEMBERS}/{}", id(2));
    send("DELETE", &two, "\"1\"", json!({})).await.refused(412, "precondition_failed");
    assert_eq!(send("DELETE", &two, "\"1\", \"2\"", json!({})).await.status, 200);
}

#[tokio::test]
async fn what_is_no_membership_is_refused() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let long = format!("{}@example.com", "a".repeat(243));
    let mut bodies = vec![
        json!({}),
        json!([]),
        json!({"role": "viewer"}),
        json!({"userId": id(1)}),
        json!({"userId": id(1), "email": "a@b", "role": "viewer"}),
        json!({"userId": id(1), "user_id": id(1), "role": "viewer"}),
        json!({"userId": id(1), "role": "viewer", "link": "x"}),
        json!({"userId": id(1), "role": "viewer", "addedBy": "x"}),
    ];
    for role in ["", "king", "platform_admin", "owner ", "viewer\u{0}"] {
        bodies.push(member(1, role));
    }
    for role in [json!(null), json!(7), json!(["viewer"]), json!({"viewer": 1})] {
        bodies.push(json!({"userId": id(1), "role": role}));
    }
    for id in ["", "op-", "ada", "../x", "inv-00000000000000000000000000000001", &id(0xabc).to_uppercase()] {
        bodies.push(json!({"userId": id, "role": "viewer"}));
    }
    for email in ["", "a", "a@", "@b", "a@b@c", "a b@c", "a@b\n", "a\u{202e}@b", &long] {
        bodies.push(json!({"email": email, "role": "viewer"}));
    }
    for body in bodies {
        let answer = admin.post(MEMBERS, body.clone()).await;
        assert_eq!(answer.problem(), (400, "invalid_request".to_owned()), "{body}");
        assert!(!answer.text().contains("king"), "no value is repeated: {}", answer.text());
    }
    admin.post(PLATFORM, member(1, "owner")).await.refused(400, "invalid_request");
    for id in ["x", "op-1", "inv-1", "5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10"] {
        admin.delete(&format!("{MEMBERS}/{id}")).await.refused(400, "invalid_request");
    }
    admin.post(&format!("{MEMBERS}?force=yes"), member(1, "viewer")).await.refused(400, "invalid_request");
    admin.post(&format!("{MEMBERS}?wait=1h"), member(1, "viewer")).await.refused(400, "invalid_request");
    assert!(!server.path(DOCUMENT).exists());
    let nobody = "/api/v1/tenants/nobody/memberships";
    admin.post(nobody, member(1, "viewer")).await.refused(404, "not_found");
    admin.get(nobody).await.refused(404, "not_found");
    admin.delete(&format!("{nobody}/{}", id(1))).await.refused(404, "not_found");
}

#[tokio::test]
async fn there_are_so_many_members_and_invitations_and_no_more() {
    let server = TestServer::spawn().await;
    let members: serde_json::Map<_, _> = (0..1000).map(|number| (id(number), json!({"role": "viewer"}))).collect();
    let invitation = |number: usize| {
        let email = format!("{number}@example.com");
        (format!("inv-{number:032x}"), json!({"email": email, "role": "viewer", "expiresAt": "2999-01-01T00:00:00Z"}))
    };
    let invitations: serde_json::Map<_, _> = (0..200).map(invitation).collect();
    by_hand(&server, &json!({"version": 1, "members": members, "invitations": invitations}));
    sync(&server).await;
    server.admin().post(MEMBERS, member(1000, "viewer")).await.refused(400, "invalid_request");
    let invite = |email: &str| json!({"email": email, "role": "viewer"});
    server.admin().post(MEMBERS, invite("x@example.com")).await.refused(400, "invalid_request");
    assert_eq!(server.admin().post(MEMBERS, member(7, "owner")).await.status, 200);
    assert_eq!(server.admin().post(MEMBERS, invite("7@EXAMPLE.com")).await.status, 200);
    assert_eq!(server.admin().delete(&format!("{MEMBERS}/{}", id(8))).await.status, 200);
    assert_eq!(server.admin().post(MEMBERS, member(1000, "viewer")).await.status, 201);
}

#[tokio::test]
async fn a_change_on_one_node_is_seen_by_the_other_within_a_poll() {
    let (a, b) = two(quick).await;
    set(&a, 1, "owner").await;
    until_roles(&b, &[(1, "owner")]).await;
    let waited = b.admin().post(&format!("{MEMBERS}?wait=5s"), member(2, "viewer")).await;
    assert_eq!((waited.status.as_u16(), &waited.json()["receipt"]["appliedOn"]), (201, &json!(2)), "{}", waited.text());
    assert_eq!(roles(&a).await, [(1, "owner".to_owned()), (2, "viewer".to_owned())]);
    assert_eq!(a.admin().delete(&format!("{MEMBERS}/{}", id(2))).await.status, 200);
    until_roles(&b, &[(1, "owner")]).await;
    // What is changed on one is judged by what is stored, and not by what that node has heard of.
    assert_eq!(a.admin().delete(&format!("{MEMBERS}/{}?force=true", id(1))).await.status, 200);
    b.admin().delete(&format!("{MEMBERS}/{}", id(1))).await.refused(404, "not_found");
}

#[tokio::test]
async fn members_who_are_set_at_once_on_two_nodes_are_all_there() {
    let (a, b) = two(quick).await;
    let (on_a, on_b) = (a.admin(), b.admin());
    let sets = (0..24).map(|number| [&on_a, &on_b][number % 2].post(MEMBERS, member(number, "viewer")));
    for set in futures::future::join_all(sets).await {
        assert_eq!(set.status, 201, "{}", set.text());
    }
    let expected: Vec<_> = (0..24).map(|number| (number, "viewer")).collect();
    until_roles(&a, &expected).await;
    until_roles(&b, &expected).await;
    assert_eq!(document(&a)["rev"], 24);
}

/// Something in the place of the document that is none.
#[tokio::test]
async fn members_of_the_platform_are_a_list_of_their_own() {
    let server = TestServer::spawn().await;
    let admin = server.admin();
    let added = admin.post(PLATFORM, member(1, "platform_admin")).await;
    assert_eq!(added.header("location"), Some(&*format!("{PLATFORM}/{}", id(1))));
    assert_eq!(admin.post(PLATFORM, json!({"email": "a@b", "role": "Platform_Viewer"})).await.status, 201);
    let listed = admin.get(PLATFORM).await.json();
    assert_eq!((&listed["items"][0]["userId"], &listed["items"][0]["role"]), (&json!(id(1)), &json!("platform_admin")));
    assert_eq!(listed["invitations"][0]["role"], "platform_viewer");
    assert_eq!(roles(&server).await, []);
    assert!(server.path(".settings/keyloft/members.json").exists() && !server.path(DOCUMENT).exists());
    // The platform has no owner to lose: the admin token is left.
    assert_eq!(admin.delete(&format!("{PLATFORM}/{}", id(1))).await.status, 200);
}

#[tokio::test]
async fn a_machine_reads_members_and_sees_addresses_from_admin_up() {
    let server = TestServer::spawn().await;
    set(&server, 1, "owner").await;
    let invited = server.admin().post(MEMBERS, json!({"email": "a@b", "role": "viewer"})).await.json();
    for (role, email) in [
        ("viewer", Value::Null),
        ("analyst", Value::Null),
        ("admin", json!("a@b")),
        ("platform_viewer", json!("a@b")),
        ("platform_admin", json!("a@b")),
    ] {
        let (_, client) = machine(&server, "default", role).await;
        let listed = client.get(MEMBERS).await.json();
        assert_eq!(
            (&listed["items"][0]["userId"], &listed["invitations"][0]["email"]),
            (&json!(id(1)), &email),
            "{role}"
        );
        client.post(MEMBERS, member(2, "viewer")).await.refused(403, "role_not_allowed");
        let invitation = invited["id"].as_str().unwrap();
        client.delete(&format!("{MEMBERS}/{invitation}")).await.refused(403, "role_not_allowed");
    }
    let fields: BTreeSet<String> = invited.as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        fields,
        ["createdAt", "email", "expiresAt", "id", "invitedBy", "receipt", "role"].map(String::from).into()
    );
}

#[tokio::test]
async fn the_members_of_a_deleted_tenant_are_not_listed() {
    let server = TestServer::spawn().await;
    let path = "/api/v1/tenants/acme/memberships";
    server.admin().post("/api/v1/tenants", json!({"tenantId": "acme"})).await;
    assert_eq!(server.admin().post(path, member(1, "owner")).await.status, 201);
    assert!(server.admin().delete("/api/v1/tenants/acme").await.status.is_success());
    server.admin().get(path).await.refused(410, "tenant_deleted");
    server.admin().post(path, member(2, "owner")).await.refused(410, "tenant_deleted");
    server.admin().delete(&format!("{path}/{}", id(1))).await.refused(410, "tenant_deleted");
}
