//! Every point at which a node can die: at each of its requests, before and after the store has done it.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures::TryStreamExt;
use keyloft::ErrorKind;
use keyloft::KeyCache;
use keyloft::key::{ApiKey, Digest, Hint, KeyId, KeyName, KeyPatch, KeyType, Label, NewKey, SettingsPatch, TenantId};
use keyloft::keystore::{Change, Effect, Filter, Issued, SuppliedSecret};

use super::node::Node;
use super::store::Disk;
use super::time::Start;
use crate::support::context;

/// A node with a key, which will die, and one that goes on.
struct Pair {
    disk: Arc<Disk>,
    start: Start,
    dying: Arc<Node>,
    other: Arc<Node>,
    key: Arc<ApiKey>,
    api_key: String,
}

fn new_key(name: &str) -> NewKey {
    NewKey::new(KeyName::parse(name).unwrap(), KeyType::Query)
}

fn tenant() -> TenantId {
    TenantId::default()
}

async fn issue(node: &Node, name: &str) -> keyloft::Result<Issued> {
    node.keystore.issue(&context(), &tenant(), new_key(name)).await
}

impl Pair {
    async fn new() -> Self {
        let start = Start::now();
        let disk = Disk::new(start, false);
        let (dying, other) = (Node::start(&disk, start, 1), Node::start(&disk, start, 2));
        dying.catch_up().await;
        let issued = issue(&dying, "first").await.unwrap();
        other.catch_up().await;
        let api_key = issued.secret.expose().to_owned();
        Self { disk, start, dying, other, key: issued.key, api_key }
    }

    /// Starts the node that died again, and lets both reconcile.
    async fn recover(&self) -> Arc<Node> {
        self.dying.kill();
        let again = Node::start(&self.disk, self.start, 3);
        again.catch_up().await;
        self.other.sync().await.unwrap();
        self.converged(&again);
        again
    }

    fn converged(&self, again: &Node) {
        assert_eq!(all(again.keystore.cache()), all(self.other.keystore.cache()));
    }

    /// The next admin can use the name: at once, after two minutes, or after revoking the key that was never reported.
    async fn name_can_be_given(&self, name: &str) {
        let owner = async |node: &Node| {
            let filter = Filter { name: Some(name.to_owned()), ..Filter::default() };
            node.keystore.list(&tenant(), &filter, None, 10).await.unwrap().keys
        };
        assert!(owner(&self.other).await.len() <= 1, "two owners of {name}");
        if let Some(owner) = owner(&self.other).await.first() {
            let error = issue(&self.other, name).await.unwrap_err();
            assert_eq!((error.kind(), error.wait()), (ErrorKind::DuplicateKeyName, None));
            self.other.keystore.revoke(&context(), &tenant(), owner.key_id, None).await.unwrap();
        } else if let Err(error) = issue(&self.other, name).await {
            let wait = error.wait().expect("a name that nobody owns is free after a time that is said");
            assert!(error.kind() == ErrorKind::DuplicateKeyName && wait <= Duration::from_secs(120), "{error:?}");
            tokio::time::sleep(wait).await;
        } else {
            return;
        }
        let issued = issue(&self.other, name).await.unwrap();
        assert!(self.other.authenticate(issued.secret.expose()).is_ok());
        assert_eq!(owner(&self.other).await.len(), 1);
    }
}

fn all(cache: &KeyCache) -> Vec<Arc<ApiKey>> {
    cache.scan(&tenant(), None, usize::MAX, |_| true)
}

/// Runs `change` on a node that dies at every one of its requests in turn, then `check` with what was acknowledged,
/// until it gets to its end alive. Says at how many requests it died.
fn at_every_request<T: Send + 'static>(
    change: impl AsyncFn(&Pair) -> keyloft::Result<T>,
    check: impl AsyncFn(&Pair, Option<T>),
) -> u64 {
    for count in 1.. {
        let mut died = false;
        for done in [false, true] {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            died |= runtime.block_on(async {
                let pair = Pair::new().await;
                pair.dying.stop_following();
                pair.dying.line.die_at(count, done);
                let acknowledged = tokio::select! {
                    outcome = change(&pair) => Some(outcome.unwrap()),
                    () = pair.dying.line.death() => None,
                };
                let died = pair.dying.line.is_dead();
                check(&pair, acknowledged).await;
                died
            });
        }
        if !died {
            return count - 1;
        }
    }
    unreachable!()
}

