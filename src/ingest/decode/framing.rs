//! How events stand in a text, and where the next one begins.

use serde::de::{DeserializeSeed, IgnoredAny};

use super::batch::Decoded;
use super::common::CommonFields;
use super::event::{Event, Events};
use super::refusal::{EventRefusal, Fault, Place};
use super::table::EventTable;
use crate::error::{Error, Result};
use crate::ingest::budget::Reservation;

/// How events stand in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// As JSON: an object, an array of objects, or objects with blanks between. A value may span lines.
    #[default]
    Json,
    /// As NDJSON: each line stands for itself, so that a broken one is named by its own number. Several objects on one
    /// line, with blanks between, are taken; so is an array on the only line.
    Lines,
}

impl Framing {
    /// Whether a text that begins with `[` is an array. Lines are units: an array must not take in those that follow.
    pub(super) fn may_hold_array(self, text: &[u8]) -> bool {
        self == Self::Json || !text.trim_ascii_end().contains(&b'\n')
    }
}

/// A text with events in it: a body, or a record of one.
#[derive(Debug, Clone, Copy)]
pub struct Text<'b> {
    /// What was sent. A byte order mark is passed over.
    pub bytes: &'b [u8],
    /// How events stand in it.
    pub framing: Framing,
    /// Which record it is, counted from 1; 0 when the request does not consist of records.
    pub record: usize,
    /// Why it is no text at all, if it could not be unpacked; `bytes` is then what was sent.
    pub broken: Option<&'b str>,
}

/// Reads the texts of a request in their order; each event gets the `common` fields too. A request without events is an
/// empty batch. What the columns fill is added to `memory` first. Linear in the size of the texts.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when anything in a text is wrong, [`crate::ErrorKind::TooLarge`] when there are more
/// than [`super::MAX_EVENTS`] or [`super::table::MAX_CELLS`], [`crate::ErrorKind::Unavailable`] when there is no memory
/// for them.
pub(in crate::ingest) fn decode(
    texts: &[Text<'_>],
    common: &CommonFields,
    memory: &mut Reservation,
) -> Result<Decoded> {
    let mut table = EventTable::new(common, memory).map_err(|refusal| refusal.at(Place::default()))?;
    for text in texts {
        text.read(&mut table)?;
    }
    Ok(table.finish())
}

impl<'b> Text<'b> {
    /// The text of a whole body.
    pub fn of_body(bytes: &'b [u8], framing: Framing) -> Self {
        Self { bytes, framing, record: 0, broken: None }
    }

    /// Without its byte order mark.
    pub(super) fn body(&self) -> &'b [u8] {
        self.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(self.bytes)
    }

    /// Reads all events into `table`, or says which is the first that is refused.
    pub(super) fn read<'t>(&self, table: &mut EventTable<'t>) -> Result<()>
    where
        'b: 't,
    {
        let body = self.body();
        table.begin_record(self.record);
        if let Some(reason) = self.broken {
            return Err(EventRefusal::new(Fault::Encoding, reason).at(Place::default().in_record(self.record)));
        }
        let text = std::str::from_utf8(body).map_err(|error| {
            let line = 1 + newlines(&body[..error.valid_up_to()]);
            EventRefusal::not_utf8().at(Place::line(line).in_record(self.record))
        })?;
        table.begin_text(text);
        match (next(body, 0), self.framing) {
            (Some((start, b'[')), framing) if framing.may_hold_array(&body[start..]) => array(table, text),
            (_, Framing::Lines) => lines(table, text),
            (first, Framing::Json) => objects(table, text, first),
        }
    }
}

fn array(table: &mut EventTable<'_>, text: &str) -> Result<()> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    if let Err(error) = Events(&mut *table).deserialize(&mut deserializer) {
        let place = Place { line: error.line(), ..table.place() };
        return Err(table.reason(&error).at(place));
    }
    deserializer.end().map_err(|error| {
        table.go_to(Place::line(error.line()));
        EventRefusal::not_json(&error).at(table.place())
    })
}

fn lines(table: &mut EventTable<'_>, text: &str) -> Result<()> {
    for (at, line) in text.split('\n').enumerate() {
        table.go_to(Place::line(at + 1));
        let mut start = next(line.as_bytes(), 0);
        while let Some((at, byte)) = start {
            let length = object(table, &line[at..], byte).map_err(|(refusal, _)| refusal.at(table.place()))?;
            start = following(line, at, length).map_err(|refusal| refusal.at(table.place()))?;
        }
    }
    Ok(())
}

fn objects(table: &mut EventTable<'_>, text: &str, first: Option<(usize, u8)>) -> Result<()> {
    let (mut start, mut counted, mut line) = (first, 0, 1);
    while let Some((at, byte)) = start {
        line += newlines(&text.as_bytes()[counted..at]);
        counted = at;
        table.go_to(Place::line(line));
        let stopped = |(refusal, lines): (EventRefusal, usize), table: &EventTable<'_>| -> Error {
            let place = table.place();
            refusal.at(Place { line: place.line + lines, ..place })
        };
        let length = object(table, &text[at..], byte).map_err(|stop| stopped(stop, table))?;
        start = following(text, at, length).map_err(|refusal| {
            let lines = newlines(&text.as_bytes()[at..at + length.unwrap_or(0)]);
            stopped((refusal, lines), table)
        })?;
    }
    Ok(())
}

/// Reads the object at the start of `text`, which begins with `byte`. The answer is where the next one may begin, from
/// there on; `None` when nothing follows. A refusal comes with the number of line ends before it.
pub(super) fn object(table: &mut EventTable<'_>, text: &str, byte: u8) -> Result<Option<usize>, (EventRefusal, usize)> {
    if byte != b'{' {
        return Err((no_object(text.as_bytes()), 0));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Event(&mut *table)
        .deserialize(&mut deserializer)
        .map_err(|error| (table.reason(&error), error.line().saturating_sub(1)))?;
    Ok(deserializer.end().err().map(|more| offset(text, more.line(), more.column())))
}

/// Why no event begins at the start of `text`, which is not blank: another JSON value stands there, or none.
pub(super) fn no_object(text: &[u8]) -> EventRefusal {
    value_end(text).map_or_else(|refusal| refusal, |_| EventRefusal::not_an_object())
}

/// Where the JSON value at the start of `text` ends, at any depth of nesting.
pub(super) fn value_end(text: &[u8]) -> Result<usize, EventRefusal> {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => Ok(values.byte_offset()),
        Some(Err(error)) => Err(EventRefusal::not_json(&error)),
        None => Err(EventRefusal::not_an_object()),
    }
}

/// The first byte of what follows an event that began at `start` of `text`, if anything does.
fn following(text: &str, start: usize, length: Option<usize>) -> Result<Option<(usize, u8)>, EventRefusal> {
    let Some((at, byte)) = length.and_then(|length| next(text.as_bytes(), start + length)) else { return Ok(None) };
    if text.as_bytes()[at - 1].is_ascii_whitespace() { Ok(Some((at, byte))) } else { Err(EventRefusal::glued()) }
}

/// The first byte that is not blank, from `at` on.
pub(super) fn next(text: &[u8], at: usize) -> Option<(usize, u8)> {
    let rest = text.get(at..)?;
    let blank = rest.iter().position(|&byte| !is_blank(byte))?;
    Some((at + blank, rest[blank]))
}

/// What JSON calls whitespace.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Where `serde_json`'s line and column (both from 1, in bytes) are. As far as the text was read, so the cost of all
/// calls together is one pass.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
    before + column.saturating_sub(1)
}

pub(super) fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}
