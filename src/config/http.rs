//! The listener: address, connections and timeouts.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::OptionDoc;
use super::headers::{HeaderNames, Origins};
use super::value::{count, duration};
use crate::key::Networks;

/// Whether requests need a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Authentication {
    /// They do.
    #[default]
    On,
    /// They do not: for trusted development, on a loopback address only.
    Off,
}

/// How the server listens.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Whether requests need a credential.
    pub auth: Authentication,
    /// Worker threads; `None` for one per core.
    pub workers: Option<NonZeroUsize>,
    /// The proxies whose forwarding headers are believed; none when empty.
    pub trusted_proxies: Networks,
    /// Headers that carry an API key besides `X-API-KEY`.
    pub api_key_headers: HeaderNames,
    /// The origins whose pages may use the data plane.
    pub cors_origins: Origins,
    /// Connections open at once, over all workers; more wait.
    pub max_connections: usize,
    /// How long a client may take to send the head of a request.
    pub request_head_timeout: Duration,
    /// How long a client may take to send the body of a request, or stop reading an answer.
    pub request_body_timeout: Duration,
    /// How long the server may take to stop after SIGTERM; running requests get three quarters of it.
    pub shutdown_timeout: Duration,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)),
            auth: Authentication::On,
            workers: None,
            trusted_proxies: Networks::default(),
            api_key_headers: HeaderNames::default(),
            cors_origins: Origins::default(),
            max_connections: 10_000,
            request_head_timeout: Duration::from_secs(5),
            request_body_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(30),
        }
    }
}

const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

pub(super) const OPTIONS: &[OptionDoc] = &[
    OptionDoc {
        flag: Some("listen"),
        env: "KEYLOFT_LISTEN",
        key: Some("http.listen"),
        default: "127.0.0.1:8000",
        unit: "address:port",
        doc: "The address to listen on; of a name, its first IPv4 address if it has one.",
        set: |config, text| {
            config.http.listen = address(text)?;
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("auth"),
        env: "KEYLOFT_AUTH",
        key: Some("http.auth"),
        default: "on",
        unit: "on or off",
        doc: "off takes requests without a credential, in trusted development: on a loopback address only.",
        set: |config, text| {
            config.http.auth = match text {
                "on" => Authentication::On,
                "off" => Authentication::Off,
                _ => return Err("must be on or off".to_owned()),
            };
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("workers"),
        env: "KEYLOFT_WORKERS",
        key: Some("http.workers"),
        default: "auto",
        unit: "threads",
        doc: "Worker threads; auto is one per core.",
        set: |config, text| {
            let number = if text == "auto" { 0 } else { count(text, 1..=1024)? };
            config.http.workers = NonZeroUsize::new(number);
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("trusted-proxies"),
        env: "KEYLOFT_TRUSTED_PROXIES",
        key: Some("http.trusted_proxies"),
        default: "nobody",
        unit: "networks",
        doc: "Proxies that are believed about a client's address (X-Forwarded-For, Forwarded), such as 10.0.0.0/8.",
        set: |config, text| {
            let networks = if text == "nobody" { Ok(Networks::default()) } else { text.parse() };
            let rule = |_| "must be networks such as 10.0.0.0/8,2001:db8::/32, or nobody".to_owned();
            config.http.trusted_proxies = networks.map_err(rule)?;
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("api-key-headers"),
        env: "KEYLOFT_API_KEY_HEADERS",
        key: Some("http.api_key_headers"),
        default: "none",
        unit: "names",
        doc: "Headers that carry an API key besides X-API-KEY, such as x-esper-api-key,api-key; at most 8.",
        set: |config, text| {
            config.http.api_key_headers = HeaderNames::parse(text)?;
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("cors-origins"),
        env: "KEYLOFT_CORS_ORIGINS",
        key: Some("http.cors_origins"),
        default: "none",
        unit: "origins",
        doc: "Origins whose pages may use the data plane from a browser, such as https://console.example.com; * for all.",
        set: |config, text| {
            config.http.cors_origins = Origins::parse(text)?;
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("max-connections"),
        env: "KEYLOFT_MAX_CONNECTIONS",
        key: Some("http.max_connections"),
        default: "10000",
        unit: "connections",
        doc: "Connections open at once, over all workers; more wait.",
        set: |config, text| {
            config.http.max_connections = count(text, 1..=1_000_000)?;
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("request-head-timeout"),
        env: "KEYLOFT_REQUEST_HEAD_TIMEOUT",
        key: Some("http.request_head_timeout"),
        default: "5s",
        unit: "duration",
        doc: "How long a client may take to send the head of a request.",
        set: |config, text| {
            config.http.request_head_timeout = duration(text, TIMEOUTS)?;
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("request-body-timeout"),
        env: "KEYLOFT_REQUEST_BODY_TIMEOUT",
        key: Some("http.request_body_timeout"),
        default: "30s",
        unit: "duration",
        doc: "How long a client may take to send the body of a request, or stop reading an answer.",
        set: |config, text| {
            config.http.request_body_timeout = duration(text, TIMEOUTS)?;
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("shutdown-timeout"),
        env: "KEYLOFT_SHUTDOWN_TIMEOUT",
        key: Some("http.shutdown_timeout"),
        default: "30s",
        unit: "duration",
        doc: "How long the server may take to stop after SIGTERM; running requests get three quarters of it.",
        set: |config, text| {
            // actix counts the shutdown in whole seconds.
            config.http.shutdown_timeout = duration(text, Duration::from_secs(1)..=Duration::from_secs(3600))?;
            Ok(())
        },
    },
];

/// An address, or a name that is resolved once. IPv4 is preferred, because clients of `localhost` expect it.
fn address(text: &str) -> Result<SocketAddr, String> {
    const RULE: &str = "must be an address or a name, and a port, such as 127.0.0.1:8000, [::]:8000 or localhost:8000";
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (name, port) = text.rsplit_once(':').ok_or(RULE)?;
    let port: u16 = port.parse().map_err(|_| RULE)?;
    if name.is_empty() || name.contains([':', '/', '[', ']']) {
        return Err(RULE.to_owned());
    }
    let found = (name, port).to_socket_addrs().map_err(|error| format!("cannot look up {name}: {error}"))?;
    found.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| format!("{name} has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_and_what_is_none_is_refused() {
        assert_eq!(address("localhost:8000"), Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, 8000))));
        assert_eq!(address("[::1]:8000").unwrap().to_string(), "[::1]:8000");
        for bad in ["localhost", ":8000", "localhost:http", "http://localhost:8000", "::1:8000", "localhost:99999"] {
            assert!(address(bad).unwrap_err().contains("localhost:8000"), "{bad}");
        }
        assert!(address("nowhere.invalid:8000").unwrap_err().contains("cannot look up"));
    }
}
