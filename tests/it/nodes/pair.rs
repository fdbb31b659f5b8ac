//! Two servers that share one store, and one whose store fails.

use std::sync::Arc;
use std::time::Duration;

use keyloft::Bucket;

use crate::support::server::Setup;
use crate::support::{Fault, Faults, Faulty, TestServer};

/// Two servers over one directory that ask each other's news rarely, unless a test wants it otherwise.
pub(super) async fn two(change: impl Fn(&mut Setup)) -> (TestServer, TestServer) {
    let a = TestServer::spawn_with(|setup| change(setup)).await;
    let directory = a.shared_directory();
    let b = TestServer::spawn_with(|setup| {
        change(setup);
        setup.directory = directory;
    })
    .await;
    (a, b)
}

pub(super) fn quick(setup: &mut Setup) {
    setup.config.sync.poll_interval = Duration::from_millis(20);
}

pub(super) fn slow(setup: &mut Setup) {
    setup.config.sync.poll_interval = Duration::from_secs(600);
}

pub(super) fn key(id: &str) -> String {
    format!("/api/v1/tenants/default/apikeys/{id}")
}

pub(super) async fn whoami(server: &TestServer, api_key: &str) -> u16 {
    server.with_key(api_key).get("/api/v1/whoami").await.status.as_u16()
}

pub(super) async fn until_status(server: &TestServer, api_key: &str, status: u16) {
    for _ in 0..500 {
        if whoami(server, api_key).await == status {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("five seconds passed and still not {status}");
}

/// A server whose store fails on demand.
pub(super) async fn faulty(change: impl FnOnce(&mut Setup)) -> (TestServer, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let bucket = Bucket::new(Arc::new(Faulty::memory(faults.clone())));
    let server = TestServer::spawn_with(|setup| {
        change(setup);
        setup.bucket = Some(bucket);
    })
    .await;
    (server, faults)
}

pub(super) fn down(faults: &Faults, down: bool) {
    if down { faults.inject(Fault::ErrorBefore, |_| true) } else { faults.none() }
}
