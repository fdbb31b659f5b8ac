//! Reading a request of which the good events are taken and the others set aside.

use super::batch::Decoded;
use super::common::CommonFields;
use super::framing::{Framing, Text, decode, newlines, next, no_object, object, value_end};
use super::refusal::{EventRefusal, Fault, MAX_EVENTS, Place};
use super::rejected::Rejected;
use super::stage::Stage;
use super::table::EventTable;
use crate::error::{ErrorKind, Result};
use crate::ingest::budget::Reservation;
use crate::stream::schema::MAX_FIELDS;
use crate::stream::{Conflict, StreamSchema};

/// The events of a request, each in one of two places.
#[derive(Debug)]
pub(in crate::ingest) struct Sorted {
    /// Those that the stream can hold together.
    pub(in crate::ingest) decoded: Decoded,
    /// The others.
    pub(in crate::ingest) rejected: Rejected,
}

/// Reads the texts of a request in their order, and takes every event that `stream` can hold together with those before
/// it. An event ends where its framing says; text that cannot be divided any more is one rejected event to its end.
/// What the columns fill is added to `memory` first. Linear in the size of the texts.
///
/// # Errors
/// [`ErrorKind::TooLarge`] when there are more than [`MAX_EVENTS`], rejected ones included, or
/// [`super::table::MAX_CELLS`], [`ErrorKind::Unavailable`] when there is no memory for them.
pub(in crate::ingest) fn sort(
    texts: &[Text<'_>],
    common: &CommonFields,
    stream: &StreamSchema,
    memory: &mut Reservation,
) -> Result<Sorted> {
    // Most requests have nothing to set aside, and are read at full speed.
    match decode(texts, common, memory) {
        Ok(decoded) if stream.widen(&decoded.batch.fields).is_ok() => {
            return Ok(Sorted { decoded, rejected: Rejected::default() });
        }
        Err(error) if error.kind() != ErrorKind::Invalid => return Err(error),
        _ => {}
    }
    let table = EventTable::new(common, memory).map_err(|refusal| refusal.at(Place::default()))?;
    let mut sorter = Sorter { table, stream, rejected: Rejected::default() };
    for text in texts {
        sorter.read(*text)?;
    }
    Ok(Sorted { decoded: sorter.table.finish(), rejected: sorter.rejected })
}

struct Sorter<'t> {
    table: EventTable<'t>,
    stream: &'t StreamSchema,
    rejected: Rejected,
}

impl<'t> Sorter<'t> {
    fn read(&mut self, text: Text<'t>) -> Result<()> {
        let body = text.body();
        self.table.begin_record(text.record);
        if let Some(reason) = text.broken {
            self.table.go_to(Place::default());
            return self.reject(EventRefusal::new(Fault::Encoding, reason), text.bytes);
        }
        match (next(body, 0), text.framing) {
            (Some((start, b'[')), framing) if framing.may_hold_array(&body[start..]) => self.array(body, start + 1),
            (_, Framing::Lines) => self.lines(body),
            (first, Framing::Json) => self.objects(body, first),
        }
    }

    fn lines(&mut self, body: &'t [u8]) -> Result<()> {
        for (at, line) in body.split(|&byte| byte == b'\n').enumerate() {
            self.table.go_to(Place::line(at + 1));
            let text = match check_line(line) {
                Ok(text) => text,
                Err(refusal) => {
                    self.reject(refusal, line.trim_ascii())?;
                    continue;
                }
            };
            let mut start = next(line, 0);
            while let Some((at, byte)) = start {
                let length = value_end(&line[at..]).unwrap_or(line.len() - at);
                let event = &text[at..at + length];
                if let Err(refusal) = self.event(event, byte)? {
                    self.reject(refusal, event.as_bytes())?;
                }
                start = next(line, at + length);
            }
        }
        Ok(())
    }

    fn array(&mut self, body: &'t [u8], mut at: usize) -> Result<()> {
        let mut event = 1;
        loop {
            self.table.go_to(Place::event(event));
            let Some((start, byte)) = next(body, at) else {
                return self.reject(unclosed(), b"");
            };
            if byte == b']' && event == 1 {
                at = start + 1;
                break;
            }
            let length = match value_end(&body[start..]) {
                Ok(length) => length,
                Err(refusal) => return self.reject(refusal, &body[start..]),
            };
            self.value(&body[start..start + length], byte)?;
            event += 1;
            match next(body, start + length) {
                Some((comma, b',')) => at = comma + 1,
                Some((end, b']')) => {
                    at = end + 1;
                    break;
                }
                Some((rest, _)) => {
                    self.table.go_to(Place::event(event));
                    return self.reject(
                        EventRefusal::new(Fault::NotJson, "this is not JSON: expected `,` or `]`"),
                        &body[rest..],
                    );
                }
                None => {
                    self.table.go_to(Place::event(event));
                    return self.reject(unclosed(), b"");
                }
            }
        }
        if let Some((rest, _)) = next(body, at) {
            self.table.go_to(Place::line(1 + newlines(&body[..rest])));
            self.reject(EventRefusal::new(Fault::NotJson, "this is not JSON: trailing characters"), &body[rest..])?;
        }
        Ok(())
    }

