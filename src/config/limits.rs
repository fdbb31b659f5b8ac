//! Limits: the default of keys, and the Redis in which nodes count limits and windows of policies together.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use url::Url;
use zeroize::Zeroizing;

use super::value::{count, duration};
use super::{InvalidConfig, OptionDoc};
use crate::key::Rate;

/// Limits of keys, and how nodes count them.
#[derive(Debug)]
pub struct LimitsConfig {
    /// The request limit of keys without one of their own; `None` without a limit.
    pub requests: Option<Rate>,
    /// The Redis in which nodes count limits and windows of policies together; `None` when each node counts alone.
    pub redis: Option<RedisUrl>,
    /// The certificates of the authorities that its TLS certificate may come from, in PEM; `None` for those of the
    /// operating system.
    pub redis_ca: Option<Vec<u8>>,
    /// How long a request waits for that Redis before its node counts alone.
    pub redis_timeout: Duration,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { requests: None, redis: None, redis_ca: None, redis_timeout: Duration::from_millis(50) }
    }
}

const REDIS: &str = "KEYLOFT_LIMITS_REDIS";
const REDIS_FILE: &str = "KEYLOFT_LIMITS_REDIS_FILE";

/// [`redis`] reads the URL, because its two places exclude each other.
pub(super) const OPTIONS: &[OptionDoc] = &[
    OptionDoc {
        flag: Some("api-key-rate-limit-per-minute"),
        env: "KEYLOFT_API_KEY_RATE_LIMIT_PER_MINUTE",
        key: Some("limits.api_key_rate_limit_per_minute"),
        default: "0",
        unit: "requests",
        doc: "Requests a minute, and at once, of each key that has no such limit of its own; 0 is no limit.",
        set: |config, text| {
            let number = count(text, 0..=Rate::MAX)?;
            config.limits.requests = Rate::per_minute(number).ok();
            Ok(())
        },
    },
    OptionDoc {
        flag: None,
        env: REDIS,
        key: None,
        default: "none",
        unit: "redis[s]://[user:password@]host:port/db",
        doc: "A Redis in which nodes count limits, and windows of policies, together, rediss:// over TLS; without one, each node counts for itself.",
        set: |_, _| Ok(()),
    },
    OptionDoc {
        flag: None,
        env: REDIS_FILE,
        key: None,
        default: "none",
        unit: "path",
        doc: "A file that holds the URL of that Redis.",
        set: |_, _| Ok(()),
    },
    OptionDoc {
        flag: Some("limits-redis-ca-file"),
        env: "KEYLOFT_LIMITS_REDIS_CA_FILE",
        key: Some("limits.redis_ca_file"),
        default: "none",
        unit: "path",
        doc: "PEM certificates of the authorities of a rediss:// URL, instead of those of the operating system.",
        set: |config, text| {
            config.limits.redis_ca = if text == "none" { None } else { Some(certificates(text)?) };
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("limits-redis-timeout"),
        env: "KEYLOFT_LIMITS_REDIS_TIMEOUT",
        key: Some("limits.redis_timeout"),
        default: "50ms",
        unit: "duration",
        doc: "How long a request waits for that Redis before its node counts alone.",
        set: |config, text| {
            config.limits.redis_timeout = duration(text, Duration::from_millis(1)..=Duration::from_secs(10))?;
            Ok(())
        },
    },
];

/// More than the bundle of an operating system takes.
const MAX_CA_BYTES: u64 = 4 << 20;

/// The PEM certificates in a file.
fn certificates(path: &str) -> Result<Vec<u8>, String> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    let unreadable = |error: io::Error| format!("{path} cannot be read: {error}");
    let mut pem = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_CA_BYTES + 1).read_to_end(&mut pem)).map_err(unreadable)?;
    if pem.len() as u64 > MAX_CA_BYTES {
        return Err(format!("{path} is larger than 4 MiB"));
    }
    if !pem.windows(BEGIN.len()).any(|window| window == BEGIN) {
        return Err(format!("{path} holds no certificate in PEM"));
    }
    Ok(pem)
}