#[test]
fn a_node_may_die_at_any_request_of_an_issue() {
    let requests = at_every_request(
        async |pair| issue(&pair.dying, "second").await,
        async |pair, issued| {
            let again = pair.recover().await;
            assert!(again.authenticate(&pair.api_key).is_ok() && pair.other.authenticate(&pair.api_key).is_ok());
            if let Some(issued) = issued {
                assert!(again.authenticate(issued.secret.expose()).is_ok());
                assert!(pair.other.authenticate(issued.secret.expose()).is_ok());
            }
            pair.name_can_be_given("second").await;
            again.catch_up().await;
            pair.converged(&again);
        },
    );
    assert!(requests >= 4, "an issue takes {requests} requests");
}

#[test]
fn a_node_may_die_at_any_request_of_an_issue_of_a_name_that_was_used() {
    at_every_request(
        async |pair| {
            pair.other.keystore.revoke(&context(), &tenant(), pair.key.key_id, None).await?;
            issue(&pair.dying, "first").await
        },
        async |pair, issued| {
            let again = pair.recover().await;
            assert!(again.authenticate(&pair.api_key).is_err() && pair.other.authenticate(&pair.api_key).is_err());
            if let Some(issued) = issued {
                assert!(again.authenticate(issued.secret.expose()).is_ok());
            }
            pair.name_can_be_given("first").await;
            again.catch_up().await;
            pair.converged(&again);
        },
    );
}

#[test]
fn a_node_may_die_at_any_request_of_a_revocation() {
    let requests = at_every_request(
        async |pair| pair.dying.keystore.revoke(&context(), &tenant(), pair.key.key_id, None).await,
        async |pair, revoked| {
            if revoked.is_some() {
                pair.other.catch_up().await;
                assert!(pair.other.authenticate(&pair.api_key).is_err(), "promised, and not known by the log");
            }
            let again = pair.recover().await;
            if revoked.is_some() {
                assert!(again.authenticate(&pair.api_key).is_err());
            }
            pair.other.keystore.revoke(&context(), &tenant(), pair.key.key_id, None).await.unwrap();
            again.catch_up().await;
            assert!(again.authenticate(&pair.api_key).is_err() && pair.other.authenticate(&pair.api_key).is_err());
            pair.name_can_be_given("first").await;
            again.catch_up().await;
            pair.converged(&again);
        },
    );
    assert!(requests >= 3, "a revocation takes {requests} requests");
}

#[test]
fn a_node_may_die_at_any_request_of_an_update() {
    let patch = |word: &str| {
        KeyPatch::from(SettingsPatch { source_id: Some(Label::parse(word).ok()), ..SettingsPatch::default() })
    };
    at_every_request(
        async |pair| pair.dying.keystore.update(&context(), &tenant(), pair.key.key_id, patch("one"), None).await,
        async |pair, updated| {
            let source =
                |node: &Node| node.keystore.find(&tenant(), pair.key.key_id).unwrap().settings.source_id.clone();
            if updated.is_some() {
                pair.other.catch_up().await;
                assert_eq!(source(&pair.other), Label::parse("one").ok());
            }
            let again = pair.recover().await;
            assert!(again.authenticate(&pair.api_key).is_ok());
            pair.other.keystore.update(&context(), &tenant(), pair.key.key_id, patch("two"), None).await.unwrap();
            again.catch_up().await;
            assert_eq!(source(&again), Label::parse("two").ok());
            pair.converged(&again);
        },
    );
}

