//! Parsing a line of bulk work.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, IgnoredAny, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::super::keys::{Issue, KeyPatchBody};
use crate::http::app::App;
use crate::http::error::{Code, Problem};
use crate::http::extract::without_mark;
use crate::key::{Actor, KeyId, KeyPatch, KeyType, Label, NamePattern};
use crate::keystore::{Change, Selection};
use crate::serde_text::{JsonError, Rfc3339, read_json};

/// The longest line, in bytes.
const MAX_LINE_BYTES: usize = 16 * 1024;
/// The most lines in one body.
const MAX_LINES: usize = 100_000;

/// A line, and its number in the body, counted from 1.
#[derive(Debug, Clone)]
pub(super) struct BulkLine {
    pub(super) number: usize,
    text: Bytes,
}

/// The operation of a line.
#[derive(Debug)]
pub(super) enum LineChange {
    /// One change.
    One(Change),
    /// The same change of every selected key.
    Each(Selection, KeyChange),
}

/// A change of many keys.
#[derive(Debug)]
pub(super) enum KeyChange {
    Update(Box<KeyPatch>),
    Revoke,
}

impl KeyChange {
    /// The change of one of them.
    pub(super) fn of(&self, id: KeyId) -> Change {
        match self {
            Self::Update(patch) => Change::Update { id, patch: patch.clone(), rotation: None, expected_rev: None },
            Self::Revoke => Change::Revoke { id },
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Issue,
    Update,
    Revoke,
}

/// The fields that lines of all operations share.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LineHead {
    op: Op,
    key_id: Option<KeyId>,
    filter: Option<KeyFilter>,
}

/// The fields of a [`LineHead`].
const HEAD: [&str; 3] = ["op", "keyId", "filter"];

/// The fields of one operation, read from the text itself so that a duplicate field is seen.
struct Rest<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Rest<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RestVisitor(PhantomData))
    }
}

struct RestVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for RestVisitor<T> {
    type Value = Rest<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(WithoutLineHead(fields))).map(Rest)
    }
}

struct WithoutLineHead<A>(A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithoutLineHead<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(field) = self.0.next_key::<Cow<'de, str>>()? {
            if !HEAD.contains(&&*field) {
                return seed.deserialize(field.into_deserializer()).map(Some);
            }
            self.0.next_value::<IgnoredAny>()?;
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

/// A revocation has no fields of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyFilter {
    source_id: Option<Label>,
    name: Option<NamePattern>,
    created_by: Option<Actor>,
    unused_since: Option<Rfc3339>,
    key_type: Option<KeyType>,
}

/// The lines of a body, without empty ones.
///
/// # Errors
/// 400 when there is no line, 413 above [`MAX_LINES`].
pub(super) fn split(body: &Bytes) -> Result<Vec<BulkLine>, Problem> {
    let pieces = without_mark(body).split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    let pieces = pieces.filter(|(_, text)| !text.is_empty()).take(MAX_LINES + 1);
    let lines: Vec<BulkLine> =
        pieces.map(|(at, text)| BulkLine { number: at + 1, text: body.slice_ref(text) }).collect();
    match lines.len() {
        0 => Err(Problem::invalid("The body is empty: send one JSON object per line.")),
        count if count > MAX_LINES => {
            Err(Problem::new(Code::PayloadTooLarge, format!("The body has more than {MAX_LINES} lines.")))
        }
        _ => Ok(lines),
    }
}

impl BulkLine {
    /// Reads the line. A refusal repeats no value.
    ///
    /// # Errors
    /// 400 when it cannot be parsed, 413 above [`MAX_LINE_BYTES`].
    pub(super) fn read(&self, app: &App) -> Result<LineChange, Problem> {
        if self.text.len() > MAX_LINE_BYTES {
            return Err(Problem::new(
                Code::PayloadTooLarge,
                format!("The line is longer than {MAX_LINE_BYTES} bytes."),
            ));
        }
        if !self.text.starts_with(b"{") {
            return Err(Problem::invalid("A line is a JSON object."));
        }
        let LineHead { op, key_id, filter } = read_json(&self.text).map_err(unreadable)?;
        let selection = filter.map(|filter| Selection {
            source_id: filter.source_id,
            name: filter.name,
            created_by: filter.created_by,
            unused_since: filter.unused_since.map(|at| at.0),
            key_type: filter.key_type,
        });
        let every = match op {
            Op::Issue if key_id.is_some() || selection.is_some() => {
                return Err(Problem::invalid("An issue takes neither keyId nor filter."));
            }
            Op::Issue => {
                let (new, secret) = self.rest::<Issue>()?.read(app)?;
                return Ok(LineChange::One(Change::Issue { new: Box::new(new), secret, active: true }));
            }
            Op::Update => KeyChange::Update(Box::new(self.rest::<KeyPatchBody>()?.read(app.keystore.now())?)),
            Op::Revoke if self.rest::<Nothing>().is_ok() => KeyChange::Revoke,
            Op::Revoke => return Err(Problem::invalid("A revocation takes a keyId or a filter, and nothing else.")),
        };
        match (key_id, selection) {
            (Some(id), None) => Ok(LineChange::One(every.of(id))),
            (None, Some(selection)) => Ok(LineChange::Each(selection, every)),
            _ => Err(Problem::invalid("Send either keyId or filter.")),
        }
    }

    fn rest<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let rest: Rest<T> = read_json(&self.text).map_err(unreadable)?;
        Ok(rest.0)
    }
}

fn unreadable(error: JsonError) -> Problem {
    Problem::invalid(format!("The line cannot be read: {}.", error.reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_numbers_and_blank_ones_are_passed_over() {
        let body = Bytes::from_static(b"{\"a\":1}\r\n\n  \n {\"b\":2}\n");
        let lines = split(&body).unwrap();
        let found: Vec<_> = lines.iter().map(|line| (line.number, &line.text[..])).collect();
        assert_eq!(found, [(1, &b"{\"a\":1}"[..]), (4, &b"{\"b\":2}"[..])]);
    }

    #[test]
    fn a_body_of_no_line_or_too_many_is_refused_whole() {
        assert_eq!(split(&Bytes::from_static(b"\n \n")).unwrap_err().code(), Code::InvalidRequest);
        assert_eq!(split(&"{}\n".repeat(MAX_LINES).into()).unwrap().len(), MAX_LINES);
        assert_eq!(split(&"{}\n".repeat(MAX_LINES + 1).into()).unwrap_err().code(), Code::PayloadTooLarge);
    }
}
