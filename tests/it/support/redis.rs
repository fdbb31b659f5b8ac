//! A real Redis: the one that `scripts/with-stores.sh` started, or one of a test's own, to be paused and killed.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

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

/// A Redis that is reached over TLS only, as `localhost`, and with a password. Killed when dropped.
pub struct TlsRedis {
    redis: Redis,
    folder: TempDir,
}

impl TlsRedis {
    pub const PASSWORD: &str = "hunter2";

    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        authority(folder.path(), "ca");
        authority(folder.path(), "other");
        openssl(
            folder.path(),
            &["req", "-keyout", "key.pem", "-out", "server.csr", "-subj", "/CN=localhost"],
            &["-addext", "subjectAltName=DNS:localhost"],
        );
        let sign = ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2"];
        run_openssl(folder.path(), &[&sign[..], &["-copy_extensions", "copyall", "-out", "certificate.pem"]].concat());
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let tls = ["--tls-cert-file", "certificate.pem", "--tls-key-file", "key.pem", "--tls-auth-clients", "no"];
        let ca = ["--tls-ca-cert-file", "ca.pem", "--requirepass", Self::PASSWORD, "--port", "0", "--tls-port"];
        let redis = Redis::start_with(port, folder.path(), &[&tls[..], &ca, &[&port.to_string()]].concat()).await;
        Self { redis, folder }
    }

    /// By the name that stands in its certificate, or another.
    pub fn url(&self, host: &str) -> String {
        format!("rediss://:{}@{host}:{}/0", Self::PASSWORD, self.redis.port)
    }

    /// The certificate of the authority that signed its own, in PEM.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The one of another authority.
    pub fn other_ca(&self) -> PathBuf {
        self.folder.path().join("other.pem")
    }
}

fn authority(folder: &Path, name: &str) {
    let (key, certificate, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/CN={name}"));
    openssl(
        folder,
        &["req", "-x509", "-days", "2", "-keyout", &key, "-out", &certificate, "-subj", &subject],
        &["-addext", "basicConstraints=critical,CA:TRUE"],
    );
}

fn openssl(folder: &Path, command: &[&str], more: &[&str]) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    run_openssl(folder, &[command, &key, more].concat());
}

fn run_openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

impl Redis {
    /// Starts it on a free port of loopback.
    pub async fn start() -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::start_at(port).await
    }

    async fn start_at(port: u16) -> Self {
        Self::start_with(port, &std::env::temp_dir(), &["--port", &port.to_string()]).await
    }

    async fn start_with(port: u16, folder: &Path, options: &[&str]) -> Self {
        let child = Command::new(started("KEYLOFT_TEST_REDIS_SERVER"))
            .env("LD_LIBRARY_PATH", started("KEYLOFT_TEST_REDIS_LIBRARIES"))
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(options)
            .current_dir(folder)
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
