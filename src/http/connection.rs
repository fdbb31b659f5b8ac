//! The connection of a client, and whether the client has hung up.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How long a client that has closed its sending side counts as present while nothing is sent to it. The kernel does
/// not report whether such a client has closed its receiving side too.
pub const HANG_UP_GRACE: Duration = Duration::from_secs(2);

/// A stream that records the state of its connection for requests.
#[derive(Debug)]
pub(super) struct ClientStream {
    stream: TcpStream,
    connection: Rc<Connection>,
}

/// The state of a connection, for its requests: what actix calls data of the connection.
#[derive(Debug, Default)]
pub(super) struct Connection {
    /// The client has closed its sending side.
    closed: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
    /// How much was sent to the client, in bytes.
    sent: Cell<u64>,
    /// The client reads more slowly than we send: it is there.
    full: Cell<bool>,
}

/// Waits until the client has hung up: it has closed its sending side, and nothing was sent to it for
/// [`HANG_UP_GRACE`]. Never returns where the server does not record its connections.
pub(super) fn hung_up(request: &HttpRequest) -> impl Future<Output = ()> + use<> {
    let connection = request.conn_data::<Rc<Connection>>().cloned();
    async move {
        match connection {
            Some(connection) => connection.hung_up().await,
            None => std::future::pending().await,
        }
    }
}

impl Connection {
    async fn hung_up(&self) {
        poll_fn(|cx| {
            if self.closed.get() {
                return Poll::Ready(());
            }
            self.waiting.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
        loop {
            let sent = self.sent.get();
            tokio::time::sleep(HANG_UP_GRACE).await;
            if self.sent.get() == sent && !self.full.get() {
                return;
            }
        }
    }

    fn close(&self) {
        self.closed.set(true);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    fn note_write(&self, written: &Poll<io::Result<usize>>) {
        self.full.set(written.is_pending());
        if let Poll::Ready(Ok(bytes)) = written {
            self.sent.set(self.sent.get() + *bytes as u64);
        }
    }
}

impl ClientStream {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, connection: Rc::default() }
    }

    pub(super) fn connection(&self) -> Rc<Connection> {
        self.connection.clone()
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (room, before) = (buf.remaining(), buf.filled().len());
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if matches!(read, Poll::Ready(Ok(()))) && room > 0 && buf.filled().len() == before {
            self.connection.close();
        }
        read
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.connection.note_write(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
