//! Two servers that share one store, and one whose store fails.

use std::sync::Arc;
use std::time::Duration;

use keyloft::Bucket;

use super::server::Setup;
use super::{Fault, Faults, Faulty, TestServer};

/// Two servers over one directory that ask each other's news rarely, unless a test wants it otherwise.
pub async fn two(change: impl Fn(&mut Setup)) -> (TestServer, TestServer) {
    let a = TestServer::spawn_with(|setup| change(setup)).await;
    let directory = a.shared_directory();
    let b = TestServer::spawn_with(|setup| {
        change(setup);
        setup.directory = directory;
    })
    .await;
    (a, b)
}

pub fn quick(setup: &mut Setup) {
    setup.config.sync.poll_interval = Duration::from_millis(20);
}

pub fn slow(setup: &mut Setup) {
    setup.config.sync.poll_interval = Duration::from_secs(600);
}

pub fn key(id: &str) -> String {
    format!("/api/v1/tenants/default/apikeys/{id}")
}

pub async fn whoami(server: &TestServer, api_key: &str) -> u16 {
    server.with_key(api_key).get("/api/v1/whoami").await.status.as_u16()
}

pub async fn until_status(server: &TestServer, api_key: &str, status: u16) {
    for _ in 0..500 {
        if whoami(server, api_key).await == status {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("five seconds passed and still not {status}");
}

/// A server whose store fails on demand.
pub async fn faulty(change: impl FnOnce(&mut Setup)) -> (TestServer, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let bucket = Bucket::new(Arc::new(Faulty::memory(faults.clone())));
    let server = TestServer::spawn_with(|setup| {
        change(setup);
        setup.bucket = Some(bucket);
    })
    .await;
    (server, faults)
}

pub fn down(faults: &Faults, down: bool) {
    if down { faults.inject(Fault::ErrorBefore, |_| true) } else { faults.none() }
}
