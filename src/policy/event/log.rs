//! Lines of access logs.

use std::borrow::Cow;

use super::arrival::Arrival;
use super::error::InvalidEvent;
use super::event::Event;
use super::json::Text;
use super::names::Names;
use super::text::hex_byte;
use super::time;

/// The longest line of a log that is read, in bytes.
const MAX_LINE_BYTES: usize = 2 << 20;

/// How a log is written.
#[derive(Debug, Clone)]
pub enum LogFormat {
    /// The combined format of Apache and nginx.
    Combined,
    /// JSON objects under other names: [`Names::nginx`], [`Names::ecs`], or a map.
    Named(Names),
    /// JSON objects as `decide` takes them.
    Keyloft,
}

impl LogFormat {
    /// A format by the name that the command line gives it: `combined`, `nginx-json`, `ecs` or `ndjson`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "combined" => Some(Self::Combined),
            "nginx-json" => Some(Self::Named(Names::nginx())),
            "ecs" => Some(Self::Named(Names::ecs())),
            "ndjson" => Some(Self::Keyloft),
            _ => None,
        }
    }

    /// Reads a line, without its end, and hands on the event.
    ///
    /// # Errors
    /// [`InvalidEvent`] when the line is unreadable: it is to be counted and named, and the next one read.
    pub fn read<R>(
        &self,
        line: &[u8],
        arrival: Arrival<'_>,
        then: impl FnOnce(Event<'_>) -> R,
    ) -> Result<R, InvalidEvent> {
        if line.len() > MAX_LINE_BYTES {
            return Err(InvalidEvent::TooLarge);
        }
        match self {
            Self::Combined => {
                let text = String::from_utf8_lossy(line);
                let mut event = combined(&text, arrival)?;
                event.malformed |= matches!(text, Cow::Owned(_));
                Ok(then(event))
            }
            Self::Named(names) => {
                let text = Text::new(line);
                let (json, mended) = text.json()?;
                Ok(then(Event::of_names(names, &json, arrival).mended(mended)))
            }
            Self::Keyloft => {
                let text = Text::new(line);
                let (json, mended) = text.json()?;
                Ok(then(Event::of_decide(&json, arrival)?.mended(mended)))
            }
        }
    }
}

/// `198.18.0.1 - user [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 512 "referer" "user agent"`. The last two may
/// be missing (the common format), and more may follow.
fn combined<'a>(line: &'a str, arrival: Arrival<'a>) -> Result<Event<'a>, InvalidEvent> {
    let wrong = |rule| InvalidEvent::Line { format: "combined", rule };
    let mut event = Event::new(arrival);
    let (client, rest) = line.split_once(' ').ok_or(wrong("there is no client address"))?;
    event.malformed |= !event.set_client_ip(client); // A name, where the server resolves them.
    let (_, rest) = rest.split_once('[').ok_or(wrong("there is no time in brackets"))?;
    let (at, rest) = rest.split_once(']').ok_or(wrong("there is no time in brackets"))?;
    event.observed_at_ms = time::access_log(at).ok_or(wrong("the time is not like 17/May/2015:10:05:03 +0000"))?;
    let (request, rest) = quoted(rest).ok_or(wrong("there is no request in quotes"))?;
    event.set_request_line(request);
    let mut numbers = rest.splitn(3, ' ');
    let status = numbers.next().and_then(|status| status.parse().ok()).ok_or(wrong("there is no status"))?;
    event.set_status(Some(status));
    event.response_bytes = numbers.next().and_then(|bytes| bytes.parse().ok());
    let Some(rest) = numbers.next().filter(|rest| !rest.is_empty()) else { return Ok(event) };
    let said = |text: Cow<'a, str>| Some(text).filter(|text| !text.is_empty() && text != "-");
    let (referer, rest) = quoted(rest).ok_or(wrong("the referer is not closed by a quote"))?;
    event.referer = said(referer).and_then(|text| event.text(text));
    let (agent, _) = quoted(rest).ok_or(wrong("the user agent is not closed by a quote"))?;
    event.user_agent = said(agent).and_then(|text| event.text(text));
    Ok(event)
}

/// The text in quotes at the start of `rest`, and what follows behind a space. Escapes are those of Apache and nginx.
fn quoted(rest: &str) -> Option<(Cow<'_, str>, &str)> {
    let text = rest.trim_start_matches(' ').strip_prefix('"')?;
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    let (inner, behind) = text.split_at_checked(end)?;
    Some((unescaped(inner), behind.get(1..)?.trim_start_matches(' ')))
}

fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let (byte, taken) = match (first, behind) {
            (b'\\', [b'x', digits @ ..]) => hex_byte(digits).map_or((b'\\', 0), |byte| (byte, 3)),
            (b'\\', [b'n', ..]) => (b'\n', 1),
            (b'\\', [b'r', ..]) => (b'\r', 1),
            (b'\\', [b't', ..]) => (b'\t', 1),
            (b'\\', [other, ..]) => (*other, 1),
            (other, _) => (*other, 0),
        };
        bytes.push(byte);
        rest = behind.get(taken..).unwrap_or_default();
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}
