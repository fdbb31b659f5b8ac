//! What must hold, whatever happened.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use chrono::TimeDelta;
use futures::TryStreamExt;
use keyloft::Bucket;
use keyloft::key::{ApiKey, KeyId, KeyState, Label, TenantId, TrustLevel};
use keyloft::testing::KeyDocument;
use keyloft::testing::layout::{self, ObjectName};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use relative_path::{RelativePath, RelativePathBuf};

use super::ledger::{Field, Promise, Secret, word};
use super::node::Node;
use super::store::Line;
use super::world::World;

/// How old the view of a node may be that reaches the store: two rounds, and the time of the requests.
const BOUND: Duration = Duration::from_millis(3000);

impl World {
    /// What must hold at any time.
    pub fn check(&self) {
        let promises = self.ledger.open().promises.clone();
        for node in self.nodes().iter().filter(|node| node.serves()) {
            let behind = self.now().saturating_sub(node.kept_up().unwrap_or_default());
            if node.line.clear_for() > BOUND && behind > BOUND {
                self.broken(format!("{} reaches the store and has not kept up for {behind:?}", node.id));
            }
            for promise in &promises {
                for secret in promise.secrets() {
                    if let Some(why) = judge(node, promise, &secret) {
                        self.broken(why);
                    }
                }
            }
        }
    }

    pub fn broken(&self, why: String) {
        self.ledger.open().broken.push(why);
    }

    /// What a node says of the others can be relied on.
    pub async fn check_receipt(&self, node: &Node, wait: Option<Duration>) {
        let seq = node.keystore.replica().applied_seq();
        // A node that is registered before the receipt is requested must be named in it.
        let views = node.keystore.replica().nodes().await.unwrap_or_default();
        let receipt = match wait {
            Some(wait) => node.keystore.replica().wait_for(seq, wait).await,
            None => node.keystore.replica().receipt(seq).await,
        };
        let fresh = |at| self.start.wall() - at < TimeDelta::seconds(150);
        let lives = self.nodes().into_iter().map(|node| (node.keystore.replica().applied_seq(), node));
        let lives: Vec<(u64, _)> =
            lives.chain(self.dead().into_iter().map(|(node, applied)| (applied, node))).collect();
        for (applied, other) in &lives {
            let view = views.iter().find(|view| view.node_id == other.id);
            if view.is_some_and(|view| view.applied_seq > *applied) {
                self.broken(format!("{} is said to have applied more than it has", other.id));
            }
            let announced = view.is_some_and(|view| fresh(view.last_seen_at) && view.node_id != node.id);
            if announced && *applied < seq && !receipt.behind.contains(&other.id) {
                self.broken(format!("{} has not applied {seq} and is not named", other.id));
            }
        }
        if receipt.live_nodes.is_some_and(|live| receipt.applied_on + receipt.behind.len() != live) {
            self.broken(format!("a receipt does not add up: {receipt:?}"));
        }
    }

    /// The rules that hold once the store is well again and every node has reconciled.
    pub async fn check_end(&self) {
        let mut stored: HashMap<TenantId, BTreeMap<KeyId, ApiKey>> = HashMap::new();
        for tenant in &self.tenants {
            stored.insert(tenant.clone(), self.stored(tenant).await);
        }
        let log = self.log().await;
        let head = log.last().copied().unwrap_or(0);
        // A node that slept may have written below what was trimmed meanwhile; it knows, and writes again.
        let trimmed = self.trimmed();
        if !log.iter().copied().filter(|seq| *seq > trimmed).eq(trimmed + 1..=head) {
            self.broken(format!("the log has gaps: {log:?}"));
        }
        let bucket = Bucket::new(Line::new(self.disk.clone(), 0).store());
        let audit = keyloft::testing::verify(&bucket).await.unwrap();
        if !self.disk.is_liar() && (!audit.holds() || audit.last != head) {
            self.broken(format!("the chain of the log does not hold up to {head}: {audit:?}"));
        }
        for node in self.nodes() {
            let applied = node.keystore.replica().applied_seq();
            if applied != head {
                self.broken(format!("{} has applied {applied} of {head}", node.id));
            }
            for (tenant, keys) in &stored {
                let held = node.keystore.cache().scan(tenant, None, usize::MAX, |_| true);
                let held: BTreeMap<KeyId, ApiKey> = held.into_iter().map(|key| (key.key_id, (*key).clone())).collect();
                for id in held.keys().chain(keys.keys()).collect::<BTreeSet<_>>() {
                    if held.get(id) != keys.get(id) {
                        let (held, stored) = (held.get(id), keys.get(id));
                        self.broken(format!("{} holds {held:?}, the bucket {stored:?}", node.id));
                    }
                }
            }
        }
        let promises = self.ledger.open().promises.clone();
        let mut owners = BTreeSet::new();
        for promise in promises.iter().filter(|promise| !promise.by_hand) {
            let key = stored.get(&promise.tenant).and_then(|keys| keys.get(&promise.key_id));
            for why in faults(promise, key) {
                self.broken(why);
            }
            let live = key.is_some_and(ApiKey::is_live);
            if live && !owners.insert((promise.tenant.clone(), promise.name)) {
                self.broken(format!("{}/{} has two owners", promise.tenant, promise.name));
            }
        }
    }

