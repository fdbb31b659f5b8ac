//! Text or JSON on standard error.

use std::str::FromStr;

use tracing_subscriber::EnvFilter;

use crate::error::{Error, Result};

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

impl FromStr for LogFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(Error::invalid("must be text or json")),
        }
    }
}

/// Starts logging for this process. `filter` is a level (`info`) or directives (`keyloft=debug,warn`).
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when the filter cannot be read or logging was started before.
pub fn start(format: LogFormat, filter: &str) -> Result<()> {
    let filter = EnvFilter::try_new(filter).map_err(|_| Error::invalid("the log filter cannot be read"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Error::invalid("logging was started before").caused_by(error))
}
