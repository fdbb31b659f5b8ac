//! A real Redis: the one that `scripts/with-stores.sh` started, or one of a test's own, to be paused and killed.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::process::send_signal;
use super::stores::started;

/// The URL of the Redis that no test stops.
pub fn shared_redis() -> String {
    started("KEYLOFT_TEST_REDIS")
}

/// A Redis of its own. Killed when dropped.
pub struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    /// Starts it on a free port of loopback.
    pub async fn start() -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::start_at(port).await
    }

    async fn start_at(port: u16) -> Self {
        let child = Command::new(started("KEYLOFT_TEST_REDIS_SERVER"))
            .env("LD_LIBRARY_PATH", started("KEYLOFT_TEST_REDIS_LIBRARIES"))
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()])
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let redis = Self { child, port };
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return redis;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("Redis does not start");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Ends every connection, as it does with those that were idle for long.
    pub fn hang_up(&self) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(b"CLIENT KILL TYPE normal\r\n").unwrap();
        let mut answer = [0; 1];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, *b":", "it says how many");
    }

    /// It accepts connections and answers nothing.
    pub fn pause(&self) {
        send_signal(self.child.id(), "STOP");
    }

    pub fn go_on(&self) {
        send_signal(self.child.id(), "CONT");
    }

    /// Ends it at once, and starts another, empty one in its place when that is called.
    pub fn kill(mut self) -> impl Future<Output = Self> {
        let port = self.port;
        let _ = self.child.kill();
        let _ = self.child.wait();
        async move { Self::start_at(port).await }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
