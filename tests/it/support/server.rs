//! A server of its own for every test: its own directory, cache and port, in this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use keyloft::access::AdminDigest;
use keyloft::config::Config;
use keyloft::http::App;
use keyloft::http::{Server, Stop};
use keyloft::key::Digest;
use keyloft::store::StoreUrl;
use keyloft::{Bucket, Clock, SystemClock};

use super::Client;

pub const ADMIN_TOKEN: &str = "kl_adm_test_0123456789abcdef0123456789";

/// A listening server. Stops when dropped.
pub struct TestServer {
    /// Its state, for what HTTP does not show.
    pub app: Arc<App>,
    url: String,
    stop: Stop,
    thread: Option<std::thread::JoinHandle<()>>,
    directory: Arc<tempfile::TempDir>,
}

/// What a test changes about its server.
pub struct Setup {
    pub config: Config,
    pub clock: Arc<dyn Clock>,
    /// The directory to serve; a fresh one unless a test restarts a server on an old one.
    pub directory: Arc<tempfile::TempDir>,
    /// Another bucket than the directory, for faults.
    pub bucket: Option<Bucket>,
    /// Whether the keys are loaded before the first request.
    pub hydrate: bool,
}

impl Setup {
    fn new() -> Self {
        let mut config = Config::default();
        config.http.listen = ([127, 0, 0, 1], 0).into();
        config.ingest.window = Some(Duration::from_millis(2));
        let directory = Arc::new(tempfile::tempdir().unwrap());
        Self { config, clock: Arc::new(SystemClock), directory, bucket: None, hydrate: true }
    }
}

impl TestServer {
    /// A server with the defaults, on a fresh directory and a free port.
    pub async fn spawn() -> Self {
        Self::spawn_with(|_| {}).await
    }

    /// A server that a test changes something about.
    pub async fn spawn_with(change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup::new();
        change(&mut setup);
        let directory = setup.directory.clone();
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let store = StoreUrl::Directory(setup.directory.path().to_owned());
                let bucket = setup.bucket.unwrap_or_else(|| store.open().unwrap());
                let admin = AdminDigest::new(Digest::of(ADMIN_TOKEN));
                let app = App::new(&setup.config, bucket, Arc::default(), setup.clock, admin).unwrap();
                let app = Arc::new(app);
                if setup.hydrate {
                    app.sync().await.unwrap();
                    let app = app.clone();
                    actix_web::rt::spawn(async move { app.follow().await });
                }
                let server = Server::bind(app.clone(), &setup.config.http).unwrap();
                sender.send((app, server.address(), server.stop())).unwrap();
                server.run().await.unwrap();
            });
        });
        let (app, address, stop) = tokio::task::spawn_blocking(move || receiver.recv().unwrap()).await.unwrap();
        Self { app, url: format!("http://{address}"), stop, thread: Some(thread), directory }
    }

    /// Stops this server in order and starts another on the same directory.
    pub async fn restart(self) -> Self {
        let directory = self.directory.clone();
        self.stop.gracefully().await;
        drop(self);
        Self::spawn_with(move |setup| setup.directory = directory).await
    }

    /// Its directory, for another server on it.
    pub fn shared_directory(&self) -> Arc<tempfile::TempDir> {
        self.directory.clone()
    }

    /// Where it listens, without a final slash.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A file or folder of its store.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.directory.path().join(relative)
    }

    /// The folder of its store.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Somebody who presents nothing.
    pub fn anonymous(&self) -> Client {
        Client::anonymous(&self.url)
    }

    /// Somebody with the admin token.
    pub fn admin(&self) -> Client {
        Client::admin(&self.url, ADMIN_TOKEN)
    }

    /// Somebody with an API key.
    pub fn with_key(&self, api_key: &str) -> Client {
        Client::with_key(&self.url, api_key)
    }

    /// How many query sessions are open.
    pub fn open_sessions(&self) -> usize {
        self.app.sessions.list().len()
    }

    /// Waits, at most ten seconds, until something is so.
    pub async fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        for _ in 0..1000 {
            if so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("ten seconds passed and still not: {what}");
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let stop = self.stop.clone();
        let Some(thread) = self.thread.take() else { return };
        // The order to stop is given from a thread of its own: a test may be inside a runtime here.
        let _ = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move { stop.at_once().await });
        })
        .join();
        let _ = thread.join();
    }
}
