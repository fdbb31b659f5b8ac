//! Waits on loopback until the browser brings the handoff (RFC 8252, section 7.3).

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use url::Url;
use zeroize::Zeroizing;

use crate::cli::terminal::escaped;
use crate::cli::{Failure, Outcome};

/// The longest request of a browser that is read.
const MAX_BYTES: usize = 16 * 1024;
const PAUSE: Duration = Duration::from_millis(50);
/// How long one request may take to arrive: others wait meanwhile.
const REQUEST: Duration = Duration::from_secs(2);

/// A port of this machine that only this machine reaches.
pub(super) struct Listener(TcpListener);

/// What a request brings.
enum Brought {
    Handoff(Zeroizing<String>),
    Refusal { code: String, operator: Option<String> },
}

impl Listener {
    pub(super) fn bind() -> Outcome<Self> {
        let failed = |error| Failure::failed(format!("cannot listen on loopback: {error}; try --no-browser"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self(listener))
    }

    pub(super) fn port(&self) -> u16 {
        self.0.local_addr().map_or(0, |address| address.port())
    }

    /// What the browser brings, until `end`. Other requests are answered and passed over.
    pub(super) fn handoff(&self, end: Instant) -> Outcome<Zeroizing<String>> {
        while Instant::now() < end {
            match self.0.accept() {
                Ok((stream, _)) => match answer(stream) {
                    Some(Brought::Handoff(handoff)) => return Ok(handoff),
                    Some(Brought::Refusal { code, operator }) => {
                        let operator = operator.map_or_else(String::new, |id| format!(": you are {}", escaped(&id)));
                        return Err(Failure::refused(format!(
                            "the sign-in did not work ({}){operator}",
                            escaped(&code)
                        )));
                    }
                    None => {}
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
                Err(error) => return Err(Failure::failed(format!("cannot listen on loopback: {error}"))),
            }
        }
        Err(Failure::failed("nobody has signed in within ten minutes"))
    }
}

fn answer(mut stream: TcpStream) -> Option<Brought> {
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(REQUEST)).ok()?;
    stream.set_write_timeout(Some(REQUEST)).ok()?;
    let (mut request, mut piece) = (Zeroizing::new(Vec::new()), [0; 1024]);
    let end = Instant::now() + REQUEST;
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < MAX_BYTES && Instant::now() < end {
        match stream.read(&mut piece).ok()? {
            0 => break,
            read => request.extend_from_slice(&piece[..read]),
        }
    }
    let brought = read(std::str::from_utf8(&request).ok()?);
    let words = match &brought {
        Some(Brought::Handoff(_)) => "Go on at the command line. You can close this page.",
        Some(Brought::Refusal { .. }) => "The sign-in did not work. The command line says why.",
        None => "There is nothing here.",
    };
    let status = if brought.is_some() { "200 OK" } else { "404 Not Found" };
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\
         Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n\r\n{words}",
        words.len()
    );
    brought
}

/// Reads the line of a request: `GET /callback?handoff=…`.
fn read(request: &str) -> Option<Brought> {
    let target = request.lines().next()?.strip_prefix("GET ")?.strip_suffix(" HTTP/1.1")?;
    let url = Url::parse("http://127.0.0.1").ok()?.join(target).ok()?;
    if url.path() != "/callback" || url.host_str() != Some("127.0.0.1") {
        return None;
    }
    let parameter = |name| url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned());
    if let Some(handoff) = parameter("handoff") {
        return Some(Brought::Handoff(Zeroizing::new(handoff)));
    }
    Some(Brought::Refusal { code: parameter("error")?, operator: parameter("operator") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_callback_brings_something() {
        let handoff = |request: &str| match read(request) {
            Some(Brought::Handoff(handoff)) => Some(handoff.to_string()),
            _ => None,
        };
        assert_eq!(handoff("GET /callback?handoff=a.b.c HTTP/1.1\r\nHost: x").as_deref(), Some("a.b.c"));
        for other in [
            "",
            "GET / HTTP/1.1",
            "POST /callback?handoff=a HTTP/1.1",
            "GET /other?handoff=a HTTP/1.1",
            "GET //evil.example/callback?handoff=a HTTP/1.1",
            "GET /callback HTTP/1.1",
            "GET /callback?handoff=a",
        ] {
            assert!(read(other).is_none(), "{other}");
        }
        let refusal = read("GET /callback?error=not_allowed&operator=op-1 HTTP/1.1");
        assert!(matches!(refusal, Some(Brought::Refusal { code, operator: Some(_) }) if code == "not_allowed"));
    }
}
