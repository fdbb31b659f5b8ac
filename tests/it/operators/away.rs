//! What was asked of a store that was away is repeated later, and undoes nothing that was asked for since.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keyloft::{Bucket, ErrorKind};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::sessions::{client_of, identity, sign_in};
use crate::support::pair::{down, slow};
use crate::support::people::id;
use crate::support::{Answer, Call, Client, Fault, Faults, Faulty, Kind, TestServer, context};

const ME: &str = "/api/v1/auth/me";
const MEMBERS: &str = "/api/v1/tenants/default/memberships";

/// A node over a store. It repeats what the store could not take when a test wants it.
async fn node(store: &Arc<dyn ObjectStore>, faults: &Arc<Faults>) -> TestServer {
    let bucket = Bucket::new(Arc::new(Faulty::new(store.clone(), faults.clone())));
    let server = TestServer::spawn_with(|setup| {
        slow(setup);
        setup.bucket = Some(bucket);
        setup.hydrate = false;
    })
    .await;
    server.app.sync().await.unwrap();
    server
}

async fn lonely(faults: Faults) -> (TestServer, Arc<Faults>) {
    let faults = Arc::new(faults);
    (node(&(Arc::new(InMemory::new()) as Arc<dyn ObjectStore>), &faults).await, faults)
}

/// Lets a node repeat what the store could not take, at least once.
async fn repeat(server: &TestServer) {
    let both = futures::future::join(server.app.accounts.follow(), server.app.memberships.follow());
    let _ = tokio::time::timeout(Duration::from_millis(2500), both).await;
}

async fn grant(server: &TestServer, number: usize) {
    let granted = server.admin().post(MEMBERS, json!({"userId": id(number), "role": "viewer"})).await;
    assert!(granted.status.is_success(), "{}", granted.text());
}

async fn applied_here(answer: Answer) {
    answer.refused(503, "store_unavailable");
    assert_eq!(answer.json()["appliedLocally"], true);
}

fn account(number: usize) -> String {
    format!("/api/v1/operators/{}", id(number))
}

async fn set_state(server: &TestServer, state: &str) -> Value {
    let changed = server.admin().patch(&account(1), json!({"state": state})).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    changed.json()["operator"].take()
}

#[tokio::test]
async fn a_sign_in_that_was_to_end_stays_ended_when_its_operator_is_let_in_again() {
    let (server, faults) = lonely(Faults::default()).await;
    grant(&server, 1).await;
    for while_away in ["disable", "end"] {
        let client = client_of(&server, identity(1, "")).await;
        assert_eq!(client.get(ME).await.status, 200);
        down(&faults, true);
        let asked = match while_away {
            "disable" => server.admin().patch(&account(1), json!({"state": "disabled"})).await,
            _ => server.admin().delete(&format!("{}/sessions", account(1))).await,
        };
        applied_here(asked).await;
        client.get(ME).await.refused(401, "invalid_admin_token");
        down(&faults, false);
        set_state(&server, "active").await;
        client.get(ME).await.refused(401, "invalid_admin_token");
        // One of afterwards is not taken for one of before.
        let again = client_of(&server, identity(1, "")).await;
        repeat(&server).await;
        let shown = server.admin().get(&account(1)).await.json();
        assert_eq!((&shown["state"], shown["sessions"].as_array().unwrap().len()), (&json!("active"), 1), "{shown}");
        client.get(ME).await.refused(401, "invalid_admin_token");
        assert_eq!(again.get(ME).await.status, 200, "{while_away}");
        // And when the store takes everything.
        set_state(&server, "disabled").await;
        assert_eq!(set_state(&server, "active").await["sessions"], json!([]));
        again.get(ME).await.refused(401, "invalid_admin_token");
    }
}

#[tokio::test]
async fn a_member_who_gets_a_role_again_is_not_removed_by_a_removal_of_before() {
    let (server, faults) = lonely(Faults::default()).await;
    grant(&server, 1).await;
    let client = client_of(&server, identity(1, "")).await;
    down(&faults, true);
    applied_here(server.admin().delete(&format!("{MEMBERS}/{}", id(1))).await).await;
    client.get(MEMBERS).await.refused(404, "not_found");
    down(&faults, false);
    grant(&server, 1).await;
    assert_eq!(client.get(MEMBERS).await.status, 200);
    repeat(&server).await;
    assert_eq!(server.admin().get(MEMBERS).await.json()["items"][0]["userId"], id(1));
    assert_eq!(client.get(MEMBERS).await.status, 200);
}

/// What is repeated, and how it is undone.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Asked {
    Remove,
    Disable,
}

