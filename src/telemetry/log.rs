//! Text or JSON on standard error.

use std::io::IsTerminal as _;
use std::str::FromStr;

use tracing_subscriber::filter::{EnvFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt};

use super::line::Plain;
pub use super::line::REQUEST_COMPLETED;
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
    let (writer, guard) = LogWriter::to_stderr()
        .map_err(|error| Error::new(ErrorKind::Internal, "the log cannot be started").caused_by(error))?;
    // The subscriber would report its own errors by a macro that panics when standard error has no reader.
    let lines = fmt::layer().with_writer(writer).log_internal_errors(false);
    match format {
        LogFormat::Text if std::io::stderr().is_terminal() => install(lines.with_ansi(true), filter),
        LogFormat::Text => install(lines.with_ansi(false).event_format(Plain::default()), filter),
        LogFormat::Json => install(lines.json().flatten_event(true), filter),
    }?;
    Ok(guard)
}

fn install(lines: impl Layer<Registry> + Send + Sync, filter: &str) -> Result<()> {
    let log = tracing_subscriber::registry().with(lines);
    let started = match targets(filter) {
        Some(targets) => log.with(targets).try_init(),
        None => {
            let filter = EnvFilter::try_new(filter).map_err(|_| Error::invalid("the log filter cannot be read"))?;
            log.with(filter).try_init()
        }
    };
    started.map_err(|error| Error::invalid("logging was started before").caused_by(error))
}

/// The same filter without what only `EnvFilter` can do, which takes several locks for each span. `None` for a filter
/// that names spans, or that the two might read differently.
fn targets(filter: &str) -> Option<Targets> {
    let is_plain = |directive: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'=');
        !directive.is_empty() && !directive.ends_with('=') && directive.bytes().all(plain)
    };
    filter.split(',').all(is_plain).then(|| filter.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_names_no_span_takes_no_lock_per_span() {
        for filter in ["info", "WARN", "off", "warn,keyloft=debug", "keyloft::http=trace,keyloft,3"] {
            assert!(targets(filter).is_some(), "{filter}");
        }
        for filter in ["info,[request]=debug", "[request{id=a}]", "", "info,", "info, keyloft=debug", "keyloft=", "a=b"]
        {
            assert!(targets(filter).is_none(), "{filter}");
        }
    }
}