    async fn names(&self, folder: &RelativePath) -> Vec<RelativePathBuf> {
        let prefix = Path::parse(folder.as_str()).unwrap();
        let found: Vec<_> = self.disk.plain().list(Some(&prefix)).try_collect().await.unwrap();
        found.into_iter().map(|meta| RelativePathBuf::from(meta.location.to_string())).collect()
    }

    /// The keys in the bucket.
    async fn stored(&self, tenant: &TenantId) -> BTreeMap<KeyId, ApiKey> {
        let mut keys = BTreeMap::new();
        for name in self.names(&layout::keys(tenant)).await {
            let Some(ObjectName::Key { key_id, .. }) = ObjectName::parse(&name) else { continue };
            let read = self.disk.plain().get(&Path::parse(name.as_str()).unwrap()).await.unwrap();
            let document = KeyDocument::parse(&read.bytes().await.unwrap()).unwrap();
            keys.insert(key_id, document.key(tenant, key_id).unwrap());
        }
        keys
    }

    /// The numbers in the log.
    pub async fn log(&self) -> Vec<u64> {
        let names = self.names(&layout::log()).await.into_iter();
        let number = |name: RelativePathBuf| match ObjectName::parse(&name) {
            Some(ObjectName::LogEntry { seq }) => Some(seq),
            _ => None,
        };
        let mut numbers: Vec<u64> = names.filter_map(number).collect();
        numbers.sort_unstable();
        numbers
    }
}

/// Why a node must not treat a secret of a key as it does.
fn judge(node: &Node, promise: &Promise, secret: &Secret) -> Option<String> {
    let knows = |at: Duration, by| node.id == by || node.kept_up().is_some_and(|kept_up| kept_up > at);
    let named = format!("{} (revision {})", promise.key_id, secret.rev);
    match node.authenticate(&secret.api_key) {
        Ok(permit) => {
            if *permit.tenant() != promise.tenant || permit.key().key_id != promise.key_id {
                return Some(format!("{named} opens {} of {}", permit.key().key_id, permit.tenant()));
            }
            let refused = promise.refused_on.contains(&node.id);
            let revoked = promise.revoked.is_some_and(|(at, by)| knows(at, by));
            let ended = promise.ended_by(secret).any(|end| knows(end.at, end.by));
            (!promise.by_hand && (refused || revoked || ended))
                .then(|| format!("{named} is revoked or rotated away and {} lets it in", node.id))
        }
        Err(denial) => (promise.must_work() && !promise.may_be_ended(secret) && knows(secret.at, secret.by))
            .then(|| format!("{named} is good and {} refuses it: {denial:?}", node.id)),
    }
}

/// What is wrong with a key that was promised, by its document.
fn faults(promise: &Promise, key: Option<&ApiKey>) -> Vec<String> {
    let Some(key) = key else {
        let lost = promise.revoke_asked.is_none();
        return lost.then(|| format!("{} was promised and is gone", promise.key_id)).into_iter().collect();
    };
    let mut found: Vec<String> = promise.twin_revisions().into_iter().collect();
    let source = key.settings.source_id.as_ref().map_or("", Label::as_str);
    found.extend(promise.lost_write(Field::Source, source, ""));
    found.extend(promise.lost_write(Field::Trust, key.settings.trust_level.as_str(), TrustLevel::STANDARD));
    if key.state != KeyState::Revoked {
        found.extend(promise.lost_write(Field::State, word(key.state), "active"));
        if promise.revoked.is_some() {
            found.push(format!("{} was revoked and is {}", promise.key_id, word(key.state)));
        }
    } else if promise.revoke_asked.is_none() {
        found.push(format!("{} is revoked and nobody asked for it", promise.key_id));
    }
    found
}