#[test]
fn a_node_may_die_at_any_request_of_a_rotation() {
    for overlap in [TimeDelta::zero(), TimeDelta::days(1)] {
        let requests = at_every_request(
            async |pair| pair.dying.keystore.rotate(&context(), &tenant(), pair.key.key_id, overlap, None).await,
            async |pair, rotated| {
                let works = |node: &Node, secret: &str| node.authenticate(secret).is_ok();
                if let Some(rotated) = &rotated {
                    pair.other.catch_up().await;
                    assert!(works(&pair.other, rotated.secret.expose()), "promised, and not known by the log");
                    assert_eq!(works(&pair.other, &pair.api_key), !overlap.is_zero());
                }
                let again = pair.recover().await;
                assert_eq!(works(&again, &pair.api_key), works(&pair.other, &pair.api_key), "the same everywhere");
                assert!(overlap.is_zero() || works(&again, &pair.api_key));
                // An admin without an answer rotates again, and no unreported secret is left.
                let last = pair
                    .other
                    .keystore
                    .rotate(&context(), &tenant(), pair.key.key_id, TimeDelta::zero(), None)
                    .await
                    .unwrap();
                again.catch_up().await;
                let lost = rotated.iter().map(|rotated| rotated.secret.expose());
                for node in [&again, &pair.other] {
                    assert!(works(node, last.secret.expose()) && !works(node, &pair.api_key));
                    assert!(lost.clone().all(|secret| !works(node, secret)));
                }
                pair.converged(&again);
            },
        );
        assert!(requests >= 3, "a rotation takes {requests} requests");
    }
}

#[test]
fn a_node_may_die_at_any_request_of_a_purge() {
    at_every_request(
        async |pair| {
            pair.other.keystore.revoke(&context(), &tenant(), pair.key.key_id, None).await?;
            tokio::time::sleep(Duration::from_secs(500)).await;
            pair.dying.keystore.poll().await?;
            pair.dying.keystore.purge().await
        },
        async |pair, purged| {
            let again = pair.recover().await;
            assert!(again.authenticate(&pair.api_key).is_err() && pair.other.authenticate(&pair.api_key).is_err());
            again.keystore.purge().await.unwrap();
            pair.other.catch_up().await;
            assert!(all(again.keystore.cache()).is_empty());
            assert!(purged.is_none_or(|count| count == 1));
            pair.converged(&again);
            pair.name_can_be_given("first").await;
        },
    );
}

/// Three changes at once: a new name, an old name for a new key, and another new name.
async fn many(node: &Node, old: KeyId) -> keyloft::Result<Vec<Effect>> {
    let issue = |name: &str| {
        let secret = secret_of(name);
        let secret =
            SuppliedSecret { digest: Digest::of(&secret), hint: Hint::parse(&secret[52..]).unwrap(), own: true };
        Change::Issue { new: Box::new(new_key(name)), secret: Some(secret), active: true }
    };
    let changes = vec![issue("second"), Change::Revoke { id: old }, issue("first"), issue("third")];
    node.keystore.change_many(&context(), &tenant(), changes).map_ok(|done| done.effect).try_collect().await
}

/// The same API key for a name every time.
fn secret_of(name: &str) -> String {
    format!("{name:-<32}{:-<24}", name.len())
}

#[test]
fn a_node_may_die_at_any_request_of_many_changes_and_the_same_again_elsewhere_makes_them_good() {
    let requests = at_every_request(
        async |pair| many(&pair.dying, pair.key.key_id).await,
        async |pair, acknowledged| {
            let works = |node: &Node, name: &str| node.authenticate(&secret_of(name)).is_ok();
            if acknowledged.is_some() {
                pair.other.catch_up().await;
                assert!(["first", "second", "third"].iter().all(|name| works(&pair.other, name)), "promised");
                assert!(pair.other.authenticate(&pair.api_key).is_err());
            }
            // At once: nobody waits for the claims of the dead.
            pair.dying.kill();
            let effects = many(&pair.other, pair.key.key_id).await.unwrap();
            assert!(acknowledged.is_none() || effects.iter().all(|effect| *effect == Effect::Unchanged), "{effects:?}");
            let again = Node::start(&pair.disk, pair.start, 3);
            again.catch_up().await;
            for node in [&pair.other, &again] {
                assert!(["first", "second", "third"].iter().all(|name| works(node, name)));
                assert!(node.authenticate(&pair.api_key).is_err());
                assert_eq!(all(node.keystore.cache()).iter().filter(|key| key.is_live()).count(), 3);
            }
            assert_eq!(all(again.keystore.cache()), all(pair.other.keystore.cache()), "no key that nobody asked for");
        },
    );
    assert!(requests >= 8, "many changes take {requests} requests");
}
