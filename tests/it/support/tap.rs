//! A proxy in front of an S3 service that notes which connection carried which request.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};

use super::TestStore;
use super::stores::started;

/// One request: the number of its connection, then method and target.
pub type Carried = (usize, String);

/// The proxy. It serves as long as the runtime that started it.
pub struct Tap {
    port: u16,
    carried: Arc<Mutex<Vec<Carried>>>,
}

impl Tap {
    /// Starts one in front of the gateway of Ceph that no test stops.
    pub async fn before_ceph() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let service = started("KEYLOFT_TEST_CEPH").strip_prefix("http://").unwrap().to_owned();
        let carried = Arc::new(Mutex::default());
        let noted = Arc::clone(&carried);
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((client, _)) = listener.accept().await else { return };
                let (service, noted) = (service.clone(), Arc::clone(&noted));
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(service).await else { return };
                    let (from_client, mut to_client) = client.into_split();
                    let (mut from_server, to_server) = server.into_split();
                    let answers = tokio::io::copy(&mut from_server, &mut to_client);
                    let _ = tokio::join!(answers, requests(connection, from_client, to_server, &noted));
                });
            }
        });
        Self { port, carried }
    }

    /// A fresh place on the service behind it.
    pub fn store(&self) -> TestStore {
        let (key, secret) = (started("KEYLOFT_TEST_ACCESS_KEY"), started("KEYLOFT_TEST_SECRET_KEY"));
        TestStore::at(&format!("http://127.0.0.1:{}", self.port), &key, &secret)
    }

    /// What was asked since the last call.
    pub fn take(&self) -> Vec<Carried> {
        std::mem::take(&mut self.carried.lock())
    }
}

/// Hands requests on. A client waits for each answer, so a head stands at the start of what is read.
async fn requests(
    connection: usize,
    mut client: OwnedReadHalf,
    mut server: impl AsyncWriteExt + Unpin,
    noted: &Mutex<Vec<Carried>>,
) {
    let mut some = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = client.read(&mut some).await {
        let text = String::from_utf8_lossy(&some[..length.min(4096)]);
        if let Some((request, _)) = text.lines().next().and_then(|line| line.split_once(" HTTP/1.1")) {
            noted.lock().push((connection, request.to_owned()));
        }
        if server.write_all(&some[..length]).await.is_err() {
            return;
        }
    }
    let _ = server.shutdown().await;
}
