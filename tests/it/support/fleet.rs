//! Several real processes on one store, each of which can be killed and started again.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{bearer, connections};
use super::ledger::Standing;
use super::server::ADMIN_TOKEN;
use super::{Answer, Client, Issued, Ledger, Process};

/// Nodes by their place. All methods may be called from many tasks.
pub struct Fleet {
    store: String,
    /// Of each place.
    variables: Vec<Vec<(String, String)>>,
    options: Vec<String>,
    logs: tempfile::TempDir,
    starts: AtomicUsize,
    nodes: Vec<Mutex<Node>>,
    /// Those that were killed, by their ids: others take them for live for three minutes.
    dead: Mutex<BTreeSet<String>>,
    http: reqwest::Client,
}

#[derive(Default)]
struct Node {
    process: Option<Process>,
    url: String,
    log: PathBuf,
}

impl Fleet {
    /// Starts `count` nodes and waits until they are ready.
    pub async fn start(count: usize, store: &str, variables: &[(String, String)], options: &[&str]) -> Arc<Self> {
        Self::start_each(store, vec![variables.to_vec(); count], options).await
    }

    /// The same with variables for each node.
    pub async fn start_each(store: &str, mut variables: Vec<Vec<(String, String)>>, options: &[&str]) -> Arc<Self> {
        let count = variables.len();
        for of_node in &mut variables {
            of_node.push(("KEYLOFT_ADMIN_TOKEN".to_owned(), ADMIN_TOKEN.to_owned()));
        }
        let fleet = Arc::new(Self {
            store: store.to_owned(),
            variables,
            options: options.iter().map(ToString::to_string).collect(),
            logs: tempfile::tempdir().unwrap(),
            starts: AtomicUsize::new(0),
            nodes: (0..count).map(|_| Mutex::default()).collect(),
            dead: Mutex::default(),
            http: connections().timeout(Duration::from_secs(20)).build().unwrap(),
        });
        futures::future::join_all((0..count).map(|place| fleet.start_node(place))).await;
        fleet.until_ready().await;
        fleet
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Starts the node of a place, and waits for its greeting only.
    pub async fn start_node(self: &Arc<Self>, place: usize) {
        let this = self.clone();
        let start = move || {
            let log = this.logs.path().join(format!("{}.log", this.starts.fetch_add(1, Ordering::Relaxed)));
            let options: Vec<&str> = this.options.iter().map(String::as_str).collect();
            let process = Process::serve_store(&this.store, &log, &options, &this.variables[place]);
            let url = process.url().to_owned();
            *this.nodes[place].lock().unwrap() = Node { process: Some(process), url, log };
        };
        tokio::task::spawn_blocking(start).await.unwrap();
    }

    /// kill -9.
    pub fn kill(&self, place: usize) {
        let id = self.node_id(place);
        let mut node = self.nodes[place].lock().unwrap();
        drop(node.process.take());
        // Its port may be somebody else's from now on.
        node.url.clear();
        drop(node);
        self.dead.lock().unwrap().extend(id);
    }

    /// Sends a signal to the process of a place.
    pub fn signal(&self, place: usize, name: &str) {
        self.of_process(place, |process| process.signal(name));
    }

    /// What `ask` says of the process of a place.
    pub fn of_process<T>(&self, place: usize, ask: impl FnOnce(&Process) -> T) -> T {
        ask(self.nodes[place].lock().unwrap().process.as_ref().unwrap())
    }

    /// The id of the node of a place, once its log has it.
    pub fn node_id(&self, place: usize) -> Option<String> {
        let log = std::fs::read_to_string(&self.nodes[place].lock().unwrap().log).unwrap();
        let id = log.split("node_id=").nth(1)?.split_whitespace().next()?;
        Some(id.trim_matches('"').to_owned())
    }

    /// The ids of the nodes that were killed.
    pub fn dead(&self) -> BTreeSet<String> {
        self.dead.lock().unwrap().clone()
    }

    pub async fn until_ready(&self) {
        for place in 0..self.len() {
            self.over(place, None).until_ready().await;
        }
    }

    /// Waits, at most half a minute, until something is so.
    pub async fn until(&self, what: &str, so: impl AsyncFn() -> bool) {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(30) {
            if so().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("half a minute passed and still not: {what}");
    }

    pub fn url(&self, place: usize) -> String {
        self.nodes[place].lock().unwrap().url.clone()
    }

    /// An admin at the node of a place.
    pub fn client(&self, place: usize) -> Client {
        self.over(place, Some(bearer(ADMIN_TOKEN)))
    }

    fn over(&self, place: usize, credential: Option<(&'static str, String)>) -> Client {
        Client::over(self.http.clone(), &self.url(place), credential)
    }

    /// An admin's request to the node of a place; `None` when it hangs up or is not there.
    pub async fn admin(&self, place: usize, method: &str, path: &str, body: Option<Value>) -> Option<(u16, Value)> {
        let request = self.client(place).request(method, path);
        let answer = Answer::try_of(if let Some(body) = body { request.json(&body) } else { request }).await?;
        Some((answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or_default()))
    }

    /// Issues a key; `None` without an acknowledgement. A refusal of the name is no fault.
    pub async fn issue(&self, place: usize, name: &str) -> Option<Issued> {
        let body = json!({"keyName": name, "keyType": "query"});
        let (status, view) = self.admin(place, "POST", "/api/v1/tenants/default/apikeys", Some(body)).await?;
        assert!(matches!(status, 201 | 409 | 503), "{status}: {view}");
        let text = |field: &str| view[field].as_str().unwrap().to_owned();
        (status == 201).then(|| Issued { id: text("keyId"), api_key: text("apiKey") })
    }

    /// Revokes a key, in the ledger too; says whether it was acknowledged.
    pub async fn revoke(&self, place: usize, id: &str, ledger: &Ledger) -> bool {
        ledger.set(id, Standing::Unclear);
        let answer = self.admin(place, "DELETE", &format!("/api/v1/tenants/default/apikeys/{id}"), None).await;
        let Some((status, body)) = answer else { return false };
        assert!(matches!(status, 200 | 503) || status == 404, "{status}: {body}");
        if status == 404 {
            ledger.wrong(format!("node {place} does not know the key {id} that was issued"));
        }
        if status == 200 {
            ledger.set(id, Standing::Revoked(Instant::now()));
        }
        status == 200
    }

    /// The status that a key gets.
    pub async fn whoami(&self, place: usize, key: &Issued) -> Option<u16> {
        let client = self.over(place, Some(("x-api-key", key.api_key.clone())));
        Some(Answer::try_of(client.request("GET", "/api/v1/whoami")).await?.status.as_u16())
    }

    /// Presents a key and takes the answer down.
    pub async fn present(&self, place: usize, key: &Issued, ledger: &Ledger) {
        let sent = Instant::now();
        if let Some(status) = self.whoami(place, key).await {
            ledger.judge(&format!("node {place}"), &key.id, sent, status);
        }
    }

    /// Asserts what must be so once everything has calmed down: every acknowledged issue and revocation is there on
    /// every node, and no live name twice.
    pub async fn assert_nothing_lost(&self, ledger: &Ledger) {
        for (key, _) in ledger.keys().iter().filter(|(_, standing)| *standing == Standing::Unclear) {
            assert!(self.revoke(0, &key.id, ledger).await, "{} cannot be revoked in peace", key.id);
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        for (key, standing) in ledger.keys() {
            let expected = if standing == Standing::Good { 200 } else { 401 };
            for place in 0..self.len() {
                let status = self.whoami(place, &key).await;
                assert_eq!(status, Some(expected), "key {} on node {place} in the end, {standing:?}", key.id);
            }
        }
        for place in 0..self.len() {
            let names = self.client(place).names().await;
            let once: BTreeSet<_> = names.iter().collect();
            assert_eq!(names.len(), once.len(), "a name twice: {names:?}");
        }
    }
}
