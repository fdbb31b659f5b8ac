//! The line of an answered request. Every other line is left to `tracing_subscriber`; this one is written for each
//! request, and its general code takes longer than authenticating a key.

use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Format, FormatEvent, FormatFields, Full, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// The name and message of the event that an answered request is logged as.
pub const REQUEST_COMPLETED: &str = "request completed";

/// Lines without colours, as [`Full`] writes them.
#[derive(Debug, Default)]
pub(super) struct Plain(Format<Full>);

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        if metadata.name() != REQUEST_COMPLETED {
            return self.0.format_event(context, to, event);
        }
        SystemTime.format_time(&mut to)?;
        to.write_str(match *metadata.level() {
            Level::ERROR => " ERROR ",
            Level::WARN => "  WARN ",
            Level::INFO => "  INFO ",
            Level::DEBUG => " DEBUG ",
            Level::TRACE => " TRACE ",
        })?;
        let mut is_inside = false;
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            to.write_str(span.name())?;
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>().filter(|fields| !fields.is_empty()) {
                to.write_char('{')?;
                to.write_str(fields)?;
                to.write_char('}')?;
            }
            to.write_char(':')?;
            is_inside = true;
        }
        if is_inside {
            to.write_char(' ')?;
        }
        to.write_str(metadata.target())?;
        to.write_str(": ")?;
        to.write_str(REQUEST_COMPLETED)?;
        let mut fields = Fields { to, written: Ok(()) };
        event.record(&mut fields);
        fields.written?;
        fields.to.write_char('\n')
    }
}

/// Writes fields as `name=value`.
struct Fields<'w> {
    to: Writer<'w>,
    written: fmt::Result,
}

impl Fields<'_> {
    fn write(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.written.is_ok() && field.name() != "message" {
            self.written = self.begin(field.name()).and_then(|()| value(&mut self.to));
        }
    }

    fn begin(&mut self, name: &str) -> fmt::Result {
        self.to.write_char(' ')?;
        self.to.write_str(name)?;
        self.to.write_char('=')
    }
}

impl Visit for Fields<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, |to| to.write_str(itoa::Buffer::new().format(value)));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let is_plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'));
        self.write(field, |to| {
            if !is_plain {
                return write!(to, "{value:?}");
            }
            to.write_char('"')?;
            to.write_str(value)?;
            to.write_char('"')
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write(field, |to| write!(to, "{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// Logs requests and something else, and gives the lines without their times.
    fn logged<F>(format: F) -> Vec<String>
    where
        F: FormatEvent<tracing_subscriber::Registry, tracing_subscriber::fmt::format::DefaultFields>
            + Send
            + Sync
            + 'static,
    {
        let lines = Lines::default();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).event_format(format).with_writer(lines.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let tenant = Some(tracing::field::display("acme"));
            tracing::error!(name: "request completed", status = 500u16, "request completed");
            let span = tracing::info_span!("request", id = %"a-1");
            span.in_scope(|| {
                tracing::info!(
                    name: "request completed", method = "GET", status = 200u16, millis = 0u64, tenant,
                    "request completed"
                );
                tracing::warn!(
                    name: "request completed", odd = "a \"quoted\" \n\\ \u{1b}line", none = None::<&str>,
                    "request completed"
                );
                tracing::info!(status = 7, "anything else \u{1b}");
                tracing::info_span!("inner").in_scope(|| {
                    tracing::debug!("not logged");
                    tracing::info!(name: "request completed", signed = -1, "request completed");
                });
            });
        });
        let text = String::from_utf8(lines.0.lock().clone()).unwrap();
        text.lines().map(|line| line.split_once('Z').unwrap().1.to_owned()).collect()
    }

    #[test]
    fn the_line_of_a_request_is_what_the_general_code_would_write() {
        let lines = logged(Plain::default());
        assert_eq!(lines, logged(Format::default()));
        let here = "keyloft::telemetry::line::tests";
        let expected = format!(
            "  INFO request{{id=a-1}}: {here}: request completed method=\"GET\" status=200 millis=0 tenant=acme"
        );
        assert_eq!(lines[1], expected);
    }
}
