//! The bytes of a request, read straight into columns.
//!
//! An object, an array of objects, or objects one after the other (NDJSON). Nested objects are flattened with `_`,
//! arrays are kept as JSON text, `null` fits everything and creates nothing. Whatever is wrong refuses the whole
//! request, and the message names the line and the field, never a value.
//!
//! 1. `refusal`: why a request is refused.
//! 2. `names`: names met before, as a tree.
//! 3. `column`: one column as it grows.
//! 4. `literal`: numbers as they were written.
//! 5. `table`: all of that together.
//! 6. `event`, `array`: what `serde_json` drives.

mod array;
mod column;
mod event;
mod literal;
mod names;
mod refusal;
mod table;
#[cfg(test)]
mod tests;

use arrow::array::{Array, ArrayRef};
use serde::de::DeserializeSeed;

use self::event::{Event, Events, NO_EVENT};
use self::refusal::Refusal;
use self::table::Table;
use crate::error::{Error, Result};
use crate::stream::Field;

/// How many events one request may have.
pub const MAX_EVENTS: usize = 100_000;
/// How deep an event may be nested, itself counted.
pub const MAX_DEPTH: usize = 64;
/// How many cells one request may have, events times fields: 64 MB of numbers.
pub const MAX_CELLS: usize = 8_000_000;

/// The events of one request as columns, all of the same length.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The fields, in the order in which they first came; none only ever `null`.
    pub fields: Vec<Field>,
    /// How many events.
    pub rows: usize,
    /// One column for each field, of the Arrow type of that field.
    pub columns: Vec<ArrayRef>,
}

impl Batch {
    /// About how much memory it takes, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.columns.iter().map(|column| column.get_array_memory_size()).sum()
    }
}

/// Reads the body of a request. Pure, and linear in the size of the body.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when anything in the body is wrong or there is no event in it,
/// [`crate::ErrorKind::TooLarge`] when it has more than [`MAX_EVENTS`] or [`MAX_CELLS`].
pub fn decode(body: &[u8]) -> Result<Batch> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = std::str::from_utf8(body).map_err(|error| {
        let line = 1 + newlines(&body[..error.valid_up_to()]);
        Refusal::invalid("the body is not UTF-8").on_line(line)
    })?;
    let mut table = Table::new(text);
    match next(text, 0) {
        Some((_, b'[')) => array(&mut table, text)?,
        first => objects(&mut table, text, first)?,
    }
    let batch = table.finish();
    if batch.rows == 0 { Err(Error::invalid("the body holds no event")) } else { Ok(batch) }
}

fn array(table: &mut Table<'_>, text: &str) -> Result<()> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = Events(&mut *table).deserialize(&mut deserializer).and_then(|()| deserializer.end());
    read.map_err(|error| explain(table, text, 0, &error))
}

fn objects(table: &mut Table<'_>, text: &str, first: Option<(usize, u8)>) -> Result<()> {
    let mut object = first;
    while let Some((start, byte)) = object {
        if byte != b'{' {
            return Err(Refusal::invalid(NO_EVENT).on_line(line_at(text, start)));
        }
        let rest = &text[start..];
        let mut deserializer = serde_json::Deserializer::from_str(rest);
        Event(&mut *table).deserialize(&mut deserializer).map_err(|error| explain(table, text, start, &error))?;
        object = match deserializer.end() {
            Ok(()) => None,
            Err(more) => next(text, start + offset(rest, more.line(), more.column())),
        };
        if let Some((start, _)) = object
            && !text.as_bytes()[start - 1].is_ascii_whitespace()
        {
            return Err(
                Refusal::invalid("something follows an event without a blank between").on_line(line_at(text, start))
            );
        }
    }
    Ok(())
}

/// The next byte that is not blank, from `at` on.
fn next(text: &str, at: usize) -> Option<(usize, u8)> {
    let rest = text.as_bytes().get(at..)?;
    let blank = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))?;
    Some((at + blank, rest[blank]))
}

/// Where `serde_json`'s line and column (both from 1, in bytes) are. As far as the text was read, so the cost of all
/// calls together is one pass.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
    before + column.saturating_sub(1)
}

/// What `serde_json` stopped at when reading from `start` on: our own refusal, or JSON that is none.
fn explain(table: &mut Table<'_>, text: &str, start: usize, error: &serde_json::Error) -> Error {
    let line = line_at(text, start) + error.line().saturating_sub(1);
    if let Some(refusal) = table.take_refusal() {
        return refusal.on_line(line);
    }
    // serde_json's own words hold no value of the body; its line is relative to `start`.
    let words = error.to_string();
    let words = words.rsplit_once(" at line ").map_or(&*words, |(words, _)| words);
    Refusal::invalid(format!("this is not JSON: {words}")).on_line(line)
}

fn line_at(text: &str, at: usize) -> usize {
    1 + newlines(&text.as_bytes()[..at])
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}
