//! Configuration: one struct per concern, and one table entry per option.
//!
//! Defaults < file < environment < flags. Every option is described once, as an [`OptionDoc`] next to the struct it
//! sets; the command line, the environment, the file and `docs/configuration.md` all use [`options`].
//!
//! 1. [`OptionDoc`]: the description of an option.  [`options`]: all of them.
//! 2. `value`: parsing durations, sizes and counts, and their bounds.
//! 3. `file`: `keyloft.toml`.  `tables`: the lists of tables in it.  [`headers`]: names of headers and origins.
//! 4. [`admin`], [`http`], [`session`], [`limits`], [`log`]: settings that are defined here, and their options.
//!    `sync`, `ingest`, `compaction`, `policy`, `query`, `usage`, `signin`: the options of settings that other modules
//!    define.
//! 5. `providers`: the identity providers of the environment.

pub(crate) mod admin;
mod compaction;
mod file;
pub(crate) mod headers;
pub(crate) mod http;
mod ingest;
pub(crate) mod limits;
pub(crate) mod log;
mod option;
mod policy;
mod providers;
#[cfg(feature = "query")]
mod query;
pub(crate) mod session;
mod signin;
mod sync;
mod tables;
mod usage;
mod value;

use std::ffi::OsString;
use std::path::PathBuf;

pub use admin::{AdminConfig, AdminToken};
pub use headers::{HeaderNames, Origins};
pub use http::{Authentication, HttpConfig};
pub use limits::{LimitsConfig, RedisUrl};
pub use log::{LogConfig, LogFormat};
#[doc(hidden)]
pub use option::OptionDoc;
pub use session::SessionConfig;
pub(crate) use value::parse_duration;

pub use crate::compaction::CompactionSettings;
use crate::decisions::PolicySettings;
pub use crate::ingest::IngestSettings;
#[cfg(feature = "query")]
pub use crate::query::QuerySettings;
use crate::store::StoreUrl;
pub use crate::sync::SyncSettings;
pub use crate::usage::UsageSettings;

/// The configuration of a server. Plain data; [`Config::load`] checks the bounds of each option.
#[derive(Debug)]
pub struct Config {
    /// The store.
    pub store: StoreUrl,
    /// The listener.
    pub http: HttpConfig,
    /// The admin plane.
    pub admin: AdminConfig,
    /// Signing in of people.
    #[doc(hidden)]
    pub signin: crate::signin::Settings,
    /// Whether this node is the only writer of a store without conditional writes.
    pub single_writer: bool,
    /// Following other nodes.
    pub sync: SyncSettings,
    /// Query sessions.
    pub session: SessionConfig,
    /// Limits of keys.
    pub limits: LimitsConfig,
    /// Ingest.
    pub ingest: IngestSettings,
    /// Merging of events.
    pub compaction: CompactionSettings,
    /// Traffic policies.
    #[doc(hidden)]
    pub policy: PolicySettings,
    /// SQL queries.
    #[cfg(feature = "query")]
    pub query: QuerySettings,
    /// Recording of usage.
    pub usage: UsageSettings,
    /// The log.
    pub log: LogConfig,
}

/// Why the configuration is refused. Names the option and where it was set; never quotes the admin token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct InvalidConfig {
    place: String,
    reason: String,
}

impl InvalidConfig {
    fn new(place: impl Into<String>, reason: impl ToString) -> Self {
        Self { place: place.into(), reason: reason.to_string() }
    }
}

/// The options given as flags: pairs of [`OptionDoc::flag`] and text.
pub type Flags = [(&'static str, String)];

const CONFIG_FLAG: &str = "config";
const CONFIG_ENV: &str = "KEYLOFT_CONFIG";
const STORE: &str = "./keyloft-data";

/// The two options outside of any section.
const OPTIONS: &[OptionDoc] = &[
    OptionDoc {
        flag: Some(CONFIG_FLAG),
        env: CONFIG_ENV,
        key: None,
        default: "none",
        unit: "path",
        doc: "A TOML file with options; the environment and the flags win over it.",
        set: |_, _| Ok(()),
    },
    OptionDoc {
        flag: Some("store"),
        env: "KEYLOFT_STORE",
        key: Some("store"),
        default: STORE,
        unit: "URL or path",
        doc: "Where everything is kept: file:///path, a plain path, or s3://bucket/prefix (with the usual AWS_* variables).",
        set: |config, text| {
            config.store = text.parse().map_err(|error: crate::Error| error.message().to_owned())?;
            Ok(())
        },
    },
];

/// Every option of `keyloft serve`, in the order of the table in `docs/configuration.md`.
#[doc(hidden)]
pub fn options() -> impl Iterator<Item = &'static OptionDoc> {
    [
        OPTIONS,
        http::OPTIONS,
        admin::OPTIONS,
        signin::OPTIONS,
        sync::OPTIONS,
        session::OPTIONS,
        limits::OPTIONS,
        ingest::OPTIONS,
        compaction::OPTIONS,
        policy::OPTIONS,
        #[cfg(feature = "query")]
        query::OPTIONS,
        usage::OPTIONS,
        log::OPTIONS,
    ]
    .into_iter()
    .flatten()
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: StoreUrl::Directory(STORE.into()),
            http: HttpConfig::default(),
            admin: AdminConfig::default(),
            signin: crate::signin::Settings::default(),
            single_writer: false,
            sync: SyncSettings::default(),
            session: SessionConfig::default(),
            limits: LimitsConfig::default(),
            ingest: IngestSettings::default(),
            #[cfg(feature = "query")]
            query: QuerySettings::default(),
            compaction: CompactionSettings::default(),
            policy: PolicySettings::default(),
            usage: UsageSettings::default(),
            log: LogConfig::default(),
        }
    }
}

