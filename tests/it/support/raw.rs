//! A bare TCP connection, for clients that a well-behaved library cannot play.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// One connection. Hangs up when dropped.
pub struct Raw(TcpStream);

impl Raw {
    /// Connects to `http://address`. Reading gives up after 20 seconds.
    pub fn connect(url: &str) -> Self {
        let stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(stream)
    }

    /// Closes the sending side: everything was said, and an answer is waited for.
    pub fn finish_sending(&self) {
        // The server may have answered and hung up already.
        if let Err(error) = self.0.shutdown(std::net::Shutdown::Write) {
            assert_eq!(error.kind(), ErrorKind::NotConnected, "{error}");
        }
    }

    /// Sends the same again and again until the server has hung up: how many bytes that took.
    pub fn send_without_end(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        self.0.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        loop {
            match self.0.write(bytes) {
                Ok(some) => sent += some,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("the server has neither read nor hung up after {sent} bytes")
                }
                Err(_) => return sent,
            }
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends as much as the server takes.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.0.write_all(bytes.as_ref())
    }

    /// Reads once, and gives up after a while.
    pub fn try_read_some(&mut self, timeout: Duration) -> std::io::Result<Vec<u8>> {
        self.0.set_read_timeout(Some(timeout))?;
        let mut some = vec![0; 64 * 1024];
        let length = self.0.read(&mut some)?;
        some.truncate(length);
        Ok(some)
    }

    /// Sends a query and reads nothing.
    pub fn query(url: &str, api_key: &str, sql: &str) -> Self {
        let mut raw = Self::connect(url);
        raw.ask(api_key, sql);
        raw
    }

    /// Sends another query.
    pub fn ask(&mut self, api_key: &str, sql: &str) {
        let body = serde_json::json!({"query": sql}).to_string();
        self.send(format!(
            "POST /api/v1/query HTTP/1.1\r\nhost: x\r\nx-api-key: {api_key}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        ));
    }

    /// Reads one answer that comes in parts: how long after its first byte its last one came.
    pub fn time_parts(&mut self) -> Duration {
        let mut all = self.read_some();
        let first = Instant::now();
        while !all.ends_with(b"\r\n0\r\n\r\n") {
            let some = self.read_some();
            assert!(!some.is_empty(), "broken off: {}", String::from_utf8_lossy(&all));
            all.extend(some);
        }
        first.elapsed()
    }

    /// Reads once: at least one byte, unless the server has hung up.
    pub fn read_some(&mut self) -> Vec<u8> {
        let mut some = vec![0; 64 * 1024];
        let length = self.0.read(&mut some).unwrap();
        some.truncate(length);
        some
    }

    /// Whether the server's end of the connection is gone: the kernel does not tell the other end of an abandoned one.
    pub fn is_abandoned(&self) -> bool {
        let (ours, theirs) = (self.0.local_addr().unwrap(), self.0.peer_addr().unwrap());
        let ports = (format!(":{:04X}", theirs.port()), format!(":{:04X}", ours.port()));
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        !table.lines().skip(1).any(|line| {
            let mut columns = line.split_whitespace().skip(1);
            columns.next().is_some_and(|local| local.ends_with(&ports.0))
                && columns.next().is_some_and(|remote| remote.ends_with(&ports.1))
        })
    }

    /// Reads until the server hangs up, in whatever manner.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        match self.0.read_to_end(&mut all) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the server has not hung up after {} bytes", all.len())
            }
            _ => all,
        }
    }

    /// Reads one answer whose body has a length.
    pub fn read_answer(&mut self) -> String {
        let mut all = Vec::new();
        loop {
            let some = self.read_some();
            all.extend_from_slice(&some);
            let text = String::from_utf8_lossy(&all);
            let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
                let length =
                    head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                body.len() >= length.unwrap_or(0usize)
            });
            if whole || some.is_empty() {
                return text.into_owned();
            }
        }
    }
}
