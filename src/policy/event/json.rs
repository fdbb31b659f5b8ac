//! JSON of a bounded depth, read without copying.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::error::InvalidEvent;
use super::mend::mended;
use crate::policy::Value;

/// How deep a payload is read. What is nested deeper is dropped.
pub const MAX_DEPTH: usize = 32;

/// A JSON value. Members of an object keep their order, repeated ones included.
#[derive(Debug, Clone, PartialEq)]
pub enum Json<'a> {
    /// `null`, and what was dropped.
    Null,
    /// A bool.
    Bool(bool),
    /// A whole number, `5.0` included.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Self>),
    /// An object.
    Object(Vec<(Cow<'a, str>, Self)>),
}

impl<'a> Json<'a> {
    /// A number: a whole one where it is whole.
    pub fn of_number(number: f64) -> Self {
        whole(number).map_or(Self::Float(number), Self::Int)
    }

    /// The members of an object.
    pub fn members(&self) -> &[(Cow<'a, str>, Self)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    /// The events of a body of `decide`: those of `events`, when it is an object of only that, else itself.
    pub fn events(&self) -> &[Self] {
        match self.members() {
            [(name, Self::List(events))] if name == "events" => events,
            _ => std::slice::from_ref(self),
        }
    }

    /// The last member of a name, as most readers of JSON take it.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.members().iter().rev().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// Its value as that of a field: arrays and objects have none.
    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Null | Self::List(_) | Self::Object(_) => Value::Absent,
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Int(number) => Value::Int(*number),
            Self::Float(number) => Value::Text(number.to_string().into()),
            Self::Text(text) => Value::Text(Cow::Borrowed(text)),
        }
    }

    /// How many bytes it has as compact JSON, escapes not counted.
    pub fn bytes(&self) -> usize {
        let sum = |items: &mut dyn Iterator<Item = usize>| items.fold(0usize, |sum, item| sum.saturating_add(item));
        match self {
            Self::Null => 4,
            Self::Bool(truth) => 5 - usize::from(*truth),
            Self::Int(number) => number.to_string().len(),
            Self::Float(number) => number.to_string().len(),
            Self::Text(text) => text.len().saturating_add(2),
            Self::List(items) => {
                sum(&mut items.iter().map(|item| item.bytes().saturating_add(1))).saturating_add(1).max(2)
            }
            Self::Object(members) => {
                let member = |(name, value): &(Cow<'_, str>, Self)| name.len().saturating_add(4 + value.bytes());
                sum(&mut members.iter().map(member)).saturating_add(1).max(2)
            }
        }
    }

    /// Whether a text in it is longer than `bytes`.
    pub fn has_longer_text(&self, bytes: usize) -> bool {
        match self {
            Self::Text(text) => text.len() > bytes,
            Self::List(items) => items.iter().any(|item| item.has_longer_text(bytes)),
            Self::Object(members) => members.iter().any(|(_, value)| value.has_longer_text(bytes)),
            _ => false,
        }
    }

    /// How many members its objects have, at all depths.
    pub fn count_members(&self) -> usize {
        match self {
            Self::List(items) => items.iter().fold(0, |sum, item| sum.saturating_add(item.count_members())),
            Self::Object(members) => {
                members.iter().fold(members.len(), |sum, (_, value)| sum.saturating_add(value.count_members()))
            }
            _ => 0,
        }
    }
}

/// The text of one or more events, which what is read from it borrows.
///
/// A client of the sender chooses what stands in a payload, and must not be able to make an event unreadable: the
/// sender would let the request pass. So what JSON allows and readers refuse is mended: see [`Text::json`].
pub struct Text<'a> {
    given: &'a [u8],
    mended: OnceCell<Vec<u8>>,
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text").field("bytes", &self.given.len()).finish_non_exhaustive()
    }
}

impl<'a> Text<'a> {
    /// A text of JSON.
    pub const fn new(given: &'a [u8]) -> Self {
        Self { given, mended: OnceCell::new() }
    }

    /// Reads it; true when something had to be mended: a value nested deeper than [`MAX_DEPTH`] and a number beyond
    /// those of a double are null, a lone surrogate is U+FFFD.
    ///
    /// # Errors
    /// [`InvalidEvent::Json`] with the place.
    pub fn json(&self) -> Result<(Json<'_>, bool), InvalidEvent> {
        if let Ok(json) = parse(self.given) {
            return Ok((json, false));
        }
        parse(self.mended.get_or_init(|| mended(self.given, MAX_DEPTH))).map(|json| (json, true))
    }
}

fn parse(text: &[u8]) -> Result<Json<'_>, InvalidEvent> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = Depth(MAX_DEPTH).deserialize(&mut reader).and_then(|json| reader.end().map(|()| json));
    // The message of serde_json names what it expects, never what it found.
    read.map_err(|error| InvalidEvent::Json(format!("line {}, column {}", error.line(), error.column())))
}

/// How many levels may follow.
#[derive(Clone, Copy)]
struct Depth(usize);

impl Depth {
    fn next<E: Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("nested too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json<'de>, E> {
        Ok(Json::Int(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json<'de>, E> {
        Ok(i64::try_from(number).map_or_else(|_| Json::Text(number.to_string().into()), Json::Int))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json<'de>, E> {
        Ok(Json::of_number(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
        let depth = self.next()?;
        let mut read = Vec::new();
        while let Some(item) = items.next_element_seed(depth)? {
            read.push(item);
        }
        Ok(Json::List(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json<'de>, A::Error> {
        let depth = self.next()?;
        let mut read = Vec::new();
        while let Some(name) = members.next_key_seed(Name)? {
            read.push((name, members.next_value_seed(depth)?));
        }
        Ok(Json::Object(read))
    }
}

/// The name of a member.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// A double as a whole number, if it is one that doubles hold exactly.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    if number.fract() != 0.0 || number.abs() > EXACT {
        return None;
    }
    #[allow(clippy::cast_possible_truncation)] // Whole, and within 2^53.
    let whole = number as i64;
    Some(whole)
}