impl Config {
    /// Defaults, then the file that `--config` or `KEYLOFT_CONFIG` names, then the environment, then `flags`.
    /// `environment` answers like [`std::env::var_os`].
    ///
    /// # Errors
    /// [`InvalidConfig`] for the first option that cannot be read or is out of its bounds, an unknown key of the file,
    /// an unreadable file, an admin token of fewer than 32 characters, and identity providers that lack something.
    pub fn load(flags: &Flags, environment: impl Fn(&str) -> Option<OsString>) -> Result<Self, InvalidConfig> {
        let mut config = Self::default();
        if let Some(path) = file_path(flags, &environment) {
            file::apply(&mut config, &path)?;
        }
        for option in options() {
            if let Some(text) = environment(option.env) {
                let text = text.into_string().map_err(|_| InvalidConfig::new(option.env, "is not UTF-8"))?;
                (option.set)(&mut config, &text).map_err(|reason| InvalidConfig::new(option.env, reason))?;
            }
        }
        for (flag, text) in flags {
            let option = options().find(|option| option.flag == Some(*flag));
            let option = option.ok_or_else(|| InvalidConfig::new(format!("--{flag}"), "is no option"))?;
            (option.set)(&mut config, text).map_err(|reason| InvalidConfig::new(format!("--{flag}"), reason))?;
        }
        let is_loopback = config.http.listen.ip().to_canonical().is_loopback();
        if config.http.auth == Authentication::Off && !is_loopback {
            return Err(InvalidConfig::new("auth", "off needs a loopback address in listen, such as 127.0.0.1:8000"));
        }
        if config.ingest.max_in_flight_bytes < config.ingest.max_body_bytes {
            return Err(InvalidConfig::new("ingest-max-in-flight", "must be at least ingest-max-body"));
        }
        config.limits.redis = limits::redis(&environment)?;
        if config.limits.redis_ca.is_some() && !config.limits.redis.as_ref().is_some_and(RedisUrl::is_tls) {
            return Err(InvalidConfig::new("limits-redis-ca-file", "needs a rediss:// URL in KEYLOFT_LIMITS_REDIS"));
        }
        providers::complete(&mut config.signin, &environment)?;
        (config.policy.secret, config.policy.other_secret) = policy::secrets(&environment)?;
        config.admin.token = admin::token(environment)?;
        Ok(config)
    }
}

