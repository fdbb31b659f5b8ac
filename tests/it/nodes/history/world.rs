//! Some nodes, one store, and what people do to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use keyloft::key::{
    Credential, KeyId, KeyName, KeyPatch, KeyType, Label, NewKey, PlainSecret, SettingsPatch, TenantId,
};
use keyloft::keystore::Lookup;
use keyloft::testing::layout::ObjectName;
use keyloft::{Bucket, ErrorKind};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use parking_lot::Mutex;

use super::ledger::{Field, Ledger, Promise, Rotation, Secret, Write};
use super::node::Node;
use super::store::{Disk, Line};
use super::time::Start;
use crate::support::Dice;
use crate::support::context;

#[derive(Debug)]
pub struct World {
    pub start: Start,
    pub disk: Arc<Disk>,
    pub ledger: Ledger,
    pub tenants: Vec<TenantId>,
    pub dice: Dice,
    nodes: Mutex<Vec<Arc<Node>>>,
    /// Nodes that were killed, and how far each had come.
    dead: Mutex<Vec<(Arc<Node>, u64)>>,
    removed: Mutex<Vec<(Path, PutPayload)>>,
    words: Mutex<u64>,
    trimmed: AtomicU64,
}

impl World {
    pub async fn new(seed: u64, nodes: usize, liar: bool) -> Arc<Self> {
        let start = Start::now();
        let disk = Disk::new(start, liar);
        let dice = Dice::new(seed);
        let acme = TenantId::parse("acme").unwrap();
        let tenants = vec![TenantId::default(), acme.clone()];
        let nodes: Vec<_> = (0..nodes).map(|_| Node::start(&disk, start, dice.below(u64::MAX))).collect();
        nodes[0].catch_up().await;
        nodes[0].keystore.create_tenant(&context(), acme, None).await.unwrap();
        for node in &nodes {
            node.catch_up().await;
        }
        let (dead, removed, words, trimmed) = Default::default();
        let ledger = Ledger::default();
        Arc::new(Self { start, disk, ledger, tenants, dice, nodes: Mutex::new(nodes), dead, removed, words, trimmed })
    }

    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub fn nodes(&self) -> Vec<Arc<Node>> {
        self.nodes.lock().clone()
    }

    pub fn dead(&self) -> Vec<(Arc<Node>, u64)> {
        self.dead.lock().clone()
    }

    pub fn kill(&self, at: usize) {
        let node = self.nodes()[at].clone();
        if !node.line.is_dead() {
            node.kill();
            let applied = node.keystore.replica().applied_seq();
            self.dead.lock().push((node, applied));
        }
    }

    /// Starts a node in the place of one that was killed.
    pub fn restart(&self, at: usize) {
        self.kill(at);
        let node = Node::start(&self.disk, self.start, self.dice.below(u64::MAX));
        self.nodes.lock()[at] = node;
    }

    pub async fn issue(&self, node: &Node, tenant: TenantId, name: &'static str) {
        let new = NewKey::new(KeyName::parse(name).unwrap(), KeyType::Query);
        let outcome = node.keystore.issue(&context(), &tenant, new).await;
        let (at, mut pages) = (self.now(), self.ledger.open());
        match outcome {
            Ok(issued) => {
                pages.tell(at, &format!("  {tenant}/{name} is {} (change {})", issued.key.key_id, issued.change_seq));
                pages.acknowledged += 1;
                pages.issued(Promise {
                    tenant,
                    name,
                    key_id: issued.key.key_id,
                    api_key: issued.secret.expose().to_owned(),
                    issued: at,
                    issued_on: node.id,
                    revoke_asked: None,
                    revoked: None,
                    refused_on: Vec::new(),
                    by_hand: false,
                    switched: false,
                    writes: Vec::new(),
                    rotations: Vec::new(),
                });
            }
            Err(error) => {
                pages.failed += 1;
                pages.tell(at, &format!("  {tenant}/{name}: {:?}", error.kind()));
            }
        }
    }

