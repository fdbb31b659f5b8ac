//! One store, and the way by which each node reaches it: over a line that fails, lies, hangs and is cut.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::time::{Skewed, Start};
use crate::support::Dice;
use crate::support::Faulty;
use crate::support::dated::Dated;

/// What all nodes share.
#[derive(Debug)]
pub struct Disk {
    dated: Dated,
    /// The same, with conditions that are ignored, as some stores do.
    liar: Option<Faulty>,
    start: Start,
}

impl Disk {
    pub fn new(start: Start, liar: bool) -> Arc<Self> {
        let dated = Dated::new(Arc::new(Skewed::new(start)));
        let liar = liar.then(|| Faulty::liar(Arc::new(dated.clone())));
        Arc::new(Self { dated, liar, start })
    }

    fn store(&self) -> &dyn ObjectStore {
        self.liar.as_ref().map_or(&self.dated, |liar| liar)
    }

    /// Whether conditions are ignored.
    pub fn is_liar(&self) -> bool {
        self.liar.is_some()
    }

    /// What is there, for those who need no line.
    pub fn plain(&self) -> &InMemory {
        self.dated.plain()
    }
}

/// What the line does to one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Before,
    After,
    Never,
    Conflict,
    Late,
}

#[derive(Debug, Default)]
struct State {
    dead: bool,
    paused: bool,
    cut: bool,
    /// Whether nothing is answered, and whether listings are empty.
    hangs: bool,
    lists_nothing: bool,
    /// How many operations of a thousand meet a fault.
    weather: u64,
    /// Whether listings may miss what is there.
    weak_lists: bool,
    operations: u64,
    /// The operation at which the node dies, and whether the store still does it.
    death: Option<(u64, bool)>,
    /// Until when the last fault may have held something up.
    trouble: Duration,
}

/// The line of one life of one node.
#[derive(Debug)]
pub struct Line {
    disk: Arc<Disk>,
    dice: Dice,
    state: Mutex<State>,
    changed: Notify,
}

impl Line {
    pub fn new(disk: Arc<Disk>, seed: u64) -> Arc<Self> {
        Arc::new(Self { disk, dice: Dice::new(seed), state: Mutex::default(), changed: Notify::new() })
    }

    /// The store at its end.
    pub fn store(self: &Arc<Self>) -> Arc<dyn ObjectStore> {
        Arc::new(Remote(self.clone()))
    }

    pub fn kill(&self) {
        self.change(|state| state.dead = true);
    }

    pub fn pause(&self, paused: bool) {
        self.change(|state| state.paused = paused);
    }

    pub fn cut(&self, cut: bool) {
        self.change(|state| state.cut = cut);
    }

    pub fn weather(&self, faults: u64, weak_lists: bool) {
        self.change(|state| (state.weather, state.weak_lists) = (faults, weak_lists));
    }

    /// Whether nothing is answered any more. What was asked meanwhile never is.
    pub fn hang(&self, hangs: bool) {
        self.change(|state| state.hangs = hangs);
    }

    /// Whether listings show nothing.
    pub fn list_nothing(&self, lists_nothing: bool) {
        self.change(|state| state.lists_nothing = lists_nothing);
    }

    /// Lets the node die at its operation `count` from now on, before or after the store has done it.
    pub fn die_at(&self, count: u64, done: bool) {
        self.change(|state| state.death = Some((state.operations + count, done)));
    }

    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    pub fn is_paused(&self) -> bool {
        self.lock().paused
    }

    pub fn is_cut(&self) -> bool {
        self.lock().cut
    }

    /// For how long nothing has stood between the node and the store.
    pub fn clear_for(&self) -> Duration {
        let state = self.lock();
        if state.dead || state.paused || state.cut {
            return Duration::ZERO;
        }
        self.disk.start.elapsed().saturating_sub(state.trouble)
    }

