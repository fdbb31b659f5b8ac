//! Sign-ins: how they end, here and on other nodes, also while the store is away.

use std::time::Duration;

use keyloft::key::{Digest, Label};
use keyloft::testing::operators::{Entry, Identity, Mapping, Origin, Role, Scope};
use serde_json::{Value, json};

use crate::support::pair::{faulty, quick, slow, two};
use crate::support::people::{Person, Signer, base64, id};
use crate::support::{Client, Fault, TestServer, context};

const ME: &str = "/api/v1/auth/me";
const TENANT: &str = "/api/v1/tenants/default";

async fn status(server: &TestServer, person: &Person) -> u16 {
    person.client(server).get(ME).await.status.as_u16()
}

async fn until_refused(server: &TestServer, client: &Client, path: &str, refusal: u16) {
    for _ in 0..500 {
        if client.get(path).await.status == refusal {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("five seconds passed, and {} still answers {path}", server.url());
}

#[tokio::test]
async fn a_sign_out_holds_here_at_once_and_on_another_node_within_a_poll() {
    let (a, b) = two(quick).await;
    let signer = Signer::added_to(&a).await;
    let person = signer.person(&a, 1).await;
    b.admin().post("/api/v1/sync", json!({})).await;
    assert_eq!((status(&a, &person).await, status(&b, &person).await), (200, 200));
    assert_eq!(person.client(&a).post("/api/v1/auth/logout", json!({})).await.status, 204);
    person.client(&a).get(ME).await.refused(401, "invalid_admin_token");
    until_refused(&b, &person.client(&b), ME, 401).await;
}

#[tokio::test]
async fn an_operator_is_disabled_and_let_in_again_with_another_sign_in() {
    let server = TestServer::spawn().await;
    let signer = Signer::added_to(&server).await;
    let (person, other) = (signer.person(&server, 1).await, signer.person(&server, 2).await);
    person.becomes(&server, "default", "owner").await;
    let path = format!("/api/v1/operators/{}", person.id);
    let disable = async || server.admin().patch(&path, json!({"state": "disabled"})).await;
    disable().await.refused(409, "last_owner");
    other.becomes(&server, "default", "owner").await;
    let answer = disable().await.json();
    assert_eq!((&answer["operator"]["state"], &answer["operator"]["sessions"]), (&json!("disabled"), &json!([])));
    person.client(&server).get(ME).await.refused(401, "invalid_admin_token");
    // The only owner who may sign in stays one, although another owner is on the list.
    let remove = format!("{TENANT}/memberships/{}", other.id);
    server.admin().delete(&remove).await.refused(409, "last_owner");
    other.client(&server).delete(&remove).await.refused(409, "last_owner");
    assert_eq!(server.admin().patch(&path, json!({"state": "active"})).await.status, 200);
    assert_eq!(server.admin().delete(&remove).await.status, 200);
    // The sign-in that has ended stays so.
    person.client(&server).get(ME).await.refused(401, "invalid_admin_token");
    server
        .admin()
        .patch("/api/v1/operators/op-00000000000000000000000000000001", json!({"state": "active"}))
        .await
        .refused(404, "not_found");
}

#[tokio::test]
async fn one_ends_ones_own_sign_ins_and_no_others() {
    let server = TestServer::spawn().await;
    let signer = Signer::added_to(&server).await;
    let (person, other) = (signer.person(&server, 1).await, signer.person(&server, 2).await);
    let path = |person: &Person| format!("/api/v1/auth/sessions/{}", person.sid);
    person.client(&server).delete(&path(&other)).await.refused(404, "not_found");
    assert_eq!(status(&server, &other).await, 200);
    assert_eq!(person.client(&server).delete(&path(&person)).await.json()["ended"], true);
    person.client(&server).get(ME).await.refused(401, "invalid_admin_token");
    let ended = server.admin().delete(&format!("/api/v1/operators/{}/sessions", other.id)).await;
    assert_eq!(ended.status, 200, "{}", ended.text());
    other.client(&server).get(ME).await.refused(401, "invalid_admin_token");
    server.admin().post("/api/v1/auth/logout", json!({})).await.refused(400, "invalid_request");
}

#[tokio::test]
async fn a_dropped_signer_ends_all_that_it_has_signed() {
    let (a, b) = two(quick).await;
    let signer = Signer::added_to(&a).await;
    let person = signer.person(&a, 1).await;
    b.admin().post("/api/v1/sync", json!({})).await;
    assert_eq!(status(&b, &person).await, 200);
    let jwks = a.anonymous().get("/api/v1/auth/jwks").await.json();
    assert_eq!((&jwks["keys"][0]["kid"], &jwks["keys"][0]["crv"]), (&json!(signer.kid), &json!("Ed25519")));
    assert_eq!(a.admin().delete(&format!("/api/v1/signers/{}", signer.kid)).await.json()["dropped"], true);
    person.client(&a).get(ME).await.refused(401, "invalid_admin_token");
    until_refused(&b, &person.client(&b), ME, 401).await;
    a.admin().delete(&format!("/api/v1/signers/{}", signer.kid)).await.refused(404, "not_found");
}

#[tokio::test]
async fn a_removed_member_has_no_role_here_at_once_and_elsewhere_within_a_poll() {
    let (a, b) = two(quick).await;
    let signer = Signer::added_to(&a).await;
    let (owner, viewer) = (signer.person(&a, 1).await, signer.person(&a, 2).await);
    owner.becomes(&a, "default", "owner").await;
    b.admin().post("/api/v1/sync", json!({})).await;
    let members = format!("{TENANT}/memberships");
    let invited = owner.client(&a).post(&members, json!({"user_id": viewer.id, "role": "VIEWER"})).await;
    assert_eq!((invited.status.as_u16(), &invited.json()["role"]), (201, &json!("viewer")));
    assert_eq!(viewer.client(&a).get(TENANT).await.status, 200);
    let create = json!({"keyName": "n", "keyType": "query"});
    viewer.client(&a).post(&format!("{TENANT}/apikeys"), create).await.refused(403, "role_not_allowed");
    viewer
        .client(&a)
        .post(&members, json!({"userId": viewer.id, "role": "admin"}))
        .await
        .refused(403, "role_not_allowed");
    for _ in 0..500 {
        if viewer.client(&b).get(TENANT).await.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let removed = owner.client(&a).delete(&format!("{members}/{}", viewer.id)).await;
    assert_eq!(removed.status, 200, "{}", removed.text());
    let gone = viewer.client(&a).get(TENANT).await;
    gone.refused(404, "not_found");
    assert_eq!(gone.text(), viewer.client(&a).get("/api/v1/tenants/nobody").await.text());
    until_refused(&b, &viewer.client(&b), TENANT, 404).await;
    let records = owner.client(&a).get(&format!("{TENANT}/audit?target={}", viewer.id)).await.json();
    let record = &records["items"][0];
    assert_eq!(
        (&record["action"], &record["actor"]["label"]),
        (&json!("member.remove"), &json!("Person 1")),
        "{records}"
    );
    assert_eq!(records["items"].as_array().unwrap().len(), 2);
    viewer.client(&a).get(&format!("{TENANT}/audit")).await.refused(404, "not_found");
    owner.client(&a).delete(&format!("{members}/{}", owner.id)).await.refused(409, "last_owner");
}

pub(super) fn identity(number: usize, email: &str) -> Identity {
    Identity {
        provider: Label::parse("corp").unwrap(),
        issuer: crate::support::people::ISSUER.to_owned(),
        subject: number.to_string(),
        display_name: Some(format!("Person {number}")),
        email: email.parse().ok(),
        groups: Vec::new(),
    }
}

fn origin(proof: &str) -> Origin {
    Origin { address: None, user_agent: None, proof: Some(Digest::of(proof)) }
}

/// Signs somebody in; the handoff.
pub(super) async fn sign_in(server: &TestServer, identity: Identity, proof: &str) -> Option<String> {
    match server.app.accounts.sign_in(&context(), identity, origin(proof)).await.unwrap() {
        Entry::In(signed_in) => Some(signed_in.token),
        Entry::NotAllowed(_) => None,
    }
}

async fn exchange(server: &TestServer, handoff: &str, proof: &str) -> Option<String> {
    let exchanged = server.app.accounts.exchange(&context(), handoff, &[Digest::of(proof)]).await;
    exchanged.ok().map(|(signed_in, _)| signed_in.token)
}

#[tokio::test]
async fn a_handoff_works_once_on_any_node_and_its_token_on_all_at_once() {
    let (a, b) = two(slow).await;
    a.admin().post("/api/v1/tenants/default/memberships", json!({"userId": id(1), "role": "owner"})).await;
    let handoff = sign_in(&a, identity(1, ""), "proof").await.unwrap();
    // A handoff is no token, and the reverse.
    Client::admin(a.url(), &handoff).get(ME).await.refused(401, "invalid_admin_token");
    assert_eq!(exchange(&b, &handoff, "other").await, None);
    let token = exchange(&b, &handoff, "proof").await.unwrap();
    assert_eq!(exchange(&a, &handoff, "proof").await, None);
    assert_eq!(exchange(&b, &handoff, "proof").await, None);
    assert_eq!(exchange(&b, &token, "proof").await, None);
    for server in [&b, &a] {
        let me = Client::admin(server.url(), &token).get(ME).await;
        assert_eq!(me.status, 200, "{}", me.text());
    }
    // Both exchanges at once: one wins.
    let handoff = sign_in(&a, identity(1, ""), "proof").await.unwrap();
    let (one, other) = tokio::join!(exchange(&a, &handoff, "proof"), exchange(&b, &handoff, "proof"));
    assert!(one.is_some() != other.is_some());
}

#[tokio::test]
async fn an_invitation_is_accepted_by_its_address_once_and_by_nobody_else() {
    let server = TestServer::spawn().await;
    let members = "/api/v1/tenants/default/memberships";
    let invite = async |email: &str, role: &str| {
        let answer = server.admin().post(members, json!({"email": email, "role": role})).await;
        assert!(answer.status.is_success(), "{}", answer.text());
    };
    assert_eq!(sign_in(&server, identity(1, "ada@example.com"), "p").await, None, "nobody was invited");
    assert_eq!(server.admin().get("/api/v1/operators").await.json()["items"], json!([]), "no document is made");
    invite("Ada@Example.com", "owner").await;
    assert_eq!(sign_in(&server, identity(2, "bob@example.com"), "p").await, None);
    assert_eq!(sign_in(&server, identity(2, ""), "p").await, None, "no verified address");
    assert!(sign_in(&server, identity(1, "ada@example.COM"), "p").await.is_some());
    let listed = server.admin().get(members).await.json();
    assert_eq!((&listed["items"][0]["userId"], &listed["items"][0]["role"]), (&json!(id(1)), &json!("owner")));
    assert_eq!((&listed["invitations"], &listed["items"][0]["displayName"]), (&json!([]), &json!("Person 1")));
    assert_eq!(sign_in(&server, identity(3, "ada@example.com"), "p").await, None, "it was accepted by another");
    // An address that has changed does not make another operator; a role is never lowered.
    invite("ada@new.example", "viewer").await;
    assert!(sign_in(&server, identity(1, "ada@new.example"), "p").await.is_some());
    assert_eq!(server.admin().get(members).await.json()["items"][0]["role"], "owner");
}

#[tokio::test]
async fn an_invitation_by_somebody_who_has_lost_the_role_is_worth_nothing() {
    let server = TestServer::spawn().await;
    let signer = Signer::added_to(&server).await;
    let admin = signer.person(&server, 1).await;
    admin.becomes(&server, "default", "admin").await;
    let members = "/api/v1/tenants/default/memberships";
    let invited = admin.client(&server).post(members, json!({"email": "bob@example.com", "role": "analyst"})).await;
    assert_eq!(invited.status, 201, "{}", invited.text());
    admin
        .client(&server)
        .post(members, json!({"email": "eve@example.com", "role": "admin"}))
        .await
        .refused(403, "role_not_allowed");
    admin.becomes(&server, "default", "viewer").await;
    assert_eq!(sign_in(&server, identity(2, "bob@example.com"), "p").await, None);
    admin.becomes(&server, "default", "admin").await;
    assert!(sign_in(&server, identity(2, "bob@example.com"), "p").await.is_some());
}

#[tokio::test]
async fn a_member_who_is_removed_does_not_come_back_by_an_invitation_of_before() {
    let server = TestServer::spawn().await;
    let members = "/api/v1/tenants/default/memberships";
    server.admin().post(members, json!({"userId": id(1), "role": "viewer"})).await;
    assert!(sign_in(&server, identity(1, "ada@example.com"), "p").await.is_some());
    for email in ["Ada@Example.com", "bob@example.com"] {
        assert_eq!(server.admin().post(members, json!({"email": email, "role": "analyst"})).await.status, 201);
    }
    assert_eq!(server.admin().delete(&format!("{members}/{}", id(1))).await.status, 200);
    let left = server.admin().get(members).await.json();
    assert_eq!((&left["items"], left["invitations"].as_array().unwrap().len()), (&json!([]), 1));
    assert_eq!(left["invitations"][0]["email"], "bob@example.com");
    assert_eq!(sign_in(&server, identity(1, "ada@example.com"), "p").await, None);
    // Who is invited after that comes back.
    server.admin().post(members, json!({"email": "ada@example.com", "role": "analyst"})).await;
    assert!(sign_in(&server, identity(1, "ada@example.com"), "p").await.is_some());
}

/// RFC 7636, section 4.1.
#[tokio::test]
async fn a_verifier_that_is_none_is_refused_although_the_challenge_fits() {
    let server = TestServer::spawn().await;
    server.admin().post("/api/v1/tenants/default/memberships", json!({"userId": id(1), "role": "viewer"})).await;
    let long = |length: usize| "aZ0-._~".repeat(20)[..length].to_owned();
    let with = |wrong: char| format!("{}{wrong}", long(60));
    let refused = [String::new(), long(1), long(42), long(129), with(' '), with('+'), with('/'), with('='), with('ä')];
    for (verifier, is_good) in
        refused.map(|text| (text, false)).into_iter().chain([(long(43), true), (long(128), true)])
    {
        let challenge = base64(ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes()));
        let handoff = sign_in(&server, identity(1, ""), &challenge).await.unwrap();
        let body = json!({"handoff": handoff, "verifier": verifier});
        let answer = server.anonymous().post("/api/v1/auth/token", body).await;
        match is_good {
            true => assert_eq!(answer.status, 200, "{verifier:?}: {}", answer.text()),
            false => answer.refused(400, "invalid_handoff"),
        }
    }
}

#[tokio::test]
async fn what_ends_while_the_store_is_away_ends_here_at_once_and_everywhere_later() {
    let (server, faults) = faulty(|_| {}).await;
    let grant = json!({"userId": id(1), "role": "owner"});
    server.admin().post("/api/v1/tenants/default/memberships", grant).await;
    server.admin().post("/api/v1/tenants/default/memberships", json!({"userId": id(2), "role": "viewer"})).await;
    let mut people = Vec::new();
    for number in [1, 2] {
        let handoff = sign_in(&server, identity(number, ""), "p").await.unwrap();
        people.push(Client::admin(server.url(), &exchange(&server, &handoff, "p").await.unwrap()));
    }
    faults.inject(Fault::ErrorBefore, |_| true);
    assert_eq!(people[0].get(TENANT).await.status, 200, "roles are looked up in memory");
    let removed = people[0].delete(&format!("{TENANT}/memberships/{}", id(2))).await;
    removed.refused(503, "store_unavailable");
    assert_eq!(removed.json()["appliedLocally"], true);
    people[1].get(TENANT).await.refused(404, "not_found");
    assert_eq!(people[0].post("/api/v1/auth/logout", json!({})).await.json()["appliedLocally"], true);
    people[0].get(ME).await.refused(401, "invalid_admin_token");
    faults.none();
    for _ in 0..1000 {
        let listed = server.admin().get("/api/v1/tenants/default/memberships").await.json();
        let operators: Value = server.admin().get(&format!("/api/v1/operators/{}", id(1))).await.json();
        if listed["items"].as_array().unwrap().len() == 1 && operators["sessions"] == json!([]) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("ten seconds passed, and the store still has them");
}

/// Signs somebody in; their client.
pub(super) async fn client_of(server: &TestServer, identity: Identity) -> Client {
    let handoff = sign_in(server, identity, "p").await.unwrap();
    Client::admin(server.url(), &exchange(server, &handoff, "p").await.unwrap())
}

#[tokio::test]
async fn a_role_by_a_group_cannot_be_made_to_last() {
    let server = TestServer::spawn_with(|setup| {
        setup.config.signin.mappings = vec![Mapping {
            provider: Label::parse("corp").unwrap(),
            group: "dev".to_owned(),
            scope: Scope::Tenant("default".parse().unwrap()),
            role: Role::Admin,
        }];
    })
    .await;
    let members = "/api/v1/tenants/default/memberships";
    let gal = || Identity { groups: vec!["dev".to_owned()], ..identity(1, "gal@example.com") };
    let client = client_of(&server, gal()).await;
    for email in ["gal@example.com", "bob@example.com", "eve@example.com"] {
        assert_eq!(client.post(members, json!({"email": email, "role": "analyst"})).await.status, 201);
    }
    assert!(sign_in(&server, gal(), "p").await.is_some());
    assert_eq!(server.admin().get(members).await.json()["items"], json!([]), "nobody accepts their own invitation");
    assert_eq!(sign_in(&server, identity(1, "gal@example.com"), "p").await, None, "the group is gone");
    assert!(sign_in(&server, identity(2, "bob@example.com"), "p").await.is_some());
    assert_eq!(client.post("/api/v1/auth/logout", json!({"all": true})).await.status, 204);
    assert_eq!(sign_in(&server, identity(3, "eve@example.com"), "p").await, None, "the inviter has no role any more");
}

#[tokio::test]
async fn an_admin_of_the_platform_by_configuration_invites_and_does_not_raise_their_own_role() {
    let server = TestServer::spawn_with(|setup| {
        setup.config.signin.platform_admins = vec![id(1).parse().unwrap()];
    })
    .await;
    let members = "/api/v1/tenants/default/memberships";
    let client = client_of(&server, identity(1, "root@example.com")).await;
    client.post(members, json!({"userId": id(1), "role": "owner"})).await.refused(403, "role_not_allowed");
    for email in ["root@example.com", "bob@example.com"] {
        assert_eq!(client.post(members, json!({"email": email, "role": "owner"})).await.status, 201);
    }
    assert!(sign_in(&server, identity(1, "root@example.com"), "p").await.is_some());
    assert!(sign_in(&server, identity(2, "bob@example.com"), "p").await.is_some());
    let listed = server.admin().get(members).await.json();
    assert_eq!((&listed["items"][0]["userId"], listed["items"].as_array().unwrap().len()), (&json!(id(2)), 1));
}

#[tokio::test]
async fn two_owners_who_are_disabled_on_two_nodes_at_once_do_not_both_go() {
    let (a, b) = two(slow).await;
    let signer = Signer::added_to(&a).await;
    let owners = [signer.person(&a, 1).await, signer.person(&a, 2).await];
    for owner in &owners {
        owner.becomes(&a, "default", "owner").await;
    }
    b.admin().post("/api/v1/sync", json!({})).await;
    for round in 0..20 {
        let disable = async |server: &TestServer, owner: &Person| {
            let path = format!("/api/v1/operators/{}", owner.id);
            server.admin().patch(&path, json!({"state": "disabled"})).await.status.as_u16()
        };
        let both = tokio::join!(disable(&a, &owners[0]), disable(&b, &owners[1]));
        let mut states = Vec::new();
        for owner in &owners {
            for server in [&a, &b] {
                server.admin().post("/api/v1/sync", json!({})).await;
            }
            let path = format!("/api/v1/operators/{}", owner.id);
            states.push(a.admin().get(&path).await.json()["state"].as_str().unwrap().to_owned());
            assert_eq!(a.admin().patch(&path, json!({"state": "active"})).await.status, 200);
        }
        assert!(states.iter().any(|state| state == "active"), "round {round}: {both:?}");
        b.admin().post("/api/v1/sync", json!({})).await;
    }
}