    pub async fn update(&self, node: &Node, key: usize, field: Field) {
        let Some(promise) = self.promise(key) else { return };
        let (value, patch) = self.patch(field);
        let index = {
            let mut pages = self.ledger.open();
            let known = &mut pages.promises[key];
            known.switched |= field == Field::State;
            let (asked, promised, rev) = (self.now(), None, None);
            known.writes.push(Write { field, value, asked, promised, rev, refused: false });
            known.writes.len() - 1
        };
        let outcome = node.keystore.update(&context(), &promise.tenant, promise.key_id, patch, None).await;
        let (at, mut pages) = (self.now(), self.ledger.open());
        match outcome {
            Ok(changed) => {
                pages.acknowledged += 1;
                pages.tell(at, &format!("  {} is revision {}", promise.key_id, changed.value.rev));
                // Nothing was written when the state was that already.
                let rev = Some(changed.value.rev).filter(|_| field != Field::State && !promise.by_hand);
                let write = &mut pages.promises[key].writes[index];
                (write.promised, write.rev) = (Some(at), rev);
            }
            Err(error) => {
                pages.failed += 1;
                pages.tell(at, &format!("  {}: {:?}", promise.key_id, error.kind()));
                let kind = error.kind();
                pages.promises[key].writes[index].refused =
                    matches!(kind, ErrorKind::NotFound | ErrorKind::KeyRevoked | ErrorKind::PreconditionFailed);
                let known = &pages.promises[key];
                let gone = kind == ErrorKind::KeyRevoked || kind == ErrorKind::NotFound;
                if gone && known.revoke_asked.is_none() && !known.by_hand {
                    pages.broken.push(format!("{} was promised and is {kind:?}", promise.key_id));
                }
            }
        }
    }

    fn patch(&self, field: Field) -> (String, KeyPatch) {
        let mut words = self.words.lock();
        *words += 1;
        let word = format!("w{words}");
        let label = Label::parse(&word).unwrap();
        match field {
            Field::Source => {
                (word.clone(), SettingsPatch { source_id: Some(Some(label)), ..SettingsPatch::default() }.into())
            }
            Field::Trust => {
                (word.clone(), SettingsPatch { trust_level: Some(label.into()), ..SettingsPatch::default() }.into())
            }
            Field::State => {
                let active = words.is_multiple_of(2);
                let value = if active { "active" } else { "disabled" };
                (value.to_owned(), KeyPatch { active: Some(active), ..KeyPatch::default() })
            }
        }
    }

    pub async fn rotate(&self, node: &Node, key: usize, ends_older: bool) {
        let Some(promise) = self.promise(key) else { return };
        let index = {
            let rotations = &mut self.ledger.open().promises[key].rotations;
            rotations.push(Rotation { ends_older, promised: None, refused: false });
            rotations.len() - 1
        };
        let overlap = TimeDelta::days(if ends_older { 0 } else { 365 });
        let outcome = node.keystore.rotate(&context(), &promise.tenant, promise.key_id, overlap, None).await;
        let (at, mut pages) = (self.now(), self.ledger.open());
        match outcome {
            Ok(issued) => {
                pages.acknowledged += 1;
                pages.tell(at, &format!("  {} is rotated in revision {}", promise.key_id, issued.key.rev));
                let (api_key, rev) = (issued.secret.expose().to_owned(), issued.key.rev);
                pages.promises[key].rotations[index].promised = Some(Secret { api_key, rev, at, by: node.id });
            }
            Err(error) => {
                pages.failed += 1;
                pages.tell(at, &format!("  {}: {:?}", promise.key_id, error.kind()));
                let refusals = [ErrorKind::NotFound, ErrorKind::KeyRevoked, ErrorKind::TooManySecrets];
                pages.promises[key].rotations[index].refused = refusals.contains(&error.kind());
            }
        }
    }

