//! Text or JSON on standard error.

use std::str::FromStr;

use tracing_subscriber::EnvFilter;

use super::writer::{LogGuard, LogWriter};
use crate::error::{Error, ErrorKind, Result};

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
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

/// Starts logging for this process; the log ends when the guard is dropped. `filter` is a level (`info`) or directives
/// (`keyloft=debug,warn`).
///
/// # Errors
/// [`ErrorKind::Invalid`] when the filter cannot be read or logging was started before, [`ErrorKind::Internal`] when no
/// thread can be started.
pub fn start(format: LogFormat, filter: &str) -> Result<LogGuard> {
    let filter = EnvFilter::try_new(filter).map_err(|_| Error::invalid("the log filter cannot be read"))?;
    let (writer, guard) = LogWriter::to_stderr()
        .map_err(|error| Error::new(ErrorKind::Internal, "the log cannot be started").caused_by(error))?;
    // The subscriber's own complaints go to standard error by a macro that panics when nobody reads there.
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).log_internal_errors(false);
    let started = match format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Error::invalid("logging was started before").caused_by(error))?;
    Ok(guard)
}
