//! At any instant exactly the right secrets work: random lives of a key on two nodes, against a model that knows when
//! each rotation was and nothing of how it is done.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use keyloft::access::{Action, Attempt, authenticate};
use keyloft::key::{KeyName, KeyPatch, KeyType, NewKey, OlderSecrets, TenantId};
use keyloft::{Bucket, Clock, ErrorKind, Keystore, ManualClock};
use proptest::prelude::*;

use crate::support::context;

#[derive(Debug, Clone)]
enum Step {
    Rotate {
        node: usize,
        overlap: i64,
    },
    /// Rotates to a secret that the key had before.
    GoBack {
        node: usize,
        secret: usize,
        overlap: i64,
    },
    EndOverlap {
        node: usize,
    },
    Enable {
        node: usize,
        active: bool,
    },
    Expire {
        node: usize,
        seconds: Option<i64>,
    },
    Revoke {
        node: usize,
    },
    Pass {
        seconds: i64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let node = || 0usize..2;
    let overlap = || prop_oneof![1 => Just(0), 1 => 1i64..20, 2 => 20i64..200];
    let step = prop_oneof![
        8 => (node(), overlap()).prop_map(|(node, overlap)| Step::Rotate { node, overlap }),
        2 => (node(), 0usize..40, overlap()).prop_map(|(node, secret, overlap)| Step::GoBack { node, secret, overlap }),
        1 => node().prop_map(|node| Step::EndOverlap { node }),
        2 => (node(), any::<bool>()).prop_map(|(node, active)| Step::Enable { node, active }),
        1 => (node(), proptest::option::of(1i64..300)).prop_map(|(node, seconds)| Step::Expire { node, seconds }),
        12 => (0i64..60).prop_map(|seconds| Step::Pass { seconds }),
    ];
    let end = proptest::option::weighted(0.3, node().prop_map(|node| Step::Revoke { node }));
    (proptest::collection::vec(step, 1..40), end, 0i64..100).prop_map(|(mut steps, end, seconds)| {
        steps.extend(end);
        steps.push(Step::Pass { seconds });
        steps
    })
}

/// What was done to the key, in order.
#[derive(Debug, Default)]
struct Model {
    /// Which secret became the current one, when, and until when the older ones may last at most.
    rotations: Vec<(usize, DateTime<Utc>)>,
    disabled: bool,
    revoked: bool,
    expires_at: Option<DateTime<Utc>>,
}

impl Model {
    /// A secret lasts until the soonest end that any rotation gave it since it was last the current one.
    fn until(&self, secret: usize) -> Option<DateTime<Utc>> {
        let last = self.rotations.iter().rposition(|(current, _)| *current == secret)?;
        let ends = self.rotations[last + 1..].iter().map(|(_, end)| *end);
        Some(ends.min().unwrap_or(DateTime::<Utc>::MAX_UTC))
    }

    fn works(&self, secret: usize, now: DateTime<Utc>) -> bool {
        let good = !self.disabled && !self.revoked && self.expires_at.is_none_or(|end| end > now);
        good && self.until(secret).is_some_and(|end| end > now)
    }