    fn objects(&mut self, body: &'t [u8], first: Option<(usize, u8)>) -> Result<()> {
        let (mut start, mut end, mut counted, mut line) = (first, 0, 0, 1);
        while let Some((at, byte)) = start {
            line += newlines(&body[counted..at]);
            counted = at;
            self.table.go_to(Place::line(line));
            let length = match value_end(&body[at..]) {
                Ok(length) => length,
                Err(refusal) => return self.reject(refusal, &body[at..]),
            };
            let value = &body[at..at + length];
            // After a byte order mark, too, the first event follows nothing.
            if at == end && end > 0 { self.reject(EventRefusal::glued(), value) } else { self.value(value, byte) }?;
            end = at + length;
            start = next(body, end);
        }
        Ok(())
    }

    /// Takes one whole value, or sets it aside.
    fn value(&mut self, value: &'t [u8], byte: u8) -> Result<()> {
        let read = match std::str::from_utf8(value) {
            Ok(text) => self.event(text, byte)?,
            Err(_) => Err(EventRefusal::not_utf8()),
        };
        read.or_else(|refusal| self.reject(refusal, value))
    }

    /// Takes one event; the inner error says why it was not taken.
    fn event(&mut self, text: &'t str, byte: u8) -> Result<Result<(), EventRefusal>> {
        self.check_count()?;
        match self.table.try_event(text, byte, self.stream) {
            Err(refusal) if refusal.fault.is_none() => Err(refusal.at(self.table.place())),
            read => Ok(read),
        }
    }

    fn reject(&mut self, refusal: EventRefusal, text: &[u8]) -> Result<()> {
        self.check_count()?;
        if let Some(fault) = refusal.fault {
            self.rejected.add(self.table.place(), fault, refusal.message, text);
        }
        Ok(())
    }

    fn check_count(&self) -> Result<()> {
        let count = self.table.events() + self.rejected.count();
        if count >= MAX_EVENTS { Err(EventRefusal::too_many_events().at(self.table.place())) } else { Ok(()) }
    }
}

impl<'t> EventTable<'t> {
    /// Reads the event that is `text`, which begins with `byte`, if the columns and `stream` can hold all of it.
    /// Nothing of it stays otherwise.
    fn try_event(&mut self, text: &'t str, byte: u8, stream: &StreamSchema) -> Result<(), EventRefusal> {
        let mark = self.mark();
        self.begin_text(text);
        self.is_staged = true;
        let read = object(self, text, byte).map_err(|(refusal, _)| refusal);
        let mut stage = std::mem::take(&mut self.stage);
        let settled = read.and_then(|_| self.settle(&stage, stream));
        self.is_staged = false;
        if settled.is_err() {
            self.roll_back(&mark);
        }
        stage.clear();
        self.stage = stage;
        settled
    }

    /// Puts the values into their columns, all or none.
    fn settle(&mut self, stage: &Stage, stream: &StreamSchema) -> Result<(), EventRefusal> {
        for id in stage.ids() {
            self.column(id)?; // Names that flatten alike are one field.
        }
        let mut cells: Vec<_> = stage.cells().filter_map(|(id, cell)| Some((self.led_to(id)?, cell))).collect();
        cells.extend(self.missing_common()?);
        let mut new_fields = self.new_fields;
        for &(at, cell) in &cells {
            let column = self.column_at(at);
            column.check(cell)?;
            let (path, found) = (column.path(), cell.field_type());
            match stream.field_type(path) {
                Some(expected) if expected.union(found).is_none() => {
                    return Err(EventRefusal::stream(&Conflict::between(path, expected, found)));
                }
                None if column.is_empty() => {
                    new_fields += 1;
                    if stream.fields().len() + new_fields > MAX_FIELDS {
                        return Err(EventRefusal::stream(&Conflict::TooManyFields { name: path.into() }));
                    }
                }
                _ => {}
            }
        }
        for (at, cell) in cells {
            self.put(at, cell)?;
        }
        self.new_fields = new_fields;
        Ok(())
    }
}

/// A line that is not a row of objects is set aside as a whole.
fn check_line(line: &[u8]) -> Result<&str, EventRefusal> {
    let text = std::str::from_utf8(line).map_err(|_| EventRefusal::not_utf8())?;
    let (mut start, mut end) = (next(line, 0), 0);
    while let Some((at, byte)) = start {
        if byte != b'{' {
            return Err(no_object(&line[at..]));
        }
        if at == end && end > 0 {
            return Err(EventRefusal::glued());
        }
        end = at + value_end(&line[at..])?;
        start = next(line, end);
    }
    Ok(text)
}

fn unclosed() -> EventRefusal {
    EventRefusal::new(Fault::NotJson, "this is not JSON: EOF while parsing a list")
}