impl Asked {
    /// The object that it changes.
    fn object(self) -> &'static str {
        match self {
            Self::Remove => "members.json",
            Self::Disable => "operators/",
        }
    }

    async fn of(self, server: &TestServer, number: usize) -> Answer {
        match self {
            Self::Remove => server.admin().delete(&format!("{MEMBERS}/{}", id(number))).await,
            Self::Disable => server.admin().patch(&account(number), json!({"state": "disabled"})).await,
        }
    }

    fn undo(self, server: &TestServer, number: usize) -> RequestBuilder {
        match self {
            Self::Remove => {
                let body = json!({"userId": id(number), "role": "viewer"});
                server.admin().request("POST", MEMBERS).json(&body)
            }
            Self::Disable => server.admin().request("PATCH", &account(number)).json(&json!({"state": "active"})),
        }
    }

    async fn is_done(self, server: &TestServer, number: usize) -> bool {
        match self {
            Self::Remove => {
                let members = server.admin().get(MEMBERS).await.json()["items"].take();
                !members.as_array().unwrap().iter().any(|member| member["userId"] == id(number))
            }
            Self::Disable => server.admin().get(&account(number)).await.json()["state"] == "disabled",
        }
    }
}

/// Repeating takes its time. What is asked for meanwhile comes after it, and what it has not come to yet is left out.
#[tokio::test]
async fn what_is_undone_while_something_is_being_stored_stays_undone() {
    let mut numbers = [1, 2];
    numbers.sort_by_key(|number| id(*number)); // They are stored in this order.
    let cases = [Asked::Remove, Asked::Disable].into_iter().flat_map(|asked| [(asked, 0), (asked, 1)]);
    for (asked, undone) in cases {
        let (is_closed, permits) = (Arc::new(AtomicBool::new(false)), Arc::new(Semaphore::new(0)));
        let gate = is_closed.clone();
        let waits = move |call: &Call| gate.load(Ordering::SeqCst) && call.kind == Kind::Replace;
        let (server, faults) = lonely(Faults::gated(waits, permits.clone())).await;
        for number in numbers {
            grant(&server, number).await;
            client_of(&server, identity(number, "")).await;
        }
        down(&faults, true);
        for number in numbers {
            applied_here(asked.of(&server, number).await).await;
        }
        down(&faults, false);
        let writes = || faults.count(|call| call.kind == Kind::Replace && call.is_about(asked.object()));
        let before = writes();
        is_closed.store(true, Ordering::SeqCst);
        let app = server.app.clone();
        let both = async move { futures::future::join(app.accounts.follow(), app.memberships.follow()).await };
        let repeating = tokio::spawn(both);
        server.until("the first of them is being stored", |_| writes() > before).await;
        is_closed.store(false, Ordering::SeqCst);
        let undo = tokio::spawn(Answer::of(asked.undo(&server, numbers[undone])));
        tokio::time::sleep(Duration::from_millis(500)).await;
        permits.add_permits(1);
        let answer = undo.await.unwrap();
        assert!(answer.status.is_success(), "{}", answer.text());
        tokio::time::sleep(Duration::from_millis(2500)).await;
        repeating.abort();
        let done = [asked.is_done(&server, numbers[0]).await, asked.is_done(&server, numbers[1]).await];
        assert_eq!(done, [undone != 0, undone != 1], "{asked:?}, {undone}");
    }
}

#[tokio::test]
async fn what_is_asked_for_again_while_the_store_is_away_is_repeated_once() {
    let (server, faults) = lonely(Faults::default()).await;
    grant(&server, 1).await;
    let client = client_of(&server, identity(1, "")).await;
    down(&faults, true);
    let mut attempts = Vec::new();
    for requests in [1, 20] {
        for _ in 0..requests {
            applied_here(server.admin().delete(&format!("{}/sessions", account(1))).await).await;
        }
        let reads = || faults.count(|call| call.is_about("operators/"));
        let before = reads();
        repeat(&server).await;
        attempts.push(reads() - before);
    }
    assert!(attempts[0] > 0 && attempts[1] <= 3 * attempts[0], "{attempts:?}");
    down(&faults, false);
    repeat(&server).await;
    assert_eq!(server.admin().get(&account(1)).await.json()["sessions"], json!([]));
    client.get(ME).await.refused(401, "invalid_admin_token");
}

#[tokio::test]
async fn a_handoff_is_not_used_up_while_no_token_can_be_signed() {
    let store = Arc::new(InMemory::new()) as Arc<dyn ObjectStore>;
    let faults = Arc::new(Faults::default());
    let (a, b) = (node(&store, &Arc::default()).await, node(&store, &faults).await);
    grant(&a, 1).await;
    let handoff = sign_in(&a, identity(1, ""), "proof").await.unwrap();
    // The other node has not signed anything yet, and cannot store a key.
    faults.inject(Fault::ErrorBefore, |call| call.is_write() && call.is_about("signers/"));
    let exchange = async || b.app.accounts.exchange(&context(), &handoff, &[keyloft::key::Digest::of("proof")]).await;
    assert_eq!(exchange().await.unwrap_err().kind(), ErrorKind::Unavailable);
    down(&faults, false);
    let (signed_in, _) = exchange().await.unwrap();
    assert_eq!(Client::admin(b.url(), &signed_in.token).get(ME).await.status, 200);
    assert_eq!(exchange().await.unwrap_err().kind(), ErrorKind::NotFound, "it works once");
}
