//! The state of a client's connection: whether the client has hung up, and whether a request is being answered.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use actix_web::HttpRequest;

/// How long a client that has closed its sending side counts as present while nothing is sent to it. The kernel does
/// not report whether such a client has closed its receiving side too.
pub const HANG_UP_GRACE: Duration = Duration::from_secs(2);

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
    phase: Cell<Phase>,
    /// Nobody has asked for the phase since it began.
    is_new_phase: Cell<bool>,
    /// The framing of the last body was broken: nothing that follows it is a request.
    broken: Cell<bool>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// The head of a request must arrive within `--request-head-timeout`.
    #[default]
    Head,
    /// A request is being answered.
    Answer,
    /// The last request was answered, and nothing of the next has arrived.
    Idle,
}

/// A request is being answered until this is dropped.
#[derive(Debug)]
pub(super) struct Answering(Rc<Connection>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.enter(Phase::Idle);
    }
}

/// The state of the connection of a request; `None` where the server does not record its connections.
pub(super) fn connection(request: &HttpRequest) -> Option<Rc<Connection>> {
    request.conn_data::<Rc<Connection>>().cloned()
}

/// Waits until the client has hung up: it has closed its sending side, and nothing was sent to it for
/// [`HANG_UP_GRACE`]. Never returns where the server does not record its connections.
pub(super) fn hung_up(request: &HttpRequest) -> impl Future<Output = ()> + use<> {
    let connection = connection(request);
    async move {
        match connection {
            Some(connection) => connection.hung_up().await,
            None => std::future::pending().await,
        }
    }
}

impl Connection {
    /// The head of a request has arrived, and the request is being answered.
    pub(super) fn answering(self: Rc<Self>) -> Answering {
        self.enter(Phase::Answer);
        Answering(self)
    }

    /// The framing of a body is broken.
    pub(super) fn note_broken(&self) {
        self.broken.set(true);
    }

    /// Whether the framing of a body is broken.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.get()
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Whether this was not asked since the phase began.
    pub(super) fn is_new_phase(&self) -> bool {
        self.is_new_phase.take()
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.is_new_phase.set(true);
    }

    /// Bytes of the client were read.
    pub(super) fn note_read(&self) {
        if self.phase.get() == Phase::Idle {
            self.enter(Phase::Head);
        }
    }

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

    /// The client has closed its sending side.
    pub(super) fn close(&self) {
        self.closed.set(true);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// What became of a write.
    pub(super) fn note_write(&self, written: &Poll<io::Result<usize>>) {
        self.full.set(written.is_pending());
        if let Poll::Ready(Ok(bytes)) = written {
            self.sent.set(self.sent.get() + *bytes as u64);
        }
    }
}
