//! The log: format and filter.

use tracing_subscriber::EnvFilter;

use super::OptionDoc;
pub use crate::telemetry::log::LogFormat;

/// The log's form and volume.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// Lines for people or for programs.
    pub format: LogFormat,
    /// What is logged, as `tracing_subscriber` filters: `info`, `warn,keyloft=debug`. Parses as one.
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

pub(super) const OPTIONS: &[OptionDoc] = &[
    OptionDoc {
        flag: Some("log-format"),
        env: "KEYLOFT_LOG_FORMAT",
        key: Some("log.format"),
        default: "text",
        unit: "text or json",
        doc: "Log lines for people (text), or one JSON object a line (json).",
        set: |config, text| {
            config.log.format = text.parse().map_err(|error: crate::Error| error.message().to_owned())?;
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("log-filter"),
        env: "KEYLOFT_LOG_FILTER",
        key: Some("log.filter"),
        default: "info",
        unit: "filter",
        doc: "What is logged: error, warn, info, debug or trace, also by module, such as warn,keyloft=debug.",
        set: |config, text| {
            EnvFilter::builder().parse(text).map_err(|_| "must be a filter such as info or warn,keyloft=debug")?;
            text.clone_into(&mut config.log.filter);
            Ok(())
        },
    },
];