    /// How many secrets beside the current one would work after this rotation.
    fn overlapping(&self, to: usize, end: DateTime<Utc>, now: DateTime<Utc>, secrets: usize) -> usize {
        let after = |secret: &usize| *secret != to && self.until(*secret).is_some_and(|until| until.min(end) > now);
        (0..secrets).filter(after).count()
    }
}

struct World {
    clock: Arc<ManualClock>,
    nodes: Vec<Keystore>,
    key: keyloft::key::KeyId,
    secrets: Vec<String>,
    model: Model,
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH + TimeDelta::days(20_000)));
        let bucket = Bucket::in_memory();
        let mut nodes = Vec::new();
        for _ in 0..2 {
            let node = Keystore::new(bucket.clone(), Arc::default(), clock.clone());
            node.sync().await.unwrap();
            nodes.push(node);
        }
        let new = NewKey::new(KeyName::parse("k").unwrap(), KeyType::Query);
        let issued = nodes[0].issue(&context(), &TenantId::default(), new).await.unwrap();
        nodes[1].catch_up().await.unwrap();
        let model = Model { rotations: vec![(0, clock.now())], ..Model::default() };
        Self { clock, nodes, key: issued.key.key_id, secrets: vec![issued.secret.expose().to_owned()], model }
    }

    async fn rotate(&mut self, node: usize, to: Option<usize>, overlap: i64) {
        let (tenant, now) = (TenantId::default(), self.clock.now());
        let end = now + TimeDelta::seconds(overlap);
        let secret = to.unwrap_or(self.secrets.len());
        let full = self.model.overlapping(secret, end, now, self.secrets.len()) > OlderSecrets::MAX;
        let overlap = TimeDelta::seconds(overlap);
        let outcome = match to {
            None => self.nodes[node].rotate(&context(), &tenant, self.key, overlap, None).await.map(|issued| {
                self.secrets.push(issued.secret.expose().to_owned());
            }),
            Some(to) => {
                let (digest, hint) = keyloft::testing::own::judge(&self.secrets[to], KeyType::Query).unwrap();
                let brought = keyloft::keystore::SuppliedSecret { digest, hint, own: true };
                self.nodes[node].rotate_to(&context(), &tenant, self.key, brought, overlap, None).await.map(drop)
            }
        };
        match outcome {
            Ok(()) => {
                assert!(!full, "more secrets overlap than may");
                self.model.rotations.push((secret, end));
            }
            Err(error) => {
                let expected = if full { ErrorKind::TooManySecrets } else { ErrorKind::Internal };
                assert_eq!(error.kind(), expected, "{error:?}");
            }
        }
    }

    async fn update(&self, node: usize, patch: KeyPatch) {
        self.nodes[node].update(&context(), &TenantId::default(), self.key, patch, None).await.unwrap();
    }

    async fn run(&mut self, step: Step) {
        let now = self.clock.now();
        match step {
            Step::Rotate { node, overlap } => self.rotate(node, None, overlap).await,
            Step::GoBack { node, secret, overlap } => {
                self.rotate(node, Some(secret % self.secrets.len()), overlap).await;
            }
            Step::EndOverlap { node } => {
                self.update(node, KeyPatch { end_overlap: true, ..KeyPatch::default() }).await;
                let current = self.model.rotations.last().unwrap().0;
                self.model.rotations.push((current, now));
            }
            Step::Enable { node, active } => {
                self.update(node, KeyPatch { active: Some(active), ..KeyPatch::default() }).await;
                self.model.disabled = !active;
            }
            Step::Expire { node, seconds } => {
                let end = seconds.map(|seconds| now + TimeDelta::seconds(seconds));
                self.update(node, KeyPatch { expires_at: Some(end), ..KeyPatch::default() }).await;
                self.model.expires_at = end;
            }
            Step::Revoke { node } => {
                self.nodes[node].revoke(&context(), &TenantId::default(), self.key, None).await.unwrap();
                self.model.revoked = true;
            }
            Step::Pass { seconds } => self.clock.advance(TimeDelta::seconds(seconds)),
        }
    }

    /// Every secret that there ever was, on every node.
    async fn check(&self) {
        let now = self.clock.now();
        for (at, node) in self.nodes.iter().enumerate() {
            node.catch_up().await.unwrap();
            for (secret, text) in self.secrets.iter().enumerate() {
                let works = authenticate(node.cache(), text, &Attempt::new(Action::Query, now)).is_ok();
                let right = self.model.works(secret, now);
                assert_eq!(works, right, "secret {secret} of {} on node {at}", self.secrets.len());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn at_any_instant_exactly_the_right_secrets_work(steps in steps()) {
        crate::support::impatient().block_on(async {
            let mut world = World::new().await;
            for step in steps {
                world.run(step).await;
                world.check().await;
            }
            // What is in the bucket says the same to a node that starts now.
            world.nodes[0].sync().await.unwrap();
            world.check().await;
        });
    }
}