    /// Waits until the node has died.
    pub async fn death(&self) {
        loop {
            let changed = self.changed.notified();
            if self.is_dead() {
                return;
            }
            changed.await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.trouble = state.trouble.max(self.disk.start.elapsed());
        drop(state);
        self.changed.notify_waiters();
    }

    fn trouble(&self, lasts: Duration) {
        let until = self.disk.start.elapsed() + lasts;
        let mut state = self.lock();
        state.trouble = state.trouble.max(until);
    }

    /// Before the store is asked.
    async fn depart(&self) -> Result<Fault> {
        for _ in 0..self.dice.below(4) {
            tokio::task::yield_now().await;
        }
        if self.dice.in_a_thousand(100) {
            tokio::time::sleep(Duration::from_millis(self.dice.below(30))).await;
        }
        loop {
            let changed = self.changed.notified();
            let (dead, paused) = (self.is_dead(), self.is_paused());
            if !dead && !paused {
                break;
            }
            changed.await;
        }
        let weather = {
            let mut state = self.lock();
            state.operations += 1;
            if state.death == Some((state.operations, false)) {
                state.dead = true;
            }
            state.weather
        };
        self.live().await;
        if self.lock().hangs {
            std::future::pending::<()>().await;
        }
        if self.is_cut() {
            return Err(broken("cut off"));
        }
        if !self.dice.in_a_thousand(weather) {
            return Ok(Fault::None);
        }
        let fault = [Fault::Before, Fault::After, Fault::Never, Fault::Conflict, Fault::Late][self.dice.index(5)];
        self.trouble(if fault == Fault::Never { Duration::from_secs(31) } else { Duration::ZERO });
        if fault == Fault::Before {
            return Err(broken("did not arrive"));
        }
        Ok(fault)
    }

    /// After the store has answered.
    async fn arrive<T>(&self, fault: Fault, answer: Result<T>) -> Result<T> {
        {
            let mut state = self.lock();
            if state.death == Some((state.operations, true)) {
                state.dead = true;
            }
        }
        for _ in 0..self.dice.below(3) {
            tokio::task::yield_now().await;
        }
        self.live().await;
        match fault {
            Fault::None => answer,
            Fault::Never => std::future::pending().await,
            _ => Err(broken("the answer is lost")),
        }
    }

    /// Goes no further when the node is dead.
    async fn live(&self) {
        if self.is_dead() {
            self.changed.notify_waiters();
            std::future::pending::<()>().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

fn broken(why: &'static str) -> Error {
    Error::Generic { store: "line", source: why.into() }
}

/// The store as one node sees it.
#[derive(Debug, Clone)]
struct Remote(Arc<Line>);

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("line")
    }
}

impl Remote {
    async fn listing(self, prefix: Option<Path>) -> Result<Vec<ObjectMeta>> {
        let fault = self.0.depart().await?;
        let disk = &self.0.disk;
        let mut found: Vec<ObjectMeta> = disk.store().list(prefix.as_ref()).try_collect().await?;
        let claims = prefix.is_some_and(|prefix| prefix.as_ref().contains("apikeys_names"));
        let weak = self.0.lock().weak_lists && !claims;
        if weak && self.0.dice.in_a_thousand(500) {
            let keep = self.0.dice.index(found.len() + 1);
            found.truncate(keep);
        }
        if self.0.lock().lists_nothing {
            found.clear();
        }
        self.0.arrive(fault, Ok(found)).await
    }
}

#[async_trait]
impl ObjectStore for Remote {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fault = self.0.depart().await?;
        let (disk, mode) = (self.0.disk.clone(), options.mode.clone());
        match (fault, mode) {
            (Fault::Conflict, PutMode::Create) => {
                Err(Error::AlreadyExists { path: path.to_string(), source: "not now".into() })
            }
            (Fault::Conflict, PutMode::Update(_)) => {
                Err(Error::Precondition { path: path.to_string(), source: "not now".into() })
            }
            (Fault::Late, _) => {
                let (path, wait) = (path.clone(), self.0.dice.below(200_000));
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                    let _ = disk.store().put_opts(&path, payload, options).await;
                });
                Err(broken("on its way"))
            }
            _ => {
                let answer = disk.store().put_opts(path, payload, options).await;
                self.0.arrive(fault, answer).await
            }
        }
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.0.disk.store().put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.0.depart().await?;
        let answer = self.0.disk.store().get_opts(path, options).await;
        self.0.arrive(fault, answer).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let line = self.0.clone();
        paths
            .and_then(move |path| {
                let line = line.clone();
                async move {
                    let fault = line.depart().await?;
                    let one = futures::stream::iter([Ok(path.clone())]).boxed();
                    let answer = line.disk.store().delete_stream(one).try_collect::<Vec<_>>().await;
                    line.arrive(fault, answer.map(|_| path)).await
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let found = self.clone().listing(prefix.cloned());
        futures::stream::once(found)
            .flat_map(|found| match found {
                Ok(found) => futures::stream::iter(found).map(Ok).boxed(),
                Err(error) => futures::stream::once(async { Err(error) }).boxed(),
            })
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let fault = self.0.depart().await?;
        let answer = self.0.disk.store().list_with_delimiter(prefix).await;
        self.0.arrive(fault, answer).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.disk.store().copy_opts(from, to, options).await
    }
}