/// The URL of a Redis. It may hold a password: silent in `Debug`, wiped when dropped.
#[derive(Clone)]
pub struct RedisUrl(Zeroizing<String>);

impl RedisUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// The rule that the text breaks; never the text.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        let is_redis = |url: &Url| matches!(url.scheme(), "redis" | "rediss") && url.host().is_some();
        let url = Url::parse(text).ok().filter(is_redis);
        let url = url.ok_or("must be a URL such as redis://127.0.0.1:6379/0 or rediss://redis.example.com:6379/0")?;
        // The client takes #insecure for "check no certificate".
        if url.fragment().is_some() {
            return Err("must not have a fragment: certificates are always checked");
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// Whether the connection is to use TLS.
    pub fn is_tls(&self) -> bool {
        self.0.starts_with("rediss:")
    }

    /// The URL, for the one connection that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisUrl(..)")
    }
}

/// The URL that `KEYLOFT_LIMITS_REDIS` holds or `KEYLOFT_LIMITS_REDIS_FILE` points to; `None` when neither is set.
/// `environment` answers like [`std::env::var_os`].
///
/// # Errors
/// [`InvalidConfig`] when both are set, when the file cannot be read, and when it is no URL.
pub fn redis(environment: impl Fn(&str) -> Option<OsString>) -> Result<Option<RedisUrl>, InvalidConfig> {
    let (place, text) = match (environment(REDIS), environment(REDIS_FILE)) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(InvalidConfig::new(REDIS, format!("is set as well as {REDIS_FILE}: set one of them")));
        }
        (Some(text), None) => (REDIS, text.into_string().map_err(|_| InvalidConfig::new(REDIS, "is not UTF-8"))?),
        (None, Some(path)) => {
            let path = Path::new(&path);
            let place = || format!("{REDIS_FILE} ({})", path.display());
            (REDIS_FILE, std::fs::read_to_string(path).map_err(|error| InvalidConfig::new(place(), error))?)
        }
    };
    RedisUrl::parse(&Zeroizing::new(text)).map(Some).map_err(|rule| InvalidConfig::new(place, rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_from_one_place_and_never_quoted() {
        let from = |text: &str| redis(|name| (name == REDIS).then(|| text.into()));
        let good = from("redis://:hunter2@127.0.0.1:6379/1").unwrap().unwrap();
        assert_eq!(good.expose(), "redis://:hunter2@127.0.0.1:6379/1");
        assert_eq!(format!("{good:?}"), "RedisUrl(..)");
        assert!(!good.is_tls() && from("rediss://:hunter2@127.0.0.1").unwrap().unwrap().is_tls());
        for bad in ["", "hunter2", "http://hunter2@127.0.0.1", "redis://", "rediss://:hunter2@127.0.0.1#insecure"] {
            let message = from(bad).unwrap_err().to_string();
            assert!(message.starts_with("KEYLOFT_LIMITS_REDIS: must ") && !message.contains("hunter2"), "{message}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "redis://127.0.0.1:6379\n").unwrap();
        let read = redis(|name| (name == REDIS_FILE).then(|| file.path().into())).unwrap().unwrap();
        assert_eq!(read.expose(), "redis://127.0.0.1:6379");
        assert!(redis(|_| Some("redis://127.0.0.1".into())).is_err());
        assert!(redis(|name| (name == REDIS_FILE).then(|| "/nowhere/url".into())).is_err());
        assert!(redis(|_| None).unwrap().is_none());
    }

    #[test]
    fn no_default_limit_is_zero() {
        let option = OPTIONS.iter().find(|option| option.flag == Some("api-key-rate-limit-per-minute")).unwrap();
        let mut config = crate::config::Config::default();
        (option.set)(&mut config, "600").unwrap();
        assert_eq!(config.limits.requests, Rate::per_minute(600).ok());
        (option.set)(&mut config, "0").unwrap();
        assert_eq!(config.limits.requests, None);
        assert!((option.set)(&mut config, "-1").is_err());
    }
}
