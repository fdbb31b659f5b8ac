//! The stores of the contract: memory, a directory, and real S3 services that `scripts/with-stores.sh` started.

use keyloft::Bucket;
use keyloft::store::StoreUrl;

/// A fresh place on some store. Every opening has clients of its own, as another node would.
#[derive(Clone)]
pub struct TestStore {
    url: StoreUrl,
    variables: Vec<(String, String)>,
    /// Its probe races, and a store that loses races now and then would be refused by chance.
    is_probed: bool,
    /// Removed with the last clone.
    _directory: Option<std::sync::Arc<tempfile::TempDir>>,
}

impl TestStore {
    /// A local directory.
    pub fn directory() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = StoreUrl::Directory(directory.path().to_owned());
        Self { url, variables: Vec::new(), is_probed: true, _directory: Some(directory.into()) }
    }

    /// The gateway of Ceph that no test stops.
    pub fn ceph() -> Self {
        Self::s3("KEYLOFT_TEST_CEPH")
    }

    /// moto, for what does not race: of two creates at once both may win there.
    pub fn moto() -> Self {
        Self { is_probed: false, ..Self::s3("KEYLOFT_TEST_MOTO") }
    }

    fn s3(variable: &str) -> Self {
        let (key, secret) = (started("KEYLOFT_TEST_ACCESS_KEY"), started("KEYLOFT_TEST_SECRET_KEY"));
        Self::at(&started(variable), &key, &secret)
    }

    /// A service of which nothing is known: maybe it is none.
    pub fn at(endpoint: &str, access_key: &str, secret_key: &str) -> Self {
        let prefix = keyloft::key::KeyId::random();
        let variables = [
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_ACCESS_KEY_ID", access_key),
            ("AWS_SECRET_ACCESS_KEY", secret_key),
            ("AWS_REGION", "us-east-1"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { url: format!("s3://keyloft/{prefix}").parse().unwrap(), variables, is_probed: true, _directory: None }
    }

    /// The same place through the gateway of Ceph that may be paused.
    #[must_use]
    pub fn through(&self, victim: &Victim) -> Self {
        Self { variables: victim.variables.clone(), ..self.clone() }
    }

    pub fn open(&self) -> Bucket {
        let bucket = self.unproven();
        if self.is_probed { bucket } else { Bucket::new(bucket.object_store()) }
    }

    /// As a server opens it, which probes the store before its first write.
    pub fn unproven(&self) -> Bucket {
        self.url.open_with(self.variables.clone()).unwrap()
    }

    /// What `--store` wants.
    pub fn url(&self) -> String {
        self.url.to_string()
    }

    /// The variables that a process needs to open it.
    pub fn variables(&self) -> &[(String, String)] {
        &self.variables
    }
}

/// The gateway of Ceph that a test may pause; one test has it at a time. It goes on when this is dropped.
pub struct Victim {
    variables: Vec<(String, String)>,
    pid: String,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

impl Victim {
    /// Waits for a turn.
    pub async fn get() -> Self {
        static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let turn = TURN.lock().await;
        let pid = started("KEYLOFT_TEST_CEPH_VICTIM_PID");
        Self { variables: TestStore::s3("KEYLOFT_TEST_CEPH_VICTIM").variables, pid, _turn: turn }
    }

    /// It accepts connections and answers nothing.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    pub fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let status = std::process::Command::new("kill").args(["-s", name, &self.pid]).status().unwrap();
        assert!(status.success(), "the gateway {} is gone", self.pid);
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = std::process::Command::new("kill").args(["-s", "CONT", &self.pid]).status();
    }
}

/// What `scripts/with-stores.sh` says about the stores that it started.
pub fn started(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!(
            "{variable} is not set: run scripts/test.sh, or scripts/with-stores.sh cargo test --features paused-time"
        )
    })
}