fn file_path(flags: &Flags, environment: &impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let flag = flags.iter().find(|(flag, _)| *flag == CONFIG_FLAG);
    flag.map(|(_, path)| path.into()).or_else(|| environment(CONFIG_ENV).map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn environment<'a>(pairs: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, text)| (*text).into())
    }

    fn written(body: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), body).unwrap();
        file
    }

    #[test]
    fn the_file_gives_way_to_the_environment_and_both_to_flags() {
        let file = written("[session]\nttl = \"1m\"\nmax_per_tenant = 3\n[query]\nmemory = \"64MiB\"\n");
        let path = file.path().to_str().unwrap();
        let environment =
            [("KEYLOFT_CONFIG", path), ("KEYLOFT_SESSION_TTL", "2m"), ("KEYLOFT_SESSION_MAX_PER_TENANT", "4")];
        let flags = [("session-ttl", "3m".to_owned())];
        let config = Config::load(&flags, self::environment(&environment)).unwrap();
        assert_eq!(config.session.ttl, Duration::from_secs(180));
        assert_eq!(config.session.max_per_tenant, 4);
        assert_eq!(config.query.memory_bytes, 64 << 20);
        assert_eq!(config.ingest.max_body_bytes, 10 << 20);
    }

    #[test]
    fn the_flag_names_the_file_before_the_environment_does() {
        let file = written("store = \"s3://bucket/here\"\n");
        let flags = [("config", file.path().to_str().unwrap().to_owned())];
        let config = Config::load(&flags, environment(&[("KEYLOFT_CONFIG", "/nowhere")])).unwrap();
        assert_eq!(config.store.to_string(), "s3://bucket/here");
    }

    #[test]
    fn every_documented_default_is_the_default() {
        let mut config = Config::default();
        for option in options().filter(|option| option.default != "none") {
            (option.set)(&mut config, option.default).unwrap();
        }
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn every_option_that_is_out_of_bounds_is_named() {
        let cases = [
            ("session-ttl", "0s"),
            ("session-ttl", "5"),
            ("session-max-per-tenant", "0"),
            ("api-key-rate-limit-per-minute", "some"),
            ("trusted-proxies", "10.0.0.1/8"),
            ("ingest-max-body", "0"),
            ("ingest-window", "2m"),
            ("ingest-max-in-flight", "1TiB"),
            ("query-memory", "lots"),
            ("api-key-headers", "authorization"),
            ("cors-origins", "https://a.example/"),
            ("max-connections", "-1"),
            ("workers", "0"),
            ("listen", "localhost"),
            ("log-format", "xml"),
            ("log-filter", "a=b=c"),
            ("store", "ftp://example"),
            ("public-url", "http://keys.example"),
            ("public-url", "https://keys.example/?a"),
            ("platform-admins", "ada@example.com"),
            ("platform-admins", ""),
            ("operator-session-ttl", "59s"),
            ("operator-session-ttl", "31d"),
        ];
        for (flag, text) in cases {
            let error = Config::load(&[(flag, text.to_owned())], environment(&[])).unwrap_err();
            assert!(error.to_string().starts_with(&format!("--{flag}: ")), "{error}");
        }
        let error = Config::load(&[], environment(&[("KEYLOFT_SESSION_TTL", "")])).unwrap_err();
        assert!(error.to_string().starts_with("KEYLOFT_SESSION_TTL: "), "{error}");
    }

    #[test]
    fn a_certificate_authority_needs_a_redis_that_is_reached_over_tls() {
        let file = written("-----BEGIN CERTIFICATE-----\n");
        let flags = [("limits-redis-ca-file", file.path().to_str().unwrap().to_owned())];
        for url in ["redis://127.0.0.1", ""] {
            let pairs = [("KEYLOFT_LIMITS_REDIS", url)];
            let error = Config::load(&flags, environment(&pairs[usize::from(url.is_empty())..])).unwrap_err();
            assert!(error.to_string().starts_with("limits-redis-ca-file: needs"), "{error}");
        }
        assert!(Config::load(&flags, environment(&[("KEYLOFT_LIMITS_REDIS", "rediss://127.0.0.1")])).is_ok());
        for bad in ["/nowhere", written("none").path().to_str().unwrap()] {
            let error = Config::load(&[("limits-redis-ca-file", bad.to_owned())], environment(&[])).unwrap_err();
            assert!(error.to_string().starts_with("--limits-redis-ca-file: "), "{error}");
        }
    }

    #[test]
    fn authentication_is_off_on_loopback_addresses_only() {
        let load = |listen: &str, auth: &str| {
            let flags = [("listen", listen.to_owned()), ("auth", auth.to_owned())];
            Config::load(&flags, environment(&[])).map(|config| config.http.auth)
        };
        for listen in ["127.0.0.1:8000", "127.9.9.9:8000", "[::1]:8000", "[::ffff:127.0.0.1]:8000", "localhost:8000"] {
            assert_eq!(load(listen, "off"), Ok(Authentication::Off), "{listen}");
        }
        for listen in ["0.0.0.0:8000", "[::]:8000", "192.0.2.7:8000", "[::ffff:192.0.2.7]:8000"] {
            assert!(load(listen, "off").unwrap_err().to_string().starts_with("auth: off needs"), "{listen}");
            assert_eq!(load(listen, "on"), Ok(Authentication::On));
        }
        assert!(load("127.0.0.1:8000", "false").is_err() && load("127.0.0.1:8000", "").is_err());
    }

    #[test]
    fn a_body_that_could_never_be_in_flight_is_refused() {
        let flags = [("ingest-max-body", "4MiB".to_owned()), ("ingest-max-in-flight", "1MiB".to_owned())];
        let error = Config::load(&flags, environment(&[])).unwrap_err();
        assert!(error.to_string().starts_with("ingest-max-in-flight: "), "{error}");
    }
}
