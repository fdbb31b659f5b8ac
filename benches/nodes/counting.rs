//! A proxy between a node and its object store that counts what is asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};

/// What is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Get,
    Put,
    List,
    Delete,
}

impl Kind {
    /// Of a request by its first line. The signature of the request stays valid: nothing of it is changed.
    fn of(line: &str) -> Self {
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let query = target.split_once('?').map_or("", |(_, query)| query);
        match method {
            "GET" if query.contains("list-type=") => Self::List,
            "GET" | "HEAD" => Self::Get,
            "DELETE" => Self::Delete,
            "POST" if query == "delete" => Self::Delete,
            _ => Self::Put,
        }
    }
}

/// Forwards to one store until dropped.
pub struct Counting {
    address: SocketAddr,
    counts: Arc<Mutex<BTreeMap<Kind, u64>>>,
    listening: tokio::task::JoinHandle<()>,
}

impl Counting {
    /// Listens on a free port of loopback for a store at `http://host:port`.
    pub async fn before(store: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::<Mutex<BTreeMap<Kind, u64>>>::default();
        let store = store.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listening = tokio::spawn({
            let counts = counts.clone();
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(forward(client, store.clone(), counts.clone()));
                }
            }
        });
        Self { address, counts, listening }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What has been asked since the last call.
    pub fn take(&self) -> BTreeMap<Kind, u64> {
        std::mem::take(&mut *self.counts.lock().unwrap())
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// One connection: answers go back as they come, requests are counted on their way.
async fn forward(client: TcpStream, store: String, counts: Arc<Mutex<BTreeMap<Kind, u64>>>) -> Option<()> {
    let store = TcpStream::connect(&store).await.ok()?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_store, mut to_store) = store.into_split();
    let answers = tokio::spawn(async move { tokio::io::copy(&mut from_store, &mut to_client).await });
    let mut read = Vec::new();
    while let Some(head) = head(&mut from_client, &mut read).await {
        let text = String::from_utf8_lossy(&read[..head]).into_owned();
        *counts.lock().unwrap().entry(Kind::of(text.lines().next()?)).or_default() += 1;
        let length = text.lines().filter_map(|line| line.split_once(':'));
        let length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let body: usize = length.filter_map(|(_, value)| value.trim().parse().ok()).next().unwrap_or(0);
        while read.len() < head + body {
            if from_client.read_buf(&mut read).await.ok()? == 0 {
                break;
            }
        }
        let rest = read.split_off((head + body).min(read.len()));
        to_store.write_all(&read).await.ok()?;
        read = rest;
    }
    drop(to_store);
    answers.await.ok()?.ok()?;
    Some(())
}

/// Reads until the end of a head, and says where it is; `None` at the end of the connection.
async fn head(from: &mut OwnedReadHalf, read: &mut Vec<u8>) -> Option<usize> {
    loop {
        if let Some(at) = read.windows(4).position(|end| end == b"\r\n\r\n") {
            return Some(at + 4);
        }
        if from.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}
