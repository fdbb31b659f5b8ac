//! The line between one node and an S3 service: it can be cut, stalled, and made to lose answers.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::stores::started;

/// What becomes of that which goes over the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It arrives.
    Open,
    /// Connections break, also in the middle of a request, and new ones are refused.
    Cut,
    /// It waits, and arrives once the line is open again.
    Stalled,
    /// Requests arrive, and a connection breaks in the place of its answer.
    Mute,
}

/// A proxy of its own in front of Ceph. It serves for as long as the runtime that started it.
#[derive(Debug)]
pub struct Line {
    port: u16,
    state: watch::Sender<State>,
}

impl Line {
    /// One to the gateway of Ceph that no test stops.
    pub async fn to_ceph() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let service = started("KEYLOFT_TEST_CEPH").strip_prefix("http://").unwrap().to_owned();
        let (state, watched) = watch::channel(State::Open);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *watched.borrow() == State::Cut {
                    continue;
                }
                let (service, watched) = (service.clone(), watched.clone());
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(service).await else { return };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    let requests = pass(from_client, to_server, watched.clone(), false);
                    // When either side ends, both do: neither half of a broken connection may stay.
                    tokio::select! {
                        () = requests => {}
                        () = pass(from_server, to_client, watched, true) => {}
                    }
                });
            }
        });
        Self { port, state }
    }

    /// What a node needs to reach the service over this line.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn turn(&self, state: State) {
        self.state.send_replace(state);
    }
}

/// Hands on what one side sends, until the line is cut.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>, answers: bool) {
    let mut some = vec![0; 64 << 10];
    let mut cut = state.clone();
    let cut = async move { cut.wait_for(|state| *state == State::Cut).await.map(drop) };
    let handed_on = async move {
        while let Ok(length @ 1..) = from.read(&mut some).await {
            let Ok(now) = state.wait_for(|state| *state != State::Stalled).await.map(|state| *state) else { return };
            if answers && now == State::Mute || to.write_all(&some[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = handed_on => {}
        _ = cut => {}
    }
}