    pub async fn revoke(&self, node: &Node, key: usize) {
        let Some(promise) = self.promise(key) else { return };
        let asked = self.now();
        self.ledger.open().promises[key].revoke_asked.get_or_insert(asked);
        let outcome = node.keystore.revoke(&context(), &promise.tenant, promise.key_id, None).await;
        let (at, mut pages) = (self.now(), self.ledger.open());
        match outcome {
            Ok(changed) => {
                pages.acknowledged += 1;
                pages.tell(at, &format!("  {} is revoked (change {})", promise.key_id, changed.change_seq));
                pages.promises[key].revoked.get_or_insert((at, node.id));
                pages.promises[key].refused_on.push(node.id);
            }
            Err(error) if error.kind() == ErrorKind::RevokedHere => {
                pages.tell(at, &format!("  {} is revoked here", promise.key_id));
                pages.promises[key].refused_on.push(node.id);
            }
            Err(error) => {
                pages.failed += 1;
                pages.tell(at, &format!("  {}: {:?}", promise.key_id, error.kind()));
            }
        }
    }

    /// Presents a key that nobody issued, or one that was issued.
    pub async fn look_up_if_needed(&self, node: &Node, key: Option<usize>) {
        let unknown = PlainSecret::generate(KeyType::Query).unwrap();
        let known = key.and_then(|key| self.promise(key).map(|promise| (key, promise)));
        let api_key = known.as_ref().map_or(unknown.expose(), |(_, promise)| &promise.api_key);
        let (began, cut_before) = (self.now(), node.line.is_cut() && node.line.clear_for().is_zero());
        let found = node.keystore.look_up_if_needed(&Credential::parse(api_key).unwrap().digest()).await;
        let cut = cut_before && node.line.is_cut();
        let mut pages = self.ledger.open();
        match (known, found) {
            (None, Ok(Lookup::Needed)) if cut && self.now() == began => {
                pages.broken.push("a node that is cut off says that a key is unknown".to_owned());
            }
            (Some((key, promise)), Ok(Lookup::Needed | Lookup::Alone))
                if promise.issued <= began && pages.promises[key].first_must_work() =>
            {
                if let (true, Err(denial)) = (node.serves(), node.authenticate(&promise.api_key)) {
                    pages.broken.push(format!("{} was looked for and is {denial:?}", promise.key_id));
                }
            }
            _ => {}
        }
    }

    pub fn promise(&self, key: usize) -> Option<Promise> {
        self.ledger.open().promises.get(key).cloned()
    }

    pub fn file(tenant: &TenantId, key_id: KeyId) -> Path {
        Path::parse(ObjectName::Key { tenant: tenant.clone(), key_id }.path().as_str()).unwrap()
    }

    pub async fn remove_file(&self, key: usize) {
        let Some(promise) = self.promise(key) else { return };
        self.ledger.open().promises[key].by_hand = true;
        let path = Self::file(&promise.tenant, promise.key_id);
        if let Ok(found) = self.disk.plain().get(&path).await {
            let body = found.bytes().await.unwrap();
            self.removed.lock().push((path.clone(), body.into()));
            self.disk.plain().delete(&path).await.unwrap();
        }
    }

    pub async fn restore_file(&self) {
        let removed = self.removed.lock().pop();
        if let Some((path, body)) = removed {
            self.disk.plain().put(&path, body).await.unwrap();
        }
    }

    /// Removes old entries of the log, as a node does that has written a snapshot. The last one stays.
    pub async fn trim(&self) {
        let log = self.log().await;
        let before = self.start.wall() - TimeDelta::hours(1);
        let bucket = Bucket::new(Line::new(self.disk.clone(), 0).store());
        let last = keyloft::testing::keep(&bucket, 0, log.last().map_or(0, |last| last - 1)).await.unwrap();
        keyloft::testing::trim(&bucket, last, before).await.unwrap();
        let left = self.log().await;
        let gone = log.into_iter().filter(|seq| !left.contains(seq)).max();
        self.trimmed.fetch_max(gone.unwrap_or(0), Ordering::SeqCst);
    }

    /// A node that was away for long starts again, and at its start only the listing counts.
    pub fn spare_the_lost(&self) {
        let lost = |node: &Node| node.kept_up().is_none_or(|at| self.now() - at > Duration::from_secs(1200));
        for node in self.nodes().iter().filter(|node| lost(node)) {
            node.line.weather(0, false);
        }
    }

    /// The highest number that was trimmed.
    pub fn trimmed(&self) -> u64 {
        self.trimmed.load(Ordering::SeqCst)
    }
}
