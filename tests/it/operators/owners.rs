//! Two owners who act against each other on two nodes at the same moment.

use keyloft::ErrorKind;
use keyloft::testing::operators::{Caller, Grantee, MembersRequest, MembershipId, OperatorId, Role, Scope};

use crate::support::pair::{slow, two};
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
