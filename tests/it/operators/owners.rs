//! Two owners who act against each other on two nodes at the same moment.

use std::time::Duration;

use keyloft::ErrorKind;
use keyloft::testing::operators::{Caller, Grantee, MembersRequest, MembershipId, OperatorId, Role, Scope};

use serde_json::json;

use crate::support::pair::{slow, two};
use crate::support::people::Signer;
use crate::support::{TestServer, TestStore, context};

/// What each of the two does.
#[derive(Debug, Clone, Copy)]
enum Act {
    RemoveTheOther,
    DemoteTheOther,
    Leave,
    StepDown,
}

const ACTS: [Act; 4] = [Act::RemoveTheOther, Act::DemoteTheOther, Act::Leave, Act::StepDown];

fn by(caller: Caller, force: bool) -> MembersRequest {
    MembersRequest { context: context(), caller, force, revisions: None }
}

fn somebody(number: usize) -> OperatorId {
    OperatorId::of("https://id.example", &number.to_string()).unwrap()
}

async fn act(
    server: &TestServer,
    scope: &Scope,
    act: Act,
    own: OperatorId,
    other: OperatorId,
) -> Result<(), ErrorKind> {
    let (members, request) = (&server.app.memberships, by(Caller::Member { id: own, mapped: None }, true));
    let done = match act {
        Act::RemoveTheOther => members.remove(request, scope, MembershipId::Operator(other)).await,
        Act::DemoteTheOther => members.set(request, scope, Grantee::Operator(other), Role::Viewer).await,
        Act::Leave => members.remove(request, scope, MembershipId::Operator(own)).await,
        Act::StepDown => members.set(request, scope, Grantee::Operator(own), Role::Admin).await,
    };
    done.map(drop).map_err(|error| error.kind())
}

/// In each round two owners act at once, one on each node.
async fn race(a: &TestServer, b: &TestServer, rounds: usize) {
    let (scope, ids) = (Scope::Tenant("default".parse().unwrap()), [somebody(1), somebody(2)]);
    for round in 0..rounds {
        for id in ids {
            let set =
                a.app.memberships.set(by(Caller::Platform(None), false), &scope, Grantee::Operator(id), Role::Owner);
            set.await.unwrap();
        }
        let (one, other) = (ACTS[round % 4], ACTS[round / 4 % 4]);
        let both = tokio::join!(act(a, &scope, one, ids[0], ids[1]), act(b, &scope, other, ids[1], ids[0]));
        for refused in [both.0, both.1].into_iter().filter_map(Result::err) {
            // The other was faster, and left, or took the role that this needed.
            let by_rule = [ErrorKind::LastOwner, ErrorKind::RoleNotAllowed, ErrorKind::NotFound].contains(&refused);
            assert!(by_rule, "{one:?} and {other:?}: {refused:?}");
        }
        // What counts is what is stored.
        for server in [a, b] {
            server.app.keystore.sync().await.unwrap();
            let members = server.app.memberships.list(&scope).await.unwrap();
            assert_eq!(members.owners().count(), 1, "{one:?} and {other:?} left another number of owners: {members:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_owners_who_act_against_each_other_in_a_directory_leave_one() {
    let (a, b) = two(slow).await;
    race(&a, &b, 160).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Ceph: run scripts/test.sh")]
async fn two_owners_who_act_against_each_other_on_ceph_leave_one() {
    let store = TestStore::ceph();
    let node = || {
        let bucket = store.open();
        TestServer::spawn_with(|setup| {
            slow(setup);
            setup.bucket = Some(bucket);
        })
    };
    let (a, b) = (node().await, node().await);
    race(&a, &b, 48).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_who_goes_while_the_other_one_is_disabled_elsewhere_leaves_one_who_may_sign_in() {
    let (a, b) = two(slow).await;
    let signer = Signer::added_to(&a).await;
    let owners = [signer.person(&a, 1).await, signer.person(&a, 2).await];
    for round in 0..24 {
        for owner in &owners {
            let path = format!("/api/v1/operators/{}", owner.id);
            assert_eq!(a.admin().patch(&path, json!({"state": "active"})).await.status, 200);
            owner.becomes(&a, "default", "owner").await;
        }
        b.admin().post("/api/v1/sync", json!({})).await;
        let going = async {
            // At another moment of the other's each time.
            tokio::time::sleep(Duration::from_millis(round % 6 * 3)).await;
            let members = "/api/v1/tenants/default/memberships";
            match round % 2 {
                0 => a.admin().delete(&format!("{members}/{}", owners[0].id)).await,
                _ => a.admin().post(members, json!({"userId": owners[0].id, "role": "viewer"})).await,
            }
        };
        let disabled = format!("/api/v1/operators/{}", owners[1].id);
        let admin = b.admin();
        let both = tokio::join!(going, admin.patch(&disabled, json!({"state": "disabled"})));
        for server in [&a, &b] {
            server.app.keystore.sync().await.unwrap();
            let members = server.app.memberships.list(&Scope::Tenant("default".parse().unwrap())).await.unwrap();
            let mut able = Vec::new();
            for id in members.owners() {
                let view = server.admin().get(&format!("/api/v1/operators/{id}")).await.json();
                able.extend((view["state"] == "active").then_some(id));
            }
            assert!(!able.is_empty(), "round {round}: {both:?}");
        }
    }
}
